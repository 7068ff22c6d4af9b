"""What every room speaks: sites, directions, stimuli, errors, atomic files, seeds."""

from emotion_interp.core.errors import (
    EmotionInterpError,
    FileFormatError,
    NotFiniteError,
    UnknownNameError,
    UnsupportedError,
)
from emotion_interp.core.types import KINDS, WRITABLE_KINDS, Direction, Site, Stimulus, sites_at

__all__ = [
    "KINDS",
    "WRITABLE_KINDS",
    "Direction",
    "EmotionInterpError",
    "FileFormatError",
    "NotFiniteError",
    "Site",
    "Stimulus",
    "UnknownNameError",
    "UnsupportedError",
    "sites_at",
]
