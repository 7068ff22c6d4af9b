"""The figures and tables of each section, as plain values for the template."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

import pandas as pd

from emotion_interp.core.markup import fragment, joined
from emotion_interp.figures import feature_heatmap, layer_curves
from emotion_interp.report.blocks import choice_block, figure_block, folded_block, joined_interval, table_block
from emotion_interp.report.brief import language_name
from emotion_interp.report.data import StudyData
from emotion_interp.report.geometry_section import geometry_blocks
from emotion_interp.report.places import best_places, with_places
from emotion_interp.report.ratings_section import ratings_blocks
from emotion_interp.report.steering_section import steering_blocks

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
        curves.append((layer, name, "SAE features", scores.median(), low, high))
        if rows["dense_auroc"].notna().any():
            curves.append((layer, name, "dense direction", rows["dense_auroc"].median(), math.nan, math.nan))
        if "text_auroc" in rows and rows["text_auroc"].notna().any():
            curves.append((layer, name, "texts alone", rows["text_auroc"].median(), math.nan, math.nan))
    frame = pd.DataFrame(curves, columns=["layer", "hue", "style", "value", "lo", "hi"]).dropna(subset=["value"])
    frame["series"] = frame["hue"] + ", " + frame["style"]
    blocks = []
    if len(frame):
        how = (
            "Each point: the median emotion's top feature on stimuli it was not selected on; 0.5 is chance. Shaded: the "
            "middle half of the emotions. Dense: the difference-of-means direction that an SAE has to beat. Texts alone: the same from TF-IDF of the "
            "stimuli, without the model. AUROC: how "
            "often a stimulus of the emotion scores higher than another one."
        )
        if frame["hue"].nunique() > 1:
            # in the order in which `layer_curves` gives kinds of dashes
            styles = dict.fromkeys(frame.sort_values("layer", kind="stable")["style"])
            looks = zip(("solid", "dashed", "dotted"), styles, strict=False)
            how += f" A colour for each language; {', '.join(f'{look}: {style}' for look, style in looks)}."
        else:
            # one language: a colour for each kind
            frame = frame.drop(columns=["hue", "style"])
        if frame[frame["lo"].notna()]["series"].nunique() > 2:
            frame, how = frame.drop(columns=["lo", "hi"]), how.replace(" Shaded: the middle half of the emotions.", "")
        drawn = layer_curves(
            frame,
            title="How well emotions are told apart on new texts, by layer",
            y_title="AUROC on new texts",
            how_to_read=how,
        )
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
    more = [choice_block("Layer and language", panels, chosen), *_checks(study)]
    return [
        *blocks,
        *_maps(study),
        *_cards(study),
        folded_block("Every emotion at every layer, and the controls", more),
    ]


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


def _maps(study: StudyData) -> list[Block]:
    if not study.maps:
        return []
    note = (
        "Pages of their own beside this one: features by emotions, emotions by layers, the languages side by side, and the "
        "card of every kept feature, which a click on the map opens."
    )
    named = ((*name.partition(" · ")[::2], file) for name, file in study.maps.items())
    links = joined(
        fragment('<li><a href="{}">{}, {}</a></li>', quote(file), language_name(language), place)
        for language, place, file in named
    )
    links = fragment('<ul class="maps">{}</ul>', links)
    return [
        {"type": "heading", "title": "Map of all kept features", "note": note},
        {"type": "html", "html": str(links)},
    ]


def _cards(study: StudyData) -> list[Block]:
    if not study.cards:
        return []
    panels = [(name, [{"type": "html", "html": card}]) for name, card in study.cards.items()]
    note = "Everything known of one feature: its scores, the next words it makes likelier, the texts on which it fires most."
    return [
        {"type": "heading", "title": "The best feature of each confirmed emotion", "note": note},
        choice_block("Emotion", panels),
    ]


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
