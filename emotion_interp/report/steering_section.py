"""The steering section: steered beside unsteered text under its verdict, then the test and the dose-response curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from emotion_interp.figures import dose_curves
from emotion_interp.report.blocks import choice_block, figure_block, folded_block, joined_interval, table_block
from emotion_interp.report.data import StudyData
from emotion_interp.report.places import with_places
from emotion_interp.report.plain_words import direction_words
from emotion_interp.report.steered_texts import text_groups

if TYPE_CHECKING:
    from emotion_interp.report.brief import Block

_DIRECTIONS = (
    "Unsteered, steered: the judge's probability of the emotion after neutral prompts (without a classifier: that of the "
    "emotion's words). Layer, dose and the best kind of direction were fixed on other prompts. Directions: dense is the difference of means, dense_clean the same without what neutral texts vary in, sae the decoder "
    "rows of the SAE features. Dose: in units of the site's usual size. Random directions: the range that directions of the "
    "same size reach. Perplexity ratio: 1 is as fluent as unsteered text, above 2 it breaks down. Distinct-2 ratio: below 0.8 "
    "the text repeats itself. Holm: corrected over the emotions."
)


def _steering_test(frame: pd.DataFrame) -> list[Block]:
    """One table per method: each emotion at the layer and dose that other prompts fixed."""
    panels = []
    groups = [(str(method), rows) for method, rows in frame.groupby("method", sort=False)]
    if frame["chosen"].notna().any():
        best = frame[frame["chosen"].astype("boolean").fillna(False).to_numpy(dtype=bool)]
        groups.insert(0, ("the emotion's best", best.assign(p_holm=best["p_holm_chosen"])))
    for method, rows in groups:
        rows = rows.assign(random=joined_interval(rows, "random_lo", "random_hi", digits=4))
        rows = rows.assign(direction=[direction_words(kind) for kind in rows["method"]])
        rows = rows.sort_values(["p", "emotion"])
        columns = {
            "emotion": "emotion",
            "direction": "direction",
            "layer": "layer",
            "dose": "dose",
            "target_unsteered": "unsteered",
            "target": "steered",
            "random": "random directions",
            "p": "p",
            "p_holm": "p (Holm)",
            "perplexity_ratio": "perplexity ratio",
            "distinct2_ratio": "distinct-2 ratio",
        }
        caption = f"Steered with {method} directions"
        digits = {"target": 4, "target_unsteered": 4, "p": 3, "p_holm": 3}
        panels.append((str(method), [table_block(rows, columns, digits=digits, caption=caption, note=_DIRECTIONS)]))
    return [choice_block("Directions", panels)] if len(panels) > 1 else panels[0][1]


def steering_blocks(study: StudyData) -> list[Block]:
    """The texts under their verdict; below them the test or the dose-response curves."""
    blocks: list[Block] = []
    if study.has("steering"):
        panels = []
        frame = study.frame("steering")
        # an emotion without a usable direction or coherent dose has a row, but nothing to draw
        frame = frame[frame["target"].notna()]
        if frame.groupby(["emotion", "method"])["dose"].nunique().max() == 1:
            # one cell for each emotion: there is no curve to draw
            blocks += _steering_test(frame)
            frame = frame[:0]
        for (method, place), rows in with_places(frame).groupby(["method", "place"], sort=False, dropna=False):
            name = str(method) + (f", {place}" if place else "")
            given = rows if rows["lo"].notna().any() else rows.drop(columns=["lo", "hi"])
            parts = [figure_block(dose_curves(given, title=f"Steering with {name}"))]
            columns = {
                "emotion": "emotion",
                "dose": "dose",
                "target": "target probability",
                "target_unsteered": "unsteered",
                "random_hi": "random, upper",
                "p": "p",
                "p_holm": "p (Holm)",
                "perplexity_ratio": "perplexity ratio",
                "distinct2_ratio": "distinct-2 ratio",
            }
            table = table_block(
                rows, columns, digits={"p": 3, "p_holm": 3}, caption=f"Every dose of steering with {name}"
            )
            panels.append((name, [*parts, {"type": "details", "summary": "All numbers", "blocks": [table]}]))
        blocks += [choice_block("Method", panels)] if len(panels) > 1 else [b for _, some in panels for b in some]
    texts: list[Block] = text_groups(study) if study.has("steered_text") else []
    return [*texts, folded_block("The test in numbers", blocks)] if texts and blocks else [*texts, *blocks]
