"""Many outside sets at once: redrawn, matched for firing rate and count, each with its own nested ridge.

One outside set is one draw among very many. The ridge of a set needs the sums of its columns over each fold alone, so
hundreds of sets are fitted together from stacked Gram matrices; validation errors come from the sums, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotion_interp.core import EmotionInterpError
from emotion_interp.core.errors import tell
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.ratings.words import RatedWords
from emotion_interp.stats.ridge import ALPHAS, inner_groups
from emotion_interp.stats.sparse import Matrix, dense

KEYS = ("site", "feature_set", "train_language", "test_language")
"""What names a fit, beside its dimension."""

NEAREST = 10
"""Free features nearest in log firing rate, one of which stands in for a selected one."""
_CELLS = 20_000_000


def redrawn_outside(rates: np.ndarray, selected: Sequence[int] | np.ndarray, n_draws: int, seed: int = 0) -> np.ndarray:
    """Outside sets [draw, feature]: each selected feature is replaced by one of the ten nearest free features in log
    firing rate, in random order.

    Args:
        rates: [feature], the share of words on which each feature fires; 0 for features that may not be drawn.
        selected: indices of the selected features.
        n_draws: number of sets.
        seed: of the draws.

    Where no more living features are outside than were selected, every draw is all of them, with a warning.

    Example:
        >>> redrawn_outside([0.5, 0.51, 0.1, 0.11, 0.12, 0.0], [0, 2], 2).shape
        (2, 2)
    """
    rates = np.asarray(rates, dtype=np.float64).ravel()
    selected = np.unique(np.asarray(selected, dtype=int))
    if n_draws < 1:
        raise EmotionInterpError(f"n_draws is at least 1, got {n_draws}.")
    outside = np.setdiff1d(np.flatnonzero(rates > 0), selected)
    if len(outside) <= len(selected):
        tell(
            f"only {len(outside)} living features lie outside the {len(selected)} selected ones: there is one outside set."
        )
        return np.tile(outside, (n_draws, 1))
    floor = rates[rates > 0].min()
    logs, wanted = np.log(rates[outside]), np.log(np.maximum(rates[selected], floor))
    rng = generator(seed, "redrawn outside")
    result = np.empty((n_draws, len(selected)), dtype=int)
    for draw in range(n_draws):
        free = np.ones(len(outside), dtype=bool)
        jitter = rng.permutation(len(outside)) * 1e-12
        for place in rng.permutation(len(selected)):
            distance = np.where(free, np.abs(logs - wanted[place]) + jitter, np.inf)
            near = np.argpartition(distance, min(NEAREST, free.sum() - 1))[:NEAREST]
            near = near[np.isfinite(distance[near])]
            chosen = int(rng.choice(near))
            free[chosen] = False
            result[draw, place] = outside[chosen]
    return np.sort(result, axis=1)


@dataclass(frozen=True, eq=False)
class RedrawnSeries:
    """What many outside sets predict for the same words: `human` and `predicted` [draw, word], z-scored within folds, so
    that their mean product is r averaged over folds."""

    words: tuple[str, ...]
    human: np.ndarray
    predicted: np.ndarray

    def r(self) -> np.ndarray:
        """r of every draw, [draw]."""
        return self.predicted.astype(np.float64) @ self.human / len(self.human)

    def on(self, words: Sequence[str]) -> np.ndarray:
        """Predictions of these words, in this order: [draw, word]."""
        place = {word: i for i, word in enumerate(self.words)}
        return self.predicted[:, [place[word] for word in words]].astype(np.float64)

    def summary(self) -> dict[str, float]:
        """Mean r over the draws, and their middle 95%."""
        r = self.r()
        low, high = np.quantile(r, [0.025, 0.975])
        return {"r_draws": float(r.mean()), "r_draws_lo": float(low), "r_draws_hi": float(high), "n_draws": len(r)}


def redrawn_series(
    draws: Mapping[Site, Mapping[str, np.ndarray]],
    data: Sequence[RatedWords],
    folds: Sequence[np.ndarray],
    inner_folds: int,
    alphas: Sequence[float],
) -> dict[tuple[int | Site | str, ...], RedrawnSeries]:
    """Every redrawn set learnt on the first data, and predicted in all: (`KEYS`, dimension) -> series."""
    drawn: dict[tuple[int | Site | str, ...], RedrawnSeries] = {}
    trained = data[0]
    for site, named in draws.items():
        for name, sets in named.items():
            width = np.arange(trained.source.activations[site].shape[1])
            tests = [(part.matrix(site, name, width), fold) for part, fold in zip(data[1:], folds[1:], strict=True)]
            matrix = trained.matrix(site, name, width)
            all_predicted = redrawn_ridge(
                matrix, trained.human, folds[0], sets, tests, inner_folds=inner_folds, alphas=alphas
            )
            for part, fold, predicted in zip(data, folds, all_predicted, strict=True):
                for place, dimension in enumerate(part.dimensions):
                    key = (site, name, trained.source.language, part.source.language, dimension)
                    values = predicted[:, :, trained.dimensions.index(dimension)]
                    drawn[key] = RedrawnSeries(
                        tuple(part.words),
                        within_folds(part.human[:, place], fold),
                        within_folds(values.astype(np.float64), fold).astype(np.float16),
                    )
    return drawn


def within_folds(values: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """z-scores within each fold along the last axis (0 where a fold holds one value)."""
    result = np.zeros(values.shape)
    for k in np.unique(fold):
        held = values[..., fold == k]
        spread = held.std(axis=-1, keepdims=True)
        centred = held - held.mean(axis=-1, keepdims=True)
        result[..., fold == k] = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-12)
    return result


def redrawn_ridge(
    features: Matrix,
    targets: np.ndarray,
    fold: np.ndarray,
    draws: np.ndarray,
    tests: Sequence[tuple[Matrix, np.ndarray]] = (),
    *,
    inner_folds: int = 5,
    alphas: Sequence[float] = ALPHAS,
) -> list[np.ndarray]:
    """`nested_ridge` on many sets of columns: held-out predictions [draw, row, target], float32.

    Args:
        features: [row, feature], dense or scipy.sparse.
        targets: [row, target].
        fold: outer fold of each row.
        draws: [draw, feature], the columns of each set.
        tests: (features, fold) of other rows to predict too, each by the fits that left its fold out.

    Returns:
        The rows' own predictions, then those of `tests`.
    """
    numbers = np.unique(fold)
    alphas = sorted(float(a) for a in alphas)
    targets = np.asarray(targets, dtype=np.float64)
    sides = [(features, np.asarray(fold)), *tests]
    columns, places = np.unique(draws, return_inverse=True)
    places = places.reshape(draws.shape)
    blocks = [dense(side[:, columns]) for side, _ in sides]
    shift = blocks[0].mean(axis=0)
    blocks = [block - shift for block in blocks]
    level = targets.mean(axis=0)
    predictions = [np.full((len(draws), len(f), targets.shape[1]), np.nan, dtype=np.float32) for _, f in sides]
    step = max(1, _CELLS // max(1, len(fold) * draws.shape[1]))
    for start in range(0, len(draws), step):
        some_places = places[start : start + step]
        _fit_chunk(
            blocks,
            targets - level,
            sides,
            numbers,
            some_places,
            inner_folds,
            alphas,
            [f[start : start + step] for f in predictions],
        )
    for predicted in predictions:
        predicted += level.astype(np.float32)
    return predictions


def _fit_chunk(
    blocks: list[np.ndarray],
    targets: np.ndarray,
    sides: Sequence[tuple[Matrix, np.ndarray]],
    numbers: np.ndarray,
    own: np.ndarray,
    inner_folds: int,
    alphas: Sequence[float],
    found: list[np.ndarray],
) -> None:
    fold = sides[0][1]
    sums = {}
    for k in numbers:
        rows = np.flatnonzero(fold == k)
        x, y = blocks[0][rows][:, own].transpose(1, 0, 2), targets[rows]
        turned = x.transpose(0, 2, 1)
        sums[k] = [float(len(rows)), x.sum(axis=1), turned @ x, y.sum(axis=0), turned @ y, (y * y).sum(axis=0)]
    everything = [sum(part) for part in zip(*sums.values(), strict=True)]
    variance = np.diagonal(everything[2], axis1=1, axis2=2) / everything[0]
    floor = np.maximum(1e-9 * variance, 1e-300)
    for k in numbers:
        training = [a - b for a, b in zip(everything, sums[k], strict=True)]
        errors = 0.0
        for group in inner_groups([j for j in numbers if j != k], inner_folds):
            held = [sum(part) for part in zip(*(sums[j] for j in group), strict=True)]
            inside = [a - b for a, b in zip(training, held, strict=True)]
            errors = errors + np.stack([_error(held, *_beta(inside, a, floor)) / held[0] for a in alphas])
        errors = np.asarray(errors)
        # the larger penalty on a tie, as in `nested_ridge`
        best = len(alphas) - 1 - errors[::-1].argmin(axis=0)
        fits = {a: _beta(training, alphas[a], floor) for a in np.unique(best)}
        beta = np.zeros_like(training[4])
        for a, (coefficients, _, _) in fits.items():
            beta = np.where((best == a)[:, None, :], coefficients, beta)
        mean_x, mean_y = next(iter(fits.values()))[1:]
        for block, (_, its_fold), predicted in zip(blocks, sides, found, strict=True):
            rows = np.flatnonzero(its_fold == k)
            if len(rows):
                x = block[rows][:, own].transpose(1, 0, 2) - mean_x[:, None, :]
                predicted[:, rows] = x @ beta + mean_y


def _beta(sums: Sequence[np.ndarray], alpha: float, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ridge coefficients on the raw features [draw, feature, target], and the means of x and y."""
    n, x, xx, y, xy, _ = sums
    mean_x, mean_y = x / n, y / n
    variance = np.diagonal(xx, axis1=1, axis2=2) / n - mean_x**2
    varies = variance > floor
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    gram = (xx - n * mean_x[:, :, None] * mean_x[:, None, :]) * scale[:, :, None] * scale[:, None, :]
    target = (xy - n * mean_x[:, :, None] * mean_y) * scale[:, :, None]
    solved = np.linalg.solve(gram + alpha * np.eye(gram.shape[1]), target)
    return solved * scale[:, :, None], mean_x, mean_y


def _error(held: list[Any], beta: np.ndarray, mean_x: np.ndarray, mean_y: np.ndarray) -> np.ndarray:
    """Squared error of a fit on rows of which the sums are known, [draw, target]."""
    n, x, xx, y, xy, yy = held
    centre = x - n * mean_x
    products = xy - mean_x[:, :, None] * y - centre[:, :, None] * mean_y
    squares = xx - mean_x[:, :, None] * x[:, None, :] - x[:, :, None] * mean_x[:, None, :]
    squares = squares + n * mean_x[:, :, None] * mean_x[:, None, :]
    squared = yy - 2 * mean_y * y + n * mean_y**2
    return squared - 2 * (beta * products).sum(axis=1) + (beta * (squares @ beta)).sum(axis=1)
