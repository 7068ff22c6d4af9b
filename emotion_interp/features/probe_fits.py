"""The fits behind the probes: class weights, logistic regression on few features, ridge on all dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.features.dense import neutral_components, project_out
from emotion_interp.features.design import split_hash
from emotion_interp.stats.scores import composite_auroc, pairwise_auroc

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Ridge penalties tried, as multiples of the mean eigenvalue of the weighted covariance."""

FOLDS = 4

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank


def balanced_weights(codes: np.ndarray, target: int, neutral: int | None) -> np.ndarray:
    """Weight of each word: the emotion 1/2, its contrast 1/2 (neutral 1/4, other emotions 1/4 in equal shares): [word].

    The contrast is that of the composite AUROC. Weights sum to 1.
    """
    codes = np.asarray(codes)
    weights = np.zeros(len(codes))
    others = [c for c in np.unique(codes) if c not in (target, neutral)]
    has_neutral = neutral is not None and bool((codes == neutral).any())
    half = 0.25 if others and has_neutral else 0.5
    for c in others:
        weights[codes == c] = half / len(others) / (codes == c).sum()
    if has_neutral:
        weights[codes == neutral] = half / (codes == neutral).sum()
    weights[codes == target] = 0.5 / (codes == target).sum()
    return weights


def logistic_weights(values: np.ndarray, target: np.ndarray, sample_weights: np.ndarray) -> np.ndarray:
    """L2 logistic regression (C = 1) on features scaled to unit spread; weights per unit of activation: [feature]."""
    from sklearn.linear_model import LogisticRegression

    spread = values.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    # the weights sum to the number of words, so that C means the same for every emotion
    model = LogisticRegression(C=1.0, max_iter=1000)
    model.fit(values / spread, target.astype(int), sample_weight=sample_weights * len(values))
    return model.coef_[0].astype(np.float64) / spread


def ridge_weights(values: np.ndarray, target: np.ndarray, sample: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Weighted ridge regression of +1 / -1 on values: [penalty, dimension].

    Args:
        values: [word, dimension].
        target: whether a word is the emotion's [word].
        sample: weights [word] that sum to 1.
        penalties: multiples of the mean eigenvalue of the weighted covariance.
    """
    root = np.sqrt(sample)
    y = np.where(target, 1.0, -1.0)
    x = root[:, None] * (values - sample @ values)
    y = root * (y - sample @ y)
    # the smaller of the two kernels, of words or of dimensions, so that the time does not grow with the cube of the words
    few = len(values) <= values.shape[1]
    kernel = x @ x.T if few else x.T @ x
    eigenvalues, vectors = np.linalg.eigh(kernel)
    scale = max(np.trace(kernel) / values.shape[1], 1e-300)
    inverse = 1.0 / (np.maximum(eigenvalues, 0.0)[None, :] + np.asarray(penalties)[:, None] * scale)
    solved = (inverse * (vectors.T @ (y if few else x.T @ y))[None, :]) @ vectors.T
    return solved @ x if few else solved


def cross_validated_ridge(
    values: np.ndarray,
    codes: np.ndarray,
    target: int,
    neutral: int | None,
    n_classes: int,
    groups: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, float]:
    """Linear probe on all dimensions; the penalty with the best mean composite AUROC over folds that share no group.

    Returns:
        weights [dimension], and the penalty (a multiple of the mean eigenvalue).
    """
    fold = group_folds(codes, groups, seed)
    penalties = np.asarray(PENALTIES)
    scores = []
    for left_out in range(FOLDS):
        held = fold == left_out
        if not (codes[held] == target).any() or not (codes[~held] == target).any() or (codes[held] == target).all():
            continue
        sample = balanced_weights(codes[~held], target, neutral)
        weights = ridge_weights(values[~held], codes[~held] == target, sample, penalties)
        pairwise = pairwise_auroc(values[held] @ weights.T, codes[held], target, n_classes)
        present = neutral if neutral is not None and (codes[held] == neutral).any() else None
        scores.append(composite_auroc(pairwise, target, present))
    # too few words for folds: the strongest penalty, which is the direction of the difference of means
    best = int(np.argmax(np.mean(scores, axis=0))) if scores else len(penalties) - 1
    sample = balanced_weights(codes, target, neutral)
    return ridge_weights(values, codes == target, sample, penalties[[best]])[0], float(penalties[best])


def group_folds(codes: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Fold of each word: whole groups, spread evenly within each class: [word]."""
    fold: dict[str, int] = {}
    for c in np.unique(codes):
        class_groups = sorted({str(g) for g in groups[codes == c]} - set(fold))
        order = generator(seed, "probe folds", c).permutation(len(class_groups))
        fold.update({class_groups[index]: place % FOLDS for place, index in enumerate(order)})
    return np.asarray([fold[str(g)] for g in groups])


def dense_cleaner(dense: np.ndarray, codes: np.ndarray, neutral: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """A function that projects the neutral principal components of these words out of activations [word, d_model]."""
    if neutral is None or not (codes == neutral).any():
        return lambda values: values
    components = neutral_components(dense[codes == neutral])
    return lambda values: project_out(values, components)


def probe_directions(
    vectors: Mapping[tuple[Site, str, str, int], np.ndarray], emotions: Sequence[str]
) -> dict[tuple[Site, str, str], np.ndarray]:
    """Probes as a bank keeps directions: (site, language, "probe_k8") -> [emotion, d_model], zeros where there is no probe."""
    directions: dict[tuple[Site, str, str], np.ndarray] = {}
    for (site, language, emotion, k), vector in vectors.items():
        empty = np.zeros((len(emotions), len(vector)), dtype=np.float32)
        directions.setdefault((site, language, f"probe_k{k}"), empty)[list(emotions).index(emotion)] = vector
    return directions


def require_same_split(source: Mapping[str, object], bank: FeatureBank) -> None:
    """Refuse probes of another subject, or fitted on stimuli that the bank holds out."""
    manifest = bank.manifest
    if source["subject"] != manifest.get("subject"):
        raise EmotionInterpError(
            f"the probes belong to the subject {source['subject']!r}, the bank to {manifest.get('subject')!r}."
        )
    if source["stimuli"] != manifest.get("stimuli", "words"):
        return
    for key, name in (("seed", "seed"), ("concepts_sha256", "concept sets")):
        if source[key] != manifest.get(key):
            raise EmotionInterpError(
                f"the probes were fitted with another {name} than the bank, so on words that the bank holds out. "
                "Fit them with the seed and the concepts of the bank."
            )
    if manifest.get("stimuli") == "texts" and source["split_sha256"] != split_hash(bank.words):
        raise EmotionInterpError(
            "the probes were fitted on other texts than the bank, or on another split of them, so perhaps on texts that "
            "the bank holds out. Fit them on the texts of the bank, in the same order."
        )
