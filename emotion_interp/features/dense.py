"""Dense difference-of-means directions: the baseline that an SAE has to beat."""

from __future__ import annotations

import numpy as np


def contrast_means(values: np.ndarray, codes: np.ndarray, n_classes: int, neutral: int | None) -> np.ndarray:
    """Mean of each class minus its contrast: half the neutral mean, half the mean of the other emotions' means.

    Args:
        values: activations [word, dimension].
        codes: class of each word.
        n_classes: number of classes.
        neutral: the neutral class or None.

    Returns:
        [class, dimension]; the row of the neutral class is its mean minus the mean of all emotions' means.
    """
    values = np.asarray(values, dtype=np.float64)
    means = np.stack(
        [
            values[codes == c].mean(0) if (codes == c).any() else np.full(values.shape[1], np.nan)
            for c in range(n_classes)
        ]
    )
    return contrasts(means, neutral)


def contrasts(means: np.ndarray, neutral: int | None) -> np.ndarray:
    """Means of classes [class, dimension], each minus its contrast, as `contrast_means`; a class without rows is NaN."""
    result = np.empty_like(means)
    emotions = [c for c in range(len(means)) if c != neutral]
    for c in range(len(means)):
        others = [e for e in emotions if e != c and np.isfinite(means[e]).all()]
        contrast = means[others].mean(0)
        if neutral is not None and c != neutral and np.isfinite(means[neutral]).all():
            contrast = 0.5 * contrast + 0.5 * means[neutral]
        result[c] = means[c] - contrast
    return result


def neutral_components(neutral: np.ndarray, share: float = 0.5) -> np.ndarray:
    """Fewest principal components of neutral words that hold at least `share` of their variance: [component, dimension]."""
    centred = np.asarray(neutral, dtype=np.float64) - neutral.mean(0)
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    variance = singular**2
    if not variance.sum() > 0:
        return rows[:0]
    count = int(np.searchsorted(np.cumsum(variance) / variance.sum(), share) + 1)
    return rows[:count]


def project_out(vectors: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Vectors [row, dimension] without their part in the span of orthonormal components."""
    return vectors - (vectors @ components.T) @ components
