"""Arrays that grow with the stimuli: in memory up to a limit, beyond it in a temporary file without a name.

The system drops such a file when nothing maps it any more: after the last use, after an error, after a kill.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.stats.sparse import Sparse, by_rows

SPILL_BYTES = 32 * 2**20
"""Bytes of readings one pass keeps in memory."""

_CHUNK = 2**20


def _temporary_file(n_bytes: int) -> IO[bytes]:
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as its readings
        file.truncate(n_bytes)
    except OSError as error:
        raise _no_room(error) from error
    return file


def _no_room(error: OSError) -> EmotionInterpError:
    return EmotionInterpError(
        f"readings beyond the memory budget go to the temporary folder, and that failed ({error}). "
        "Make room there, name another folder in TMPDIR, or allow more memory with spill_bytes=."
    )


def let_go(*arrays: np.ndarray) -> None:
    """Give back the memory of spilled arrays' pages; they stay in their file, and come back when they are read again."""
    for array in arrays:
        source: object = array
        while isinstance(source, np.ndarray):
            source = source.base
        source = getattr(source, "obj", source)
        if isinstance(source, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            source.madvise(mmap.MADV_DONTNEED)


class Spool:
    """Values of one type, appended piece by piece; the pieces in memory are written away when they pass `limit` bytes."""

    def __init__(self, dtype: type[np.generic] | np.dtype, limit: int) -> None:
        self.dtype, self.limit = np.dtype(dtype), limit
        self.size = 0
        self._parts: list[np.ndarray] = []
        self._waiting = self._written = 0
        self._file: IO[bytes] | None = None

    @property
    def on_disk(self) -> bool:
        return self._file is not None

    def append(self, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values, dtype=self.dtype).ravel()
        if not len(values):
            return
        # a view would keep the whole array it came from
        self._parts.append(values.copy() if values.base is not None else values)
        self.size += len(values)
        self._waiting += values.nbytes
        if self._waiting > self.limit:
            self._write()

    def _write(self) -> None:
        if self._file is None:
            self._file = _temporary_file(0)
        try:
            self._file.seek(self._written)
            for part in self._parts:
                self._file.write(part.data.cast("B"))
            self._file.flush()
        except OSError as error:
            raise _no_room(error) from error
        self._written += self._waiting
        self._parts, self._waiting = [], 0

    def read(self, start: int, stop: int) -> np.ndarray:
        """Values start .. stop, in memory."""
        if self._file is None:
            if len(self._parts) > 1:
                self._parts = [np.concatenate(self._parts)]
            return self._parts[0][start:stop] if self._parts else np.empty(0, self.dtype)
        if self._parts:
            self._write()
        self._file.seek(start * self.dtype.itemsize)
        return np.frombuffer(self._file.read((stop - start) * self.dtype.itemsize), dtype=self.dtype)

    def chunks(self) -> Iterator[np.ndarray]:
        for start in range(0, self.size, _CHUNK):
            yield self.read(start, min(start + _CHUNK, self.size))

    def array(self) -> np.ndarray:
        """Everything: in memory, or read from the file as it is asked for (read-only)."""
        if self._file is None:
            return self.read(0, self.size)
        if self._parts:
            self._write()
        return np.frombuffer(mmap.mmap(self._file.fileno(), self._written, access=mmap.ACCESS_READ), dtype=self.dtype)


class DenseSums:
    """Sums of rows [unit, dimension] in float64; rows come in any order."""

    def __init__(self, n_units: int, limit: int) -> None:
        self.n_units, self.limit = n_units, limit
        self.sums: np.ndarray | None = None
        self._map: mmap.mmap | None = None
        self._touched = 0

    def add(self, units: np.ndarray, rows: np.ndarray) -> None:
        if self.sums is None:
            self.sums = self._zeros(rows.shape[1])
        np.add.at(self.sums, units, rows.astype(np.float64))
        self._relax(len(units))

    def _zeros(self, width: int) -> np.ndarray:
        size = self.n_units * width * 8
        if size <= self.limit:
            return np.zeros((self.n_units, width))
        file = _temporary_file(size)
        self._map = mmap.mmap(file.fileno(), size)
        return np.frombuffer(self._map, dtype=np.float64).reshape(self.n_units, width)

    def _relax(self, rows: int) -> None:
        """Let go of the file's pages now and then: they stay in the file."""
        assert self.sums is not None
        # a row touches one page at least
        self._touched += rows * max(mmap.PAGESIZE, self.sums.shape[1] * 8)
        if self._map is not None and self._touched > self.limit and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

    def means(self, n_stimuli: np.ndarray) -> np.ndarray:
        """Mean rows [unit, dimension], float32; the sums are given up."""
        assert self.sums is not None
        width = self.sums.shape[1]
        means = Spool(np.float32, self.limit)
        step = max(1, _CHUNK // width)
        for start in range(0, self.n_units, step):
            block = slice(start, start + step)
            means.append(self.sums[block] * (1.0 / np.maximum(n_stimuli[block], 1))[:, None])
            self._relax(min(step, self.n_units - start))
        self.sums = self._map = None
        return means.array().reshape(self.n_units, width)


class SparseRows:
    """Sparse rows, one per stimulus, gathered by unit at the end.

    Rows wait in memory; beyond `limit` bytes they are ordered by unit and written away. At the end a range of units at
    a time is read from every such piece and summed in the order in which the stimuli came, whatever the limit.
    """

    def __init__(self, n_units: int, n_columns: int, limit: int) -> None:
        self.shape, self.limit = (n_units, n_columns), limit
        self.columns, self.values = Spool(np.int32, 0), Spool(np.float32, 0)
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        self._bytes = self._written = 0
        # of each piece: units of its rows in order, and where each row starts
        self._pieces: list[tuple[np.ndarray, np.ndarray]] = []
        self._last: Sparse | None = None

    def add(self, units: np.ndarray, row: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
        """Add rows: the unit of each, and its entries as (row, column, value) in order of rows."""
        counts = np.bincount(row, minlength=len(units)).astype(np.int32)
        part = units.astype(np.int32), counts, columns.astype(np.int32), values.astype(np.float32)
        self._waiting.append(part)
        self._bytes += sum(x.nbytes for x in part)
        if self._bytes > self.limit:
            matrix = self._piece()
            self.columns.append(matrix.indices)
            self.values.append(matrix.data)
            self._written += matrix.nnz

    def _piece(self) -> Sparse:
        """What waits as one matrix whose rows are ordered by unit."""
        units, counts, columns, values = (np.concatenate(x) for x in zip(*self._waiting, strict=True))
        self._waiting, self._bytes = [], 0
        starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        matrix = by_rows((values, columns, starts), (len(units), self.shape[1]))
        order = np.argsort(units, kind="stable")
        if (np.diff(order) != 1).any():
            matrix = matrix[order]
        self._pieces.append((units[order], self._written + matrix.indptr.astype(np.int64)))
        return matrix

    def means(self, n_stimuli: np.ndarray) -> tuple[Sparse, Sparse]:
        """Mean value and share of stimuli with a value: sparse float32 [unit, column] each; the rows are given up."""
        if self._waiting:
            self._last = self._piece()
        n_units = self.shape[0]
        entries = np.zeros(n_units, dtype=np.int64)
        for units, starts in self._pieces:
            entries += np.bincount(units, weights=np.diff(starts), minlength=n_units).astype(np.int64)
        matrices = [_GrowingCsr(self.shape, self.limit) for _ in range(2)]
        reached, first = np.cumsum(entries), 0
        while first < n_units:
            before = int(reached[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(reached, before + _CHUNK // 4, side="right")))
            for result, total in zip(matrices, self._sum_units(first, last), strict=True):
                weights = 1.0 / np.maximum(n_stimuli[first:last], 1)
                result.append(total, np.repeat(weights, np.diff(total.indptr)))
            first = last
        self.columns = self.values = Spool(np.int32, 0)
        self._pieces, self._last = [], None
        features, fired = (result.matrix() for result in matrices)
        return features, fired

    def _sum_units(self, first: int, last: int) -> tuple[Sparse, Sparse]:
        """Sum and number of values of the units first .. last: [unit, column] in float64 each."""
        unit_parts, counts, columns, values = [], [], [], []
        for units, starts in self._pieces:
            low, high = np.searchsorted(units, [first, last])
            start, stop = int(starts[low]), int(starts[high])
            unit_parts.append(units[low:high] - first)
            counts.append(np.diff(starts[low : high + 1]))
            if start >= self._written and self._last is not None:
                columns.append(self._last.indices[start - self._written : stop - self._written])
                values.append(self._last.data[start - self._written : stop - self._written])
            else:
                columns.append(self.columns.read(start, stop))
                values.append(self.values.read(start, stop))
        unit, column = np.concatenate(unit_parts), np.concatenate(columns)
        starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        rows = by_rows((np.concatenate(values).astype(np.float64), column, starts), (len(unit), self.shape[1]))
        gather = by_rows((np.ones(len(unit)), (unit, np.arange(len(unit)))), (last - first, len(unit)))
        total = gather @ rows
        rows.data[:] = 1.0
        number = gather @ rows
        total.sort_indices()
        number.sort_indices()
        return total, number


class _GrowingCsr:
    """A sparse float32 matrix built from the top down."""

    def __init__(self, shape: tuple[int, int], limit: int) -> None:
        self.shape = shape
        self.data, self.indices = Spool(np.float32, limit // 2), Spool(np.int32, limit // 2)
        self.counts: list[np.ndarray] = []

    def append(self, rows: Sparse, weights: np.ndarray) -> None:
        self.data.append(rows.data * weights)
        self.indices.append(rows.indices)
        self.counts.append(np.diff(rows.indptr))

    def matrix(self) -> Sparse:
        starts = np.concatenate([[0], np.cumsum(np.concatenate(self.counts), dtype=np.int64)])
        matrix = by_rows((self.data.array(), self.indices.array(), starts), self.shape)
        # true by construction; asking scipy would read everything
        matrix.has_sorted_indices = matrix.has_canonical_format = True
        return matrix


def streamed_median(spool: Spool, at_most: float | np.floating = np.inf) -> np.float32:
    """Exact median of those values (float32, not negative) that are at most a limit, without holding all of them.

    The bits of such floats are ordered as the floats are, so two histograms of 16 bits each find any rank.
    """
    kept = lambda chunk: chunk[chunk <= np.float32(at_most)].view(np.uint32)  # noqa: E731
    high = np.zeros(2**16, dtype=np.int64)
    for chunk in spool.chunks():
        high += np.bincount(kept(chunk) >> 16, minlength=2**16)
    reached = np.cumsum(high)
    n = int(reached[-1])
    low: dict[int, np.ndarray] = {}
    middle = []
    for rank in ((n - 1) // 2, n // 2):
        place = int(np.searchsorted(reached, rank, side="right"))
        if place not in low:
            low[place] = np.zeros(2**16, dtype=np.int64)
            for chunk in spool.chunks():
                bits = kept(chunk)
                low[place] += np.bincount(bits[(bits >> 16) == place] & 0xFFFF, minlength=2**16)
        within = rank - (int(reached[place]) - int(high[place]))
        tail = int(np.searchsorted(np.cumsum(low[place]), within, side="right"))
        middle.append(np.uint32(place << 16 | tail).view(np.float32))
    return np.float32(np.mean(np.asarray(middle, dtype=np.float32)))
