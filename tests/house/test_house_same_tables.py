"""`benchmarks.same_tables`: what it compares it finds, and every public name is in it or is said not to be."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from benchmarks import same_tables
from benchmarks.same_tables.compare import CLOSE, EQUAL, compare_tables
from benchmarks.same_tables.names import NOT_COVERED, covered
from benchmarks.same_tables.registry import keep, verdicts
from benchmarks.same_tables.store import plain

FILES = sorted(Path(same_tables.__file__).parent.glob("*.py"))


def tiny(change: float = 0.0):
    """Two makers with a table each, the second of which can be perturbed."""

    def first():
        yield "frame", pd.DataFrame({"r": [0.1, 0.2, np.nan], "emotion": ["joy", None, "fear"]})

    def second():
        yield "array", np.array([[1.0, 2.0], [3.0, 4.0 + change]])
        yield "figures", {"rho": 0.5, "ci": (0.1, 0.9)}

    return {"first": first, "second": second}


def kept(folder, makers):
    keep(folder, {}, makers=makers, say=lambda line: None)
    return folder


def test_tables_kept_twice_are_equal_to_the_last_bit(tmp_path):
    found = verdicts(kept(tmp_path / "a", tiny()), kept(tmp_path / "b", tiny()))
    assert list(found) == ["first.frame", "second.array", "second.figures"]
    assert all(v.same and v.text.startswith(EQUAL) for v in found.values())


def test_one_perturbed_number_is_found_in_its_column(tmp_path):
    before, after = kept(tmp_path / "a", tiny()), kept(tmp_path / "b", tiny(1e-6))
    found = verdicts(before, after)
    assert found["first.frame"].same and not found["second.array"].same
    assert found["second.array"].text == "differs: column 00001, 1 of 2 rows, largest difference 1e-06"
    close = verdicts(before, kept(tmp_path / "c", tiny(1e-13)))["second.array"]
    assert close.same and close.text.startswith(CLOSE)


def test_a_table_that_cannot_be_made_is_missing_and_stops_no_other(tmp_path):
    def broken():
        yield "made", np.ones(2)
        yield "refused", lambda: 1 / 0
        yield "late", np.ones(2)
        raise KeyError("gone")

    def whole():
        yield "made", np.ones(2)
        yield "refused", np.ones(2)
        yield "late", np.ones(2)

    before = kept(tmp_path / "a", {"maker": whole, "other": whole})
    found = verdicts(before, kept(tmp_path / "b", {"maker": broken}))
    assert {k for k, v in found.items() if v.same} == {"maker.made", "maker.late"}
    assert found["maker.refused"].text == "missing: ZeroDivisionError: division by zero"
    assert found["other.made"].text == "missing: it was not made"
    backwards = verdicts(tmp_path / "b", tmp_path / "a")
    assert not backwards["maker"].same and "KeyError" in backwards["maker"].text


def test_some_of_the_makers_are_kept_again_in_the_same_folder(tmp_path):
    before, after = kept(tmp_path / "a", tiny()), kept(tmp_path / "b", tiny())
    keep(after, {}, "second", tiny(0.5), lambda line: None)
    assert [name for name, v in verdicts(before, after).items() if not v.same] == ["second.array"]
    assert list(verdicts(before, after, "first")) == ["first.frame"]


FRAME = pd.DataFrame({"x": [1.0, 2.0, 3.0], "name": ["a", "b", None]})


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (FRAME.drop(columns="name"), "without column name"),
        (FRAME.head(2), "2 rows, there were 3"),
        (FRAME.iloc[::-1], "the same 3 rows in another order"),
        (FRAME.assign(name=["a", "c", None]), "column name, 1 of 3 rows, first in row 1: 'c', was 'b'"),
        (FRAME.assign(x=[1.0, np.nan, 3.0]), "column x, 1 of 3 rows, largest difference inf"),
        (FRAME.assign(x=["1", "2", "3"]), "column x, texts where numbers were"),
    ],
)
def test_what_differs_is_said(after, says):
    found = compare_tables(plain(FRAME), plain(after))
    assert not found.same and says in found.text


def test_new_columns_and_other_types_change_no_number_and_are_named():
    after = FRAME.assign(x=FRAME["x"].astype("float32"), site="blocks.0")[["site", "name", "x"]]
    found = compare_tables(plain(FRAME), plain(after))
    assert found.same and "new columns: site" in found.text and "x float32, was float64" in found.text
    grown = compare_tables(plain({"rho": 0.5}), plain({"rho": 0.5, "n": 3}))
    assert grown.same and "1 new values, first /n" in grown.text
    moved = compare_tables(plain({"rho": 0.5, "n": 3}), plain({"rho": 0.25, "n": 3}))
    assert not moved.same and moved.text.endswith("first at /rho")
    assert not compare_tables(plain({"rho": 0.5, "n": 3}), plain({"n": 3})).same


def test_a_table_without_rows_is_compared_too():
    empty = FRAME.head(0)
    assert compare_tables(plain(empty), plain(empty)).text == f"{EQUAL} (0 x 2)"
    assert compare_tables(plain(empty), plain(empty.astype({"x": object}))).same
    assert not compare_tables(plain(empty), plain(FRAME)).same


def test_signs_of_zero_and_every_digit_of_a_text_count_as_bits():
    found = compare_tables(plain(np.array([0.0])), plain(np.array([-0.0])))
    assert found.same and found.text.startswith(CLOSE)
    assert not compare_tables(plain([{"a": [0.1]}]), plain([{"a": [0.1 + 1e-16]}])).same


def test_every_public_name_has_a_table_or_a_reason():
    assert set(ei.__all__) - covered() - set(NOT_COVERED) == set()
    assert covered() & set(NOT_COVERED) == set()
    assert all(reason for reason in NOT_COVERED.values())


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_only_public_names_are_used(path):
    """So that the same command runs where modules have moved."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("emotion_interp")
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("emotion_interp.") for alias in node.names)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350
