"""Dose-response curves of steering."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd
from plotly.subplots import make_subplots

from emotion_interp.figures.picture import Picture
from emotion_interp.figures.theme import CHANCE, COLOURS, NarrowChoices, band, checked, finish, plain, rgba

if TYPE_CHECKING:
    import plotly.graph_objects as go

STABLE_PERPLEXITY = (0.5, 2.0)
"""Perplexity ratios to the unsteered text within which the text counts as intact."""

# pixels: the upper panel, the gap, the lower panel, and the room for axis title and the next emotion's name
_PROBABILITY, _GAP, _PERPLEXITY, _BETWEEN = 170, 16, 90, 92
_BLOCK = _PROBABILITY + _GAP + _PERPLEXITY + _BETWEEN


def _perplexity_axis(ratios: list[float]) -> tuple[list[float], list[float]]:
    """Ticks, and the range in powers of ten, that hold the stable window and every ratio."""
    positive = [ratio for ratio in ratios if ratio > 0]
    low, high = min([0.45, *(0.8 * r for r in positive)]), max([2.4, *(1.25 * r for r in positive)])
    step = 2 if high / low < 30 else 4 if high / low < 1000 else 10
    start = 0.5 if step != 10 else 1.0
    ticks = [start * step**k for k in range(-12, 13) if low <= start * step**k <= high]
    return ticks, [math.log10(low), math.log10(high)]


def _probability_range(rows: pd.DataFrame) -> list[float]:
    """From 0 to just above the curve and its band: a rare emotion would lie flat on an axis up to 1."""
    columns = [c for c in ("target", "hi", "random_hi") if c in rows]
    highest = rows[columns].to_numpy(dtype=float)
    highest = highest[highest > 0]
    return [0.0, min(1.0, 1.12 * float(highest.max())) if len(highest) else 1.0]


def _narrow(emotions: list[str], across: int) -> NarrowChoices:
    """For a phone: at most two emotions side by side; `across`: how many there are on a desk."""
    columns = min(2, across)
    blocks = -(-len(emotions) // columns)
    height = blocks * _BLOCK - _BETWEEN
    gap = 0.18 if columns > 1 else 0.0
    share = (1 - gap) / columns
    changes: dict[str, object] = {}
    for i in range(len(emotions)):
        left = (i % columns) * (share + gap)
        top = 1 - (i // columns) * _BLOCK / height
        middle = top - _PROBABILITY / height
        lower = middle - _GAP / height
        for below, domain in ((0, [middle, top]), (1, [max(0.0, lower - _PERPLEXITY / height), lower])):
            number = (2 * (i // across) + below) * across + i % across + 1
            x, y = (f"{axis}axis{number if number > 1 else ''}" for axis in "xy")
            changes |= {f"{x}.domain": [left, left + share], f"{y}.domain": domain, f"{x}.nticks": 6}
            changes |= {f"{y}.showticklabels": not below or i % columns == 0, f"{x}.title.font.size": 11}
            named = "" if i % columns else ("perplexity" if below else "probability")
            changes[f"{y}.title.text"] = named
        changes |= {f"annotations.{i}.x": left + share / 2, f"annotations.{i}.y": top}
    return {"narrow": changes, "narrow_height": height}


# Long: one picture, drawn trace after trace.
def dose_curves(frame: pd.DataFrame, *, title: str = "Steering by dose", columns: int = 4) -> go.Figure:
    """Per emotion: probability of the target emotion (top, each on a scale of its own) and perplexity ratio over the dose.

    Args:
        frame: columns `emotion, dose, target, random_lo, random_hi, perplexity_ratio`; optional `lo, hi`, the interval
            of `target`. The random band is what random directions of the same norm reach.
        title: the figure's title.
        columns: emotions side by side.

    Raises:
        EmotionInterpError: missing columns or no rows.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"emotion": "joy", "dose": [0., .5], "target": [.1, .6], "random_lo": [.05, .05],
        ...                       "random_hi": [.2, .2], "perplexity_ratio": [1., 1.3]})
        >>> round(dose_curves(frame).layout.yaxis.range[1], 3)
        0.672
    """
    needed = ("emotion", "dose", "target", "random_lo", "random_hi", "perplexity_ratio")
    frame = checked(frame, "dose_curves", needed, (*needed[1:], "lo", "hi")).sort_values("dose", kind="stable")
    emotions = list(dict.fromkeys(frame["emotion"].sort_index()))
    across = min(columns, len(emotions))
    blocks = -(-len(emotions) // across)
    height = blocks * _BLOCK - _BETWEEN
    figure = make_subplots(
        figure=Picture(), rows=2 * blocks, cols=across, horizontal_spacing=min(0.07, 0.5 / max(1, across - 1))
    )
    with_interval = {"lo", "hi"} <= set(frame.columns)
    ticks, extent = _perplexity_axis(frame["perplexity_ratio"].dropna().tolist())
    for i, emotion in enumerate(emotions):
        rows = frame[frame["emotion"] == emotion]
        row, col = 2 * (i // across) + 1, i % across + 1
        first = i == 0
        x = rows["dose"].tolist()
        random = "random directions" if first else ""
        band(figure, x, rows["random_lo"], rows["random_hi"], rgba(CHANCE, 0.25), random, row=row, col=col)
        if with_interval:
            band(figure, x, rows["lo"], rows["hi"], rgba(COLOURS[0], 0.16), row=row, col=col)
        for y, name, colour, symbol, r in (
            ("target", "target emotion", COLOURS[0], "circle", row),
            ("perplexity_ratio", "perplexity ratio", COLOURS[1], "square", row + 1),
        ):
            figure.add_scatter(
                x=x,
                y=rows[y].tolist(),
                mode="lines+markers",
                name=name,
                showlegend=first,
                line={"color": colour, "width": 2},
                marker={"symbol": symbol, "size": 7},
                hovertemplate=plain(emotion) + " at dose %{x}<br>" + name + " %{y:.3f}<extra></extra>",
                row=r,
                col=col,
            )
        figure.add_hrect(
            y0=STABLE_PERPLEXITY[0],
            y1=STABLE_PERPLEXITY[1],
            fillcolor="#009E73",
            opacity=0.10,
            line_width=0,
            layer="below",
            row=row + 1,  # pyright: ignore[reportArgumentType]
            col=col,  # pyright: ignore[reportArgumentType]
        )
        top = 1 - (i // across) * _BLOCK / height
        middle = top - _PROBABILITY / height
        lower = middle - _GAP / height
        figure.update_yaxes(
            range=_probability_range(rows), nticks=5, exponentformat="none", domain=[middle, top], row=row, col=col
        )
        figure.update_xaxes(showticklabels=False, row=row, col=col)
        figure.update_yaxes(
            type="log",
            domain=[max(0.0, lower - _PERPLEXITY / height), lower],
            range=extent,
            tickvals=ticks,
            ticktext=[f"{tick:g}" for tick in ticks],
            showticklabels=col == 1,
            row=row + 1,
            col=col,
        )
        figure.update_xaxes(title="dose (site scales)", row=row + 1, col=col)
        shared: Any = figure.get_subplot(row, col)
        left, right = shared.xaxis.domain
        figure.add_annotation(
            text=f"<b>{plain(emotion)}</b>",
            x=(left + right) / 2,
            y=top,
            xref="paper",
            yref="paper",
            xanchor="center",
            yanchor="bottom",
            showarrow=False,
        )
        if col == 1:
            figure.update_yaxes(title="probability", row=row, col=col)
            figure.update_yaxes(title="perplexity", row=row + 1, col=col)
    legend = ("target emotion", "perplexity ratio", "random directions")
    finish(
        figure,
        title,
        "Blue above the grey band: steering does more than a random push of the same size. Orange inside the green "
        "band (0.5 to 2): the text is still about as fluent as unsteered text. Each emotion has its own scale of "
        "probability.",
        height=height,
        min_width=200 * across + 120 if across > 1 else None,
        legend=legend,
        head=22,
        **_narrow(emotions, across),
    )
    figure.update_xaxes(nticks=5)
    return figure
