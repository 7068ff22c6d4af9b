"""Heat map of the top features of every emotion."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from emotion_interp.figures.picture import Picture
from emotion_interp.figures.theme import DIVERGING, SEQUENTIAL, checked, finish, only, plain


# Long: one picture, drawn trace after trace.
def feature_heatmap(
    frame: pd.DataFrame,
    *,
    layer: int | None = None,
    language: str | None = None,
    per_emotion: int = 1,
    value_name: str = "AUROC",
    title: str | None = None,
) -> go.Figure:
    """Features (rows) by emotions (columns): how strongly the top features of each emotion answer to every emotion.

    Args:
        frame: columns `layer, language, emotion, feature, value`; one row per feature and emotion.
        layer: which layer, where the frame holds several.
        language: which language, where the frame holds several.
        per_emotion: how many features to show for each emotion.
        value_name: what `value` is; "AUROC" is coloured from chance (.5) upwards.
        title: the figure's title; default: names the layer and language.

    Raises:
        EmotionInterpError: missing columns, no rows, or several layers and none chosen.
        UnknownNameError: the layer or language is not in the frame.

    Example:
        >>> import pandas as pd
        >>> rows = [(0, "en", e, f, .9 if i == f else .5) for i, e in enumerate(["joy", "fear"]) for f in (0, 1)]
        >>> feature_heatmap(pd.DataFrame(rows, columns=["layer", "language", "emotion", "feature", "value"])).data[0].type
        'heatmap'
    """
    columns = ("layer", "language", "emotion", "feature", "value")
    frame = checked(frame, "feature_heatmap", columns, ("value",))
    frame = only(only(frame, "layer", layer, "feature_heatmap"), "language", language, "feature_heatmap")
    emotions = list(dict.fromkeys(frame["emotion"]))
    table = frame.groupby(["feature", "emotion"], sort=False)["value"].mean().unstack("emotion")[emotions]
    tops: dict[object, list[str]] = {}
    for emotion in emotions:
        for feature in table[emotion].dropna().nlargest(per_emotion).index:
            tops.setdefault(feature, []).append(str(emotion))
    table = table.loc[list(tops)]
    rows = [plain(f"{', '.join(of[:2])}{' …' if len(of) > 2 else ''} · {feature}") for feature, of in tops.items()]
    auroc = value_name.lower() == "auroc"
    signed = bool((table.to_numpy() < 0).any())
    figure = Picture(
        go.Heatmap(
            z=table.to_numpy(),
            x=[plain(e) for e in emotions],
            y=rows,
            colorscale=DIVERGING if signed else SEQUENTIAL,
            zmid=0 if signed else None,
            zmin=0.5 if auroc else None,
            zmax=1.0 if auroc else None,
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": plain(value_name)}, "thickness": 14},
            hovertemplate="feature %{y}<br>answers to %{x}<br>" + plain(value_name) + " %{z:.3f}<extra></extra>",
        )
    )
    where = f"layer {frame['layer'].iloc[0]}, {frame['language'].iloc[0]}"
    dark = "dark blue" if signed else "dark"
    finish(
        figure,
        title or f"Top features of every emotion, {where}",
        f"Each row is one feature, named by the emotion it is best for. A row {dark} in one column only belongs to that "
        f"emotion; a row {dark} all along answers to any emotion.{' Orange: below zero.' if signed else ''}",
        height=max(180, 21 * len(rows) + 90),
        min_width=max(420, 21 * len(emotions) + 260),
        # a phone holds some 30 columns of 8 pixels beside the names; more than that are scrolled
        narrow={"xaxis.tickfont.size": 8, "yaxis.tickfont.size": 8, "yaxis.title.text": "", "margin.b": 80},
        narrow_height=max(180, 15 * len(rows) + 110),
        narrow_min_width=None if len(emotions) <= 30 else 8 * len(emotions) + 120,
        narrow_traces={
            0: {
                "colorbar.orientation": "h",
                "colorbar.y": 0,
                "colorbar.yref": "container",
                "colorbar.yanchor": "bottom",
                "colorbar.thickness": 10,
                "colorbar.title.side": "right",
            }
        },
    )
    figure.update_xaxes(title="emotion of the stimuli", type="category", tickangle=-90, showgrid=False, dtick=1)
    figure.update_yaxes(title="feature", type="category", autorange="reversed", showgrid=False, dtick=1)
    figure.update_xaxes(tickfont={"size": 11})
    figure.update_yaxes(tickfont={"size": 11})
    return figure
