"""What stands first on the page: four sentences in plain words, and the one picture they go with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from emotion_interp.report.brief import language_name, number
from emotion_interp.report.data import StudyData
from emotion_interp.report.places import best_places, with_places
from emotion_interp.report.plain_words import NO_MODEL, set_words
from emotion_interp.report.ratings_section import best_of_sets
from emotion_interp.report.verdict import ALPHA, BREAKS, NOTHING, PASSES, emotion_verdicts, text_verdicts

Block = dict[str, object]
_MOST_NAMES = 6


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
        text = f"{len(names)} of {len(rows)} emotions have a single feature that answers to them on new texts ({where})"
        text += f": {_listed(names)}." if names else "."
    else:
        text = f"{len(rows)} emotions have a best feature ({where}); none was put to the test."
    score, dense = rows["auroc_heldout"].median(), rows["dense_auroc"].median()
    if math.isfinite(score) and math.isfinite(dense):
        better = "better" if dense > score + 0.005 else "worse" if dense < score - 0.005 else "no better and no worse"
        text += (
            f" The plain difference between the emotion's texts and others, without any feature, tells them apart {better} "
            f"({number(dense)} against {number(score)}, where 0.50 is chance and 1 is perfect)."
        )
    return text


def _axis(rows: pd.DataFrame, alone: pd.DataFrame, name: str, said: str) -> str:
    known = rows[rows[f"{name}_r"].notna()]
    if not len(known):
        return ""
    row = known.loc[known[f"{name}_r"].abs().idxmax()]
    p, r = row[f"{name}_p_layers"], abs(row[f"{name}_r"])
    if not math.isfinite(p):
        p = min(1.0, row[f"{name}_p"] * known["place"].nunique())
    text = f"{said}: r = {number(r)}"
    text += ", no more than chance gives" if math.isfinite(p) and p >= ALPHA else ""
    words = alone[f"{name}_r"].abs().max() if len(alone) else math.nan
    return text + (
        f" (the letters of the texts alone, without the model: {number(words)})" if math.isfinite(words) else ""
    )


def _geometry(study: StudyData) -> str:
    alignment = with_places(study.frame("alignment"))
    alignment = alignment[alignment["language"] == _first(alignment["language"])]
    is_alone = alignment["kind"].isin(["text", "encoder"])
    rows, alone = alignment[~is_alone], alignment[alignment["kind"] == "text"]
    said = [
        _axis(rows, alone, n, s) for n, s in (("valence", "unpleasant to pleasant"), ("arousal", "calm to excited"))
    ]
    said = [part for part in said if part]
    if not said:
        return "The model's emotions were compared with people's, without a result."
    kind = language_name(alignment["language"].iloc[0])
    return f"How the model orders emotions beside how people do ({kind}, best layer) – {'; '.join(said)}."


def _ratings(study: StudyData) -> str:
    best = best_of_sets(study.frame("ratings"))
    within = best[best["train_language"] == best["test_language"]]
    best = within if len(within) else best
    if not len(best):
        return "People's ratings of words were not predicted."
    best = best[best["test_language"] == _first(best["test_language"])]
    said = []
    for dimension, rows in best.groupby("dimension", sort=False):
        inside = rows[~rows["feature_set"].isin(NO_MODEL)].sort_values("r", ascending=False)
        outside = rows[rows["feature_set"].isin(NO_MODEL)].sort_values("r", ascending=False)
        parts = [f"{set_words(row['feature_set'])} {number(row['r'])}" for row in inside.head(1).to_dict("records")]
        parts += [f"{set_words(row['feature_set'])} {number(row['r'])}" for row in outside.head(1).to_dict("records")]
        beaten = len(inside) and len(outside) and outside["r"].iloc[0] >= inside["r"].iloc[0]
        said.append(f"{dimension} (r): {', '.join(parts)}{', which no layer beats' if beaten else ''}")
    language = language_name(best["test_language"].iloc[0])
    of = "People's ratings of words" if language == "all" else f"People's ratings of {language} words"
    return f"{of}, predicted from inside the model and from the best thing outside it – {'; '.join(said)}."


def _steering(study: StudyData) -> str:
    of = emotion_verdicts(study)
    count = {kind: [n for n, v in of.items() if v == kind] for kind in (PASSES, BREAKS, NOTHING)}
    if not of:
        return "Nothing was steered."
    if not any(count.values()):
        return f"{len(of)} emotions were steered, without a test against chance."
    good = count[PASSES]
    if not good:
        text = (
            f"For none of {len(of)} emotions does steering raise the emotion beyond random directions in fluent text."
        )
    else:
        text = (
            f"For {len(good)} of {len(of)} emotions steering raises the emotion beyond random directions while the text "
            f"stays fluent: {_listed(good)}."
        )
    text += (
        f" For {len(count[BREAKS])} it does so only in broken text ({_listed(count[BREAKS])})." if count[BREAKS] else ""
    )
    if study.has("steered_text") and good:
        texts = text_verdicts(study)
        texts = texts[texts["verdict"] == PASSES]
        if len(texts) and texts["agrees"].notna().any():
            right = int(texts["agrees"].fillna(False).sum())
            text += f" Read as text by a judge, {right} of the {len(texts)} texts shown for these have that emotion."
        elif len(texts):
            text += " That is a test of the probability of words; the texts shown were not judged."
    return text


def take_hero(sections: Sequence[Block]) -> Block | None:
    """Take the page's first picture out of its section, so that no figure stands twice.

    The circumplex that its section would open on; where there is none, the first figure of the page.
    """
    for section in sections:
        blocks = section["blocks"]
        for block in blocks:
            if block.get("label") == "Circumplex of":
                panel = block["panels"].pop(block["chosen"])
                block["chosen"] = 0
                if not block["panels"]:
                    blocks.remove(block)
                return panel["blocks"][0]
    for section in sections:
        for block in section["blocks"]:
            if block["type"] == "figure":
                section["blocks"].remove(block)
                return block
    return None
