"""How a dose changes from token to token: a multiplier of the dose, by the number of tokens since steering began."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.steering.positions import Positions, first_positions
from emotion_interp.subjects.plan import ForwardPlan

SCHEDULES = ("constant", "decay", "ramp")
"""Named schedules, with the default parameters of `decay` and `ramp`."""

Schedule = str | Callable[[np.ndarray], np.ndarray] | None


def decay(half_life: float = 8.0) -> Callable[[np.ndarray], np.ndarray]:
    """A dose that is whole at the first steered token and halves every `half_life` tokens: `0.5 ** (n / half_life)`.

    Raises:
        EmotionInterpError: a half-life that is no number above 0.

    Example:
        >>> decay(2.0)(np.array([0, 2, 4])).tolist()
        [1.0, 0.5, 0.25]
    """
    if isinstance(half_life, bool) or not (math.isfinite(half_life) and half_life > 0):
        raise EmotionInterpError(f"half_life is a number of tokens above 0, got {half_life!r}.")
    return lambda n: 0.5 ** (n / half_life)


def ramp(tokens: int = 8) -> Callable[[np.ndarray], np.ndarray]:
    """A dose that grows in equal steps and is whole from the `tokens`-th steered token on: `min(1, (n + 1) / tokens)`.

    Raises:
        EmotionInterpError: no whole number from 1.

    Example:
        >>> ramp(4)(np.array([0, 1, 3, 9])).tolist()
        [0.25, 0.5, 1.0, 1.0]
    """
    if isinstance(tokens, bool) or not isinstance(tokens, (int, np.integer)) or tokens < 1:
        raise EmotionInterpError(f"tokens is a whole number from 1, got {tokens!r}.")
    return lambda n: np.minimum(1.0, (n + 1) / tokens)


def schedule_function(schedule: object) -> Callable[[np.ndarray], np.ndarray] | None:
    """A schedule as a function of the number of tokens since the start; None for a constant dose.

    Raises:
        UnknownNameError: a name that is none of `SCHEDULES`.
        EmotionInterpError: neither a name nor a function.
    """
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise UnknownNameError("schedule", schedule, SCHEDULES)
        return None if schedule == "constant" else decay() if schedule == "decay" else ramp()
    if schedule is not None and not callable(schedule):
        raise EmotionInterpError(
            f"a schedule is one of {', '.join(SCHEDULES)}, or a function of the number of tokens since the start, "
            f"got {schedule!r}."
        )
    return cast("Callable[[np.ndarray], np.ndarray] | None", schedule)


def dose_weights(
    schedule: Callable[[np.ndarray], np.ndarray], positions: Positions, plan: ForwardPlan, mask: np.ndarray
) -> np.ndarray:
    """The dose's multiplier at every column of a forward pass, 0 where nothing is done: [row, column], float64.

    Tokens are counted by position, from the first one that `positions` selects in the row, so that the answer does not
    depend on what a KV cache leaves out of the pass.

    Raises:
        EmotionInterpError: the schedule answers with another shape.
        NotFiniteError: it answers with NaN or infinity.
    """
    since = np.where(mask, plan.positions - first_positions(positions, plan)[:, None], 0)
    weights = np.asarray(schedule(since), dtype=np.float64)
    if weights.shape not in (since.shape, ()):
        raise EmotionInterpError(f"a schedule answers with one number for each of {since.shape}, got {weights.shape}.")
    if not np.isfinite(weights).all():
        raise NotFiniteError("the schedule answers with NaN or infinite multipliers of the dose.")
    return np.where(mask, weights, 0.0)
