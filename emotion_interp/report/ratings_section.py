"""The ratings section: one dot plot of every set of features, the words one by one, the learning curve, all numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.figures import dot_rows, learning_curves, predicted_vs_human
from emotion_interp.report.blocks import choice_block, figure_block, folded_block, table_block
from emotion_interp.report.brief import LANGUAGES, language_name
from emotion_interp.report.data import StudyData
from emotion_interp.report.places import with_places
from emotion_interp.report.plain_words import set_words, short_set

if TYPE_CHECKING:
    from emotion_interp.report.brief import Block

_MOST_ROWS = 20
_HOW = (
    "How well a linear read-out of each set predicts people's ratings of words it was not fitted on (cross-validated over "
    "words), each set at its best layer (tap or point at a dot for the layer). Compare with the rows that use no model: word "
    "embeddings, length, frequency."
)


def ratings_blocks(study: StudyData) -> list[Block]:
    """One dot plot; folded below it the words one by one, the learning curve and the tables."""
    blocks = _dots(study) if study.has("ratings") else []
    more: list[Block] = []
    if study.has("predicted"):
        more += _predicted_words(study)
    if study.has("learning"):
        more += _learning(study)
    if study.has("ratings"):
        more += _numbers(study)
    return [*blocks, folded_block("Word by word, learning curve and all numbers", more)] if blocks else more


def _pair(train: object, test: object) -> str:
    return language_name(test) if train == test else f"{language_name(train)} to {language_name(test)}"


def best_of_sets(ratings: pd.DataFrame) -> pd.DataFrame:
    """Each set's row at its best layer, per pair of languages and dimension; with `place` and `pair`."""
    known = with_places(ratings).dropna(subset=["r"])
    keys = ["train_language", "test_language", "dimension", "feature_set"]
    best = known.loc[known.groupby(keys, sort=False)["r"].idxmax()] if len(known) else known
    pairs = [_pair(a, b) for a, b in zip(best["train_language"], best["test_language"], strict=True)]
    return best.assign(pair=pairs)


def _dots(study: StudyData) -> list[Block]:
    best = best_of_sets(study.frame("ratings"))
    if not len(best):
        return []
    # the standard error of r between two unrelated lists of that many words
    limit = 1.96 / np.sqrt((best["n_words"] - 1).where(best["n_words"] > 1))
    by_dimension = (best["r"] / best["r_over_ceiling"]).groupby(best["dimension"]).transform("median")
    places = [f", {place}" if place else "" for place in best["place"]]
    best = best.assign(chance=limit, top=best["ceiling"].where(best["ceiling"].notna(), by_dimension), note=places)
    pairs = list(dict.fromkeys(best["pair"]))
    if len(pairs) > 1 and best.groupby("pair")["feature_set"].nunique().sum() > _MOST_ROWS:
        panels = [(pair, [_picture(best[best["pair"] == pair], f", {pair}")]) for pair in pairs]
        return [choice_block("Words", panels)]
    return [_picture(best, f", {pairs[0]}" if len(pairs) == 1 and pairs[0] != "all" else "")]


def _picture(best: pd.DataFrame, of: str) -> Block:
    several = best["pair"].nunique() > 1
    names, short = [], {}
    for pair, feature_set in zip(best["pair"], best["feature_set"], strict=True):
        start = f"{pair}: " if several else ""
        names.append(start + set_words(feature_set, LANGUAGES))
        short[names[-1]] = start.replace(" to ", "→") + short_set(feature_set, LANGUAGES)
    frame = best.assign(name=names, series=best["dimension"], value=best["r"], lo=best["r_lo"], hi=best["r_hi"])
    frame = frame.assign(ceiling=frame["top"], rank=frame.groupby("name")["r"].transform("max"))
    frame = frame.sort_values(["train_language", "test_language", "rank"], ascending=[True, True, False], kind="stable")
    how = _HOW
    how += " Lines: 95% intervals over words." if frame["lo"].notna().any() else ""
    how += " Grey: what unrelated numbers give." if frame["chance"].notna().any() else ""
    how += " Dotted: the most that the ratings' reliability allows." if frame["ceiling"].notna().any() else ""
    columns = ["name", "series", "value", "lo", "hi", "chance", "ceiling", "note"]
    drawn = dot_rows(
        frame[columns],
        title=f"Which features predict people's ratings of words{of}",
        x_title="r with people's ratings",
        how_to_read=how,
        short=short,
    )
    return figure_block(drawn)


def _numbers(study: StudyData) -> list[Block]:
    panels = []
    ratings = with_places(study.frame("ratings"))
    columns = {"layer": "layer", "site": "site", "dimension": "dimension", "feature_set": "set", "meaning": "which is"}
    columns |= {"r": "r", "r_over_ceiling": "r / ceiling", "rho": "rho", "r2": "R²", "mae": "mean abs. error"}
    columns |= {"n_words": "words", "n_features": "number of features"}
    for (train, test), rows in ratings.groupby(["train_language", "test_language"], sort=False):
        name = _pair(train, test)
        rows = rows.assign(meaning=[set_words(of, LANGUAGES) for of in rows["feature_set"]])
        table = table_block(
            rows, columns, digits={"n_words": 0, "n_features": 0}, caption=f"Rating prediction by layer, {name}"
        )
        panels.append((name, [table]))
    return [choice_block("Numbers of", panels)] if len(panels) > 1 else panels[0][1]


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
