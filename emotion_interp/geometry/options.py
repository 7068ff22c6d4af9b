"""The choices of the geometry functions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from emotion_interp.activations.options import ReadChoices, ReadOptions
from emotion_interp.core.options import Options
from emotion_interp.core.progress import Progress
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.geometry.gain import GAIN_FOLDS
from emotion_interp.geometry.space import EmotionSpace
from emotion_interp.geometry.text_predictors import TERMS

Halves = tuple[EmotionSpace, EmotionSpace]


@dataclass(frozen=True, kw_only=True)
class AlignOptions(Options):
    """Choices of `align` and `align_layers`.

    Attributes:
        labels: emotion -> the word to look up, for names that are not in the norms or in another language; of
            `align_layers` also language -> such a mapping.
        words: for coordinates="words": emotion -> words that the subject was not shown; of `align_layers` also
            language -> such a mapping.
        halves: the same space from two disjoint halves of the words; the PC is then picked on the first and its
            r and interval come from the second. Of `align_layers`: key (or place in the list) -> the two halves
            of that space.
        n_bootstrap: resamples of the intervals; 0: none.
        n_components: principal components that are compared.
        ridge: penalty of the read-out.
        text: the same emotions from the texts alone, one space or name -> space (`text_baselines`); default:
            what the space carries (`space.baselines`) and, of `align`, the controls "text" and "encoder"; {}
            for none. What the space adds to each is in `.increments` (`text_increment`; 999 permutations at
            most).
    """

    labels: Mapping[str, object] | None = None
    words: Mapping[str, object] | None = None
    halves: Halves | Mapping[Any, Halves] | None = None
    n_bootstrap: int = 2_000
    n_components: int = 10
    ridge: float = 1.0
    text: EmotionSpace | Mapping[str, EmotionSpace] | None = None


class AlignChoices(TypedDict, total=False):
    """`AlignOptions`, by keyword."""

    labels: Mapping[str, object] | None
    words: Mapping[str, object] | None
    halves: Halves | Mapping[Any, Halves] | None
    n_bootstrap: int
    n_components: int
    ridge: float
    text: EmotionSpace | Mapping[str, EmotionSpace] | None


@dataclass(frozen=True, kw_only=True)
class IncrementOptions(Options):
    """Choices of `text_increment`.

    Attributes:
        labels: as in `align`.
        words: as in `align`.
        n_bootstrap: resamples of the intervals; 0: none.
        folds: of emotions, in the read-out.
    """

    labels: Mapping[str, str] | None = None
    words: Mapping[str, Any] | None = None
    n_bootstrap: int = 1000
    folds: int = GAIN_FOLDS


class IncrementChoices(TypedDict, total=False):
    """`IncrementOptions`, by keyword."""

    labels: Mapping[str, str] | None
    words: Mapping[str, Any] | None
    n_bootstrap: int
    folds: int


@dataclass(frozen=True, kw_only=True)
class CebraOptions(Options):
    """How the networks of `cebra_space` are trained.

    Attributes:
        n_folds: groups of emotions.
        iterations: of each network (CEBRA: max_iterations).
        batch_size: of each network.
        learning_rate: of each network.
        hidden_units: of each network (CEBRA: num_hidden_units).
    """

    n_folds: int = 5
    iterations: int = 300
    batch_size: int = 256
    learning_rate: float = 0.01
    hidden_units: int = 32


class CebraChoices(TypedDict, total=False):
    """`CebraOptions`, by keyword."""

    n_folds: int
    iterations: int
    batch_size: int
    learning_rate: float
    hidden_units: int


@dataclass(frozen=True, kw_only=True)
class ControlSpaceOptions(ReadOptions):
    """Choices of `control_spaces`, beside those of reading.

    Attributes:
        stimuli: "words" (in carriers), "scenes", labelled texts (a list of `Stimulus`, the name of a corpus, or
            the path of a CSV, as for `corpus_stimuli`); default: the kind the bank was found on, else "words".
    """

    stimuli: str | Path | Sequence[Stimulus] | None = None


class ControlSpaceChoices(ReadChoices, total=False):
    """`ControlSpaceOptions`, by keyword."""

    stimuli: str | Path | Sequence[Stimulus] | None


@dataclass(frozen=True, kw_only=True)
class ResidualOptions(Options):
    """Choices of `residual_alignments`.

    Attributes:
        fit_topics: topics to fit on; default: the first half, in order.
        test_topics: topics to read from; default: the second half, in order.
        noise: beside each predictor, noise of its size.
        language: of the texts; default: the one that they read as.
        labels: as in `align`.
        n_permutations: as in `align`.
        n_bootstrap: as in `align`.
        n_components: as in `align`.
        ridge: as in `align`.
        seed: as in `align`.
    """

    fit_topics: Sequence[Hashable] | None = None
    test_topics: Sequence[Hashable] | None = None
    noise: bool = True
    language: str | None = None
    labels: Mapping[str, str] | None = None
    n_permutations: int = 999
    n_bootstrap: int = 1000
    n_components: int = 10
    ridge: float = 1.0
    seed: int = 0


class ResidualChoices(TypedDict, total=False):
    """`ResidualOptions`, by keyword."""

    fit_topics: Sequence[Hashable] | None
    test_topics: Sequence[Hashable] | None
    noise: bool
    language: str | None
    labels: Mapping[str, str] | None
    n_permutations: int
    n_bootstrap: int
    n_components: int
    ridge: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class ResidualReadOptions(ResidualOptions):
    """Choices of `residual_geometry`.

    Attributes:
        predictors: name -> matrix [story, predictor], or a tuple of such blocks (each scaled to total variance
            one); default: "text" (TF-IDF reduced to `terms`, learnt on the fit topics), "encoder" and "text +
            encoder" where a sentence encoder is present, "embedding" (the subject's own embedding layer), and
            "all" of them.
        terms: dimensions of TF-IDF.
        sites: default: the embedding layer, and every site with an SAE (without SAEs: every layer).
        random_weights: also the same architecture with random weights (dense alone).
        skip: tokens left out at the start of a text.
        batch_tokens: padded tokens of one forward pass.
        progress: receives the number of texts of each batch; False: silence; default: a bar after a second.
    """

    predictors: Mapping[str, object] | None = None
    terms: int = TERMS
    sites: Sequence[Site] | None = None
    random_weights: bool = False
    skip: int = 20
    batch_tokens: int = 2048
    progress: Progress = None


class ResidualReadChoices(ResidualChoices, total=False):
    """`ResidualReadOptions`, by keyword."""

    predictors: Mapping[str, object] | None
    terms: int
    sites: Sequence[Site] | None
    random_weights: bool
    skip: int
    batch_tokens: int
    progress: Progress
