"""How far work has come: a bar where somebody watches, plain lines in a log, nothing for what takes less than a second."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

Progress = Callable[[int], None] | bool | None
"""A function that receives how much was finished, False for silence; True or None for a bar."""

DELAY = 1.0
"""Seconds before a bar appears."""
LOG_EVERY = 10.0
"""Seconds between two lines in a log."""
SHOWN: ContextVar[bool] = ContextVar("emotion_interp_bars", default=True)
"""Whether bars are drawn where nobody asked; the shell has bars of its own."""


@contextmanager
def ticking(progress: Progress, total: int, what: str, unit: str = "text") -> Iterator[Callable[[int], None]]:
    """What receives the finished amounts while the block runs.

    Args:
        progress: as the caller was given it.
        total: of all amounts.
        what: is done, as in "reading".
        unit: of the amounts.

    Example:
        >>> seen = []
        >>> with ticking(seen.append, 3, "reading") as tick:
        ...     tick(2)
        >>> seen
        [2]
    """
    if callable(progress):
        with _alone():
            yield progress
    elif progress is False or (progress is None and not SHOWN.get()):
        yield _nothing
    else:
        shown = _Bar(total, what, unit) if _in_notebook() or sys.stderr.isatty() else _Lines(total, what, unit)
        with _alone():
            try:
                yield shown
            finally:
                shown.close()


@contextmanager
def _alone() -> Iterator[None]:
    """No bars below a bar."""
    before = SHOWN.set(False)
    try:
        yield
    finally:
        SHOWN.reset(before)


class _Lines:
    """A line in a log now and then."""

    def __init__(self, total: int, what: str, unit: str) -> None:
        self.total, self.what, self.unit, self.done = total, what, unit, 0
        self.next = time.monotonic() + LOG_EVERY

    def __call__(self, amount: int) -> None:
        self.done += amount
        now = time.monotonic()
        if now >= self.next:
            self.next = now + LOG_EVERY
            print(f"{self.what}: {self.done:,} of {self.total:,} {self.unit}s", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is left to do."""


class _Bar:
    """A bar of tqdm, made only once the work has taken a while: most does not."""

    def __init__(self, total: int, what: str, unit: str) -> None:
        self.total, self.what, self.unit, self.done = total, what, unit, 0
        self.began, self.bar = time.monotonic(), None

    def __call__(self, amount: int) -> None:
        self.done += amount
        if self.bar is not None:
            self.bar.update(amount)
        elif time.monotonic() - self.began >= DELAY:
            self.bar = self._made()

    def _made(self) -> Any:
        with warnings.catch_warnings():
            # without its widgets tqdm would warn, in red, in every notebook
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
        file = stream_of_news()
        return tqdm(total=self.total, initial=self.done, desc=self.what, unit=f" {self.unit}", leave=False, file=file)

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()


def _nothing(amount: int) -> None:
    del amount


def stream_of_news() -> TextIO:
    """Where lines go that are no result and no warning: what a kernel writes to standard error is shown on red."""
    return sys.stdout if _in_notebook() else sys.stderr


def _in_notebook() -> bool:
    """Whether an IPython kernel runs the code."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
