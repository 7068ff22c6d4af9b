"""Control features: as many outside a selection, matched for how often they fire."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotion_interp.core import EmotionInterpError
from emotion_interp.core.errors import tell
from emotion_interp.core.seeds import generator


def matched_outside(rates: np.ndarray, selected: Sequence[int] | np.ndarray, seed: int = 0) -> np.ndarray:
    """As many living features outside `selected`, each the nearest still free in log firing rate.

    Args:
        rates: [feature], the share of words on which each feature fires.
        selected: indices of the selected features.
        seed: order in which the selected features take their partner, and ties.

    Returns sorted feature indices; features that never fire are not candidates. When fewer are left outside than
    were selected, all of them are returned with a warning.

    Example:
        >>> matched_outside([0.5, 0.51, 0.1, 0.11, 0.0], [0, 2]).tolist()
        [1, 3]
    """
    rates = np.asarray(rates, dtype=np.float64).ravel()
    selected = np.unique(np.asarray(selected, dtype=int))
    if len(selected) and not (selected[0] >= 0 and selected[-1] < len(rates)):
        raise EmotionInterpError(
            f"selected features lie in 0 to {len(rates) - 1}, got {selected[0]} to {selected[-1]}."
        )
    if not np.isfinite(rates).all() or (rates < 0).any():
        raise EmotionInterpError("firing rates are finite numbers from 0.")
    outside = np.setdiff1d(np.flatnonzero(rates > 0), selected)
    if len(outside) <= len(selected):
        if len(outside) < len(selected):
            tell(f"only {len(outside)} living features lie outside the {len(selected)} selected ones; all are taken.")
        return outside
    rng = generator(seed, "matched outside")
    floor = rates[rates > 0].min()
    logs = np.log(rates[outside])
    free = np.ones(len(outside), dtype=bool)
    jitter = rng.permutation(len(outside)) * 1e-12
    for feature in rng.permutation(selected):
        distance = np.abs(logs - np.log(max(rates[feature], floor))) + jitter
        distance[~free] = np.inf
        free[distance.argmin()] = False
    return outside[~free]
