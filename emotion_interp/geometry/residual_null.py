"""Null of an emotion space that single stories make: their vectors are permuted over the emotions within each topic.

The numbers are those of `align` (largest |r| over components, RSA rho, left-out read-out), computed from the inner
products of the emotions' vectors, many permutations at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emotion_interp.core.seeds import generator
from emotion_interp.geometry.pc_scan import unit
from emotion_interp.geometry.rsa import human_dissimilarity, pairs, unit_ranks

STATISTICS = ("valence", "arousal", "rsa", "readout_valence", "readout_arousal")
_CHUNK = 2_000_000
_RANK = 1e-13


def story_orders(codes: np.ndarray, topics: Sequence[Any], n_permutations: int, seed: int) -> np.ndarray:
    """Emotion codes [permutation, story] shuffled among the stories of each topic; the same for every layer of one seed."""
    rng = generator(seed, "stories within topics", len(codes))
    shuffled = np.tile(codes.astype(np.int32), (n_permutations, 1))
    names = np.asarray(topics).astype(str)
    for topic in np.unique(names):
        own = np.flatnonzero(names == topic)
        shuffled[:, own] = rng.permuted(shuffled[:, own], axis=1)
    return shuffled


class StoryStatistics:
    """The statistics of emotion spaces made of one set of stories, for any assignment of the stories to emotions.

    Args:
        vectors: [story, dimension].
        z: human ratings [emotion, 1 or 2], z-scored: valence, arousal.
        n_components, ridge: as in `align`.
    """

    def __init__(self, vectors: np.ndarray, z: np.ndarray, n_components: int, ridge: float) -> None:
        vectors = vectors - vectors.mean(axis=0)
        if vectors.shape[1] > len(vectors):
            # turned into the span of the stories: the same inner products in fewer dimensions
            vectors = np.linalg.qr(vectors.T)[1].T
        self.vectors = np.ascontiguousarray(vectors)
        self.targets = np.column_stack([unit(column) for column in z.T])
        self.human = unit_ranks(human_dissimilarity(z))
        self.n_components, self.ridge = n_components, ridge

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the statistics, in order."""
        return STATISTICS if self.targets.shape[1] == 2 else ("valence", "rsa", "readout_valence")

    def __call__(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Each statistic [assignment] for emotion codes [assignment, story]."""
        n = len(self.targets)
        step = max(1, _CHUNK // (n * n))
        found = []
        for start in range(0, len(codes), step):
            grams = np.stack([self._gram(row) for row in codes[start : start + step]])
            found.append(self._of_grams(grams))
        return dict(zip(self.names, np.concatenate(found).T, strict=True))

    def _gram(self, codes: np.ndarray) -> np.ndarray:
        """Inner products [emotion, emotion] of the emotions' means, centred over emotions."""
        from scipy.sparse import csc_matrix

        n = len(self.targets)
        shares = 1 / np.bincount(codes, minlength=n)[codes]
        mean_of = csc_matrix((shares, codes, np.arange(len(codes) + 1)), shape=(n, len(codes)))
        means = mean_of @ self.vectors
        means = means - means.mean(axis=0)
        return means @ means.T

    def _of_grams(self, grams: np.ndarray) -> np.ndarray:
        n = grams.shape[1]
        values, vectors = np.linalg.eigh(grams)
        values = np.maximum(values, 0)
        top, largest = vectors[:, :, ::-1][:, :, : self.n_components], values[:, -1:]
        there = values[:, ::-1][:, : self.n_components] > _RANK * largest
        along = np.abs(np.einsum("bek,et->bkt", top, self.targets)) * there[:, :, None]
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
