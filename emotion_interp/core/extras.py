"""Libraries that only some need: extras of the install, each named in one line where it is missing."""

from __future__ import annotations

from types import ModuleType

from emotion_interp.core.errors import UnsupportedError


def need(module: str, extra: str) -> ModuleType:
    """A library of an extra.

    Raises:
        UnsupportedError: it is not installed; the line says what installs it.

    Example:
        >>> need("zhconv", extra="zh").convert("愛", "zh-cn")
        '爱'
    """
    try:
        return __import__(module)
    except ImportError as error:
        raise UnsupportedError(
            f"{module} is not installed, which this needs: pip install 'emotion-interp[{extra}]'."
        ) from error
