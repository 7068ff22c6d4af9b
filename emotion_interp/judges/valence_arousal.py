"""The judge of the dial: valence and arousal of English texts, learned from EmoBank's readers."""

from __future__ import annotations

import copy
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline

from emotion_interp.core.errors import EmotionInterpError, FileFormatError, NotFiniteError
from emotion_interp.core.files import atomic_file
from emotion_interp.core.languages import warn_of_language
from emotion_interp.core.markup import facts_html
from emotion_interp.judges.parts import fresh_vectorizer, term_list

FORMAT = 1
KIND = "valence_arousal"
DIMENSIONS = ("valence", "arousal")

LEAST_PROBABILITY = 1e-4
"""Added to the emotion judge's probabilities before their logarithm."""

READS = ("en", "comments")
"""Emotion judges whose probabilities a regression may read; the second has read no story."""


@dataclass(frozen=True, eq=False)
class ValenceArousalJudge:
    """Ridge regression of reader ratings on n-grams and on the English judge's log probabilities.

    Attributes:
        vectorizers: TF-IDF of words and of characters.
        weights: [dimension, n-gram and class]; intercept: [dimension].
        centre: [class], of the log probabilities over the training texts; an input is `share` times its z-score.
        spread: [class], of the log probabilities over the training texts; an input is `share` times its z-score.
        emotions: the pipeline that gives the probabilities.
        scores: "valence_r_test" and so on: Pearson r with reader ratings.
        reads: name of the emotion judge, "en" or "comments" (which has read no story).
    """

    vectorizers: tuple[TfidfVectorizer, ...]
    weights: np.ndarray
    intercept: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    share: float
    emotions: Pipeline
    scores: Mapping[str, float]
    dimensions: tuple[str, ...] = DIMENSIONS
    language: str = "en"
    reads: str = "en"

    def _repr_html_(self) -> str:
        return facts_html(
            self, {"language": self.language, "reads": self.reads, **{k: f"{v:.3f}" for k, v in self.scores.items()}}
        )

    def predict(self, texts: Sequence[str], /) -> np.ndarray:
        """Valence and arousal on EmoBank's scale, 1 to 5 with 3 in the middle: [text, 2], float64.

        Raises:
            EmotionInterpError: a bare string, or something else than strings.

        Example:
            >>> from emotion_interp.judges import load_judge
            >>> pleasant, sad = load_judge("emobank").predict(["What a wonderful day!", "Her child was killed."])[:, 0]
            >>> bool(pleasant > sad)
            True
        """
        if isinstance(texts, str) or not all(isinstance(t, str) for t in texts):
            raise EmotionInterpError("texts are a list of strings.")
        if not len(texts):
            return np.zeros((0, len(self.dimensions)))
        warn_of_language(list(texts), self.language, "judge of valence and arousal")
        inputs = design_matrix(self.vectorizers, self.emotions, list(texts), self.centre, self.spread, self.share)
        return np.asarray(inputs @ self.weights.T + self.intercept, dtype=np.float64)

    def __repr__(self) -> str:
        figures = ", ".join(f"{d} r {self.scores.get(f'{d}_r_test', float('nan')):.2f}" for d in self.dimensions)
        return f"ValenceArousalJudge({self.language!r}, {figures} on EmoBank's test split)"


def log_probabilities(emotions: Pipeline, texts: Sequence[str]) -> np.ndarray:
    """Log probability of every class of the emotion judge, "neutral" among them: [text, class]."""
    return np.log(np.asarray(emotions.predict_proba(list(texts)), dtype=np.float64) + LEAST_PROBABILITY)


def design_matrix(
    vectorizers: Sequence[TfidfVectorizer],
    emotions: Pipeline,
    texts: Sequence[str],
    centre: np.ndarray,
    spread: np.ndarray,
    share: float,
) -> Any:
    """Inputs of the regression, sparse [text, n-gram and class]."""
    known = csr_matrix(share * (log_probabilities(emotions, texts) - centre) / spread)
    return hstack([*(v.transform(texts) for v in vectorizers), known]).tocsr()


