"""Nested cross-validated ridge regression from block Gram matrices.

Each fold's sums, X^T X and X^T y are computed once; every training set of the nested cross-validation is a sum of folds,
so its standardised normal equations follow by addition and no row is touched again. Means and SDs are those of the
training rows alone. With more features than rows the same is done with the kernel X X^T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs

from emotion_interp.core import EmotionInterpError
from emotion_interp.core.seeds import generator
from emotion_interp.stats.sparse import Matrix, dense

ALPHAS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
"""Ridge penalties that are tried, in scikit-learn's convention, on standardised features."""


@dataclass(frozen=True, eq=False)
class NestedRidge:
    """`predicted` [row, target]: each row predicted by the fit that never saw its fold (NaN where no fold held it).

    `alphas` [fold, target]: the penalty that the inner folds chose, one row for each fold that was left out. `null`
    [row, target, permutation]: predictions of the same fits to reordered targets, with the penalties chosen above.
    """

    predicted: np.ndarray
    alphas: np.ndarray
    null: np.ndarray


def assign_folds(groups: Sequence[object], folds: int, seed: int) -> np.ndarray:
    """A fold for every row such that a group is never split: groups shuffled, then the largest first into the emptiest
    fold.

    Raises:
        EmotionInterpError: fewer groups than folds.
    """
    names, inverse, sizes = np.unique(np.asarray(groups).astype(str), return_inverse=True, return_counts=True)
    if len(names) < folds:
        raise EmotionInterpError(f"{folds} folds need at least as many groups of words, got {len(names)}.")
    shuffled = generator(seed, "folds").permutation(len(names))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold_of, filled = np.empty(len(names), dtype=int), np.zeros(folds, dtype=int)
    for group in order:
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    return fold_of[inverse]


def inner_groups(outer: Sequence[int], inner_folds: int) -> list[list[int]]:
    """The training folds dealt out into `inner_folds` validation groups."""
    return [list(part) for part in np.array_split(np.asarray(outer), min(inner_folds, len(outer)))]


@dataclass(frozen=True, eq=False)
class _Moments:
    """Sums over some rows: count, x [feature], x x^T [feature, feature], y [target], x y^T [feature, target]."""

    n: float
    x: np.ndarray
    xx: np.ndarray
    y: np.ndarray
    xy: np.ndarray

    def __add__(self, other: _Moments) -> _Moments:
        return _Moments(self.n + other.n, self.x + other.x, self.xx + other.xx, self.y + other.y, self.xy + other.xy)

    def __sub__(self, other: _Moments) -> _Moments:
        return _Moments(self.n - other.n, self.x - other.x, self.xx - other.xx, self.y - other.y, self.xy - other.xy)


