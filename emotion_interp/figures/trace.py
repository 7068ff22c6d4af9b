"""Emotion strengths along the tokens of one text."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from emotion_interp.core.frames import rows_where
from emotion_interp.figures.picture import Picture
from emotion_interp.figures.theme import DIVERGING, INK, SEQUENTIAL, checked, finish, only, plain, text_width

STRONG = "a dark cell means that the emotion of its row is strong"
SIGNED = "blue means that the emotion of its row is stronger than usual, orange that it is weaker"
"""What a reader is told of the colours; "usual" is what the values count from."""


def _tick(token: object) -> str:
    text = str(token).replace("\n", "↵").replace("\t", "⇥")
    text = text.strip(" ") or "␣"
    return plain(text if len(text) <= 16 else text[:15] + "…")


def trace_heatmap(
    frame: pd.DataFrame, *, layer: int | None = None, title: str = "Emotions along the text"
) -> go.Figure:
    """Emotions (rows) by tokens (columns): when does which emotion rise?

    Args:
        frame: columns `position, token, emotion, value`; optional `layer`, and `speaker`, whose turns are marked above.
        layer: which layer, where the frame holds several.
        title: the figure's title.

    Raises:
        EmotionInterpError: missing columns, no rows, or several layers and none chosen.
        UnknownNameError: the layer is not in the frame.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"position": [0, 1], "token": ["She", " wept"], "emotion": "sadness", "value": [0., 2.]})
        >>> trace_heatmap(frame).layout.xaxis.ticktext
        ('She', 'wept')
    """
    frame = checked(frame, "trace_heatmap", ("position", "token", "emotion", "value"), ("position", "value"))
    frame = only(frame, "layer", layer, "trace_heatmap")
    return _heatmap(frame, title, bool((frame["value"] < 0).any()))


def _heatmap(frame: pd.DataFrame, title: str, signed: bool) -> go.Figure:
    """One layer's map, in colours for both signs or for one."""
    emotions = list(dict.fromkeys(frame["emotion"]))
    tokens = frame.drop_duplicates("position").sort_values("position")
    positions = tokens["position"].tolist()
    table = frame.pivot_table(index="emotion", columns="position", values="value", dropna=False)
    table = table.reindex(index=emotions, columns=positions)
    names = [_tick(token) for token in tokens["token"]]
    speakers = [plain(str(speaker)) for speaker in tokens["speaker"]] if "speaker" in tokens else []
    said = [
        f"{speaker}: {name}" if speaker else name
        for speaker, name in zip(speakers or [""] * len(names), names, strict=True)
    ]
    figure = Picture(
        go.Heatmap(
            z=table.to_numpy(),
            x=list(range(len(positions))),
            y=[plain(e) for e in emotions],
            colorscale=DIVERGING if signed else SEQUENTIAL,
            zmid=0 if signed else None,
            zmin=None if signed else 0,
            xgap=1,
            ygap=1,
            customdata=[said] * len(emotions),
            colorbar={"title": {"text": "strength"}, "thickness": 14},
            hovertemplate="%{customdata}<br>%{y} %{z:.3f}<extra></extra>",
        )
    )
    finish(
        figure,
        title,
        f"Read from left to right like the text: {SIGNED if signed else STRONG} at that token.",
        # the names of the tokens stand upright below and take their room from the plot
        height=round(max(130, 20 * len(emotions) + 30) + max(text_width(name, 11) for name in names)),
        min_width=max(360, 22 * len(positions) + 220),
        narrow_min_width=max(340, 14 * len(positions) + 170),
        head=16 if speakers else 0,
    )
    ticks = list(range(len(positions)))
    figure.update_xaxes(title="token", tickvals=ticks, ticktext=names, tickangle=-90, showgrid=False)
    figure.update_yaxes(title="emotion", type="category", autorange="reversed", showgrid=False, dtick=1)
    if speakers:
        _mark_turns(figure, speakers)
    figure.update_xaxes(tickfont={"size": 11})
    figure.update_yaxes(tickfont={"size": 11})
    return figure


def trace_layers(
    frame: pd.DataFrame, *, start: int = 0, title: str = "Emotions along the text, layer by layer"
) -> go.Figure:
    """`trace_heatmap` of every layer, with a slider over the layers; one colour scale for all.

    Args:
        frame: columns `layer, position, token, emotion, value`.
        start: place of the layer that is shown first.
        title: the figure's title, to which the layer in view is added.

    Raises:
        EmotionInterpError: missing columns, or no rows.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"layer": [0, 1], "position": 0, "token": "wept", "emotion": "sadness", "value": [0.0, 2.0]})
        >>> [step.label for step in trace_layers(frame).layout.sliders[0].steps]
        ['0', '1']
    """
    frame = checked(frame, "trace_layers", ("layer", "position", "token", "emotion", "value"), ("position", "value"))
    # several SAEs at one layer are steps of their own
    place = "site" if "site" in frame and frame["site"].nunique() > frame["layer"].nunique() else "layer"
    steps = list(dict.fromkeys(frame[place]))
    start = min(max(start, 0), len(steps) - 1)
    prefix = "" if any(place in str(step) for step in steps) else f"{place} "
    # the slider is no part of a printed picture, so that the title says what is shown
    titles = [f"{title}: {prefix}{step}" for step in steps]
    largest = float(frame["value"].abs().max()) or 1.0
    signed = bool((frame["value"] < 0).any())
    figure = _heatmap(rows_where(frame, frame[place] == steps[start]), titles[start], signed)
    # typed Any: Plotly builds its attributes at run time
    hover: Any = figure.data[0]
    bar = hover.colorbar
    scale = {"zmin": -largest if signed else 0, "zmax": largest, "zmid": None}
    scale["colorscale"] = DIVERGING if signed else SEQUENTIAL
    maps = []
    for number, step in enumerate(steps):
        drawn = _heatmap(rows_where(frame, frame[place] == step), title, signed).data[0]
        maps.append(
            drawn.update(scale).update(visible=number == start, colorbar=bar, hovertemplate=hover.hovertemplate)
        )
    layout = figure.layout
    result = Picture(maps, layout)
    shown = [[number == step for number in range(len(steps))] for step in range(len(steps))]
    slider = {
        "active": start,
        "currentvalue": {"prefix": prefix},
        "pad": {"t": 10},
        "y": 0,
        "yanchor": "top",
        "steps": [
            {
                "label": str(step),
                "method": "update",
                "args": [{"visible": visible}, {"title.text": f"<b>{plain(named)}</b>"}],
            }
            for step, visible, named in zip(steps, shown, titles, strict=True)
        ],
    }
    bottom = float(layout.margin.b or 80)
    result.update_layout(
        sliders=[slider | {"pad": {"t": bottom}}], margin_b=bottom + 90, height=float(layout.height or 450) + 90
    )
    return result


def _mark_turns(figure: go.Figure, speakers: list[str]) -> None:
    """A line where the speaker changes, and whose turn it is, above the map."""
    starts = [k for k, speaker in enumerate(speakers) if k == 0 or speakers[k - 1] != speaker]
    for start, stop in zip(starts, [*starts[1:], len(speakers)], strict=True):
        if start:
            figure.add_vline(x=start - 0.5, line={"color": INK, "width": 1})
        if speakers[start]:
            # a short turn has no room for its speaker's whole name
            name = speakers[start] if stop - start > 3 else speakers[start][:1]
            figure.add_annotation(
                x=start - 0.5,
                y=1,
                yref="paper",
                yanchor="bottom",
                xanchor="left",
                text=name,
                hovertext=speakers[start],
                showarrow=False,
                font={"size": 11},
            )
