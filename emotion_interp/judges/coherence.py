"""Is steered text still text: perplexity under the unsteered subject, and repetition."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.steering.context import unsteered
from emotion_interp.subjects.generation import token_log_probabilities

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject

STABLE_PERPLEXITY = (0.5, 2.0)
"""Ratio to the unsteered text's perplexity within which steered text counts as intact (a loop lowers it)."""

STABLE_DISTINCT2 = 0.8
"""Least share of the unsteered text's distinct-2."""


def continuation_log_probabilities(
    subject: Subject, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
) -> list[np.ndarray]:
    """Log probability of each continuation token under the unsteered subject: per row [token].

    Args:
        subject: the model; interventions of this package that are open rest meanwhile.
        prompts: token ids, each at least one.
        continuations: token ids, one list for each prompt.
    """
    if len(prompts) != len(continuations):
        raise EmotionInterpError(f"{len(prompts)} prompts need as many continuations, got {len(continuations)}.")
    rows = [[*p, *c] for p, c in zip(prompts, continuations, strict=True)]
    with unsteered():
        return token_log_probabilities(subject, rows, [len(p) for p in prompts])


def perplexity(log_probabilities: Sequence[np.ndarray]) -> float:
    """exp of minus the mean log probability, pooled over all tokens of all rows; NaN without tokens."""
    pooled = np.concatenate([np.asarray(x, dtype=np.float64) for x in log_probabilities] or [np.zeros(0)])
    return float(np.exp(-pooled.mean())) if pooled.size else float("nan")


def distinct_2(token_rows: Sequence[Sequence[int]]) -> float:
    """Distinct bigrams within each text over all bigrams, pooled over texts (Li et al. 2016); NaN without bigrams.

    Example:
        >>> distinct_2([[1, 2, 1, 2]])
        0.6666666666666666
    """
    pairs = [list(pairwise(row)) for row in token_rows]
    total = sum(map(len, pairs))
    return sum(len(set(p)) for p in pairs) / total if total else float("nan")


def is_coherent(perplexity_ratio: float, distinct2_ratio: float, margin: float = 1.0) -> bool:
    """Whether text is intact: both ratios to the unsteered text within a share of their bounds; NaN is not.

    Example:
        >>> is_coherent(1.9, 0.95), is_coherent(1.9, 0.95, margin=0.9)
        (True, False)
    """
    low, high = STABLE_PERPLEXITY
    return bool(low / margin <= perplexity_ratio <= high * margin and distinct2_ratio >= STABLE_DISTINCT2 / margin)
