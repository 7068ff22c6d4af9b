"""What one forward pass is about to run: which token positions its columns hold, and where each prompt ends.

Hooks that act on some positions only need this. With a KV cache a hook first sees `[row, prompt, d]` and then
`[row, 1, d]` for each new token, and left padding shifts columns against positions.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from emotion_interp.core.scopes import Undoing, setting
from emotion_interp.subjects.turns import Turns

if TYPE_CHECKING:
    from torch import nn

    from emotion_interp.subjects.hooked import Modules


@dataclass(frozen=True, eq=False)
class ForwardPlan:
    """Positions of the columns of one forward pass.

    Attributes:
        positions: [row, column], counted from 0 (BOS included) net of padding; -1 on padding.
        prompt_lengths: [row], tokens of each row's prompt, BOS included.
        rows: [row], each row's index in the caller's list (a pass may run a part of it, in another order).
        has_bos: [row], whether position 0 is BOS; one for all may be given.
        turns: [row], who speaks where, None for a row that is no conversation; None: none is.
    """

    positions: np.ndarray
    prompt_lengths: np.ndarray
    rows: np.ndarray
    has_bos: Any
    turns: Sequence[Turns | None] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "has_bos", np.broadcast_to(np.asarray(self.has_bos, dtype=bool), (len(self.rows),)))

    @classmethod
    def of_columns(cls, rows: int, columns: int, has_bos: bool | np.ndarray, start: int = 0) -> ForwardPlan:
        """The plan of unpadded rows that are all prompt."""
        positions = np.broadcast_to(np.arange(start, start + columns), (rows, columns))
        return cls(positions, np.full(rows, start + columns), np.arange(rows), has_bos)


_PLAN: ContextVar[ForwardPlan | None] = ContextVar("emotion_interp_forward_plan", default=None)


def current_plan() -> ForwardPlan | None:
    """The plan of the forward pass that is running, if its caller gave one."""
    return _PLAN.get()


def using_plan(plan: ForwardPlan | None) -> Undoing:
    """Announce a forward pass's plan to the hooks that will fire in it; taken back on exit, also after an error."""
    return setting(_PLAN, plan)


class resting_mode(Undoing):
    """Dropout off; every module's mode is put back once nobody, in any thread, needs it off any more.

    `with surely(resting_mode(model)) as mode, mode:` holds against an interrupt at any point (see `Undoing`).
    """

    def __init__(self, model: Modules) -> None:
        super().__init__()
        self.model = model

    def start(self) -> None:
        super().start()
        self.later(lambda: _wake(self.model, self))
        with _GUARD:
            rest = _RESTS.setdefault(self.model, _Rest())
            rest.holders.add(self)
            fresh = [module for module in self.model.modules() if module.training]
            rest.modules = rest.modules + fresh
            for module in fresh:
                module.training = False


class no_gradients(Undoing):
    """No gradients, in this thread."""

    def start(self) -> None:
        import torch

        before = torch.is_grad_enabled()
        self.later(lambda: torch.set_grad_enabled(before))
        torch.set_grad_enabled(False)


class evaluation_mode(resting_mode, no_gradients):
    """Dropout off and no gradients; both are put back afterwards."""


class _Rest:
    """Who needs a model's dropout off, and which modules are to be put back."""

    def __init__(self) -> None:
        self.holders: set[object] = set()
        self.modules: list[nn.Module] = []


_GUARD = threading.RLock()
_RESTS: WeakKeyDictionary[object, _Rest] = WeakKeyDictionary()


def _wake(model: Modules, holder: object) -> None:
    with _GUARD:
        rest = _RESTS.get(model)
        if rest is None:
            return
        rest.holders.discard(holder)
        if not rest.holders:
            for module in rest.modules:
                module.training = True
            rest.modules = []
