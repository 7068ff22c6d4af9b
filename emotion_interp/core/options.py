"""Related choices of a function as one frozen object, which may be given whole or by single keywords.

A function with many choices takes `*, options: XOptions | None = None, **choices: Unpack[XChoices]` and begins with
`merged(XOptions, options, choices)`. `XOptions` is a frozen dataclass on `Options`, and documents each field; `XChoices`
is a `TypedDict` of the same fields for type checkers. `@checked` checks the choices as it checks parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, ClassVar, Self, TypeVar

from emotion_interp.core.arguments import ArgumentError, check_argument, check_keywords

T = TypeVar("T", bound="Options")


class Options:
    """Base of the frozen dataclasses of choices: types and ranges are checked as those of parameters are.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, kw_only=True)
        ... class FitOptions(Options):
        ...     folds: int = 5
        ...     seed: int = 0
        >>> merged(FitOptions, FitOptions(folds=3), {"seed": 1})
        FitOptions(folds=3, seed=1)
        >>> merged(FitOptions, None, {"fold": 3})
        Traceback (most recent call last):
        ...
        emotion_interp.core.arguments.UnknownArgumentError: FitOptions has no argument 'fold'. Did you mean 'folds'? It takes: folds, seed.
    """

    NONE_TOO: ClassVar[tuple[str, ...]] = ()
    """Counts of at least 1 elsewhere, of which 0 is a choice here."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    _given: frozenset[str]

    def __new__(cls, **given: object) -> Self:
        check_keywords(cls.__name__, given, cls.__dataclass_fields__)
        made = super().__new__(cls)
        object.__setattr__(made, "_given", frozenset(given))
        return made

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in self.NONE_TOO and type(value) is int and value == 0:
                continue
            if field.name in self._given and value is not field.default:
                check_argument(type(self).__name__, field.name, value, str(field.type))


def merged(kind: type[T], options: T | None, choices: Mapping[str, object]) -> T:
    """The options of a call: those given as an object, with the choices given by keyword.

    Args:
        kind: the options class of the function.
        options: the object, or None.
        choices: the keywords of the call.

    Raises:
        UnknownArgumentError: a keyword that is no field.
        ArgumentError: a field is given both ways, or its value is of another type or out of range.
    """
    if options is None or not choices:
        return options or kind(**choices)
    check_keywords(kind.__name__, choices, kind.__dataclass_fields__)
    twice = sorted(options._given & set(choices))
    if twice:
        raise ArgumentError(f"{', '.join(twice)}: given in options and by keyword at once. Give it in one of the two.")
    made = replace(options, **choices)
    object.__setattr__(made, "_given", options._given | set(choices))
    return made
