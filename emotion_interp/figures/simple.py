"""Small pictures of small tables: values with intervals, named points, a square of numbers."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from emotion_interp.figures.labels import annotate, place_labels
from emotion_interp.figures.theme import COLOURS, SEQUENTIAL, checked, finish, plain

_SIDE = 480


def interval_rows(frame: pd.DataFrame, *, title: str, x_title: str = "value") -> go.Figure:
    """One row per name: its value as a point, its interval as a line, and zero.

    Args:
        frame: columns `name, series, value, lo, hi`; a series has one colour.
        title: the figure's title.
        x_title: what the value is, with its unit.

    Raises:
        EmotionInterpError: missing columns or no rows.

    Example:
        >>> import pandas as pd
        >>> row = {"name": "valence", "series": "model", "value": 0.3, "lo": 0.1, "hi": 0.5}
        >>> interval_rows(pd.DataFrame([row]), title="Gain").data[0].name
        'model'
    """
    frame = checked(frame, "interval_rows", ("name", "series", "value", "lo", "hi"), ("value", "lo", "hi"))
    figure = go.Figure()
    series = list(dict.fromkeys(frame["series"]))
    for number, name in enumerate(series):
        rows = frame[frame["series"] == name]
        spread = {"array": (rows["hi"] - rows["value"]).tolist(), "arrayminus": (rows["value"] - rows["lo"]).tolist()}
        figure.add_scatter(
            x=rows["value"].tolist(),
            y=[plain(label) for label in rows["name"]],
            mode="markers",
            name=plain(name),
            marker={"color": COLOURS[number % len(COLOURS)], "size": 9},
            error_x={"type": "data", "symmetric": False, "thickness": 1.5, **spread},
        )
    figure.add_vline(x=0, line={"color": "#7b8794", "dash": "dot", "width": 1})
    names = frame["name"].nunique()
    how = "Each point is a value, the line through it its interval; an interval across the dotted zero decides nothing."
    finish(figure, title, how, height=max(160, 26 * names + 60), legend=tuple(map(str, series)))
    figure.update_xaxes(title=plain(x_title))
    figure.update_yaxes(type="category", autorange="reversed")
    return figure


def named_points(frame: pd.DataFrame, *, title: str, x_title: str, y_title: str) -> go.Figure:
    """Points with their names beside them.

    Args:
        frame: columns `name, x, y`.
        title: the figure's title.
        x_title: what the horizontal axis is.
        y_title: what the vertical axis is.

    Raises:
        EmotionInterpError: missing columns or no rows.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"name": ["joy", "fear"], "x": [1.0, -1.0], "y": [0.5, 0.7]})
        >>> named_points(frame, title="Space", x_title="PC1", y_title="PC2").layout.annotations[0].text
        'joy'
    """
    frame = checked(frame, "named_points", ("name", "x", "y"), ("x", "y"))
    points, names = frame[["x", "y"]].to_numpy(dtype=float), [str(name) for name in frame["name"]]
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    reach = max(float((points.max(axis=0) - points.min(axis=0)).max()) / 2, 1e-9) * 1.15
    low, shown = middle - reach, [plain(name) for name in names]
    figure = go.Figure()
    marker = {"color": COLOURS[0], "size": 8}
    figure.add_scatter(x=points[:, 0].tolist(), y=points[:, 1].tolist(), mode="markers", marker=marker, text=shown)

    def labels(side: int, font: int) -> list[dict[str, object]]:
        share = (points - low) / (2 * reach) * side
        anchors = [(float(x), float(side - y)) for x, y in share]
        centres = place_labels(anchors, names, anchors, (side, side), font_size=font)
        return annotate(shown, [(float(x), float(y)) for x, y in points], anchors, centres, font_size=font)

    how = "Points that lie close together are alike. The sign of an axis is arbitrary."
    phone = {"narrow": {"annotations": labels(290, 10)}, "narrow_height": 290}
    finish(figure, title, how, height=_SIDE, width=_SIDE + 88, min_width=_SIDE + 88, **phone)
    figure.update_layout(annotations=labels(_SIDE, 12))
    for axis, place, text in ((figure.update_xaxes, 0, x_title), (figure.update_yaxes, 1, y_title)):
        axis(title=plain(text), range=[low[place], low[place] + 2 * reach], automargin=False)
    return figure


def square_heatmap(frame: pd.DataFrame, *, title: str, value: str) -> go.Figure:
    """A square table of numbers, name by name.

    Args:
        frame: rows and columns of the same names, in one order.
        title: the figure's title.
        value: what the numbers are.

    Example:
        >>> import pandas as pd
        >>> names = ["layer 1", "layer 2"]
        >>> square_heatmap(pd.DataFrame([[1, .4], [.4, 1]], names, names), title="CKA", value="cka").data[0].type
        'heatmap'
    """
    names = [plain(name) for name in frame.index]
    colours = {"colorscale": SEQUENTIAL, "colorbar": {"title": {"text": plain(value)}, "thickness": 14}}
    written = {"texttemplate": "%{z:.2f}" if len(names) <= 12 else None}
    figure = go.Figure()
    figure.add_heatmap(z=frame.to_numpy(dtype=float), x=names, y=names, xgap=1, ygap=1, **colours, **written)
    side = min(_SIDE, max(200, 40 * len(names)))
    finish(figure, title, f"Each cell: the {value} of the space of its row and that of its column.", height=side)
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    return figure
