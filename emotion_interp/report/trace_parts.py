"""The parts of a trace that need no array: how far its read-outs may be trusted, its sentences, its marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from emotion_interp.core.errors import EmotionInterpError

if TYPE_CHECKING:
    from emotion_interp.features.readout import Readout


@dataclass(frozen=True)
class ReadoutFacts:
    """How far a read-out at one layer may be trusted; see `train_readings`. readable: None where it was not tried."""

    layer: int
    site: str
    kind: str
    language: str
    source: str
    top1: float
    top3: float
    chance: float
    n_texts: int
    readable: bool | None

    @property
    def line(self) -> str:
        """In one sentence."""
        where = f"{self.kind}, layer {self.layer}, {self.language}"
        if self.readable is None:
            return f"{where}: read from {self.source}; not tried on texts of this language (train_readings does)."
        share = (
            f"{self.top1:.2f} of {self.n_texts} texts read rightly, chance {self.chance:.2f}; trained on {self.source}"
        )
        return f"{where}: {share}." if self.readable else f"{where}: not readable ({share})."


def trust(facts: Sequence[ReadoutFacts]) -> str:
    """What the read-outs of all layers are worth, in one sentence."""
    tried = [f for f in facts if f.readable is not None]
    if not facts:
        return ""
    where = f"{facts[0].kind}, mean of {len(facts)} layers, {facts[0].language}"
    if not tried:
        return f"{where}: read from {facts[0].source}; not tried on texts of this language."
    best = max(tried, key=lambda f: f.top1)
    good = sum(bool(f.readable) for f in tried)
    share = f"at layer {best.layer} {best.top1:.2f} of {best.n_texts} texts read rightly, chance {best.chance:.2f}"
    if not good:
        return f"{where}: not readable ({share})."
    return f"{where}: readable at {good} of {len(tried)} layers; {share}."


def readout_facts(r: Readout) -> ReadoutFacts:
    """The facts of one read-out."""
    return ReadoutFacts(
        r.site.layer, str(r.site), r.kind, r.language, r.source, r.top1, r.top3, r.chance, r.n_texts, r.readable
    )


def within(span: tuple[int, int], places: Sequence[tuple[int, int]]) -> bool:
    """Whether a token shares a character with one of the stretches."""
    return any(span[0] < end and span[1] > start for start, end in places)


def check_marks(marks: Mapping[str, Sequence[tuple[int, int]]], text: str) -> None:
    """Refuse a mark that is no stretch of the text (`EmotionInterpError`)."""
    for name, places in marks.items():
        for place in places:
            if len(place) != 2 or not 0 <= place[0] <= place[1] <= len(text):
                raise EmotionInterpError(
                    f"the mark {name!r} is of the stretch {place!r}, which is no (start, end) within the text's {len(text)} characters."
                )


def by_speaker(ranges: Sequence[tuple[int, int]], speakers: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Sentences cut where another speaks.

    Example:
        >>> by_speaker([(0, 2), (2, 5)], ["", "user", "user", "user", "assistant"])
        ((0, 1), (1, 2), (2, 4), (4, 5))
    """
    changes = [k for k in range(1, len(speakers)) if speakers[k] != speakers[k - 1]]
    cuts = sorted({*(stop for _, stop in ranges), *changes, 0})
    return tuple(pairwise(cuts))
