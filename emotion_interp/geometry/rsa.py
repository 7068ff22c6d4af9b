"""RSA: are emotions that people rate alike also alike in the model (Kriegeskorte, Mur & Bandettini 2008)?

Model dissimilarity: 1 - cosine of the vectors centred across emotions. Human dissimilarity: Euclidean distance of
z-scored (valence, arousal). Spearman over the pairs, Mantel permutation of the emotions (one-sided: alike is alike).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emotion_interp.core.seeds import generator
from emotion_interp.geometry.coordinates import HumanCoordinates, standardised
from emotion_interp.geometry.intervals import Interval, bca_interval, permutation_p, weighted_correlation
from emotion_interp.geometry.space import EmotionSpace

_CHUNK = 2_000_000


@dataclass(frozen=True)
class RSAFit:
    """Spearman `rho` over pairs of emotions, its 95% BCa interval over emotions (pairs of an emotion with itself left
    out), its Mantel `p`, and the noise `ceiling` (rating noise only; None where SD or n is unknown)."""

    rho: float
    ci: Interval
    p: float
    ceiling: float | None


def pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every pair of n emotions, first < second."""
    return np.triu_indices(n, k=1)


def model_dissimilarity(space: EmotionSpace) -> np.ndarray:
    """1 - cosine of the centred vectors, [pair]. A vector at the mean has no direction: its cosines count as 0."""
    centred = space.centred
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
    return 1 - (unit @ unit.T)[pairs(len(centred))]


def human_dissimilarity(z: np.ndarray) -> np.ndarray:
    """Euclidean distances of z-scored ratings, [pair]."""
    first, second = pairs(len(z))
    return np.linalg.norm(z[first] - z[second], axis=1)


def _unit_ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    # rounding differences between equal distances must not become different ranks
    ranks = rankdata(np.round(values, 12))
    ranks = ranks - ranks.mean()
    length = np.linalg.norm(ranks)
    return ranks / length if length > 0 else ranks


def mantel_null(models: np.ndarray, human: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Null of rho, [permutation, model]: the human emotions reordered. `models` [model, pair], `human` [pair]."""
    n = orders.shape[1]
    first, second = pairs(n)
    square = np.zeros((n, n))
    square[first, second] = square[second, first] = _unit_ranks(human)
    ranks = np.stack([_unit_ranks(m) for m in models], axis=1)
    null = np.empty((len(orders), ranks.shape[1]))
    step = max(1, _CHUNK // len(first))
    for start in range(0, len(orders), step):
        block = orders[start : start + step]
        null[start : start + step] = square.ravel()[block[:, first] * n + block[:, second]] @ ranks
    return null


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rho with average ranks for ties; 0 where one side is constant."""
    return float(np.clip(_unit_ranks(first) @ _unit_ranks(second), -1, 1))


def bootstrap_interval(model: np.ndarray, human: np.ndarray, n: int, n_bootstrap: int, seed: int) -> Interval:
    """BCa interval over emotions. A pair weighs as often as its two emotions were drawn together; pairs of an emotion
    with itself do not exist here, which is the same as dropping them from each bootstrap sample."""
    first, second = pairs(n)
    x, y = _TiedOrder(np.round(model, 12)), _TiedOrder(np.round(human, 12))

    def statistic(counts: np.ndarray) -> np.ndarray:
        step = max(1, _CHUNK // len(first))
        values = []
        for start in range(0, len(counts), step):
            block = counts[start : start + step]
            weights = block[:, first] * block[:, second]
            values.append(weighted_correlation(weights, x.ranks(weights), y.ranks(weights)))
        return np.concatenate(values)

    return bca_interval(statistic, n, n_bootstrap, seed)


class _TiedOrder:
    """Average ranks of fixed values under changing weights: sorted once, ranked by cumulative weight."""

    def __init__(self, values: np.ndarray) -> None:
        self.order = np.argsort(values, kind="stable")
        _, self.inverse, sizes = np.unique(values, return_inverse=True, return_counts=True)
        self.last = np.cumsum(sizes) - 1

    def ranks(self, weights: np.ndarray) -> np.ndarray:
        """[sample, pair] ranks, centred on the middle rank and scaled to about one."""
        ends = np.cumsum(weights[:, self.order], axis=1)[:, self.last]
        middle = ends.copy()
        middle[:, 1:] += ends[:, :-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return (middle / ends[:, -1:] - 1)[:, self.inverse]


def rating_noise_ceiling(human: HumanCoordinates, seed: int, n_simulations: int = 200) -> float | None:
    """Mean rho between two simulated sets of ratings, each the means plus noise of their standard error.

    Rating noise only: what a second group of raters would agree with. None where SD or n is unknown.
    """
    columns = [(human.valence, human.valence_se)]
    if human.arousal is not None:
        columns.append((human.arousal, human.arousal_se))
    if any(error is None for _, error in columns):
        return None
    rng = generator(seed, "rating noise")

    def draw() -> np.ndarray:
        drawn = [standardised(rng.normal(mean, error)) for mean, error in columns if error is not None]
        return human_dissimilarity(np.column_stack(drawn))

    return float(np.mean([spearman(draw(), draw()) for _ in range(n_simulations)]))


def rsa_fit(
    model: np.ndarray, human: np.ndarray, null: np.ndarray, n: int, n_bootstrap: int, seed: int, ceiling: float | None
) -> RSAFit:
    """One layer's RSA from its dissimilarities [pair] and its Mantel null [permutation]."""
    rho = spearman(model, human)
    return RSAFit(rho, bootstrap_interval(model, human, n, n_bootstrap, seed), permutation_p(rho, null), ceiling)
