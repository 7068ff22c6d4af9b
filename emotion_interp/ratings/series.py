"""Predicted ratings as series over words, and the bootstrap of their correlations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from emotion_interp.core import EmotionInterpError
from emotion_interp.core.types import Site, site_of
from emotion_interp.ratings.predict import Ratings
from emotion_interp.ratings.redraw import RedrawnSeries, within_folds

_KEYS = ("layer", "site", "feature_set", "train_language", "test_language", "dimension")
_COLUMNS = ("word", *(key for key in _KEYS if key != "site"), "human", "predicted")
_CHUNK = 4_000_000


@dataclass(frozen=True, eq=False)
class Series:
    """Human and predicted ratings of the same words, from one site, feature set, pair of languages and dimension."""

    site: Site
    feature_set: str
    train: str
    test: str
    dimension: str
    words: tuple[str, ...]
    human: np.ndarray
    predicted: np.ndarray

    @cached_property
    def index(self) -> dict[str, int]:
        """Word -> its place."""
        return {word: place for place, word in enumerate(self.words)}

    def on(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Human and predicted ratings of these words, in this order."""
        places = np.array([self.index[word] for word in words])
        return self.human[places], self.predicted[places]


def all_series(ratings: Ratings | pd.DataFrame | Sequence[Ratings]) -> list[Series]:
    """The series of one or several ratings, or of their `predictions` frame.

    Raises:
        EmotionInterpError: columns are missing, there are no predictions, or one word is predicted twice in a series.
    """
    if isinstance(ratings, Ratings):
        frames: list[Any] = [ratings.predictions]
    elif isinstance(ratings, pd.DataFrame):
        frames = [ratings]
    else:
        wrong = [type(r).__name__ for r in ratings if not isinstance(r, Ratings)]
        if wrong:
            raise EmotionInterpError(f"ratings come from predict_ratings, got a list with {', '.join(wrong)}.")
        frames = [r.predictions for r in ratings]
    for frame in frames:
        missing = [c for c in _COLUMNS if c not in frame]
        if missing:
            raise EmotionInterpError(
                f"the pattern is tested on predictions word by word, but the frame lacks {', '.join(missing)}. Give the "
                "Ratings themselves, or their .predictions."
            )
    series = []
    for frame in frames:
        if "site" not in frame:
            frame = frame.assign(site=[str(site_of(int(layer))) for layer in frame["layer"]])
        usable = frame[np.isfinite(frame[["human", "predicted"]].to_numpy(float)).all(axis=1)]
        for key, rows in usable.groupby(list(_KEYS), sort=True):
            words = tuple(rows["word"].astype(str))
            if len(set(words)) < len(words):
                raise EmotionInterpError(f"the predictions of {key} hold a word twice; each may occur once.")
            _, site, name, train, test, dimension = key
            human, predicted = rows["human"].to_numpy(float), rows["predicted"].to_numpy(float)
            if "fold" in rows and rows["fold"].notna().all():
                # r of what is standardised within folds is r averaged over folds, which has no floor below 0
                fold = rows["fold"].to_numpy()
                human, predicted = within_folds(human, fold), within_folds(predicted, fold)
            series.append(Series(site_of(site), name, train, test, dimension, words, human, predicted))
    keys = [(s.site, s.feature_set, s.train, s.test, s.dimension) for s in series]
    if len(set(keys)) < len(keys):
        raise EmotionInterpError("two of the ratings hold the same site, feature set and languages; give each once.")
    if not series:
        raise EmotionInterpError("there are no predictions in these ratings; nothing can be tested.")
    return series


def all_draws(ratings: Ratings | pd.DataFrame | Sequence[Ratings]) -> dict[tuple[int | Site | str, ...], RedrawnSeries]:
    """The redrawn outside sets of one or several ratings: (site, feature set, train, test, dimension) -> series."""
    if isinstance(ratings, pd.DataFrame):
        return {}
    several = [ratings] if isinstance(ratings, Ratings) else ratings
    return {(site_of(key[0]), *key[1:]): series for ratings_of in several for key, series in ratings_of.draws.items()}


def bootstrap_draws(
    groups: Sequence[tuple[np.ndarray, np.ndarray]],
    draws: Sequence[np.ndarray],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> tuple[float, np.ndarray]:
    """Mean Pearson r over layers of redrawn sets: the mean over draws, and bootstrap values in which the words and the
    draw both vary, [sample]; the same words as `bootstrap_means` draws from an equal generator.

    Args:
        groups: human and (any) predicted ratings of the words of each layer, as for `bootstrap_means`.
        draws: predictions of each layer [draw, word], on the same words; one draw's sets stand together at all layers.
    """
    n, n_draws = len(groups[0][0]), len(draws[0])
    which = rng.spawn(1)[0].integers(n_draws, size=n_bootstrap)
    observed, boot = np.zeros(n_draws), np.zeros(n_bootstrap)
    for (human, _), predicted in zip(groups, draws, strict=True):
        observed += [_pearson(human, row) for row in predicted]
    step = max(1, _CHUNK // n)
    for start in range(0, n_bootstrap, step):
        drawn = rng.integers(n, size=(min(step, n_bootstrap - start), n))
        for place, words in enumerate(drawn, start):
            for (human, _), predicted in zip(groups, draws, strict=True):
                boot[place] += _pearson(human[words], predicted[which[place]][words])
    return float(observed.mean()) / len(draws), boot / len(draws)


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / scale) if scale > 1e-14 else 0.0


def bootstrap_means(
    groups: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]], n_bootstrap: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mean Pearson r of each group of series, observed [group] and under bootstrap of the words [sample, group].

    All series hold the same words in the same order, and every sample draws the same words for all of them.
    A series that is constant has r = 0.
    """
    series = [pair for group in groups for pair in group]
    n = len(series[0][0])
    moments = []
    for pair in series:
        x, y = (_standardised(v) for v in pair)
        moments += [x, y, x * x, y * y, x * y]
    columns = np.column_stack(moments)
    stops = np.cumsum([len(group) for group in groups])[:-1]

    def means(counts: np.ndarray) -> np.ndarray:
        sums = (counts @ columns / n).reshape(len(counts), len(series), 5)
        sx, sy, sxx, syy, sxy = (sums[:, :, i] for i in range(5))
        varies = (sxx - sx**2) * (syy - sy**2)
        r = np.where(varies > 1e-14, (sxy - sx * sy) / np.sqrt(np.maximum(varies, 1e-14)), 0.0)
        return np.column_stack([part.mean(axis=1) for part in np.split(r, stops, axis=1)])

    step = max(1, _CHUNK // n)
    boot = []
    for start in range(0, n_bootstrap, step):
        drawn = rng.integers(n, size=(min(step, n_bootstrap - start), n))
        counts = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(np.float64)
        boot.append(means(counts))
    return means(np.ones((1, n)))[0], np.concatenate(boot)


def _standardised(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean()
    spread = centred.std()
    return centred / spread if spread > 0 else centred