def _coefficients(
    moments: _Moments, alphas: Sequence[float], floor: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ridge coefficients on the raw features, [alpha, feature, target], and the means of x and y.

    Fitted on standardised features with an unpenalised intercept; features that are constant here get 0. Sums of a
    training set come by subtraction, so a feature that fires in the left-out rows alone leaves a rounding residue:
    `floor` [feature] is the variance below which a feature counts as constant.
    """
    mean_x, mean_y = moments.x / moments.n, moments.y / moments.n
    variance = np.diag(moments.xx) / moments.n - mean_x**2
    varies = variance > floor
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    gram = (moments.xx - moments.n * np.outer(mean_x, mean_x)) * scale * scale[:, None]
    target = (moments.xy - moments.n * np.outer(mean_x, mean_y)) * scale[:, None]
    return np.stack([s * scale[:, None] for s in _penalised(gram, target, alphas)]), mean_x, mean_y


def _penalised(matrix: np.ndarray, target: np.ndarray, alphas: Sequence[float]) -> list[np.ndarray]:
    """Solutions of (matrix + alpha I) x = target for each alpha; the matrix is symmetric and not negative."""
    work = np.empty(matrix.shape, order="F")
    places = np.arange(len(matrix))
    solve: Any = get_lapack_funcs("posv", (work,))
    solved = []
    for alpha in alphas:
        # a symmetric matrix is its own transpose: written through it, the copy runs along memory
        work.T[...] = matrix
        work[places, places] += alpha
        _, solution, failed = solve(work, target, lower=1, overwrite_a=1)
        if failed:
            raise EmotionInterpError(f"the penalty {alpha:g} is too small for these features; give larger alphas.")
        solved.append(solution)
    return solved


def _choose(errors: np.ndarray, alphas: Sequence[float]) -> np.ndarray:
    """Index of the best penalty per target from errors [inner fold, alpha, target]; the larger one on a tie."""
    mean = errors.mean(axis=0)
    return len(alphas) - 1 - mean[::-1].argmin(axis=0)


def nested_ridge(
    features: Matrix,
    targets: np.ndarray,
    fold: np.ndarray,
    *,
    inner_folds: int = 5,
    alphas: Sequence[float] = ALPHAS,
    test_features: Matrix | None = None,
    test_fold: np.ndarray | None = None,
    null_orders: np.ndarray | None = None,
) -> NestedRidge:
    """Predict each row from the other folds; the penalty is chosen per target on inner folds of the training rows.

    Args:
        features: [row, feature], dense or scipy.sparse.
        targets: [row, target].
        fold: [row], the outer fold of each row; inner folds are unions of the remaining outer folds.
        inner_folds: how many validation groups the training folds are dealt into.
        alphas: penalties to try.
        test_features: other rows to predict instead, each by the fit that left its fold out. A fold that no
            training row has (-1, say) stands for rows apart: they are predicted by one fit on all the training rows.
        test_fold: other rows to predict instead, each by the fit that left its fold out. A fold that no
            training row has (-1, say) stands for rows apart: they are predicted by one fit on all the training rows.
        null_orders: [permutation, row]: orders of the targets to predict as well, for a null.

    With at most as many features as rows: standardised on the training rows of every (inner and outer) fit. With more:
    on the training rows of the outer fit.
    """
    alphas = sorted(float(a) for a in alphas)
    if not alphas or alphas[0] <= 0:
        raise EmotionInterpError(f"alphas are positive penalties, got {alphas}.")
    numbers = np.unique(fold)
    if len(numbers) < 3:
        raise EmotionInterpError(f"nested cross-validation needs at least 3 folds, got {len(numbers)}.")
    targets = np.asarray(targets, dtype=np.float64)
    same = test_features is None
    test_fold = np.asarray(fold if test_fold is None else test_fold)
    n_test, n_targets = len(test_fold), targets.shape[1]
    left_out = np.unique(test_fold) if np.setdiff1d(test_fold, numbers).size else numbers
    orders = np.empty((0, len(targets)), dtype=int) if null_orders is None else np.asarray(null_orders)
    result = NestedRidge(
        np.full((n_test, n_targets), np.nan),
        np.empty((len(left_out), n_targets)),
        np.full((n_test, n_targets, len(orders)), np.nan, dtype=np.float32),
    )
    run = _primal if features.shape[1] <= features.shape[0] else _dual
    test_features = features if same else test_features
    run(features, targets, fold, numbers, left_out, inner_folds, alphas, test_features, test_fold, result, orders)
    return result


def _primal(
    features: Matrix,
    targets: np.ndarray,
    fold: np.ndarray,
    numbers: np.ndarray,
    left_out: np.ndarray,
    inner_folds: int,
    alphas: Sequence[float],
    test_features: Matrix,
    test_fold: np.ndarray,
    result: NestedRidge,
    orders: np.ndarray,
) -> None:
    # shifting by any constant changes no centred sum, but keeps the digits of the variances
    shift = np.asarray(features.mean(axis=0), dtype=np.float64).ravel()
    rows = {k: np.flatnonzero(fold == k) for k in numbers}
    block = {k: dense(features[rows[k]]) - shift for k in numbers}
    level = targets.mean(axis=0)
    moments = {}
    for k in numbers:
        x, y = block[k], targets[rows[k]] - level
        moments[k] = _Moments(len(x), x.sum(axis=0), x.T @ x, y.sum(axis=0), x.T @ y)
    everything = moments[numbers[0]]
    for k in numbers[1:]:
        everything = everything + moments[k]
    floor = np.maximum(1e-9 * np.diag(everything.xx) / everything.n, 1e-300)
    for place, k in enumerate(left_out):
        training = everything - moments[k] if k in moments else everything
        errors = []
        for group in inner_groups([j for j in numbers if j != k], inner_folds):
            held = training
            for j in group:
                held = held - moments[j]
            coefficients, mean_x, mean_y = _coefficients(held, alphas, floor)
            x = np.concatenate([block[j] for j in group]) - mean_x
            y = np.concatenate([targets[rows[j]] for j in group]) - level - mean_y
            fitted = np.einsum("nf,aft->ant", x, coefficients, optimize=True)
            errors.append(((y - fitted) ** 2).mean(axis=1))
        chosen = _choose(np.stack(errors), alphas)
        tried = sorted(set(chosen.tolist()))
        coefficients, mean_x, mean_y = _coefficients(training, [alphas[a] for a in tried], floor)
        use = [tried.index(a) for a in chosen]
        beta = np.stack([coefficients[a, :, t] for t, a in enumerate(use)], axis=1)
        out = np.flatnonzero(test_fold == k)
        if len(out):
            x = dense(test_features[out]) - shift
            result.predicted[out] = (x - mean_x) @ beta + mean_y + level
            if len(orders):
                _null_primal(
                    block, targets, rows, training, k, [alphas[a] for a in chosen], floor, orders, x, out, result
                )
        result.alphas[place] = [alphas[a] for a in chosen]


def _null_primal(
    block: dict[int, np.ndarray],
    targets: np.ndarray,
    rows: dict[int, np.ndarray],
    training: _Moments,
    left_out: int,
    chosen: Sequence[float],
    floor: np.ndarray,
    orders: np.ndarray,
    x: np.ndarray,
    out: np.ndarray,
    result: NestedRidge,
) -> None:
    """Predictions of the fold's rows from reordered targets: one solution for all orders of a target."""
    folds = [j for j in rows if j != left_out]
    for t, alpha in enumerate(chosen):
        moved = [targets[orders[:, rows[j]], t].T for j in folds]
        sums = sum(y.sum(axis=0) for y in moved)
        products = sum(block[j].T @ y for j, y in zip(folds, moved, strict=True))
        null = _Moments(training.n, training.x, training.xx, np.asarray(sums), np.asarray(products))
        coefficients, mean_x, mean_y = _coefficients(null, [alpha], floor)
        result.null[out, t] = (x - mean_x) @ coefficients[0] + mean_y


def _dual(
    features: Matrix,
    targets: np.ndarray,
    fold: np.ndarray,
    numbers: np.ndarray,
    left_out: np.ndarray,
    inner_folds: int,
    alphas: Sequence[float],
    test_features: Matrix,
    test_fold: np.ndarray,
    result: NestedRidge,
    orders: np.ndarray,
) -> None:
    for place, k in enumerate(left_out):
        train = np.flatnonzero(fold != k)
        raw = features[train]
        mean = np.asarray(raw.mean(axis=0), dtype=np.float64).ravel()
        squares = (raw**2).mean(axis=0) if isinstance(raw, np.ndarray) else raw.multiply(raw).mean(axis=0)
        variance = np.asarray(squares, dtype=np.float64).ravel() - mean**2
        varies = variance > 1e-12 * np.maximum(mean**2 + variance, 1e-300)
        scale = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
        x = (dense(raw) - mean) * scale
        kernel, y, inner = x @ x.T, targets[train], fold[train]
        errors = []
        for group in inner_groups([j for j in numbers if j != k], inner_folds):
            held = np.isin(inner, group)
            fitted = _kernel_fit(kernel, y, ~held, held, alphas)
            errors.append(((y[held] - fitted) ** 2).mean(axis=1))
        chosen = _choose(np.stack(errors), alphas)
        result.alphas[place] = [alphas[a] for a in chosen]
        out = np.flatnonzero(test_fold == k)
        if not len(out):
            continue
        cross = ((dense(test_features[out]) - mean) * scale) @ x.T
        level = y.mean(axis=0)
        for t, alpha in enumerate(result.alphas[place]):
            weights = _penalised(kernel, y[:, [t]] - level[t], [alpha])[0]
            result.predicted[out, t] = (cross @ weights)[:, 0] + level[t]
            if len(orders):
                moved = targets[orders[:, train], t].T
                means = moved.mean(axis=0)
                result.null[out, t] = cross @ _penalised(kernel, moved - means, [alpha])[0] + means


def _kernel_fit(
    kernel: np.ndarray, y: np.ndarray, train: np.ndarray, held: np.ndarray, alphas: Sequence[float]
) -> np.ndarray:
    """Kernel ridge with intercept: [alpha, held row, target]. Centring uses the training rows only."""
    inside, across = kernel[np.ix_(train, train)], kernel[np.ix_(held, train)]
    column, level = inside.mean(axis=0), y[train].mean(axis=0)
    across = across - across.mean(axis=1, keepdims=True) - column + column.mean()
    inside = inside - column - column[:, None] + column.mean()
    return np.stack([across @ weights + level for weights in _penalised(inside, y[train] - level, alphas)])
