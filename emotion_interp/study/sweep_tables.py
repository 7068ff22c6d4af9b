"""The tables of a sweep: one tidy parquet per analysis, joined from its units in the order of the plan."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from emotion_interp.core.files import atomic_file, sha256_file
from emotion_interp.core.parquet import read_parquet
from emotion_interp.study.sweep_store import SOURCES

if TYPE_CHECKING:
    from emotion_interp.study.sweep_plan import SweepPlan
    from emotion_interp.study.sweep_store import SweepFolder

KEYS = ("subject", "stimuli", "position", "seed")
"""What each row of every table says of where it comes from, beside `depth` and `reading`."""


def write_tables(plan: SweepPlan, folder: SweepFolder) -> dict[str, str]:
    """Join the finished units and write each table that has any; returns the digest of each file.

    The columns `subject`, `stimuli`, `position` and `seed` name the unit, `depth` is a layer's place in its model ((layer
    + 1) / layers: 1 is the last), and `reading` says "plain" where the numbers are those of one pass to the last bit, else
    what makes them equal to 1e-5 ("shared" prefixes, a "halved" batch).
    """
    digests = {}
    for name, (stage, file) in SOURCES.items():
        parts = list(_parts(plan, folder, stage, file))
        if parts:
            digests[f"{name}.parquet"] = _write(folder.path / f"{name}.parquet", parts)
    rows = [_unit_row(plan, folder, unit.id) for unit in plan.units if folder.is_done(unit.id)]
    if rows:
        digests["units.parquet"] = _write(folder.path / "units.parquet", [pd.DataFrame(rows)])
    return digests


def _write(path: Path, parts: list[pd.DataFrame]) -> str:
    whole = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    with atomic_file(path) as temporary:
        whole.to_parquet(temporary, index=False)
    return sha256_file(path)


def _parts(plan: SweepPlan, folder: SweepFolder, stage: str, file: str) -> Iterable[pd.DataFrame]:
    for unit in plan.units:
        place = folder.place(unit.id) / file
        if unit.stage != stage or not folder.is_done(unit.id) or not place.is_file():
            continue
        frame, facts = read_parquet(place), folder.facts(unit.id) or {}
        tags = dict(zip(KEYS, (unit.subject, unit.kind, unit.position, unit.seed), strict=True))
        for number, (name, value) in enumerate(tags.items()):
            frame.insert(number, name, value)
        if "layer" in frame:
            frame["depth"] = (frame["layer"].astype(float) + 1) / float(facts["n_layers"])
        frame["reading"] = facts.get("reading", "plain")
        yield frame


def _unit_row(plan: SweepPlan, folder: SweepFolder, unit_id: str) -> dict[str, object]:
    """What the table of units says of one."""
    unit, facts = plan.by_id[unit_id], folder.facts(unit_id) or {}
    names = ("seconds", "reading", "n_stimuli", "n_tokens", "n_computed", "batch_tokens", "threads", "device", "host")
    told = {
        "unit": unit.id,
        "stage": unit.stage,
        **dict(zip(KEYS, (unit.subject, unit.kind, unit.position, unit.seed))),
    }
    return {**told, "shard": unit.shard, **{name: facts.get(name) for name in (*names, "peak_mb")}}
