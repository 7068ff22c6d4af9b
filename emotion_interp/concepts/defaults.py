"""What is shipped, and what a user's own set borrows from it: templates, labels, siblings."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources

from emotion_interp.concepts.model import SLOT, Concept, ConceptWord, LanguageConcepts
from emotion_interp.concepts.parsing import parse_file

BARE = ("t0", SLOT)
"""The template of the bare word."""
SIZES = ("standard", "large", "extended")
"""Sizes of the shipped sets: 19 to 24 words an emotion, at least 42, at least 82; each begins with the one before."""

OTHER_FILES = ("scenes.toml", "neutral.toml")
"""Shipped beside the concept sets, and none of them."""


@cache
def shipped_languages() -> tuple[str, ...]:
    """Languages with a shipped concept set, in alphabetical order."""
    folder = resources.files("emotion_interp.concepts")
    names = (f.name for f in folder.iterdir() if f.name.endswith(".toml") and f.name not in OTHER_FILES)
    return tuple(sorted(name.removesuffix(".toml") for name in names))


@cache
def shipped_part(language: str, size: str = "standard") -> LanguageConcepts:
    """The shipped concepts of one language; a larger set has the words of the one before it first, in their order."""
    if size != SIZES[0]:
        part = shipped_part(language, SIZES[SIZES.index(size) - 1])
        more = _read_part(size, f"{language}.toml")
        concepts = tuple(replace(c, words=c.words + more.concept(c.emotion).words) for c in part.concepts)
        return replace(part, concepts=concepts)
    return _read_part(f"{language}.toml")


def _read_part(*place: str) -> LanguageConcepts:
    text = resources.files("emotion_interp.concepts").joinpath(*place).read_text(encoding="utf-8")
    return parse_file(tomllib.loads(text), lambda _: (BARE,))[0]


def default_templates(language: str) -> tuple[tuple[str, str], ...]:
    """The shipped templates of a language; the bare word where none are shipped."""
    return shipped_part(language).templates if language in shipped_languages() else (BARE,)


def default_label(emotion: str, language: str) -> str:
    """The shipped label of an emotion in a language; the emotion's name where none is shipped."""
    if language in shipped_languages():
        for concept in shipped_part(language).concepts:
            if concept.emotion == emotion:
                return concept.label
    return emotion


def default_siblings(emotions: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The shipped siblings of those emotions that the shipped sets know, within the given emotions."""
    wanted = set(emotions)
    known = {c.emotion: c.siblings for language in shipped_languages() for c in shipped_part(language).concepts}
    return {e: tuple(s for s in known.get(e, ()) if s in wanted) for e in wanted}


def build_part(
    language: str,
    words: Mapping[str, Iterable[ConceptWord]],
    labels: Mapping[str, str],
    neutral: Iterable[ConceptWord] = (),
    siblings: Mapping[str, Iterable[str]] | None = None,
    shared: Iterable[str] = (),
    templates: Mapping[str, str] | None = None,
) -> LanguageConcepts:
    """Concepts from loose words; labels, siblings and templates that are not given come from the shipped sets."""
    relations = default_siblings(words) if siblings is None else siblings
    allowed = set(shared)
    concepts = []
    for emotion, given in words.items():
        words_given = tuple(given)
        concepts.append(
            Concept(
                emotion,
                labels.get(emotion) or default_label(emotion, language),
                words_given,
                tuple(relations.get(emotion, ())),
                tuple(w.word for w in words_given if w.word in allowed),
            )
        )
    carrier = tuple(templates.items()) if templates else default_templates(language)
    return LanguageConcepts(language, tuple(concepts), tuple(neutral), carrier)
