"""Ridge regression of many outputs at once, its strength chosen for each output with whole topics held out.

All outputs share the predictors, so one decomposition for each set of training topics serves every layer and space.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from emotion_interp.core.errors import EmotionInterpError

STRENGTHS = (*(10.0**k for k in range(-6, 2)), float("inf"))
"""Penalties tried, in multiples of the predictors' total variance times the number of stories; infinite: the mean alone."""
MOST_FOLDS = 8


class TopicRidge:
    """Ridge on some predictors of the stories of some topics, for any outputs.

    Args:
        predictors: [story, predictor], of the stories it is fitted to.
        topics: topic of each story; each fold of the cross-validation holds whole topics (`MOST_FOLDS` at most).
        strengths: penalties tried, as in `STRENGTHS`.

    Raises:
        EmotionInterpError: fewer than two topics.

    Example:
        >>> x = np.arange(8.0)[:, None]
        >>> fit = TopicRidge(x, [0, 0, 1, 1, 2, 2, 3, 3])
        >>> fit(2 * x, np.array([[10.0]])).round(2).tolist()
        [[20.0]]
    """

    def __init__(
        self, predictors: np.ndarray, topics: Sequence[Hashable], strengths: Sequence[float] = STRENGTHS
    ) -> None:
        names, number = np.unique(np.asarray(topics).astype(str), return_inverse=True)
        if len(names) < 2:
            raise EmotionInterpError(
                f"the ridge's strength is chosen with whole topics held out: at least 2 topics to fit on, got {len(names)}."
            )
        self.strengths = sorted(float(s) for s in strengths)
        self.fold = number % min(MOST_FOLDS, len(names))
        self.predictors = predictors
        self.whole = _Decomposed(predictors)
        self.parts = []
        for k in range(self.fold.max() + 1):
            train, held = np.flatnonzero(self.fold != k), np.flatnonzero(self.fold == k)
            part = _Decomposed(predictors[train])
            self.parts.append((train, held, part, part.turned(predictors[held])))

    def chosen(self, outputs: np.ndarray) -> np.ndarray:
        """The strength of least held-out squared error for each output; the strongest on a tie."""
        errors = np.zeros((len(self.strengths), outputs.shape[1]))
        for train, held, part, turned in self.parts:
            mean = outputs[train].mean(axis=0)
            onto = part.left.T @ (outputs[train] - mean)
            truth = outputs[held] - mean
            for i, strength in enumerate(self.strengths):
                errors[i] += ((truth - (turned * part.shrunk(strength)) @ onto) ** 2).sum(axis=0)
        best = len(self.strengths) - 1 - errors[::-1].argmin(axis=0)
        return np.asarray(self.strengths)[best]

    def held_out(self, outputs: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Residuals [story, output] of each story from the fit to the other folds, at the chosen strengths."""
        left = np.empty_like(outputs)
        for train, held, part, turned in self.parts:
            mean = outputs[train].mean(axis=0)
            onto = part.left.T @ (outputs[train] - mean)
            for strength in np.unique(chosen):
                columns = np.flatnonzero(chosen == strength)
                fitted = (turned * part.shrunk(strength)) @ onto[:, columns]
                left[np.ix_(held, columns)] = outputs[np.ix_(held, columns)] - mean[columns] - fitted
        return left

    def predict(self, outputs: np.ndarray, chosen: np.ndarray, predictors: np.ndarray) -> np.ndarray:
        """Fit `outputs` [story, output] of the training stories at the chosen strengths; predict those of other stories."""
        mean = outputs.mean(axis=0)
        onto = self.whole.left.T @ (outputs - mean)
        turned = self.whole.turned(predictors)
        predicted = np.empty((len(predictors), outputs.shape[1]))
        for strength in np.unique(chosen):
            columns = chosen == strength
            predicted[:, columns] = (turned * self.whole.shrunk(strength)) @ onto[:, columns] + mean[columns]
        return predicted

    def __call__(self, outputs: np.ndarray, predictors: np.ndarray) -> np.ndarray:
        """`predict` at the strengths of least held-out error."""
        return self.predict(outputs, self.chosen(outputs), predictors)

    def weights(self, strength: float, predictors: np.ndarray) -> np.ndarray:
        """What each training story contributes to each prediction: [predicted, training story]."""
        shrunk = self.whole.turned(predictors) * self.whole.shrunk(strength)
        return shrunk @ self.whole.left.T + 1 / len(self.whole.left)


class _Decomposed:
    """Singular value decomposition of centred predictors."""

    def __init__(self, predictors: np.ndarray) -> None:
        self.mean = predictors.mean(axis=0)
        left, singular, right = np.linalg.svd(predictors - self.mean, full_matrices=False)
        nonzero = singular > max(singular.max(initial=0.0) * 1e-10, 1e-300)
        self.left, self.singular, self.right = left[:, nonzero], singular[nonzero], right[nonzero]
        self.total = float((self.singular**2).sum())

    def turned(self, predictors: np.ndarray) -> np.ndarray:
        return (predictors - self.mean) @ self.right.T

    def shrunk(self, strength: float) -> np.ndarray:
        """What each component is multiplied with; nothing of it under an infinite penalty."""
        if np.isinf(strength):
            return np.zeros_like(self.singular)
        return self.singular / (self.singular**2 + strength * self.total)


def stacked(blocks: Sequence[np.ndarray], fit: np.ndarray) -> np.ndarray:
    """Blocks of predictors side by side [story, predictor], each at total variance one on the stories `fit`, so that a
    block of large numbers cannot drown another."""
    scaled = []
    for block in blocks:
        centred = block - block[fit].mean(axis=0)
        spread = float(np.sqrt((centred[fit] ** 2).sum(axis=1).mean()))
        scaled.append(centred / spread if spread > 0 else centred)
    return np.hstack(scaled)
