"""Nulls of emotion spaces that single stories make.

Of a space as it was read: the stories' vectors are permuted over the emotions within each topic. Of a residual space: the
stories' residuals are permuted within each topic, those of the stories fitted on too, added back to what the text
predicts, and the ridge is fitted anew (Freedman & Lane 1983, J. Bus. Econ. Stat. 1, 292-298). A null that permutes what is
left without fitting anew takes the error of the ridge, which leans on the text as the emotions do, for a geometry: p < .05
in 8 to 10% of simulated spaces with nothing beyond the text (9 emotions, 108 stories to fit on).

The numbers are those of `align` (largest |r| over components, RSA rho, left-out read-out), computed from the inner
products of the emotions' vectors, many permutations at a time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from scipy.sparse import csc_matrix

from emotion_interp.core.seeds import generator
from emotion_interp.geometry.pc_scan import unit
from emotion_interp.geometry.rsa import human_dissimilarity, pairs, unit_ranks
from emotion_interp.geometry.topic_ridge import TopicRidge

STATISTICS = ("valence", "arousal", "rsa", "readout_valence", "readout_arousal")
_CHUNK = 2_000_000
_RANK = 1e-13


def story_orders(
    codes: np.ndarray, topics: Sequence[Hashable], n_permutations: int, seed: int, half: str = "read from"
) -> np.ndarray:
    """Codes of stories [permutation, story] shuffled among those of each topic; the same for every layer of one seed."""
    rng = generator(seed, "stories within topics", half, len(codes))
    shuffled = np.tile(codes.astype(np.int32), (n_permutations, 1))
    names = np.asarray(topics).astype(str)
    for topic in np.unique(names):
        members = np.flatnonzero(names == topic)
        shuffled[:, members] = rng.permuted(shuffled[:, members], axis=1)
    return shuffled


def permuted_means(vectors: np.ndarray, orders: np.ndarray, n_emotions: int) -> Iterator[np.ndarray]:
    """Emotions' means [emotion, dimension] of stories [story, dimension], for each row of emotion codes."""
    vectors = vectors - vectors.mean(axis=0)
    if vectors.shape[1] > len(vectors):
        # turned into the span of the stories: the same inner products in fewer dimensions
        vectors = np.linalg.qr(vectors.T)[1].T
    vectors = np.ascontiguousarray(vectors)
    for codes in orders:
        yield _averaging(codes, n_emotions) @ vectors


def refitted_means(
    regression: TopicRidge,
    outputs: np.ndarray,
    chosen: np.ndarray,
    left: np.ndarray,
    emotion_predictors: np.ndarray,
    orders: np.ndarray,
    fit_orders: np.ndarray,
) -> Iterator[np.ndarray]:
    """Emotions' means [emotion, dimension] of residuals of the ridge fitted anew, where the text says all there is to know.

    Args:
        regression: fitted on the training stories; outputs: theirs [story, dimension]; chosen: strengths [dimension].
        left: residuals of the test stories [story, dimension].
        emotion_predictors: each emotion's mean predictors over its test stories [emotion, predictor].
        orders: emotion codes of the test stories [permutation, story].
        fit_orders: places of the training stories [permutation, story].
    """
    n = len(emotion_predictors)
    errors = regression.held_out(outputs, chosen)
    fitted = regression.predict(outputs, chosen, regression.predictors)
    groups = []
    # what shrinkage leaves of the text's own part
    base = regression.predict(outputs, chosen, emotion_predictors)
    for strength in np.unique(chosen):
        columns = np.flatnonzero(chosen == strength)
        weights = regression.weights(strength, emotion_predictors)
        base[:, columns] -= weights @ fitted[:, columns]
        groups.append((columns, weights, np.ascontiguousarray(errors[:, columns])))
    for codes, places in zip(orders, fit_orders, strict=True):
        means = base + _averaging(codes, n) @ left
        for columns, weights, moved in groups:
            means[:, columns] -= weights[:, places] @ moved
        yield means


def _averaging(codes: np.ndarray, n_emotions: int) -> csc_matrix:
    """Sparse [emotion, story] that averages the stories of each emotion."""
    shares = 1 / np.bincount(codes, minlength=n_emotions)[codes]
    return csc_matrix((shares, codes, np.arange(len(codes) + 1)), shape=(n_emotions, len(codes)))


class StoryStatistics:
    """The statistics of emotion spaces, of many at a time.

    Args:
        z: human ratings [emotion, 1 or 2], z-scored: valence, arousal.
        n_components: as in `align`.
        ridge: as in `align`.
    """

    def __init__(self, z: np.ndarray, n_components: int, ridge: float) -> None:
        self.targets = np.column_stack([unit(column) for column in z.T])
        self.human = unit_ranks(human_dissimilarity(z))
        self.n_components, self.ridge = n_components, ridge

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the statistics, in order."""
        return STATISTICS if self.targets.shape[1] == 2 else ("valence", "rsa", "readout_valence")

    def __call__(self, means: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        """Each statistic [space] of spaces [emotion, dimension]."""
        n = len(self.targets)
        step = max(1, _CHUNK // (n * n))
        spaces, fits = iter(means), []
        while block := list(islice(spaces, step)):
            fits.append(self._of_grams(np.stack([_gram(space) for space in block])))
        return dict(zip(self.names, np.concatenate(fits).T, strict=True))

    def _of_grams(self, grams: np.ndarray) -> np.ndarray:
        n = grams.shape[1]
        values, vectors = np.linalg.eigh(grams)
        values = np.maximum(values, 0)
        top, largest = vectors[:, :, ::-1][:, :, : self.n_components], values[:, -1:]
        nonzero = values[:, ::-1][:, : self.n_components] > _RANK * largest
        along = np.abs(np.einsum("bek,et->bkt", top, self.targets)) * nonzero[:, :, None]
        scans = along.max(axis=1)
        penalty = self.ridge * values.sum(axis=1, keepdims=True) / (n - 1)
        hat = (vectors * (values / (values + penalty))[:, None, :]) @ vectors.transpose(0, 2, 1) + 1 / n
        leverage = np.einsum("bee->be", hat)[:, :, None]
        predicted = (hat @ self.targets - leverage * self.targets) / (1 - leverage)
        predicted = predicted - predicted.mean(axis=1, keepdims=True)
        lengths = np.maximum(np.linalg.norm(predicted, axis=1), 1e-300)
        readouts = np.einsum("bet,et->bt", predicted, self.targets) / lengths
        norms = np.sqrt(np.maximum(np.einsum("bee->be", grams), 1e-300))
        first, second = pairs(n)
        cosines = grams[:, first, second] / (norms[:, first] * norms[:, second])
        rho = unit_ranks(-cosines) @ self.human
        return np.column_stack([scans, rho, readouts])


def _gram(means: np.ndarray) -> np.ndarray:
    """Inner products [emotion, emotion], centred over emotions."""
    means = means - means.mean(axis=0)
    return means @ means.T
