"""What an annotation, as text, allows a value to be, and how that is said in an error line."""

from __future__ import annotations

import ast
import functools
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

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
    "Setting": "ei.Setting(subject, bank, prompts)",
    "Selection": "emotion_interp.features.Selection(...)",
    "SaeChoice": "ei.SaeChoice(...)",
    "SaeRecipe": "emotion_interp.training.SaeRecipe(...)",
    "SubjectRecipe": "emotion_interp.training.SubjectRecipe(...)",
    "Origin": "emotion_interp.app.Origin(...)",
    "StudySettings": "emotion_interp.study.StudySettings(...)",
    "NullTexts": "ei.null_texts(...)",
    "SteeringEffects": "emotion_interp.directions.fit_effects(...)",
    "Ratings": "ei.predict_ratings(...)",
    "DoseResponse": "ei.dose_response(...)",
    "DataFrame": "pandas.DataFrame(...)",
}
"""What makes an object of each kind; `{}` stands for what was given."""

LIKE = {
    # a user's own bank or judge may stand in for ours
    "Bank": ("direction", "layers"),
    "TextJudge": ("emotions", "predict_proba"),
    "CoordinateJudge": ("predict",),
    "Table": ("to_frame",),
    "SubjectLike": ("name", "provenance"),
}
BY_NAME = {"bank": "Bank", "concepts": "ConceptSet", "subject": "SubjectLike", "table": "DataFrame | Table"}
"""Parameters that are annotated `Any` because a room above may not be imported."""
ALIASES = {
    "Prompts": "str | Sequence[str | Mapping[str, Any] | Sequence[Mapping[str, Any]]]",
    "ReadAt": "str",
    "SpaceKind": "str",
    "Tick": "Callable",
    "Progress": "Callable[[int], None] | bool | None",
    "NDArray": "Any",
}
WORDS = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "True or False", "Path": "a path"}
LISTS = ("Sequence", "Iterable", "list", "tuple", "set", "Collection")
MAPPINGS = ("Mapping", "dict")


def shown(value: object) -> str:
    """A value in an error line: short, with its type where that does not show."""
    if isinstance(value, (str, bytes, bool, numbers.Number, type(None))):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        text = repr(value)
        return f"the {type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
    return f"a {type(value).__name__}"


@functools.cache
def members(annotation: str) -> tuple[ast.expr, ...]:
    """The members of a union."""
    kinds: list[ast.expr] = []

    def split(node: ast.expr) -> None:
        if isinstance(node, ast.BinOp):
            split(node.left)
            split(node.right)
        elif isinstance(node, ast.Name) and node.id in ALIASES:
            split(ast.parse(ALIASES[node.id], mode="eval").body)
        else:
            kinds.append(node)

    split(ast.parse(annotation, mode="eval").body)
    return tuple(kinds)


def name_of(kind: ast.expr) -> str:
    """The name of a type without its items."""
    if isinstance(kind, ast.Subscript):
        return name_of(kind.value)
    if isinstance(kind, ast.Attribute):
        return kind.attr
    if isinstance(kind, ast.Name):
        return kind.id
    return "None" if isinstance(kind, ast.Constant) and kind.value is None else ""


def items_of(kind: ast.expr) -> tuple[ast.expr, ...]:
    """What a list or mapping holds: the members of its (last) item type."""
    if not isinstance(kind, ast.Subscript) or name_of(kind) not in (*LISTS, *MAPPINGS):
        return ()
    inner = kind.slice
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name_of(kind) == "tuple" and not (isinstance(parts[-1], ast.Constant) and parts[-1].value is ...):
        return tuple(k for part in parts for k in members(ast.unparse(part)))
    return members(ast.unparse(parts[0 if name_of(kind) not in MAPPINGS else -1]))


