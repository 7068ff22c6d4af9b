"""What an error line, a docstring or the README names is there: functions of `ei`, commands and options of the shell."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import typing
from pathlib import Path

import pytest

import emotion_interp as ei

PACKAGE = Path(ei.__file__).parent
FILES = sorted(p for p in PACKAGE.rglob("*.py") if "bundled" not in p.parts)
README = PACKAGE.parent / "README.md"
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def functions() -> dict[str, set[Path]]:
    """Module-level functions of the package that are not private, and where they are."""
    found: dict[str, set[Path]] = {}
    for path, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found.setdefault(node.name, set()).add(path)
    return found


FUNCTIONS = functions()


def docstrings(tree: ast.AST) -> list[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return [
        text for node in ast.walk(tree) if isinstance(node, kinds) if (text := ast.get_docstring(node, clean=False))
    ]


def sentences(path: Path) -> list[str]:
    """Texts in the code that people read: with a space, and no docstrings."""
    tree = TREES[path]
    docs = {ast.unparse(ast.Constant(d)) for d in docstrings(tree)}
    constants = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return [c for c in constants if " " in c and ast.unparse(ast.Constant(c)) not in docs]


def resolves(dotted: str) -> bool:
    """Whether `ei.a.b` is there."""
    value: object = ei
    for part in dotted.split("."):
        if not hasattr(value, part) and part not in getattr(value, "__dataclass_fields__", {}):
            return False
        value = getattr(value, part, None)
    return True


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_function_that_a_sentence_names_can_be_called_as_ei_name(path):
    for text in sentences(path):
        for match in re.finditer(r"(?<![.\w])([a-z]\w*_\w+)\b(?!=)|(?<![.\w])([a-z]\w+)\((?!s\))", text):
            name = match[1] or match[2]
            if name in FUNCTIONS and path not in FUNCTIONS[name]:
                assert name in ei.__all__, f"{text!r} names {name}, which is not public"


@pytest.mark.parametrize("path", [*FILES, README], ids=lambda p: p.name)
def test_every_ei_name_that_is_written_down_exists(path):
    if not path.is_file():
        pytest.skip("an installed package has no README")
    for name in re.findall(r"\bei\.([A-Za-z_]\w*(?:\.[a-z_]\w*)?)", path.read_text(encoding="utf-8")):
        assert resolves(name), name


CARDS = [PACKAGE / "judges" / "shipped" / "CARD.md", PACKAGE.parent / "saved_features" / "README.md"]


@pytest.mark.parametrize("path", [*FILES, README, *CARDS], ids=lambda p: p.name)
def test_every_module_and_name_that_is_written_down_exists(path):
    if not path.is_file():
        pytest.skip("an installed package has no README")
    for dotted in re.findall(r"\bemotion_interp((?:\.[A-Za-z_]\w*)+)", path.read_text(encoding="utf-8")):
        first, *rest = dotted.removeprefix(".").split(".")
        # "emotion_interp.feature_bank" is the format of a file
        if not (PACKAGE / first).is_dir():
            continue
        value: object = ei
        for k, part in enumerate((first, *rest)):
            if not hasattr(value, part):
                importlib.import_module(".".join(("emotion_interp", first, *rest[:k])))
            value = getattr(value, part)


def shell_words() -> dict[str, set[str]]:
    """Every command with its options."""
    import typer

    from emotion_interp.cli import app

    found: dict[str, set[str]] = {}

    def walk(command: typing.Any, name: str) -> None:
        found[name] = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
        for child, below in getattr(command, "commands", {}).items():
            walk(below, f"{name} {child}".strip())

    walk(typer.main.get_command(app), "")
    # `features joy` is `features find joy`
    found["features"] |= found["features find"]
    return found


def check_python(block: str) -> None:
    """Every call of ei.something takes the arguments that are written, in one of its forms (with a setting, or without)."""
    for node in ast.walk(ast.parse(block)):
        if not isinstance(node, ast.Call) or not re.fullmatch(r"ei(\.\w+)+", ast.unparse(node.func)):
            continue
        function: object = ei
        for part in ast.unparse(node.func).split(".")[1:]:
            function = getattr(function, part)
        assert callable(function)
        if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
            continue
        given = {k.arg: None for k in node.keywords if k.arg is not None}
        forms = [inspect.signature(form) for form in (function, getattr(function, "simple", None)) if form is not None]
        assert any(_takes(form, len(node.args), given) for form in forms), ast.unparse(node)


def _takes(form: inspect.Signature, n_positional: int, named: dict[str, None]) -> bool:
    try:
        form.bind(*[None] * n_positional, **named)
    except TypeError:
        return False
    return True


def check_call(line: str) -> None:
    """Command and options of one line after `emotion-interp`."""
    known = shell_words()
    words = line.split()
    name = ""
    for word in words:
        longer = f"{name} {word}".strip()
        if longer not in known:
            break
        name = longer
    assert name, line
    for option in re.findall(r"(?<!\S)(--?[a-z][\w-]*)", line):
        assert option in known[name], (line, option)


@pytest.mark.parametrize("path", [*FILES, README], ids=lambda p: p.name)
def test_every_command_that_is_written_down_exists_with_its_options(path):
    if not path.is_file():
        pytest.skip("an installed package has no README")
    text = path.read_text(encoding="utf-8")
    if path == README:
        block = text[text.index("## In a shell") :].split("```sh\n")[1].split("```")[0]
        lines = [row.partition("   #")[0].removeprefix("emotion-interp ") for row in block.splitlines()]
    else:
        lines = re.findall(r"[`:] ?emotion-interp ([^`\n\"]+)", text)
    for line in lines:
        check_call(re.sub(r"[.;,)]+$|\{[^}]*\}", "", line.strip()).strip())
