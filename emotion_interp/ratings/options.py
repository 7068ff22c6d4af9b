"""The choices of the rating functions: how words are read, fitted, and learnt from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypedDict

import numpy as np

from emotion_interp.core.options import Options
from emotion_interp.core.progress import Progress
from emotion_interp.core.types import Site
from emotion_interp.ratings.words import WordActivations
from emotion_interp.stats.ridge import ALPHAS
from emotion_interp.stats.sparse import Matrix

ReadAt = Literal["last", "span", "text", "end"]


@dataclass(frozen=True, kw_only=True)
class WordOptions(Options):
    """How rated words are read.

    Attributes:
        carriers: how many of the language's carriers are read and averaged for each word.
        position: in a carrier the "last" token of the word, or the mean over its tokens ("span"); without a
            carrier the mean over all tokens of the rated "text", or its "end" token. Default: "last" for words,
            "text" for sentences.
        max_words: read at most so many words of each norms (a seeded sample), None for all.
        batch_tokens: padded tokens of one forward pass.
        progress: receives the number of texts of each batch; False: silence; default: a bar after a second.
    """

    carriers: int = 1
    position: ReadAt | None = None
    max_words: int | None = None
    batch_tokens: int = 2048
    progress: Progress = None


class WordChoices(TypedDict, total=False):
    """`WordOptions`, by keyword."""

    carriers: int
    position: ReadAt | None
    max_words: int | None
    batch_tokens: int
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class RatingOptions(WordOptions):
    """Choices of `predict_ratings`, beside those of reading.

    Attributes:
        baselines: add "static" and "length".
        folds: outer folds.
        seed: of the sample, the folds, the matching, the null and the interval.
        n_permutations: of the null: ratings are handed to other words (among groups of one size), and the ridge
            is fitted anew with the penalties that the observed ratings chose; 0: no p.
        n_bootstrap: resamples of the interval; 0: none.
        outside_draws: how often each outside set is drawn again (`paper_pattern` wants 200); 0: the one set
            alone.
        written: add "written": what all features of a site write together. A ridge on it is a linear read-out of all
            features under which those that write alike share a weight.
    """

    baselines: bool = True
    folds: int = 10
    seed: int = 0
    n_permutations: int = 199
    n_bootstrap: int = 500
    outside_draws: int = 200
    written: bool = False


class RatingChoices(WordChoices, total=False):
    """`RatingOptions`, by keyword."""

    baselines: bool
    folds: int
    seed: int
    n_permutations: int
    n_bootstrap: int
    outside_draws: int
    written: bool


@dataclass(frozen=True, kw_only=True)
class FitOptions(Options):
    """Choices of `predict_from_activations`.

    Attributes:
        folds: outer folds.
        inner_folds: validation groups within each training set.
        alphas: ridge penalties, in scikit-learn's convention.
        seed: of the folds, the null and the interval.
        groups: one label per word; default its lemma (`concepts.lemma_key`: happy and happiness stay in one
            fold).
        transfer: other languages to predict with the fits of this one. A word whose group also occurs among the
            training words is predicted by the fit that left that group out. Ratings on another scale are mapped
            linearly to that of `norms`.
        written: site -> [word, d_model], what all features write together (their activations times their decoder
            rows); reported as the feature set "written".
        n_permutations: of the null: ratings are handed to other words (among groups of one size), and the ridge
            is fitted anew with the penalties that the observed ratings chose; 0: no p.
        n_bootstrap: resamples of the interval; 0: none.
        draws: site -> name of an outside set -> redrawn sets [draw, column] (`redrawn_outside`), each fitted
            too.
    """

    NONE_TOO: ClassVar[tuple[str, ...]] = ("n_permutations",)

    folds: int = 10
    inner_folds: int = 5
    alphas: Sequence[float] = ALPHAS
    seed: int = 0
    groups: Sequence[Hashable] | None = None
    transfer: Sequence[WordActivations] = ()
    written: Mapping[Site, Matrix] | None = None
    n_permutations: int = 199
    n_bootstrap: int = 500
    draws: Mapping[Any, Mapping[str, np.ndarray]] | None = None


class FitChoices(TypedDict, total=False):
    """`FitOptions`, by keyword."""

    folds: int
    inner_folds: int
    alphas: Sequence[float]
    seed: int
    groups: Sequence[Hashable] | None
    transfer: Sequence[WordActivations]
    written: Mapping[Site, Matrix] | None
    n_permutations: int
    n_bootstrap: int
    draws: Mapping[Any, Mapping[str, np.ndarray]] | None


@dataclass(frozen=True, kw_only=True)
class CurveOptions(Options):
    """Choices of `curve_from_activations`.

    Attributes:
        test_share: share of the words (by group) that are only tested.
        repeats: draws of the training words; a size that takes all of them has only one.
        folds: of the cross-validation that chooses the penalty.
        n_bootstrap: resamples of the test words for the interval.
        level: of the interval over the test words.
        seed: of the sample, the split, the draws and the bootstrap.
    """

    test_share: float = 0.2
    repeats: int = 5
    folds: int = 5
    n_bootstrap: int = 1000
    level: float = 0.95
    seed: int = 0


class CurveChoices(TypedDict, total=False):
    """`CurveOptions`, by keyword."""

    test_share: float
    repeats: int
    folds: int
    n_bootstrap: int
    level: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class LearningOptions(CurveOptions, WordOptions):
    """Choices of `learning_curve`, beside those of reading and of the curve.

    Attributes:
        carrier: text with one {word} slot; default: the first carriers of the norms' language.
    """

    carrier: str | None = None


class LearningChoices(CurveChoices, WordChoices, total=False):
    """`LearningOptions`, by keyword."""

    carrier: str | None
