"""Rated words in one carrier, read plainly and from a tree of shared beginnings: tokens, seconds, and how far they differ.

`python -m benchmarks.prefix [--model gemma-3-270m] [--words 13915] [--block 3200] [--layers 5,9,12,15] [--write PAGE]`; the
words are Warriner's where EMOTION_INTERP_DATA has them, else the shipped norms'. They are read block by block, as a sweep
reads its shards, and the ways of reading take turns at each block, so that a busy machine slows them alike; shares are of
runs over one block, by processor time and by the clock. A run that is killed goes on after the blocks in `--log`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.tables import markdown, write

CARRIER = "The word is {}"
PLAIN, FORKED, ALL = "plainly", "shared beginnings", "shared beginnings, all layers"


def rated_words(count: int) -> list[str]:
    """Words of the largest norms that are there."""
    import emotion_interp as ei

    try:
        words = list(ei.load_norms("warriner").words)
    except ei.EmotionInterpError:
        words = list(ei.load_norms("builtin").words)
    order = np.random.default_rng(0).permutation(len(words))
    return [words[i] for i in order[:count]]


def read(subject: Any, words: list[str], layers: list[int], run: Any) -> tuple[float, float, dict[Any, np.ndarray]]:
    """Seconds of the clock and of this process, and the dense readings of the word at each layer."""
    from emotion_interp.activations.several import read_several
    from emotion_interp.core import Site

    texts = [CARRIER.format(word) for word in words]
    spans = [(text.index(word, len(CARRIER) - 2), len(text)) for text, word in zip(texts, words, strict=True)]
    began, used = time.perf_counter(), time.process_time()
    found = read_several(
        subject, texts, np.arange(len(texts)), spans, [Site(layer) for layer in layers], ["last"], run=run
    )
    spent = time.perf_counter() - began, time.process_time() - used
    return *spent, {site: reading.dense for site, reading in found.readings["last"].items()}


def main() -> None:
    """Print or write the page; blocks that the log has are not read again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--words", type=int, default=13_915)
    parser.add_argument("--layers", default="5,9,12,15")
    parser.add_argument("--block", type=int, default=3200)
    parser.add_argument("--log", type=Path, default=Path("runs/prefix.jsonl"))
    parser.add_argument("--write", type=Path, default=None)
    options = parser.parse_args()
    words, layers = rated_words(options.words), [int(layer) for layer in options.layers.split(",")]
    known = [json.loads(line) for line in options.log.read_text().splitlines()] if options.log.exists() else []
    rows = known[: len(known) // 3 * 3]
    if len(rows) // 3 * options.block < len(words):
        rows = _read_on(rows, words, layers, options)
    parts = page(pd.DataFrame(rows), options)
    print("\n\n".join(parts)) if options.write is None else write(options.write, *parts)


def _read_on(
    rows: list[dict[str, Any]], words: list[str], layers: list[int], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Read the blocks after those of the rows."""
    from emotion_interp.activations.forks import SharedPass
    from emotion_interp.activations.forward import forward_pass
    from emotion_interp.subjects import load_subject

    subject = load_subject(options.model, saes=[])
    every = list(range(subject.n_layers))
    shared, tree = SharedPass(), SharedPass()
    ways = {PLAIN: (layers, forward_pass), FORKED: (layers, shared), ALL: (every, tree)}
    for chosen, run in ways.values():
        read(subject, words[:96], chosen, run)
    for start in range(0, len(words), options.block):
        block = words[start : start + options.block]
        if start // options.block < len(rows) // len(ways):
            continue
        made, fresh = {}, []
        for name, (chosen, run) in ways.items():
            clock, processor, made[name] = read(subject, block, chosen, run)
            facts = run.facts if isinstance(run, SharedPass) else shared.facts
            fresh.append({"block": start // options.block + 1, "words": len(block), "read": name})
            fresh[-1] |= {"processor": processor, "clock": clock, "tokens": facts.n_tokens, "run": facts.n_computed}
        off = max(_distance(made[FORKED][site], plain) for site, plain in made[PLAIN].items())
        rows += [row | {"off": off} for row in fresh]
        options.log.parent.mkdir(parents=True, exist_ok=True)
        options.log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def _distance(shared: np.ndarray, plain: np.ndarray) -> float:
    """Largest distance of a reading, as a share of its norm."""
    return float((np.linalg.norm(shared - plain, axis=1) / np.linalg.norm(plain, axis=1)).max())


def page(frame: pd.DataFrame, options: argparse.Namespace) -> list[str]:
    """The parts of the page."""
    of_way = frame.groupby("read", sort=False)[["processor", "clock", "tokens", "run"]].sum()
    of_way.loc[PLAIN, ["tokens", "run"]] = of_way.loc[FORKED, "tokens"]
    one = frame[frame["read"] == FORKED]
    computed, total = int(one["run"].sum()), int(one["tokens"].sum())
    command = f"python -m benchmarks.prefix --model {options.model} --words {options.words} --block {options.block}"
    return [
        "# Words in one carrier, from shared beginnings",
        f"`{command} --layers {options.layers}`, one thread. {options.model}, {int(one['words'].sum()):,} words after "
        f"{CARRIER.format('')!r}, in {len(one)} blocks; the ways of reading take turns at each. Seconds are sums over the "
        "blocks, by processor time and by the clock, which on a crowded machine counts others' work too.",
        f"Tokens run: {computed:,} of {total:,}, {computed / total:.3f} of them (at most .30 wanted). Largest difference of "
        f"a reading: {frame['off'].max():.1e} of its norm.",
        markdown(of_way.reset_index().rename(columns={"processor": "processor, s", "clock": "clock, s"}), 1),
        markdown(shares(frame, options.layers.count(",") + 1), 3),
    ]


def shares(frame: pd.DataFrame, n_layers: int) -> pd.DataFrame:
    """Reading from shared beginnings against plain reading, and all layers against some: of sums, and over blocks."""
    rows = []
    for kind in ("processor", "clock"):
        spent = frame.pivot(index="block", columns="read", values=kind)
        for label, limit, above, below in (
            ("shared / plain", 0.40, FORKED, PLAIN),
            (f"all layers / {n_layers}, shared", 1.25, ALL, FORKED),
        ):
            each = spent[above] / spent[below]
            row = {"share": label, "by": kind, "of sums": spent[above].sum() / spent[below].sum()}
            row |= {"median of blocks": each.median(), "least": each.min(), "most": each.max(), "at most": limit}
            rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
