"""The tests' own browser: what it waits for may lie behind a change of address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WANDERER = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script>
const gone = Number(location.search.slice(1) || 0);
if (gone < 150) setTimeout(() => { location.href = location.pathname + "?" + (gone + 1); }, 1);
</script>"""


def test_waiting_goes_on_over_changes_of_address(page: Any, tmp_path: Path) -> None:
    place = tmp_path / "wanderer.html"
    place.write_text(WANDERER, encoding="utf-8")
    page.open(place, 1280)
    page.wait_for("location.search === '?150'", pause=0)
    assert page.problems == []
