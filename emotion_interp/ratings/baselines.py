"""What predicts ratings without any context: the static embedding of a word, and its mere length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.ratings.predict import Ratings, WordActivations, predict_from_activations

if TYPE_CHECKING:
    from emotion_interp.subjects import Subject

BASELINES = ("static", "length")


def baseline_ratings(
    subject: Subject,
    parts: Sequence[WordActivations],
    layers: Sequence[int],
    folds: int,
    seed: int,
    n_permutations: int = 199,
    n_bootstrap: int = 500,
) -> list[Ratings]:
    """The ratings predicted from "static" (mean input embedding of a word's tokens) and "length" (characters, tokens).

    The first part is learnt, the others are predicted from it, on the folds of `predict_from_activations`. The rows
    come once for each layer, all the same, so that they lie beside that layer's own.
    """
    from emotion_interp.geometry.controls import static_embeddings

    found = []
    readers = {"static": static_embeddings, "length": word_lengths}
    for name in BASELINES:
        own, *others = (
            WordActivations(
                {0: readers[name](subject, part.words, part.language)},
                part.words,
                part.norms,
                part.language,
                part.groups,
            )
            for part in parts
        )
        once = predict_from_activations(
            own.activations,
            own.words,
            own.norms,
            {0: {name: None}},
            own.language,
            folds,
            seed=seed,
            groups=own.groups,
            transfer=others,
            n_permutations=n_permutations,
            n_bootstrap=n_bootstrap,
        )
        found += [Ratings(once.table.assign(layer=layer), once.predictions.assign(layer=layer)) for layer in layers]
    return found


def word_lengths(subject: Subject, words: Sequence[str], language: str) -> np.ndarray:
    """Characters and tokens of each word: [word, 2]."""
    gap = "" if language in ("zh", "ja", "th") else " "
    encoded = subject.tokenizer([gap + w for w in words], add_special_tokens=False)["input_ids"]
    return np.array([[len(word), len(ids)] for word, ids in zip(words, encoded, strict=True)], dtype=np.float64)
