"""Arguments are checked before any work: `@checked` reads what a function's own annotations and parameter names promise."""

from __future__ import annotations

import ast
import functools
import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

from emotion_interp.core.errors import EmotionInterpError, NotFiniteError
from emotion_interp.core.similar import suggestion

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
        ("max_q", "side_weight", "min_coverage", "min_specificity", "least_intact", "min_strength"), Range(least=0, most=1)
    ),
}
"""By the name of a parameter, which means the same in every function."""

MAKERS = {
    "Subject": "ei.load_subject({})",
    "FeatureBank": "ei.FeatureBank.load({})",
    "Norms": "ei.load_norms({})",
    "ConceptSet": "ei.concept_set({})",
    "EmotionSpace": "ei.load_space({})",
    "Direction": "bank.direction({}, layer=...)",
    "TextJudge": "ei.load_judge({})",
    "CoordinateJudge": "ei.load_judge({})",
    "Stimulus": "ei.Stimulus(...) or ei.corpus_stimuli({})",
    "Site": "ei.Site(...)",
    "Halves": "two ei.EmotionSpace",
    "Selection": "emotion_interp.features.Selection(...)",
    "SaeRecipe": "emotion_interp.training.SaeRecipe(...)",
    "SubjectRecipe": "emotion_interp.training.SubjectRecipe(...)",
    "StudySettings": "emotion_interp.study.StudySettings(...)",
    "SteeringEffects": "emotion_interp.steering.fit_effects(...)",
    "Ratings": "ei.predict_ratings(...)",
    "DoseResponse": "ei.dose_response(...)",
    "DataFrame": "pandas.DataFrame(...)",
}
"""What makes an object of each kind; `{}` stands for what was given."""

LIKE = {
    # a user's own bank or judge may stand in for ours
    "Bank": ("direction", "scales"),
    "TextJudge": ("emotions", "predict_proba"),
    "CoordinateJudge": ("predict",),
}
BY_NAME = {"bank": "Bank", "concepts": "ConceptSet"}
"""Parameters that are annotated `Any` because a room above may not be imported."""
ALIASES = {"ReadAt": "str", "SpaceKind": "str", "Tick": "Callable", "NDArray": "Any"}
WORDS = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "True or False", "Path": "a path"}
LISTS = ("Sequence", "Iterable", "list", "tuple", "set", "Collection")
MAPPINGS = ("Mapping", "dict")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse arguments that are not what the function's annotations and `RANGES` say, before it does anything.

    Raises (the function): ArgumentError: another type, or out of range. NotFiniteError: NaN or infinity.
    UnknownArgumentError: a keyword that it does not take.

    Example:
        >>> @checked
        ... def grid(emotions: "Sequence[str]", seed: "int" = 0) -> int:
        ...     return seed
        >>> grid("joy")
        Traceback (most recent call last):
        ...
        emotion_interp.core.arguments.ArgumentError: grid: emotions is a list of texts, got 'joy'. Write ['joy'].
    """
    signature = inspect.signature(function)
    any_keyword = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        unknown = [] if any_keyword else [name for name in kwargs if name not in signature.parameters]
        if unknown:
            names = [n for n in signature.parameters if n != "self"]
            hint = suggestion(unknown[0], names)
            raise UnknownArgumentError(
                f"{function.__qualname__} has no argument {unknown[0]!r}.{hint} It takes: {', '.join(names)}."
            )
        # what is missing or too much is python's own error
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            parameter = signature.parameters[name]
            if name in ("self", "cls") or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            if value is not parameter.default:
                check_argument(function.__qualname__, name, value, str(parameter.annotation))
        return function(*args, **kwargs)

    vars(call)["__checked__"] = True
    return call


def checked_methods(cls: type[T]) -> type[T]:
    """`checked` for every public method of a class."""
    for name, member in list(vars(cls).items()):
        if name.startswith("_") or isinstance(member, property):
            continue
        if isinstance(member, (classmethod, staticmethod)):
            setattr(cls, name, type(member)(checked(member.__func__)))
        elif inspect.isfunction(member):
            setattr(cls, name, checked(member))
    return cls


def check_fields(instance: Any) -> None:
    """The same for the fields of a dataclass; called from `__post_init__`."""
    for name, annotation in inspect.get_annotations(type(instance)).items():
        check_argument(type(instance).__name__, name, getattr(instance, name), str(annotation))


def check_argument(owner: str, name: str, value: Any, annotation: str) -> None:
    """Refuse a value that is not what an annotation and the parameter's name ask for."""
    kinds = _kinds(BY_NAME.get(name, "Any") if annotation == "Any" else annotation)
    if not any(_fits(value, kind) for kind in kinds):
        raise ArgumentError(f"{owner}: {name} is {_wanted(kinds)}, got {shown(value)}.{_hint(value, kinds)}")
    names = [_name(kind) for kind in kinds]
    if "float" in names or "int" in names:
        check_number(f"{owner}: {name}", value, RANGES.get(name, Range()))
    elif any(_name(item) in ("int", "float") for kind in kinds for item in _items(kind)) and not _is_number(value):
        plain = value if isinstance(value, (list, tuple, set, range)) else ()
        for item in plain:
            check_number(f"{owner}: {name}", item, RANGES.get(name, Range()))
    if name in RANGES and isinstance(value, (list, tuple)):
        for item in value:
            check_number(f"{owner}: {name}", item, RANGES[name])


def check_number(what: str, value: Any, allowed: Range) -> None:
    """Refuse NaN, infinity and numbers out of range; what is no number is left alone."""
    if not _is_number(value):
        return
    if not math.isfinite(value):
        raise NotFiniteError(f"{what} is a finite number, got {shown(value)}.")
    if value not in allowed:
        raise ArgumentError(f"{what} is a number {allowed}, got {shown(value)}.")


