"""What is trained with a seed: SAEs, a subject, a judge."""

from __future__ import annotations

import inspect
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import emotion_interp as ei
from benchmarks.same_tables import shared
from benchmarks.same_tables.registry import Parts, table

VOLATILE = ("seconds", "minutes", "out", "path", "folder", "time")


def _recipe(function: Any, **changes: Any) -> Any:
    """A function's default recipe, made small."""
    return replace(inspect.signature(function).parameters["recipe"].default, **changes)


@table
def trained_saes() -> Parts:
    texts = [s.text for s in ei.scene_stimuli(("en",))]
    recipe = _recipe(ei.train_saes, tokens=4096, batch_tokens=512, d_sae=64, k=8, layers=(1, 2), context=64, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        made = ei.train_saes(shared.subject(), texts, Path(folder) / "saes", recipe)
        frame = made.to_frame()
        yield "table", frame[[c for c in frame if not any(v in str(c) for v in VOLATILE)]]
        for sae in made.saes():
            layer = sae.cfg.metadata.hook_name
            for name, tensor in sorted(sae.state_dict().items()):
                yield f"{layer}.{name}", np.asarray(tensor.detach().float())


@table
def trained_subject() -> Parts:
    folder = shared.data()
    if folder is None:
        return
    recipe = _recipe(
        ei.train_subject, layers=1, d_model=16, heads=2, context=32, vocab_size=300, tokens=3 * 4 * 32, batch=4
    )
    with tempfile.TemporaryDirectory() as out:
        path = ei.train_subject(folder, out, recipe, report=lambda line: None)
        from safetensors.numpy import load_file

        yield from sorted(load_file(next(Path(path).rglob("*.safetensors"))).items())
