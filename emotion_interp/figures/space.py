"""Human and model circumplex in one picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from emotion_interp.core import NotFiniteError
from emotion_interp.figures.labels import annotate, free_labels, place_labels, telling_order
from emotion_interp.figures.picture import Picture
from emotion_interp.figures.theme import COLOURS, checked, finish, plain, rgba

_SIDE, _NARROW_SIDE = 600, 300
_ALL_NAMED = 30
"""Up to so many emotions every name is shown; of more, those that moved furthest and a spread over the plane."""
_COVARIANCE = ("model_var_x", "model_var_y", "model_cov")
_CHI_SQUARE = 5.991464547107979
"""95% point of chi-square with 2 degrees of freedom: the squared size of the ellipse in standard deviations."""


# Long: one picture, drawn trace after trace.
def circumplex(frame: pd.DataFrame, *, title: str = "Human and model circumplex") -> go.Figure:
    """Each emotion where people put it and where the model puts it, joined by a thin line.

    Names stand beside people's points. Of more than 30 emotions only some are named (those that moved furthest, and a
    spread over the plane, where there is room); the others show their name under the pointer.

    Args:
        frame: columns `emotion, human_valence, human_arousal, model_x, model_y`, human and model on one scale (after
            Procrustes). Optional: the sampling covariance of the model's point, `model_var_x, model_var_y, model_cov`,
            drawn as a 95% ellipse; or intervals `model_x_lo, model_x_hi, model_y_lo, model_y_hi`, drawn as a cross.
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
    needed = ("emotion", "human_valence", "human_arousal", "model_x", "model_y")
    intervals = ("model_x_lo", "model_x_hi", "model_y_lo", "model_y_hi")
    frame = checked(frame, "circumplex", needed, (*needed[1:], *intervals, *_COVARIANCE))
    if frame[list(needed[1:])].isna().to_numpy().any():
        raise NotFiniteError("circumplex: every emotion needs all four coordinates; drop the emotions that lack one.")
    human = frame[["human_valence", "human_arousal"]].to_numpy(dtype=float)
    model = frame[["model_x", "model_y"]].to_numpy(dtype=float)
    names = [str(e) for e in frame["emotion"]]
    order = list(range(len(names))) if len(names) <= _ALL_NAMED else telling_order(list(model), list(human), len(names))
    rings = _ellipses(frame, model)
    # of many ellipses only those of the emotions that moved furthest or stand apart: all would be one stain
    drawn = [rings[i] for i in order[:_ALL_NAMED] if rings[i] is not None]
    both = np.concatenate([human, model, *drawn])
    middle = (both.max(axis=0) + both.min(axis=0)) / 2
    reach = float(max((both.max(axis=0) - both.min(axis=0)).max() / 2, 1e-6)) * 1.12
    low, high = middle - reach, middle + reach

    figure = Picture()
    if drawn:
        gapped = np.concatenate([part for ring in drawn for part in (ring, np.full((1, 2), np.nan))])
        figure.add_scatter(
            x=gapped[:, 0].tolist(),
            y=gapped[:, 1].tolist(),
            mode="lines",
            fill="toself",
            fillcolor=rgba(COLOURS[1], 0.10),
            line={"color": rgba(COLOURS[1], 0.3), "width": 0.7},
            hoverinfo="skip",
            name="model, 95%",
        )
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
    if all(name in frame.columns and frame[name].notna().any() for name in intervals):
        spread = {name: frame[name].to_numpy(dtype=float) for name in intervals}
        thin = {"type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": "rgba(213,94,0,.45)"}
        error_x = thin | {"array": spread["model_x_hi"] - model[:, 0], "arrayminus": model[:, 0] - spread["model_x_lo"]}
        error_y = thin | {"array": spread["model_y_hi"] - model[:, 1], "arrayminus": model[:, 1] - spread["model_y_lo"]}
    shown = [plain(name) for name in names]
    size = 9 if len(names) <= 60 else 6
    for points, name, colour, symbol, errors in (
        (human, "people", COLOURS[0], "circle-open", {}),
        (model, "model", COLOURS[1], "circle", {"error_x": error_x, "error_y": error_y}),
    ):
        figure.add_scatter(
            x=points[:, 0].tolist(),
            y=points[:, 1].tolist(),
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": size, "line": {"width": size / 5, "color": colour}},
            text=shown,
            hovertemplate="%{text} (" + name + ")<br>%{x:.2f}, %{y:.2f}<extra></extra>",
            **errors,
        )
    labels, narrow_labels = (
        _labels(order, human, model, names, low, high, side, font, size)
        for side, font in ((_SIDE, 12 if len(names) <= 60 else 11), (_NARROW_SIDE, 10))
    )
    line = (
        "Open circles: where people place the emotion. Filled: the model, turned and scaled onto people's ratings. The "
        "shorter the line between the two, the better they agree; filled points crowded in the middle mean that the "
        "model does not tell these emotions apart in people's way."
    )
    if drawn:
        which = "" if len(names) <= _ALL_NAMED else f" ({len(drawn)} of {len(names)} drawn)"
        line += f" Ellipses{which}: where 95% of the model's points would lie with other texts of the emotion."
    if len(labels) < len(names):
        line += f" Only some of the {len(names)} emotions are named; point at any other for its name."
    first = 2 if drawn else 1
    markers = {"marker.size": 6 if len(names) <= 60 else 4, "marker.line.width": 1.2}
    finish(
        figure,
        title,
        line,
        height=_SIDE,
        width=_SIDE + 64 + 24,
        min_width=_SIDE + 64 + 24,
        legend=(*(["model, 95%"] if drawn else []), "people", "model"),
        narrow={"annotations": narrow_labels},
        narrow_height=_NARROW_SIDE,
        narrow_traces={first: markers, first + 1: markers},
    )
    figure.update_layout(annotations=labels)
    # the labels were placed for this exact size, so nothing may move the margins
    figure.update_xaxes(title="valence (unpleasant to pleasant)", range=[low[0], high[0]], automargin=False)
    figure.update_yaxes(title="arousal (calm to excited)", range=[low[1], high[1]], automargin=False)
    return figure


