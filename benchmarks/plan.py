"""What `ei.plan` says against what loading and reading small subjects takes: `python -m benchmarks.plan` writes docs/results/plan.md.

Each subject is planned from its folder (configuration alone) and then loaded and read, in a process of its own, with one
thread; seconds are processor seconds. The plan's seconds come from its calibration: blocks of the shape with random weights.
Memory: bytes of the storages that are held (a view of another tensor costs nothing), and the peak of the process's
memory above what it had before loading, mapped files apart, with those of the tensors that lie in files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

TEXTS, LENGTH = 400, 14
SUBJECTS = {
    "bundled": None,
    "Llama, 12 x 512": ("llama", 12, 512, 1408),
    "GPT-2 small, 12 x 768": ("gpt2", 12, 768, 3072),
    "Gemma 2, 10 x 640": ("gemma2", 10, 640, 2048),
}
D_SAE = 4096
PAGE = Path(__file__).parents[1] / "docs" / "results" / "plan.md"
HEAD = f"""# The plan against small subjects

What `emotion-interp plan` says beforehand, from configurations alone, against what loading and reading a subject then took,
each in a process of its own with one thread. Except for the bundled subject the weights are random, with SAEs of {D_SAE:,} latents
at two layers; {TEXTS} texts of {LENGTH} tokens are read.

- parameters held: elements of all storages of the wrapped model. A view of another tensor costs nothing; where a family
  keeps queries, keys and values interleaved in one matrix (GPT-NeoX, Bloom, Falcon, CodeGen, MPT), TransformerLens keeps
  sorted copies of them beside it, which the plan counts (`tests/families/test_families_sizes.py` counts them for real
  configurations of every family);
- tensors MB: bytes of these and of the SAEs, in float32;
- peak MB: the most memory of the process beyond what it had with all libraries imported, weights that lie in mapped files
  included (the system counts those pages or drops them as memory is free, so that a process's own peak says little); a plan adds to the tensors 80 MiB that
  any subject brings (modules imported at first use, a tokenizer, logits that are compared) and a batch's activations;
- seconds: processor seconds of reading, against a plan that timed blocks of the model's shape on this machine (`--calibrate`) and
  took the fastest of three timings: the more a machine is shared, the slower is the reading than the plan.

Planned figures are to be within 25% of the measured ones. Speeds of named cards are not in this table: they are nominal figures
of data sheets, which `--card` replaces.
"""


def make(root: Path, family: str, layers: int, width: int, inner: int) -> None:
    """A random model of a family and SAEs at two of its layers."""
    import torch
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.sae import SAEMetadata
    from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config, GPT2Config, LlamaConfig

    from emotion_interp.subjects.loading import bundled_folder

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(bundled_folder() / "model")
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    shape = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": inner, "num_attention_heads": 8}
    keys = {"num_key_value_heads": 4, "head_dim": width // 8}
    if family == "gpt2":
        config: Any = GPT2Config(
            vocab_size=len(tokenizer), n_embd=width, n_layer=layers, n_head=8, n_inner=inner, n_positions=256, **ids
        )
    else:
        kind = LlamaConfig if family == "llama" else Gemma2Config
        config = kind(vocab_size=len(tokenizer), **shape, **keys, **ids)
    AutoModelForCausalLM.from_config(config).save_pretrained(root / "model")
    tokenizer.save_pretrained(root / "model")
    for layer in (layers // 2, layers - 2):
        metadata = SAEMetadata(hook_name=f"blocks.{layer}.hook_resid_post", model_name="random")
        sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=width, d_sae=D_SAE, metadata=metadata))
        with torch.no_grad():
            sae.W_enc.normal_(std=width**-0.5)
            sae.W_dec.normal_(std=width**-0.5)
            sae.threshold.fill_(3.0)
        sae.save_model(root / "saes" / f"layer_{layer}")


def places(root: str) -> tuple[Any, Any]:
    """The model and the SAEs of a subject's folder; "" is the bundled one."""
    from emotion_interp.subjects.loading import bundled_folder

    return (None, bundled_folder() / "saes") if not root else (f"{root}/model", f"{root}/saes")


def planned(root: str) -> dict[str, float]:
    """What the plan says."""
    import torch

    import emotion_interp as ei

    torch.set_num_threads(1)
    model, saes = places(root)
    found = ei.plan(model, saes, texts=TEXTS, length=LENGTH, calibrate=True)
    row = found.to_frame().iloc[0]
    return {
        "parameters held": found.architecture.held_parameters,
        "tensors MB": (row["weights_gib"] + row["saes_gib"]) * 1024,
        "peak MB": row["total_gib"] * 1024,
        "seconds": found.seconds_here or 0.0,
    }


def measured(root: str) -> dict[str, float]:
    """What loading and reading takes."""
    import numpy as np
    import sae_lens  # noqa: F401
    import torch
    import transformers  # noqa: F401
    from transformer_lens.model_bridge import TransformerBridge  # noqa: F401

    import emotion_interp as ei
    from emotion_interp.activations import read_units
    from emotion_interp.study.calibration import random_texts

    torch.set_num_threads(1)
    before = anonymous()
    peak = Peak()
    peak.start()
    model, saes = places(root)
    subject = ei.load_subject(model, saes=saes)
    original = subject.model.original_model
    weights = storages([*original.parameters()])
    held = weights | storages([p for sae in subject.saes.values() for p in sae.parameters()])
    texts = random_texts(subject.tokenizer, TEXTS, LENGTH)
    read_units(subject, texts[:50], np.arange(50), position="end")
    began = time.process_time()
    read_units(subject, texts, np.arange(TEXTS), position="end")
    seconds = time.process_time() - began
    peak.done.set()
    peak.join()
    return {
        "parameters held": sum(weights.values()) / 4,
        "tensors MB": sum(held.values()) / 2**20,
        "peak MB": (peak.most - before + in_files(held)) / 2**20,
        "seconds": seconds,
    }


def storages(tensors: list[Any]) -> dict[int, int]:
    """Bytes of what tensors lie in, each place once."""
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}


