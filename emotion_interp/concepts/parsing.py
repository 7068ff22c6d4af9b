"""A concept file's tables as concepts, each fault in a sentence of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emotion_interp.concepts.model import NEUTRAL, Concept, ConceptWord, LanguageConcepts
from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.core.messages import checked_frame

FORMAT = 1

Templates = Callable[[str], tuple[tuple[str, str], ...]]


def _known_keys(owner: str, table: object, allowed: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(table, dict):
        raise EmotionInterpError(f"{owner} is a table, got {table!r}.")
    for key in table:
        if key not in allowed:
            raise UnknownNameError(f"key of {owner}", key, allowed)
    return table


def _names(owner: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise EmotionInterpError(f'{owner} is a list of names such as ["shame"], got {value!r}.')
    return tuple(value)


def _parse_words(emotion: str, entries: object) -> tuple[ConceptWord, ...]:
    if not isinstance(entries, list):
        raise EmotionInterpError(f"the words of {emotion!r} are a list, got {entries!r}.")
    words = []
    for entry in entries:
        if isinstance(entry, str):
            words.append(ConceptWord(entry, f"{emotion}.{entry}"))
            continue
        table = _known_keys(f"a word of {emotion!r}", entry, ("w", "id", "lemma"))
        if "w" not in table:
            raise EmotionInterpError(f'a word of {emotion!r} has no w: {table!r}. For example: {{w = "smile"}}.')
        words.append(ConceptWord(table["w"], table.get("id", f"{emotion}.{table['w']}"), table.get("lemma", "")))
    return tuple(words)


def _parse_part(language: str, table: dict[str, object], templates_of: Templates) -> LanguageConcepts:
    emotions = table.get("emotions", {})
    if not isinstance(emotions, dict):
        raise EmotionInterpError(f"'emotions' are tables such as [emotions.joy], got {emotions!r}.")
    concepts = []
    for emotion, value in emotions.items():
        concept = _known_keys(f"[emotions.{emotion}]", value, ("label", "siblings", "shared", "words"))
        concepts.append(
            Concept(
                emotion,
                concept.get("label", emotion),
                _parse_words(emotion, concept.get("words", [])),
                _names(f"siblings of {emotion!r}", concept.get("siblings", [])),
                _names(f"shared of {emotion!r}", concept.get("shared", [])),
            )
        )
    neutral = _known_keys("[neutral]", table.get("neutral", {}), ("words",)).get("words", [])
    templates = table.get("templates")
    if templates is not None and not isinstance(templates, dict):
        raise EmotionInterpError(f"'templates' is a table of name = text, got {templates!r}.")
    carrier = templates_of(language) if templates is None else tuple(templates.items())
    messages = checked_frame(table["messages"]) if "messages" in table else ()
    return LanguageConcepts(language, tuple(concepts), _parse_words(NEUTRAL, neutral), carrier, messages)


def parse_file(table: dict[str, Any], templates_of: Templates) -> tuple[LanguageConcepts, ...]:
    """The languages of a parsed concept file: one (`language = "en"`) or several (`[languages.en. ...]`).

    `templates_of`: the templates of a language for which the file has none.
    """
    if table.get("format", FORMAT) != FORMAT:
        raise EmotionInterpError(f"the file has format {table['format']!r}; this version reads format {FORMAT}.")
    inner = ("emotions", "neutral", "templates", "messages")
    if "languages" in table:
        languages = _known_keys("the file", table, ("format", "languages"))["languages"]
        if not isinstance(languages, dict) or not languages:
            raise EmotionInterpError(f"'languages' holds tables such as [languages.en.neutral], got {languages!r}.")
        return tuple(
            _parse_part(n, _known_keys(f"[languages.{n}]", t, inner), templates_of) for n, t in languages.items()
        )
    _known_keys("the file", table, ("format", "language", *inner))
    if "language" not in table:
        raise EmotionInterpError('the file names no language; begin it with: language = "en".')
    return (_parse_part(table["language"], table, templates_of),)
