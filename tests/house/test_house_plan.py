"""The plan of the house: rooms in a full order, no circle between files, no room too large, tests that mirror the rooms."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import emotion_interp as ei

PACKAGE = Path(ei.__file__).parent
ROOT = PACKAGE.parent
TESTS = Path(__file__).parents[1]
ORDER = (
    *(
        "cli",
        "app",
        "study",
        "experiments",
        "directions",
        "ratings",
        "judges",
        "report",
        "geometry",
        "features",
        "training",
    ),
    *("steering", "activations", "bank", "concepts", "subjects", "norms", "figures", "stats", "core"),
)
"""From the top to the bottom; `DESIGN.md` has it."""
OTHER_TESTS = {"browser", "docs", "families", "gpu", "house", "notebooks", "readme", "real", "releases"}
"""Tests of no single room."""


@pytest.fixture(scope="module")
def house():
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("an installed package has no plan beside it")
    from benchmarks import house

    return house


@pytest.fixture(scope="module")
def files(house):
    return house.modules(ROOT)


def test_no_circle_of_imports_between_files(house, files):
    assert house.circles(files) == []


def test_rooms_are_in_a_full_order(house):
    assert tuple(house.order(ROOT)) == ORDER
    assert {p.parent.name for p in PACKAGE.glob("*/__init__.py")} == set(ORDER)


def test_statistics_import_core_alone(house, files):
    for name, path in files.items():
        if name.startswith("emotion_interp.stats"):
            own = {module for module, _ in house.imported(path.read_text()) if module.startswith("emotion_interp")}
            assert all(module.split(".")[1] in ("stats", "core") for module in own), (name, own)


def test_no_room_is_too_large(house, files):
    lines = {room: figures[1] for room, figures in house.rooms(files).items()}
    total = sum(lines.values())
    assert {room: n for room, n in lines.items() if n > house.LARGEST * total} == {}
    assert lines["steering"] <= house.STEERING


def test_any_does_not_come_back(house, files):
    assert house.anys(files) <= house.ANYS


def test_names_say_what_a_thing_holds(house, files):
    assert house.vague(files) <= house.VAGUE_SHARE


def test_local_names_are_counted_once_for_each_function_and_parameters_not(house):
    source = "def f(own, x):\n    found = x\n    found = [one for one in x]\n    def g():\n        found = own\n        return found\n    return g\n"
    assert sorted(house.local_names(source)) == ["found", "found", "one"]


def test_a_long_function_says_why(house, files):
    unexplained = {name: house.too_long(path.read_text(encoding="utf-8")) for name, path in files.items()}
    assert {name: functions for name, functions in unexplained.items() if functions} == {}


def test_the_rule_against_long_functions_sees_what_it_should(house):
    body = "    x = 1\n" * house.LONG
    docstring = '    """' + "Says\n" * house.LONG + '    """\n'
    assert house.too_long(f"def f():\n{body}") == ["f"]
    assert house.too_long(f"def f():\n{docstring}    return 1\n") == []
    assert house.too_long(f"{house.WHY_LONG}one table, row by row.\n@cached\ndef f():\n{body}") == []


def test_a_bank_imports_nothing_that_writes_about_banks(house, files):
    below = house.graph(files)["emotion_interp.bank.bank"]
    assert not {"emotion_interp.bank.card", "emotion_interp.bank.sharing"} & set(below)


def test_nothing_is_imported_by_name_but_extras():
    for path in PACKAGE.rglob("*.py"):
        called = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
        }
        named = {name for name in called if name.split(".")[-1] in ("import_module", "__import__")}
        assert not named or path == PACKAGE / "core" / "extras.py", (path, named)


def test_tests_mirror_the_rooms():
    paths = sorted(TESTS.rglob("test_*.py"))
    assert {p.parent.name for p in paths} <= {*ORDER, *OTHER_TESTS}
    for path in paths:
        assert path.name.startswith(f"test_{path.parent.name}_"), path
    assert [name for name, n in Counter(p.name for p in paths).items() if n > 1] == []


def test_every_room_has_tests():
    assert set(ORDER) <= {p.parent.name for p in TESTS.rglob("test_*.py")}


def write(folder: Path, **sources: str) -> None:
    for name, source in sources.items():
        path = folder / "emotion_interp" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


def test_the_rule_against_circles_sees_what_it_should(house, tmp_path):
    write(
        tmp_path,
        a__one="from emotion_interp.a import two\n",
        a__two="def f():\n    from emotion_interp.b.three import g\n    return g\n",
        b__three="if not TYPE_CHECKING:\n    import emotion_interp.a.one\n",
        b__four="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from emotion_interp.b import five\n",
        b__five="from emotion_interp.b.four import x\n",
    )
    loop = ["emotion_interp.a.one", "emotion_interp.a.two", "emotion_interp.b.three"]
    assert house.circles(house.modules(tmp_path)) == [loop]
    write(tmp_path, b__three="from emotion_interp.b.four import x\n")
    assert house.circles(house.modules(tmp_path)) == []


def test_lines_of_code_leave_out_what_explains_it(house):
    source = '"""A module."""\n\n# why\nx = 1  # one\n"""What x is."""\ny = """a\nb"""\n\n\ndef f():\n    """Says\n    much.\n    """\n    return (\n        x\n    )\n'
    assert house.code_lines(source) == 7


def test_growth_tells_moved_and_split_files_from_new_ones(house, tmp_path):
    before, now = tmp_path / "before", tmp_path / "now"
    write(before, a__one="def f():\n    return 1\n\n\ndef g():\n    return 2\n")
    write(
        now,
        a__one="def f():\n    return 1\n",
        b__moved="def g():\n    return 2\n\n\ndef h():\n    return 3\n",
        b__new="def k():\n    return 4\n",
    )
    assert house.growth(house.modules(before), house.modules(now)) == {"a": (4, 2, 0), "b": (0, 4, 2)}
