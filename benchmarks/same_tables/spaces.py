"""Emotion spaces against human norms, and predicted ratings."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import emotion_interp as ei
from benchmarks.same_tables import shared
from benchmarks.same_tables.registry import Parts, table
from benchmarks.same_tables.shared import bank, concepts, few, own_norms, scenes_bank, subject, words_bank

KINDS = ("features", "decoder", "dense")
FEW = {"n_permutations": 199, "n_bootstrap": 199}


def _space(space: Any, name: str) -> Parts:
    """Vectors and units of a space, and of what stands beside it."""
    yield name, space.to_frame
    if space.units is not None:
        yield f"{name}_units", lambda: np.asarray(space.units)
        yield f"{name}_unit_emotions", lambda: list(space.unit_emotions)
    for beside in sorted(space.baselines):
        yield f"{name}_beside_{beside}", space.baselines[beside].to_frame


@table
def emotion_spaces() -> Parts:
    for kind in KINDS:
        for language in ("en", "zh"):
            yield from _space(ei.emotion_space(bank(), 2, kind, language), f"shipped_{kind}_{language}")
        yield from _space(ei.emotion_space(scenes_bank(), 2, kind), f"scenes_{kind}")
    yield from _space(ei.emotion_space(words_bank(), 1, "dense"), "words_dense")
    yield "subset", lambda: ei.emotion_space(bank(), 2, "dense").subset(["fear", "joy"]).to_frame()


@table
def align() -> Parts:
    for kind in KINDS:
        fit = ei.align(ei.emotion_space(bank(), 2, kind, "en"), ei.load_norms(), seed=1, **FEW)
        yield f"{kind}_table", fit.to_frame
        yield f"{kind}_points", lambda fit=fit: fit.points
        for name in ("valence", "arousal", "rsa", "procrustes", "readout", "circumplex"):
            yield f"{kind}_{name}", lambda fit=fit, name=name: getattr(fit, name)
        for name in sorted(fit.increments):
            yield f"{kind}_increment_{name}", fit.increments[name].to_frame
    words = {e: concepts().words(e, "en") for e in concepts().emotions}
    space = ei.emotion_space(bank(), 1, "dense", "en")
    yield "by_words", ei.align(space, own_norms(), coordinates="words", words=words, **FEW).to_frame
    if shared.data():
        yield "warriner", ei.align(space, ei.load_norms("warriner"), **FEW).to_frame


@table
def align_layers() -> Parts:
    found = ei.align_layers([ei.emotion_space(bank(), k, "dense", "en") for k in (1, 2)], ei.load_norms(), **FEW)
    yield "table", found.to_frame
    yield "increments", found.increments


@table
def control_spaces() -> Parts:
    for name, options in (("words", {"bank": words_bank()}), ("scenes", {"bank": scenes_bank()})):
        controls = ei.control_spaces(subject(), few(), 2, "en", **options)
        for control in sorted(controls):
            yield from _space(controls[control], f"{name}_{control}")
    own = ei.control_spaces(subject(), few(), 1, "zh", seed=3)
    for control in sorted(own):
        yield from _space(own[control], f"own_{control}")


@table
def compare_spaces() -> Parts:
    spaces = {str(layer): ei.emotion_space(bank(), layer, "dense", "en") for layer in (0, 2, 3)}
    found = ei.compare_spaces(spaces, n_permutations=99)
    yield "table", found.to_frame
    yield "matrix", found.matrix


@table
def cebra() -> Parts:
    space = ei.emotion_space(scenes_bank(), 2, "features", "en")
    found = ei.cebra_space(space, iterations=20, n_folds=3)
    yield from _space(found, "space")
    yield "loss", lambda: list(found.loss)


@table
def text_baselines() -> Parts:
    scenes = [s for s in ei.scene_stimuli(("en",)) if s.emotion != "neutral"]
    texts, emotions = [s.text for s in scenes], [s.emotion for s in scenes]
    spaces = ei.text_baselines(texts, emotions, language="en", keep_units=True)
    for name in sorted(spaces):
        yield from _space(spaces[name], name)
    read = ei.text_spaces(subject(), texts, emotions, sites=[subject().sites[2]], skip=5, language="en")
    for (site, kind), space in sorted(read.items(), key=str):
        yield from _space(space, f"read_{site}_{kind}")
        gain = ei.text_increment(space, spaces["text"], ei.load_norms(), n_permutations=99, n_bootstrap=99)
        yield f"increment_{site}_{kind}", gain.to_frame
        yield f"increment_figures_{site}_{kind}", lambda gain=gain: gain


@table
def spaces_from_files() -> Parts:
    space = ei.emotion_space(bank(), 2, "dense", "en")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "space.npz"
        np.savez(path, vectors=space.vectors, emotions=np.asarray(space.emotions))
        read = ei.load_space(path, layer=2)
    yield from _space(read, "npz")
    units = ei.EmotionSpace.from_units(np.arange(12.0).reshape(6, 2) ** 2, ["joy", "fear", "joy"] * 2)
    yield from _space(units, "units")


@table
def predict_ratings() -> Parts:
    small = {"folds": 4, "n_permutations": 19, "n_bootstrap": 49, "outside_draws": 5}
    yield from _ratings(ei.predict_ratings(subject(), own_norms(), bank(), layers=[2], **small), "own")
    built_in = ei.predict_ratings(subject(), ei.load_norms(), layers=[1], folds=4, n_permutations=19, n_bootstrap=49)
    yield from _ratings(built_in, "builtin")
    if shared.data():
        first = ei.load_norms("warriner")
        first = first.subset(first.words[:600])
        yield from _ratings(ei.predict_ratings(subject(), first, bank(), layers=[2], **small), "warriner")


def _ratings(found: Any, name: str) -> Parts:
    yield f"{name}_table", found.to_frame
    yield f"{name}_predictions", lambda: found.predictions
    pattern = ei.paper_pattern(found, n_bootstrap=99)
    yield f"{name}_pattern", pattern.to_frame
    yield f"{name}_verdicts", lambda: pattern.verdicts


@table
def learning_curve() -> Parts:
    curve = ei.learning_curve(
        subject(), own_norms(), bank(), [60, 120], layers=[2], repeats=2, folds=3, n_bootstrap=49, seed=2
    )
    yield "table", curve.to_frame
