"""Arguments are checked before any work: `@checked` reads what a function's own annotations and parameter names promise."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from emotion_interp.core.annotations import BY_NAME, fits, hint, is_number, items_of, members, name_of, shown, wanted
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.core.result import Result, made_by
from emotion_interp.core.similar import similar, suggestion

if TYPE_CHECKING:
    import numpy as np


P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class ArgumentError(EmotionInterpError):
    """An argument of the wrong kind or out of its range."""


class UnknownArgumentError(ArgumentError, TypeError):
    """A keyword that the function does not take."""


class Range(NamedTuple):
    """What a number may be; `above` and `below` are not reached themselves."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, value: object) -> bool:
        number: Any = value
        return self.least <= number <= self.most and self.above < number < self.below

    def __str__(self) -> str:
        if self.above > -math.inf:
            return f"between {self.above:g} and {self.below:g}" if self.below < math.inf else f"above {self.above:g}"
        return f"from {self.least:g} to {self.most:g}" if self.most < math.inf else f"of at least {self.least:g}"


COUNT, AMOUNT, SHARE, POSITIVE = Range(least=1), Range(least=0), Range(above=0, below=1), Range(above=0)
RANGES: dict[str, Range] = {
    **dict.fromkeys(
        (
            *("n_permutations", "n_components", "dimensions", "iterations", "batch_size", "hidden_units", "n_samples"),
            *("tune_samples", "samples", "batch_tokens", "carriers", "max_words", "repeats", "k", "ks", "n_tokens"),
            *("steps", "texts_per_step", "bins", "n_vectors", "token_budget", "n_resamples", "n_words", "n", "limit"),
            *("d_model", "heads", "context", "vocab_size", "tokens", "batch", "expansion", "max_features", "d_sae"),
            *("workers", "threads"),
        ),
        COUNT,
    ),
    **dict.fromkeys(
        (
            *("seed", "n_bootstrap", "n_random", "tune_random", "skip", "before", "after", "max_new_tokens", "layer"),
            *("layers", "feature", "features", "contrast", "likelihood", "bias_weight", "ridge"),
            *("margin", "equivalence", "checkpoint_minutes", "new_tokens", "max_rated_words", "scale", "scales"),
        ),
        AMOUNT,
    ),
    **dict.fromkeys(("folds", "n_folds"), Range(least=2)),
    **dict.fromkeys(("test_share", "share", "level"), SHARE),
    **dict.fromkeys(("learning_rate", "lr", "muon_lr", "adam_lr"), POSITIVE),
    **dict.fromkeys(
        ("max_q", "side_weight", "min_coverage", "min_specificity", "least_intact", "min_strength"),
        Range(least=0, most=1),
    ),
}
"""By the name of a parameter, which means the same in every function."""

OTHERS = {"emotion": "others"}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse arguments that are not what the function's annotations and `RANGES` say, before it does anything.

    Raises (the function): ArgumentError: another type, or out of range. NotFiniteError: NaN or infinity.
    UnknownArgumentError: a keyword that it does not take.

    Example:
        >>> @checked
        ... def grid(emotions: Sequence[str], seed: int = 0) -> int:
        ...     return seed
        >>> grid("joy")
        Traceback (most recent call last):
        ...
        emotion_interp.core.arguments.ArgumentError: grid: emotions is a list of texts, got 'joy'. Write ['joy'].
    """
    signature = inspect.signature(function)
    owner = function.__qualname__.removesuffix(".__init__")
    rest = next((n for n, p in signature.parameters.items() if p.kind is p.VAR_KEYWORD), "")
    takes_any = bool(rest) and not str(signature.parameters[rest].annotation).startswith("Unpack[")

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        asked = parameters(function)
        if not takes_any:
            check_keywords(owner, kwargs, asked)
        try:
            arguments = dict(signature.bind(*args, **kwargs).arguments)
        except TypeError as error:
            raise UnknownArgumentError(_unbound(owner, error, kwargs, list(asked))) from None
        arguments |= arguments.pop(rest, {})
        for name, value in arguments.items():
            if name in asked and value is not asked[name].default:
                check_argument(owner, name, value, str(asked[name].annotation))
        arguments = getattr(arguments.get("options"), "__dict__", {}) | arguments
        check_against_bank(arguments)
        made = function(*args, **kwargs)
        if isinstance(made, Result):
            defaults = {name: p.default for name, p in asked.items() if p.default is not p.empty}
            known = defaults | {name: value for name, value in arguments.items() if name in asked}
            return made_by(made, owner, {name: known[name] for name in asked if name != "options"})
        return made

    vars(call)["__checked__"] = True
    return call


@functools.cache
def parameters(function: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """What a function takes by name; the fields of its options (see `core.options`) are among them."""
    asked = dict(inspect.signature(function).parameters)
    rest = [n for n, p in asked.items() if n in ("self", "cls") or p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    open_ended = any(str(asked.pop(name).annotation).startswith("Unpack[") for name in rest)
    if open_ended:
        kind = inspect.unwrap(function).__globals__[str(asked["options"].annotation).partition(" ")[0]]
        for field in dataclasses.fields(kind):
            default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
            asked[field.name] = inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=field.type
            )
    return asked


def check_keywords(owner: str, given: Iterable[str], names: Iterable[str]) -> None:
    """Refuse a keyword that is none of the names."""
    names = list(names)
    for name in given:
        if name not in names:
            raise UnknownArgumentError(
                f"{owner} has no argument {name!r}.{suggestion(name, names)} It takes: {', '.join(names)}."
            )


def _unbound(owner: str, error: TypeError, given: Iterable[str], names: list[str]) -> str:
    """Python's own words for what is missing or too much, and the name that was written for it."""
    missing = str(error).partition("argument: ")[2].strip("'")
    written = [name for name in given if name not in names and missing and similar(name, [missing]) == missing]
    instead = f" Write {missing}= for {written[0]}=." if written else ""
    return f"{owner}: {error}.{instead} It takes: {', '.join(names)}."


