"""Units in order, lost workers, errors that are tried again and errors that are not; with work that takes no time."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.study.sweep_engine import InProcess, LocalProcesses, run_units
from tests.study.tasks import Task

WORK = '''
"""Work of a test, as a module that a fresh process can import."""
import os, signal
from pathlib import Path


class Work:
    def __init__(self, folder):
        self.folder = Path(folder)

    def __call__(self, unit):
        with open(self.folder / "started", "a") as file:
            file.write(unit + "\\\\n")
        first = not (self.folder / f"{unit}.tried").exists()
        (self.folder / f"{unit}.tried").touch()
        if first and unit.startswith("lost"):
            os.kill(os.getpid(), signal.SIGKILL)
        if first and unit.startswith("odd"):
            raise KeyError(unit)
        (self.folder / unit).write_text(str(os.getpid()))
        return {"pid": os.getpid()}
'''


@pytest.fixture()
def work(tmp_path, monkeypatch):
    (tmp_path / "sweep_test_work.py").write_text(WORK.replace("\\\\n", "\\n"))
    monkeypatch.syspath_prepend(str(tmp_path))
    import sweep_test_work

    folder = tmp_path / "units"
    folder.mkdir()
    return sweep_test_work.Work(folder)


def never(unit):
    return False


def test_needs_come_first_and_what_is_done_is_not_done_again():
    order = []

    def work(unit):
        order.append(unit)
        return {}

    tasks = [Task("b", needs=("a",)), Task("a"), Task("c", needs=("a", "b")), Task("old")]
    ending = run_units(tasks, lambda unit: unit == "old", InProcess(work))
    assert order == ["a", "b", "c"] and ending.done == 3 and not ending.failed


def test_a_worker_keeps_to_the_subject_it_has_loaded():
    order = []
    tasks = [Task(f"{subject}{i}", subject) for i in range(3) for subject in ("x", "y")]
    run_units(tasks, never, InProcess(lambda unit: order.append(unit) or {}))
    assert order == ["x0", "x1", "x2", "y0", "y1", "y2"]


def test_a_mistake_leaves_out_what_needs_it_and_nothing_else():
    tries = []

    def work(unit):
        tries.append(unit)
        if unit == "bad":
            raise EmotionInterpError("this SAE is dead.")
        return {}

    tasks = [Task("bad"), Task("child", needs=("bad",)), Task("grandchild", needs=("child",)), Task("good")]
    ending = run_units(tasks, never, InProcess(work))
    assert ending.done == 1 and tries == ["bad", "good"]
    assert set(ending.failed) == {"bad", "child", "grandchild"} and ending.failed["bad"] == "this SAE is dead."


def test_an_error_nobody_foresaw_is_tried_again_so_many_times():
    tries = []

    def work(unit):
        tries.append(unit)
        raise RuntimeError("a passing cloud")

    ending = run_units([Task("a")], never, InProcess(work), retries=2)
    assert (
        len(tries) == 3
        and "a passing cloud" in ending.failed["a"]
        and "test_study_sweep_engine.py" in ending.failed["a"]
    )


def test_a_full_disk_ends_everything_at_once():
    tries = []

    def work(unit):
        tries.append(unit)
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise EmotionInterpError("cannot write: No space left on device.") from error

    with pytest.raises(EmotionInterpError, match="No space left"):
        run_units([Task("a"), Task("b")], never, InProcess(work))
    assert tries == ["a"]


def test_two_hundred_units_of_which_a_tenth_fails_at_first_all_come_to_an_end():
    rng = random.Random(0)
    done = []

    def work(unit):
        if rng.random() < 0.1:
            raise ConnectionError("lost on the way")
        done.append(unit)
        return {}

    ending = run_units([Task(str(i)) for i in range(200)], never, InProcess(work), retries=5)
    assert ending.done == 200 and not ending.failed and len(set(done)) == 200


def test_a_killed_worker_process_costs_its_unit_only(work):
    pool = LocalProcesses(work, 2)
    tasks = [Task("a"), Task("lost1"), Task("odd1"), Task("b"), Task("lost2"), Task("c", needs=("a", "lost1"))]
    events = []
    try:
        ending = run_units(tasks, never, pool, tell_of=lambda event, outcome, unit: events.append((event, unit)))
    finally:
        pool.close()
    assert ending.done == 6 and not ending.failed
    started = (Path(work.folder) / "started").read_text().split()
    assert sorted(started) == sorted(["a", "b", "c", "lost1", "lost1", "lost2", "lost2", "odd1", "odd1"])
    assert sorted(u for event, u in events if event == "again") == ["lost1", "lost2", "odd1"]
    assert all(int((Path(work.folder) / task.id).read_text()) != os.getpid() for task in tasks)
