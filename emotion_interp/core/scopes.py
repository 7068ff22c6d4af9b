"""Who an intervention belongs to, and how it comes off again: per thread and asyncio task, whatever interrupts.

A model's hooks are shared by all threads. So a hook of this package asks whether the context it is called in (a thread's,
an asyncio task's) is the one that opened it, and is silent elsewhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from types import CellType
from typing import TYPE_CHECKING, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from emotion_interp.core.errors import EmotionInterpError

if TYPE_CHECKING:
    from torch import nn
    from transformer_lens.hook_points import HookPoint


class Scope:
    """One opened intervention of a model: it acts in the context that opened it, and in those started from there.

    Attributes:
        model: whose hooks it has.
        is_open: False once it has ended; then it acts nowhere.
        spares_prompt: it leaves every token before the last of a prompt as it is.
    """

    def __init__(self, model: object, spares_prompt: bool = False) -> None:
        self.model: object = model
        self.is_open = False
        self.spares_prompt = spares_prompt

    def start(self) -> None:
        self.is_open = True
        _SCOPES.set((*_SCOPES.get(), self))

    def end(self) -> None:
        """Also from another context, and twice."""
        self.is_open = False
        # a context that lives on keeps its scopes, and should not keep their models
        self.model = None
        _SCOPES.set(tuple(s for s in _SCOPES.get() if s is not self))

    @property
    def acts(self) -> bool:
        return self.is_open and self in _SCOPES.get()


_SCOPES: ContextVar[tuple[Scope, ...]] = ContextVar("emotion_interp_scopes", default=())


def open_scopes(model: object) -> tuple[Scope, ...]:
    """The interventions of a model that act in this context."""
    return tuple(s for s in _SCOPES.get() if s.is_open and s.model is model)


class Undoing:
    """Puts back what a `with` block changes, however it ends; it may be entered again when it has ended.

    A step is given before its change is made, and may run twice. `with surely(Undoing()) as undoing, undoing:` holds also
    against an interrupt that comes just before the exit begins.
    """

    _is_open = False

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def later(self, step: Callable[[], object]) -> None:
        """Have something put back at the end; the last step given is the first."""
        self._steps.append(step)

    def start(self) -> None:
        """The changes made on entering, each after its step."""

    def undo(self) -> None:
        """Put everything back; what an interrupt left is done by the next call."""
        while self._steps:
            self._steps[-1]()
            self._steps.pop()
        self._is_open = False

    def __enter__(self) -> Self:
        if self._is_open:
            raise EmotionInterpError("this `with` block is open already (perhaps in another thread); make another one.")
        try:
            self._is_open = True
            self.start()
            return self
        except BaseException:
            self.undo()
            raise

    def __exit__(self, *error: object) -> None:
        try:
            self.undo()
        finally:
            self.undo()


_Block = TypeVar("_Block", bound=Undoing)
_Value = TypeVar("_Value")


class surely(Generic[_Block]):
    """The outer half of `with surely(block) as block, block:`; ends the block where its own exit was cut off."""

    def __init__(self, block: _Block) -> None:
        self.block = block

    def __enter__(self) -> _Block:
        return self.block

    def __exit__(self, *error: object) -> None:
        self.block.undo()


class setting(Undoing, Generic[_Value]):
    """Inside it a context variable has another value."""

    def __init__(self, variable: ContextVar[_Value], value: _Value) -> None:
        super().__init__()
        self.variable, self.value = variable, value

    def start(self) -> None:
        before = self.variable.get()
        self.later(lambda: self.variable.set(before))
        self.variable.set(self.value)


def only_scopes(scopes: tuple[Scope, ...]) -> Undoing:
    """Inside it those interventions act and no other."""
    return setting(_SCOPES, scopes)


def check_open(scopes: tuple[Scope, ...]) -> None:
    """Refuse to go on without an intervention that something began with.

    Raises:
        EmotionInterpError: one has ended.
    """
    if not all(scope.is_open for scope in scopes):
        raise EmotionInterpError(
            "the steering that this began with has been closed, and going on would change it silently; finish inside the "
            "`with` block: take the whole stream there, and wait there for threads and tasks started in it."
        )


_GUARD = threading.RLock()
_LOCKS: WeakKeyDictionary[object, threading.RLock] = WeakKeyDictionary()


def lock_of(thing: object) -> threading.RLock:
    """The lock of a model, SAE or tokenizer that keeps state while it runs: one for each, whoever asks."""
    with _GUARD:
        if thing not in _LOCKS:
            _LOCKS[thing] = threading.RLock()
        return _LOCKS[thing]


def hooks_locked() -> threading.RLock:
    """The lock under which this package's hooks are added and taken off, whatever the model; ask for `lock_of` first."""
    return _GUARD


def attach(point: HookPoint, function: Callable[..., object], undoing: Undoing) -> None:
    """Add a hook to a hook point, and have exactly it taken off later.

    Permanent, so that a `reset_hooks()` of somebody else's context leaves it.
    """
    undoing.later(lambda: _detach(point, function))
    with _GUARD:
        point.add_hook(function, is_permanent=True)


def attach_before(module: nn.Module, function: Callable[..., object], undoing: Undoing) -> None:
    """Have a function called with (module, args, kwargs) before a module runs, and taken off later."""
    undoing.later(lambda: _detach_before(module, function))
    with _GUARD:
        module.register_forward_pre_hook(function, with_kwargs=True)


def _detach_before(module: nn.Module, function: Callable[..., object]) -> None:
    with _GUARD:
        for key, hook in list(module._forward_pre_hooks.items()):
            # a bound method is made anew each time it is asked for: equal, not the same
            if hook == function:
                module._forward_pre_hooks.pop(key, None)
                module._forward_pre_hooks_with_kwargs.pop(key, None)


def _detach(point: HookPoint, function: Callable[..., object]) -> None:
    with _GUARD:
        # by the function and not by a handle: an interrupt may have come before there was one
        point.fwd_hooks = [h for h in point.fwd_hooks if getattr(h, "user_hook", None) is not function]
        for key, hook in list(point._forward_hooks.items()):
            if any(_content(cell) is function for cell in getattr(hook, "__closure__", None) or ()):
                point._forward_hooks.pop(key, None)


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return None
