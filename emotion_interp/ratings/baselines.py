"""What predicts ratings without the subject's context: static embedding, mere length, word frequency, the text's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.concepts.text_baseline import TextVectors, encode_texts, encoder_folder
from emotion_interp.core.errors import EmotionInterpError, tell
from emotion_interp.features.matched import log_frequency
from emotion_interp.geometry.controls import static_embeddings
from emotion_interp.ratings.predict import Ratings, WordActivations, predict_from_activations

if TYPE_CHECKING:
    from emotion_interp.core.types import Site
    from emotion_interp.subjects import Subject

BASELINES = ("static", "length", "frequency", "text", "encoder")
TEXT_COMPONENTS = 300
"""Singular vectors of TF-IDF that stand for it: a ridge on thousands of terms would take minutes."""


def baseline_ratings(
    subject: Subject,
    parts: Sequence[WordActivations],
    sites: Sequence[Site],
    folds: int,
    seed: int,
    n_permutations: int = 199,
    n_bootstrap: int = 500,
) -> list[Ratings]:
    """The ratings predicted from "static" (mean input embedding of a word's tokens), "length" (characters, tokens),
    "frequency" (Zipf, where wordfreq knows the language), and of rated sentences "text" (TF-IDF) and, where a sentence
    encoder is present, "encoder".

    The first part is learnt, the others are predicted from it, on the folds of `predict_from_activations`. The rows
    come once for each site, all the same, so that they lie beside that site's own.
    """
    frames = []
    for name, matrices in _baselines(subject, parts).items():
        trained, *others = (
            WordActivations({0: matrix}, part.words, part.norms, part.language, part.groups)
            for matrix, part in zip(matrices, parts, strict=True)
        )
        once = predict_from_activations(
            trained.activations,
            trained.words,
            trained.norms,
            {0: {name: None}},
            trained.language,
            folds=folds,
            seed=seed,
            groups=trained.groups,
            transfer=others,
            n_permutations=n_permutations,
            n_bootstrap=n_bootstrap,
        )
        for site in sites:
            place: dict[str, object] = {"layer": site.layer, "site": str(site)}
            frames.append(Ratings(once.table.assign(**place), once.predictions.assign(**place)))
    return frames


def _baselines(subject: Subject, parts: Sequence[WordActivations]) -> dict[str, list[np.ndarray]]:
    """Name -> [word, dimension] of every part."""
    matrices = {
        "static": [static_embeddings(subject, part.words, part.language) for part in parts],
        "length": [word_lengths(subject, part.words, part.language) for part in parts],
    }
    if all(np.isfinite(log_frequency("a", part.language)) for part in parts):
        matrices["frequency"] = [
            np.nan_to_num([[log_frequency(w, part.language, part.norms.unit == "word")] for w in part.words])
            for part in parts
        ]
    if any(part.norms.unit == "sentence" for part in parts):
        matrices |= _text_baselines(parts)
    return matrices


def _text_baselines(parts: Sequence[WordActivations]) -> dict[str, list[np.ndarray]]:
    """TF-IDF (its first components; terms of the first part) and, where it reads all languages, a sentence encoder."""
    trained = parts[0]
    try:
        vectors = TextVectors(trained.words, trained.language)
    except EmotionInterpError as error:
        tell(f"no text-only row stands beside these ratings: {error}")
        return {}
    terms = vectors(trained.words)
    n_components = min(TEXT_COMPONENTS, min(terms.shape) - 1)
    if n_components > 0:
        # slow to import, and the shell imports this room before it knows that its values are right
        from sklearn.decomposition import TruncatedSVD

        with np.errstate(divide="ignore", invalid="ignore"):
            svd = TruncatedSVD(n_components, random_state=0).fit(terms)
        matrices = {"text": [svd.transform(vectors(part.words)) for part in parts]}
    else:
        matrices = {"text": [vectors(part.words).toarray() for part in parts]}
    folders = {encoder_folder(part.language) for part in parts}
    folder = folders.pop()
    if folder is not None and not folders:
        matrices["encoder"] = [encode_texts(part.words, folder) for part in parts]
    return matrices


def word_lengths(subject: Subject, words: Sequence[str], language: str) -> np.ndarray:
    """Characters and tokens of each word: [word, 2]."""
    gap = "" if language in ("zh", "ja", "th") else " "
    encoded = subject.tokenizer([gap + w for w in words], add_special_tokens=False)["input_ids"]
    return np.array([[len(word), len(ids)] for word, ids in zip(words, encoded, strict=True)], dtype=np.float64)
