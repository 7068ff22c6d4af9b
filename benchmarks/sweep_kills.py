"""Kills of a real sweep: `python -m benchmarks.sweep_kills [--engines local,ray] [--kills 20] [--seed 0]` (extra `ray`).

A sweep over the bundled subject (two languages, two positions, two seeds) runs in a process of its own with two workers. At
random moments a SIGKILL ends a worker or the whole sweep, which is then called again, so many times; after the last kill it
runs to its end. Its tables must be the bytes of those that one undisturbed process made, and its journal may have no unit as
done twice.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil

from benchmarks.tables import markdown, write
from emotion_interp.study.sweep_store import SweepFolder

TOML = """
languages = ["en", "zh"]
positions = ["last", "text"]
seeds = [0, 1]
analyses = ["features"]
[reading]
shard_kilobytes = 16
[[subjects]]
model = "bundled"
layers = [0, 1]
"""
RUN = (
    "import sys, emotion_interp as ei; ei.sweep(sys.argv[1], sys.argv[2], engine=sys.argv[3], workers=int(sys.argv[4]))"
)
LATEST = 4.0
"""Most seconds between a worker that is there and the kill."""


def workers_of(pid: int, engine: str) -> list[psutil.Process]:
    """The workers; of Ray's those that are at work on a unit, as it takes long until one is there."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    found = []
    for child in children:
        try:
            said = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if ("ray::RayWorker.do" in said) if engine == "ray" else ("spawn_main" in said or "forkserver" in said):
            found.append(child)
    return found


def ended_whole(process: subprocess.Popen[bytes]) -> None:
    """Kill a sweep at once, and then what it left of workers and of Ray, as the death of a machine would."""
    children = psutil.Process(process.pid).children(recursive=True)
    for one in (process, *children):
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()
    psutil.wait_procs(children, timeout=10)


def disturbed(place: Path, engine: str, kills: int, seed: int) -> dict[str, object]:
    """A sweep that is killed so often, and how it ended."""
    rng, folder, began = random.Random(seed), place / engine, time.monotonic()
    counts: Counter[str] = Counter()
    while True:
        command = [sys.executable, "-W", "ignore", "-c", RUN, str(place / "sweep.toml"), str(folder), engine, "2"]
        with (place / f"{engine}.txt").open("ab") as said:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        while process.poll() is None and counts.total() < kills:
            # the moments are counted from when there is something to kill
            while process.poll() is None and not workers_of(process.pid, engine):
                time.sleep(0.02)
            time.sleep(rng.uniform(0.1, LATEST))
            workers = workers_of(process.pid, engine)
            if process.poll() is not None:
                break
            if rng.random() < 0.5 or not workers:
                ended_whole(process)
                counts["the whole sweep"] += 1
                break
            victim = rng.choice(workers)
            if psutil.pid_exists(victim.pid):
                victim.kill()
                counts["a worker"] += 1
        if process.wait() == 0:
            break
        if process.returncode != -signal.SIGKILL:
            raise SystemExit(f"the sweep failed of itself:\n{(place / f'{engine}.txt').read_text()[-2000:]}")
    rows = SweepFolder(folder).journal()
    done = Counter(row["unit"] for row in rows if row["event"] == "done")
    return {
        "engine": engine,
        "kills": counts.total(),
        "of a worker": counts["a worker"],
        "of the whole sweep": counts["the whole sweep"],
        "units": len(SweepFolder(folder).record()["units"]),
        "done twice": sum(count > 1 for count in done.values()),
        "tries again": sum(row["event"] == "again" for row in rows),
        "seconds": time.monotonic() - began,
    }


def main() -> None:
    """Print or write the table; ends with 1 where a table differs or a unit was done twice."""
    import emotion_interp as ei

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", default="local,ray")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "sweep.toml").write_text(TOML)
        ei.sweep(place / "sweep.toml", place / "alone")
        tables = sorted(path.name for path in (place / "alone").glob("*.parquet"))
        rows = []
        for engine in options.engines.split(","):
            row = disturbed(place, engine, options.kills, options.seed)
            same = [(place / engine / table).read_bytes() == (place / "alone" / table).read_bytes() for table in tables]
            # what each unit cost is a table as well, and no run repeats it
            differing = [t for t, s in zip(tables, same, strict=True) if not s and t != "units.parquet"]
            rows.append(row | {"tables": len(tables) - 1, "tables that differ": len(differing)})
            print(rows[-1], flush=True)
    frame = pd.DataFrame(rows)
    parts = (
        "# A sweep that is killed again and again",
        f"`python -m benchmarks.sweep_kills --engines {options.engines} --kills {options.kills} --seed {options.seed}`: the "
        "bundled subject, two languages, positions and seeds, two workers; a kill ends a worker, or the sweep with all that "
        "belongs to it, and it is called again. Tables are compared byte by byte with those of one undisturbed process.",
        markdown(frame, 0),
    )
    print("\n\n".join(parts)) if options.write is None else write(options.write, *parts)
    if frame["done twice"].sum() or frame["tables that differ"].sum():
        raise SystemExit(1)


if __name__ == "__main__":
    main()
