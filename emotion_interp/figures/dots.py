"""Values with intervals, one row per name: a dot plot for what would be a bundle of lines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from emotion_interp.figures.picture import Picture
from emotion_interp.figures.theme import CHANCE, COLOURS, SYMBOLS, checked, finish, plain, rgba

_ROW = 34
_TEXT_COLUMN = 40


def dot_rows(
    frame: pd.DataFrame,
    *,
    title: str,
    x_title: str = "value",
    how_to_read: str | None = None,
    short: Mapping[str, str] | None = None,
) -> go.Figure:
    """One row per name, one dot with its interval per series, side by side in the row.

    Args:
        frame: columns `name, series, value`; optional `lo, hi` (interval), `chance` (|value| that chance reaches; drawn as
            one grey band, the widest) and `ceiling` (best possible value of a series, drawn as a dotted line of its colour)
            and `note` (shown under the pointer).
        title: the figure's title.
        x_title: what the value is, with its unit.
        how_to_read: replaces the standing line.
        short: name -> shorter name, for a phone.

    Raises:
        EmotionInterpError: missing columns or no rows.

    Example:
        >>> import pandas as pd
        >>> row = {"name": "all features", "series": "valence", "value": 0.6, "lo": 0.5, "hi": 0.7}
        >>> dot_rows(pd.DataFrame([row]), title="Ratings").data[0].name
        'valence'
    """
    numbers = ("value", "lo", "hi", "chance", "ceiling")
    frame = checked(frame, "dot_rows", ("name", "series", "value"), numbers)
    frame = frame.assign(**{name: np.nan for name in numbers if name not in frame.columns})
    names, series = list(dict.fromkeys(frame["name"])), list(dict.fromkeys(frame["series"]))
    rows = {name: i for i, name in enumerate(names)}
    # series share a row without hiding one another
    offsets = np.linspace(-0.17, 0.17, len(series)) if len(series) > 1 else np.zeros(1)
    figure = Picture()
    for number, (name, offset) in enumerate(zip(series, offsets, strict=True)):
        of = frame[frame["series"] == name]
        colour = COLOURS[number % len(COLOURS)]
        notes = of["note"] if "note" in of else pd.Series("", index=of.index)
        errors = {"array": (of["hi"] - of["value"]).tolist(), "arrayminus": (of["value"] - of["lo"]).tolist()}
        figure.add_scatter(
            x=of["value"].tolist(),
            y=[rows[label] + float(offset) for label in of["name"]],
            mode="markers",
            name=plain(name),
            marker={"color": colour, "symbol": SYMBOLS[number % len(SYMBOLS)], "size": 10},
            error_x={"type": "data", "symmetric": False, "thickness": 1.6, "width": 0, "color": colour} | errors,
            text=[plain(f"{label}, {name}{note}") for label, note in zip(of["name"], notes, strict=True)],
            hovertemplate="%{text}<br>%{x:.2f}<extra></extra>",
        )
        if of["ceiling"].notna().any():
            figure.add_vline(x=float(of["ceiling"].max()), line={"color": colour, "dash": "dot", "width": 1.3})
    if frame["chance"].notna().any():
        limit = float(frame["chance"].max())
        figure.add_vrect(x0=-limit, x1=limit, fillcolor=rgba(CHANCE, 0.22), line_width=0, layer="below")
    figure.add_vline(x=0, line={"color": "#7b8794", "width": 1})
    how = "Each dot is a value, the line through it its interval." if how_to_read is None else how_to_read
    labels, places = [plain(name) for name in names], list(range(len(names)))
    few = [plain((short or {}).get(str(name), str(name))) for name in names]
    finish(
        figure,
        title,
        how,
        height=max(150, _ROW * len(names) + _TEXT_COLUMN),
        legend=tuple(map(str, series)),
        narrow={"yaxis.ticktext": few},
    )
    figure.update_xaxes(title=plain(x_title))
    figure.update_yaxes(tickvals=places, ticktext=labels, range=[len(names) - 0.5, -0.5], showgrid=False)
    return figure
