"""One look for every picture: colour-blind-safe colours, readable axes, a line on how to read it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
import pandas as pd

from emotion_interp.core import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.core.markup import picture_label
from emotion_interp.core.options import Options, merged

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe & Ito (2008) without yellow, which is too pale on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "triangle-down", "star")
DASHES = ("solid", "dash", "dot", "dashdot")
CHANCE = "#7a7a7a"
GRID = "#e4e7eb"
INK = "#1f2933"
# spelt out, because Plotly's named scales run in opposite directions in Python and JavaScript
SEQUENTIAL = [[0.0, "#f7fbff"], [0.25, "#c6dbef"], [0.5, "#6baed6"], [0.75, "#2171b5"], [1.0, "#08306b"]]
DIVERGING = [[0.0, "#7f3b08"], [0.25, "#e08214"], [0.5, "#f7f7f7"], [0.75, "#4393c3"], [1.0, "#053061"]]
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif'
CHARACTER_WIDTH = 0.58
"""Mean width of a Latin character in units of the font size."""


def checked(
    frame: pd.DataFrame, picture: str, required: tuple[str, ...], numeric: tuple[str, ...] = ()
) -> pd.DataFrame:
    """A copy of `frame` with its columns checked and the numeric ones (where present) as float64.

    Args:
        frame: the DataFrame a picture was given.
        picture: name of the picture, for the error line.
        required: columns that must be there.
        numeric: columns, required or optional, that must hold numbers (NaN = missing is allowed).

    Raises:
        EmotionInterpError: no frame, missing columns, no rows, or text where numbers belong.
        NotFiniteError: infinite values.
    """
    if frame is None or not hasattr(frame, "columns"):
        raise EmotionInterpError(f"{picture} draws a DataFrame with the columns {', '.join(required)}, got {frame!r}.")
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise EmotionInterpError(
            f"{picture} needs the columns {', '.join(required)}; missing: {', '.join(missing)}; "
            f"given: {', '.join(map(str, frame.columns)) or 'none'}."
        )
    if not len(frame):
        raise EmotionInterpError(f"{picture} was given a frame without rows; there is nothing to draw.")
    frame = frame.copy()
    for name in numeric:
        if name not in frame.columns:
            continue
        try:
            frame[name] = frame[name].astype(float)
        except (TypeError, ValueError) as error:
            raise EmotionInterpError(f"{picture}: the column {name!r} must hold numbers: {error}.") from error
        if frame[name].abs().max() == math.inf:
            raise NotFiniteError(f"{picture}: the column {name!r} has infinite values.")
    return frame


def only(frame: pd.DataFrame, column: str, chosen: object, picture: str) -> pd.DataFrame:
    """The rows of one value of `column`; without a choice the frame must hold just one value."""
    if column not in frame.columns:
        return frame
    present = list(dict.fromkeys(frame[column]))
    if chosen is None:
        if len(present) > 1:
            raise EmotionInterpError(
                f"{picture} draws one {column} at a time; the frame holds {', '.join(map(str, present))}. "
                f"Give {column}=..."
            )
        return frame
    if chosen not in present:
        raise UnknownNameError(column, chosen, present)
    return frame[frame[column] == chosen]


def plain(text: object) -> str:
    """Text that Plotly shows as it is: its labels are a small HTML, in which `<b>` or `&` would vanish."""
    return picture_label(text)


def text_width(text: str, size: float) -> float:
    """Estimated width in pixels; wide (CJK) characters count as one em."""
    return size * sum(1.0 if ord(c) > 0x2E80 else CHARACTER_WIDTH for c in text)


def rgba(colour: str, opacity: float) -> str:
    """A `#rrggbb` colour with opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def curve(figure: go.Figure, x: object, y: Any, name: object, number: int, where: str, dash: str = "solid") -> None:
    """One named series as a line with markers; `where` says in the hover text where a point lies ("layer %{x}")."""
    figure.add_scatter(
        x=x,
        y=y.tolist(),
        mode="lines+markers",
        name=plain(name),
        legendgroup=str(name),
        line={"color": COLOURS[number % len(COLOURS)], "width": 2, "dash": dash},
        marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 8},
        hovertemplate=where + "<br>" + plain(name) + " %{y:.3f}<extra></extra>",
    )


def band(figure: go.Figure, x: object, low: object, high: object, colour: str, name: str = "", **place: object) -> None:
    """Shade between `low` and `high`, one polygon per unbroken run: a filled polygon does not stop at NaN."""
    x, low, high = (np.asarray(values, dtype=float) for values in (x, low, high))
    finite = np.isfinite(low) & np.isfinite(high)
    runs = np.flatnonzero(np.diff(np.concatenate([[0], finite.astype(int), [0]]))).reshape(-1, 2)
    first = bool(name)
    for start, stop in runs:
        run = slice(start, stop)
        # a run of one point would be a polygon without area; give it a whisker instead
        line = {"width": 0} if stop - start > 1 else {"width": 2, "color": colour}
        figure.add_scatter(
            x=[*x[run], *x[run][::-1]],
            y=[*high[run], *low[run][::-1]],
            mode="lines",
            fill="toself",
            fillcolor=colour,
            line=line,
            hoverinfo="skip",
            name=name,
            showlegend=first,
            **place,
        )
        first = False


