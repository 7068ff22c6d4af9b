"""Rated words in one carrier, read plainly and from a tree of shared beginnings: tokens, seconds, and how far they differ.

`python -m benchmarks.prefix [--model gemma-3-270m] [--words 1500] [--layers 5,9,12,15]`; the words are Warriner's where
EMOTION_INTERP_DATA has them, else the shipped norms'. The runs take turns, so that a busy machine slows them alike; the
seconds are the least of the turns, of the clock and of this process.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

CARRIER = "The word is {}"


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
    """Print one line for each way of reading, and the shares."""
    from emotion_interp.activations.forks import SharedPass
    from emotion_interp.activations.forward import forward_pass
    from emotion_interp.subjects import load_subject

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--words", type=int, default=1500)
    parser.add_argument("--layers", default="5,9,12,15")
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    subject = load_subject(options.model, saes=[])
    words, layers = rated_words(options.words), [int(layer) for layer in options.layers.split(",")]
    every = list(range(subject.n_layers))
    shared, tree = SharedPass(), SharedPass()
    ways = {"plain": (layers, forward_pass), "forked": (layers, shared), "forked, all layers": (every, tree)}
    read(subject, words[:64], every, forward_pass)
    read(subject, words[:200], layers, shared)
    read(subject, words[:200], every, tree)
    clock: dict[str, list[float]] = {name: [] for name in ways}
    process: dict[str, list[float]] = {name: [] for name in ways}
    readings = {}
    for _ in range(options.turns):
        for name, (chosen, run) in ways.items():
            wall, own, readings[name] = read(subject, words, chosen, run)
            clock[name].append(wall)
            process[name].append(own)
    facts = shared.facts
    off = max(
        float((np.linalg.norm(readings["forked"][s] - v, axis=1) / np.linalg.norm(v, axis=1)).max())
        for s, v in readings["plain"].items()
    )
    print(f"{subject.name}, {len(words)} words after {CARRIER.format('')!r}, layers {layers}")
    for name in ways:
        print(f"{name:<20} {min(clock[name]):8.2f} s of the clock, {min(process[name]):8.2f} s of the process")
    print(f"tokens run: {facts.n_computed:,} of {facts.n_tokens:,} ({facts.n_computed / facts.n_tokens:.2f})")
    for label, spent in (("clock", clock), ("process", process)):
        least = {name: min(values) for name, values in spent.items()}
        print(
            f"forked / plain, {label}: {least['forked'] / least['plain']:.2f}; "
            f"all layers / {len(layers)}: {least['forked, all layers'] / least['forked']:.2f}"
        )
    print(f"largest difference, as a share of the norm: {off:.1e}")


if __name__ == "__main__":
    main()
