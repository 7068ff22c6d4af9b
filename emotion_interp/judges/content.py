"""How much of a text's content survives steering: overlap of content words, and their TF-IDF similarity."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.judges.next_word import SPACELESS

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_FUNCTION_CHARACTERS = set("的了是在我你他她它们这那有和就不都也与着过吧吗呢啊很把被从到对要会说一个上下里来去又还而")


def content_words(text: str, language: str = "en") -> set[str]:
    """Words that carry content: those off scikit-learn's English stop list; in Chinese, pairs of adjacent characters
    without function characters (a stand-in for words, as no segmenter is needed); elsewhere words of four letters or more.

    Example:
        >>> sorted(content_words("The train was late in the rain"))
        ['late', 'rain', 'train']
    """
    if language in SPACELESS:
        pairs: set[str] = set()
        for run in _WORD.findall(text):
            pairs |= {a + b for a, b in pairwise(run) if not {a, b} & _FUNCTION_CHARACTERS}
        return pairs
    words = {w.lower().replace("’", "'").removesuffix("'s") for w in _WORD.findall(text)}
    if language == "en":
        return {w for w in words if w not in ENGLISH_STOP_WORDS and len(w) > 1 and "'" not in w}
    return {w for w in words if len(w) > 3}


def content_overlap(unsteered: Sequence[str], steered: Sequence[str], language: str = "en") -> np.ndarray:
    """Share of the unsteered text's content words that the steered text still has: [text]; NaN where there are none.

    Give continuations without their prompts, or texts whose prompts are the content that should stay.

    Raises:
        EmotionInterpError: the lists differ in length.

    Example:
        >>> content_overlap(["The train was late."], ["Joy! The train came!"])
        array([0.5])
    """
    _check_pairs(unsteered, steered, "content_overlap")
    result = np.full(len(unsteered), np.nan)
    for i, (before, after) in enumerate(zip(unsteered, steered, strict=True)):
        words = content_words(before, language)
        if words:
            result[i] = len(words & content_words(after, language)) / len(words)
    return result


def content_similarity(unsteered: Sequence[str], steered: Sequence[str], language: str = "en") -> np.ndarray:
    """Cosine of the TF-IDF vectors of content words, each text with its partner: [text]; NaN where one has no such word.

    Unlike the overlap it is symmetric and weighs rare words more; the weights come from all the texts given
    (Salton & Buckley 1988).

    Raises:
        EmotionInterpError: the lists differ in length.

    Example:
        >>> content_similarity(["The train was late."], ["The train was late."])
        array([1.])
    """
    _check_pairs(unsteered, steered, "content_similarity")
    words = [sorted(content_words(text, language)) for text in (*unsteered, *steered)]
    if not any(words):
        return np.full(len(unsteered), np.nan)
    whole: Any = list
    weights: Any = TfidfVectorizer(analyzer=whole, dtype=np.float64).fit_transform(words)
    n = len(unsteered)
    cosine = np.asarray(weights[:n].multiply(weights[n:]).sum(axis=1)).ravel()
    known = np.array([bool(before and after) for before, after in zip(words[:n], words[n:], strict=True)], dtype=bool)
    return np.where(known, cosine, np.nan)


def _check_pairs(unsteered: Sequence[str], steered: Sequence[str], name: str) -> None:
    if isinstance(unsteered, str) or isinstance(steered, str) or len(unsteered) != len(steered):
        raise EmotionInterpError(f"{name} compares two lists of texts of the same length.")
