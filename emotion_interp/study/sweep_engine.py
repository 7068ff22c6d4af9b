"""Who does the units: this process or several local ones; what is lost or fails is tried again, and all else goes on."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from emotion_interp.core.errors import EmotionInterpError, tell

Work = Callable[[str], dict[str, object]]
"""Does the unit of an id, and returns its facts."""


class Task(Protocol):
    """What an engine knows of a unit."""

    @property
    def id(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...
    @property
    def title(self) -> str: ...


@dataclass(frozen=True)
class Outcome:
    """How the work on one unit ended.

    Attributes:
        worker: that had it.
        unit: its id.
        facts: of a unit that is done.
        error: what is said of one that is not.
        again: whether trying again may help: a lost worker, or an error that nobody foresaw.
        stops: whether nothing else can be done either (a full disk).
    """

    worker: object
    unit: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    again: bool = False
    stops: bool = False


class Pool(Protocol):
    """Workers that take one unit each."""

    def idle(self) -> Sequence[object]:
        """Workers that wait for work."""
        ...

    def give(self, worker: Any, unit: str) -> None:
        """Have a worker do a unit."""
        ...

    def finished(self) -> Sequence[Outcome]:
        """Wait until some units have ended, well or not."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...


@dataclass(frozen=True, eq=False)
class Ending:
    """What came of a run: how many units were done, and those that failed with what was said of them."""

    done: int
    failed: Mapping[str, str]


def run_units(
    tasks: Iterable[Task],
    is_done: Callable[[str], bool],
    pool: Pool,
    retries: int = 3,
    tell_of: Callable[[str, Outcome | None, str], None] = lambda event, outcome, unit: None,
) -> Ending:
    """Have all units done that are not, each after those that it needs.

    A worker gets units of the subject it has loaded while there are any. A unit that fails for a reason that a user has to
    mend leaves out what needs it, and the others go on.

    Args:
        tasks: the units, in an order in which they can be done.
        is_done: whether a unit is finished already.
        pool: the workers.
        retries: how often a unit is tried again whose worker was lost, or that failed for no known reason.
        tell_of: receives ("start" | "done" | "failed" | "again", outcome or None, unit).

    Raises:
        EmotionInterpError: nothing can be written any more.
    """
    every = {task.id: task for task in tasks}
    ready_or_done = {unit for unit in every if is_done(unit)}
    waiting = [unit for unit in every if unit not in ready_or_done]
    tries: dict[str, int] = {}
    failed: dict[str, str] = {}
    running: set[str] = set()
    loaded: dict[object, str] = {}
    count = 0
    while waiting or running:
        for worker in pool.idle():
            unit = _next(waiting, every, ready_or_done, loaded.get(worker))
            if unit is None:
                break
            waiting.remove(unit)
            running.add(unit)
            loaded[worker] = every[unit].subject
            tell_of("start", None, unit)
            pool.give(worker, unit)
        if not running:
            break
        for outcome in pool.finished():
            running.discard(outcome.unit)
            if outcome.error is None:
                ready_or_done.add(outcome.unit)
                count += 1
                tell_of("done", outcome, outcome.unit)
                continue
            tries[outcome.unit] = tries.get(outcome.unit, 0) + 1
            if outcome.stops:
                raise EmotionInterpError(outcome.error)
            if outcome.again and tries[outcome.unit] <= retries:
                waiting.insert(0, outcome.unit)
                tell_of("again", outcome, outcome.unit)
                continue
            failed[outcome.unit] = outcome.error
            tell_of("failed", outcome, outcome.unit)
            while lost := [u for u in waiting if set(every[u].needs) & set(failed)]:
                waiting = [u for u in waiting if u not in lost]
                failed |= dict.fromkeys(lost, f"needs a unit that failed ({every[outcome.unit].title})")
    return Ending(count, failed)


