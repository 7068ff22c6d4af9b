"""Peak memory of reading at 1x, 4x and 16x the stimuli: `python -m benchmarks.memory`; of SAEs: `python -m benchmarks.memory saes`; of loading 4-bit weights: `python -m benchmarks.gguf`.

Every reading has a process of its own, whose peak (resource.getrusage) includes Python, torch, the model, the texts
and the result that is returned. Texts are all different, as a user's would be.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import memory_loading

SIZES = (1, 4, 16)
CASES = {
    "bundled subject, one unit per text": ("bundled", "texts"),
    "bundled subject, more carriers per word": ("bundled", "words"),
    "bundled subject, find_features on labelled texts": ("bundled", "search"),
    "random model, SAEs of 24,576 latents, one unit per text": ("wide", "texts"),
}


def make_subject(name: str) -> Any:
    """The bundled subject, or a random model of two layers with two random SAEs of 24,576 latents."""
    import torch
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.sae import SAEMetadata
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    import emotion_interp as ei
    from emotion_interp.activations import read_units
    from emotion_interp.core import Site
    from emotion_interp.subjects.loading import bundled_folder

    if name == "bundled":
        return ei.load_subject()
    tokenizer = AutoTokenizer.from_pretrained(bundled_folder() / "model")
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=64, n_layer=2, n_head=2)).eval()
    saes = []
    bare = ei.Subject(model, tokenizer=tokenizer, name="wide")
    sites = [Site(layer) for layer in range(2)]
    seen = read_units(bare, make_texts(1, 64), np.arange(64), sites=sites, position="end")
    for layer in range(2):
        metadata = SAEMetadata(hook_name=f"blocks.{layer}.hook_resid_post", model_name="wide")
        sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=64, d_sae=24_576, metadata=metadata))
        with torch.no_grad():
            rows = torch.nn.functional.normalize(torch.randn(24_576, 64), dim=1)
            sae.W_dec.copy_(rows)
            sae.W_enc.copy_(rows.T)
            # about 100 latents of a token
            sae.threshold.fill_(float(np.quantile(seen[Site(layer)].dense @ rows.T.numpy(), 1 - 100 / 24_576)))
        saes.append(sae)
    return ei.Subject(model, saes=saes, tokenizer=tokenizer, name="wide")


def make_texts(times: int, n: int) -> list[str]:
    """`times` x `n` different texts: scenes with their words in another order."""
    from emotion_interp.concepts import scene_stimuli

    scenes = [s.text for s in scene_stimuli(["en"])][:n]
    rng = np.random.default_rng(0)
    return [" ".join(rng.permutation(text.split())) for _ in range(times) for text in scenes]


def make_stimuli(times: int) -> list[Any]:
    """`times` x the English scenes, labelled, each with its words in another order."""
    from emotion_interp.concepts import scene_stimuli

    rng = np.random.default_rng(0)
    return [
        replace(s, text=text, span=(0, len(text)), word=f"{s.word} {t}", group=f"{s.group} {t}")
        for t in range(times)
        for s in scene_stimuli(["en"])
        for text in [" ".join(rng.permutation(s.text.split()))]
    ]


def measure(subject: str, stimuli: str, times: int) -> dict[str, float]:
    """Peak before and after one reading, in MB, and what it returned."""
    import emotion_interp as ei
    from emotion_interp.activations import read_stimuli, read_units
    from emotion_interp.features.design import design_stimuli

    loaded = make_subject(subject)
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # noqa: E731
    before, began = peak(), time.perf_counter()
    if stimuli == "search":
        found = ei.find_features(loaded, ei.concept_set("en"), stimuli=make_stimuli(times))
        return {
            "stimuli": len(found.words),
            "peak MB": round(peak(), 1),
            "peak before reading MB": round(before, 1),
            "result MB": round(found.activations.memory_usage(deep=True).sum() / 2**20, 1),
            "seconds": round(time.perf_counter() - began, 1),
        }
    if stimuli == "texts":
        texts = make_texts(times, 508)
        # the wide SAEs read one token of a text, or the encoder would be all that is measured
        readings = read_units(loaded, texts, np.arange(len(texts)), position="text" if subject == "bundled" else "end")
        n = len(texts)
    else:
        design = design_stimuli(ei.concept_set("en"), "words", 0)
        carried = design.stimuli * times
        readings = read_stimuli(loaded, carried, np.tile(design.units, times))
        n = len(carried)
    entries = sum(r.features.nnz for r in readings.values() if r.features is not None)
    held = entries * 16 + sum(r.dense.nbytes for r in readings.values())
    return {
        "stimuli": n,
        "peak MB": round(peak(), 1),
        "peak before reading MB": round(before, 1),
        "result MB": round(held / 2**20, 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    asks = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asks.add_argument("what", nargs="?", default="reading", choices=("reading", "saes"))
    asks.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = asks.parse_args()
    if given.one:
        subject, stimuli, times = given.one
        print(json.dumps(measure(subject, stimuli, int(times))))
        return
    import pandas as pd

    if given.what == "saes":
        print(pd.DataFrame(memory_loading.saes()).to_string(index=False))
        return
    rows = []
    for name, (subject, stimuli) in CASES.items():
        for times in SIZES:
            command = [sys.executable, "-m", "benchmarks.memory", "--one", subject, stimuli, str(times)]
            # the peak of a child starts at its parent's, so the parent loads nothing heavy
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, env=dict(os.environ), cwd=Path(__file__).parents[1]
            )
            row = json.loads(done.stdout.strip().splitlines()[-1])
            first = rows[-1]["first"] if times != SIZES[0] else row["peak MB"]
            rows.append(
                {"case": name, "times": times, **row, "ratio": round(row["peak MB"] / first, 3), "first": first}
            )
            print(rows[-1], file=sys.stderr, flush=True)
    print(pd.DataFrame(rows).drop(columns="first").to_string(index=False))


if __name__ == "__main__":
    main()
