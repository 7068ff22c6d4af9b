"""The parts of a concept set: words, concepts, and what one language holds; each refuses to exist half-right."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.core.messages import Pairs
from emotion_interp.core.spelling import stray_character

NEUTRAL = "neutral"
"""Name of the contrast class; no emotion may be called so."""

SLOT = "{word}"


def _check_text(kind: str, text: object) -> None:
    if not isinstance(text, str):
        raise EmotionInterpError(f"{kind} is text, got {text!r}.")
    if not text.strip():
        raise EmotionInterpError(f"{kind} is empty, got {text!r}. Remove it or fill it in.")
    stray = stray_character(text)
    if stray is not None and not stray.isspace():
        raise EmotionInterpError(
            f"{kind} {text!r} has a control or invisible character ({stray!r}) that is no spelling; take it out."
        )
    if text != " ".join(text.split()):
        raise EmotionInterpError(f"{kind} {text!r} has stray whitespace; {' '.join(text.split())!r} would be right.")


def chosen_names(kind: str, given: str | Iterable[str] | None, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The given names in the house's order, each checked; all of them for None."""
    if given is None:
        return allowed
    names = [given] if isinstance(given, str) else list(given)
    for name in (name for name in names if name not in allowed):
        raise UnknownNameError(kind, name, allowed)
    if not names:
        raise EmotionInterpError(f"no {kind} is given; name at least one of {', '.join(allowed)}, or None for all.")
    return tuple(name for name in allowed if name in names)


def same_word(word: str) -> str:
    """The form under which two spellings count as one word: Unicode-composed and without case."""
    return unicodedata.normalize("NFC", word).casefold()


@dataclass(frozen=True)
class ConceptWord:
    """One word: `id` is shared by its translations; words of one `lemma` stay on one side of a split.

    Raises:
        EmotionInterpError: an entry is empty or has stray whitespace.

    Example:
        >>> ConceptWord("smile", "joy.smile").lemma
        'smile'
    """

    word: str
    id: str
    lemma: str = ""

    def __post_init__(self) -> None:
        if self.lemma == "":
            object.__setattr__(self, "lemma", self.word)
        _check_text("the word", self.word)
        _check_text(f"the id of {self.word!r}", self.id)
        _check_text(f"the lemma of {self.word!r}", self.lemma)


@dataclass(frozen=True)
class Concept:
    """One emotion in one language.

    `label` is the emotion's name as a word of the language (looked up in norms). `siblings` are emotions so close that
    a feature may serve both (guilt, shame): they are left out of specificity. `shared` are the words that another
    emotion of the language may have as well.

    Raises:
        EmotionInterpError: fewer than two words, a word twice, or `shared` names a word that is not there.
    """

    emotion: str
    label: str
    words: tuple[ConceptWord, ...]
    siblings: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_text("an emotion's name", self.emotion)
        _check_text(f"the label of {self.emotion!r}", self.label)
        object.__setattr__(self, "words", tuple(self.words))
        object.__setattr__(self, "siblings", tuple(sorted(set(self.siblings))))
        object.__setattr__(self, "shared", tuple(sorted(set(self.shared))))
        if self.emotion == NEUTRAL:
            raise EmotionInterpError("'neutral' is the contrast class, not an emotion; put its words under [neutral].")
        _check_words(f"the concept {self.emotion!r}", self.words)
        if self.emotion in self.siblings:
            raise EmotionInterpError(f"{self.emotion!r} names itself as a sibling; siblings are other emotions.")
        for word in self.shared:
            if word not in {w.word for w in self.words}:
                raise UnknownNameError(f"shared word of {self.emotion!r}", word, [w.word for w in self.words])


def _check_words(owner: str, words: tuple[ConceptWord, ...]) -> None:
    if len(words) < 2:
        given = f"only {words[0].word!r}" if words else "no words"
        raise EmotionInterpError(f"{owner} has {given}; at least two are needed, one for each half of a split.")
    counts = Counter(same_word(w.word) for w in words)
    twice = [word for word, count in counts.items() if count > 1]
    if twice:
        raise EmotionInterpError(f"{owner} has words more than once: {', '.join(map(repr, twice))}. Keep one of each.")


def _check_template(name: str, text: str) -> None:
    _check_text("a template's name", name)
    if not isinstance(text, str) or text.count(SLOT) != 1:
        raise EmotionInterpError(
            f"the template {name!r} needs exactly one {SLOT} slot, got {text!r}. For example: 'The word was {SLOT}'."
        )


