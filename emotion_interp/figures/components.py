"""Which principal component carries valence, which arousal, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from plotly.subplots import make_subplots

from emotion_interp.figures.picture import Picture
from emotion_interp.figures.theme import DIVERGING, NarrowChoices, checked, finish

if TYPE_CHECKING:
    import plotly.graph_objects as go


def pc_heatmap(frame: pd.DataFrame, *, title: str = "Principal components against valence and arousal") -> go.Figure:
    """Correlation of each principal component with human valence (left) and arousal (right), by layer.

    Args:
        frame: columns `layer, pc, r_valence, r_arousal`; `pc` counted from 1.
        title: the figure's title.

    Raises:
        EmotionInterpError: missing columns or no rows.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"layer": [0, 0], "pc": [1, 2], "r_valence": [.8, .1], "r_arousal": [0., -.5]})
        >>> [trace.type for trace in pc_heatmap(frame).data]
        ['heatmap', 'heatmap']
    """
    needed = ("layer", "pc", "r_valence", "r_arousal")
    frame = checked(frame, "pc_heatmap", needed, needed[2:])
    layers = sorted(set(frame["layer"]))
    components = sorted(set(frame["pc"]))
    figure = make_subplots(
        figure=Picture(), cols=2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=["valence", "arousal"]
    )
    written = len(layers) <= 16 and len(components) <= 12
    for col, name in ((1, "r_valence"), (2, "r_arousal")):
        table = frame.pivot_table(index="layer", columns="pc", values=name).reindex(index=layers, columns=components)
        figure.add_heatmap(
            z=table.to_numpy(),
            x=[f"PC{pc}" for pc in components],
            y=[str(layer) for layer in layers],
            zmin=-1,
            zmax=1,
            zmid=0,
            colorscale=DIVERGING,
            xgap=1,
            ygap=1,
            showscale=col == 2,
            colorbar={"title": {"text": "r"}, "thickness": 14},
            texttemplate="%{z:.2f}" if written else None,
            textfont={"size": 11},
            hovertemplate="layer %{y}, %{x}<br>r = %{z:.3f}<extra></extra>",
            row=1,
            col=col,
        )
    finish(
        figure,
        title,
        "Strong colour (blue or orange): that component follows what people say. The sign of a component is arbitrary; "
        "valence need not be PC1.",
        height=max(150, 30 * len(layers) + 60),
        min_width=min(90, max(44, 900 // (2 * len(components)))) * 2 * len(components) + 140,
        head=20,
        **_stacked(len(layers)),
    )
    figure.update_xaxes(title="principal component", type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False)
    figure.update_yaxes(title="layer", row=1, col=1)
    return figure


def _stacked(layers: int) -> NarrowChoices:
    """For a phone: arousal below valence."""
    panel = max(110, 24 * layers)
    gap = 44
    height = 2 * panel + 2 * gap + 10
    upper, lower = 1 - panel / height, (gap + 10) / height
    return {
        "narrow": {
            "xaxis.domain": [0, 1],
            "xaxis2.domain": [0, 1],
            "xaxis.title.text": "",
            "yaxis.domain": [upper, 1],
            "yaxis2.domain": [lower, lower + panel / height],
            "yaxis2.showticklabels": True,
            "yaxis2.title.text": "layer",
            "margin.b": 64,
            "annotations.0.x": 0.5,
            "annotations.1.x": 0.5,
            "annotations.1.y": lower + panel / height,
            **{f"{axis}.tickfont.size": 9 for axis in ("xaxis", "xaxis2")},
        },
        "narrow_height": height,
        "narrow_traces": {
            0: {"textfont.size": 8},
            1: {
                "textfont.size": 8,
                "colorbar.orientation": "h",
                "colorbar.len": 0.7,
                "colorbar.title.text": "r of PC ",
                "colorbar.y": 0,
                "colorbar.yref": "container",
                "colorbar.yanchor": "bottom",
                "colorbar.thickness": 10,
                "colorbar.title.side": "right",
            },
        },
    }