def anonymous() -> int:
    """Bytes of this process that are no pages of a file."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


class Peak(threading.Thread):
    """The most anonymous memory while it runs, looked at every few milliseconds.

    Weights that were mapped from their file are not in it: the system counts such pages or drops them as memory is free.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.done = 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.005):
            self.most = max(self.most, anonymous())


def in_files(held: dict[int, int]) -> int:
    """Bytes of storages that lie in mapped files."""
    ranges = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, _, _, _, inode, *_ = line.split()
        if inode != "0":
            ranges.append(tuple(int(end, 16) for end in place.split("-")))
    return sum(size for at, size in held.items() if any(start <= at < end for start, end in ranges))


def table(rows: list[dict[str, Any]]) -> str:
    """The page of docs/results."""
    lines = [HEAD, "| subject | figure | planned | measured | planned / measured |", "|---|---|---|---|---|"]
    for row in rows:
        digits = 0 if row["figure"] == "parameters held" else 1
        shown = [f"{row[k]:,.{digits}f}" for k in ("planned", "measured")]
        lines.append(f"| {row['subject']} | {row['figure']} | {' | '.join(shown)} | {row['ratio']:.2f} |")
    off = [row for row in rows if not 0.75 <= row["ratio"] <= 1.25]
    said = "; ".join(f"{row['figure']} of {row['subject']} ({row['ratio']:.2f})" for row in off) or "none"
    shared = f"Processes that wanted a core, mean of 15 minutes: {os.getloadavg()[2]:.0f} on {os.cpu_count()} cores."
    return "\n".join([*lines, "", f"Outside 25%: {said}.", "", shared, "", "Made by `python -m benchmarks.plan`.", ""])


def main(arguments: list[str]) -> None:
    match arguments:
        case ["planned", root]:
            print(json.dumps(planned(root)))
            return
        case ["measured", root]:
            print(json.dumps(measured(root)))
            return
        case ["make", root, family, layers, width, inner]:
            make(Path(root), family, int(layers), int(width), int(inner))
            return

    def child(*words: str) -> str:
        command = [sys.executable, "-m", "benchmarks.plan", *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
        return done.stdout.strip()

    rows = []
    # all of them, or those whose names begin as was asked
    for name, shape in SUBJECTS.items():
        if arguments and not name.startswith(tuple(arguments)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            root = "" if shape is None else folder
            if shape is not None:
                child("make", root, *map(str, shape))
            said, took = (json.loads(child(what, root).splitlines()[-1]) for what in ("planned", "measured"))
        for figure, value in said.items():
            ratio = value / took[figure] if took[figure] else float("nan")
            rows.append({"subject": name, "figure": figure, "planned": value, "measured": took[figure], "ratio": ratio})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(table(rows))
    if not arguments:
        PAGE.write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
