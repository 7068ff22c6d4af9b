"""Each picture: what it draws, what it refuses, and that it leaves the frame alone."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emotion_interp.figures
from emotion_interp.core import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.figures import trace_heatmap
from emotion_interp.figures.labels import place_labels
from emotion_interp.figures.theme import COLOURS, text_width
from emotion_interp.figures.trace import trace_layers

# Plotly builds its attributes at run time; a type checker cannot know them
figures: Any = emotion_interp.figures
RANDOM = np.random.default_rng(0)
EMOTIONS = [f"emotion{i}" for i in range(28)]


def _selected() -> pd.DataFrame:
    rows = [(0, "en", e, 100 + i, 0.9 if i == j else 0.55) for i in range(4) for j, e in enumerate(EMOTIONS[:4])]
    return pd.DataFrame(rows, columns=["layer", "language", "emotion", "feature", "value"])


def _points(n: int = 28) -> pd.DataFrame:
    values = RANDOM.normal(0, 1, (n, 4))
    frame = pd.DataFrame(values, columns=["human_valence", "human_arousal", "model_x", "model_y"])
    return frame.assign(emotion=EMOTIONS[:n])


def _doses() -> pd.DataFrame:
    rows = [(e, d, 0.1 + d / 4, 0.0, 0.3, 1 + d) for e in EMOTIONS[:6] for d in (0.0, 0.5, 1.0)]
    return pd.DataFrame(rows, columns=["emotion", "dose", "target", "random_lo", "random_hi", "perplexity_ratio"])


def _pcs() -> pd.DataFrame:
    rows = [(layer, pc, 0.1 * pc, -0.1 * layer) for layer in range(3) for pc in (1, 2, 3)]
    return pd.DataFrame(rows, columns=["layer", "pc", "r_valence", "r_arousal"])


def _trace() -> pd.DataFrame:
    rows = [(i, t, e, float(i)) for i, t in enumerate(["She", " <b>wept", "\n"]) for e in ("joy", "sadness")]
    return pd.DataFrame(rows, columns=["position", "token", "emotion", "value"])


CASES = {
    "feature_heatmap": _selected(),
    "circumplex": _points(),
    "layer_curves": pd.DataFrame({"layer": [0, 1], "series": ["a", "a"], "value": [0.2, 0.4]}),
    "dose_curves": _doses(),
    "pc_heatmap": _pcs(),
    "predicted_vs_human": pd.DataFrame({"word": list("abc"), "human": [1.0, 5, 9], "predicted": [2.0, 5, 5]}),
    "trace_heatmap": _trace(),
}


@pytest.mark.parametrize("name", CASES)
def test_every_figure_says_how_to_read_it_and_names_its_axes(name: str) -> None:
    figure = getattr(figures, name)(CASES[name])
    line = figure.layout.meta["how_to_read"]
    assert line.endswith(".") and len(line) > 15
    drawn = json.loads(figure.to_json())["layout"]
    assert any(drawn[axis].get("title", {}).get("text") for axis in drawn if axis.startswith("xaxis"))
    assert any(drawn[axis].get("title", {}).get("text") for axis in drawn if axis.startswith("yaxis"))


@pytest.mark.parametrize("name", CASES)
def test_the_frame_comes_back_unchanged(name: str) -> None:
    before = CASES[name].copy(deep=True)
    getattr(figures, name)(CASES[name])
    pd.testing.assert_frame_equal(CASES[name], before)


@pytest.mark.parametrize("name", CASES)
def test_a_missing_column_is_named_in_the_error(name: str) -> None:
    frame = CASES[name]
    lost = frame.columns[-1]
    with pytest.raises(EmotionInterpError, match=rf"{name} needs .*missing: {lost}; given"):
        getattr(figures, name)(frame.drop(columns=lost))


@pytest.mark.parametrize("name", CASES)
def test_no_frame_and_no_rows_are_refused(name: str) -> None:
    with pytest.raises(EmotionInterpError, match="DataFrame with the columns"):
        getattr(figures, name)(None)
    with pytest.raises(EmotionInterpError, match="without rows"):
        getattr(figures, name)(CASES[name].iloc[:0])


def test_text_and_infinity_in_a_number_column_are_refused() -> None:
    frame = CASES["layer_curves"]
    with pytest.raises(EmotionInterpError, match="'value' must hold numbers"):
        figures.layer_curves(frame.assign(value="high"))
    with pytest.raises(NotFiniteError, match="infinite"):
        figures.layer_curves(frame.assign(value=math.inf))


def test_the_feature_heatmap_has_its_diagonal_where_each_feature_is_best() -> None:
    drawn = figures.feature_heatmap(_selected()).data[0]
    assert np.allclose(np.diag(np.asarray(drawn.z)), 0.9)
    assert list(drawn.y) == [f"emotion{i} · {100 + i}" for i in range(4)]


def test_several_layers_need_a_choice_and_a_wrong_one_is_named() -> None:
    frame = pd.concat([_selected(), _selected().assign(layer=1, value=0.7)])
    with pytest.raises(EmotionInterpError, match="one layer at a time; the frame holds 0, 1"):
        figures.feature_heatmap(frame)
    assert np.allclose(np.asarray(figures.feature_heatmap(frame, layer=1).data[0].z), 0.7)
    with pytest.raises(UnknownNameError, match="layer 7"):
        figures.feature_heatmap(frame, layer=7)


def test_circumplex_joins_the_two_points_of_each_emotion() -> None:
    frame = _points(3)
    x = np.asarray(figures.circumplex(frame).data[0].x, dtype=float).reshape(3, 3)
    assert np.allclose(x[:, 0], frame["human_valence"]) and np.allclose(x[:, 1], frame["model_x"])
    assert np.isnan(x[:, 2]).all()


def test_circumplex_refuses_an_emotion_without_a_coordinate() -> None:
    with pytest.raises(NotFiniteError, match="all four coordinates"):
        figures.circumplex(_points(3).assign(model_x=[0.1, math.nan, 0.2]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 28))
def test_placed_labels_do_not_cover_each_other(seed: int, n: int) -> None:
    anchors = [(float(x), float(y)) for x, y in np.random.default_rng(seed).uniform(80, 520, (n, 2))]
    names = [("contentment", "joy", "embarrassment", "fear")[i % 4] for i in range(n)]
    centres = place_labels(anchors, names, anchors, (600, 600))
    boxes = [(x, y, text_width(name, 12) / 2, 6.0) for (x, y), name in zip(centres, names, strict=True)]
    for i, (x, y, w, h) in enumerate(boxes):
        assert x - w >= 0 and x + w <= 600 and y - h >= 0 and y + h <= 600
        for u, v, s, t in boxes[:i]:
            assert abs(x - u) >= w + s or abs(y - v) >= h + t


def test_bands_stop_where_the_interval_is_missing() -> None:
    frame = pd.DataFrame({"layer": range(5), "series": "r", "value": 0.5, "hi": 0.6})
    frame["lo"] = [0.4, 0.4, math.nan, 0.4, 0.4]
    polygons = [trace for trace in figures.layer_curves(frame).data if trace.fill == "toself"]
    assert [sorted(set(p.x)) for p in polygons] == [[0, 1], [3, 4]]


def test_layer_curves_draw_chance_and_ceiling() -> None:
    frame = CASES["layer_curves"].assign(chance_lo=-0.1, chance_hi=0.1, ceiling=0.9)
    by_name = {trace.name: trace for trace in figures.layer_curves(frame).data}
    assert min(by_name["chance"].y) == -0.1 and max(by_name["chance"].y) == 0.1
    assert set(by_name["ceiling"].y) == {0.9}


def test_ceilings_that_differ_are_drawn_for_each_series() -> None:
    frame = pd.concat([CASES["layer_curves"].assign(series=s, ceiling=c) for s, c in (("a", 0.9), ("b", 0.7))])
    by_name = {trace.name: trace for trace in figures.layer_curves(frame).data}
    assert set(by_name["ceiling, a"].y) == {0.9} and set(by_name["ceiling, b"].y) == {0.7} and "ceiling" not in by_name


def test_dose_curves_hold_every_emotion_and_its_own_random_band() -> None:
    frame = _doses()
    frame.loc[frame["emotion"] == "emotion5", "random_hi"] = 0.77
    figure = figures.dose_curves(frame)
    assert [a.text for a in figure.layout.annotations] == [f"<b>{e}</b>" for e in EMOTIONS[:6]]
    highest = [max(trace.y) for trace in figure.data if trace.fill == "toself"]
    assert highest == [0.3] * 5 + [0.77]


def test_a_rare_emotion_fills_its_own_panel_of_the_dose_curves() -> None:
    frame = _doses()
    rare = frame["emotion"] == EMOTIONS[1]
    frame.loc[rare, ["target", "random_lo", "random_hi"]] /= 100
    frame.loc[frame["emotion"] == EMOTIONS[2], ["target", "random_lo", "random_hi"]] = np.nan
    figure = figures.dose_curves(frame.drop(columns=["lo", "hi"], errors="ignore"))
    common, own, unknown = (figure.layout[f"yaxis{i}"].range for i in ("", 2, 3))
    highest = frame[rare][["target", "random_hi"]].to_numpy().max()
    assert own[0] == 0 and highest < own[1] < 1.2 * highest and common[1] > 50 * own[1]
    assert tuple(unknown) == (0, 1) and figure.layout.yaxis2.matches is None


@pytest.mark.parametrize("ratio", [0.01, 1.0, 3.0, 500.0, 1e6])
def test_perplexity_axis_holds_the_ratio_and_few_ticks(ratio: float) -> None:
    figure = figures.dose_curves(_doses().assign(perplexity_ratio=ratio))
    axis = figure.layout.yaxis5
    assert axis.type == "log"
    low, high = axis.range
    assert low < math.log10(ratio) < high and low < math.log10(0.5) and high > math.log10(2)
    assert 2 <= len(axis.tickvals) <= 8


def test_pc_heatmap_puts_layers_and_components_in_their_places() -> None:
    valence, arousal = figures.pc_heatmap(_pcs().sample(frac=1, random_state=3)).data
    assert np.allclose(np.asarray(valence.z), np.tile([0.1, 0.2, 0.3], (3, 1)))
    assert np.allclose(np.asarray(arousal.z), np.tile([[0.0], [-0.1], [-0.2]], (1, 3)))


def test_the_words_furthest_off_are_named_and_kept_when_points_are_thinned() -> None:
    human = np.linspace(1, 9, 500)
    frame = pd.DataFrame({"word": [f"w{i}" for i in range(500)], "human": human, "predicted": human})
    frame.loc[[7, 300], "predicted"] += [3.0, -4.0]
    figure = figures.predicted_vs_human(frame, outliers=2, max_points=50)
    assert [a.text for a in figure.layout.annotations] == ["w300", "w7"]
    drawn = figure.data[1]
    assert len(drawn.x) == 50 and {"w7", "w300"} <= set(drawn.text)
    assert "50 of 500 words" in figure.layout.meta["how_to_read"]


def test_words_without_a_rating_are_left_out() -> None:
    frame = pd.DataFrame({"word": ["a", "b"], "human": [1.0, math.nan], "predicted": [2.0, 3.0]})
    assert len(figures.predicted_vs_human(frame).data[1].x) == 1
    with pytest.raises(EmotionInterpError, match="no word has both"):
        figures.predicted_vs_human(frame.iloc[1:])


def test_tokens_are_shown_as_text_not_as_markup() -> None:
    assert figures.trace_heatmap(_trace()).layout.xaxis.ticktext == ("She", "&lt;b&gt;wept", "↵")


def test_colours_are_told_apart_under_deuteranopia() -> None:
    # Machado et al. 2009, severity 1.0, on linear RGB
    matrix = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    )
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ matrix.T, 0, 1)
    distances = [np.abs(a - b).sum() for i, a in enumerate(seen) for b in seen[:i]]
    assert min(distances) > 0.1


@pytest.mark.parametrize(("values", "told"), [([0.0, 2.0], "dark cell"), ([-3.0, 2.0], "orange that it is weaker")])
def test_a_token_map_says_what_its_colours_mean(values, told):
    """A dark orange cell is the weakest of a map with both signs, and no strong one."""
    frame = pd.DataFrame({"position": [0, 1], "token": ["She", " wept"], "emotion": "sadness", "value": values})
    layers = pd.concat([frame.assign(layer=0, value=1.0), frame.assign(layer=1)])
    for figure in (trace_heatmap(frame), trace_layers(layers)):
        drawn = figure.to_json()
        assert told in drawn.replace("<br>", " ")


def test_curves_of_one_hue_share_a_colour_and_those_of_one_style_their_dashes():
    rows = [
        (layer, hue, style)
        for hue in ("English", "Chinese", "Spanish")
        for style in ("features", "dense")
        for layer in (0, 1)
    ]
    frame = pd.DataFrame(rows, columns=["layer", "hue", "style"]).assign(value=0.5)
    frame["series"] = frame["hue"] + ", " + frame["style"]
    lines = {t.name: t.line for t in figures.layer_curves(frame).data}
    assert len(lines) == 6
    for hue in ("English", "Chinese", "Spanish"):
        assert lines[f"{hue}, features"].color == lines[f"{hue}, dense"].color
        assert (lines[f"{hue}, features"].dash, lines[f"{hue}, dense"].dash) == ("solid", "dash")
    assert len({line.color for line in lines.values()}) == 3
    plain = {t.name: t.line.color for t in figures.layer_curves(frame.drop(columns=["hue", "style"])).data}
    assert len(set(plain.values())) == 6
