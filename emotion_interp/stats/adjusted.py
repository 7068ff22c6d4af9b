"""AUROC with its standard error, also within strata of a covariate: what is left once the covariate is held fixed."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

STRATA = 5
"""Five strata remove over 90% of the bias of a continuous covariate (Cochran 1968, Biometrics 24, 295-313)."""

_ONE_SIDED = 1.6448536269514722


def quantile_strata(values: np.ndarray, n: int = STRATA) -> np.ndarray:
    """Stratum of each value: the value itself where there are at most `n` distinct ones, else quantile bins: [unit].

    Example:
        >>> quantile_strata(np.arange(10.0), 5).tolist()
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """
    values = np.asarray(values, dtype=np.float64)
    distinct, index = np.unique(values, return_inverse=True)
    if len(distinct) <= n:
        return index.reshape(-1)
    return np.searchsorted(np.quantile(values, np.arange(1, n) / n), values, side="left")


def adjusted_auroc(
    own: np.ndarray, rest: np.ndarray, own_strata: np.ndarray | None = None, rest_strata: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC of `own` above `rest` within strata, and its DeLong standard error; ties count half: ([column], [column]).

    Each own unit is compared with the rest of its stratum, and the shares that it beats are averaged over own units:
    the covariate-adjusted AUROC. Own units whose stratum has no rest are left out. Without strata it is the plain
    AUROC. NaN where nothing can be compared; the standard error needs two units on each side.

    Args:
        own: activations of the units of a class [unit, column].
        rest: activations of the units compared with [unit, column].
        own_strata: stratum of each unit; None: one stratum.
        rest_strata: stratum of each unit; None: one stratum.

    Source: Janes & Pepe (2009), Biometrika 96, 371-382; DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44, 837-845.
    """
    if own_strata is None or rest_strata is None:
        own_strata, rest_strata = np.zeros(len(own), dtype=int), np.zeros(len(rest), dtype=int)
    width = own.shape[1]
    placements, beaten = [], []
    for stratum in np.unique(own_strata):
        a, b = own[own_strata == stratum], rest[rest_strata == stratum]
        if len(b):
            # midranks among all less those among one's own kind count the others that are beaten
            ranks = rankdata(np.concatenate([a, b]), axis=0)
            placements.append((ranks[: len(a)] - rankdata(a, axis=0)) / len(b))
            beaten.append((len(a), (ranks[len(a) :] - rankdata(b, axis=0)) / len(a)))
    if not placements:
        return np.full(width, np.nan), np.full(width, np.nan)
    placed = np.concatenate(placements)
    n = len(placed)
    if n < 2 or max(len(shares) for _, shares in beaten) < 2:
        return placed.mean(0), np.full(width, np.nan)
    variance = placed.var(0, ddof=1) / n
    for size, shares in beaten:
        if len(shares) > 1:
            variance = variance + (size / n) ** 2 * shares.var(0, ddof=1) / len(shares)
    return placed.mean(0), np.sqrt(variance)


def lower_bound(auroc: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The AUROC and its one-sided 95% lower bound: ([column], [column])."""
    return auroc, auroc - _ONE_SIDED * error


def rank_correlation(values: np.ndarray, covariate: np.ndarray) -> np.ndarray:
    """Spearman's r of each column with a covariate; 0 where either does not vary: [column]."""
    if len(values) < 2:
        return np.full(values.shape[1], np.nan)
    ranks = rankdata(values, axis=0)
    ranks -= ranks.mean(0)
    other = rankdata(covariate) - (len(covariate) + 1) / 2
    norm = np.sqrt((ranks**2).sum(0) * (other**2).sum())
    return np.divide(other @ ranks, norm, out=np.zeros(values.shape[1]), where=norm > 0)
