"""Scenes: short texts that show an emotion without naming it. The project wrote them; English and Chinese are aligned."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from emotion_interp.concepts.splits import copies_together
from emotion_interp.core import EmotionInterpError, Stimulus, UnknownNameError
from emotion_interp.core.arguments import checked
from emotion_interp.core.languages import language_or_detected

SCENE_LANGUAGES = ("en", "zh")


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(files("emotion_interp.concepts").joinpath("scenes.toml").read_text(encoding="utf-8"))


@checked
def scene_stimuli(languages: Sequence[str] = SCENE_LANGUAGES, emotions: Sequence[str] | None = None) -> list[Stimulus]:
    """The shipped scenes: 16 for each of 28 emotions and 60 neutral ones, in English and Chinese.

    A scene and its translation share a group, so that they stay on one side of a split.

    Args:
        languages: "en", "zh" or both.
        emotions: names to keep ("neutral" always stays); default all.

    Raises:
        UnknownNameError: a language without scenes, or an unknown emotion.

    Example:
        >>> len({s.emotion for s in scene_stimuli(["en"])})
        29
    """
    table = _table()
    for language in languages:
        if language not in SCENE_LANGUAGES:
            raise UnknownNameError("language of the scenes", language, SCENE_LANGUAGES)
    for emotion in emotions or ():
        if emotion not in table:
            raise UnknownNameError("emotion", emotion, table)
    result = []
    for language in languages:
        for emotion, texts in table.items():
            if emotions is None or emotion in emotions or emotion == "neutral":
                for number, text in enumerate(texts[language], 1):
                    name = f"scene {emotion} {number:02d}"
                    result.append(Stimulus(text, (0, len(text)), emotion, name, "scene", language, name))
    return result


@checked
def labelled_stimuli(
    texts: Sequence[str],
    emotions: Sequence[str],
    language: str | None = None,
    groups: Sequence[object] | None = None,
) -> list[Stimulus]:
    """Stimuli from a user's labelled texts; the label "neutral" is the contrast class.

    Args:
        texts: one text per stimulus.
        emotions: one label per text.
        language: language of the texts; default: the one that they read as.
        groups: texts of one group (a topic, an author) stay on one side of a split; None or an empty one is a group for
            itself; default: each text for itself. Groups that share a text (but for case, spacing and punctuation) are one.

    Raises:
        EmotionInterpError: numbers disagree, or a text is empty.
    """
    if not len(texts) == len(emotions) == len(texts if groups is None else groups):
        raise EmotionInterpError(
            f"one label (and group) for each text: {len(texts)} texts, {len(emotions)} labels given."
        )
    for number, (text, emotion) in enumerate(zip(texts, emotions, strict=True)):
        for what, value in (("text", text), ("label of text", emotion)):
            if not isinstance(value, str):
                raise EmotionInterpError(f"the {what} {number} is {value!r}; texts and labels are strings.")
        if not text.strip():
            raise EmotionInterpError(f"text {number} is empty; leave it out.")
    spoken = language_or_detected(language, texts)
    group_of = [None] * len(texts) if groups is None else groups
    named = [f"text {k}" if _is_missing(group) else str(group) for k, group in enumerate(group_of)]
    joined = copies_together(texts, named)
    return [
        Stimulus(text, (0, len(text)), emotion, f"text {number:06d}", "text", spoken, group)
        for number, (text, emotion, group) in enumerate(zip(texts, emotions, joined, strict=True))
    ]


def _is_missing(group: object) -> bool:
    """None, NaN or an empty cell: no group."""
    return group is None or group != group or not str(group).strip()
