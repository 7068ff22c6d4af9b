"""Functions take few parameters, and every parameter and option is documented in a form that a docs tool parses."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

import emotion_interp as ei
from emotion_interp.core.options import Options
from emotion_interp.core.result import SHOWN, Result

PACKAGE = Path(ei.__file__).parent
MOST = 8
"""Parameters of one public function; related choices are one options object (`core.options`)."""
COMMANDS = PACKAGE / "cli"
"""A command's parameters are its options on the command line, each with a help text of its own: they are not counted."""
PUBLIC = [(name, getattr(ei, name)) for name in ei.__all__ if callable(getattr(ei, name))]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def too_many(path: Path) -> list[tuple[str, int]]:
    """Public functions and methods of a file with more parameters than there may be."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        methods = node.body if isinstance(node, ast.ClassDef) else [node]
        for function in methods:
            if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
                asked = function.args
                every = [*asked.posonlyargs, *asked.args, *asked.kwonlyargs, asked.vararg, asked.kwarg]
                count = sum(one is not None and one.arg not in ("self", "cls") for one in every)
                if count > MOST and not getattr(node, "name", "").startswith("_"):
                    found.append((function.name, count))
    return found


def test_no_public_function_has_more_than_eight_parameters():
    files = [path for path in PACKAGE.rglob("*.py") if COMMANDS not in path.parents]
    found = {str(path.relative_to(PACKAGE)): many for path in sorted(files) if (many := too_many(path))}
    assert found == {}


def documented(text: str, section: str = "Args") -> list[str]:
    """The names that a section of a Google-style docstring has an entry for; a line of several names is one that no tool
    finds any of them by."""
    lines = inspect.cleandoc(text).splitlines()
    if f"{section}:" not in lines:
        return []
    names = []
    for line in lines[lines.index(f"{section}:") + 1 :]:
        if line and not line.startswith(" "):
            break
        entry = re.match(r"    (\*{0,2}\w+)(?: \([^)]*\))?: \S", line)
        names += [entry[1].lstrip("*")] if entry else []
    return names


def test_a_line_that_names_several_parameters_documents_none_of_them():
    text = "What it does.\n\nArgs:\n    one: first.\n        more.\n    two, three: both.\n    **rest: others.\n\nRaises:\n    x: no."
    assert documented(text) == ["one", "rest"]


def asked_of(thing) -> list[str]:
    """The parameters of a function, or of a class that is called."""
    signature = inspect.signature(thing).parameters.values()
    return [p.name for p in signature if p.name not in ("self", "cls")]


FUNCTIONS = [(name, thing) for name, thing in PUBLIC if not inspect.isclass(thing)]
METHODS = [
    (f"{owner}.{name}", getattr(member, "__func__", member))
    for owner, thing in PUBLIC
    if inspect.isclass(thing)
    for name, member in vars(thing).items()
    if not name.startswith("_") and callable(getattr(member, "__func__", member)) and not inspect.isclass(member)
]


@pytest.mark.parametrize(("name", "function"), FUNCTIONS, ids=lambda x: x if isinstance(x, str) else "")
def test_every_parameter_of_a_public_function_has_an_entry_of_its_own(name, function):
    assert [p for p in asked_of(function) if p not in documented(inspect.getdoc(function) or "")] == []


def options_classes() -> list[type[Options]]:
    """Every options class of the package."""
    for path in PACKAGE.rglob("*.py"):
        if COMMANDS not in path.parents and "Options)" in path.read_text(encoding="utf-8"):
            importlib.import_module(module_name(path))
    found, new = set(), {Options}
    while new:
        found |= new
        new = {child for one in new for child in one.__subclasses__()} - found
    return sorted(
        (k for k in found - {Options} if k.__module__.startswith("emotion_interp.")), key=lambda k: k.__name__
    )


@pytest.mark.parametrize("kind", options_classes(), ids=lambda kind: kind.__name__)
def test_every_field_of_an_options_class_is_documented_and_a_choice_of_the_same_type(kind):
    entries = {name for one in kind.__mro__[:-1] for name in documented(one.__doc__ or "", "Attributes")}
    fields = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    assert set(fields) <= entries
    if kind.__module__.startswith("emotion_interp.app."):
        # a question of the page comes as JSON: nobody passes its fields by keyword
        return
    if "generation" in fields:
        # what is no field goes on to the subject's own generate: the choices are open
        return
    module = importlib.import_module(kind.__module__)
    choices = getattr(module, kind.__name__.replace("Options", "Choices"))
    assert not choices.__required_keys__
    assert {n: getattr(t, "__forward_arg__", str(t)) for n, t in choices.__annotations__.items()} == fields


def results() -> list[type[Result]]:
    for room in ("ratings", "geometry", "features"):
        for path in (PACKAGE / room).glob("*.py"):
            importlib.import_module(module_name(path))
    found, new = set(), {Result}
    while new:
        found |= new
        new = {child for one in new for child in one.__subclasses__()} - found
    return sorted((k for k in found - {Result} if k.__module__.startswith("emotion_interp.")), key=lambda k: k.__name__)


@pytest.mark.parametrize("kind", results(), ids=lambda kind: kind.__name__)
def test_every_result_shows_draws_and_keeps_itself(kind):
    assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen
    assert "__repr__" in vars(kind) or not kind.__dataclass_params__.repr, "a dataclass's own repr prints whole tables"
    for name in ("to_frame", "by_layer", "plot", "add_to", "view", "settings", "_repr_html_"):
        assert hasattr(kind, name)
    assert len(kind.COLUMNS) <= SHOWN
    assert kind.TABLE in ("", *get_args(None), *_extra_tables())


def _extra_tables() -> tuple[str, ...]:
    from emotion_interp.bank.files import EXTRA_TABLES

    return EXTRA_TABLES
