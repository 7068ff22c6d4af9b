"""A simulated cluster: logical workers on four Ray nodes of one machine, with failures, a lost worker now and then and a lost node.

`python -m benchmarks.sweep_cluster [--workers 64] [--units 400] [--kills 20]` (extra `ray`). The scheduling, retries and pool
are those of a sweep; a unit is a file of numbers that follow from its name, so that 64 workers fit a laptop. A tenth of the
first tries fails, so many tries kill their worker at a random moment of it, and in mid-run a whole node goes and another
comes. The joined table must be that of one process, and no unit may be done twice. On a crowded machine workers have a low
priority (RAY_worker_niceness=10), and all of Ray's own patience is longer.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NODES = 4


@dataclass(frozen=True)
class Unit:
    """A unit of one subject in four, and what it needs."""

    id: str
    subject: str
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"unit {self.id}"


def units_of(count: int) -> list[Unit]:
    """Nine units that read for each one that joins them."""
    units: list[Unit] = []
    for number in range(count):
        needs = tuple(unit.id for unit in units[-9:]) if number % 10 == 9 else ()
        units.append(Unit(str(number), f"subject {number % 4}", needs))
    return units


def working(folder: str, failures: bool, killing: frozenset[str] = frozenset()) -> Callable[[str], dict[str, Any]]:
    """The work on a unit, as a function that travels by value; the first try of some units kills its worker."""

    def work(unit: str) -> dict[str, Any]:
        import os
        import random
        import signal
        import time
        from pathlib import Path

        tries = len(list(Path(folder).glob(f"{unit}.try*")))
        (Path(folder) / f"{unit}.try{tries}").touch()
        luck = random.Random(f"luck of {unit}, {tries}").random()
        if unit in killing and not tries:
            time.sleep(luck)
            os.kill(os.getpid(), signal.SIGKILL)
        if failures and not tries and luck < 0.1:
            raise ConnectionError("lost on the way")
        numbers = random.Random(f"numbers of {unit}")
        rows = "".join(f"{unit},{numbers.random()!r}\n" for _ in range(20))
        temporary = Path(folder) / f".{unit}.{os.getpid()}"
        temporary.write_text(rows)
        os.replace(temporary, Path(folder) / f"{unit}.csv")
        return {}

    return work


def joined(folder: str, units: list[Unit]) -> str:
    """The table of all units, in order."""
    return "".join((Path(folder) / f"{unit.id}.csv").read_text() for unit in units)


def main() -> None:
    """Run both and compare."""
    patience = {"RAY_worker_register_timeout_seconds": "1200", "RAY_health_check_timeout_ms": "300000"}
    # idle workers beside the sweep's would be as many again
    patience |= {"RAY_prestart_worker_first_driver": "0", "RAY_health_check_failure_threshold": "20"}
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"} | patience | os.environ
    import ray
    from ray.cluster_utils import Cluster

    from emotion_interp.study.sweep_engine import InProcess, run_units
    from emotion_interp.study.sweep_file import EngineChoices
    from emotion_interp.study.sweep_ray import STORE_BYTES, RayPool

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--units", type=int, default=400)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    units = units_of(options.units)
    killing = frozenset(unit.id for unit in random.Random(0).sample(units, options.kills))
    each = {"num_cpus": -(-options.workers // NODES), "object_store_memory": STORE_BYTES}
    with tempfile.TemporaryDirectory() as alone, tempfile.TemporaryDirectory() as folder:
        run_units(units, lambda unit: False, InProcess(working(alone, failures=False)))
        cluster = Cluster(initialize_head=True, head_node_args=each)
        nodes = [cluster.add_node(**each) for _ in range(NODES - 1)]
        ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
        events: Counter[str] = Counter()
        done: Counter[str] = Counter()

        def tell_of(event: str, outcome: Any, unit: str) -> None:
            events[event] += 1
            events["lost"] += event == "again" and "a Ray worker was lost" in str(outcome.error)
            if event == "done":
                done[unit] += 1
                if events["done"] == len(units) // 2:
                    cluster.remove_node(nodes[-1], allow_graceful=False)
                    try:
                        cluster.add_node(**each)
                    except Exception as error:
                        # a busy machine is too slow for Ray's own patience; the others do the work
                        print(f"no new node came: {error}")

        pool = RayPool(working(folder, True, killing), EngineChoices(kind="ray", workers=options.workers))
        began = time.perf_counter()
        try:
            ending = run_units(units, lambda unit: False, pool, 6, tell_of)
        finally:
            pool.close()
            ray.shutdown()
            cluster.shutdown()
        took = time.perf_counter() - began
        same = joined(folder, units) == joined(alone, units)
    print(f"{ending.done} of {len(units)} units by {options.workers} workers on {NODES} nodes in {took:.0f} s")
    print(
        f"tries that failed: {events['again']}, {events['lost']} of them with their worker; units done twice: {sum(n > 1 for n in done.values())}"
    )
    print(f"failed for good: {len(ending.failed)}; the table is {'' if same else 'NOT '}that of one process")


if __name__ == "__main__":
    main()
