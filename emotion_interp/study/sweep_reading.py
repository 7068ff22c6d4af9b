"""Units that read: one shard of stimuli through one subject, and the rows of many shards joined again exactly."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from emotion_interp.activations.forks import SharedPass
from emotion_interp.activations.forward import forward_pass
from emotion_interp.activations.options import ReadOptions
from emotion_interp.activations.reading import SINK_FACTOR, SiteReadings
from emotion_interp.activations.several import SeveralReadings, read_several
from emotion_interp.activations.spill import SPILL_BYTES, Spool, let_go, streamed_median
from emotion_interp.core.errors import tell
from emotion_interp.core.types import Site
from emotion_interp.stats.sparse import Sparse, by_rows
from emotion_interp.study.sweep_plan import Shard, Stimuli

if TYPE_CHECKING:
    from emotion_interp.study.sweep_file import SweepFile
    from emotion_interp.subjects import Subject

FILE = "readings.safetensors"
_SPARSE = ("features", "fired")


def read_shard(
    subject: Subject, sites: Sequence[Site], shard: Shard, file: SweepFile, batch_tokens: int
) -> tuple[SeveralReadings, dict[str, int | str]]:
    """Read one shard; where memory runs out, again with half the batch. Returns the readings and how they were made."""
    texts, spans, cells = [], [], []
    for number, cell in enumerate(shard.cells):
        for text, start, end in cell.stimuli:
            texts.append(text)
            spans.append((start, end))
            cells.append(number)
    tokens, shared = batch_tokens, SharedPass()
    run = forward_pass if file.reading.prefixes == "never" else shared
    positions = file.places(shard.kind)
    while True:
        try:
            how = ReadOptions(batch_tokens=tokens)
            found = read_several(subject, texts, cells, spans, sites, positions, run=run, options=how)
            break
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or tokens <= 1:
                raise
            tokens = max(1, tokens // 2)
        # outside of the handler, which holds the frames whose tensors are to go
        _free(subject)
    if tokens < batch_tokens:
        tell(f"out of memory: {subject.name} is read in batches of {tokens} tokens from here on, not {batch_tokens}.")
    computed = shared.facts.n_computed if shared.facts.shared else found.n_tokens
    facts = {"n_stimuli": len(texts), "n_tokens": found.n_tokens, "n_computed": computed, "batch_tokens": tokens}
    ways = ["halved"] * (tokens < file.reading.batch_tokens) + ["shared"] * shared.facts.shared
    return found, facts | {"reading": "+".join(ways) or "plain"}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "not enough memory" in said


def _free(subject: Subject) -> None:
    if subject.device.type == "cuda":
        import torch

        torch.cuda.empty_cache()


def save_readings(place: Path, found: SeveralReadings) -> None:
    """Write the readings of a shard as plain arrays."""
    arrays: dict[str, np.ndarray] = {"token_cells": found.token_units.astype(np.int32)}
    for point, norms in found.norms.items():
        arrays[f"norms|{point}"] = norms
    for position, by_site in found.readings.items():
        for site, reading in by_site.items():
            arrays.setdefault(f"dense|{position}|{site.point}", reading.dense)
            for name in _SPARSE:
                matrix: Any = getattr(reading, name)
                if matrix is not None:
                    parts = {"data": matrix.data, "indices": matrix.indices.astype(np.int32), "indptr": matrix.indptr}
                    arrays |= {f"{name}|{position}|{site}|{part}": array for part, array in parts.items()}
                    arrays[f"width|{site}"] = np.asarray([matrix.shape[1]])
            reading.rest()
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, place / FILE)
    except SafetensorError as error:
        # its own kind of error hides a full disk
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def joined_readings(
    shards: Sequence[tuple[Shard, Path]], units: Sequence[Stimuli], sites: Sequence[Site], position: str
) -> dict[Site, SiteReadings]:
    """The readings of a design's units from the shards that hold them, as one pass over all of them would have them.

    A row is taken as it was read, and no sum runs over two shards: nothing depends on how many there are.

    Args:
        shards: each shard with the file of its readings.
        units: the stimuli of each unit, in order.
        sites: where.
        position: which tokens.
    """
    rows = _Rows(shards, units)
    n_stimuli = np.asarray([len(stimuli) for stimuli in units])
    # beside them stand the bank's own tables
    limit = SPILL_BYTES // (12 * len(sites))
    found: dict[Site, SiteReadings] = {}
    scales: dict[Site, float] = {}
    dense: dict[Site, np.ndarray] = {}
    for site in sites:
        point = site.point
        if point not in dense:
            dense[point] = rows.dense(f"dense|{position}|{point}", limit)
            scales[point] = rows.scale(f"norms|{point}", limit)
        features, fired = (rows.sparse(f"{name}|{position}|{site}", f"width|{site}", limit) for name in _SPARSE)
        found[site] = SiteReadings(site, features, fired, dense[point], scales[point], n_stimuli)
        found[site].rest()
    return found


class _Rows:
    """Where the units of a design lie in the shards."""

    def __init__(self, shards: Sequence[tuple[Shard, Path]], units: Sequence[Stimuli]) -> None:
        places: dict[Stimuli, tuple[int, int]] = {}
        for number, (shard, _) in enumerate(shards):
            places |= {cell.stimuli: (number, row) for row, cell in enumerate(shard.cells)}
        wanted = [places[stimuli] for stimuli in units]
        # a text that stands for two words is one row of the shard and two of the design
        self.order = np.asarray(sorted(range(len(wanted)), key=wanted.__getitem__))
        self.shards = shards
        self.rows: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(shards)
        for number in range(len(shards)):
            self.rows[number] = np.asarray([wanted[i][1] for i in self.order if wanted[i][0] == number], dtype=np.int64)
        self.in_order = bool((np.diff(self.order) > 0).all())

    def _parts(self) -> Iterator[tuple[Any, np.ndarray]]:
        for (_, path), rows in zip(self.shards, self.rows, strict=True):
            if len(rows):
                with safe_open(path, framework="numpy") as arrays:
                    yield arrays, rows

    def dense(self, name: str, limit: int) -> np.ndarray:
        spool, width = Spool(np.float32, limit), 0
        for arrays, rows in self._parts():
            values = arrays.get_tensor(name)[rows]
            spool.append(values)
            width = values.shape[1]
        together = spool.array().reshape(-1, width)
        return together if self.in_order else together[np.argsort(self.order)]

    def scale(self, name: str, limit: int) -> float:
        """Median norm of the tokens of the units, without sinks; a row that is two units counts twice."""
        spool = Spool(np.float32, limit)
        for arrays, rows in self._parts():
            cells, norms = arrays.get_tensor("token_cells"), arrays.get_tensor(name)
            times = np.bincount(rows, minlength=int(cells.max(initial=0)) + 1)[cells]
            spool.append(np.repeat(norms, times))
        return float(streamed_median(spool, SINK_FACTOR * streamed_median(spool)))

    def sparse(self, name: str, width_name: str, limit: int) -> Sparse:
        data, indices = Spool(np.float32, limit // 2), Spool(np.int32, limit // 2)
        counts, width = [np.zeros(1, dtype=np.int64)], 0
        for arrays, rows in self._parts():
            width = int(arrays.get_tensor(width_name)[0])
            parts = [arrays.get_tensor(f"{name}|{part}") for part in ("data", "indices", "indptr")]
            matrix = by_rows((parts[0], parts[1], parts[2]), (len(parts[2]) - 1, width))
            if not (len(rows) == matrix.shape[0] and bool((np.diff(rows) == 1).all())):
                matrix = matrix[rows]
            data.append(matrix.data)
            indices.append(matrix.indices)
            counts.append(np.diff(matrix.indptr))
        starts = np.cumsum(np.concatenate(counts), dtype=np.int64)
        joined = by_rows((data.array(), indices.array(), starts), (len(starts) - 1, width))
        joined.has_sorted_indices = joined.has_canonical_format = True
        if not self.in_order:
            joined = joined[np.argsort(self.order)]
        let_go(joined.data, joined.indices)
        return joined


def how_read(facts: Sequence[Mapping[str, object]]) -> str:
    """How the shards of a table were read: "plain" (exact), or what makes it equal to 1e-5 only: "shared", "halved"."""
    return "+".join(sorted({part for fact in facts for part in str(fact["reading"]).split("+")} - {"plain"})) or "plain"
