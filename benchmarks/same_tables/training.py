"""What is trained with a seed: SAEs, a subject, a judge."""

from __future__ import annotations

import gzip
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

import emotion_interp as ei
from benchmarks.same_tables import shared
from benchmarks.same_tables.registry import Parts, table

LINES, STORIES = 300, 40
VOLATILE = ("seconds", "minutes", "out", "path", "folder", "time")


def _few_lines(data: Path, folder: Path) -> Path:
    """The labelled texts and corpora of a data folder, each file cut to a few of its lines."""
    for path in sorted(p for room in ("labelled", "corpora") for p in (data / room).rglob("*") if p.is_file()):
        copy = folder / path.relative_to(data)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            rows = json.loads(path.read_text(encoding="utf-8"))
            copy.write_text(json.dumps(rows[:LINES] if isinstance(rows, list) else rows), encoding="utf-8")
        elif path.suffix == ".gz":
            with gzip.open(path, "rb") as lines, gzip.open(copy, "wb") as out:
                # stories lie by topic: some of each; novels are pages in order
                step = STORIES if path.name.endswith(".jsonl.gz") else 1
                out.writelines(itertools.islice(lines, 0, LINES * step, step))
        else:
            with path.open("rb") as lines:
                copy.write_bytes(b"".join(itertools.islice(lines, LINES)))
    return folder


@table
def trained_saes() -> Parts:
    texts = [s.text for s in ei.scene_stimuli(("en",))]
    recipe = shared.default(
        ei.train_saes, "recipe", tokens=4096, batch_tokens=512, d_sae=64, k=8, layers=(1, 2), context=64, seed=1
    )
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
    recipe = shared.default(
        ei.train_subject,
        "recipe",
        layers=1,
        d_model=16,
        heads=2,
        context=32,
        vocab_size=300,
        tokens=3 * 4 * 32,
        batch=4,
    )
    with tempfile.TemporaryDirectory() as out:
        few = _few_lines(folder, Path(out) / "data")
        path = ei.train_subject(few, Path(out) / "subject", recipe, report=lambda line: None)
        yield from sorted(load_file(next(Path(path).rglob("*.safetensors"))).items())


@table
def trained_judges() -> Parts:
    folder = shared.data()
    if folder is None:
        return
    with tempfile.TemporaryDirectory() as out:
        few = _few_lines(folder, Path(out) / "data")
        for language, stories, texts in (
            ("en", True, shared.TEXTS),
            ("en", False, shared.TEXTS),
            ("zh", True, shared.CHINESE),
        ):
            name = language if stories else "comments"
            yield f"{name}_scores", ei.train_judge(few, Path(out) / name, language, seed=1, stories=stories)
            judge = ei.load_judge(next((Path(out) / name).glob("*.skops")))
            answers = judge.pipeline.predict_proba(texts) if hasattr(judge, "pipeline") else judge.predict_proba(texts)
            yield f"{name}_answers", answers
