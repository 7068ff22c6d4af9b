"""Reading all layers of a random GPT-2 small: ours against the floor and against TransformerLens' run_with_cache.

The floor is one bare forward pass of the transformer blocks over the same real tokens in the same batches: no head, no
hooks. Rounds are interleaved and the fastest of each counts, so that a busy machine weighs on all alike.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

N_TEXTS, ROUNDS, LAYERS, WIDTH = 32, 2, 12, 768


def make_subject() -> tuple[Any, Any]:
    """A random 12 x 768 GPT-2 and the subject around it, with the bundled tokenizer."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    import emotion_interp as ei
    from emotion_interp.subjects.loading import bundled_folder

    tokenizer = AutoTokenizer.from_pretrained(bundled_folder() / "model")
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=WIDTH, n_layer=LAYERS, n_head=12, bos_token_id=0, eos_token_id=0
    )
    model = GPT2LMHeadModel(config).eval()
    return model, ei.Subject(model, tokenizer=tokenizer, name="random GPT-2 small")


def make_texts() -> list[str]:
    """Texts of mixed length: one to four scenes each."""
    from emotion_interp.concepts import scene_stimuli

    scenes = [s.text for s in scene_stimuli(["en"])]
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(scenes, rng.integers(1, 5))) for _ in range(N_TEXTS)]


def contenders() -> dict[str, Callable[[], None]]:
    """Name -> one full reading of all layers, mean over each text's tokens."""
    import torch

    from emotion_interp.activations import read_units
    from emotion_interp.activations.forward import BATCH_TOKENS, batches
    from emotion_interp.core import Site

    model, subject = make_subject()
    texts = make_texts()
    tokens = subject.tokenize(texts)
    sites = [Site(layer) for layer in range(LAYERS)]
    lengths = [len(t) for t in tokens]

    def padded(rows: np.ndarray) -> Any:
        ids = np.zeros((len(rows), max(lengths[r] for r in rows)), dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : lengths[row]] = tokens[row].ids
        return torch.from_numpy(ids)

    def floor() -> None:
        with torch.no_grad():
            for rows in batches(lengths, BATCH_TOKENS):
                model.transformer(padded(rows))

    def ours() -> None:
        read_units(subject, texts, np.arange(len(texts)), sites=sites, position="text")

    def cached(size: int, everything: bool) -> Callable[[], None]:
        names = None if everything else (lambda name: name.endswith("hook_resid_post"))

        def run() -> None:
            with torch.no_grad():
                for start in range(0, len(texts), size):
                    rows = np.arange(start, min(start + size, len(texts)))
                    _, cache = subject.model.run_with_cache(padded(rows), names_filter=names)
                    for site in sites:
                        block = cache[site.hook_name]
                        for i, row in enumerate(rows):
                            block[i, 1 : lengths[row]].mean(0)

        return run

    found = {"floor (bare blocks)": floor, "emotion_interp.read_units": ours}
    for size in (8, 32):
        found[f"run_with_cache, resid_post only, batch {size}"] = cached(size, False)
    found["run_with_cache, all hooks, batch 8"] = cached(8, True)
    return found


def main() -> None:
    import torch

    runs = contenders()
    best = dict.fromkeys(runs, np.inf)
    for _ in range(ROUNDS):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - began)
    base = best["floor (bare blocks)"]
    lines = [
        "# Benchmarks",
        "",
        f"`make bench`: all {LAYERS} layers of {N_TEXTS} texts of mixed length, GPT-2 {LAYERS} x {WIDTH} with random weights, "
        f"{torch.get_num_threads()} thread(s), torch {torch.__version__}, Python {platform.python_version()}; fastest of "
        f"{ROUNDS} interleaved rounds.",
        "",
        "| reading | seconds | ratio to the floor |",
        "|---|---|---|",
        *[f"| {name} | {seconds:.2f} | {seconds / base:.2f} |" for name, seconds in best.items()],
        "",
        "Not measured yet: steering-vectors and repeng (each in an environment of its own), discovery over large SAEs,",
        "peak memory at 1x, 4x and 16x stimuli.",
        "",
    ]
    text = "\n".join(lines)
    (Path(__file__).parent / "results.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
