"""Corrections over emotions: whether Holm can pass at all, and max-T over judges and kinds of random direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError, tell
from emotion_interp.stats.corrections import LEAST_FOR_MAX_T, max_t

CORRECTIONS = ("holm", "maxT")


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


def max_t_over(
    targets: Sequence[Mapping[str, float]], nulls: Sequence[Mapping[tuple[str, str], np.ndarray]], seed: int = 0
) -> np.ndarray:
    """The largest max-T p over judges and kinds of random direction: [emotion].

    Args:
        targets: for each emotion judge -> target.
        nulls: for each emotion (judge, kind) -> targets under random directions.
        seed: of `max_t`.
    """
    keys = dict.fromkeys(key for null in nulls for key in null)
    result = np.full(len(targets), np.nan)
    for key in keys:
        known = [i for i, null in enumerate(nulls) if key in null]
        adjusted = max_t([targets[i][key[0]] for i in known], [nulls[i][key] for i in known], seed)
        result[known] = np.fmax(result[known], adjusted)
    return result
