"""Curves over the number of training words."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from emotion_interp.figures.theme import COLOURS, band, checked, curve, finish, plain, rgba


def learning_curves(frame: pd.DataFrame, *, title: str = "Learning curve", y_title: str = "r") -> go.Figure:
    """One line per series over the number of training words, on a logarithmic axis.

    Args:
        frame: columns `n_words_train, series, value`; optional `lo, hi` (interval) and `ceiling` (best possible value).
        title: the figure's title.
        y_title: what the value is.

    Raises:
        EmotionInterpError: missing columns or no rows.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"n_words_train": [250, 1000], "series": "all", "value": [.2, .5]})
        >>> learning_curves(frame).data[0].name
        'all'
    """
    optional = ("lo", "hi", "ceiling")
    frame = checked(
        frame, "learning_curves", ("n_words_train", "series", "value"), ("n_words_train", "value", *optional)
    )
    frame = frame.sort_values("n_words_train", kind="stable")
    has = {name: name in frame.columns and bool(frame[name].notna().any()) for name in optional}
    figure = go.Figure()
    legend: list[str] = []
    for i, name in enumerate(dict.fromkeys(frame["series"])):
        rows = frame[frame["series"] == name]
        colour = COLOURS[i % len(COLOURS)]
        x = rows["n_words_train"].tolist()
        if has["lo"] and has["hi"]:
            band(figure, x, rows["lo"], rows["hi"], rgba(colour, 0.13), legendgroup=str(name))
        curve(figure, x, rows["value"], name, i, "%{x:,} words")
        legend.append(str(name))
    sizes = sorted(set(frame["n_words_train"].tolist()))
    if has["ceiling"]:
        figure.add_scatter(
            x=[sizes[0], sizes[-1]],
            y=[float(frame["ceiling"].max())] * 2,
            mode="lines",
            name="ceiling",
            line={"color": "#7b8794", "width": 1.2, "dash": "dot"},
            hovertemplate="ceiling %{y:.3f}<extra></extra>",
        )
        legend.append("ceiling")
    standing = "A curve that still rises would gain from more words; one that is flat has learnt what is there."
    standing += " Shaded: the interval over the test words." if has["lo"] and has["hi"] else ""
    standing += " Dotted: the best that the human ratings allow." if has["ceiling"] else ""
    finish(figure, title, standing, height=330, legend=tuple(legend), narrow_height=240)
    figure.update_xaxes(title="training words", type="log", tickvals=sizes, ticktext=[f"{n:,.0f}" for n in sizes])
    figure.update_yaxes(title=plain(y_title))
    return figure