def shown(value: Any) -> str:
    """A value in an error line: short, with its type where that does not show."""
    if isinstance(value, (str, bytes, bool, numbers.Number, type(None))):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        text = repr(value)
        return f"the {type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
    return f"a {type(value).__name__}"


@functools.cache
def _kinds(annotation: str) -> tuple[ast.expr, ...]:
    """The members of a union."""
    found: list[ast.expr] = []

    def split(node: ast.expr) -> None:
        if isinstance(node, ast.BinOp):
            split(node.left)
            split(node.right)
        elif isinstance(node, ast.Name) and node.id in ALIASES:
            split(ast.parse(ALIASES[node.id], mode="eval").body)
        else:
            found.append(node)

    split(ast.parse(annotation, mode="eval").body)
    return tuple(found)


def _name(kind: ast.expr) -> str:
    if isinstance(kind, ast.Subscript):
        return _name(kind.value)
    if isinstance(kind, ast.Attribute):
        return kind.attr
    if isinstance(kind, ast.Name):
        return kind.id
    return "None" if isinstance(kind, ast.Constant) and kind.value is None else ""


def _items(kind: ast.expr) -> tuple[ast.expr, ...]:
    """What a list or mapping holds: the members of its (last) item type."""
    if not isinstance(kind, ast.Subscript) or _name(kind) not in (*LISTS, *MAPPINGS):
        return ()
    inner = kind.slice
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if _name(kind) == "tuple" and not (isinstance(parts[-1], ast.Constant) and parts[-1].value is ...):
        return tuple(k for part in parts for k in _kinds(ast.unparse(part)))
    return _kinds(ast.unparse(parts[0 if _name(kind) not in MAPPINGS else -1]))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return False
    return isinstance(value, numbers.Real) or (
        getattr(value, "ndim", None) == 0 and hasattr(value, "__float__") and not isinstance(value, (str, bytes))
    )


def _fits(value: Any, kind: ast.expr) -> bool:
    name = _name(kind)
    if name in ("Any", "object"):
        return True
    if name == "None":
        return value is None
    if name == "Literal":
        # a name that is none of the allowed ones is the function's own error, which lists them
        return isinstance(value, str)
    if name == "bool":
        return isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")
    if name == "int":
        return _is_number(value) and hasattr(value, "__index__")
    if name == "float":
        return _is_number(value)
    if name == "str":
        return isinstance(value, str)
    if name == "Path":
        return hasattr(value, "__fspath__")
    if name == "Callable":
        return callable(value)
    if name in MAPPINGS:
        return isinstance(value, Mapping) and _hold(value.values(), _items(kind))
    if name in LISTS:
        return _is_list(value, name) and _hold(value, _items(kind))
    if name in LIKE:
        return not isinstance(value, type) and all(hasattr(value, one) for one in LIKE[name])
    if name in MAKERS and name != "Halves":
        return name in {base.__name__ for base in type(value).__mro__}
    # another library's object, or an alias that the function checks itself
    return True


def _is_list(value: Any, name: str) -> bool:
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
        return False
    if type(value).__name__ in ("DataFrame", "EmotionSpace") or getattr(value, "ndim", 1) == 0:
        return False
    return name == "Iterable" or hasattr(value, "__len__")


def _hold(values: Iterable[Any], kinds: tuple[ast.expr, ...]) -> bool:
    if not kinds or not (isinstance(values, (list, tuple, set, frozenset, range)) or hasattr(values, "mapping")):
        return True
    return all(any(_fits(value, kind) for kind in kinds) for value in values)


def _words(kind: ast.expr) -> str:
    name, items = _name(kind), _items(kind)
    if name in WORDS:
        return WORDS[name]
    if name == "Literal":
        return " or ".join(ast.unparse(kind).removeprefix("Literal[").removesuffix("]").split(", "))
    if name == "Callable":
        return "a function"
    if name in MAPPINGS:
        return f"a dict of {_plural(items)}" if items else "a dict"
    if name in LISTS:
        return f"a list of {_plural(items)}" if items else "a list"
    if name == "Bank":
        return "a FeatureBank"
    return "None" if name == "None" else f"a {name}"


def _wanted(kinds: Iterable[ast.expr]) -> str:
    words = dict.fromkeys(_words(kind) for kind in kinds)
    if {"a whole number", "a Site", "a text"} <= set(words):
        words = dict.fromkeys(("a layer's number", "a hook name", *(w for w in words if w.startswith(("a Site", "None")))))
    return " or ".join(words)


def _plural(kinds: Iterable[ast.expr]) -> str:
    known = {"str": "texts", "int": "whole numbers", "float": "numbers", "Site": "sites", "Stimulus": "stimuli"}
    return " or ".join(dict.fromkeys(known.get(_name(k), _words(k)) for k in kinds))


def _hint(value: Any, kinds: tuple[ast.expr, ...]) -> str:
    names = [_name(kind) for kind in kinds]
    lists = [kind for kind in kinds if _name(kind) in LISTS]
    if lists and not isinstance(value, (list, tuple, set, Mapping)):
        if any(_fits(value, item) for kind in lists for item in _items(kind)):
            return f" Write [{value!r}]." if isinstance(value, (str, numbers.Number)) else " Put it in a list."
    elif lists and isinstance(value, (list, tuple)) and len(value) == 0:
        return ""
    if "str" in names and isinstance(value, (list, tuple)) and value:
        return f" Give one, such as {value[0]!r}." if isinstance(value[0], str) else ""
    for name in names if "Site" not in names else ():
        maker = MAKERS.get("FeatureBank" if name == "Bank" else name)
        if maker:
            given = repr(value) if isinstance(value, str) else "..."
            return f" {maker.format(given)} makes one."
    return ""