def _labels(
    order: list[int],
    human: np.ndarray,
    model: np.ndarray,
    names: list[str],
    low: np.ndarray,
    high: np.ndarray,
    side: int,
    font: int,
    point: int,
) -> list[dict[str, object]]:
    """Names beside people's points on a square of `side` pixels: all where that is possible, else those with room."""

    def pixels(points: np.ndarray) -> list[tuple[float, float]]:
        share = (points - low) / (high - low)
        return [(float(x * side), float((1 - y) * side)) for x, y in share]

    anchors = pixels(human)
    obstacles = [*anchors, *pixels(model)]
    if side == _SIDE and len(names) <= _ALL_NAMED:
        centres = dict(enumerate(place_labels(anchors, names, obstacles, (side, side), font_size=font)))
    else:
        radius = point / 2 if side == _SIDE else 3.0
        rings = 3 if side == _SIDE else 2
        centres = free_labels(
            order, anchors, names, obstacles, (side, side), font_size=font, point_radius=radius, rings=rings
        )
    ordered = sorted(centres)
    return annotate(
        [plain(names[i]) for i in ordered],
        [(float(human[i, 0]), float(human[i, 1])) for i in ordered],
        [anchors[i] for i in ordered],
        [centres[i] for i in ordered],
        font_size=font,
    )


def _ellipses(frame: pd.DataFrame, model: np.ndarray) -> list[np.ndarray | None]:
    """The closed 95% ellipse [corner, 2] of each model point; None where its covariance is unknown."""
    if any(name not in frame.columns for name in _COVARIANCE):
        return [None] * len(model)
    circle = np.linspace(0, 2 * np.pi, 37)
    unit = np.column_stack([np.cos(circle), np.sin(circle)])
    ellipses: list[np.ndarray | None] = []
    for point, (xx, yy, xy) in zip(model, frame[list(_COVARIANCE)].to_numpy(dtype=float), strict=True):
        if not np.isfinite([xx, yy, xy]).all():
            ellipses.append(None)
            continue
        values, axes = np.linalg.eigh([[xx, xy], [xy, yy]])
        ellipses.append(point + unit * np.sqrt(np.maximum(values, 0) * _CHI_SQUARE) @ axes.T)
    return ellipses
