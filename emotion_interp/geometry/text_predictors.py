"""What the text alone says of single stories, as predictors of a model's activations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotion_interp.concepts.text_baseline import text_readings
from emotion_interp.core.seeds import generator

TERMS = 300
"""Dimensions that TF-IDF is reduced to."""


def text_predictors(
    texts: Sequence[str], learnt: Sequence[int] | np.ndarray, language: str = "en", terms: int = TERMS, seed: int = 0
) -> dict[str, tuple[np.ndarray, ...]]:
    """Blocks of predictors [text, dimension] by name: "text" (TF-IDF reduced by truncated SVD), and where a sentence
    encoder is present "encoder" and "text + encoder".

    Args:
        texts: the stories.
        learnt: those that terms, weights and reduction are learnt from: the stories that the ridge is fitted to.
        language: of the texts.
        terms: dimensions of the reduction, at most; fewer stories or terms give fewer.
        seed: of the reduction.

    Raises:
        EmotionInterpError: the texts share no words.
    """
    from sklearn.decomposition import TruncatedSVD

    learnt_rows = np.asarray(learnt, dtype=int)
    readings = text_readings(texts, language, learnt=learnt_rows)
    counts = readings["text"]
    size = max(1, min(terms, len(learnt_rows) - 1, counts.shape[1] - 1))
    state = int(generator(seed, "reduced TF-IDF").integers(2**31))
    text = TruncatedSVD(size, random_state=state).fit(counts[learnt_rows]).transform(counts)
    predictors: dict[str, tuple[np.ndarray, ...]] = {"text": (text,)}
    if "encoder" in readings:
        predictors |= {"encoder": (readings["encoder"],), "text + encoder": (text, readings["encoder"])}
    return predictors


def with_embedding(
    predictors: dict[str, tuple[np.ndarray, ...]], embedding: object
) -> dict[str, tuple[np.ndarray, ...]]:
    """The same beside the subject's own embedding layer: "embedding", and "all" blocks together."""
    most = max(predictors.values(), key=len)
    vectors = np.asarray(embedding, dtype=np.float64)
    return {**predictors, "embedding": (vectors,), "all": (*most, vectors)}


def noise_like(name: str, n: int, size: int, seed: int) -> np.ndarray:
    """An embedding of the same size that says nothing of the texts: standard normal numbers [text, dimension]."""
    return generator(seed, "noise embedding", name, n).standard_normal((n, size))
