"""Emotion spaces against each other: are two models, layers or languages alike, whatever their axes?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.core.arguments import checked
from emotion_interp.core.result import Result
from emotion_interp.figures import square_heatmap
from emotion_interp.geometry import rsa
from emotion_interp.geometry.space import EmotionSpace
from emotion_interp.stats.intervals import permutation_p, permutations

if TYPE_CHECKING:
    import plotly.graph_objects as go

MIN_SHARED = 5
_STATISTICS = ("cka", "rsa_rho", "procrustes_disparity")
_TITLES: dict[str, str] = dict(zip(_STATISTICS, ("CKA", "RSA rho", "Procrustes disparity"), strict=True))
_CHUNK = 2_000_000


@dataclass(frozen=True)
class PairComparison:
    """Two emotion spaces over the emotions they share.

    `cka`: linear CKA, 0 to 1. `rsa_rho`: Spearman rho of the two cosine dissimilarities. `procrustes_disparity`: 0 (the
    same shape) to 1. Each `*_p`: the share of reorderings of the second space's emotions that look as alike.
    """

    first: str
    second: str
    cka: float
    cka_p: float
    rsa_rho: float
    rsa_p: float
    procrustes_disparity: float
    procrustes_p: float
    n_emotions: int


@dataclass(frozen=True, eq=False, repr=False)
class SpaceComparison(Result):
    """Every pair of some emotion spaces (the rows are `PairComparison`); `n_permutations`, `n_components` and `seed` repeat it."""

    pairs: tuple[PairComparison, ...]
    names: tuple[str, ...]
    n_permutations: int
    n_components: int | None
    seed: int

    ROWS = "pairs"

    def plot(self, statistic: str = "cka") -> go.Figure:
        """Heat map of one statistic, space by space; errors as `matrix`."""
        square = self.matrix(statistic)
        return square_heatmap(square, title=f"Emotion spaces compared: {_TITLES[statistic]}", value=statistic)

    def matrix(self, statistic: str = "cka") -> pd.DataFrame:
        """One statistic as a square table, space by space; `UnknownNameError` for one that is not there."""
        if statistic not in _STATISTICS:
            raise UnknownNameError("statistic", statistic, _STATISTICS)
        names = list(self.names)
        itself = 0.0 if statistic == "procrustes_disparity" else 1.0
        square = np.eye(len(names)) * itself
        for pair in self.pairs:
            i, j = names.index(pair.first), names.index(pair.second)
            square[i, j] = square[j, i] = getattr(pair, statistic)
        return pd.DataFrame(square, index=pd.Index(names), columns=pd.Index(names))

    def __repr__(self) -> str:
        return f"SpaceComparison({len(self.names)} spaces, {len(self.pairs)} pairs)"


@checked
def compare_spaces(
    spaces: Mapping[str, EmotionSpace],
    n_permutations: int = 2000,
    seed: int = 0,
    *,
    n_components: int | None = 10,
) -> SpaceComparison:
    """Compare emotion spaces [emotion, dimension] pair by pair, over the emotions that both have.

    Linear CKA (Kornblith et al. 2019), centred; RSA as in `align` (cosine dissimilarities, Spearman, Mantel);
    Procrustes on the first principal components of both. None depends on the axes or the unit of either space. With
    fewer emotions than dimensions CKA lies high for unrelated spaces too, and disparity low: read them with their p,
    (b + 1) / (m + 1) over reorderings of the emotions of the second space.

    Args:
        spaces: name -> space: layers of one subject, languages, subjects, or spaces from `load_space`.
        n_permutations: reorderings of the emotions, the same for all tests and all pairs of one size.
        seed: of the reorderings.
        n_components: principal components in the Procrustes comparison; None for all of them.

    Raises:
        EmotionInterpError: fewer than two spaces; a pair that shares fewer than 5 emotions, or is constant over them.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(8, 3))
        >>> space = EmotionSpace(rows, list("abcdefgh"))
        >>> turned = EmotionSpace(5 * rows[:, [2, 0, 1]], list("abcdefgh"))
        >>> pair = compare_spaces({"one": space, "turned": turned}, n_permutations=199).pairs[0]
        >>> round(pair.cka, 6), round(pair.rsa_rho, 6), round(pair.procrustes_disparity, 6), pair.cka_p
        (1.0, 1.0, 0.0, 0.005)
    """
    if len(spaces) < 2:
        raise EmotionInterpError(f"a comparison needs at least two emotion spaces, got {len(spaces)}.")
    if n_permutations < 1:
        raise EmotionInterpError(f"n_permutations is at least 1, got {n_permutations}.")
    if n_components is not None and n_components < 1:
        raise EmotionInterpError(f"n_components is at least 1, or None for all, got {n_components}.")
    names = [str(name) for name in spaces]
    orders: dict[int, np.ndarray] = {}
    records = []
    for (first, one_space), (second, two) in combinations(zip(names, spaces.values(), strict=True), 2):
        shared = [e for e in one_space.emotions if e in set(two.emotions)]
        if len(shared) < MIN_SHARED:
            raise EmotionInterpError(
                f"{first!r} and {second!r} share {len(shared)} emotions ({', '.join(shared) or 'none'}); a comparison "
                f"needs {MIN_SHARED}."
            )
        n = len(shared)
        orders.setdefault(n, permutations(n, n_permutations, seed))
        records.append(_pair(first, second, one_space.subset(shared), two.subset(shared), orders[n], n_components))
    return SpaceComparison(tuple(records), tuple(names), n_permutations, n_components, seed)


def _pair(
    first: str, second: str, one: EmotionSpace, two: EmotionSpace, orders: np.ndarray, n_components: int | None
) -> PairComparison:
    identity = np.arange(orders.shape[1])[None]
    grams = _unit_gram(one), _unit_gram(two)
    cka = float(_alignments(*grams, identity)[0])
    models = rsa.model_dissimilarity(one), rsa.model_dissimilarity(two)
    rho = rsa.spearman(*models)
    points = _unit_points(one, n_components), _unit_points(two, n_components)
    disparity = float(_disparities(*points, identity)[0])
    return PairComparison(
        first,
        second,
        float(np.clip(cka, 0, 1)),
        permutation_p(cka, _alignments(*grams, orders)),
        rho,
        permutation_p(rho, rsa.mantel_null(models[0][None], models[1], orders)[:, 0]),
        float(np.clip(disparity, 0, 1)),
        permutation_p(-disparity, -_disparities(*points, orders)),
        orders.shape[1],
    )


def _unit_gram(space: EmotionSpace) -> np.ndarray:
    """Inner products of the centred vectors, at unit Frobenius norm: [emotion, emotion]."""
    # scaled first: vectors near the largest float would overflow when squared
    centred = space.centred / np.abs(space.centred).max()
    gram = centred @ centred.T
    return gram / np.linalg.norm(gram)


def _alignments(first: np.ndarray, second: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Linear CKA for each reordering of the second space, [permutation]."""
    n = len(first)
    values = np.empty(len(orders))
    step = max(1, _CHUNK // n**2)
    for start in range(0, len(orders), step):
        block = orders[start : start + step]
        values[start : start + step] = second[block[:, :, None], block[:, None, :]].reshape(-1, n * n) @ first.ravel()
    return values


def _unit_points(space: EmotionSpace, n_components: int | None) -> np.ndarray:
    """The first principal component scores, at unit Frobenius norm: [emotion, component]."""
    left, singular, _ = np.linalg.svd(space.centred, full_matrices=False)
    scores = (left * (singular / singular[0]))[:, :n_components]
    return scores / np.linalg.norm(scores)


def _disparities(first: np.ndarray, second: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Procrustes disparity for each reordering of the second space, [permutation]."""
    products = np.einsum("ni,mnj->mij", first, second[orders], optimize=True)
    return 1 - np.linalg.svd(products, compute_uv=False).sum(axis=1) ** 2
