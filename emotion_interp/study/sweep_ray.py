"""Units done by Ray: a local one of several workers, or a cluster that is there already."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from emotion_interp.core.errors import EmotionInterpError, tell
from emotion_interp.core.extras import need
from emotion_interp.study.sweep_engine import Outcome, Work, attempt
from emotion_interp.study.sweep_file import EngineChoices

STORE_BYTES = 100 * 2**20
"""Object store of a local Ray: only ids and a few facts of each unit pass through it; readings go to the sweep's folder."""
_PATIENCE = 60.0
"""Seconds after which it is said that no worker starts."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class RayPool:
    """Ray actors that take one unit each; another starts where one is lost.

    A worker has one unit at a time, so nothing queues up in the cluster. The folder of the sweep has to be seen by all
    machines. A Ray that runs in this process already is used and left running.

    Args:
        work: sent to each worker once.
        choices: workers, their threads, GPUs and memory, and the address of a cluster.

    Raises:
        UnsupportedError: Ray is not installed.
    """

    def __init__(self, work: Work, choices: EngineChoices) -> None:
        # nothing is reported to anybody
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ray = ray = need("ray", extra="ray")
        self._own = not ray.is_initialized()
        if self._own:
            # Ray itself looks into this variable, and refuses resources beside it
            address = choices.address or os.environ.get("RAY_ADDRESS")
            local = {"num_cpus": choices.workers * choices.threads, "object_store_memory": STORE_BYTES}
            # without "local" Ray joins whatever cluster it finds on this machine
            local |= {"address": "local"}
            place = {"address": address} if address else local | {"include_dashboard": False}
            ray.init(log_to_driver=False, configure_logging=False, **place)
        asked: dict[str, object] = {"num_cpus": choices.threads, "max_restarts": 0}
        asked["runtime_env"] = {"env_vars": dict.fromkeys(_THREADS, str(choices.threads))}
        if choices.gpus:
            asked["num_gpus"] = choices.gpus
        if choices.memory_gigabytes:
            asked["memory"] = int(choices.memory_gigabytes * 2**30)
        self._kind = ray.remote(RayWorker).options(**asked)
        self._work, self._target, self._next = ray.put(work), choices.workers, 0
        self._actors: dict[int, Any] = {}
        self._busy: dict[object, tuple[int, str]] = {}
        self._starting: dict[object, int] = {}
        self._failures = 0

    def idle(self) -> Sequence[object]:
        while len(self._actors) < self._target:
            actor = self._actors[self._next] = self._kind.remote(self._work, self._next)
            self._starting[actor.started.remote()] = self._next
            self._next += 1
        # a worker for which the cluster has no room (a node is gone) gets no unit, which would wait with it
        if self._starting:
            ready, _ = self._ray.wait(list(self._starting), num_returns=len(self._starting), timeout=0)
            while not ready and not self._busy and len(self._starting) == len(self._actors):
                ready, _ = self._ray.wait(list(self._starting), num_returns=1, timeout=_PATIENCE)
                if not ready:
                    tell(
                        f"no Ray worker has started for {_PATIENCE:.0f} s: the cluster has no room for one, or is busy."
                    )
            for reference in ready:
                self._check_started(reference)
        taken = {worker for worker, _ in self._busy.values()} | set(self._starting.values())
        return [worker for worker in self._actors if worker not in taken] or self._again()

    def _again(self) -> Sequence[object]:
        """Wait for workers where none is there and none is at work."""
        return self.idle() if not self._busy and len(self._actors) < self._target else []

    def _check_started(self, reference: object) -> None:
        """Take a worker that has started for one that waits for work; drop one that did not."""
        worker = self._starting.pop(reference)
        try:
            self._ray.get(reference)
            self._failures = 0
        except self._ray.exceptions.RayError as error:
            self._end(worker)
            self._failures += 1
            if self._failures > 3 * self._target:
                raise EmotionInterpError(f"Ray workers do not start: {str(error).strip().splitlines()[-1]}") from error

    def give(self, worker: Any, unit: str) -> None:
        self._busy[self._actors[worker].do.remote(unit)] = (worker, unit)

    def finished(self) -> Sequence[Outcome]:
        ready, _ = self._ray.wait(list(self._busy), num_returns=1)
        ended = []
        for reference in ready:
            worker, unit = self._busy.pop(reference)
            try:
                ended.append(self._ray.get(reference))
            except self._ray.exceptions.RayError as error:
                # the worker was killed, or its machine is gone
                self._end(worker)
                said = str(error).strip().splitlines()[0]
                ended.append(Outcome(worker, unit, error=f"a Ray worker was lost: {said}", again=True))
        return ended

    def _end(self, worker: int) -> None:
        actor = self._actors.pop(worker)
        self._ray.kill(actor)

    def close(self) -> None:
        for worker in list(self._actors):
            self._end(worker)
        self._busy = {}
        if self._own:
            self._ray.shutdown()


class RayWorker:
    """The actor: it has the work, and with it the subject of its last unit."""

    def __init__(self, work: Work, number: int) -> None:
        self._work, self._number = work, number

    def started(self) -> bool:
        """Answered once the worker is there."""
        return True

    def do(self, unit: str) -> Outcome:
        """Do one unit, and say how it ended."""
        return attempt(self._work, self._number, unit)