@dataclass(frozen=True)
class LanguageConcepts:
    """What a concept set holds of one language: concepts (kept sorted by emotion), neutral words, templates.

    `messages`: the conversation in which the filled templates are shown (see `ConceptSet.in_chat`).

    Raises:
        EmotionInterpError: no concepts, an emotion twice, a word under two emotions that do not declare it as shared,
            a neutral word that is also an emotion's, or a template without exactly one slot.
        UnknownNameError: a sibling that is no emotion of this language.
    """

    language: str
    concepts: tuple[Concept, ...]
    neutral: tuple[ConceptWord, ...] = ()
    templates: tuple[tuple[str, str], ...] = (("t0", SLOT),)
    messages: Pairs = ()

    def __post_init__(self) -> None:
        _check_text("a language", self.language)
        object.__setattr__(self, "concepts", tuple(sorted(self.concepts, key=lambda c: c.emotion)))
        object.__setattr__(self, "neutral", tuple(self.neutral))
        object.__setattr__(self, "templates", tuple((name, text) for name, text in self.templates))
        emotions = [c.emotion for c in self.concepts]
        if not emotions:
            raise EmotionInterpError(f"the concept set of {self.language!r} has no emotions; it needs at least one.")
        if len(set(emotions)) < len(emotions):
            twice = sorted(e for e, count in Counter(emotions).items() if count > 1)
            raise EmotionInterpError(f"emotions given more than once in {self.language!r}: {', '.join(twice)}.")
        for concept in self.concepts:
            for sibling in concept.siblings:
                if sibling not in emotions:
                    raise UnknownNameError(f"sibling of {concept.emotion!r}", sibling, emotions)
        if self.neutral:
            _check_words("the neutral list", self.neutral)
        if not self.templates:
            raise EmotionInterpError(f"the concept set of {self.language!r} has no templates; it needs at least one.")
        if len(dict(self.templates)) < len(self.templates):
            raise EmotionInterpError(f"a template name of {self.language!r} is given twice; names are unique.")
        for name, text in self.templates:
            _check_template(name, text)
        self._check_overlap()

    def _check_overlap(self) -> None:
        owners: defaultdict[str, list[tuple[str, bool]]] = defaultdict(list)
        for concept in self.concepts:
            for word in concept.words:
                owners[same_word(word.word)].append((concept.emotion, word.word in concept.shared))
        for word, places in owners.items():
            if len(places) > 1 and not all(declared for _, declared in places):
                names = ", ".join(emotion for emotion, _ in places)
                raise EmotionInterpError(
                    f"the word {word!r} ({self.language}) is under several emotions: {names}. Remove it from all but "
                    f"one, or declare it in each of them: shared = [{word!r}]."
                )
        for word in self.neutral:
            if same_word(word.word) in owners:
                emotion = owners[same_word(word.word)][0][0]
                raise EmotionInterpError(
                    f"the neutral word {word.word!r} ({self.language}) is also one of {emotion!r}. Remove it from one."
                )

    def concept(self, emotion: str) -> Concept:
        """The concept of one emotion; `UnknownNameError` if this language does not have it."""
        for concept in self.concepts:
            if concept.emotion == emotion:
                return concept
        raise UnknownNameError(f"emotion of {self.language!r}", emotion, [c.emotion for c in self.concepts])

    def words_by_emotion(self) -> list[tuple[str, ConceptWord]]:
        """Every (emotion, word) pair, neutral words last."""
        pairs = [(c.emotion, w) for c in self.concepts for w in c.words]
        return pairs + [(NEUTRAL, w) for w in self.neutral]

    def subset(self, emotions: Iterable[str]) -> LanguageConcepts | None:
        """Only these emotions (neutral words and templates stay); None if the language has none of them."""
        wanted = set(emotions)
        concepts = tuple(
            Concept(c.emotion, c.label, c.words, tuple(s for s in c.siblings if s in wanted), c.shared)
            for c in self.concepts
            if c.emotion in wanted
        )
        return replace(self, concepts=concepts) if concepts else None


def conversation_of(parts: Iterable[LanguageConcepts], languages: Iterable[str]) -> dict[str, list[list[str]]]:
    """[role, content] of the messages that the stimuli of some languages are shown in; a language without is left out."""
    kept = set(languages)
    return {p.language: [list(m) for m in p.messages] for p in parts if p.messages and p.language in kept}
