"""Every family of releases in SAELens' directory by its name, through SAELens' own code, from a local cache of tiny files."""

from __future__ import annotations

import pytest

from tests.releases.cases import CASES
from tests.releases.cells import release_cells
from tests.releases.hub import hub_at


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with hub_at(tmp_path_factory.mktemp("hub")) as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.release)
def test_a_release_loads_encodes_exactly_and_its_metadata_is_used(case, hub):
    cells = release_cells(case, hub)
    assert all(cell.startswith("yes") for cell in cells.values()), cells