def legend_rows(entries: tuple[str, ...], width: float, size: float = 12) -> int:
    """Rows that a horizontal legend takes on `width` pixels, filled from the left as Plotly does."""
    rows, used = 0, math.inf
    for name in entries:
        needed = text_width(name, size) + 50
        rows, used = (rows, used + needed) if used + needed <= width else (rows + 1, needed)
    return rows


@dataclass(frozen=True, kw_only=True)
class LayoutOptions(Options):
    """How a picture is laid out, and what a phone changes.

    Attributes:
        width: fixed width in pixels, for pictures whose labels were placed for it.
        min_width: narrower than this the picture is unreadable; a page scrolls it instead.
        head: pixels between the title and the plot, for the names of panels.
        narrow: dotted path -> value of the layout on a phone, beside smaller fonts and margins.
        narrow_height: as `height`, on a phone; the same unless told.
        narrow_min_width: as `min_width`, on a phone; none unless told.
        narrow_traces: number of the trace -> dotted path -> value on a phone.
    """

    width: int | None = None
    min_width: int | None = None
    head: int = 0
    narrow: dict[str, object] | None = None
    narrow_height: int | None = None
    narrow_min_width: int | None = None
    narrow_traces: Mapping[int, Mapping[str, object]] | None = None


class NarrowChoices(TypedDict, total=False):
    """What of `LayoutOptions` a phone changes, by keyword."""

    narrow: dict[str, object] | None
    narrow_height: int | None
    narrow_min_width: int | None
    narrow_traces: Mapping[int, Mapping[str, object]] | None


class LayoutChoices(NarrowChoices, total=False):
    """`LayoutOptions`, by keyword."""

    width: int | None
    min_width: int | None
    head: int


# Long: everything that all pictures share, once.
def finish(
    figure: go.Figure,
    title: str,
    how_to_read: str,
    *,
    height: int,
    legend: tuple[str, ...] = (),
    options: LayoutOptions | None = None,
    **choices: Unpack[LayoutChoices],
) -> go.Figure:
    """Give a figure the house's look, its title and its line on how to read it.

    The line is shown under the title and kept as `figure.layout.meta["how_to_read"]`. `figure.layout.meta["narrow"]`
    holds what a page changes on a phone (about 360 px of picture): the picture's `height` without its title,
    `min_width`, and new values of the `layout` and of single `traces`, each under its dotted path.

    Args:
        figure: the figure, changed in place.
        title: what is shown.
        how_to_read: one sentence.
        height: pixels of the picture below the title and above the legend.
        legend: the legend's entries, for the room they need below the picture; none = no legend.
        options: width, head and what a phone changes.
        **choices: fields of `LayoutOptions`, by keyword.
    """
    chosen = merged(LayoutOptions, options, choices)
    width, head = chosen.width, chosen.head
    lines = textwrap.wrap(plain(how_to_read), 90 if (width or 800) > 600 else 70)
    top = 52 + 17 * len(lines) + head
    rows, narrow_rows = legend_rows(legend, (width or 700) - 88), legend_rows(legend, 310, 11)
    below = 62 + (22 * rows + 8 if rows else 0)
    narrow_below = 52 + (21 * narrow_rows + 8 if narrow_rows else 0)
    phone = {
        "font.size": 11,
        "legend.font.size": 11,
        "margin.l": 46,
        "margin.r": 10,
        "margin.t": 14 + head,
        "margin.b": narrow_below,
        "width": None,
        "autosize": True,
        **(chosen.narrow or {}),
    }
    figure.update_layout(
        template="plotly_white",
        font={"family": FONT, "size": 13, "color": INK},
        title={
            "text": f"<b>{plain(title)}</b>",
            "subtitle": {"text": "<br>".join(lines), "font": {"size": 12, "color": "#52606d"}},
            "x": 0,
            "xref": "container",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"l": 12, "t": 12},
            "font": {"size": 16},
        },
        height=height + top + below,
        width=width,
        autosize=width is None,
        margin={"l": 64, "r": 24, "t": top, "b": below},
        showlegend=bool(legend),
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "font": {"size": 12}},
        hoverlabel={"font": {"family": FONT}},
        meta={
            "how_to_read": how_to_read,
            "title": title,
            "min_width": chosen.min_width,
            "title_height": top - 14 - head,
            "narrow": {
                "height": (chosen.narrow_height or height) + phone["margin.t"] + phone["margin.b"],
                "min_width": chosen.narrow_min_width,
                "layout": phone,
                "traces": {str(number): values for number, values in (chosen.narrow_traces or {}).items()},
            },
        },
    )
    small = {"size": 13}
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor="#9aa5b1", automargin=True, title_font=small)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor="#9aa5b1", automargin=True, title_font=small)
    return figure
