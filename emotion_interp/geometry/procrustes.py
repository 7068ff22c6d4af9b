"""Procrustes: how far are PCs 1-2 of the emotion space from the human (valence, arousal) plane after the best shift,
scale, rotation and reflection (Gower 1975)?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emotion_interp.stats.intervals import permutation_p


@dataclass(frozen=True)
class ProcrustesFit:
    """`disparity`: squared distance left between the two configurations at unit size (0 = same shape, 1 = nothing in
    common); `p`: share of permutations of the emotions with a disparity as small."""

    disparity: float
    p: float


def unit_configuration(points: np.ndarray) -> np.ndarray:
    """Points [emotion, 2], centred, at unit Frobenius norm."""
    centred = points - points.mean(axis=0)
    return centred / np.linalg.norm(centred)


def cross_products(model: np.ndarray, human: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """human^T model for each reordering of the human rows, [permutation, 2, 2]."""
    return np.einsum("mni,nj->mij", human[orders], model, optimize=True)


def nuclear_norms(matrices: np.ndarray) -> np.ndarray:
    """Sum of the two singular values of each 2 x 2 matrix: sqrt(||M||^2 + 2 |det M|)."""
    squares = (matrices**2).sum(axis=(1, 2))
    return np.sqrt(squares + 2 * np.abs(determinants(matrices)))


def determinants(matrices: np.ndarray) -> np.ndarray:
    """Determinants of [n, 2, 2]."""
    return matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]


def procrustes_fit(products: np.ndarray, null_products: np.ndarray) -> ProcrustesFit:
    """Disparity and p from the cross products of unit configurations, [1, 2, 2] and [permutation, 2, 2]."""
    disparity = float(np.clip(1 - nuclear_norms(products)[0] ** 2, 0, 1))
    null = 1 - nuclear_norms(null_products) ** 2
    return ProcrustesFit(disparity, permutation_p(-disparity, -null))


def fitted_points(model: np.ndarray, human: np.ndarray) -> np.ndarray:
    """The model's points [emotion, 2] turned, scaled and shifted onto the human ones."""
    target = human - human.mean(axis=0)
    source = unit_configuration(model)
    left, singular, right = np.linalg.svd(target.T @ source)
    return singular.sum() * source @ (left @ right).T + human.mean(axis=0)
