"""What is trained with a seed: SAEs, a subject, a judge."""

from __future__ import annotations

import gzip
import itertools
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

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


@cache
def _small_saes() -> tuple[Any, list[Any]]:
    """Figures and SAEs of a short training on the bundled subject."""
    texts = [s.text for s in ei.scene_stimuli(("en",))]
    small = {"tokens": 4096, "batch_tokens": 512, "d_sae": 64, "k": 8, "layers": (1, 2), "context": 64, "seed": 1}
    with tempfile.TemporaryDirectory() as folder:
        recipe = shared.default(ei.train_saes, "recipe", **small)
        made = ei.train_saes(shared.subject(), texts, Path(folder) / "saes", recipe)
        return made.to_frame(), made.saes()


@table
def trained_saes() -> Parts:
    frame, saes = _small_saes()
    yield "table", frame[[c for c in frame if not any(v in str(c) for v in VOLATILE)]]
    for sae in saes:
        layer = sae.cfg.metadata.hook_name
        for name, tensor in sorted(sae.state_dict().items()):
            yield f"{layer}.{name}", np.asarray(tensor.detach().float())


def _in_turn(frame: Any) -> Any:
    """Rows of the first site of every layer, then those of the second, as once they were."""
    turn = frame.groupby("layer")["site"].transform(lambda sites: sites.factorize()[0])
    return frame.iloc[turn.to_numpy().argsort(kind="stable")].reset_index(drop=True)


@table
def two_saes_at_a_layer() -> Parts:
    """The bundled SAEs of two layers, and a second one at each."""
    bundled = shared.subject()
    saes = [bundled.saes[site] for site in bundled.sites if site.layer in (1, 2)] + _small_saes()[1]
    subject = ei.Subject(bundled.model, saes=saes, tokenizer=bundled.tokenizer, name="two")
    yield "sites", [str(site) for site in subject.sites]
    yield "logits", lambda: subject.generate(shared.TEXTS, max_new_tokens=4, do_sample=False)
    chosen = shared.default(ei.find_features, "selection", max_q=0.5, min_coverage=0.1, min_specificity=0.5)
    found = ei.find_features(subject, shared.few(), stimuli="scenes", selection=chosen)
    yield from shared.bank_parts(found)
    yield "by_layer", lambda: shared.full_table(found, layer=2)
    options: dict[str, Any] = {"folds": 4, "n_permutations": 9, "n_bootstrap": 19, "outside_draws": 3, "max_words": 150}
    yield "ratings", _in_turn(ei.predict_ratings(subject, shared.own_norms(), found, **options).to_frame())
    yield "universality", ei.universality(found, "en", "zh", n_permutations=99).to_frame
    yield "transfer", ei.transfer(subject, shared.few(), found, "words", n_resamples=49).to_frame
    yield "controls", ei.feature_controls(subject, shared.few(), found, rows="kept").to_frame
    yield "outputs", ei.output_scores(subject, found, n_random=19).to_frame
    yield "trace", ei.emotion_trace(subject, shared.TEXTS[0], found).to_frame
    grid = ei.dose_response(subject, found, shared.PAIR, [0.3], shared.PROMPTS["en"][0], method="sae", n_random=9)
    yield "dose_response", grid.to_frame
    yield "probes", ei.sparse_probes(subject, shared.few(), (2,)).to_frame
    space = [ei.emotion_space(found, site, "dense", "en") for site in found.sites]
    yield "spaces", {str(site): s.vectors for site, s in zip(found.sites, space, strict=True)}


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
