"""PC scan: which principal component of the emotion space runs along human valence, and which along arousal?

Valence is not always the first component (FIELD.md: it may be the third or ninth after instruction tuning), so the
first ten are scanned and the price of scanning is paid in the null: the largest |r| over components, under joint
permutations of the human (valence, arousal) rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emotion_interp.core import EmotionInterpError
from emotion_interp.geometry.resampling import ResampledComponents
from emotion_interp.geometry.space import EmotionSpace
from emotion_interp.stats.intervals import NO_INTERVAL, Interval, permutation_p

N_COMPONENTS = 10


@dataclass(frozen=True)
class ComponentFit:
    """The component that fits one human dimension best.

    `pc` is counted from 1. The sign of a component is arbitrary (here: its largest score is positive), so the sign of
    `r` means nothing by itself; the component is picked by |r|. `ci` (also `ci_emotions`): 95% BCa interval over
    emotions of the r of that component, the components fitted anew in each sample; it does not know that the component
    was picked, unless `heldout`, where the component was picked on one half of the words and `r` and `ci` come from the
    other. `ci_words`: 95% interval (bias-corrected bootstrap) over the words or texts behind the emotions, NaN where the space carries no
    units or halves were given. `p` is corrected for scanning components, `p_layers` for scanning components and layers
    (None outside `align_layers`).
    """

    pc: int
    r: float
    ci: Interval
    p: float
    r_by_pc: tuple[float, ...]
    p_layers: float | None = None
    heldout: bool = False
    ci_words: Interval = NO_INTERVAL

    @property
    def ci_emotions(self) -> Interval:
        """`ci`."""
        return self.ci


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components: `scores` [emotion, pc], `loadings` [pc, dimension], `explained` share of variance [pc]."""

    scores: np.ndarray
    loadings: np.ndarray
    explained: np.ndarray

    @property
    def unit_scores(self) -> np.ndarray:
        """Scores at length one; their products with a centred unit vector are correlations."""
        return self.scores / np.linalg.norm(self.scores, axis=0)


def principal_components(space: EmotionSpace, n_components: int = N_COMPONENTS) -> Components:
    """The first components of the centred space, as many as its rank allows.

    Example:
        >>> space = EmotionSpace([[0.0, 0.0], [2.0, 0.0], [4.0, 0.1]], ["a", "b", "c"])
        >>> principal_components(space).scores.shape
        (3, 2)
    """
    left, singular, right = np.linalg.svd(space.centred, full_matrices=False)
    rank = int(min(n_components, (singular > singular[0] * 1e-10).sum()))
    scores = left[:, :rank] * singular[:rank]
    signs = np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(rank)])
    return Components(scores * signs, right[:rank] * signs[:, None], singular[:rank] ** 2 / (singular**2).sum())


def unit(values: np.ndarray) -> np.ndarray:
    """Centred, at length one."""
    centred = values - values.mean()
    return centred / np.linalg.norm(centred)


def scan(
    components: Components,
    human: np.ndarray,
    orders: np.ndarray,
    *,
    resampled: ResampledComponents | None = None,
    halves: tuple[EmotionSpace, EmotionSpace] | None = None,
) -> tuple[ComponentFit, np.ndarray]:
    """Scan the components for one human dimension [emotion]; the fit, and the null of max |r| over PCs [permutation].

    `resampled`: the components under resampling of the emotions (of the first half, read from the second, where there
    are halves), for the interval.
    """
    target = unit(human)
    r_by_pc = components.unit_scores.T @ target
    null = np.abs(target[orders] @ components.unit_scores).max(axis=1) if len(orders) else np.zeros(0)
    best = int(np.abs(r_by_pc).argmax())
    r = float(r_by_pc[best])
    p = permutation_p(abs(r), null)
    if halves is not None:
        best, scores = _picked_on_one_half(halves, target, components.scores.shape[1])
        if np.ptp(scores) == 0:
            raise EmotionInterpError("the second half of the words has no spread along the component of the first.")
        r = float(unit(scores) @ target)
    ci = NO_INTERVAL if resampled is None else resampled.interval(best, human)
    fit = ComponentFit(best + 1, r, ci, p, tuple(float(v) for v in r_by_pc), heldout=halves is not None)
    return fit, null


def _picked_on_one_half(
    halves: tuple[EmotionSpace, EmotionSpace], target: np.ndarray, n_components: int
) -> tuple[int, np.ndarray]:
    first, second = halves
    components = principal_components(first, n_components)
    best = int(np.abs(components.unit_scores.T @ target).argmax())
    return best, second.centred @ components.loadings[best]
