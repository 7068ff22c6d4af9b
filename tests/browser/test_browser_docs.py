"""The site of the docs, built and read in a real browser: no warning, nothing off the machine, nothing sticks out."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.looking import axe, flat_pictures

ROOT = Path(__file__).parents[2]
NEEDED = ("mkdocs", "mkdocstrings", "mkdocs_gen_files", "mkdocs_literate_nav", "material", "nbconvert")
PAGES = (
    ("index.html", 390, True),
    ("tutorials/01_first_look.html", 390, False),
    ("tutorials/02_features.html", 1280, True),
    ("tutorials/03_geometry.html", 768, False),
    ("results/token_view.html", 390, True),
    ("api/features.html", 768, True),
)
"""Each kind of page at several widths, by day and by night."""
OF_THE_THEME = ["nav", ".md-header"]
"""Material's own navigation: its headings label one list twice (landmark-unique), which no setting changes."""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        del args


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in NEEDED:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (extra docs)")
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert built.returncode == 0, built.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Over HTTP, as `mkdocs serve` shows it: a search from disk would need a script of somebody else's."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(site: Path) -> None:
    page = (site / "api" / "features.html").read_text(encoding="utf-8")
    assert "find_features" in page and "Parameters" in page
    for path in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', path.read_text(encoding="utf-8")
        )
        assert not loaded, (path.name, loaded[:3])


@pytest.mark.browser
@pytest.mark.parametrize(("name", "width", "dark"), PAGES)
def test_a_page_asks_nobody_fits_and_is_legible(page: Any, address: str, name: str, width: int, dark: bool) -> None:
    page.open(address + name, width, dark=dark)
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith((address, "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(ground[:3]) < 80) is dark, "the page follows the system"
    assert axe(page, OF_THE_THEME) == []
    nameless = (
        "[...document.querySelectorAll('article img')].filter(i => !i.alt || /^(svg|png|Figure)$/.test(i.alt)).length"
    )
    assert page.evaluate(nameless) == 0
    assert flat_pictures(page, "article img") == []


@pytest.mark.browser
def test_the_search_leads_to_a_page_and_the_switch_turns_the_light_on(page: Any, address: str) -> None:
    page.open(address + "index.html", 1280, dark=True)
    page.evaluate(
        "(() => { const i = document.querySelector('.md-search__input'); i.focus(); i.value = 'universality'; "
        "i.dispatchEvent(new Event('keyup', {bubbles: true})); i.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    page.wait_for("document.querySelector('.md-search-result__link')")
    assert page.evaluate("document.querySelector('.md-search-result__link').href").startswith(address)
    before = page.evaluate("document.body.dataset.mdColorScheme")
    page.evaluate("[...document.querySelectorAll('[data-md-component=palette] label')].find(l => !l.hidden).click()")
    page.wait_for(f"document.body.dataset.mdColorScheme !== {before!r}")
    page.evaluate("localStorage.clear()")
    assert page.problems == []
