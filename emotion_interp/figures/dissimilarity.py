"""Two dissimilarity matrices side by side: which emotions are alike for the model, and which for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from plotly.subplots import make_subplots
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.stats import rankdata

from emotion_interp.core import EmotionInterpError
from emotion_interp.figures.theme import checked, finish, plain, text_width

if TYPE_CHECKING:
    import plotly.graph_objects as go

# alike is dark; not the colours of the heat maps, where dark is a strong correlation
_SCALE = [[0.0, "#00441b"], [0.25, "#238b45"], [0.5, "#74c476"], [0.75, "#c7e9c0"], [1.0, "#f7fcf5"]]
_MOST_NAMES = 40


# Long: one picture, drawn trace after trace.
def dissimilarity_pair(frame: pd.DataFrame, *, title: str = "Which emotions are alike") -> go.Figure:
    """Dissimilarity of every pair of emotions, in the model (left) and for people (right), on one colour scale.

    Both sides are shown as ranks, in percent of all pairs: that is what their rank correlation (RSA) compares, and it
    puts a cosine distance and a distance of ratings on one scale (Nili et al. 2014). The emotions stand in the order
    of a tree of people's dissimilarities (average linkage, leaves ordered after Bar-Joseph, Gifford & Jaakkola 2001).

    Args:
        frame: columns `emotion_a, emotion_b, model, people`; each pair once, in either order.
        title: the figure's title.

    Raises:
        EmotionInterpError: missing columns, no rows, fewer than 3 emotions, or a pair that is missing or doubled.

    Example:
        >>> import pandas as pd
        >>> rows = [("joy", "love", .1, .2), ("joy", "fear", .9, 1.5), ("love", "fear", .8, 1.9)]
        >>> drawn = dissimilarity_pair(pd.DataFrame(rows, columns=["emotion_a", "emotion_b", "model", "people"]))
        >>> drawn.data[1].x
        ('fear', 'joy', 'love')
    """
    frame = checked(
        frame, "dissimilarity_pair", ("emotion_a", "emotion_b", "model", "people"), ("model", "people")
    ).dropna(subset=["model", "people"])
    emotions, first, second = _pairs(frame)
    order = _leaf_order(first, second, frame["people"].to_numpy(dtype=float), len(emotions))
    names = [plain(emotions[i]) for i in order]
    few = len(names) <= _MOST_NAMES
    figure = make_subplots(cols=2, shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=["model", "people"])
    for col, side in ((1, "model"), (2, "people")):
        percent = 100 * rankdata(frame[side].to_numpy(dtype=float)) / len(frame)
        square = _square(first, second, percent, len(names))[order][:, order]
        raw = _square(first, second, frame[side].to_numpy(dtype=float), len(names))[order][:, order]
        figure.add_heatmap(
            z=square,
            x=names,
            y=names,
            zmin=0,
            zmax=100,
            colorscale=_SCALE,
            customdata=raw,
            showscale=col == 2,
            colorbar={"title": {"text": "rank of the<br>dissimilarity"}, "thickness": 14, "ticksuffix": "%"},
            hovertemplate="%{y} and %{x}<br>" + side + ": %{customdata:.2f}, rank %{z:.0f}%<extra></extra>",
            row=1,
            col=col,
        )
    widest = max(text_width(name, 10) for name in names) if few else 0
    side = min(440, max(260, 15 * len(names)))
    phone_side, label = 270, (min(90.0, max(text_width(name, 8) for name in names)) if few and len(names) <= 36 else 0)
    narrow_height = round(2 * phone_side + 2 * label + 66)
    plot = phone_side / narrow_height
    hidden = "" if few else " Point at a cell for its emotions; there are too many to name them all."
    finish(
        figure,
        title,
        "Dark: a pair that is alike (few pairs are more alike), pale: a pair that is far apart. The same dark blocks on "
        f"both sides: model and people group the emotions in the same way. Emotions are ordered by people's grouping.{hidden}",
        height=round(side + widest),
        min_width=round(2 * side + widest + 60),
        head=22,
        narrow={
            "xaxis.domain": [0, 1],
            "xaxis2.domain": [0, 1],
            "yaxis.domain": [1 - plot, 1],
            "yaxis2.domain": [0.5 - plot - 11 / narrow_height, 0.5 - 11 / narrow_height],
            "yaxis2.showticklabels": few and len(names) <= 36,
            **{f"{axis}.tickfont.size": 8 for axis in ("xaxis", "xaxis2", "yaxis", "yaxis2")},
            **({} if label else {f"{a}.showticklabels": False for a in ("xaxis", "xaxis2", "yaxis", "yaxis2")}),
            **{f"annotations.{i}.x": 0.5 for i in (0, 1)},
            "annotations.0.y": 1,
            "margin.b": 64,
            **{f"{axis}.title.text": "" for axis in ("xaxis", "xaxis2", "yaxis")},
            "annotations.1.y": 0.5 - 11 / narrow_height,
        },
        narrow_height=narrow_height,
        narrow_traces={
            1: {
                "colorbar.orientation": "h",
                "colorbar.len": 0.7,
                "colorbar.title.text": "rank",
                "colorbar.title.side": "right",
                "colorbar.y": 0,
                "colorbar.yref": "container",
                "colorbar.yanchor": "bottom",
                "colorbar.thickness": 10,
            }
        },
    )
    # the diagonal is no pair: neither alike nor apart
    figure.update_layout(plot_bgcolor="#c3c9d0")
    figure.update_xaxes(title="emotion", type="category", tickangle=-90, showgrid=False, dtick=1, tickfont={"size": 10})
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, dtick=1, tickfont={"size": 10})
    figure.update_yaxes(title="emotion", row=1, col=1)
    figure.update_xaxes(showticklabels=few)
    figure.update_yaxes(showticklabels=few, row=1, col=1)
    return figure


def _pairs(frame: pd.DataFrame) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The emotions, and the places of both members of every pair."""
    sides = [[str(e) for e in frame[name]] for name in ("emotion_a", "emotion_b")]
    emotions = list(dict.fromkeys([e for pair in zip(*sides, strict=True) for e in pair]))
    place = {e: i for i, e in enumerate(emotions)}
    first, second = (np.array([place[e] for e in side]) for side in sides)
    n = len(emotions)
    unique = {(min(a, b), max(a, b)) for a, b in zip(first, second, strict=True) if a != b}
    if n < 3 or len(unique) != len(frame) or len(frame) != n * (n - 1) // 2:
        raise EmotionInterpError(
            f"dissimilarity_pair needs every pair of at least 3 emotions once: {n * (n - 1) // 2} pairs of {n} emotions, "
            f"got {len(frame)} rows with {len(unique)} different pairs."
        )
    return emotions, first, second


def _square(first: np.ndarray, second: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Symmetric matrix with an empty diagonal."""
    square = np.full((n, n), np.nan)
    square[first, second] = square[second, first] = values
    return square


def _leaf_order(first: np.ndarray, second: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    square = _square(first, second, values, n)
    condensed = square[np.triu_indices(n, k=1)]
    order = leaves_list(optimal_leaf_ordering(linkage(condensed, "average"), condensed))
    # a tree may be read from either end: start with the emotion that was given first
    return order if np.flatnonzero(order == 0)[0] <= (n - 1) / 2 else order[::-1]
