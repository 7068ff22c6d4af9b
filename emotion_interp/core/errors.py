"""Errors of the house: what was wrong, what was given, what would be right."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

from emotion_interp.core.markup import clean
from emotion_interp.core.similar import suggestion


class EmotionInterpError(ValueError):
    """Base of every error a user can cause; the shell prints it as one line and exits with 2."""

    def __init__(self, *args: object) -> None:
        # names come from strangers, and a terminal obeys control characters
        super().__init__(*(clean(a) if isinstance(a, str) else a for a in args))


class UnknownNameError(EmotionInterpError):
    """A name (emotion, layer, language, hook, norm, release, ...) that does not exist here."""

    def __init__(self, kind: str, given: object, allowed: Iterable[object]) -> None:
        names = [str(a) for a in allowed]
        hint = suggestion(given, names, emotions=kind == "emotion" or kind.startswith("emotion of"))
        shown = ", ".join(names[:40]) + (f", ... ({len(names)} in all)" if len(names) > 40 else "")
        super().__init__(f"unknown {kind} {given!r}.{hint} Available: {shown or 'none'}.")


class FileFormatError(EmotionInterpError):
    """A file or folder that is missing, corrupt, foreign, or of another version."""


class NotFiniteError(EmotionInterpError):
    """NaN or infinite values where finite ones are needed."""


class UnsupportedError(EmotionInterpError):
    """Something that exists but that this package refuses, with the reason."""


def tell(message: str) -> None:
    """One line of warning, at the caller's line outside this package.

    Warns:
        UserWarning: the message.
    """
    level, frame = 2, sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


_PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
