"""When a feature fires, said once: at a token where it is active; on a word and on a text by the rules below."""

from __future__ import annotations

from typing import Any

import numpy as np

from emotion_interp.stats.sparse import Matrix, Sparse, by_columns, by_rows

CARRIERS = 0.5
"""A feature fires on a word when it is active in at least this share of the word's carriers."""
LEVEL = 0.75
"""A feature fires on a text when its pooled activation lies above this quantile of all texts, whatever their label."""

PARTS = (
    (0.9, 1.0, "top tenth"),
    (0.75, 0.9, "75 to 90 %"),
    (0.5, 0.75, "50 to 75 %"),
    (0.25, 0.5, "25 to 50 %"),
    (0.0, 0.25, "lowest quarter"),
)
"""Parts of what a feature fires on, by how strongly it does."""


def fires(activations: Any) -> Any:
    """Whether each activation counts as firing (arrays, tensors, sparse matrices): it is above 0."""
    return activations > 0


def firing_rates(activations: Matrix) -> np.ndarray:
    """Share of the rows on which each feature fires, dense or sparse: [feature].

    Example:
        >>> firing_rates(np.array([[0.0, 2.0], [1.0, 3.0]])).tolist()
        [0.5, 1.0]
    """
    return np.asarray(fires(activations).mean(0), dtype=np.float64).ravel()


def fires_on_units(features: Sparse, share: Sparse, units: np.ndarray, words: bool) -> Sparse:
    """Which features fire on which words or texts, sparse boolean [unit, feature].

    Args:
        features: pooled activations [unit, feature].
        share: of each unit's stimuli in which a feature is active [unit, feature].
        units: those of one language, whose level a text must be above.
        words: whether the units are words.
    """
    return share >= CARRIERS if words else above_level(features, units)


def above_level(features: Matrix, units: np.ndarray) -> Sparse:
    """Whether a text's pooled activation lies above the feature's upper quartile over all texts of the language.

    Over a whole text most features are active somewhere; the level tells. The threshold knows no label, so the exact
    test stays exact. Sparse boolean [unit, feature].
    """
    return above(features, levels(features, units))


def levels(features: Matrix, units: np.ndarray) -> np.ndarray:
    """Upper quartile of every feature over some units, 0 at least: [feature]."""
    matrix = by_rows(features)
    everything = np.array_equal(units, np.arange(matrix.shape[0]))
    columns = by_columns(matrix if everything else matrix[units])
    level = np.zeros(columns.shape[1], dtype=np.float32)
    for feature in np.flatnonzero(np.diff(columns.indptr)):
        values = columns.data[columns.indptr[feature] : columns.indptr[feature + 1]]
        full = np.zeros(len(units), dtype=np.float32)
        full[: len(values)] = values
        level[feature] = max(0.0, float(np.quantile(full, LEVEL)))
    return level


def activity(features: Matrix, units: np.ndarray) -> np.ndarray:
    """Share of some texts in which each feature is active at all: [feature]. By its level every feature fires on a quarter."""
    matrix = by_rows(features)
    active = np.zeros(matrix.shape[1])
    for unit in units:
        row = slice(matrix.indptr[unit], matrix.indptr[unit + 1])
        active[matrix.indices[row][fires(matrix.data[row])]] += 1
    return active / max(1, len(units))


def above(features: Matrix, levels: np.ndarray) -> Sparse:
    """Activations above their feature's level, sparse boolean [unit, feature]."""
    matrix = by_rows(features)
    reaches = matrix.data > levels[matrix.indices]
    ends = np.append(0, np.cumsum(reaches))[matrix.indptr]
    ones = np.ones(ends[-1], dtype=bool)
    return by_rows((ones, matrix.indices[reaches], ends), matrix.shape)


def firing_parts(values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """What a feature fires on, cut into `PARTS`: (name, places, strongest first); parts without any are left out.

    Example:
        >>> [(name, places.tolist()) for name, places in firing_parts(np.array([3.0, 0.0, 1.0]))]
        [('50 to 75 %', [0]), ('25 to 50 %', [2])]
    """
    fired = np.flatnonzero(fires(values))
    order = fired[np.argsort(values[fired], kind="stable")]
    parts = [(name, order[round(low * len(order)) : round(high * len(order))][::-1]) for low, high, name in PARTS]
    return [(name, places) for name, places in parts if len(places)]
