"""Where a sweep stands: running, finished or stopped, as its folder alone says it; nothing is loaded and nothing planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import FileFormatError
from emotion_interp.core.markup import clean
from emotion_interp.core.result import Result
from emotion_interp.study.sweep_store import SweepFolder


@dataclass(frozen=True, eq=False, repr=False)
class SweepStatus(Result):
    """One row per subject and stage: units done, running, failed and in all, their seconds, tokens a second.

    `state`: "running", "finished", or "stopped" (killed, interrupted, or ended with failures: the same command goes on);
    `holder`: process, host and time of who runs it; `running`: what is being done now; `failed`: what failed, and why.
    """

    frame: pd.DataFrame
    state: str
    holder: Mapping[str, object]
    running: tuple[str, ...]
    failed: Mapping[str, str]

    @property
    def line(self) -> str:
        """All of it in one line."""
        frame = self.frame
        done, total = (int(frame[name].to_numpy().sum()) for name in ("done", "units"))
        who = ""
        if self.holder:
            who = f" by process {self.holder.get('pid')} on {clean(self.holder.get('host'))} since {clean(self.holder.get('since'))}"
        failed = f", {len(self.failed)} failed" if self.failed else ""
        more = "; run the same command again to go on" if self.state == "stopped" else ""
        return f"{self.state}{who}: {done} of {total} units done{failed}{more}."

    def __repr__(self) -> str:
        return f"SweepStatus({self.line})"


@checked
def sweep_status(path: str | Path) -> SweepStatus:
    """Where the sweep in a folder stands; it may be running, on this or another machine.

    Args:
        path: its folder.

    Raises:
        FileFormatError: no sweep lies there.

    Example:
        >>> import emotion_interp as ei
        >>> ei.sweep_status("runs/layers").state  # doctest: +SKIP
        'running'
    """
    folder = SweepFolder(path)
    record = folder.record()
    if not record:
        raise FileFormatError(f"{path} is no folder of a sweep; `emotion-interp sweep` makes one.")
    holder = folder.holder()
    events = _events(folder)
    rows: dict[tuple[str, str], dict[str, float]] = {}
    running, failed, all_done = [], {}, True
    for unit, stage, subject, kind, position, seed, shard in record["units"]:
        row = rows.setdefault((subject, stage), dict.fromkeys(_COUNTS, 0))
        row["units"] += 1
        facts = folder.facts(unit)
        last = events.get(unit, {})
        title = f"{subject}: {stage} of {kind}, " + (f"shard {shard + 1}" if shard >= 0 else f"{position}, seed {seed}")
        all_done = all_done and facts is not None
        if facts is not None:
            row["done"] += 1
            row["seconds"] += float(facts.get("seconds") or 0)
            row["tokens"] += int(facts.get("n_tokens") or 0)
        elif last.get("event") == "failed":
            row["failed"] += 1
            failed[title] = str(last.get("error"))
        elif holder is not None and last.get("event") == "start":
            row["running"] += 1
            running.append(title)
    frame = pd.DataFrame([{"subject": subject, "stage": stage, **row} for (subject, stage), row in rows.items()])
    speed = frame["tokens"] / frame["seconds"].where(frame["seconds"] > 0)
    frame = frame.drop(columns="tokens").assign(tokens_per_second=speed.where(frame["tokens"] > 0))
    state = "running" if holder is not None else "finished" if all_done and record.get("tables") else "stopped"
    return SweepStatus(frame, state, holder or {}, tuple(running), failed)


_COUNTS = ("units", "done", "running", "failed", "seconds", "tokens")


def _events(folder: SweepFolder) -> dict[str, dict[str, Any]]:
    """The last event of each unit since the sweep was started last."""
    found: dict[str, dict[str, object]] = {}
    for row in folder.journal():
        if row.get("event") == "run":
            found = {}
        elif isinstance(row.get("unit"), str):
            found[row["unit"]] = row
    return found
