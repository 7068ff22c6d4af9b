"""Pictures from frames alone: frame in, Plotly figure out."""

from emotion_interp.figures.components import pc_heatmap
from emotion_interp.figures.curves import learning_curves
from emotion_interp.figures.depths import depth_curves
from emotion_interp.figures.dissimilarity import dissimilarity_pair
from emotion_interp.figures.doses import dose_curves
from emotion_interp.figures.dots import dot_rows
from emotion_interp.figures.features import feature_heatmap
from emotion_interp.figures.layers import layer_curves, series_curves
from emotion_interp.figures.predictions import predicted_vs_human
from emotion_interp.figures.simple import interval_rows, named_points, square_heatmap
from emotion_interp.figures.space import circumplex
from emotion_interp.figures.trace import trace_heatmap

__all__ = [
    "circumplex",
    "depth_curves",
    "dissimilarity_pair",
    "dose_curves",
    "dot_rows",
    "feature_heatmap",
    "interval_rows",
    "layer_curves",
    "learning_curves",
    "named_points",
    "pc_heatmap",
    "predicted_vs_human",
    "series_curves",
    "square_heatmap",
    "trace_heatmap",
]