def _next(waiting: Sequence[str], every: Mapping[str, Task], done: set[str], loaded: str | None) -> str | None:
    """A unit whose needs are done: of the loaded subject if there is one, else of one that waits longest."""
    able = (unit for unit in waiting if all(need in done for need in every[unit].needs))
    first = None
    for unit in able:
        if loaded is None or every[unit].subject == loaded:
            return unit
        first = first or unit
    return first


def attempt(work: Work, worker: object, unit: str) -> Outcome:
    """Do a unit, and say how it ended; only an interrupt comes through."""
    try:
        return Outcome(worker, unit, facts=work(unit))
    except EmotionInterpError as error:
        full = _is_full(error)
        return Outcome(worker, unit, error=str(error), stops=full)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(last.filename)}:{last.lineno}"  # noqa: PTH119 - a name alone
        return Outcome(
            worker, unit, error=f"{type(error).__name__}: {error} ({place})", again=True, stops=_is_full(error)
        )


def _is_full(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, says that no more can be written."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            return True
        error = error.__cause__
    return False


class InProcess:
    """One worker: this process."""

    def __init__(self, work: Work) -> None:
        self._work, self._unit = work, ""

    def idle(self) -> Sequence[object]:
        return [] if self._unit else [0]

    def give(self, worker: Any, unit: str) -> None:
        del worker
        self._unit = unit

    def finished(self) -> Sequence[Outcome]:
        unit, self._unit = self._unit, ""
        return [attempt(self._work, 0, unit)]

    def close(self) -> None:
        """Nothing to end."""


class LocalProcesses:
    """Worker processes of this machine, started afresh (nothing of this process' state is copied); they end with it.

    Args:
        work: sent to each worker.
        workers: how many.
        threads: of each, also before its libraries are imported.
    """

    def __init__(self, work: Work, workers: int, threads: int = 1) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._work, self._threads, self._next = work, threads, 0
        self._workers: dict[int, tuple[BaseProcess, Connection]] = {}
        self._busy: dict[int, str] = {}
        self._target = workers

    def idle(self) -> Sequence[object]:
        while len(self._workers) < self._target:
            self._start()
        return [worker for worker in self._workers if worker not in self._busy]

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._work, theirs, self._next), daemon=True)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        before = {name: os.environ.get(name) for name in names}
        os.environ |= dict.fromkeys(names, str(self._threads))
        try:
            process.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        theirs.close()
        self._workers[self._next] = (process, ours)
        self._next += 1

    def give(self, worker: Any, unit: str) -> None:
        self._busy[worker] = unit
        # one that is dead is found out by `finished`
        with suppress(OSError):
            self._workers[worker][1].send(unit)

    def finished(self) -> Sequence[Outcome]:
        connections = [self._workers[worker][1] for worker in self._busy]
        ready = wait(connections)
        ended = []
        for worker in [w for w in self._busy if self._workers[w][1] in ready]:
            try:
                outcome = self._workers[worker][1].recv()
            except (EOFError, OSError):
                process = self._workers.pop(worker)[0]
                process.join()
                lost = f"worker process {process.pid} was lost (exit code {process.exitcode})"
                outcome = Outcome(worker, self._busy[worker], error=lost, again=True)
            del self._busy[worker]
            ended.append(outcome)
        return ended

    def close(self) -> None:
        for process, connection in self._workers.values():
            connection.close()
            process.kill()
        for process, _ in self._workers.values():
            process.join()
        self._workers, self._busy = {}, {}


def _serve(work: Work, connection: Connection, number: int) -> None:
    """A worker process: units come through the pipe; it ends with its parent, whatever ended that."""
    import signal

    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    # Ctrl-C reaches the whole group of processes; the parent alone says what is to be done
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            unit = connection.recv()
        except (EOFError, OSError):
            return
        outcome = attempt(work, number, unit)
        try:
            connection.send(outcome)
        except OSError:
            tell("the sweep that this worker belongs to has ended.")
            return
