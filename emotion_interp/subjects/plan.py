"""What one forward pass is about to run: which token positions its columns hold, and where each prompt ends.

Hooks that act on some positions only need this. With a KV cache a hook first sees `[row, prompt, d]` and then
`[row, 1, d]` for each new token, and left padding shifts columns against positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class ForwardPlan:
    """Positions of the columns of one forward pass.

    Attributes:
        positions: [row, column], counted from 0 (BOS included) net of padding; -1 on padding.
        prompt_lengths: [row], tokens of each row's prompt, BOS included.
        rows: [row], each row's index in the caller's list (a pass may run a part of it, in another order).
        has_bos: whether position 0 of every row is BOS.
    """

    positions: np.ndarray
    prompt_lengths: np.ndarray
    rows: np.ndarray
    has_bos: bool

    @classmethod
    def of_columns(cls, rows: int, columns: int, has_bos: bool, start: int = 0) -> ForwardPlan:
        """The plan of unpadded rows that are all prompt."""
        positions = np.broadcast_to(np.arange(start, start + columns), (rows, columns))
        return cls(positions, np.full(rows, start + columns), np.arange(rows), has_bos)


_PLAN: ContextVar[ForwardPlan | None] = ContextVar("emotion_interp_forward_plan", default=None)


def current_plan() -> ForwardPlan | None:
    """The plan of the forward pass that is running, if its caller gave one."""
    return _PLAN.get()


@contextmanager
def using_plan(plan: ForwardPlan) -> Iterator[None]:
    """Announce a forward pass's plan to the hooks that will fire in it; taken back on exit, also after an error."""
    token = _PLAN.set(plan)
    try:
        yield
    finally:
        _PLAN.reset(token)


@contextmanager
def resting_mode(model: Any) -> Iterator[None]:
    """Dropout off; every module's mode is put back afterwards."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:
    """Dropout off and no gradients; every module's mode is put back afterwards."""
    import torch

    with resting_mode(model), torch.no_grad():
        yield
