"""Human and model circumplex in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emotion_interp.core import NotFiniteError
from emotion_interp.figures.labels import annotate, place_labels
from emotion_interp.figures.theme import COLOURS, checked, finish, plain

if TYPE_CHECKING:
    import plotly.graph_objects as go

_SIDE = 600


def circumplex(frame: Any, *, title: str = "Human and model circumplex") -> go.Figure:
    """Each emotion where people put it and where the model puts it, joined by a thin line.

    Args:
        frame: columns `emotion, human_valence, human_arousal, model_x, model_y`, human and model on one scale (after
            Procrustes); optional intervals `model_x_lo, model_x_hi, model_y_lo, model_y_hi` of the model's points.
        title: the figure's title.

    Raises:
        EmotionInterpError: missing columns or no rows.
        NotFiniteError: a coordinate is NaN or infinite.

    Example:
        >>> import pandas as pd
        >>> row = {"emotion": "joy", "human_valence": 1, "human_arousal": .5, "model_x": .9, "model_y": .4}
        >>> len(circumplex(pd.DataFrame([row])).layout.annotations)
        1
    """
    import numpy as np
    import plotly.graph_objects as go

    needed = ("emotion", "human_valence", "human_arousal", "model_x", "model_y")
    intervals = ("model_x_lo", "model_x_hi", "model_y_lo", "model_y_hi")
    frame = checked(frame, "circumplex", needed, (*needed[1:], *intervals))
    if frame[list(needed[1:])].isna().to_numpy().any():
        raise NotFiniteError("circumplex: every emotion needs all four coordinates; drop the emotions that lack one.")
    human = frame[["human_valence", "human_arousal"]].to_numpy(dtype=float)
    model = frame[["model_x", "model_y"]].to_numpy(dtype=float)
    both = np.concatenate([human, model])
    middle = (both.max(axis=0) + both.min(axis=0)) / 2
    reach = float(max((both.max(axis=0) - both.min(axis=0)).max() / 2, 1e-6)) * 1.22
    low, high = middle - reach, middle + reach

    def pixels(points: np.ndarray) -> list[tuple[float, float]]:
        share = (points - low) / (high - low)
        return [(float(x * _SIDE), float((1 - y) * _SIDE)) for x, y in share]

    names = [str(e) for e in frame["emotion"]]
    figure = go.Figure()
    joined = np.full((3 * len(frame), 2), np.nan)
    joined[0::3], joined[1::3] = human, model
    figure.add_scatter(
        x=joined[:, 0].tolist(),
        y=joined[:, 1].tolist(),
        mode="lines",
        line={"color": "#b8c2cc", "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    error_x = error_y = None
    if all(name in frame.columns for name in intervals):
        spread = {name: frame[name].to_numpy(dtype=float) for name in intervals}
        thin = {"type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": "rgba(213,94,0,.45)"}
        error_x = thin | {"array": spread["model_x_hi"] - model[:, 0], "arrayminus": model[:, 0] - spread["model_x_lo"]}
        error_y = thin | {"array": spread["model_y_hi"] - model[:, 1], "arrayminus": model[:, 1] - spread["model_y_lo"]}
    shown = [plain(name) for name in names]
    for points, name, colour, symbol, errors in (
        (human, "people", COLOURS[0], "circle-open", {}),
        (model, "model", COLOURS[1], "circle", {"error_x": error_x, "error_y": error_y}),
    ):
        figure.add_scatter(
            x=points[:, 0].tolist(),
            y=points[:, 1].tolist(),
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": 9, "line": {"width": 2, "color": colour}},
            text=shown,
            hovertemplate="%{text} (" + name + ")<br>%{x:.2f}, %{y:.2f}<extra></extra>",
            **errors,
        )
    anchors = pixels(model)
    centres = place_labels(anchors, names, [*anchors, *pixels(human)], (_SIDE, _SIDE))
    annotations = annotate(shown, [(float(x), float(y)) for x, y in model], anchors, centres)
    margins = 64 + 24
    finish(
        figure,
        title,
        "Open circles: where people place the emotion. Filled: the model. The shorter the line between the two, the "
        "better they agree; names stand beside the model's point.",
        height=_SIDE,
        width=_SIDE + margins,
        min_width=_SIDE + margins,
        legend=("people", "model"),
    )
    figure.update_layout(annotations=annotations)
    # the labels were placed for this exact size, so nothing may move the margins
    figure.update_xaxes(title="valence (unpleasant to pleasant)", range=[low[0], high[0]], automargin=False)
    figure.update_yaxes(title="arousal (calm to excited)", range=[low[1], high[1]], automargin=False)
    return figure
