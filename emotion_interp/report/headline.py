"""What stands first on the page: four sentences in plain words, and the one picture they go with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from emotion_interp.report.brief import LANGUAGES, language_name, number
from emotion_interp.report.data import StudyData
from emotion_interp.report.geometry_section import CIRCUMPLEX
from emotion_interp.report.places import best_places, with_places
from emotion_interp.report.plain_words import NO_MODEL, set_words
from emotion_interp.report.ratings_section import best_of_sets
from emotion_interp.report.verdict import ALPHA, BREAKS, NOTHING, PASSES, emotion_verdicts, text_verdicts

Block = dict[str, object]
Section = dict[str, Any]
_MOST_NAMES = 6
_MEANS = {"valence": "pleasantness", "arousal": "excitement"}


def headline(study: StudyData) -> list[Block]:
    """Four sentences, one for each question: `lead` (two or three words), `text`, `anchor` of their section."""
    parts = (
        ("summary", "Features", "features", _features, "No features were searched for."),
        ("alignment", "Shape", "geometry", _geometry, "The model's emotions were not compared with people's."),
        ("ratings", "Words", "ratings", _ratings, "People's ratings of words were not predicted."),
        ("steering", "Steering", "steering", _steering, "Nothing was steered."),
    )
    return [
        {"lead": lead, "anchor": anchor, "text": sentence(study) if study.has(name) else absent}
        for name, lead, anchor, sentence, absent in parts
    ]


def _first(values: pd.Series) -> str:
    """English where it is there, else the first language."""
    known = list(dict.fromkeys(map(str, values)))
    return "en" if "en" in known else known[0]


def _listed(names: Sequence[object]) -> str:
    shown = ", ".join(map(str, names[:_MOST_NAMES]))
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")


def _features(study: StudyData) -> str:
    summary = with_places(study.frame("summary"))
    fixed = summary["layer_fixed"].astype("boolean").fillna(False).to_numpy(dtype=bool)
    rows = summary[fixed] if fixed.any() else summary
    language = _first(rows["language"])
    rows = rows[rows["language"] == language]
    if not fixed.any():
        rows = rows[rows["place"] == best_places(rows, "auroc_heldout").get(language)]
    if not len(rows):
        return "No feature was scored on texts that it was not found on."
    where = f"{language_name(language)}, {rows['place'].iloc[0]}"
    if rows["confirmed"].notna().any():
        names = rows[rows["confirmed"].astype("boolean").fillna(False)]["emotion"].tolist()
        text = f"{len(names)} of {len(rows)} emotions have one feature that answers to them on new texts ({where}"
        text += f": {_listed(names)})" if names else ")"
    else:
        text = f"{len(rows)} emotions have a best feature ({where}), none of them put to the test"
    scores = {"one feature": "auroc_heldout", "the plain difference between texts": "dense_auroc"}
    scores |= {"the words of the texts without any model": "text_auroc"}
    medians = {said: rows[column].median() for said, column in scores.items() if rows[column].notna().any()}
    told = ", ".join(f"{said} {number(value)}" for said, value in medians.items())
    return (
        f"{text}; how well each tells emotions apart, from 0.50 (chance) to 1 (always): {told}." if told else f"{text}."
    )


def _axis(rows: pd.DataFrame, alone: pd.DataFrame, name: str, said: str) -> str:
    known = rows[rows[f"{name}_r"].notna()]
    if not len(known):
        return ""
    row = known.loc[known[f"{name}_r"].abs().idxmax()]
    p, r = row[f"{name}_p_layers"], abs(row[f"{name}_r"])
    if not math.isfinite(p):
        p = min(1.0, row[f"{name}_p"] * known["place"].nunique())
    words = alone[f"{name}_r"].abs().max() if len(alone) else math.nan
    notes = ["no more than chance gives"] if math.isfinite(p) and p >= ALPHA else []
    notes += [f"the words of the texts without any model: {number(words)}"] if math.isfinite(words) else []
    return f"{said} with r = {number(r)}" + (f" ({'; '.join(notes)})" if notes else "")


def _geometry(study: StudyData) -> str:
    alignment = with_places(study.frame("alignment"))
    alignment = alignment[alignment["language"] == _first(alignment["language"])]
    is_alone = alignment["kind"].isin(["text", "encoder"])
    rows, alone = alignment[~is_alone], alignment[alignment["kind"] == "text"]
    said = [
        _axis(rows, alone, n, s)
        for n, s in (("valence", "from unpleasant to pleasant"), ("arousal", "from calm to excited"))
    ]
    said = [part for part in said if part]
    if not said:
        return "The model's emotions were compared with people's, without a result."
    language = str(alignment["language"].iloc[0])
    where = "" if language == "all" else f" in {language_name(language)}"
    return f"The model puts emotions{where} in people's order {' and '.join(said)}, from 0 (no order in common) to 1 (the same)."


def _ratings(study: StudyData) -> str:
    best = best_of_sets(study.frame("ratings"))
    within = best[best["train_language"] == best["test_language"]]
    best = within if len(within) else best
    if not len(best):
        return "People's ratings of words were not predicted."
    best = best[best["test_language"] == _first(best["test_language"])]
    said = []
    for dimension, rows in best.groupby("dimension", sort=False):
        is_outside = rows["feature_set"].isin(NO_MODEL)
        inside, outside = (
            part.sort_values("r", ascending=False).head(1) for part in (rows[~is_outside], rows[is_outside])
        )
        parts = [
            f"{number(row['r'])} from {set_words(row['feature_set'], LANGUAGES)}" for row in inside.to_dict("records")
        ]
        parts += [f"{number(row['r'])} from {set_words(row['feature_set'])}" for row in outside.to_dict("records")]
        beaten = len(inside) and len(outside) and outside["r"].iloc[0] >= inside["r"].iloc[0]
        said.append(
            f"{_MEANS.get(str(dimension), dimension)} {' against '.join(parts)}{', which is no less' if beaten else ''}"
        )
    language = language_name(best["test_language"].iloc[0])
    of = "words" if language == "all" else f"{language} words"
    return f"How well people's ratings of {of} can be read off (r, 1 is perfect): {'; '.join(said)}."


def _steering(study: StudyData) -> str:
    of = emotion_verdicts(study)
    count = {kind: [n for n, v in of.items() if v == kind] for kind in (PASSES, BREAKS, NOTHING)}
    if not of:
        return "Nothing was steered."
    if not any(count.values()):
        return f"{len(of)} emotions were steered, without a test against chance."
    good, broken = count[PASSES], count[BREAKS]
    text = f"Steering raises {len(good) or 'none'} of {len(of)} emotions beyond random directions while the text stays fluent"
    text += f" ({_listed(good)})" if good else ""
    text += f", {len(broken)} only where the text breaks down ({_listed(broken)})" if broken else ""
    if study.has("steered_text") and good:
        texts = text_verdicts(study)
        texts = texts[texts["verdict"] == PASSES]
        if len(texts) and texts["agrees"].notna().any():
            right = int(texts["agrees"].fillna(False).sum())
            text += (
                f"; a judge of texts reads that emotion in {right} of the {len(texts)} texts shown for the {len(good)}"
            )
        elif len(texts):
            text += "; that is the probability of words, the texts shown were not judged"
    return f"{text}."


def take_hero(sections: Sequence[Section]) -> Block | None:
    """Take the page's first picture out of its section, so that no figure stands twice.

    The circumplex that its section would open on; where there is none, the first figure of the page.
    """
    for kind in ("circumplex", "figure"):
        for section in sections:
            taken = _taken(section["blocks"], kind)
            if taken is not None:
                return taken
    return None


def _taken(blocks: list[Any], kind: str) -> Block | None:
    for block in blocks:
        if kind == "figure" and block["type"] == "figure":
            blocks.remove(block)
            return block
        if kind == "circumplex" and block.get("label") == CIRCUMPLEX:
            panel = block["panels"].pop(block["chosen"])
            block["chosen"] = 0
            if not block["panels"]:
                blocks.remove(block)
            return panel["blocks"][0]
        inner = _taken(block["blocks"], kind) if block["type"] == "details" and kind == "circumplex" else None
        if inner is not None:
            if not block["blocks"]:
                blocks.remove(block)
            return inner
    return None
