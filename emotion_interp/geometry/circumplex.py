"""Circumplex order: do the emotions lie in the same order around the circle (Russell 1980)?

Circular correlation of the angles by Fisher & Lee (1983), which needs no mean direction (around a full circle there is
none), in its closed form (Fisher 1993, eq. 6.36). It does not change when one side is turned and changes sign when one
side is mirrored, so after Procrustes it is the plain value times the sign of the fitted turn's determinant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emotion_interp.geometry.procrustes import determinants
from emotion_interp.stats.intervals import permutation_p


@dataclass(frozen=True)
class CircumplexFit:
    """Circular correlation `r` of human and model angles after Procrustes, and its one-sided permutation `p` (the
    Procrustes fit is made anew for each permutation)."""

    r: float
    p: float


def angles(points: np.ndarray) -> np.ndarray:
    """Angle of each point [emotion, 2] around the mean, in radians."""
    centred = points - points.mean(axis=0)
    return np.arctan2(centred[:, 1], centred[:, 0])


def circular_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Fisher-Lee correlation of angles; `first` [row, emotion], `second` [emotion] -> [row].

    Example:
        >>> circular_correlation(np.array([[0.0, 1.0, 2.0, 4.0]]), np.array([1.0, 2.0, 3.0, 5.0])).round(6)
        array([1.])
    """
    circle = unit_circle(first)
    return _circle_correlation(circle[..., 0], circle[..., 1], second)


def unit_circle(values: np.ndarray) -> np.ndarray:
    """Cosine and sine of angles, along a new last axis."""
    return np.stack([np.cos(values), np.sin(values)], axis=-1)


def _circle_correlation(ca: np.ndarray, sa: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The same from the cosines and sines [row, emotion] of the first angles."""
    n = len(second)
    cb, sb = np.cos(second), np.sin(second)
    numerator = 4 * ((ca @ cb) * (sa @ sb) - (ca @ sb) * (sa @ cb))
    # cos 2a = 2 cos^2 a - 1 and sin 2a = 2 sin a cos a
    doubled = 2 * np.einsum("rn,rn->r", ca, ca) - n, 2 * np.einsum("rn,rn->r", ca, sa)
    spread_first = n**2 - doubled[0] ** 2 - doubled[1] ** 2
    spread_second = n**2 - np.cos(2 * second).sum() ** 2 - np.sin(2 * second).sum() ** 2
    scale = np.sqrt(np.maximum(spread_first * spread_second, 0))
    # angles that are all equal or opposite have no order
    return np.divide(numerator, scale, out=np.zeros_like(numerator), where=scale > 1e-12)


def circumplex_fit(
    model: np.ndarray, human: np.ndarray, orders: np.ndarray, products: np.ndarray, null_products: np.ndarray
) -> CircumplexFit:
    """Order around the circle. `model`, `human` [emotion, 2]; the products as for `procrustes_fit`."""
    human_angles, model_angles = angles(human), angles(model)

    r = float(_turned(circular_correlation(human_angles[None], model_angles), products)[0])
    # the cosines of reordered angles are the reordered cosines: no trigonometry for each permutation
    circle = unit_circle(human_angles)[orders]
    null = _circle_correlation(circle[..., 0], circle[..., 1], model_angles)
    return CircumplexFit(r, permutation_p(r, _turned(null, null_products)))


def _turned(values: np.ndarray, products: np.ndarray) -> np.ndarray:
    return np.where(determinants(products) < 0, -1, 1) * values
