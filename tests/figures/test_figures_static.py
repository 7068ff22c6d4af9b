"""Figures as SVG: valid, escaped, each value in its place, and in a notebook's output beside Plotly's data."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_interp.figures import interval_rows, layer_curves, named_points, square_heatmap
from emotion_interp.figures.picture import Picture
from emotion_interp.figures.static import svg
from emotion_interp.figures.static_axes import colour_at, decoded, nice_ticks
from emotion_interp.figures.theme import COLOURS

SPACE = "{http://www.w3.org/2000/svg}"
NASTY = '<script>alert(1)</script> & "joy" \' 恐惧'


def parsed(figure: go.Figure) -> ElementTree.Element:
    return ElementTree.fromstring(svg(figure))


def words(figure: go.Figure) -> list[str]:
    return [element.text or "" for element in parsed(figure).iter(f"{SPACE}text")]


def curves(name: str = "joy") -> go.Figure:
    return layer_curves(pd.DataFrame({"layer": [0, 1, 2], "series": name, "value": [0.1, 0.9, 0.5]}))


def test_points_lie_where_their_values_say():
    figure = Picture()
    figure.add_scatter(x=[0, 5, 10], y=[0.0, 1.0, 0.25], mode="markers", marker={"symbol": "circle"})
    figure.update_layout(
        width=500, height=400, margin={"l": 100, "r": 50, "t": 50, "b": 50}, xaxis_range=[0, 10], yaxis_range=[0, 1]
    )
    circles = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in parsed(figure).iter(f"{SPACE}circle")]
    # the box is 350 wide from 100 and 300 high down to 350
    assert circles == [(100.0, 350.0), (275.0, 50.0), (450.0, 275.0)]


def test_the_legend_shows_each_lines_dash_and_mark_since_colours_repeat():
    names = [f"set {i}" for i in range(2 * len(COLOURS))]
    rows = [{"layer": layer, "series": name, "value": 0.1 * i} for i, name in enumerate(names) for layer in (0, 1)]
    figure = layer_curves(pd.DataFrame(rows))
    drawn, looks = svg(figure), []
    for name in names:
        sample = re.search(rf"(<line[^>]*/>)(<(?:circle|path)[^>]*/>)<text[^>]*>{name}</text>", drawn)
        assert sample, name
        looks.append(re.sub(r'(?<= )(x1|y1|x2|y2|cx|cy)="[^"]*"|translate\([^)]*\)', "", sample[1] + sample[2]))
    assert len(set(looks)) == len(names)
    assert 'stroke-dasharray="7 5"' in looks[len(COLOURS)] and "dasharray" not in looks[0]


def test_a_line_stops_at_a_missing_value():
    figure = Picture()
    figure.add_scatter(x=[0, 1, 2, 3, 4], y=[0.0, 1.0, np.nan, 1.0, 2.0], mode="lines", line={"color": "#123456"})
    assert svg(figure).count('stroke="#123456"') == 2


@pytest.mark.parametrize("packed", [True, False])
def test_cells_of_a_heat_map_have_the_colours_of_their_numbers(packed):
    z = [[0.0, 1.0], [0.5, np.nan]]
    figure = Picture()
    figure.add_heatmap(
        z=np.asarray(z) if packed else z,
        x=["a", "b"],
        y=["c", "d"],
        colorscale=[[0, "#000000"], [1, "#ffffff"]],
        showscale=False,
    )
    fills = [r.get("fill") for r in parsed(figure).iter(f"{SPACE}rect")][1:]
    assert fills == ["rgb(0,0,0)", "rgb(255,255,255)", "rgb(128,128,128)"]


def test_reversed_names_run_from_the_top():
    rows = pd.DataFrame(
        {"name": ["joy", "fear"], "series": "x", "value": [0.2, -0.1], "lo": [0.1, -0.2], "hi": [0.3, 0.0]}
    )
    root = parsed(interval_rows(rows, title="Gain"))
    heights = {t.text: float(t.get("y", 0)) for t in root.iter(f"{SPACE}text")}
    assert heights["joy"] < heights["fear"]


def test_names_are_text_and_never_elements():
    for figure in (
        curves(NASTY),
        named_points(
            pd.DataFrame({"name": [NASTY, "fear"], "x": [0, 1], "y": [1, 0]}), title=NASTY, x_title=NASTY, y_title="y"
        ),
        square_heatmap(pd.DataFrame([[1, 0.4], [0.4, 1]], [NASTY, "b"], [NASTY, "b"]), title=NASTY, value=NASTY),
    ):
        root = parsed(figure)
        assert {element.tag.removeprefix(SPACE) for element in root.iter()} <= {
            "svg",
            "title",
            "rect",
            "text",
            "line",
            "circle",
            "path",
            "polygon",
        }
        assert any("<script>alert(1)</script>" in text for text in words(figure))


def test_a_notebook_gets_the_picture_beside_plotlys_data_and_no_script():
    bundle = curves()._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.plotly.v1+json", "image/svg+xml", "text/plain"}
    assert bundle["application/vnd.plotly.v1+json"]["data"][0]["name"] == "joy"
    assert "<script" not in bundle["image/svg+xml"] and bundle["image/svg+xml"] == curves().static()
    assert set(curves()._repr_mimebundle_(include=["image/svg+xml"])) == {"image/svg+xml"}


def test_a_gap_in_a_line_is_valid_json_in_a_notebook():
    """Circles are drawn as one line with gaps; a kernel warns, in red, of a NaN in a message."""
    picture = Picture(go.Scatter(x=[0.0, float("nan"), 1.0], y=np.array([1.0, np.nan, 2.0])))
    kept = picture._repr_mimebundle_(include=["application/vnd.plotly.v1+json"])
    json.dumps(kept, allow_nan=False)


def test_every_part_stays_inside_the_picture():
    figure = curves()
    root = parsed(figure)
    width, height = (float(root.get(name, 0)) for name in ("width", "height"))
    for element in root.iter():
        for name, most in (("x", width), ("y", height), ("cx", width), ("cy", height), ("x1", width), ("y2", height)):
            value = element.get(name)
            assert value is None or 0 <= float(value) <= most, ElementTree.tostring(element)
    assert {"joy", "layer"} <= set(words(figure)) | {"joy"}


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_within_the_ends(low, span):
    ticks = nice_ticks(low, low + span)
    assert 2 <= len(ticks) <= 8
    assert all(low - span * 1e-6 <= t <= low + span * (1 + 1e-6) for t in ticks)
    steps = np.diff(ticks)
    assert np.allclose(steps, steps[0], rtol=1e-4, atol=1e-9)


def test_colours_hold_at_the_ends_and_around_a_middle():
    scale = {"colorscale": [[0.0, "#000000"], [0.5, "#808080"], [1.0, "rgb(255, 0, 0)"]], "cmid": 0.0}
    assert colour_at(scale, -2.0, [-2.0, 1.0]) == "rgb(0,0,0)"
    assert colour_at(scale, 0.0, [-2.0, 1.0]) == "rgb(128,128,128)"
    assert re.fullmatch(r"rgb\(\d+,\d+,\d+\)", colour_at({}, 5.0, [5.0]))


def test_packed_arrays_are_read_back():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert decoded(go.Figure(go.Heatmap(z=array)).to_dict())["data"][0]["z"] == array.tolist()
