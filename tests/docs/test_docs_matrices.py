"""The matrices of families and releases in the docs: every row and column that is tested, and no empty cell without a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import emotion_interp as ei
from emotion_interp.subjects.sae_releases import release_names, release_of
from tests.families.cells import CELLS as FAMILY_CELLS
from tests.families.zoo import FAMILIES
from tests.releases.cases import CASES
from tests.releases.cells import CELLS as RELEASE_CELLS

RESULTS = Path(ei.__file__).parents[1] / "docs" / "results"
if not RESULTS.is_dir():
    pytest.skip("an installed package has no docs", allow_module_level=True)


def matrix(name: str) -> tuple[list[str], dict[str, dict[str, str]], set[str]]:
    """Columns, cells by row, and the numbers of the reasons below the table."""
    text = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    lines = [[c.strip() for c in line.strip().strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    columns, _, *rows = lines
    assert all(len(row) == len(columns) for row in rows)
    return (
        columns,
        {row[0]: dict(zip(columns, row, strict=True)) for row in rows},
        set(re.findall(r"^(\d+)\. ", text, re.M)),
    )


@pytest.mark.parametrize("name", ["families", "releases"])
def test_no_cell_is_empty_and_what_is_refused_has_its_reason(name):
    _, rows, reasons = matrix(name)
    named = set()
    for row in rows.values():
        for cell in row.values():
            assert cell, row
            named |= set(re.findall(r"\[(\d+)\]", cell))
            assert not re.match(r"refused$|without (?!cache)[^\[]*$", cell), row
        # nothing is shown of a model that does not load, and its first cell says why
        if "-" in row.values():
            assert re.fullmatch(r"refused \[\d+\]", row["load"]), row
    assert named == reasons


def test_every_family_that_is_tested_is_in_its_matrix_with_every_cell():
    columns, rows, _ = matrix("families")
    assert columns == ["family", *FAMILY_CELLS]
    assert {"load", "read", "steer", "sites", "BOS", "chat", "cached"} <= set(columns)
    assert set(FAMILIES) <= set(rows)


def test_every_release_that_is_tested_or_refused_is_in_its_matrix():
    columns, rows, _ = matrix("releases")
    assert columns[-len(RELEASE_CELLS) :] == list(RELEASE_CELLS)
    refused = {name for name in release_names() if release_of(name).refusal}
    assert {case.release for case in CASES} | refused == set(rows)
