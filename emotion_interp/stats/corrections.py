"""Corrections over the tests of a family: Holm, Benjamini-Hochberg, and Westfall and Young's max-T."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import false_discovery_control

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.seeds import generator

LEAST_FOR_MAX_T = 19
"""Draws of the null from which max-T can reach .05."""


def max_t(targets: Sequence[float], nulls: Sequence[np.ndarray], seed: int = 0) -> np.ndarray:
    """Step-down max-T over tests: p of the largest standardised target, then of the next: [test].

    Every test's target and its nulls are standardised together, so that no test's spread counts more. In each draw every
    test has a null value of its own: values that belong together (one random direction for all emotions) would make the
    draws more alike than the tests are.

    Args:
        targets: the figure of each test, larger is more; NaN: left out, NaN comes back.
        nulls: for each test the same figure under the null [draw].
        seed: which null values stand together in a draw.

    Raises:
        EmotionInterpError: targets and nulls differ in number, or fewer than 19 random directions.

    Source: Westfall & Young 1993, step-down max-T.

    Example:
        >>> random = np.random.default_rng(0)
        >>> max_t([9.0, 0.1], [random.normal(size=99), random.normal(size=99)]).round(2)[0]
        np.float64(0.01)
    """
    if len(targets) != len(nulls):
        raise EmotionInterpError(f"{len(targets)} targets need nulls for each, got {len(nulls)}.")
    result = np.full(len(targets), np.nan)
    finite = [i for i, t in enumerate(targets) if np.isfinite(t)]
    if not finite:
        return result
    clean = {i: np.asarray(nulls[i], dtype=np.float64) for i in finite}
    count = min(len(draws) for draws in clean.values())
    if count < LEAST_FOR_MAX_T:
        raise EmotionInterpError(f"max-T needs at least {LEAST_FOR_MAX_T} random directions, got {count}.")
    observed, drawn = np.zeros(len(finite)), np.zeros((count, len(finite)))
    for k, i in enumerate(finite):
        pooled = np.append(clean[i], targets[i])
        spread = pooled.std()
        scores = (pooled - pooled.mean()) / spread if spread > 0 else np.zeros_like(pooled)
        observed[k] = scores[-1]
        drawn[:, k] = generator(seed, "max-T", i).permutation(scores[:-1])[:count]
    order = np.argsort(-observed, kind="stable")
    # of each draw the largest among the tests from this one on
    largest = np.maximum.accumulate(drawn[:, order[::-1]], axis=1)[:, ::-1]
    p = (1 + (largest >= observed[order] - 1e-12).sum(0)) / (count + 1)
    result[np.asarray(finite)[order]] = np.maximum.accumulate(p)
    return result


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values of one family; NaN entries stay NaN and do not count: [test].

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    index = np.flatnonzero(np.isfinite(p))
    order = index[np.argsort(p[index], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors)) if len(order) else []
    return adjusted


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p-values of one family; NaN entries stay NaN and do not count: [test].

    Example:
        >>> benjamini_hochberg(np.array([0.01, np.nan, 0.03])).round(3).tolist()
        [0.02, nan, 0.03]
    """
    p = np.asarray(p, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested], method="bh")
    return q
