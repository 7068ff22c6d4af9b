"""The choices of the feature functions, beside those of reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from emotion_interp.activations.options import ReadChoices, ReadOptions
from emotion_interp.core.options import Options
from emotion_interp.core.progress import Progress
from emotion_interp.core.types import Stimulus
from emotion_interp.features.block import Selection


@dataclass(frozen=True, kw_only=True)
class TransferOptions(ReadOptions):
    """Choices of `transfer`, beside those of reading.

    Attributes:
        tested_on: name in the table; default "words", "scenes" or "texts".
        found_on: further texts to skip; those the bank was found on are known to it by their hashes and are
            skipped.
        n_resamples: bootstrap resamples.
    """

    tested_on: str | None = None
    found_on: Sequence[Stimulus] | None = None
    n_resamples: int = 1000


class TransferChoices(ReadChoices, total=False):
    """`TransferOptions`, by keyword."""

    tested_on: str | None
    found_on: Sequence[Stimulus] | None
    n_resamples: int


@dataclass(frozen=True, kw_only=True)
class ExampleOptions(Options):
    """Choices of `top_examples`.

    Attributes:
        before: tokens shown before the maximum.
        after: tokens shown after the maximum.
        by_part: texts shown also of each part (top tenth to lowest quarter) of those on which a feature fires, with the
            whole sentence around the maximum; above 0 the texts so chosen are read a second time.
        batch_tokens: padded tokens of one forward pass.
        progress: receives the number of texts of each batch; False: silence; default: a bar after a second.
    """

    before: int = 12
    after: int = 6
    by_part: int = 0
    batch_tokens: int = 2048
    progress: Progress = None


class ExampleChoices(TypedDict, total=False):
    """`ExampleOptions`, by keyword."""

    before: int
    after: int
    by_part: int
    batch_tokens: int
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class FoundOptions(Options):
    """How the readings of a bank were made, and what is selected.

    Attributes:
        position: which tokens were read.
        selection: thresholds.
        seed: of the split and the bootstrap.
        kind: "words", "scenes" or "texts".
        skip: tokens that were left out at the start of a text.
    """

    position: str = "last"
    selection: Selection = field(default_factory=Selection)
    seed: int = 0
    kind: str = "words"
    skip: int = 8


class FoundChoices(TypedDict, total=False):
    """`FoundOptions`, by keyword."""

    position: str
    selection: Selection
    seed: int
    kind: str
    skip: int
