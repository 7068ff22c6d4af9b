"""Corrections over emotions: whether Holm can pass at all, and Westfall and Young's max-T over random directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError, tell
from emotion_interp.core.seeds import generator

CORRECTIONS = ("holm", "maxT")

LEAST_FOR_MAX_T = 19
"""Random directions from which max-T can reach .05."""


def needed_directions(n_tests: int, alpha: float = 0.05) -> int:
    """The fewest random directions with which Holm over so many tests can be below alpha.

    Example:
        >>> needed_directions(28), needed_directions(21)
        (560, 420)
    """
    return int(np.floor(n_tests / alpha + 1e-9))


def warn_if_none_can_pass(n_random: int, n_tests: int, alpha: float | None) -> None:
    """One line of warning where the smallest possible p times the number of tests is not below alpha.

    Raises:
        EmotionInterpError: an alpha that is no share.
    """
    if alpha is None:
        return
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < 1:
        raise EmotionInterpError(f"alpha is a share above 0 and below 1, or None; got {alpha!r}.")
    needed = needed_directions(n_tests, alpha)
    if 0 < n_random < needed:
        tell(
            f"with {n_random} random directions p is at least {1 / (n_random + 1):.2g}, so Holm over {n_tests} emotions "
            f"cannot be below {alpha:g}: give n_random of at least {needed}"
            " (in steering_test also correction='maxT')."
        )


def checked_correction(correction: str, n_random: int) -> str:
    """The name, if it is known and the random directions suffice.

    Raises:
        UnknownNameError: another correction.
        EmotionInterpError: max-T with fewer than 19 random directions.
    """
    if correction not in CORRECTIONS:
        raise UnknownNameError("correction over emotions", correction, CORRECTIONS)
    if correction == "maxT" and 0 < n_random < LEAST_FOR_MAX_T:
        raise EmotionInterpError(
            f"max-T needs at least {LEAST_FOR_MAX_T} random directions, or no p is below .05; got {n_random}."
        )
    return correction


def max_t(targets: Sequence[float], nulls: Sequence[np.ndarray], seed: int = 0) -> np.ndarray:
    """Step-down max-T over emotions: p of the largest standardised target, then of the next: [emotion].

    Every emotion's target and its nulls are standardised together, so that no emotion's spread counts more. In each draw
    every emotion has a random direction of its own, as it has in the test: one direction for all would make the draws more
    alike than the emotions' own directions are.

    Args:
        targets: judged probability under each emotion's direction; NaN: left out, NaN comes back.
        nulls: for each emotion the same under its random directions [direction].
        seed: which random directions stand together in a draw.

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
    there = [i for i, t in enumerate(targets) if np.isfinite(t)]
    if not there:
        return result
    clean = {i: np.asarray(nulls[i], dtype=np.float64) for i in there}
    count = min(len(one) for one in clean.values())
    if count < LEAST_FOR_MAX_T:
        raise EmotionInterpError(f"max-T needs at least {LEAST_FOR_MAX_T} random directions, got {count}.")
    own, drawn = np.zeros(len(there)), np.zeros((count, len(there)))
    for k, i in enumerate(there):
        pooled = np.append(clean[i], targets[i])
        spread = pooled.std()
        scores = (pooled - pooled.mean()) / spread if spread > 0 else np.zeros_like(pooled)
        own[k] = scores[-1]
        drawn[:, k] = generator(seed, "max-T", i).permutation(scores[:-1])[:count]
    order = np.argsort(-own, kind="stable")
    # of each draw the largest among the emotions from this one on
    largest = np.maximum.accumulate(drawn[:, order[::-1]], axis=1)[:, ::-1]
    p = (1 + (largest >= own[order] - 1e-12).sum(0)) / (count + 1)
    result[np.asarray(there)[order]] = np.maximum.accumulate(p)
    return result


def max_t_over(
    targets: Sequence[Mapping[str, float]], nulls: Sequence[Mapping[tuple[str, str], np.ndarray]], seed: int = 0
) -> np.ndarray:
    """The largest max-T p over judges and kinds of random direction: [emotion].

    Args:
        targets: for each emotion judge -> target.
        nulls: for each emotion (judge, kind) -> targets under random directions.
        seed: of `max_t`.
    """
    keys: dict[tuple[str, str], Any] = dict.fromkeys(key for one in nulls for key in one)
    result = np.full(len(targets), np.nan)
    for key in keys:
        known = [i for i, one in enumerate(nulls) if key in one]
        found = max_t([targets[i][key[0]] for i in known], [nulls[i][key] for i in known], seed)
        result[known] = np.fmax(result[known], found)
    return result
