"""Sweeps on a local Ray of two workers: the same bits, lost workers, failures on the way."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter

import pytest

import emotion_interp as ei
from emotion_interp.core.files import sha256_file
from emotion_interp.study.sweep_engine import run_units
from emotion_interp.study.sweep_file import EngineChoices
from emotion_interp.study.sweep_ray import STORE_BYTES, RayPool
from tests.study.tasks import Task

ray = pytest.importorskip("ray", reason="Ray is not installed (extra `ray`)")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One local Ray for all tests, with a small store; nothing of it stays."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    options = {"num_cpus": 2, "object_store_memory": STORE_BYTES, "include_dashboard": False, "log_to_driver": False}
    ray.init("local", **options, configure_logging=False)
    yield
    ray.shutdown()


def closed(pool, *args, **options):
    try:
        return run_units(*args, pool=pool, **options)
    finally:
        pool.close()


def test_two_ray_workers_give_the_bits_of_one_process(sweep_file, tmp_path):
    path = sweep_file("ray", more='positions = ["last"]')
    alone = ei.sweep(path, tmp_path / "alone")
    ei.sweep(path, tmp_path / "ray", engine="ray", workers=2)
    for name in ("features", "summary", "alignment"):
        assert sha256_file(tmp_path / "ray" / f"{name}.parquet") == sha256_file(alone.path / f"{name}.parquet")
    rows = [json.loads(line) for line in (tmp_path / "ray" / "journal.jsonl").read_text().splitlines()]
    done = [row for row in rows if row["event"] == "done"]
    assert max(Counter(row["unit"] for row in done).values()) == 1 and os.getpid() not in {row["pid"] for row in done}


def test_two_hundred_units_with_failures_on_the_way_and_killed_workers_all_end(tmp_path):
    def work(unit):
        # local to this function, so that it travels by value
        import os
        import random
        import signal
        from pathlib import Path

        place = Path(folder) / unit
        tried = len(list(Path(folder).glob(f"{unit}.*")))
        (Path(folder) / f"{unit}.{tried}").touch()
        luck = random.Random(f"{unit}/{tried}").random()
        if int(unit) % 67 == 66 and not tried:
            os.kill(os.getpid(), signal.SIGKILL)
        if luck < 0.1:
            raise ConnectionError("lost on the way")
        place.touch()
        return {}

    folder = str(tmp_path)
    choices = EngineChoices(kind="ray", workers=2)
    events = Counter()
    tasks = [Task(str(i)) for i in range(200)]
    told = {"tell_of": lambda event, outcome, unit: events.update([event]), "retries": 6}
    ending = closed(RayPool(work, choices), tasks, lambda unit: False, **told)
    assert ending.done == 200 and not ending.failed and events["done"] == 200 and events["again"] >= 10
    assert all((tmp_path / str(i)).exists() for i in range(200))


def test_a_worker_killed_in_mid_run_costs_its_unit_only(sweep_file, tmp_path):
    path, out, killed = sweep_file("lost", more='positions = ["last"]'), tmp_path / "lost", []
    alone = ei.sweep(path, tmp_path / "alone")

    def kill(what, done, total):
        rows = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
        pids = [row["pid"] for row in rows if row["event"] == "done"]
        if not killed and done >= 1:
            killed.append(pids[-1])
            os.kill(pids[-1], signal.SIGKILL)

    with pytest.warns(UserWarning, match="is tried again: a Ray worker was lost"):
        ei.sweep(path, out, engine="ray", workers=2, progress=kill)
    assert sha256_file(out / "summary.parquet") == sha256_file(alone.path / "summary.parquet")
    rows = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    assert max(Counter(row["unit"] for row in rows if row["event"] == "done").values()) == 1
    assert sum(row["event"] == "again" for row in rows) == 1
