"""One linear read-out of all emotions at one site in one language: from features or from the whole stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from emotion_interp.core.types import Site
from emotion_interp.stats.discriminant import calibrated, discriminant, whitened

KINDS = ("features", "dense")
LENGTHS = (1, 2, 4, 8, 16, 32)
"""Tokens of the stretches of neutral text that a stretch of a text is measured against."""
NAMED = 0.95
"""An emotion is named where its value is more than the strongest emotion reaches in this share of neutral stretches."""
SHRINKAGE = {"texts": 0.9, "features": 0.8, "words": 0.6, "word features": 0.9}
"""Of the correlations between coordinates; set once, and not for each model."""
READABLE = 3.0
"""How many times chance the strongest emotion of texts not read in training must be right."""
FOLDS = 8


@dataclass(frozen=True, eq=False)
class Readout:
    """Values of the emotions at a token or a text: weights x state + bias.

    The state is the stream over the site's scale ("dense"), or log(1 + activation) of `features`. 1.0 is the spread of
    neutral tokens. source: what it was made from ("words", "scenes", "stories", ...). top1, top3: share of texts that
    were not read in training whose emotion came first, or among the first three; NaN where that was not tried.
    levels: `neutral_levels` of its values; mean_levels: of the mean over the layers that were made together, in place of
    which stand its own where it was made alone.
    """

    site: Site
    language: str
    kind: str
    source: str
    emotions: tuple[str, ...]
    features: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    levels: np.ndarray
    mean_levels: np.ndarray
    top1: float = float("nan")
    top3: float = float("nan")
    n_texts: int = 0

    @property
    def chance(self) -> float:
        return 1 / len(self.emotions)

    @property
    def readable(self) -> bool | None:
        """Whether it was right often enough; None where it was not tried."""
        return None if np.isnan(self.top1) else self.top1 >= READABLE * self.chance

    def values(self, dense: np.ndarray, latents: Any) -> np.ndarray:
        """Values of each row [row, emotion].

        Args:
            dense: stream over the scale [row, d_model].
            latents: log(1 + activation) of all latents [row, latent], sparse or not.
        """
        states: Any = dense if self.kind == "dense" else latents[:, self.features]
        whole = states.toarray() if hasattr(states, "toarray") else np.asarray(states)
        return whole.astype(np.float64) @ self.weights.T + self.bias


def neutral_levels(tokens: np.ndarray) -> np.ndarray:
    """What the strongest emotion of a neutral stretch of `LENGTHS` tokens reaches in 19 of 20 [length].

    Args:
        tokens: values of neutral tokens, in the order of their texts [token, emotion].

    Example:
        >>> neutral_levels(np.tile([[3.0, 0.0], [0.0, 1.0]], (40, 1)))[:2].tolist()
        [3.0, 1.5]
    """
    levels = []
    for length in LENGTHS:
        whole = len(tokens) // length * length
        # too few tokens for one such stretch: the level of the longest that there is
        stretches = tokens[:whole].reshape(-1, length, tokens.shape[1]).mean(1) if whole else tokens.mean(0)[None]
        levels.append(float(np.quantile(stretches.max(1), NAMED)))
    return np.asarray(levels)


def level_of(levels: np.ndarray, n_tokens: int) -> float:
    """What the strongest emotion of a neutral stretch of so many tokens reaches in 19 of 20, between `LENGTHS` by their logarithm.

    Example:
        >>> level_of(np.array([6.0, 5.0, 4.0, 3.0, 2.0, 1.0]), 8), level_of(np.array([6.0, 5.0, 4.0, 3.0, 2.0, 1.0]), 500)
        (3.0, 1.0)
    """
    return float(np.interp(np.log2(max(n_tokens, 1)), np.log2(LENGTHS), levels))


def unmeasured(site: Site, language: str, kind: str, source: str, emotions: tuple[str, ...], **fitted: Any) -> Readout:
    """A read-out whose neutral levels are not known yet."""
    none = np.zeros(len(LENGTHS))
    return Readout(site, language, kind, source, emotions, levels=none, mean_levels=none, **fitted)


def fitted_on_texts(
    states: np.ndarray,
    codes: np.ndarray,
    n_classes: int,
    neutral: np.ndarray,
    sample_weights: np.ndarray,
    shrinkage: float = SHRINKAGE["texts"],
) -> tuple[np.ndarray, np.ndarray]:
    """Linear discriminants of the emotions, each against the mean of all; one unit is the spread of neutral tokens.

    Args:
        states: of texts [text, dimension].
        codes: emotion of each text.
        n_classes: number of emotions.
        neutral: states of neutral tokens [token, dimension].
        sample_weights: of each text.
        shrinkage: of the correlations between dimensions.
    """
    weights, bias = discriminant(states, codes, n_classes, shrinkage, sample_weights)
    # what all emotions share says nothing of which it is
    weights, bias = weights - weights.mean(0), bias - bias.mean()
    spread = float((neutral.astype(np.float64) @ weights.T).std(0).mean()) or 1.0
    return weights / spread, bias / spread


def fitted_on_word_vectors(directions: np.ndarray, neutral: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A bank's directions against neutral tokens, whose correlations are taken out: [emotion, d_model] and [emotion]."""
    return whitened(directions, neutral, SHRINKAGE["words"])


def fitted_on_word_features(
    states: np.ndarray, codes: np.ndarray, n_classes: int, n_emotions: int, neutral: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Discriminants of words by their features, each calibrated on neutral tokens."""
    weights, _ = discriminant(states, codes, n_classes, SHRINKAGE["word features"])
    return calibrated(weights[:n_emotions], neutral)


def feature_areas(states: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """AUROC of each feature for each emotion against the texts of all others [emotion, feature].

    Args:
        states: [text, feature].
        codes: emotion of each text.
        n_classes: number of emotions; one without texts, or with all of them, has .5.

    Example:
        >>> feature_areas(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([0, 1]), 2).tolist()
        [[1.0, 0.5], [0.0, 0.5]]
    """
    ranks = rankdata(states, axis=0)
    areas = np.full((n_classes, states.shape[1]), 0.5)
    for c in range(n_classes):
        n = int((codes == c).sum())
        if 0 < n < len(codes):
            areas[c] = (ranks[codes == c].sum(0) - n * (n + 1) / 2) / (n * (len(codes) - n))
    return areas


def top_shares(values: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """Share of rows whose own emotion has the largest value, and is among the three largest; a tie counts against it.

    Example:
        >>> top_shares(np.array([[2.0, 1.0, 0.0, 0.0], [0.0, 2.0, 1.0, 3.0]]), np.array([0, 2]))
        (0.5, 1.0)
    """
    own = values[np.arange(len(codes)), codes]
    better = (values >= own[:, None]).sum(1) - 1
    return float((better == 0).mean()), float((better < 3).mean())
