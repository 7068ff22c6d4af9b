"""Bootstrap intervals over points, permutations and p-values, all vectorised.

A bootstrap sample is a row of counts: how often each point was drawn. Statistics take `counts` [sample, point]
and give [sample], so that thousands of samples are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from emotion_interp.core.seeds import generator

Interval = tuple[float, float]
NO_INTERVAL: Interval = (float("nan"), float("nan"))


def permutations(n: int, n_permutations: int, seed: int) -> np.ndarray:
    """Random orders of n points, [permutation, point]; the same for every layer and test of one seed."""
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
    """Bias-corrected and accelerated bootstrap interval over n points (Efron 1987).

    `statistic` maps counts [sample, point] to [sample]. Samples in which it is undefined are left out. NaN when
    `n_bootstrap` is 0 or too few samples are defined.
    """
    if n_bootstrap <= 0:
        return NO_INTERVAL
    boot = statistic(bootstrap_counts(n, n_bootstrap, seed))
    observed = statistic(np.ones((1, n)))[0]
    jack = statistic(1.0 - np.eye(n))
    jack = jack[np.isfinite(jack)]
    return bca_of(boot, float(observed), jack.mean() - jack if len(jack) else jack, level=level)


def bootstrap_counts(n: int, n_bootstrap: int, seed: int) -> np.ndarray:
    """How often each of n points was drawn, [sample, point]; the same for every layer and statistic of one seed."""
    rng = generator(seed, "bootstrap", n)
    return rng.multinomial(n, np.full(n, 1 / n), size=n_bootstrap).astype(np.float64)


def bca_of(boot: np.ndarray, observed: float, deviations: np.ndarray, level: float = 0.95) -> Interval:
    """BCa interval from bootstrap values and the jackknife's deviations (mean minus value, summing to about 0)."""
    boot = np.sort(boot[np.isfinite(boot)])
    if len(boot) < 20 or len(deviations) < 3 or not np.isfinite(observed):
        return NO_INTERVAL
    share = ((boot < observed).sum() + 0.5 * (boot == observed).sum()) / len(boot)
    bias = ndtri(np.clip(share, 0.5 / len(boot), 1 - 0.5 / len(boot)))
    spread = (deviations**2).sum()
    acceleration = (deviations**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    tails = ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    # the formula turns round where its denominator changes sign: stay on this side
    levels = ndtr(bias + (bias + tails) / np.maximum(1 - acceleration * (bias + tails), 0.05))
    low, high = np.quantile(boot, levels)
    return float(low), float(high)


def fisher_z(r: np.ndarray | float) -> np.ndarray:
    """Fisher's z of correlations; that of 1 is cut off, as it has no finite z."""
    return np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))


def jackknife_interval(observed: float, left_out: np.ndarray, level: float = 0.95) -> Interval:
    """Interval of a correlation from its values without each point: Student's t on Fisher's z, with the jackknife's
    standard error (Efron & Stein 1981: not smaller than the true one on average)."""
    n = len(left_out)
    if n < 3 or not np.isfinite(observed):
        return NO_INTERVAL
    z, centre = fisher_z(left_out), fisher_z(observed)
    half = stdtrit(n - 1, (1 + level) / 2) * np.sqrt((n - 1) / n * ((z - z.mean()) ** 2).sum())
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))


def bias_corrected_interval(
    observed: float, boot: np.ndarray, error: float | None = None, level: float = 0.95
) -> Interval:
    """Interval of a correlation on Fisher's z: the observed value less the bootstrap's bias, plus and minus its standard
    error, given or the bootstrap's (Efron & Tibshirani 1993, chapter 10)."""
    boot = boot[np.isfinite(boot)]
    if len(boot) < 20 or not np.isfinite(observed):
        return NO_INTERVAL
    z = fisher_z(boot)
    centre = 2 * fisher_z(observed) - z.mean()
    half = ndtri((1 + level) / 2) * (z.std(ddof=1) if error is None else error)
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))
