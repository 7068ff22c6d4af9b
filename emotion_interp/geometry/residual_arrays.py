"""Text-residualised geometry of activations that were read before; see `residual_geometry`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Unpack

import numpy as np

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.options import merged
from emotion_interp.geometry.align import align_layers
from emotion_interp.geometry.coordinates import HumanCoordinates, as_norms
from emotion_interp.geometry.increment import PartialRSA, partial_rsa
from emotion_interp.geometry.options import AlignOptions, ResidualChoices, ResidualOptions
from emotion_interp.geometry.residual_checks import (
    alive_columns,
    predictor_blocks,
    rated_stories,
    same,
    story_matrix,
    topic_halves,
)
from emotion_interp.geometry.residual_null import StoryStatistics, permuted_means, refitted_means, story_orders
from emotion_interp.geometry.residual_results import PLAIN, ResidualFit, ResidualGeometry, removed_shares
from emotion_interp.geometry.rsa import human_dissimilarity, model_dissimilarity
from emotion_interp.geometry.space import EmotionSpace, unit_means
from emotion_interp.geometry.text_predictors import noise_like
from emotion_interp.geometry.topic_ridge import TopicRidge, stacked
from emotion_interp.stats.intervals import permutation_p, permutations
from emotion_interp.stats.sparse import Matrix

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.core.types import Site
    from emotion_interp.norms import Norms


@checked
def residual_alignments(
    activations: Mapping[tuple[Site, str], Matrix],
    predictors: Mapping[str, object],
    emotions: Sequence[str],
    topics: Sequence[Hashable],
    norms: Norms | pd.DataFrame,
    *,
    weights: str = "own",
    options: ResidualOptions | None = None,
    **choices: Unpack[ResidualChoices],
) -> ResidualGeometry:
    """`residual_geometry` of activations that were read before.

    Args:
        activations: (site, kind) -> [story, dimension], dense or scipy.sparse.
        predictors: name -> [story, predictor], or a tuple of such blocks. A predictor that is the very activations is
            left out for them.
        emotions: as in `residual_geometry`, as is what is refused.
        topics: as in `residual_geometry`.
        norms: as in `residual_geometry`.
        weights: noted in the result.
        options: topics, noise, and how the residuals are aligned.
        **choices: fields of `ResidualOptions`, by keyword.
    """
    chosen = merged(ResidualOptions, options, choices)
    language, seed, n_permutations = chosen.language, chosen.seed, chosen.n_permutations
    fit, test = topic_halves(emotions, topics, chosen.fit_topics, chosen.test_topics)
    human, test, codes = rated_stories(emotions, test, as_norms(norms, language), chosen.labels)
    n = len(emotions)
    runs: dict[str, tuple[np.ndarray, ...]] = {name: predictor_blocks(name, p, n) for name, p in predictors.items()}
    if not runs or PLAIN in runs:
        raise EmotionInterpError("predictors are given by name, at least one, and no name is empty.")
    values = {key: story_matrix(f"the activations at {key[0]} ({key[1]})", v, n) for key, v in activations.items()}
    if chosen.noise:
        sizes = {name: sum(b.shape[1] for b in blocks) for name, blocks in runs.items()}
        runs |= {f"{_NOISE}{name})": (noise_like(name, n, size, seed),) for name, size in sizes.items()}
    test_topics = [topics[i] for i in test.tolist()]
    fitted_on = [topics[i] for i in np.flatnonzero(fit).tolist()]
    orders = (
        story_orders(codes, test_topics, n_permutations, seed),
        story_orders(np.arange(len(fitted_on)), fitted_on, n_permutations, seed, "fitted on"),
        permutations(len(human.emotions), n_permutations, seed),
    )
    stories = _Stories(human, np.flatnonzero(fit), test, codes, fitted_on, *orders)
    fitted = {"n_bootstrap": chosen.n_bootstrap, "n_components": chosen.n_components, "ridge": chosen.ridge}
    how = AlignOptions(text={}, labels=chosen.labels, **fitted)
    parted = (chosen.n_components, chosen.ridge, chosen.n_bootstrap, seed)
    fits = []
    for name, blocks in {PLAIN: (), **runs}.items():
        parts = _parts(stories, name, blocks, values, *parted)
        for kind in dict.fromkeys(kind for _, kind in parts):
            family = {site: part for (site, of), part in parts.items() if of == kind}
            spaces = [
                EmotionSpace(part.left, human.emotions, None, kind, language, stimuli="texts", site=site)
                for site, part in family.items()
            ]
            aligned = align_layers(spaces, norms, n_permutations, seed, options=how).alignments
            largest = _largest([part.null for part in family.values()])
            size = sum(b.shape[1] for b in blocks)
            for (site, part), alignment in zip(family.items(), aligned, strict=True):
                p = {k: permutation_p(float(v[0]), v[1:]) for k, v in part.null.items()}
                over = {k: permutation_p(float(v[0]), largest[k]) for k, v in part.null.items()}
                removed = removed_shares(part.plain, part.left)
                fits.append(ResidualFit(weights, site, kind, name, size, *removed, alignment, p, over, part.partial))
    return ResidualGeometry(
        tuple(fits),
        len(fitted_on),
        len(test),
        tuple(dict.fromkeys(fitted_on)),
        tuple(dict.fromkeys(test_topics)),
        n_permutations,
        seed,
    )


_NOISE = "noise ("


@dataclass(frozen=True, eq=False)
class _Stories:
    """What every space of one call shares: `fit` and `test` are places of stories, `codes` the emotions of the latter,
    `topics` those of the former, `orders` [permutation, test story] such codes, `fit_orders` [permutation, story]."""

    human: HumanCoordinates
    fit: np.ndarray
    test: np.ndarray
    codes: np.ndarray
    topics: list[Hashable]
    orders: np.ndarray
    fit_orders: np.ndarray
    emotion_orders: np.ndarray

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean of each emotion's test stories."""
        return unit_means(values, [str(c) for c in self.codes], [str(i) for i in range(len(self.human.emotions))])


