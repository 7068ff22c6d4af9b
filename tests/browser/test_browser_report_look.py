"""What a reader of the report sees first, by day and by night, on paper, with a screen reader."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from emotion_interp.report import write_report

_DRAWN = "[...document.querySelectorAll('.figure')].every(f => !f.offsetParent || f.querySelector('.main-svg'))"
_OPEN = "document.querySelectorAll('details').forEach(d => { d.open = true; })"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(__file__).parents[1] / "report" / "synthetic_study.py"
    spec = importlib.util.spec_from_file_location("synthetic_study_look", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return write_report(module.build_study(), tmp_path_factory.mktemp("report") / "report.html")


def test_the_first_picture_stands_within_the_first_600_pixels(page: Any, report: Path) -> None:
    page.open(report, 1280)
    page.wait_for(_DRAWN)
    box = "(() => { const b = document.querySelector('.figure .main-svg').getBoundingClientRect(); return [b.top, b.width]; })()"
    top, width = page.evaluate(box)
    assert top < 600 and width > 500
    first = "document.querySelector('.four').getBoundingClientRect().top"
    assert page.evaluate(first) < 600


@pytest.mark.parametrize("dark", [False, True])
def test_figures_take_the_colours_of_the_page(page: Any, report: Path, dark: bool) -> None:
    page.open(report, 1280, dark=dark)
    page.wait_for(_DRAWN)
    light = """(c => { const p = c.match(/[\\d.]+/g).map(Number); return (p[0] + p[1] + p[2]) / 3; })"""
    ground = page.evaluate(f"{light}(getComputedStyle(document.body).backgroundColor)")
    ink = page.evaluate(f"{light}(getComputedStyle(document.querySelector('.figure .xtick text')).fill)")
    assert (ground < 60 and ink > 180) if dark else (ground > 220 and ink < 90)
    assert page.problems == []


def test_paper_shows_what_is_folded_and_the_screen_folds_it_again(page: Any, report: Path) -> None:
    page.open(report, 1280, dark=True)
    page.wait_for(_DRAWN)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    page.wait_for(_DRAWN)
    ink = "getComputedStyle(document.querySelector('.figure .xtick text')).fill"
    assert page.evaluate(ink) == "rgb(31, 41, 51)", "dark ink on paper"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0
    assert page.problems == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(page: Any, report: Path, width: int, dark: bool) -> None:
    axe = pytest.importorskip("axe_core_python")
    code = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    page.open(report, width, dark=dark)
    page.evaluate(_OPEN)
    page.wait_for(_DRAWN)
    page.evaluate(f"{code};0")
    run = "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].target.join(' ')))"
    assert page.evaluate(run) == []


def test_every_control_is_reached_and_worked_by_keyboard(page: Any, report: Path) -> None:
    page.open(report, 1280)
    page.wait_for(_DRAWN)
    bare = "[...document.querySelectorAll('summary, select, a, input')].filter(e => e.tabIndex < 0).length"
    assert page.evaluate(bare) == 0
    page.evaluate("document.querySelector('#features summary').focus()")
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    page.wait_for("document.querySelector('#features details').open")
