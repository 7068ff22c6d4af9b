"""Scores of columns of values against classes of units.

Every function takes plain arrays, so that each number can be recomputed by hand.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import hypergeom

from emotion_interp.stats.ranks import RankedColumns
from emotion_interp.stats.sparse import Matrix, by_rows

_MULTINOMIAL = 256
"""Members of a class up to which its resamples are drawn as multinomial counts; of larger ones, as indices (10 times faster)."""
_BLOCK = 2_000_000
"""Units of all resamples that are drawn at a time."""


def fisher_enrichment(fired: Matrix, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """One-sided Fisher exact test of fires / silent units, each class against the rest: p [class, column].

    Args:
        fired: boolean [unit, column], dense or scipy.sparse.
        codes: class of each unit, 0 .. n_classes-1.
        n_classes: number of classes.

    The rank-sum test is not used: on sparse columns its normal approximation breaks down.
    """
    matrix = by_rows(fired).astype(np.float64)
    codes = np.asarray(codes)
    onehot = by_rows((np.ones(len(codes)), (codes, np.arange(len(codes)))), (n_classes, len(codes)))
    hits = (onehot @ matrix).toarray().round().astype(np.int64)
    total = hits.sum(0)
    sizes = np.bincount(codes, minlength=n_classes)
    p = hypergeom.sf(hits - 1, len(codes), total[None, :], sizes[:, None])
    # a column without a hit in the class says nothing for it; sf(-1) is 1 up to rounding
    return np.where(hits > 0, np.clip(p, 0.0, 1.0), 1.0)


def pairwise_auroc(values: Matrix, codes: np.ndarray, target: int, n_classes: int) -> np.ndarray:
    """AUROC of one class against each class, ties counted half: [class, column]; NaN for empty classes and itself.

    Args:
        values: activations [unit, column], dense or scipy.sparse.
        codes: class of each unit.
        target: the class that should score higher.
        n_classes: number of classes.

    By ranks, so that the time grows with n log n of the units; for several targets see `ranks.RankedColumns`.
    """
    return RankedColumns(values, codes, n_classes).auroc(target)


def composite_auroc(pairwise: np.ndarray, target: int, neutral: int | None) -> np.ndarray:
    """Effect size: half AUROC against neutral, half the mean of the AUROCs against each other class: [column].

    Without a neutral class the mean over the other classes alone.
    """
    others = [c for c in range(len(pairwise)) if c not in (target, neutral)]
    others = [c for c in others if np.isfinite(pairwise[c]).any()]
    mean = np.nanmean(pairwise[others], axis=0) if others else np.full(pairwise.shape[1], np.nan)
    if neutral is None:
        return mean
    if not others:
        return pairwise[neutral]
    return 0.5 * pairwise[neutral] + 0.5 * mean


def specificity(pairwise: np.ndarray, target: int, siblings: set[int], neutral: int | None) -> np.ndarray:
    """Smallest pairwise AUROC over classes that are no declared siblings: [column]."""
    others = [c for c in range(len(pairwise)) if c not in (target, neutral) and c not in siblings]
    others = [c for c in others if np.isfinite(pairwise[c]).any()]
    return np.nanmin(pairwise[others], axis=0) if others else np.full(pairwise.shape[1], np.nan)


def standardised_mean_difference(values: np.ndarray, codes: np.ndarray, target: int) -> np.ndarray:
    """Cohen's d of the class against all other units, pooled standard deviation: [column]; 0 where nothing varies."""
    of_target, rest = values[codes == target], values[codes != target]
    if len(of_target) < 2 or len(rest) < 2:
        return np.full(values.shape[1], np.nan)
    spread = ((len(of_target) - 1) * of_target.var(0, ddof=1) + (len(rest) - 1) * rest.var(0, ddof=1)) / (
        len(of_target) + len(rest) - 2
    )
    difference = of_target.mean(0) - rest.mean(0)
    return np.divide(difference, np.sqrt(spread), out=np.zeros_like(difference), where=spread > 0)


def bootstrap_composite(
    values: np.ndarray,
    codes: np.ndarray,
    target: int,
    neutral: int | None,
    n_classes: int,
    rng: np.random.Generator,
    n: int = 1000,
) -> tuple[float, float]:
    """95% percentile interval of one column's composite AUROC, units resampled within each class.

    Args:
        values: activations of one column [unit].
        codes: class of each unit.
        target: the class.
        neutral: the neutral class or None.
        n_classes: number of classes.
        rng: generator.
        n: number of resamples.
    """
    values = np.asarray(values, dtype=np.float64)
    codes = np.asarray(codes)
    of_target = values[codes == target]
    if not len(of_target):
        return float("nan"), float("nan")
    order = np.argsort(of_target, kind="stable")
    drawn = np.concatenate(list(_resamples(len(of_target), n, rng)))[:, order]
    # own units at or above each of them, so that a rival's score is a look-up and no comparison of all pairs
    share = np.zeros((n, len(of_target) + 1), dtype=np.int32)
    share[:, :-1] = np.cumsum(drawn[:, ::-1], axis=1)[:, ::-1]
    others, against_neutral = [], None
    for c in range(n_classes):
        members = values[codes == c]
        if c == target or not len(members):
            continue
        at_least, above = (np.searchsorted(of_target[order], members, side=side) for side in ("left", "right"))
        auroc, start = np.empty(n), 0
        for weight in _resamples(len(members), n, rng):
            part = slice(start, start + len(weight))
            wins = share[part][:, at_least] + share[part][:, above]
            auroc[part] = (wins * weight).sum(1) / (2 * len(of_target) * len(members))
            start = part.stop
        if c == neutral:
            against_neutral = auroc
        else:
            others.append(auroc)
    parts = [np.mean(others, axis=0)] if others else []
    if against_neutral is not None:
        parts.append(against_neutral)
    low, high = np.percentile(np.mean(parts, axis=0), [2.5, 97.5])
    return float(low), float(high)


def _resamples(size: int, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each of some units is drawn in n resamples of as many, some resamples at a time: [resample, unit]."""
    step = max(1, _BLOCK // size)
    for start in range(0, n, step):
        rows = min(step, n - start)
        if size <= _MULTINOMIAL:
            yield rng.multinomial(size, np.full(size, 1 / size), size=rows)
        else:
            drawn = rng.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
            yield np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
