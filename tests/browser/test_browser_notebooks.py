"""The kept notebooks as pages in a real browser: nothing off the machine, nothing wrong, every picture shows something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.looking import axe, flat_pictures

pytest.importorskip("nbconvert")
pytestmark = pytest.mark.browser
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
LOOKED = [(path, (1280, 390, 768)[i % 3], bool(i % 2)) for i, path in enumerate(NOTEBOOKS)]
"""Each notebook once, the widths and the two lights taken in turn."""
SHOWN = ".jp-RenderedHTMLCommon, .jp-RenderedSVG, .jp-RenderedImage"
"""What our results show; prompts, code and the page around it are nbconvert's, whose colours of code are too faint for axe."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.parametrize(("path", "width", "dark"), LOOKED, ids=[path.stem for path, *_ in LOOKED])
def test_a_notebook_asks_nobody_and_its_pictures_show_something(
    page: Any, folder: Path, path: Path, width: int, dark: bool
) -> None:
    from benchmarks.notebooks import as_page

    page.open(as_page(path, folder, dark=dark), width, dark=dark)
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelectorAll('.jp-OutputArea-output svg, .jp-OutputArea-output img').length")
    assert flat_pictures(page, ".jp-OutputArea-output svg, .jp-OutputArea-output img") == []
    assert axe(page, only=".jp-OutputArea-output") == []
