"""What a sweep costs beside the work itself: one subject, one position and seed, against plain `find_features` and save.

`python -m benchmarks.sweep_overhead [--model bundled] [--layers 0,1,2,3] [--pairs 8]`. Both read the same words without
shared beginnings, find the same features and save the same bank; the sweep also writes its shards, checks them by hash,
joins them and writes its tables. The two take turns, and every other pair begins with the sweep; a pair's share is of two
runs that follow each other. Seconds of the processor (of this process: a busy machine changes the clock) and of the clock.
A run that is killed goes on after the pairs in `--log`.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.tables import markdown, write

TOML = """
analyses = ["features"]
languages = ["en", "zh"]
[reading]
prefixes = "never"
[[subjects]]
model = "{model}"
{saes}layers = {layers}
"""
LIMIT = 0.03


def seconds(action: Callable[[], object]) -> tuple[float, float]:
    """Of the processor, for this process, and of the clock."""
    # what the run before left is not this one's
    gc.collect()
    used, began = time.process_time(), time.perf_counter()
    action()
    return time.process_time() - used, time.perf_counter() - began


def main() -> None:
    """Print or write every pair, and the median share that the sweep takes more with its interval."""
    import emotion_interp as ei
    from emotion_interp.study.sweep_work import threads_pinned

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--saes", default="")
    parser.add_argument("--layers", default="0,1,2,3")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--log", type=Path, default=Path("runs/sweep_overhead.jsonl"))
    parser.add_argument("--write", type=Path, default=None)
    options = parser.parse_args()
    layers = [int(layer) for layer in options.layers.split(",")]
    rows = [json.loads(line) for line in options.log.read_text().splitlines()] if options.log.exists() else []
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

        if len(rows) < options.pairs:
            # the first of each also imports what they need
            plain(-1)
            swept(-1)
        for pair in range(len(rows), options.pairs):
            row: dict[str, float] = {"pair": pair + 1}
            ways = {"find_features": plain, "sweep": swept}
            for name in list(ways)[:: -1 if pair % 2 else 1]:
                row[f"{name}, processor"], row[f"{name}, clock"] = seconds(partial(ways[name], pair))
            rows.append(row)
            print(row, flush=True)
            options.log.parent.mkdir(parents=True, exist_ok=True)
            options.log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    frame = pd.DataFrame(rows)
    parts = (
        "# What a sweep costs beside the work itself",
        f"`python -m benchmarks.sweep_overhead --model {options.model} --layers {options.layers} --pairs {options.pairs}`, one "
        "thread. Seconds of the sweep and of `find_features` and save; every other pair begins with the sweep.",
        markdown(frame, 2),
        markdown(shares(frame), 3),
    )
    print("\n\n".join(parts)) if options.write is None else write(options.write, *parts)


def shares(frame: pd.DataFrame) -> pd.DataFrame:
    """The share that the sweep takes more, median over pairs with a bootstrap interval (95%)."""
    rng, rows = np.random.default_rng(0), []
    for kind in ("processor", "clock"):
        more = (frame[f"sweep, {kind}"] / frame[f"find_features, {kind}"] - 1).to_numpy()
        drawn = np.median(rng.choice(more, (4000, len(more))), axis=1)
        low, high = np.percentile(drawn, [2.5, 97.5])
        rows.append({"seconds of": kind, "pairs": len(more), "median share more": float(np.median(more))})
        rows[-1] |= {"lo": float(low), "hi": float(high), "at most": LIMIT}
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