def read_valence_arousal(
    path: Path, content: Mapping[str, Any], emotions: Pipeline, digest: str
) -> ValenceArousalJudge:
    """The judge of a file's content, if its parts fit each other and the emotion judge it was trained with.

    Raises:
        FileFormatError: parts are missing, of another type, or do not fit.
        NotFiniteError: NaN among the weights.
    """
    needed = {"vectorizers", "terms", "weights", "intercept", "centre", "spread", "share", "judge", "scores"}
    if content.get("format") != FORMAT or not needed <= set(content):
        raise FileFormatError(f"{path} is no valence and arousal judge of format {FORMAT}; make it again.")
    if content["judge"] != digest:
        raise FileFormatError(
            f"{path} was trained with another English judge than the one beside it; train it again after train_judge."
        )
    given, stored = content["vectorizers"], content["terms"]
    if not isinstance(given, (list, tuple)) or not isinstance(stored, (list, tuple)) or len(given) != len(stored):
        raise FileFormatError(f"{path} is damaged: it needs one list of n-grams for each TF-IDF.")
    vectorizers = tuple(fresh_vectorizer(path, v, term_list(path, t)) for v, t in zip(given, stored, strict=True))
    try:
        arrays = {k: np.asarray(content[k], dtype=np.float64) for k in ("weights", "intercept", "centre", "spread")}
        scores = {str(k): float(v) for k, v in content["scores"].items()}
        share = float(content["share"])
    except (ValueError, TypeError, AttributeError) as error:
        raise FileFormatError(f"{path} is damaged: its weights and scores are no numbers ({error}).") from None
    classes = len(emotions.classes_)
    wanted = {"weights": (2, sum(len(v.vocabulary_) for v in vectorizers) + classes), "intercept": (2,)}
    if any(arrays[k].shape != shape for k, shape in {**wanted, "centre": (classes,), "spread": (classes,)}.items()):
        raise FileFormatError(f"{path} is damaged: its n-grams and weights differ in number.")
    if not all(np.isfinite(a).all() for a in (*arrays.values(), *scores.values(), share)) or not arrays["spread"].all():
        raise NotFiniteError(f"{path} has NaN or infinite weights; the file is damaged.")
    rest = {**arrays, "share": share, "emotions": emotions, "scores": scores}
    rest["reads"] = content.get("reads", READS[0])
    return ValenceArousalJudge(vectorizers, **rest)


def write_valence_arousal(path: str | Path, judge: ValenceArousalJudge, digest: str, limit: int) -> None:
    """Store a judge as one skops file; `digest` is the SHA-256 of the emotion judge it was trained with.

    Raises:
        EmotionInterpError: the file would be larger than `limit` bytes.
    """
    from skops.io import dumps

    bare, terms = [], []
    for vectorizer in judge.vectorizers:
        # one string loads far faster than a record for every n-gram
        terms.append(json.dumps(sorted(vectorizer.vocabulary_, key=lambda t: int(vectorizer.vocabulary_[t]))))
        bare.append(copy.deepcopy(vectorizer))
        bare[-1].vocabulary_ = {}
    content = {
        "format": FORMAT,
        "kind": KIND,
        "language": judge.language,
        "vectorizers": bare,
        "terms": terms,
        # half precision is enough for a coefficient
        "weights": judge.weights.astype(np.float16),
        "intercept": judge.intercept,
        "centre": judge.centre,
        "spread": judge.spread,
        "share": judge.share,
        "judge": digest,
        "reads": judge.reads,
        "scores": dict(judge.scores),
    }
    raw = dumps(content, compression=zipfile.ZIP_DEFLATED, compresslevel=9)
    if len(raw) > limit:
        raise EmotionInterpError(f"the judge takes {len(raw):,} bytes, more than {limit:,}; use fewer n-grams.")
    with atomic_file(path) as temporary:
        temporary.write_bytes(raw)