@dataclass(frozen=True, eq=False)
class _Part:
    """One space: emotions' vectors before (`plain`) and after the ridge (`left`), and the null of its statistics, the
    observed value first."""

    plain: np.ndarray
    left: np.ndarray
    null: dict[str, np.ndarray]
    partial: PartialRSA | None


def _parts(
    stories: _Stories,
    name: str,
    blocks: tuple[np.ndarray, ...],
    activations: Mapping[tuple[Site, str], Matrix],
    n_components: int,
    ridge: float,
    n_bootstrap: int,
    seed: int,
) -> dict[tuple[Site, str], _Part]:
    predictors = stacked(blocks, stories.fit) if blocks else None
    regression = None if predictors is None else TopicRidge(predictors[stories.fit], stories.topics)
    people, names = human_dissimilarity(stories.human.z), stories.human.emotions
    statistics = StoryStatistics(stories.human.z, n_components, ridge)
    parts = {}
    for key, matrix in activations.items():
        if any(same(block, matrix) for block in blocks):
            continue
        outputs, alive = alive_columns(matrix, stories.fit, stories.test)
        plain = stories.means(alive)
        if regression is None or predictors is None:
            moved = permuted_means(alive, stories.orders, len(names))
            parts[key] = _Part(plain, plain, statistics(chain([plain], moved)), None)
            continue
        chosen = regression.chosen(outputs)
        left = alive - regression.predict(outputs, chosen, predictors[stories.test])
        vectors = stories.means(left)
        null, partial = {}, None
        if not name.startswith(_NOISE):
            text = stories.means(predictors[stories.test])
            moved = refitted_means(regression, outputs, chosen, left, text, stories.orders, stories.fit_orders)
            null = statistics(chain([vectors], moved))
            model, alone = (model_dissimilarity(EmotionSpace(v, names)) for v in (vectors, text))
            partial = partial_rsa(model, alone, people, stories.emotion_orders, n_bootstrap, seed)
        parts[key] = _Part(plain, vectors, null, partial)
    return parts


def _largest(nulls: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The largest value over the layers of a family, under each permutation; the first entry is the observed one."""
    return {name: np.max([null[name][1:] for null in nulls], axis=0) for name in nulls[0]}
