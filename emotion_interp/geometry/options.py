"""The choices of the geometry functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from emotion_interp.activations.options import ReadChoices, ReadOptions
from emotion_interp.core.options import Options
from emotion_interp.core.types import Stimulus
from emotion_interp.geometry.gain import GAIN_FOLDS
from emotion_interp.geometry.space import EmotionSpace

Halves = tuple[EmotionSpace, EmotionSpace]


@dataclass(frozen=True, kw_only=True)
class AlignOptions(Options):
    """Choices of `align` and `align_layers`.

    Args:
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

    labels: Mapping[str, Any] | None = None
    words: Mapping[str, Any] | None = None
    halves: Halves | Mapping[Any, Halves] | None = None
    n_bootstrap: int = 2_000
    n_components: int = 10
    ridge: float = 1.0
    text: EmotionSpace | Mapping[str, EmotionSpace] | None = None


class AlignChoices(TypedDict, total=False):
    """`AlignOptions`, by keyword."""

    labels: Mapping[str, Any] | None
    words: Mapping[str, Any] | None
    halves: Halves | Mapping[Any, Halves] | None
    n_bootstrap: int
    n_components: int
    ridge: float
    text: EmotionSpace | Mapping[str, EmotionSpace] | None


@dataclass(frozen=True, kw_only=True)
class IncrementOptions(Options):
    """Choices of `text_increment`.

    Args:
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

    Args:
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
class ControlOptions(ReadOptions):
    """Choices of `control_spaces`, beside those of reading.

    Args:
        stimuli: "words" (in carriers), "scenes", labelled texts (a list of `Stimulus`, the name of a corpus, or
            the path of a CSV, as for `corpus_stimuli`); default: the kind the bank was found on, else "words".
    """

    stimuli: str | Path | Sequence[Stimulus] | None = None


class ControlChoices(ReadChoices, total=False):
    """`ControlOptions`, by keyword."""

    stimuli: str | Path | Sequence[Stimulus] | None
