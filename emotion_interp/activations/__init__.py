"""Read a subject in one pass: positions, batching, early exit, sparse pooling."""

from emotion_interp.activations.forward import forward_pass
from emotion_interp.activations.reading import Position, SiteReadings, read_stimuli, read_units, site_scale
from emotion_interp.activations.tokens import TokenReadings, read_tokens

__all__ = [
    "Position",
    "SiteReadings",
    "TokenReadings",
    "forward_pass",
    "read_stimuli",
    "read_tokens",
    "read_units",
    "site_scale",
]