def checked_methods(cls: type[T]) -> type[T]:
    """`checked` for every public method of a class."""
    for name, member in list(vars(cls).items()):
        if isinstance(member, property) or (name.startswith("_") and name != "__init__"):
            continue
        if name == "__init__" and "__dataclass_fields__" in vars(cls):
            continue
        if isinstance(member, (classmethod, staticmethod)):
            setattr(cls, name, type(member)(checked(member.__func__)))
        elif inspect.isfunction(member):
            setattr(cls, name, checked(member))
    return cls


def check_fields(instance: object) -> None:
    """The same for the fields of a dataclass; called from `__post_init__`."""
    for name, annotation in inspect.get_annotations(type(instance)).items():
        check_argument(type(instance).__name__, name, getattr(instance, name), str(annotation))


def check_against_bank(arguments: Mapping[str, object]) -> None:
    """Refuse emotions and languages that the bank of the same call does not have."""
    bank = arguments.get("bank", getattr(arguments.get("setting"), "bank", None))
    for kind in ("emotion", "language"):
        known: Sequence[object] = getattr(bank, f"{kind}s", None) or ()
        lists = [arguments.get(name) for name in (f"{kind}s", OTHERS.get(kind, ""))]
        # an iterator would be used up
        given = [
            arguments.get(kind),
            *(item for many in lists if isinstance(many, (list, tuple, set)) for item in many),
        ]
        for name in given if known else ():
            if isinstance(name, str) and name not in known:
                raise UnknownNameError(kind, name, known)


def check_argument(owner: str, name: str, value: object, annotation: str) -> None:
    """Refuse a value that is not what an annotation and the parameter's name ask for."""
    kinds = members(BY_NAME.get(name, "Any") if annotation in ("Any", "object") else annotation)
    if not any(fits(value, kind) for kind in kinds):
        raise ArgumentError(f"{owner}: {name} is {wanted(kinds)}, got {shown(value)}.{hint(value, kinds)}")
    names = [name_of(kind) for kind in kinds]
    if "float" in names or "int" in names:
        check_number(f"{owner}: {name}", value, RANGES.get(name, Range()))
    elif any(name_of(item) in ("int", "float") for kind in kinds for item in items_of(kind)) and not is_number(value):
        plain = value if isinstance(value, (list, tuple, set, range)) else ()
        for item in plain:
            check_number(f"{owner}: {name}", item, RANGES.get(name, Range()))
    if name in RANGES and isinstance(value, (list, tuple)):
        for item in value:
            check_number(f"{owner}: {name}", item, RANGES[name])


def as_array(what: str, value: Any, dtype: str) -> np.ndarray:
    """A tensor, array or nested list of numbers as a numpy array of its own.

    Raises:
        ArgumentError: it is none.
    """
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().to("cpu").float().numpy()
    try:
        return np.array(value, dtype=dtype)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"{what} are numbers, as an array or nested lists of one length; got {shown(value)}."
        ) from None


def check_number(what: str, value: Any, allowed: Range) -> None:
    """Refuse NaN, infinity and numbers out of range; what is no number is left alone."""
    if not is_number(value):
        return
    if not math.isfinite(value):
        raise NotFiniteError(f"{what} is a finite number, got {shown(value)}.")
    if value not in allowed:
        raise ArgumentError(f"{what} is a number {allowed}, got {shown(value)}.")
