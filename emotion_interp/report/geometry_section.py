"""The geometry section: curves over layers, circumplex, dissimilarities, components, and every test in a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from emotion_interp.figures import circumplex, dissimilarity_pair, layer_curves, pc_heatmap
from emotion_interp.report.blocks import choice_block, figure_block, folded_block, joined_interval, table_block
from emotion_interp.report.brief import language_name
from emotion_interp.report.data import StudyData
from emotion_interp.report.places import best_places, with_places

if TYPE_CHECKING:
    from emotion_interp.report.brief import Block


_MOST_BANDS = 2
CIRCUMPLEX = "Where people and the model put each emotion"

_COMPONENTS = (
    "Each point: how closely the best principal component of that layer follows people's ratings of the emotions. The best "
    "of several components is above zero by chance alone;"
)
_DISTANCES = "Above zero: emotions that people find alike are alike in the model."
_SPACES = "Dense: differences of mean activations in the residual stream. Features: mean activations of the selected SAE features."
_ALONE = "Text: TF-IDF of the same texts, without the model, which the model has to add to (the same at every layer)."


def geometry_blocks(study: StudyData) -> list[Block]:
    """Curves over layers, the circumplex, the dissimilarities, the components per layer, and every test in one table."""
    blocks: list[Block] = []
    more: list[Block] = []
    best: dict[str, str] = {}
    if study.has("alignment"):
        alignment = with_places(study.frame("alignment"))
        of_model = alignment[~alignment["kind"].isin(["text", "encoder"])] if "kind" in alignment else alignment
        best = best_places(of_model.assign(size=of_model["valence_r"].abs()), "size")
        more += _curves(alignment)
    if study.has("circumplex_points"):
        points = with_places(study.frame("circumplex_points"))
        panels, chosen = [], (0, 0)
        for (language, kind, _, place), rows in points.groupby(["language", "kind", "layer", "place"], sort=True):
            name = f"{place}, {language_name(language)}, {kind}"
            # shown first: the best layer, of a space that knows how sure its points are
            own = best.get(str(language)) == place and language == next(iter(best))
            rank = 2 * own + (own and bool(rows["model_cov"].notna().any()))
            if rank > chosen[0]:
                chosen = (rank, len(panels))
            panels.append(
                (name, [figure_block(circumplex(rows, title=f"Where people and the model put each emotion ({name})"))])
            )
        blocks.append(choice_block(CIRCUMPLEX, panels, chosen[1]))
    if study.has("rdms"):
        panels = []
        for (language, kind, place), rows in with_places(study.frame("rdms")).groupby(
            ["language", "kind", "place"], sort=False
        ):
            name = f"{place}, {language_name(language)}, {kind}"
            panels.append((name, [figure_block(dissimilarity_pair(rows, title=f"Which emotions are alike, {name}"))]))
        more.append(choice_block("Dissimilarities of (best layers)", panels))
    if study.has("pcs"):
        panels = []
        pcs = with_places(study.frame("pcs"))
        for (language, kind, stream), rows in pcs.groupby(["language", "kind", "stream"], sort=False):
            name = f"{language_name(language)}, {kind}{stream}"
            panels.append((name, [figure_block(pc_heatmap(rows, title=f"Principal components, {name}"))]))
        more += [choice_block("Components of", panels)] if len(panels) > 1 else panels[0][1]
    if study.has("alignment"):
        more.append(_table(study.frame("alignment")))
    if not study.has("circumplex_points"):
        return more
    note = "The best layer's picture stands at the top of the page."
    heading: Block = {"type": "heading", "title": "", "note": note}
    return (
        [
            heading,
            folded_block("The other layers and languages", blocks),
            folded_block("Agreement by layer, distances, components and every test", more),
        ]
        if more
        else [heading, *blocks]
    )


def _curves(alignment: pd.DataFrame) -> list[Block]:
    """|r| of valence, |r| of arousal, and rho of the distances, over the layers, language by language."""
    several = alignment["kind"].nunique() > 1
    curves: dict[str, list[dict[str, object]]] = {"valence": [], "arousal": [], "rsa": []}
    for _, row in alignment.iterrows():
        of = (row["kind"] if several else language_name(row["language"])) + row["stream"]
        start = {"layer": row["layer"], "series": of, "language": row["language"]}
        for name in ("valence", "arousal"):
            low, high = row[f"{name}_lo"], row[f"{name}_hi"]
            if row[f"{name}_r"] < 0:
                # the sign of a component is arbitrary: show the size of r, and turn the interval with it
                low, high = -high, -low
            limit = row[f"{name}_chance"]
            chance = {"chance_lo": 0.0 if math.isfinite(limit) else math.nan, "chance_hi": limit}
            curves[name].append(start | {"value": abs(row[f"{name}_r"]), "lo": low, "hi": high} | chance)
        rsa = {"value": row["rsa_rho"], "lo": row["rsa_lo"], "hi": row["rsa_hi"], "ceiling": row["rsa_ceiling"]}
        rsa |= {"chance_lo": row["rsa_chance_lo"], "chance_hi": row["rsa_chance_hi"]}
        curves["rsa"].append(start | rsa)
    # a language has its own emotions, hence its own chance band: languages never share a picture
    panels = []
    for language in dict.fromkeys(alignment["language"]):
        of = f", {language_name(language)}" if alignment["language"].nunique() > 1 else ""
        own = {name: [row for row in rows if row["language"] == language] for name, rows in curves.items()}
        panels.append((language_name(language), _curve_blocks(own, of, several)))
    return [choice_block("By layer", panels)] if len(panels) > 1 else panels[0][1]


def _curve_blocks(curves: dict[str, list[Block]], of: str, several: bool) -> list[Block]:
    """One language's three pictures."""
    blocks = []
    for name, title, y_title, how in (
        ("valence", "Best principal component for valence, by layer", "|r| with people's valence", _COMPONENTS),
        ("arousal", "Best principal component for arousal, by layer", "|r| with people's arousal", _COMPONENTS),
        ("rsa", "Agreement of distances, by layer", "rank correlation (rho)", _DISTANCES),
    ):
        frame = pd.DataFrame(curves[name]).dropna(subset=["value"])
        if len(frame):
            blocks.append(_curve_block(frame, title + of, y_title, how, several))
    return blocks


