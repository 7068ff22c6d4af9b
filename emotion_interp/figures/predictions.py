"""Predicted against human ratings of words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from emotion_interp.core import EmotionInterpError
from emotion_interp.core.seeds import generator
from emotion_interp.figures.labels import annotate, place_labels
from emotion_interp.figures.theme import COLOURS, checked, finish, plain

_SIDE, _NARROW_SIDE = 480, 290
_NARROW_NAMED = 8


# Long: one picture, drawn trace after trace.
def predicted_vs_human(
    frame: pd.DataFrame,
    *,
    title: str = "Predicted and human ratings",
    outliers: int = 12,
    max_points: int = 3000,
    seed: int = 0,
) -> go.Figure:
    """Each word's predicted against its human rating; the words that are furthest off are named.

    Args:
        frame: columns `word, human, predicted`; words without either number are left out.
        title: the figure's title.
        outliers: how many words to name.
        max_points: more words than this are thinned at random (the outliers stay), and the picture says so.
        seed: of the thinning.

    Raises:
        EmotionInterpError: missing columns, no rows, or no word with both numbers.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"word": ["sun", "grave"], "human": [8., 2.], "predicted": [7., 6.]})
        >>> predicted_vs_human(frame, outliers=1).layout.annotations[0].text
        'grave'
    """
    frame = checked(frame, "predicted_vs_human", ("word", "human", "predicted"), ("human", "predicted"))
    frame = frame.dropna(subset=["human", "predicted"])
    if not len(frame):
        raise EmotionInterpError("predicted_vs_human: no word has both a human and a predicted rating.")
    points = frame[["human", "predicted"]].to_numpy(dtype=float)
    words = [str(word) for word in frame["word"]]
    order = np.argsort(-np.abs(points[:, 1] - points[:, 0]), kind="stable")
    named = order[:outliers]
    shown = np.arange(len(points))
    if len(points) > max_points:
        rest = generator(seed, "predicted_vs_human").permutation(order[outliers:])[: max_points - len(named)]
        shown = np.sort(np.concatenate([named, rest]))
    low, high = float(points.min()), float(points.max())
    margin = max((high - low) * 0.07, 1e-6)
    low, high = low - margin, high + margin
    figure = go.Figure()
    figure.add_scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        line={"color": "#7b8794", "dash": "dash", "width": 1.2},
        name="perfect",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=points[shown, 0].tolist(),
        y=points[shown, 1].tolist(),
        mode="markers",
        name="words",
        marker={"color": COLOURS[0], "size": 5, "opacity": 0.45},
        text=[plain(words[i]) for i in shown],
        hovertemplate="%{text}<br>people %{x:.2f}, predicted %{y:.2f}<extra></extra>",
    )
    figure.add_scatter(
        x=points[named, 0].tolist(),
        y=points[named, 1].tolist(),
        mode="markers",
        name="furthest off",
        marker={"color": COLOURS[1], "size": 7},
        text=[plain(words[i]) for i in named],
        hovertemplate="%{text}<br>people %{x:.2f}, predicted %{y:.2f}<extra></extra>",
    )
    share = (points[named] - low) / (high - low)
    names = [words[i] for i in named]
    positions = [(float(x), float(y)) for x, y in points[named]]

    def labels(side: int, most: int, font: int) -> list[dict[str, object]]:
        anchors = [(float(x * side), float((1 - y) * side)) for x, y in share[:most]]
        centres = place_labels(anchors, names[:most], anchors, (side, side), font_size=font)
        shown = [plain(name) for name in names[:most]]
        return annotate(shown, positions[:most], anchors, centres, font_size=font)

    thinned = f" {len(shown):,} of {len(points):,} words are drawn." if len(shown) < len(points) else ""
    finish(
        figure,
        title,
        f"Each point is a word; on the dashed line the prediction is perfect. Named: the {len(named)} words that are "
        f"furthest off.{thinned}",
        height=_SIDE,
        width=_SIDE + 88,
        min_width=_SIDE + 88,
        legend=("perfect", "words", "furthest off"),
        narrow={"annotations": labels(_NARROW_SIDE, _NARROW_NAMED, 10)},
        narrow_height=_NARROW_SIDE,
        narrow_traces={1: {"marker.size": 3}, 2: {"marker.size": 5}},
    )
    figure.update_layout(annotations=labels(_SIDE, len(names), 12))
    figure.update_xaxes(title="human rating", range=[low, high], automargin=False)
    figure.update_yaxes(title="predicted rating", range=[low, high], automargin=False)
    return figure
