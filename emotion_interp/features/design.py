"""Which stimuli are read, which of them belong together, and on which side of the split they stand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.concepts import scene_stimuli
from emotion_interp.concepts.splits import copies_together
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.files import sha256_of
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Stimulus

if TYPE_CHECKING:
    from emotion_interp.concepts import ConceptSet

KINDS = ("words", "scenes")


@dataclass(frozen=True, eq=False)
class Design:
    """Units (frame: unit, language, emotion, word, group, side; of texts also text_sha256), the stimuli that are read, and each stimulus' unit."""

    kind: str
    words: pd.DataFrame
    stimuli: list[Stimulus]
    units: np.ndarray


def design_stimuli(concepts: ConceptSet, stimuli: str | Sequence[Stimulus], seed: int) -> Design:
    """Concept words in carriers, the shipped scenes, or given texts, split in two halves that share no group.

    Raises:
        UnknownNameError: another kind of stimuli, or a language without scenes.
        EmotionInterpError: an emotion with fewer than two groups of texts.
    """
    if isinstance(stimuli, str):
        if stimuli == "words":
            return _words(concepts, seed)
        if stimuli != "scenes":
            raise UnknownNameError("kind of stimuli", stimuli, KINDS)

        scenes = scene_stimuli(concepts.languages, concepts.emotions)
        return _texts("scenes", _in_chat(concepts, scenes), seed)
    known = {*concepts.emotions, "neutral"}
    for stimulus in stimuli:
        if stimulus.emotion not in known:
            raise UnknownNameError("emotion of a text", stimulus.emotion, sorted(known))
    return _texts("texts", _grouped(_in_chat(concepts, stimuli)), seed)


def _in_chat(concepts: ConceptSet, stimuli: Sequence[Stimulus]) -> list[Stimulus]:
    """Texts shown in the conversation of the concepts, where they have none of their own."""
    messages = {part.language: part.messages for part in concepts.parts}
    return [s if s.messages else replace(s, messages=messages.get(s.language, ())) for s in stimuli]


def _grouped(stimuli: Sequence[Stimulus]) -> list[Stimulus]:
    """Texts whose copies (but for case, spacing and punctuation) share a group; one without a group is its own."""
    groups_of = [s.group if str(s.group).strip() else f"{s.language} {s.emotion} {s.word}" for s in stimuli]
    joined = copies_together([s.text for s in stimuli], groups_of)
    return [s if s.group == group else replace(s, group=group) for s, group in zip(stimuli, joined, strict=True)]


def _words(concepts: ConceptSet, seed: int) -> Design:
    sides = concepts.split(seed=seed)
    halves: dict[tuple[str, str], str] = {}
    for language in concepts.languages:
        # discovery words meet the even carriers, confirmation words the odd ones; one carrier alone serves both
        names = list(concepts.templates(language))
        for i, name in enumerate(names):
            halves[language, name] = "both" if len(names) == 1 else ("discovery", "confirmation")[i % 2]
    chosen = [s for s in concepts.stimuli() if halves[s.language, s.template] in (sides[s.group], "both")]
    return _design("words", chosen, sides)


def _texts(kind: str, stimuli: list[Stimulus], seed: int) -> Design:
    groups: dict[str, set[str]] = {}
    for stimulus in stimuli:
        groups.setdefault(stimulus.emotion, set()).add(stimulus.group)
    sides: dict[str, str] = {}
    for emotion in sorted(groups):
        if len(groups[emotion]) < 2:
            raise EmotionInterpError(f"{emotion!r} has one text (or group of texts); two halves need at least two.")
        members = sorted(groups[emotion])
        for place, index in enumerate(generator(seed, "text split", emotion).permutation(len(members))):
            # a group that holds several emotions stays where its first one put it
            sides.setdefault(members[index], ("discovery", "confirmation")[place % 2])
    return _design(kind, stimuli, sides)


def text_hash(text: str) -> str:
    """Hash of a text whatever its spacing and case: 16 hexadecimal digits."""
    return hashlib.sha256(" ".join(text.split()).casefold().encode()).hexdigest()[:16]


def split_hash(words: pd.DataFrame) -> str:
    """Hash of which units stand on which side; texts are known by their content, in whatever order they were read."""
    name = "text_sha256" if "text_sha256" in words else "word"
    return sha256_of(sorted(map(list, words[["language", "emotion", name, "side"]].astype(str).to_numpy())))


def _design(kind: str, stimuli: list[Stimulus], sides: dict[str, str]) -> Design:
    rows: dict[tuple[str, str, str], int] = {}
    table, units = [], []
    for stimulus in stimuli:
        key = (stimulus.language, stimulus.emotion, stimulus.word)
        if key not in rows:
            rows[key] = len(table)
            table.append((len(table), *key, stimulus.group, sides[stimulus.group]))
        units.append(rows[key])
    frame = pd.DataFrame(table, columns=["unit", "language", "emotion", "word", "group", "side"])
    if kind == "texts":
        # the texts are the user's and are not kept; their hashes say later which texts are not new
        hashes = [""] * len(table)
        for stimulus, unit in zip(stimuli, units, strict=True):
            hashes[unit] = text_hash(stimulus.text)
        frame["text_sha256"] = hashes
    return Design(kind, frame, stimuli, np.asarray(units, dtype=np.int64))
