"""Curves over layers, with intervals, chance and ceiling."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from pandas.api.types import is_numeric_dtype

from emotion_interp.figures.picture import Picture
from emotion_interp.figures.theme import CHANCE, COLOURS, DASHES, band, checked, curve, finish, plain, rgba


# Long: one picture, drawn trace after trace.
def layer_curves(
    frame: pd.DataFrame,
    *,
    title: str = "By layer",
    y_title: str = "value",
    how_to_read: str | None = None,
    y_range: tuple[float, float] | None = None,
    ceiling_name: str = "ceiling",
) -> go.Figure:
    """One line per series over the layers.

    Args:
        frame: columns `layer, series, value`; optional `lo, hi` (interval of the value), `chance_lo, chance_hi` (where
            the value lies by chance; drawn once, as the widest band of a layer), `ceiling` (best possible value; drawn
            once where all series share it), `hue` and `style` (series with the same one share their colour, their dashes;
            without them each series has a colour of its own).
        title: the figure's title.
        y_title: what the value is, with its unit.
        how_to_read: replaces the standing line.
        y_range: fixed range of the vertical axis.
        ceiling_name: what the `ceiling` is called, where it is none.

    Raises:
        EmotionInterpError: missing columns or no rows.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"layer": [0, 1], "series": "valence", "value": [.2, .5]})
        >>> layer_curves(frame, y_title="r").data[0].name
        'valence'
    """
    optional = ("lo", "hi", "chance_lo", "chance_hi", "ceiling")
    frame = checked(frame, "layer_curves", ("layer", "series", "value"), ("layer", "value", *optional))
    frame = frame.sort_values("layer", kind="stable")
    has = {name: name in frame.columns and bool(frame[name].notna().any()) for name in optional}
    common = _common_ceiling(frame) if has["ceiling"] else None
    figure = Picture()
    legend: list[str] = []
    if common is not None:
        figure.add_scatter(
            x=common.index.tolist(),
            y=common.tolist(),
            mode="lines",
            name=ceiling_name,
            line={"color": "#7b8794", "width": 1.4, "dash": "dot"},
            hovertemplate=f"{ceiling_name} %{{y:.3f}}<extra></extra>",
        )
        legend.append(ceiling_name)
    if has["chance_lo"] and has["chance_hi"]:
        chance = frame.groupby("layer").agg({"chance_lo": "min", "chance_hi": "max"})
        band(figure, chance.index, chance["chance_lo"], chance["chance_hi"], rgba(CHANCE, 0.22), "chance")
        legend.append("chance")
    looks = _looks(frame)
    for name, (i, dash) in looks.items():
        rows = frame[frame["series"] == name]
        colour = COLOURS[i % len(COLOURS)]
        x = rows["layer"].tolist()
        if has["lo"] and has["hi"]:
            band(figure, x, rows["lo"], rows["hi"], rgba(colour, 0.13), legendgroup=str(name))
        curve(figure, x, rows["value"], name, i, "layer %{x}", dash)
        legend.append(str(name))
        if has["ceiling"] and common is None and rows["ceiling"].notna().any():
            figure.add_scatter(
                x=x,
                y=rows["ceiling"].tolist(),
                mode="lines",
                name=plain(f"{ceiling_name}, {name}"),
                legendgroup=str(name),
                line={"color": colour, "width": 1.2, "dash": "dot"},
                hovertemplate=f"{ceiling_name} %{{y:.3f}}<extra></extra>",
            )
            legend.append(f"{ceiling_name}, {name}")
    standing = "Higher is better."
    standing += " Shaded: the interval of the curve of that colour." if has["lo"] and has["hi"] else ""
    standing += " Grey: what chance gives." if has["chance_lo"] else ""
    if has["ceiling"]:
        best = ceiling_name == "ceiling"
        standing += " Dotted: the best that the human ratings allow." if best else f" Dotted: {ceiling_name}."
    traces: Any = figure.data
    markers = {i: {"marker.size": 5} for i, trace in enumerate(traces) if trace.mode == "lines+markers"}
    finish(
        figure,
        title,
        how_to_read or standing,
        height=330,
        legend=tuple(legend),
        narrow_height=240,
        narrow_traces=markers,
    )
    layers = sorted(set(frame["layer"]))
    few = len(layers) <= 12
    figure.update_xaxes(title="layer", tickvals=layers if few else None, tickformat="d")
    figure.update_yaxes(title=plain(y_title), range=list(y_range) if y_range else None)
    return figure


def _looks(frame: pd.DataFrame) -> dict[object, tuple[int, str]]:
    """Number of the colour and kind of dashes of each series."""
    names = list(dict.fromkeys(frame["series"]))
    if not {"hue", "style"} <= set(frame.columns):
        return {name: (i, DASHES[i // len(COLOURS) % len(DASHES)]) for i, name in enumerate(names)}
    hues, styles = (list(dict.fromkeys(frame[column])) for column in ("hue", "style"))
    first = frame.drop_duplicates("series").set_index("series")
    return {
        name: (hues.index(first.at[name, "hue"]), DASHES[styles.index(first.at[name, "style"]) % len(DASHES)])
        for name in names
    }


def series_curves(
    frame: pd.DataFrame, value: str, series: Sequence[str], *, bounds: Sequence[str] = (), **texts: object
) -> go.Figure:
    """`layer_curves` of a table that has another column for the value, and several for what tells the lines apart.

    Args:
        frame: columns `layer`, the value's, and the series'; those that are missing or say the same in all rows are no part
            of a line's name.
        value: the column of the value.
        series: columns whose values make a line's name.
        bounds: the columns of the interval, if there is one.
        **texts: options of `layer_curves`.

    Raises:
        EmotionInterpError: as `layer_curves`.
    """
    names = series_names(frame, series, value)
    renamed = {value: "value", **dict(zip(bounds, ("lo", "hi"), strict=False))}
    rows = frame[["layer", *renamed]].rename(columns=renamed).assign(series=names)
    return layer_curves(rows.dropna(subset=["value"]), **{"y_title": value.replace("_", " "), **texts})


def series_names(frame: pd.DataFrame, series: Sequence[str], value: str) -> list[str]:
    """What tells each row's line apart, from those columns that do not say the same in all rows."""
    if "site" in frame:
        frame = frame.assign(site=[re.sub(r"^blocks\.\d+\.(attn\.)?hook_", "", str(site)) for site in frame["site"]])
    filled = [c for c in series if c in frame and frame[c].notna().all()]
    telling = [c for c in filled if frame[c].nunique() > 1] or filled[:1]
    # a bare number does not say of what it is: "seed 1"
    shown = [
        [f"{c.replace('_', ' ')} {v}" for v in frame[c]] if is_numeric_dtype(frame[c]) else list(map(str, frame[c]))
        for c in telling
    ]
    return [", ".join(row) or value for row in zip(*shown, strict=True)] if shown else [value] * len(frame)


def _common_ceiling(frame: pd.DataFrame) -> pd.Series | None:
    """The ceiling by layer where all series of a layer share it; None where they do not."""
    by_layer = frame.groupby("layer")["ceiling"].agg(["min", "max"]).dropna()
    same = (by_layer["max"] - by_layer["min"]).abs().max() < 1e-9
    return by_layer["max"] if same else None
