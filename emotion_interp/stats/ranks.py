"""AUROC from ranks: columns are sorted once, and what is zero (most of an SAE's activations) is counted, not sorted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from emotion_interp.stats.sparse import Matrix, by_columns

_CELLS = 4_000_000
"""Dense cells of the columns that are worked on at a time."""


class RankedColumns:
    """Columns of activations, ranked: pairwise AUROCs of any class cost one pass over what is stored.

    Args:
        values: activations [unit, column], dense or scipy.sparse (what is not stored is zero).
        codes: class of each unit, 0 .. n_classes-1.
        n_classes: number of classes.

    Every number equals that of comparing all pairs: wins and ties are counted, and halves are exact in binary.
    """

    def __init__(self, values: Matrix, codes: np.ndarray, n_classes: int) -> None:
        matrix = by_columns(values)
        matrix.eliminate_zeros()
        codes, n_columns = np.asarray(codes), np.shape(values)[1]
        self._n, self._shape = n_classes, (n_classes, n_columns)
        self.sizes = np.bincount(codes, minlength=n_classes)
        column = np.repeat(np.arange(n_columns), np.diff(matrix.indptr))
        order = np.lexsort((matrix.data, column))
        value, self._column = matrix.data[order], column
        self._code = codes[matrix.indices[order]]
        self._starts = matrix.indptr[:-1].astype(np.int64)
        self._above_zero = value > 0
        # ties: stored elements of one column with one value, from its first to its last place
        new = np.ones(len(value), dtype=bool)
        new[1:] = (value[1:] != value[:-1]) | (column[1:] != column[:-1])
        tie = np.cumsum(new) - 1
        first = np.flatnonzero(new)
        self._first, self._last = first[tie], np.append(first[1:], len(value))[tie]
        stored = np.bincount(self._code * self._shape[1] + column, minlength=n_classes * self._shape[1])
        self._zeros = self.sizes[:, None] - stored.reshape(self._shape)

    def auroc(self, target: int) -> np.ndarray:
        """AUROC of one class against each class, ties counted half: [class, column]; NaN for empty classes and itself."""
        values = np.full(self._shape, np.nan)
        n_own = int(self.sizes[target])
        if not n_own:
            return values
        is_target = self._code == target
        before = np.append(0, np.cumsum(is_target))
        start = before[self._starts][self._column]
        silent = self._zeros[target]
        below = before[self._first] - start + np.where(self._above_zero, silent[self._column], 0)
        wins = n_own - below - 0.5 * (before[self._last] - before[self._first])
        place = self._code * self._shape[1] + self._column
        total = np.bincount(place, weights=wins, minlength=self._n * self._shape[1]).reshape(self._shape)
        firing = np.bincount(self._column[is_target & self._above_zero], minlength=self._shape[1])
        total = total + self._zeros * (firing + 0.5 * silent)
        present = self.sizes > 0
        values[present] = total[present] / (self.sizes[present, None] * n_own)
        values[target] = np.nan
        return values


def dense_parts(matrix: Matrix) -> Iterator[tuple[slice, np.ndarray]]:
    """Columns of a sparse matrix as dense float64 arrays, as many at a time as fit a fixed memory: (columns, [unit, column])."""
    columns = by_columns(matrix)
    n_rows, n_columns = np.shape(matrix)
    step = max(2, _CELLS // max(1, n_rows))
    for start in range(0, n_columns, step):
        part = slice(start, min(start + step, n_columns))
        yield part, columns[:, part].toarray(order="C").astype(np.float64)
