"""What the words of an option name: numbers, and names out of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError


def one_of(kind: str, allowed: Callable[[], Iterable[str]]) -> Callable[[str | None], str | None]:
    """A callback for an option that is one of some names."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in (names := list(allowed())):
            raise UnknownNameError(kind, value, names)
        return value

    return check


def some_of(kind: str, allowed: Callable[[], Iterable[str]]) -> Callable[[str | None], str | None]:
    """A callback for an option that is one or several of some names, with commas."""

    def check(value: str | None) -> str | None:
        for name in split_names(value) if value is not None else ():
            if name not in (names := list(allowed())):
                raise UnknownNameError(kind, name, names)
        return value

    return check


def split_names(text: str) -> list[str]:
    """'joy, fear' -> both; a text without a name is one empty name, which no list has."""
    return [part.strip() for part in text.split(",") if part.strip()] or [""]


def plain_languages(text: str) -> list[str]:
    """'en:large,zh' -> en and zh: the languages, whatever the size of their concept sets."""
    return [name.partition(":")[0] for name in split_names(text)]


def numbers(text: str | None, what: str, count: int | None = None) -> list[int] | None:
    """'0,2,3' -> [0, 2, 3]; at least one number, or exactly `count`."""
    if text is None:
        return None
    try:
        values = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = []
    if not values or count not in (None, len(values)):
        example = ",".join(map(str, (0, 2, 3, 5)[: count or 3]))
        raise EmotionInterpError(f"{what} are whole numbers with commas, such as {example}; got {text!r}.")
    return values