def is_number(value: object) -> bool:
    """A real number of Python, numpy or torch; True and False are none."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return False
    return isinstance(value, numbers.Real) or (
        getattr(value, "ndim", None) == 0 and hasattr(value, "__float__") and not isinstance(value, (str, bytes))
    )


def fits(value: Any, kind: ast.expr) -> bool:
    """Whether a value is of a kind."""
    name = name_of(kind)
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
        return is_number(value) and hasattr(value, "__index__")
    if name == "float":
        return is_number(value)
    if name == "str":
        return isinstance(value, str)
    if name == "Path":
        return hasattr(value, "__fspath__")
    if name == "Callable":
        return callable(value)
    if name in MAPPINGS:
        return isinstance(value, Mapping) and _hold(value.values(), items_of(kind))
    if name in LISTS:
        return _is_list(value, name) and _hold(value, items_of(kind))
    if name in LIKE:
        return not isinstance(value, type) and all(hasattr(value, method) for method in LIKE[name])
    if name in MAKERS.keys() - {"Halves"} or name.endswith("Options"):
        return name in {base.__name__ for base in type(value).__mro__}
    # another library's object, or an alias that the function checks itself
    return True


def _is_list(value: object, name: str) -> bool:
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
        return False
    if type(value).__name__ in ("DataFrame", "EmotionSpace") or getattr(value, "ndim", 1) == 0:
        return False
    return name == "Iterable" or hasattr(value, "__len__")


def _hold(values: Iterable[object], kinds: tuple[ast.expr, ...]) -> bool:
    if not kinds or not (isinstance(values, (list, tuple, set, frozenset, range)) or hasattr(values, "mapping")):
        return True
    return all(any(fits(value, kind) for kind in kinds) for value in values)


def _words(kind: ast.expr) -> str:
    name, items = name_of(kind), items_of(kind)
    if name in WORDS:
        return WORDS[name]
    if name == "Literal":
        return " or ".join(ast.unparse(kind).removeprefix("Literal[").removesuffix("]").split(", "))
    if name == "Callable":
        return "a function"
    if name in MAPPINGS:
        return f"a dict of {_plural(items)}" if items and name_of(items[0]) not in ("Any", "object") else "a dict"
    if name in LISTS:
        return f"a list of {_plural(items)}" if items and name_of(items[0]) not in ("Any", "object") else "a list"
    if name in ("Bank", "SubjectLike"):
        return "a FeatureBank" if name == "Bank" else "a Subject"
    return "None" if name == "None" else f"a {name}"


def wanted(kinds: Iterable[ast.expr]) -> str:
    """What is asked for, in words."""
    words = dict.fromkeys(_words(kind) for kind in kinds)
    if {"a whole number", "a Site", "a text"} <= set(words):
        words = dict.fromkeys(
            ("a layer's number", "a hook name", *(w for w in words if w.startswith(("a Site", "None"))))
        )
    return " or ".join(words)


def _plural(kinds: Iterable[ast.expr]) -> str:
    known = {"str": "texts", "int": "whole numbers", "float": "numbers", "Site": "sites", "Stimulus": "stimuli"}
    return " or ".join(dict.fromkeys(known.get(name_of(k), _words(k).removeprefix("a ")) for k in kinds))


def hint(value: object, kinds: tuple[ast.expr, ...]) -> str:
    """A sentence on what would be right, or nothing."""
    names = [name_of(kind) for kind in kinds]
    lists = [kind for kind in kinds if name_of(kind) in LISTS]
    if lists and not isinstance(value, (list, tuple, set, Mapping)):
        if any(fits(value, item) for kind in lists for item in items_of(kind)):
            return f" Write [{value!r}]." if isinstance(value, (str, numbers.Number)) else " Put it in a list."
    elif lists and isinstance(value, (list, tuple)) and len(value) == 0:
        return ""
    if "str" in names and isinstance(value, (list, tuple)) and value:
        return f" Give one, such as {value[0]!r}." if isinstance(value[0], str) else ""
    for name in names if "Site" not in names else ():
        maker = MAKERS.get({"Bank": "FeatureBank", "SubjectLike": "Subject"}.get(name, name))
        if maker:
            given = repr(value) if isinstance(value, str) else "..."
            return f" {maker.format(given)} makes one."
    return ""
