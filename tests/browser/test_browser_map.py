"""The map of a layer in a real browser: a row opens its card, tables sort, filter and save, nothing sticks out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import emotion_interp as ei
from emotion_interp.report import StudyData, write_report
from emotion_interp.study.maps import write_maps
from tests.browser.looking import axe, flat_pictures
from tests.report.synthetic_study import EVIL, build_study, evil_bank

SHIPPED = Path(__file__).parents[2] / "saved_features" / "bundled"
FEW = """
document.querySelectorAll("details.ei-fold").forEach((one, i) => { if (i > 1) one.remove(); });
document.querySelectorAll("tbody").forEach((body) => { [...body.rows].slice(8).forEach((row) => row.remove()); });
"""
"""Two cards and eight rows of each table are as good as all of them, and axe looks at them in seconds."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chart = ei.feature_map(ei.FeatureBank.load(SHIPPED), 2, "en")
    return chart.save(tmp_path_factory.mktemp("map") / "map.html")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_errors_no_requests_and_no_overflow(page: Any, saved: Path, width: int, dark: bool) -> None:
    page.open(saved, width, dark=dark)
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith(("data:", "file:", "blob:"))] == []
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(FEW)
    assert axe(page) == []
    assert flat_pictures(page, ".ei-grid, .ei-card svg") == []


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_names_on_the_maps_of_a_study_are_text(page: Any, tmp_path: Path, width: int) -> None:
    subject, bank = ei.load_subject(), ei.FeatureBank.load(SHIPPED)
    evil = evil_bank(bank)
    # of the subject that it is shown with
    named = write_maps(replace(evil, manifest=evil.manifest | {"subject": bank.manifest["subject"]}), subject, tmp_path)
    assert list(named.values()) == ["features_0.html", "features_zh.html"] and EVIL in next(iter(named))
    assert [name.rpartition(" · ")[2] for name in named] == ["layer 2", "layer 3"]
    for file in named.values():
        page.open(tmp_path / file, width)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        shown = page.evaluate("document.body.textContent")
        # control characters are left out or shown by their names
        assert "joy<img src=x onerror=" in shown and "\x1b" not in shown and "\u202e" not in shown
        assert page.evaluate("document.querySelectorAll('img, iframe, object').length") == 0
        assert "broken" not in page.evaluate("document.title").split("<img")[0]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.problems == []
        assert [url for url in page.requests if not url.startswith(("data:", "file:", "blob:"))] == []
        page.evaluate(FEW)
        assert page.evaluate("document.querySelectorAll('.ei-grid').length") > 0
        assert flat_pictures(page, ".ei-grid, .ei-card svg") == []


def test_a_link_in_the_report_leads_to_the_map_and_a_cell_to_its_features_card(page: Any, saved: Path) -> None:
    report = StudyData(title="Linked", summary=build_study().summary, maps={"en · layer 2": saved.name})
    page.open(write_report(report, saved.parent / "report.html"), 1280)
    assert page.evaluate("document.querySelector('.maps a').textContent") == "English, layer 2"
    page.evaluate("document.querySelector('.maps a').click()")
    page.wait_for("location.pathname.endsWith('map.html') && document.readyState === 'complete'")
    number = page.evaluate("""(() => { const row = document.querySelectorAll('.ei-grid tbody tr')[7];
        row.cells[5].click(); return row.querySelector('a').hash; })()""")
    page.wait_for(f"document.querySelector('{number}').open")
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith(("data:", "file:"))] == []


def test_a_click_on_a_row_opens_the_features_card(page: Any, saved: Path) -> None:
    page.open(saved, 390)
    number = page.evaluate(
        "(() => { const a = document.querySelector('.ei-grid tbody a'); a.click(); return a.hash; })()"
    )
    page.wait_for(f"document.querySelector('{number}').open")
    page.wait_for(f"Math.abs(document.querySelector('{number}').getBoundingClientRect().top) < 200")
    # the same row once more, after the card was closed: the address does not change, the card opens all the same
    page.evaluate(
        f"document.querySelector('{number}').open = false; document.querySelector('.ei-grid tbody a').click()"
    )
    page.wait_for(f"document.querySelector('{number}').open")


def test_tables_sort_by_number_and_filter(page: Any, saved: Path) -> None:
    page.open(saved, 1280)
    column = "[...document.querySelectorAll('#layers tbody tr:not([hidden]) td:nth-child(2)')].map((c) => Number(c.dataset.v))"
    page.evaluate("document.querySelectorAll('#layers th button')[1].click()")
    values = page.evaluate(column)
    assert values == sorted(values, reverse=True) and len(set(values)) > 3
    page.evaluate("document.querySelectorAll('#layers th button')[1].click()")
    assert page.evaluate(column) == values[::-1] or page.evaluate(column) == sorted(values)
    page.evaluate(
        "(() => { const i = document.querySelector('#layers input'); i.value = 'JOY'; i.dispatchEvent(new Event('input')); })()"
    )
    rows = page.evaluate(
        "[...document.querySelectorAll('#layers tbody tr:not([hidden])')].map((r) => r.cells[0].textContent)"
    )
    assert rows == ["joy"] and page.evaluate("document.querySelector('#layers output').textContent").startswith("1 of ")


def test_the_csv_holds_the_rows_in_view_and_no_formula(page: Any, saved: Path) -> None:
    page.open(saved, 1280)
    text = page.evaluate("""(async () => {
      const made = [];
      URL.createObjectURL = (blob) => { made.push(blob); return "#"; };
      document.querySelector("#languages tbody td").textContent = '=1+"1"';
      document.querySelector("#languages .ei-tools button").click();
      return await made[0].text();
    })()""")
    lines = text.lstrip("\ufeff").split("\r\n")
    assert lines[0].startswith('"emotion","feature"') and lines[1].startswith('"\'=1+""1""",')
    assert len(lines) - 2 == page.evaluate("document.querySelectorAll('#languages tbody tr').length")
