"""What the pictures of a study show beside the tests: distances, chance limits, and how sure the model's points are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.core.frames import rows_where
from emotion_interp.geometry.pc_scan import principal_components, unit
from emotion_interp.geometry.rsa import human_dissimilarity, mantel_null, model_dissimilarity, pairs
from emotion_interp.stats.intervals import permutations

if TYPE_CHECKING:
    from emotion_interp.geometry import Alignment, EmotionSpace
    from emotion_interp.ratings.predict import Ratings

_PERMUTATIONS = 1_000


def dissimilarity_table(space: EmotionSpace, alignment: Alignment) -> pd.DataFrame:
    """Every pair of emotions: 1 - cosine in the model, and the distance of people's z-scored ratings.

    Args:
        space: the space that was aligned.
        alignment: its alignment.

    Returns:
        Columns emotion_a, emotion_b, model, people; the numbers that `alignment.rsa` correlates.
    """
    emotions = alignment.emotions
    first, second = pairs(len(emotions))
    return pd.DataFrame(
        {
            "emotion_a": [emotions[i] for i in first],
            "emotion_b": [emotions[i] for i in second],
            "model": model_dissimilarity(space.subset(emotions)),
            "people": human_dissimilarity(_people(alignment)),
        }
    )


def point_covariances(space: EmotionSpace, alignment: Alignment) -> np.ndarray:
    """Sampling covariance of every model point of the circumplex, [emotion, 3]: var x, var y, cov.

    The units' covariance around their emotion's mean, over their number, in the plane of the picture; the components
    and the Procrustes fit stay as they are. NaN where an emotion has fewer than three units, or the space none.
    """
    emotions = alignment.emotions
    found = np.full((len(emotions), 3), np.nan)
    if space.units is None or space.unit_emotions is None or "x" not in alignment.points.columns:
        return found
    own = space.subset(emotions)
    axes = principal_components(own, 2).loadings
    drawn = alignment.points[["x", "y"]].to_numpy(dtype=float)
    # the picture is the plane of the components turned, scaled and shifted
    turn = np.linalg.lstsq(own.centred @ axes.T, drawn - drawn.mean(axis=0), rcond=None)[0]
    names = np.asarray(own.unit_emotions)
    for i, emotion in enumerate(emotions):
        scores = np.asarray(own.units[names == emotion], dtype=np.float64) @ axes.T @ turn
        if len(scores) > 2:
            (xx, xy), (_, yy) = np.cov(scores, rowvar=False) / len(scores)
            found[i] = xx, yy, xy
    return found


def chance_limits(spaces: Sequence[EmotionSpace], alignments: Sequence[Alignment]) -> list[dict[str, float]]:
    """Where each statistic lies by chance: people's ratings handed to other emotions, 1,000 times.

    Returns:
        Per space `valence_chance` and `arousal_chance` (95% of the largest |r| over the scanned components lie below),
        `rsa_chance_lo` and `rsa_chance_hi` (the middle 95% of rho).
    """
    found = []
    for space, alignment in zip(spaces, alignments, strict=True):
        own, people = space.subset(alignment.emotions), _people(alignment)
        orders = permutations(len(people), _PERMUTATIONS, alignment.seed)
        scores = principal_components(own, len(alignment.valence.r_by_pc)).unit_scores
        limits = {}
        for name, column in zip(("valence", "arousal"), people.T, strict=False):
            limits[f"{name}_chance"] = float(np.quantile(np.abs(unit(column)[orders] @ scores).max(axis=1), 0.95))
        null = mantel_null(model_dissimilarity(own)[None], human_dissimilarity(people), orders)[:, 0]
        limits["rsa_chance_lo"], limits["rsa_chance_hi"] = (float(q) for q in np.quantile(null, [0.025, 0.975]))
        found.append(limits)
    return found


def best_predictions(ratings: Ratings) -> pd.DataFrame:
    """Word by word: what all features predict within a language, at the layer where that goes best.

    Args:
        ratings: a `Ratings`.

    Returns:
        Columns layer, site, feature_set, train_language, test_language, dimension,
        word, human, predicted.
    """
    table, words = ratings.to_frame(), ratings.predictions
    keys = ["layer", "site", "feature_set", "train_language", "test_language", "dimension"]
    own = rows_where(table, (table["feature_set"] == "all") & (table["train_language"] == table["test_language"]))
    own = own.dropna(subset=["r"])
    best = own.loc[own.groupby(["test_language", "dimension"])["r"].idxmax(), keys]
    return words.merge(best, on=keys)[[*keys, "word", "human", "predicted"]]


def _people(alignment: Alignment) -> np.ndarray:
    points = alignment.points
    return points[[c for c in ("valence", "arousal") if c in points.columns]].to_numpy(dtype=float)
