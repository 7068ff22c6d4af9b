"""Which texts name the emotion that they are labelled with, by its label or a name of the class that was merged into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

import pandas as pd

from emotion_interp.concepts.defaults import default_label
from emotion_interp.concepts.labels import LABEL_NAMES, STORY_NAMES
from emotion_interp.concepts.model import NEUTRAL
from emotion_interp.core import Stimulus, UnknownNameError
from emotion_interp.core.errors import tell

NAMES = ("keep", "drop")
"""What may be done with texts that name their emotion."""

_SUFFIXES = ("", "s", "es", "d", "ed", "ing", "ly", "ness", "er", "est", "ful", "fully", "ous", "ously", "ment", "'s")
_UNSPACED = ("zh", "ja", "th")
"""Languages whose words stand together: a name is found wherever its characters are."""


def english_forms(name: str) -> set[str]:
    """A name and its inflections and derivations, by rule: happy, happier, happily, happiness, ...

    Example:
        >>> sorted(english_forms("sad") & {"sadly", "sadness", "saddest", "saddle"})
        ['saddest', 'sadly', 'sadness']
    """
    *front, last = name.casefold().split()
    stems = {last}
    if last.endswith("y"):
        stems.add(f"{last[:-1]}i")
    if last.endswith("e"):
        stems.add(last[:-1])
    if re.search(r"[^aeiou][aeiou][bdgmnprt]$", last):
        stems.add(last + last[-1])
    forms = {stem + suffix for stem in stems for suffix in _SUFFIXES if stem == last or suffix}
    if last.endswith("ed"):
        # of a participle the other one too, and no more: "bore" is not boredom
        forms.add(f"{last[:-2]}ing")
    return {" ".join([*front, form]) for form in forms}


@cache
def _pattern(emotion: str, language: str) -> re.Pattern[str]:
    names = {emotion.casefold(), default_label(emotion, language).casefold()}
    if language in _UNSPACED:
        return re.compile("|".join(sorted(map(re.escape, names))))
    if language == "en":
        merged = {*STORY_NAMES.get(emotion, ()), *(old for old, new in LABEL_NAMES.items() if new == emotion)}
        names = {form for name in names | merged for form in english_forms(name)}
    longest = sorted(names, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")


def names_emotion(text: str, emotion: str, language: str = "en") -> bool:
    """Whether a text holds a name of an emotion: its name or label, in English also the names merged into it, inflected.

    Example:
        >>> names_emotion("She smiled calmly.", "calm"), names_emotion("She smiled.", "calm")
        (True, False)
    """
    return emotion != NEUTRAL and _pattern(emotion, language).search(text.casefold()) is not None


def named_shares(stimuli: Iterable[Stimulus]) -> pd.DataFrame:
    """How many texts of each language and emotion name it: language, emotion, texts, naming, share; neutral ones left out."""
    rows = [(s.language, s.emotion, names_emotion(s.text, s.emotion, s.language)) for s in stimuli]
    frame = pd.DataFrame([r for r in rows if r[1] != NEUTRAL], columns=["language", "emotion", "naming"])
    table = frame.groupby(["language", "emotion"])["naming"].agg(["size", "sum"]).reset_index()
    table.columns = ["language", "emotion", "texts", "naming"]
    table["texts"], table["naming"] = table["texts"].astype(int), table["naming"].astype(int)
    return table.assign(share=table["naming"] / table["texts"])


def naming_entry(stimuli: Sequence[Stimulus]) -> dict[str, dict[str, object]]:
    """For a manifest: per language how many texts name their emotion, and the share of each emotion that is named."""
    table = named_shares(stimuli)
    return {
        str(language): {
            "texts": int(rows["texts"].sum()),
            "naming": int(rows["naming"].sum()),
            "shares": {e: round(float(s), 4) for e, s in zip(rows["emotion"], rows["share"], strict=True) if s > 0},
        }
        for language, rows in table.groupby("language")
    }


def check_names(names: str) -> None:
    """Refuse another choice than `NAMES` (`UnknownNameError`)."""
    if names not in NAMES:
        raise UnknownNameError("choice of names", names, NAMES)


def tell_of_names(naming: int, total: int, what: str, dropped: bool) -> None:
    """One line of warning where texts name their emotion: that they were left out, or are among the others."""
    if naming:
        then = "were left out" if dropped else "are among them; names='drop' leaves them out"
        tell(f"{naming:,} of {total:,} {what} ({naming / total:.1%}) name their emotion and {then}.")
