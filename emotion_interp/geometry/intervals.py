"""Bootstrap intervals over emotions, permutations and p-values, all vectorised.

A bootstrap sample is a row of counts: how often each emotion was drawn. Statistics take `counts` [sample, emotion]
and give [sample], so that thousands of samples are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emotion_interp.core.seeds import generator

Interval = tuple[float, float]
NO_INTERVAL: Interval = (float("nan"), float("nan"))


def permutations(n: int, n_permutations: int, seed: int) -> np.ndarray:
    """Random orders of n emotions, [permutation, emotion]; the same for every layer and test of one seed."""
    orders = np.tile(np.arange(n, dtype=np.int32), (n_permutations, 1))
    return generator(seed, "permutations", n).permuted(orders, axis=1)


def permutation_p(observed: float, null: np.ndarray) -> float:
    """(b + 1) / (m + 1), b = null values at least as large as the observed one (Phipson & Smyth 2010)."""
    # equal values that differ by rounding count as equal
    return float((np.sum(null >= observed - 1e-12) + 1) / (len(null) + 1))


def weighted_correlation(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson r of x and y under each row of weights; x and y are [item], or [row, item] with one set per row."""
    total = counts.sum(axis=1)
    if x.ndim == 1:
        # centred first: the moments of a shifted variable would lose digits
        x, y = x - x.mean(), y - y.mean()
        sums = counts @ np.column_stack([x, y, x * x, y * y, x * y])
        sx, sy, sxx, syy, sxy = sums.T
    else:
        sx, sy = (counts * x).sum(axis=1), (counts * y).sum(axis=1)
        sxx, syy, sxy = (np.einsum("rp,rp,rp->r", counts, a, b) for a, b in ((x, x), (y, y), (x, y)))
    with np.errstate(invalid="ignore", divide="ignore"):
        mx, my = sx / total, sy / total
        vx, vy = sxx / total - mx**2, syy / total - my**2
        r = (sxy / total - mx * my) / np.sqrt(np.where((vx > 1e-14) & (vy > 1e-14), vx * vy, np.nan))
    return np.clip(r, -1, 1)


def bca_interval(
    statistic: Callable[[np.ndarray], np.ndarray], n: int, n_bootstrap: int, seed: int, level: float = 0.95
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval over n emotions (Efron 1987).

    `statistic` maps counts [sample, emotion] to [sample]. Samples in which it is undefined are left out. NaN when
    `n_bootstrap` is 0 or too few samples are defined.
    """
    if n_bootstrap <= 0:
        return NO_INTERVAL
    from scipy.special import ndtr, ndtri

    rng = generator(seed, "bootstrap", n)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=n_bootstrap).astype(np.float64)
    boot = statistic(counts)
    boot = np.sort(boot[np.isfinite(boot)])
    observed = statistic(np.ones((1, n)))[0]
    jack = statistic(1.0 - np.eye(n))
    jack = jack[np.isfinite(jack)]
    if len(boot) < 20 or len(jack) < 3 or not np.isfinite(observed):
        return NO_INTERVAL
    share = ((boot < observed).sum() + 0.5 * (boot == observed).sum()) / len(boot)
    bias = ndtri(np.clip(share, 0.5 / len(boot), 1 - 0.5 / len(boot)))
    deviations = jack.mean() - jack
    spread = (deviations**2).sum()
    acceleration = (deviations**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    tails = ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    levels = ndtr(bias + (bias + tails) / (1 - acceleration * (bias + tails)))
    low, high = np.quantile(boot, levels)
    return float(low), float(high)
