"""The full Warriner list, one carrier, every layer of the bundled subject: seconds and peak memory.

`EMOTION_INTERP_DATA=... python -m benchmarks.ratings_speed`; reading and ridge apart, feature sets "all" and "dense"
(`--bank` adds those of the shipped bank).
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

LIMIT_SECONDS, LIMIT_GIB = 60, 2


def measured(name: str, work: Callable[[], Any]) -> Any:
    """Run it; print wall and CPU seconds, and the peak memory of the process so far."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:<24} {wall:7.1f} s wall {cpu:7.1f} s CPU   peak {peak:.2f} GiB", flush=True)
    return found


def main() -> None:
    import torch

    import emotion_interp as ei
    from emotion_interp.bank import shipped_bank
    from emotion_interp.ratings.subject_ratings import feature_sets, predict_parts, read_part

    norms = ei.load_norms("warriner")
    subject = measured("loading", ei.load_subject)
    bank = shipped_bank(subject) if "--bank" in sys.argv else None
    part, _ = measured("reading", lambda: read_part(subject, norms))
    sets = feature_sets(part, bank)
    ratings = measured("ridge", lambda: predict_parts([part], sets))
    frame = ratings.to_frame()
    print(
        f"{len(part.words):,} words, {len(part.dense)} layers, {len(frame)} fits, {torch.get_num_threads()} thread(s); "
        f"wanted: under {LIMIT_SECONDS} s and {LIMIT_GIB} GiB"
    )
    print(frame.pivot_table(index="layer", columns=["dimension", "feature_set"], values="r").round(3).to_string())


if __name__ == "__main__":
    main()
