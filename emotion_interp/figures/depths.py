"""Curves over relative depth: models of different numbers of layers side by side."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from emotion_interp.figures.picture import Picture
from emotion_interp.figures.theme import COLOURS, DASHES, band, checked, curve, finish, plain, rgba


def depth_curves(frame: pd.DataFrame, *, title: str = "By relative depth", y_title: str = "value") -> go.Figure:
    """One line per series over the relative depth of the layers, 1 being the last.

    Args:
        frame: columns `depth, series, value`; optional `lo, hi` (interval of the value).
        title: the figure's title.
        y_title: what the value is, with its unit.

    Raises:
        EmotionInterpError: missing columns or no rows.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"depth": [0.5, 1.0], "series": "tiny", "value": [0.2, 0.5]})
        >>> depth_curves(frame).data[0].name
        'tiny'
    """
    frame = checked(frame, "depth_curves", ("depth", "series", "value"), ("depth", "value", "lo", "hi"))
    names = list(dict.fromkeys(frame["series"]))
    frame = frame.sort_values("depth", kind="stable")
    shaded = {"lo", "hi"} <= set(frame.columns) and bool(frame["lo"].notna().any())
    figure = Picture()
    for i, name in enumerate(names):
        rows = frame[frame["series"] == name]
        if shaded:
            colour = COLOURS[i % len(COLOURS)]
            band(figure, rows["depth"], rows["lo"], rows["hi"], rgba(colour, 0.13), legendgroup=str(name))
        dash = DASHES[i // len(COLOURS) % len(DASHES)]
        curve(figure, rows["depth"].tolist(), rows["value"], name, i, "depth %{x:.2f}", dash)
    how = "Depth 1 is the last layer." + (" Shaded: the interval of the curve of that colour." if shaded else "")
    finish(figure, title, how, height=330, legend=tuple(map(str, names)), narrow_height=240)
    figure.update_xaxes(title="relative depth", range=[0, 1.03])
    figure.update_yaxes(title=plain(y_title))
    return figure
