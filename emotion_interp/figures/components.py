"""Which principal component carries valence, which arousal, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emotion_interp.figures.theme import DIVERGING, checked, finish

if TYPE_CHECKING:
    import plotly.graph_objects as go


def pc_heatmap(frame: Any, *, title: str = "Principal components against valence and arousal") -> go.Figure:
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
    from plotly.subplots import make_subplots

    needed = ("layer", "pc", "r_valence", "r_arousal")
    frame = checked(frame, "pc_heatmap", needed, needed[2:])
    layers = sorted(set(frame["layer"]))
    components = sorted(set(frame["pc"]))
    figure = make_subplots(cols=2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=["valence", "arousal"])
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
        min_width=90 * len(components) + 140,
        head=20,
    )
    figure.update_xaxes(title="principal component", type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False)
    figure.update_yaxes(title="layer", row=1, col=1)
    return figure
