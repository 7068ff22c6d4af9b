"""Correlations averaged over folds, with their null and their interval.

Over all left-out predictions together r has a floor below 0: where a fold holds high values, the mean of the others, and
with it every prediction of the fold, is low (-.12 to -.17 on 192 words). Within a fold that does not show.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from emotion_interp.core.seeds import generator

_LEAST = 3
"""Rows of a fold that a correlation needs."""
_CHUNK = 8_000_000


def group_permutations(groups: Sequence[str], n_permutations: int, seed: int) -> np.ndarray:
    """Orders of the rows in which whole groups change places with groups of their own size, [permutation, row]."""
    _, inverse, sizes = np.unique(np.asarray(groups).astype(str), return_inverse=True, return_counts=True)
    rng = generator(seed, "permuted ratings", len(groups))
    by_group = np.argsort(inverse, kind="stable")
    starts = np.cumsum(sizes) - sizes
    orders = np.tile(np.arange(len(groups)), (n_permutations, 1))
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        places = by_group[starts[members][:, None] + np.arange(size)]
        for order in orders:
            # within a group the members change places too
            order[places] = rng.permuted(places[rng.permutation(len(members))], axis=1)
    return orders


class FoldScores:
    """Mean r over folds of one set of rows, weighted by their rows; with bootstrap and permutations.

    Args:
        groups: what is resampled as a whole.
        fold: fold of every word.
        n_bootstrap: resamples.
        seed: of the bootstrap.
    """

    def __init__(self, groups: Sequence[str], fold: np.ndarray, n_bootstrap: int, seed: int) -> None:
        self.members = [m for k in np.unique(fold) if len(m := np.flatnonzero(fold == k)) >= _LEAST]
        self.n_bootstrap, self.seed = n_bootstrap, seed
        self.inverse = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]

    def of(
        self, human: np.ndarray, predicted: np.ndarray, null_human: np.ndarray, null_predicted: np.ndarray
    ) -> dict[str, float]:
        """r, rho, r_lo, r_hi, p, r_null; NaN without predictions. `null_*` are [row, permutation]."""
        names: list[str] = ["r", "rho", "r_lo", "r_hi", "p", "r_null"]
        figures = dict.fromkeys(names, float("nan"))
        if not self.members or not np.isfinite(predicted).all():
            return figures
        figures["r"] = float(self._mean_r(human[:, None], predicted[:, None])[0])
        ranks = [np.empty(len(human)) for _ in range(2)]
        for held in self.members:
            for rank, values in zip(ranks, (human, predicted), strict=True):
                rank[held] = rankdata(values[held])
        figures["rho"] = float(self._mean_r(ranks[0][:, None], ranks[1][:, None])[0])
        if null_predicted.shape[1]:
            null = self._mean_r(null_human, null_predicted)
            figures["p"] = float((np.sum(null >= figures["r"] - 1e-12) + 1) / (len(null) + 1))
            figures["r_null"] = float(null.mean())
        if self.n_bootstrap:
            figures["r_lo"], figures["r_hi"] = (
                float(q) for q in np.quantile(self._bootstrap(human, predicted), [0.025, 0.975])
            )
        return figures

    def _mean_r(self, human: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Mean over folds of Pearson r for every column (a single column of targets stands for all)."""
        total, words = np.zeros(predicted.shape[1]), 0
        for held in self.members:
            x, y = predicted[held] - predicted[held].mean(axis=0), human[held] - human[held].mean(axis=0)
            scale = np.linalg.norm(x, axis=0) * np.linalg.norm(y, axis=0)
            products = (x * y).sum(axis=0)
            total += len(held) * np.divide(products, scale, out=np.zeros_like(products), where=scale > 1e-12)
            words += len(held)
        return np.clip(total / words, -1, 1)

    def _bootstrap(self, human: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Mean r over folds of resampled groups, [resample]."""
        totals, words = np.zeros(self.n_bootstrap), 0
        for number, held in enumerate(self.members):
            groups = np.unique(self.inverse[held], return_inverse=True)[1]
            count = int(groups.max()) + 1
            x, y = (v[held] - v[held].mean() for v in (predicted, human))
            moments = np.column_stack([np.ones(len(held)), x, y, x * x, y * y, x * y])
            per_group = np.zeros((count, 6))
            np.add.at(per_group, groups, moments)
            rng = generator(self.seed, "rated words", number, len(held))
            sums = np.empty((self.n_bootstrap, 6))
            step = max(1, _CHUNK // count)
            for start in range(0, self.n_bootstrap, step):
                size = min(step, self.n_bootstrap - start)
                drawn = rng.multinomial(count, np.full(count, 1 / count), size=size)
                sums[start : start + size] = drawn @ per_group
            n, sx, sy, sxx, syy, sxy = sums.T
            with np.errstate(invalid="ignore", divide="ignore"):
                varies = (sxx / n - (sx / n) ** 2) * (syy / n - (sy / n) ** 2)
                r = np.where(varies > 1e-14, (sxy / n - sx * sy / n**2) / np.sqrt(np.maximum(varies, 1e-14)), 0.0)
            totals += len(held) * r
            words += len(held)
        return totals / words