def _curve_block(frame: pd.DataFrame, title: str, y_title: str, how: str, several: bool) -> Block:
    chance = bool(frame["chance_hi"].notna().any())
    if how.endswith(";"):
        how += " 95% of what chance gives lies in the grey band." if chance else " see the p-values."
    elif chance:
        how += " Grey: where 95% of the values lie by chance."
    if frame["series"].nunique() > _MOST_BANDS:
        # more bands than this hide one another; the intervals stand in the table below
        frame = frame.drop(columns=["lo", "hi"])
    elif frame["lo"].notna().any():
        how += " Shaded: the 95% interval over emotions."
    if "ceiling" in frame and frame["ceiling"].notna().any():
        how += " Dotted: what a second group of raters would reach (rating noise only)."
    if several:
        how += f" {_SPACES}"
    if {"text", "encoder"} & set(frame["series"]):
        how += f" {_ALONE}"
    return figure_block(
        layer_curves(frame, title=title, y_title=y_title, how_to_read=how, ceiling_name="two groups of raters")
    )


def _table(alignment: pd.DataFrame) -> Block:
    pairs = {
        "valence_ci": ("valence_lo", "valence_hi"),
        "arousal_ci": ("arousal_lo", "arousal_hi"),
        "rsa_ci": ("rsa_lo", "rsa_hi"),
    }
    rows = with_places(alignment).assign(
        **{name: joined_interval(alignment, *bounds) for name, bounds in pairs.items()}
    )
    columns = {"layer": "layer", "site": "site", "language": "language", "kind": "space", "n_emotions": "emotions"}
    for name in ("valence", "arousal"):
        columns |= {f"{name}_pc": f"{name} PC", f"{name}_r": f"{name} r", f"{name}_ci": "interval"}
        columns |= {f"{name}_p": "p", f"{name}_p_layers": "p over layers"}
    columns |= {"rsa_rho": "RSA rho", "rsa_ci": "interval", "rsa_p": "p"}
    columns |= {"procrustes_disparity": "Procrustes disparity", "procrustes_p": "p"}
    columns |= {"readout_valence_r": "read-out valence r", "readout_valence_p": "p"}
    columns |= {"readout_arousal_r": "read-out arousal r", "readout_arousal_p": "p"}
    columns |= {"circumplex_r": "circumplex order r", "circumplex_p": "p"}
    for name, of in (("text", "text"), ("encoder", "encoder")):
        if f"rsa_given_{name}" in alignment:
            columns |= {f"rsa_given_{name}": f"RSA given {of}", f"rsa_given_{name}_p": "p"}
            columns |= {f"valence_gain_over_{name}": f"read-out valence over {of}", f"valence_gain_over_{name}_p": "p"}
            columns |= {f"arousal_gain_over_{name}": f"read-out arousal over {of}", f"arousal_gain_over_{name}_p": "p"}
    digits = {c: 3 for c in columns if c.endswith(("_p", "_p_layers"))}
    digits |= {"valence_pc": 0, "arousal_pc": 0, "n_emotions": 0}
    note = (
        "PC: the principal component that fits best, and its r with people. p: by permutation of the emotions, corrected "
        "for the components (and for the layers, in “p over layers”). RSA: rank correlation of the distances between "
        "emotions. Procrustes disparity: 0 is the same shape, 1 nothing in common. Read-out: ratings of emotions that a "
        "linear fit did not see. Circumplex order: correlation of the angles around the circle. Text: the same from TF-IDF of "
        "the texts alone; given text, over text: what the model adds to it (partial rank correlation; gain of r when the "
        "model joins the text)."
    )
    table = table_block(rows, columns, digits=digits, caption="Every test of the geometry", note=note)
    return {"type": "details", "summary": "All tests, layer by layer", "blocks": [table]}
