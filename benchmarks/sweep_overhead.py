"""What a sweep costs beside the work itself: one subject, one position and seed, against plain `find_features` and save.

`python -m benchmarks.sweep_overhead [--model bundled] [--layers 0,1,2,3] [--turns 2]`. Both read the same words without shared
beginnings, find the same features and save the same bank; the sweep also writes its shards, checks them by hash, joins
them and writes its tables. The two take turns; seconds are the least of the turns, of this process (a busy machine changes
the clock) and of the clock.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TOML = """
analyses = ["features"]
languages = ["en", "zh"]
[reading]
prefixes = "never"
[[subjects]]
model = "{model}"
{saes}layers = {layers}
"""


def seconds(action: Callable[[], object]) -> tuple[float, float]:
    """Of the process and of the clock."""
    used, began = time.process_time(), time.perf_counter()
    action()
    return time.process_time() - used, time.perf_counter() - began


def main() -> None:
    """Print both and the share that the sweep takes more."""
    import emotion_interp as ei
    from emotion_interp.study.sweep_work import threads_pinned

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--saes", default="")
    parser.add_argument("--layers", default="0,1,2,3")
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    layers = [int(layer) for layer in options.layers.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        saes = f'saes = "{Path(options.saes).resolve()}"\n' if options.saes else ""
        (place / "sweep.toml").write_text(TOML.format(model=options.model, saes=saes, layers=layers))

        concepts = ei.concept_set("en") | ei.concept_set("zh")

        def plain(turn: int) -> None:
            with threads_pinned(1):
                model = None if options.model == "bundled" else options.model
                subject = ei.load_subject(model, saes=options.saes or None, layers=layers)
                ei.find_features(subject, concepts).save(place / f"plain {turn}")

        def swept(turn: int) -> None:
            ei.sweep(place / "sweep.toml", place / f"sweep {turn}")

        ways = {"find_features": plain, "sweep": swept}
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        plain(-1)
        for turn in range(options.turns):
            for name, way in ways.items():
                spent[name].append(seconds(lambda way=way, turn=turn: way(turn)))
        least = {name: [min(values) for values in zip(*turns, strict=True)] for name, turns in spent.items()}
        for name, (process, clock) in least.items():
            print(f"{name:<14} {process:7.2f} s of the process, {clock:7.2f} s of the clock")
        print(f"the sweep takes {least['sweep'][0] / least['find_features'][0] - 1:+.1%} (process)")


if __name__ == "__main__":
    main()
