"""Sparse matrices with types: scipy's own annotations leave open what an operation on one gives back."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix


class Sparse(Protocol):
    """What this package does with a matrix of scipy.sparse that is stored by rows or by columns."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    has_sorted_indices: bool
    has_canonical_format: bool

    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def nnz(self) -> int: ...
    @property
    def T(self) -> Sparse: ...
    def __getitem__(self, key: object, /) -> Sparse: ...
    def __matmul__(self, other: Sparse, /) -> Sparse: ...
    def __gt__(self, other: float, /) -> Sparse: ...
    def __ge__(self, other: float, /) -> Sparse: ...
    def multiply(self, other: object) -> Sparse: ...
    def mean(self, axis: int) -> np.ndarray: ...
    def sum(self, axis: int) -> np.ndarray: ...
    def toarray(self, order: str | None = None) -> np.ndarray: ...
    def astype(self, dtype: object) -> Sparse: ...
    def tocsr(self) -> Sparse: ...
    def tocsc(self) -> Sparse: ...
    def copy(self) -> Sparse: ...
    def sort_indices(self) -> None: ...
    def eliminate_zeros(self) -> None: ...


Matrix = np.ndarray | Sparse
"""Rows of numbers, dense or sparse."""


def by_rows(given: object, shape: tuple[int, int] | None = None) -> Sparse:
    """`scipy.sparse.csr_matrix` of a matrix, or of (values, (rows, columns)) or (values, columns, starts)."""
    return cast(Sparse, csr_matrix(given, shape=shape))


def by_columns(given: object) -> Sparse:
    """`scipy.sparse.csc_matrix` of a matrix."""
    return cast(Sparse, csc_matrix(given))


def dense(matrix: object) -> np.ndarray:
    """As an array of float64, copied only where it has to be."""
    toarray = getattr(matrix, "toarray", None)
    return np.asarray(matrix if toarray is None else toarray(), dtype=np.float64)
