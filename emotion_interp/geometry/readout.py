"""Read-out: can valence and arousal of an emotion be predicted from its vector, learnt on all other emotions?

Leave-one-emotion-out ridge regression with an unpenalised intercept. With the hat matrix H of the fit to all emotions
the left-out predictions are linear in the ratings, (H y - h y) / (1 - h) with h the diagonal of H (Allen 1974), so the
null of 10,000 permutations is one matrix product. The mean of that null is below 0, hence the own null.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emotion_interp.geometry.space import EmotionSpace
from emotion_interp.stats.intervals import permutation_p


@dataclass(frozen=True)
class ReadoutFit:
    """r between left-out predictions and ratings, its one-sided permutation p, and Q2 = 1 - PRESS / squared error of
    predicting each emotion by the mean of the others. Arousal is NaN where the norms have none."""

    valence_r: float
    valence_p: float
    valence_q2: float
    arousal_r: float = float("nan")
    arousal_p: float = float("nan")
    arousal_q2: float = float("nan")


def leave_one_out_operator(space: EmotionSpace, ridge: float = 1.0) -> np.ndarray:
    """[emotion, emotion] matrix that turns ratings into left-out predictions.

    The penalty is `ridge` times the mean squared length of the centred vectors, so it does not depend on their units.
    """
    centred = space.centred
    n = len(centred)
    kernel = centred @ centred.T
    penalty = ridge * np.trace(kernel) / (n - 1)
    hat = np.linalg.solve(kernel + penalty * np.eye(n), kernel).T + 1 / n
    leverage = np.diag(hat).copy()
    np.fill_diagonal(hat, 0.0)
    return hat / (1 - leverage)[:, None]


def readout_dimension(operator: np.ndarray, human: np.ndarray, orders: np.ndarray) -> tuple[float, float, float]:
    """r, p and Q2 of one human dimension [emotion]."""
    n = len(human)
    predicted = operator @ human
    r = float(_row_correlation(predicted[None], human[None])[0])
    shuffled = human[orders]
    p = permutation_p(r, _row_correlation(shuffled @ operator.T, shuffled))
    baseline = (human - human.mean()) * n / (n - 1)
    return r, p, float(1 - ((human - predicted) ** 2).sum() / (baseline**2).sum())


def _row_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    first = first - first.mean(axis=1, keepdims=True)
    second = second - second.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = np.einsum("mn,mn->m", first, second)
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)


def readout_fit(
    operator: np.ndarray, valence: np.ndarray, arousal: np.ndarray | None, orders: np.ndarray
) -> ReadoutFit:
    """Both dimensions of one layer."""
    fit = readout_dimension(operator, valence, orders)
    return ReadoutFit(*fit) if arousal is None else ReadoutFit(*fit, *readout_dimension(operator, arousal, orders))
