"""The report page: what it says, and that it stays one safe file."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import importlib.util
import json
import re
from html import unescape
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from emotion_interp.core import EmotionInterpError
from emotion_interp.report import StudyData, render_report, write_report
from emotion_interp.report.assets import circuitsvis_bundle, packed_plotly, plotly_bundle
from emotion_interp.report.brief import in_brief, number, p_text
from emotion_interp.report.data import COLUMNS


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


synthetic_study = _load("synthetic_study")


@pytest.fixture(scope="module")
def study() -> StudyData:
    return synthetic_study.build_study()


@pytest.fixture(scope="module")
def small(study: StudyData) -> StudyData:
    """One layer and language of it: drawing 41 figures for every part left out would take a minute."""
    cut = {}
    for name in COLUMNS:
        frame = study.frame(name)
        for column, value in (("layer", 2), ("language", "en"), ("test_language", "en")):
            frame = frame[frame[column] == value] if column in frame and frame[column].notna().any() else frame
        cut[name] = frame
    return dataclasses.replace(study, **cut)


@pytest.fixture(scope="module")
def html(study: StudyData) -> str:
    return render_report(study)


def _own(html: str) -> str:
    return html.replace(packed_plotly(), "").replace(circuitsvis_bundle(), "")


def _sentences(study: StudyData, question: int) -> str:
    return " ".join(in_brief(study)[question]["sentences"])


def test_the_bundles_are_in_the_page_once_and_nothing_points_outside(html: str) -> None:
    assert html.count(packed_plotly()) == 1 and html.count(circuitsvis_bundle()) == 1
    unpacked = gzip.decompress(base64.b64decode(packed_plotly())).decode()
    assert unpacked.replace("</script", "<\\/script").replace("<!--", "<\\!--") == plotly_bundle()
    assert len(html.encode()) < 6_000_000
    own = _own(html)
    assert not re.search(r'(?:src|href|action)\s*=\s*"?(?:https?:)?//', own) and "@import" not in own
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', own)
    assert policy and unescape(policy[1]).startswith("default-src 'none';") and "http" not in policy[1]


def test_text_from_the_study_cannot_become_markup(html: str) -> None:
    own = _own(html)
    assert "document.title='broken'</script>" not in own
    assert "<img" not in own and "anger <i>" not in own and "anger &lt;i&gt;" in own


def test_every_layer_and_language_has_the_top_feature_of_every_emotion(study: StudyData, html: str) -> None:
    tables = re.findall(
        r'<caption class="unseen">Top feature of every emotion, (.*?)</caption>(.*?)</table>', html, re.DOTALL
    )
    assert len(tables) == 8
    summary = study.frame("summary")
    for name, body in tables:
        layer, language = int(name.split()[1].strip(",")), {"English": "en", "Chinese": "zh"}[name.split()[2]]
        rows = summary[(summary["layer"] == layer) & (summary["language"] == language)]
        cells = re.findall(r"<tr><td>(.*?)</td><td.*?>(\d+)</td><td.*?>([\d.]+)</td>", body)
        assert {(e, int(f)) for e, f, _ in cells} == set(zip(rows["emotion"], rows["feature"], strict=True))
        shown = {e: float(a) for e, _, a in cells}
        assert all(abs(shown[e] - a) <= 0.00501 for e, a in zip(rows["emotion"], rows["auroc_heldout"], strict=True))


def test_an_empty_study_says_part_by_part_that_it_was_not_run() -> None:
    html = render_report(StudyData(title="Empty"))
    assert html.count("Not run: ") == 5 and html.count("Nothing was steered.") == 2
    assert len(html) < 30_000


@pytest.mark.parametrize("name", COLUMNS)
def test_one_missing_part_leaves_the_others_standing(small: StudyData, name: str) -> None:
    without = dataclasses.replace(small, **{name: getattr(small, name).iloc[:0]})
    assert not without.has(name) and all(without.has(other) for other in COLUMNS if other != name)
    page = render_report(without)
    assert page.count('<div class="figure"') >= 5 and small.title in page


@pytest.mark.parametrize("name", COLUMNS)
def test_required_columns_alone_are_enough(small: StudyData, name: str) -> None:
    required = list(COLUMNS[name][0])
    bare = getattr(small, name)[required].drop_duplicates(required)
    assert "nan" not in re.sub(
        r"<script.*?</script>", "", render_report(StudyData(title="t", **{name: bare})), flags=re.S
    )


@pytest.mark.parametrize("name", COLUMNS)
def test_a_missing_column_is_named(study: StudyData, name: str) -> None:
    lost = COLUMNS[name][0][0]
    with pytest.raises(EmotionInterpError, match=f"frame '{name}' .*missing: {lost}"):
        StudyData(title="t", **{name: getattr(study, name).drop(columns=lost)})


def test_the_callers_frames_are_not_changed(study: StudyData) -> None:
    frame = study.frame("summary")[list(COLUMNS["summary"][0])]
    before = frame.copy(deep=True)
    render_report(StudyData(title="t", summary=frame))
    pd.testing.assert_frame_equal(frame, before)


def test_a_result_that_chance_explains_is_called_that(study: StudyData) -> None:
    text = _sentences(study, 1)
    valence, arousal = (
        re.findall(rf"English, features, {name}:.*?\.(?= )", text)[0] for name in ("valence", "arousal")
    )
    assert "not distinguishable from chance" in arousal and "p = 0.480" in arousal
    assert "not distinguishable" not in valence and "p = 0.004" in valence


@pytest.mark.parametrize(("p", "negative"), [(0.049, False), (0.05, True), (0.8, True)])
def test_the_line_is_drawn_at_five_percent(study: StudyData, p: float, negative: bool) -> None:
    alignment = study.frame("alignment").assign(valence_p_layers=p)
    text = _sentences(StudyData(title="t", alignment=alignment), 1)
    assert ("not distinguishable" in text.split("arousal:")[0]) == negative


def test_a_p_that_is_not_corrected_over_layers_is_corrected_in_the_sentence(study: StudyData) -> None:
    alignment = study.frame("alignment").assign(valence_p=0.02, valence_p_layers=np.nan)
    text = _sentences(StudyData(title="t", alignment=alignment), 1)
    assert "p = 0.080 times 4 for the layers searched: not distinguishable" in text


def test_the_interval_of_a_negative_component_turns_with_its_size(study: StudyData) -> None:
    row = study.frame("alignment").iloc[:1].assign(valence_r=-0.6, valence_lo=-0.8, valence_hi=-0.4)
    assert "|r| = 0.60 [0.40, 0.80]" in _sentences(StudyData(title="t", alignment=row), 1)


def test_no_confirmed_emotion_is_said_plainly(study: StudyData) -> None:
    none = study.frame("summary").assign(confirmed=False)
    assert "None of the 28 emotions is confirmed" in _sentences(StudyData(title="t", summary=none), 0)


def test_a_dense_direction_that_beats_the_features_is_not_hidden(study: StudyData) -> None:
    text = _sentences(study, 0)
    best = study.frame("summary").query("layer == 3 and language == 'en'")
    assert f"reaches {number(best['dense_auroc'].median())}, more than the SAE features" in text
    assert f"AUROC of {number(best['auroc_heldout'].median())}" in text


def test_steering_that_does_nothing_is_called_no_effect(study: StudyData) -> None:
    text = _sentences(StudyData(title="t", steering=study.frame("steering").assign(p_holm=0.6)), 3)
    assert text.count("No causal effect was shown") == 2 and "p = 0.600" in text


def test_a_raised_emotion_in_broken_text_does_not_count(study: StudyData) -> None:
    broken = study.frame("steering").assign(perplexity_ratio=9.0)
    text = _sentences(StudyData(title="t", steering=broken), 3)
    assert "for 0 of 6 emotions" in text and "only where the text breaks down" in text


def test_a_lowered_emotion_is_no_success(study: StudyData) -> None:
    lowered = study.frame("steering").assign(target=0.01, p_holm=0.001)
    assert "No causal effect was shown" in _sentences(StudyData(title="t", steering=lowered), 3)


def test_best_rating_layer_and_share_of_the_ceiling(study: StudyData) -> None:
    rows = study.frame("ratings").query("train_language == 'en' and test_language == 'en' and dimension == 'arousal'")
    top = rows.loc[rows["r"].idxmax()]
    expected = f"r = {number(top['r'])} at layer {top['layer']} ({number(100 * top['r'] / 0.831, 0)}% of what"
    assert expected in _sentences(study, 2)


def test_no_p_value_is_ever_zero() -> None:
    assert p_text(0.0004) == "p < .001" and p_text(0.0123) == "p = 0.012" and p_text(float("nan")) == "p not computed"


def test_figures_in_the_page_are_valid_json_with_their_line(html: str) -> None:
    figures = re.findall(r'<div class="figure"[^>]*><script type="application/json">(.*?)</script>', html, re.DOTALL)
    assert len(figures) == 36
    for text in figures:
        assert {"data", "layout"} <= set(json.loads(text))
    assert html.count('<p class="how">') >= len(figures)


def test_the_manifest_is_shown_flat(html: str) -> None:
    assert re.search(r"versions · torch</th><td>2\.9\.0", html)


def test_writing_gives_the_same_bytes_twice(small: StudyData, tmp_path: Path) -> None:
    paths = [write_report(small, tmp_path / name) for name in ("a.html", "b.html")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
