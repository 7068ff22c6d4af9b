"""Linear discriminants with shrinkage, for few samples of many dimensions."""

from __future__ import annotations

import numpy as np


def discriminant(
    values: np.ndarray, codes: np.ndarray, n_classes: int, shrinkage: float, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Linear discriminant analysis with equal priors: weights [class, dimension] and bias [class].

    Coordinates are scaled to unit spread within classes; their correlations are shrunk towards none. A coordinate without
    any spread counts for nothing. Sums in float64. Friedman 1989, "Regularized Discriminant Analysis".

    Args:
        values: [sample, dimension].
        codes: class of each sample; every class has at least one.
        n_classes: number of classes.
        shrinkage: 0: the correlations as they are, 1: none.
        weights: of each sample; default: all the same.

    Example:
        >>> weights, bias = discriminant(np.array([[0.0], [1.0], [4.0], [5.0]]), np.array([0, 0, 1, 1]), 2, 0.5)
        >>> (np.array([[0.5], [4.5]]) @ weights.T + bias).argmax(1)
        array([0, 1])
    """
    values = np.asarray(values, dtype=np.float64)
    share = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    means = np.stack([np.average(values[codes == c], axis=0, weights=share[codes == c]) for c in range(n_classes)])
    # n - classes degrees of freedom are left, whatever the weights
    share = share / share.sum() * len(values) / max(len(values) - n_classes, 1)
    rest = values - means[codes]
    spread = np.sqrt(share @ rest**2)
    scale = np.where(spread > 1e-9 * max(float(spread.max(initial=0.0)), 1e-300), spread, np.inf)
    rest *= np.sqrt(share)[:, None] / scale
    correlations = (1 - shrinkage) * (rest.T @ rest) + shrinkage * np.eye(values.shape[1])
    scaled = means / scale
    solved = np.linalg.solve(correlations, scaled.T).T
    return solved / scale, -0.5 * (solved * scaled).sum(1)


def whitened(vectors: np.ndarray, background: np.ndarray, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Directions as matched filters against a background: weights [vector, dimension] and bias [vector].

    Their scores on the background have mean 0 and spread 1. The background's correlations are shrunk as in
    `discriminant`.

    Args:
        vectors: [vector, dimension].
        background: [sample, dimension].
        shrinkage: 0: the correlations as they are, 1: none.

    Example:
        >>> background = np.array([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0], [2.0, 3.0]])
        >>> weights, bias = whitened(np.array([[1.0, 0.0]]), background, 0.5)
        >>> (background @ weights.T + bias).ravel()
        array([-1.,  1., -1.,  1.])
    """
    background = np.asarray(background, dtype=np.float64)
    middle = background.mean(0)
    centred = background - middle
    spread = centred.std(0)
    scale = np.where(spread > 1e-9 * max(float(spread.max(initial=0.0)), 1e-300), spread, np.inf)
    centred /= scale
    correlations = (1 - shrinkage) * (centred.T @ centred) / len(background) + shrinkage * np.eye(len(middle))
    weights = np.linalg.solve(correlations, (np.asarray(vectors, dtype=np.float64) / scale).T).T / scale
    return calibrated(weights, background)


def calibrated(weights: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of scores that have mean 0 and spread 1 on a background, each for itself.

    A score that does not vary there keeps its weights.
    """
    scores = np.asarray(background, dtype=np.float64) @ np.asarray(weights, dtype=np.float64).T
    spread = scores.std(0)
    spread = np.where(spread > 1e-12 * np.maximum(np.abs(scores).max(0, initial=0.0), 1e-300), spread, 1.0)
    return weights / spread[:, None], -scores.mean(0) / spread
