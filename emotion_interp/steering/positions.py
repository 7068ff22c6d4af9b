"""Which tokens of a text are acted on, counted net of padding, so that neither batch nor KV cache changes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.subjects.plan import ForwardPlan
from emotion_interp.subjects.turns import OPEN, POSITIONS, TURN_POSITIONS, conversations, mask_of

SPARING = ("generated", "from_last_prompt_token")
"""Those that leave every token before the last of a prompt as it is."""


@dataclass(frozen=True, eq=False)
class RowPositions:
    """Positions of every row of a batch, each its own.

    Attributes:
        each: [batch row], as `steer` takes them.

    Raises:
        UnknownNameError, EmotionInterpError: as `check_positions`.

    Example:
        >>> RowPositions(["prompt", "generated", slice(2, 8)]).each[2]
        slice(2, 8, None)
    """

    each: Sequence[object]
    _groups: list[tuple[object, np.ndarray]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        groups: dict[object, tuple[object, list[int]]] = {}
        for row, kind in enumerate(self.each):
            if isinstance(kind, RowPositions):
                raise EmotionInterpError("a row's positions are a name, an index, a slice, a list or a function.")
            check_positions(kind)
            key = (type(kind), str(kind)) if isinstance(kind, (str, int, slice)) else id(kind)
            groups.setdefault(key, (kind, []))[1].append(row)
        object.__setattr__(self, "each", tuple(self.each))
        object.__setattr__(self, "_groups", [(kind, np.asarray(rows)) for kind, rows in groups.values()])

    def parts(self, plan: ForwardPlan) -> list[tuple[Any, np.ndarray, ForwardPlan]]:
        """(positions, batch rows, their plan) of the rows that are treated alike."""
        if plan.rows.max() >= len(self.each):
            raise EmotionInterpError(
                f"the batch has a row {int(plan.rows.max())}, but there are positions for {len(self.each)} rows."
            )
        shares = []
        for kind, rows in self._groups:
            places = np.flatnonzero(np.isin(plan.rows, rows))
            if len(places):
                turns = None if plan.turns is None else [plan.turns[k] for k in places.tolist()]
                part = ForwardPlan(
                    plan.positions[places], plan.prompt_lengths[places], plan.rows[places], plan.has_bos[places], turns
                )
                shares.append((kind, places, part))
        return shares


Positions = (
    str | int | slice | Sequence[int] | np.ndarray | Callable[[np.ndarray, np.ndarray], np.ndarray] | RowPositions
)


def check_positions(positions: Any) -> None:
    """Refuse anything that selects no positions.

    Raises:
        UnknownNameError: a name that is none of `POSITIONS` and `TURN_POSITIONS`.
        EmotionInterpError: a negative index, an empty or backward slice, or another type.
    """
    wanted = "positions is a name, an index, a slice, a list of indices or a function"
    if isinstance(positions, str):
        if positions not in (*POSITIONS, *TURN_POSITIONS):
            raise UnknownNameError("positions", positions, (*POSITIONS, *TURN_POSITIONS))
    elif isinstance(positions, (bool, np.bool_)):
        raise EmotionInterpError(f"{wanted}, got {positions!r}.")
    elif isinstance(positions, (int, np.integer)):
        if positions < 0:
            raise EmotionInterpError(f"an index counts from the start of the text, from 0, got {positions!r}.")
    elif isinstance(positions, slice):
        _check_slice(positions)
    elif not callable(positions) and not isinstance(positions, RowPositions):
        try:
            values = np.asarray(list(positions))
        except (TypeError, ValueError):
            raise EmotionInterpError(f"{wanted}, got {positions!r}.") from None
        if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu" or values.min() < 0:
            raise EmotionInterpError(f"a list of positions holds whole numbers from 0, got {positions!r}.")


def _check_slice(positions: slice) -> None:
    for value in (positions.start, positions.stop, positions.step):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0):
            raise EmotionInterpError(
                f"a slice of positions counts from the start of the text, from 0, got {positions!r}."
            )
    if positions.step == 0 or (positions.stop is not None and positions.stop <= (positions.start or 0)):
        raise EmotionInterpError(f"a slice of positions has stop above start and step from 1, got {positions!r}.")


def select(positions: Positions, plan: ForwardPlan) -> np.ndarray:
    """Which columns of a forward pass are acted on: [row, column].

    Args:
        positions: a name of `POSITIONS` or `TURN_POSITIONS`; an index k (from k on, BOS counting as 0 but left out); `slice(start, stop)`
            for a span, `slice(start, None, n)` for every n-th token from start on (BOS left out as well); a list of
            indices; a function of (positions [row, column] with -1 on padding, prompt lengths [row]); or `RowPositions`.
        plan: the pass.
    """
    at = plan.positions
    if isinstance(positions, RowPositions):
        mask = np.zeros(at.shape, dtype=bool)
        for kind, rows, part in positions.parts(plan):
            mask[rows] = select(kind, part)
        return mask
    if isinstance(positions, str) and positions in TURN_POSITIONS:
        return mask_of(positions, at, plan.turns)
    span = _span(positions, plan)
    if span is not None:
        first, stop, step = span
        mask = at >= first
        if stop is not None:
            mask &= at < stop
        if step > 1:
            mask &= (at - first) % step == 0
        return mask
    if callable(positions):
        mask = np.asarray(positions(at, plan.prompt_lengths))
        if mask.shape != at.shape or mask.dtype != bool:
            raise EmotionInterpError(
                f"a positions function answers with booleans of shape {at.shape}, got {mask.dtype} {mask.shape}."
            )
        return mask & (at >= 0)
    return (at >= 0) & np.isin(at, np.asarray(list(positions)))  # type: ignore[arg-type]


def first_positions(positions: Positions, plan: ForwardPlan) -> np.ndarray:
    """The first position that is selected in each row, also where a KV cache left it out of this pass: [row].

    A row in which nothing has been selected yet has the largest integer.
    """
    count = len(plan.positions)
    if isinstance(positions, RowPositions):
        first = np.full(count, OPEN)
        for kind, rows, part in positions.parts(plan):
            first[rows] = first_positions(kind, part)
        return first
    if isinstance(positions, str) and positions in TURN_POSITIONS:
        rows = [turns.spans(positions) for turns in conversations(positions, count, plan.turns)]
        return np.asarray([spans[0][0] if spans else OPEN for spans in rows])
    span = _span(positions, plan)
    if span is not None:
        return np.broadcast_to(np.asarray(span[0]).reshape(-1), (count,))
    if not callable(positions):
        return np.full(count, min(int(p) for p in positions))  # type: ignore[union-attr]
    whole = np.broadcast_to(np.arange(int(plan.positions.max()) + 1), (count, int(plan.positions.max()) + 1))
    mask = np.asarray(positions(whole, plan.prompt_lengths))
    return np.where(mask.any(1), mask.argmax(1), OPEN)


def _span(positions: Positions, plan: ForwardPlan) -> tuple[object, object, int] | None:
    """First position, stop (None: no end) and step of a selection that is a span; [row, 1] or one number each."""
    bos = plan.has_bos[:, None].astype(np.int64)
    if isinstance(positions, str):
        length = plan.prompt_lengths[:, None]
        if positions == "generated":
            return np.maximum(length, bos), None, 1
        if positions == "from_last_prompt_token":
            return np.maximum(length - 1, bos), None, 1
        return bos * (positions != "all_with_bos"), length if positions == "prompt" else None, 1
    if isinstance(positions, (int, np.integer)):
        return np.maximum(int(positions), bos), None, 1
    if isinstance(positions, slice):
        start, step = positions.start or 0, positions.step or 1
        # counted from the start that was asked for, also where that is BOS and left out
        return np.where(start >= bos, start, start + step * -(-(bos - start) // step)), positions.stop, step
    return None
