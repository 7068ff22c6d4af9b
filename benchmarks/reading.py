"""All layers of 512 texts of mixed length in a random GPT-2 small: ours, the floor, run_with_cache, steering-vectors, repeng.

`python -m benchmarks.reading [--texts 512] [--block 64] [--floor] [--peers PYTHON]`; PYTHON is an interpreter with steering-vectors
and repeng, whose pins need an environment of their own (`make peers` builds one). The floor is one bare forward pass of
the transformer blocks over the same real tokens in the same batches: no head, no hooks. Every peer runs at the batch
size that was fastest for it on the first block. The texts are read block by block, and the ways of reading take turns at
each, another one first every time, so that a machine whose speed drifts slows them alike.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

LAYERS, WIDTH, VOCABULARY = 12, 768, 50257
BATCH_SIZES = (8, 16, 32, 64)
FLOOR, OURS = "floor (bare blocks)", "emotion_interp.read_units"
PEERS = ("steering-vectors", "repeng")
Run = Callable[[list[str]], float]


def make_subject() -> tuple[Any, Any]:
    """A random 12 x 768 GPT-2 with GPT-2's vocabulary size, and the subject around it, with the bundled tokenizer."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    import emotion_interp as ei
    from emotion_interp.subjects.loading import bundled_folder

    tokenizer = AutoTokenizer.from_pretrained(bundled_folder() / "model")
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=LAYERS, n_head=12, bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config).eval()
    return model, ei.Subject(model, tokenizer=tokenizer, name="random GPT-2 small")


def make_texts(count: int) -> list[str]:
    """Texts of mixed length: mostly one scene, up to six."""
    from emotion_interp.concepts import scene_stimuli

    scenes = [s.text for s in scene_stimuli(["en"])]
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(scenes, min(6, rng.geometric(0.6)))) for _ in range(count)]


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def contenders(model: Any, subject: Any, peers: str | None, folder: Path) -> dict[str, Callable[[int], Run]]:
    """Name -> batch size -> a run over texts that answers with its seconds; ours and the floor choose their batches."""
    import torch

    from emotion_interp.activations import read_units
    from emotion_interp.activations.forward import BATCH_TOKENS, batches
    from emotion_interp.core import Site

    sites = [Site(layer) for layer in range(LAYERS)]

    def padded(tokens: list[Any]) -> Any:
        ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
        for row, one in enumerate(tokens):
            ids[row, : len(one)] = one.ids
        return torch.from_numpy(ids)

    def floor(texts: list[str]) -> None:
        tokens = subject.tokenize(texts)
        with torch.no_grad():
            for rows in batches([len(t) for t in tokens], BATCH_TOKENS):
                model.transformer(padded([tokens[r] for r in rows]))

    def ours(texts: list[str]) -> None:
        read_units(subject, texts, np.arange(len(texts)), sites=sites, position="text")

    def cached(size: int) -> Run:
        def run(texts: list[str]) -> None:
            tokens = subject.tokenize(texts)
            with torch.no_grad():
                for start in range(0, len(texts), size):
                    part = tokens[start : start + size]
                    _, cache = subject.model.run_with_cache(
                        padded(part), names_filter=lambda name: name.endswith("hook_resid_post")
                    )
                    for site in sites:
                        block = cache[site.hook_name]
                        for i, one in enumerate(part):
                            block[i, 1 : len(one)].mean(0)

        return lambda texts: seconds(lambda: run(texts))

    def peer(name: str) -> Callable[[int], Run]:
        def sized(size: int) -> Run:
            def run(texts: list[str]) -> float:
                (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
                script = Path(__file__).with_name("peer_reading.py")
                command = [str(peers), str(script), name, str(folder), str(size), str(torch.get_num_threads())]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                return float(done.stdout.strip().splitlines()[-1])

            return run

        return sized

    found: dict[str, Callable[[int], Run]] = {
        FLOOR: lambda size: lambda texts: seconds(lambda: floor(texts)),
        OURS: lambda size: lambda texts: seconds(lambda: ours(texts)),
        "run_with_cache (resid_post)": cached,
    }
    if peers:
        model.save_pretrained(folder / "model")
        subject.tokenizer.save_pretrained(folder / "model")
        found |= {name: peer(name) for name in PEERS}
    return found


def take_turns(runs: dict[str, Callable[[int], Run]], blocks: list[list[str]]) -> tuple[dict[str, int], pd.DataFrame]:
    """Each one's batch size (0: its own choice), and seconds [block, way of reading]."""
    sizes: dict[str, int] = {}
    for name, sized in runs.items():
        own = (0,) if name in (FLOOR, OURS) else BATCH_SIZES
        trial = {size: sized(size)(blocks[0]) for size in own}
        sizes[name] = min(trial, key=lambda size: trial[size])
    rows, names = [], list(runs)
    for turn, block in enumerate(blocks):
        first = turn % len(names)
        rows.append({name: runs[name](sizes[name])(block) for name in names[first:] + names[:first]})
    return sizes, pd.DataFrame(rows)[names]


def section(count: int = 512, peers: str | None = None, block: int = 64, only: int | None = None) -> str:
    """The table as markdown."""
    import torch

    model, subject = make_subject()
    texts = make_texts(count)
    n_tokens = sum(map(len, subject.tokenize(texts)))
    blocks = [texts[start : start + block] for start in range(0, count, block)]
    with tempfile.TemporaryDirectory() as folder:
        runs = contenders(model, subject, peers, Path(folder))
        sizes, spent = take_turns(dict(list(runs.items())[:only]), blocks)
    total, over, times = spent.sum(), spent.div(spent[FLOOR], axis=0), spent.div(spent[OURS], axis=0)
    lines = [
        f"All {LAYERS} layers of {count} texts of mixed length ({n_tokens:,} tokens), GPT-2 {LAYERS} x {WIDTH} with random "
        f"weights, {torch.get_num_threads()} thread(s), in turns at {len(blocks)} blocks; ratios of sums, in brackets the "
        "median over blocks:",
        "",
        "| reading | batch size | seconds | ratio to the floor | ours is faster by |",
        "|---|---|---|---|---|",
        *[
            f"| {name} | {sizes[name] or 'by tokens'} | {total[name]:.1f} | {total[name] / total[FLOOR]:.2f} "
            f"({over[name].median():.2f}) | {total[name] / total[OURS]:.2f} ({times[name].median():.2f}) |"
            for name in spent
        ],
    ]
    if not peers and only is None:
        lines += ["", "steering-vectors and repeng were not measured: give --peers PYTHON."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--peers", default=None)
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--floor", action="store_true", help="ours and the floor alone")
    given = parser.parse_args()
    print(section(given.texts, given.peers, given.block, 2 if given.floor else None))


if __name__ == "__main__":
    main()
