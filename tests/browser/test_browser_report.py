"""The report in a real browser, on a desk and on a phone."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import pytest

from emotion_interp.report import write_report

WIDTHS = (1280, 390)


def _synthetic() -> Any:
    path = Path(__file__).parents[1] / "report" / "synthetic_study.py"
    spec = importlib.util.spec_from_file_location("synthetic_study", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(_synthetic().build_study(), tmp_path_factory.mktemp("report") / "report.html")


def _settle(page: Any) -> None:
    """Wait until every visible figure is drawn."""
    deadline = time.monotonic() + 60
    waiting = (
        "[...document.querySelectorAll('.figure')].filter(f => f.offsetParent && !f.querySelector('.main-svg')).length"
    )
    while page.evaluate(waiting):
        assert time.monotonic() < deadline, "some figures were never drawn"
        time.sleep(0.1)


def _fits(page: Any) -> list[str]:
    """Whatever sticks out of the page without a scrolling container of its own."""
    return page.evaluate(
        """[...document.querySelectorAll("body *")].filter(e => e.offsetParent && !e.closest(".scroll, nav")
        && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .map(e => e.tagName + "." + e.className)"""
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_no_errors_no_requests_and_no_overflow(page: Any, report: Path, width: int) -> None:
    page.open(report, width)
    _settle(page)
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith(("data:", "file:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert _fits(page) == []
    assert page.evaluate("document.title") == "Emotion features of a synthetic subject"


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_drawn_at_its_full_width_once_its_panel_is_chosen(page: Any, report: Path, width: int) -> None:
    page.open(report, width)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    panels = page.evaluate("Math.max(...[...document.querySelectorAll('.choice > label select')].map(s => s.length))")
    assert panels == 8
    narrow = []
    for i in range(panels):
        page.evaluate(
            f"""document.querySelectorAll('.choice > label select').forEach(s => {{
            s.selectedIndex = Math.min({i}, s.length - 1); s.dispatchEvent(new Event('change')); }})"""
        )
        _settle(page)
        narrow += page.evaluate(
            """[...document.querySelectorAll('.figure')].filter(f => f.offsetParent).filter(f => {
            const own = f._fullLayout, wanted = f.layout.width || f.offsetWidth;
            return Math.abs(f.querySelector('.main-svg').getBoundingClientRect().width - wanted) > 1
                || Math.abs(own.height - f.offsetHeight) > 1; }).map(f => f.parentElement.getAttribute('aria-label'))"""
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert narrow == []
    assert page.evaluate("document.querySelectorAll('.figure:not(.js-plotly-plot)').length") == 0
    assert page.evaluate("document.querySelectorAll('.js-plotly-plot').length") == 36
    assert page.problems == []


@pytest.mark.parametrize("width", WIDTHS)
def test_no_two_labels_of_a_picture_cover_each_other(page: Any, report: Path, width: int) -> None:
    page.open(report, width)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    _settle(page)
    # the upright names below a heat map stand closer on a phone than their boxes, which are taller than the letters
    allowed = 1 if width > 600 else 5
    covered = page.evaluate(
        """[...document.querySelectorAll('.figure')].filter(f => f.offsetParent).flatMap(f => {
        // panels after the first have numbered classes: g-x5title, x5tick
        const kinds = ['.annotation-text', '[class$="tick"] text', '[class^="g-"][class$="title"] text', '.legendtext'];
        const boxes = kinds.flatMap(k => [...f.querySelectorAll(k)]).filter(t => t.textContent.trim())
            .map(t => [t.textContent, t.getBoundingClientRect()]);
        const found = [];
        boxes.forEach(([a, p], i) => boxes.slice(0, i).forEach(([b, q]) => {
            if (Math.min(p.right, q.right) - Math.max(p.left, q.left) > ALLOWED
                && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 3) found.push(a + ' / ' + b); }));
        return found; })""".replace("ALLOWED", str(allowed))
    )
    assert covered == []


def test_on_a_phone_no_picture_is_wider_than_the_page(page: Any, report: Path) -> None:
    page.open(report, 390)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    _settle(page)
    wide = page.evaluate(
        """[...document.querySelectorAll('.figure')].filter(f => f.offsetParent)
        .filter(f => f.parentElement.scrollWidth > f.parentElement.clientWidth)
        .map(f => f.parentElement.getAttribute('aria-label'))"""
    )
    assert wide == []


def test_a_turned_phone_draws_its_pictures_anew(page: Any, report: Path) -> None:
    page.open(report, 390)
    _settle(page)
    named = "[...document.querySelectorAll('.figure')].filter(f => f.offsetParent).map(f => f._fullLayout.font.size)"
    assert set(page.evaluate(named)) == {11}
    page.call("Emulation.setDeviceMetricsOverride", width=844, height=390, deviceScaleFactor=1, mobile=True)
    deadline = time.monotonic() + 20
    while page.evaluate("innerWidth") != 844 or set(page.evaluate(named)) != {13}:
        assert time.monotonic() < deadline, page.evaluate(named)
        time.sleep(0.1)
    page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    while set(page.evaluate(named)) != {11}:
        assert time.monotonic() < deadline, page.evaluate(named)
        time.sleep(0.1)
    _settle(page)
    assert page.problems == []


def test_choosing_an_emotion_recolours_the_tokens(page: Any, report: Path) -> None:
    page.open(report, 1280)
    colours = "[...document.querySelectorAll('.ei-token-view')[0].querySelectorAll('.colored-tokens span span')]"
    colours += ".map(s => getComputedStyle(s).backgroundColor).join()"
    deadline = time.monotonic() + 20
    while not (before := page.evaluate(colours)):
        assert time.monotonic() < deadline, "CircuitsVis drew nothing"
        time.sleep(0.1)
    page.evaluate(
        """(() => { const s = document.querySelector('.ei-token-view select'); s.selectedIndex = (s.selectedIndex + 3) % s.length;
        s.dispatchEvent(new Event('change')); })()"""
    )
    while page.evaluate(colours) in ("", before):
        assert time.monotonic() < deadline, "the colours did not change"
        time.sleep(0.1)
    assert page.problems == []


def test_nasty_tokens_are_shown_as_they_are(page: Any, tmp_path: Path) -> None:
    view = _synthetic().nasty_view()
    page.open(view.save(tmp_path / "view.html"), 390)
    shown = "[...document.querySelectorAll('.colored-tokens > span')].map(s => s.textContent)"
    deadline = time.monotonic() + 20
    while len(page.evaluate(shown)) != len(view.tokens):
        assert time.monotonic() < deadline, page.evaluate(shown)
        time.sleep(0.1)
    plain = [text.replace("\u2060", "").replace("\xa0", " ").strip() for text in page.evaluate(shown)]
    wanted = [token.replace("\n", "↵").replace("\u2028", "⟨U+2028⟩").strip() for token in view.tokens]
    assert plain == wanted
    assert page.evaluate("document.querySelectorAll('.colored-tokens img, .colored-tokens b').length") == 0
    assert page.evaluate("document.title") == "Nasty <text>"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.problems == []


def test_without_the_bundle_the_text_is_still_coloured(page: Any, tmp_path: Path) -> None:
    from emotion_interp.report.tokens import RUNTIME, STYLE

    view = _synthetic().nasty_view()
    path = tmp_path / "bare.html"
    path.write_text(
        f"<meta charset=utf-8><style>{STYLE}</style>{view.html}<script>{RUNTIME}</script>", encoding="utf-8"
    )
    page.open(path, 1280)
    assert page.evaluate("document.querySelectorAll('.ei-tokens > span').length") == len(view.tokens)
    assert page.evaluate("getComputedStyle(document.querySelector('.ei-choice')).display") == "none"
    assert page.problems == []


def test_the_policy_really_stops_a_request(page: Any, report: Path) -> None:
    page.open(report, 1280)
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'stopped')") == "stopped"
    assert any("Content Security Policy" in problem for problem in page.problems)
    page.problems.clear()


@pytest.mark.browser
def test_hostile_names_run_no_script_and_make_no_element(page: Any, tmp_path: Path) -> None:
    module = _synthetic()
    study = module.hostile(module.build_study())
    report = write_report(study, tmp_path / "report.html")
    page.open(report, 1280)
    title = page.evaluate("document.title")
    assert title.startswith("Study <img") and "broken" in title, "the title is the text of the name"
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for i in range(8):
        page.evaluate(
            f"""document.querySelectorAll('.choice > label select').forEach(s => {{
            s.selectedIndex = Math.min({i}, s.length - 1); s.dispatchEvent(new Event('change')); }})"""
        )
        _settle(page)
        assert page.evaluate("document.title") == title
    assert page.evaluate("document.querySelectorAll('img, [onerror], main a:not([href^=\"#\"]), svg a').length") == 0
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith(("data:", "file:", "blob:"))] == []


@pytest.mark.browser
def test_hostile_notebook_views_run_no_script(page: Any, tmp_path: Path) -> None:
    """What results show in a notebook, in one page."""
    import pandas as pd

    from emotion_interp.core.markup import fragment, summary_html
    from emotion_interp.features.transfer import Transfer

    evil = _synthetic().EVIL
    rows = pd.DataFrame(
        {"site": [evil], "language": [evil], "top": True, "selected": True, "transfers": True, "auroc": 0.5}
    )
    view = (
        summary_html(Transfer(evil, rows), rows, index=True)
        + Transfer(evil, rows)._repr_html_()
        + fragment('<p title="{}">{}</p>', evil, evil)
    )
    (tmp_path / "page.html").write_text(
        f"<!doctype html><meta charset=utf-8><title>whole</title>{view}", encoding="utf-8"
    )
    page.open(tmp_path / "page.html", 1280)
    assert page.evaluate("document.title") == "whole"
    assert page.evaluate("document.querySelectorAll('img, script, [onerror]').length") == 0
    assert page.problems == []
