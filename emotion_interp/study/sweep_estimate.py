"""What a sweep will take before it is started: units, tokens, time and memory from a short calibration."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emotion_interp.activations.options import ReadOptions
from emotion_interp.activations.prefixes import prefix_plan
from emotion_interp.activations.several import read_several
from emotion_interp.core.arguments import checked
from emotion_interp.core.result import Result
from emotion_interp.study.sweep_check import read_sweep
from emotion_interp.study.sweep_plan import READ, Shard, SweepPlan, sweep_plan
from emotion_interp.study.sweep_run import place_of
from emotion_interp.study.sweep_store import SweepFolder
from emotion_interp.study.sweep_subjects import load_entry, sites_of
from emotion_interp.study.sweep_work import peak_mb, threads_pinned

if TYPE_CHECKING:
    from emotion_interp.subjects import Subject

_SAMPLE = 48
"""Stimuli that a calibration reads."""


@dataclass(frozen=True, eq=False, repr=False)
class SweepEstimate(Result):
    """One row per subject and stage: units, how many of them are done, tokens, tokens that are run (fewer where beginnings
    are shared), seconds that are left on one worker (NaN where nothing was measured), MiB of memory of a worker."""

    frame: pd.DataFrame

    def __repr__(self) -> str:
        left = self.frame["seconds_left"].sum()
        return (
            f"SweepEstimate({int((self.frame['units'] - self.frame['done']).sum())} units left, {left:,.0f} s measured)"
        )


@checked
def sweep_estimate(path: str | Path, out: str | Path | None = None, *, calibrate: bool = True) -> SweepEstimate:
    """What a sweep.toml will take; nothing of it is done and nothing is written.

    The tokens of every stimulus are counted. A few stimuli are read with each subject that has shards left, and the
    seconds of the others follow from their tokens; those of an analysis are the median of its finished units.

    Args:
        path: the sweep.toml.
        out: folder, as for `sweep`: what is done there is not counted.
        calibrate: load the subjects and measure; else only what needs none.

    Raises:
        FileFormatError: the file is wrong; every mistake with its line.

    Example:
        >>> import emotion_interp as ei
        >>> ei.sweep_estimate("sweep.toml").to_frame()  # doctest: +SKIP
    """
    file = read_sweep(path)
    plan, folder = sweep_plan(file), SweepFolder(place_of(file, path, out))
    rows = []
    for entry in file.subjects:
        own = [unit for unit in plan.by_id.values() if unit.subject == entry.called]
        reads = [unit for unit in own if unit.stage == READ and folder.facts(unit.id) is None]
        shards = [plan.shards[unit.shard] for unit in reads]
        measured = _calibrated(plan, entry.called, shards) if calibrate and shards else {}
        for stage in dict.fromkeys(unit.stage for unit in own):
            units = [unit for unit in own if unit.stage == stage]
            facts = [fact for fact in (folder.facts(unit.id) for unit in units) if fact is not None]
            row = {"subject": entry.called, "stage": stage, "units": len(units), "done": len(facts)}
            if stage == READ:
                row |= {"stimuli": sum(shard.n_stimuli for shard in shards), **measured}
            elif facts:
                each = float(np.median([fact["seconds"] for fact in facts]))
                row["seconds_left"] = each * (len(units) - len(facts))
                row["memory_mb"] = max(fact["peak_mb"] for fact in facts)
            if len(facts) == len(units):
                row["seconds_left"] = 0.0
            rows.append(row)
    columns = ("subject", "stage", "units", "done", "stimuli", "tokens", "tokens_run", "seconds_left", "memory_mb")
    return SweepEstimate(pd.DataFrame(rows).reindex(columns=list(columns)))


def _calibrated(plan: SweepPlan, name: str, shards: Sequence[Shard]) -> dict[str, Any]:
    """Tokens of some shards, and what reading them will take."""
    entry, reading = plan.entry(name), plan.file.reading
    with threads_pinned(plan.file.engine.threads):
        subject = load_entry(entry)
        tokens = run = 0
        for shard in shards:
            ids = [text.ids for text in subject.tokenize_quietly([s[0] for cell in shard.cells for s in cell.stimuli])]
            found = prefix_plan(ids)
            tokens += found.n_tokens
            shared = found.pays and reading.prefixes == "auto" and subject.backend == "bridge"
            run += found.n_computed if shared else found.n_tokens
        seconds = _seconds_per_token(subject, plan, entry.called, shards) * run
        memory = peak_mb()
    del subject
    gc.collect()
    return {"tokens": tokens, "tokens_run": run, "seconds_left": round(seconds, 1), "memory_mb": memory}


def _seconds_per_token(subject: Subject, plan: SweepPlan, name: str, shards: Sequence[Shard]) -> float:
    """Of a plain pass over stimuli from all over the shards; the first pass, which also warms up, does not count."""
    every = [stimulus for shard in shards for cell in shard.cells for stimulus in cell.stimuli]
    chosen = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, _SAMPLE).astype(int))]
    sites = sites_of(plan.entry(name), subject)
    texts, spans = [s[0] for s in chosen], [(s[1], s[2]) for s in chosen]
    positions = plan.file.places(shards[0].kind)
    spent = 0.0
    for part in (slice(0, 4), slice(None)):
        began = time.perf_counter()
        units = np.arange(len(texts[part]))
        how = ReadOptions(batch_tokens=plan.file.reading.batch_tokens)
        found = read_several(subject, texts[part], units, spans[part], sites, positions, options=how)
        spent = (time.perf_counter() - began) / found.n_tokens
    return spent
