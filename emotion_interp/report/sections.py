"""The figures and tables of each section, as plain values for the template."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.figures import dose_curves, feature_heatmap, layer_curves, learning_curves, predicted_vs_human
from emotion_interp.report.blocks import cell, choice_block, figure_block, joined_interval, table_block
from emotion_interp.report.brief import language_name
from emotion_interp.report.data import StudyData
from emotion_interp.report.geometry_section import geometry_blocks
from emotion_interp.report.places import best_places, with_places

if TYPE_CHECKING:
    from emotion_interp.report.brief import Block


# Long: one section, block after block.
def features_blocks(study: StudyData) -> list[Block]:
    """Curve over layers; per layer and language the table of top features and the heat map; controls and cards."""
    summary = with_places(study.frame("summary"))
    curves = []
    for (language, layer, stream), rows in summary.groupby(["language", "layer", "stream"], sort=False):
        scores = rows["auroc_heldout"].dropna()
        name = f"{language_name(language)}{stream}"
        low, high = scores.quantile(0.25), scores.quantile(0.75)
        curves.append((layer, f"{name}, SAE features", scores.median(), low, high))
        if rows["dense_auroc"].notna().any():
            curves.append((layer, f"{name}, dense direction", rows["dense_auroc"].median(), math.nan, math.nan))
        if "text_auroc" in rows and rows["text_auroc"].notna().any():
            curves.append((layer, f"{name}, texts alone", rows["text_auroc"].median(), math.nan, math.nan))
    frame = pd.DataFrame(curves, columns=["layer", "series", "value", "lo", "hi"]).dropna(subset=["value"])
    blocks = []
    if len(frame):
        how = (
            "Each point: the median emotion's top feature on stimuli it was not selected on; 0.5 is chance. Shaded: the "
            "middle half of the emotions. Dense: the difference-of-means direction that an SAE has to beat. Texts alone: the same from TF-IDF of the "
            "stimuli, without the model. AUROC: how "
            "often a stimulus of the emotion scores higher than another one."
        )
        if frame[frame["lo"].notna()]["series"].nunique() > 4:
            frame, how = frame.drop(columns=["lo", "hi"]), how.replace(" Shaded: the middle half of the emotions.", "")
        drawn = layer_curves(frame, title="Held-out AUROC by layer", y_title="held-out AUROC", how_to_read=how)
        blocks.append(figure_block(drawn))
    panels, chosen = [], 0
    best = best_places(summary, "auroc_heldout")
    selected = with_places(study.frame("selected")) if study.has("selected") else None
    for (_, place, language), rows in summary.groupby(["layer", "place", "language"], sort=True):
        rows = rows.assign(interval=joined_interval(rows, "lo", "hi")).sort_values("auroc_heldout", ascending=False)
        columns = {
            "emotion": "emotion",
            "feature": "feature",
            "auroc_heldout": "held-out AUROC",
            "interval": "interval",
            "confirmed": "confirmed",
            "confirmed_uncorrected": "passes here, not corrected over layers",
            "p_confirmed": "p (Holm, this layer)",
            "dense_auroc": "dense direction",
            "text_auroc": "texts alone",
            "specificity": "specificity",
            "held_out_specificity": "held-out specificity",
            "rival": "least told from",
            "coverage": "coverage",
            "n_words": "held out",
        }
        name = f"{place}, {language_name(language)}"
        note = _CONFIRMED if rows["p_confirmed"].notna().any() else _CONFIRMED_BEFORE
        note += (
            " Specificity: the lowest AUROC against any one other emotion, siblings aside. Coverage: share of the emotion's "
            "stimuli on which it fires. Held out: how many stimuli of the emotion."
        )
        caption = f"Top feature of every emotion, {name}"
        digits = {"n_words": 0, "p_confirmed": 3}
        parts = [table_block(rows, columns, digits=digits, caption=caption, note=note)]
        if selected is not None:
            of = selected[(selected["place"] == place) & (selected["language"] == language)]
            if len(of):
                parts.append(figure_block(feature_heatmap(of, title=f"Top features of every emotion, {name}")))
        if best.get(str(language)) == place and language == next(iter(best)):
            chosen = len(panels)
        panels.append((name, parts))
    blocks.append(choice_block("Layer and language", panels, chosen))
    return [*blocks, *_checks(study), *_cards(study)]


_CONFIRMED = (
    "Confirmed: on the held-out stimuli the feature fires more under its emotion than elsewhere (Fisher) and more than under "
    "each other emotion that is no sibling (permutations); the larger p counts, corrected over the emotions (Holm), at the one "
    "layer of the language that was fixed on the discovery half. “Passes here” says the same of this layer for itself, not "
    "corrected over layers."
)
_CONFIRMED_BEFORE = (
    "Confirmed: better than chance on the held-out stimuli, corrected over the emotions (Holm) and not over layers; whether "
    "the feature tells its emotion from each other one was not tested."
)
_WHICH = {"emotion": "emotion", "language": "language", "layer": "layer", "site": "site", "feature": "feature"}


def _checks(study: StudyData) -> list[Block]:
    """What further tests say of the confirmed features."""
    blocks = []
    if study.has("controls"):
        columns = _WHICH | {
            "matched_auroc": "AUROC, matched neutral",
            "matched_p_holm": "p (Holm)",
            "lexical_token": "commonest token",
            "token_share": "its share",
            "lexical": "one word only",
            "valence_auroc": "AUROC, same valence",
            "valence_only": "valence only",
            "position_auroc": "AUROC, same position",
            "positional": "position only",
        }
        note = (
            "Does the feature answer to the emotion, or to what goes along with it? Against neutral stimuli of the same "
            "length and frequency; whether one token explains it; against other emotions of the same sign of valence; and "
            "within the same places of the text. A “yes” speaks against the feature."
        )
        blocks.append(_small_table(study.frame("controls"), columns, "Controls of the confirmed features", note))
    if study.has("transfer"):
        columns = _WHICH | {"tested_on": "tested on", "auroc": "AUROC", "p_holm": "p (Holm)", "transfers": "transfers"}
        note = "Does the feature also answer to stimuli of another kind than those it was found on?"
        blocks.append(_small_table(study.frame("transfer"), columns, "Transfer of the confirmed features", note))
    return blocks


def _small_table(frame: pd.DataFrame, columns: dict[str, str], caption: str, note: str) -> Block:
    rows = with_places(frame).sort_values(["emotion", "language", "layer"], kind="stable")
    return table_block(rows, columns, digits={"p_holm": 3, "matched_p_holm": 3}, caption=caption, note=note)


def _cards(study: StudyData) -> list[Block]:
    if not study.cards:
        return []
    panels = [(name, [{"type": "html", "html": card}]) for name, card in study.cards.items()]
    note = "Everything known of one feature: its scores, the next words it makes likelier, the texts on which it fires most."
    return [
        {"type": "heading", "title": "The best feature of each confirmed emotion", "note": note},
        choice_block("Emotion", panels),
    ]


_SETS = (
    "One line per set of features. all: every feature; selected: those of the emotions (in one language, or union: in any); "
    "outside: as many outside the emotion space, matched for firing rate; dense: the residual stream itself; static: word "
    "embeddings alone; length: length and frequency of the word. Cross-validated over words."
)


def ratings_blocks(study: StudyData) -> list[Block]:
    """Curves over layers per dimension and pair of languages, the tables, words one by one, and the learning curve."""
    blocks = _rating_curves(study) if study.has("ratings") else []
    if study.has("predicted"):
        blocks += _predicted_words(study)
    if study.has("learning"):
        blocks += _learning(study)
    return blocks


def _rating_curves(study: StudyData) -> list[Block]:
    ratings = with_places(study.frame("ratings"))
    panels = []
    for (train, test), rows in ratings.groupby(["train_language", "test_language"], sort=False):
        name = language_name(test) if train == test else f"{language_name(train)} to {language_name(test)}"
        parts = []
        for dimension, of in rows.dropna(subset=["r"]).groupby("dimension", sort=False):
            ceiling = of["ceiling"].where(of["ceiling"].notna(), (of["r"] / of["r_over_ceiling"]).median())
            # the standard error of r between two unrelated lists of that many words
            limit = 1.96 / np.sqrt((of["n_words"] - 1).where(of["n_words"] > 1))
            frame = of.assign(series=of["feature_set"] + of["stream"], value=of["r"], ceiling=ceiling)
            frame = frame.assign(chance_lo=-limit, chance_hi=limit)
            how = _SETS + (
                " Grey: what unrelated numbers give (a fit that learnt nothing may land below)."
                if limit.notna().any()
                else ""
            )
            how += " Dotted: the most that the ratings' reliability allows." if ceiling.notna().any() else ""
            columns = ["layer", "series", "value", "chance_lo", "chance_hi", "ceiling"]
            drawn = layer_curves(
                frame[columns],
                title=f"Predicted {dimension} of words, {name}",
                y_title="r with human ratings",
                how_to_read=how,
            )
            parts.append(figure_block(drawn))
        columns = {
            "layer": "layer",
            "site": "site",
            "dimension": "dimension",
            "feature_set": "features",
            "r": "r",
            "r_over_ceiling": "r / ceiling",
            "rho": "rho",
            "r2": "R²",
            "mae": "mean abs. error",
            "n_words": "words",
            "n_features": "number of features",
        }
        table = table_block(rows, columns, digits={"n_words": 0, "n_features": 0}, caption=f"Rating prediction, {name}")
        parts.append({"type": "details", "summary": "All numbers", "blocks": [table]})
        panels.append((name, parts))
    return [choice_block("Words", panels)] if len(panels) > 1 else panels[0][1]


def _predicted_words(study: StudyData) -> list[Block]:
    panels = []
    words = with_places(study.frame("predicted")).dropna(subset=["human", "predicted"])
    keys = ["test_language", "train_language", "dimension", "place", "feature_set"]
    for (test, train, dimension, place, chosen), rows in words.groupby(keys, sort=False):
        across = language_name(test) if test == train else f"{language_name(train)} to {language_name(test)}"
        name = f"{dimension}, {across}"
        title = f"Predicted and human {name} ({chosen}, {place})"
        panels.append((name, [figure_block(predicted_vs_human(rows, title=title, max_points=1500))]))
    return [choice_block("Word by word", panels)] if panels else []


def _learning(study: StudyData) -> list[Block]:
    panels = []
    frame = with_places(study.frame("learning"))
    for (dimension, place), rows in frame.groupby(["dimension", "place"], sort=False):
        name = f"{dimension}, {place}"
        renamed = rows.rename(columns={"feature_set": "series", "r": "value", "low": "lo", "high": "hi"})
        drawn = learning_curves(renamed, title=f"Learning curve: {name}", y_title="r on the test words")
        panels.append((name, [figure_block(drawn)]))
    return [choice_block("Learning curve of", panels)] if len(panels) > 1 else panels[0][1]


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
        rows = rows.sort_values(["p", "emotion"])
        columns = {
            "emotion": "emotion",
            "method": "directions",
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
    """The test or the dose-response curves, and the texts."""
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
            table = table_block(rows, columns, digits={"p": 3, "p_holm": 3}, caption=f"Steering with {name}")
            panels.append((name, [*parts, {"type": "details", "summary": "All numbers", "blocks": [table]}]))
        blocks += [choice_block("Method", panels)] if len(panels) > 1 else [b for _, some in panels for b in some]
    if study.has("steered_text"):
        texts = study.frame("steered_text")
        shown = [
            {key: str(row[key]) for key in ("emotion", "prompt", "unsteered", "steered")}
            | {"note": ", ".join(f"{key} {cell(row[key])}" for key in ("dose", "layer") if row[key] == row[key])}
            for _, row in texts.iterrows()
        ]
        blocks.append({"type": "texts", "texts": shown})
    return blocks


SECTIONS: tuple[tuple[str, str, tuple[str, ...], Callable[[StudyData], list[Block]], str], ...] = (
    ("features", "Features per layer", ("summary",), features_blocks, "No features were searched for."),
    (
        "geometry",
        "Geometry: the model's emotion space and people's",
        ("alignment", "circumplex_points", "rdms", "pcs"),
        geometry_blocks,
        "The geometry was not compared with human ratings.",
    ),
    (
        "ratings",
        "Ratings of words",
        ("ratings", "predicted", "learning"),
        ratings_blocks,
        "Word ratings were not predicted.",
    ),
    ("steering", "Steering", ("steering", "steered_text"), steering_blocks, "Nothing was steered."),
)
