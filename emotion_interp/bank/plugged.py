"""Kinds of direction that other distributions add (entry points `emotion_interp.directions`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.plugins import plugged, plugins
from emotion_interp.core.types import Site

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank


def plugged_vector(bank: FeatureBank, emotion: str, site: Site, language: str, method: str) -> np.ndarray:
    """What the plug-in of a kind of direction makes of the bank: `function(bank, emotion, site, language)` -> [d_model].

    Raises:
        UnknownNameError: no plug-in has the name.
        EmotionInterpError: what it made is no vector of the site's size.
    """
    made = plugged("directions", method, bank, emotion, site, language)
    if made is None:
        raise UnknownNameError("direction method", method, [*bank.methods, *plugins("directions")])
    vector = np.asarray(made, dtype=np.float32)
    sizes = {len(table[0]) for key, table in bank.directions.items() if key.site == site}
    if vector.ndim != 1 or (sizes and len(vector) not in sizes):
        raise EmotionInterpError(
            f"the plug-in {method!r} made an array of shape {vector.shape}, where a direction at {site} has "
            f"{', '.join(map(str, sorted(sizes)))} numbers."
        )
    return vector
