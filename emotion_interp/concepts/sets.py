"""ConceptSet: the words of one or several languages, the stimuli they make, and how they are split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from emotion_interp.concepts.markup import concepts_html
from emotion_interp.concepts.model import (
    NEUTRAL,
    SLOT,
    Concept,
    ConceptWord,
    LanguageConcepts,
    chosen_names,
    same_word,
)
from emotion_interp.concepts.splits import split_groups, word_groups
from emotion_interp.concepts.toml_files import read_csv, read_toml, write_toml
from emotion_interp.concepts.word_associations import read_word_associations
from emotion_interp.core import EmotionInterpError, Stimulus
from emotion_interp.core.arguments import checked_methods
from emotion_interp.core.files import sha256_of
from emotion_interp.core.messages import TEXT_SLOT, checked_frame


@checked_methods
@dataclass(frozen=True)
class ConceptSet:
    """Emotions and the words that people associate with them, in one or several languages.

    Languages and emotions are kept in alphabetical order, so that `a | b` and `b | a` are the same set. A set without
    neutral words works, but nothing can then be scored against the neutral class: AUROC loses its neutral half and no
    neutral principal components can be projected out (`with_neutral` adds some).

    Raises:
        EmotionInterpError: no language, or one language twice.

    Example:
        >>> from emotion_interp.concepts import concept_set
        >>> concepts = concept_set("en") | concept_set("zh")
        >>> concepts.label("joy", "zh"), concepts.siblings("joy")
        ('快乐', ('amusement', 'excitement'))
        >>> stimulus = concepts.stimuli(languages="en", templates="t0", emotions="joy")[0]
        >>> stimulus.text[slice(*stimulus.span)] == stimulus.word
        True
    """

    parts: tuple[LanguageConcepts, ...]

    def __post_init__(self) -> None:
        parts = tuple(sorted(self.parts, key=lambda p: p.language))
        object.__setattr__(self, "parts", parts)
        languages = [p.language for p in parts]
        if not languages:
            raise EmotionInterpError("a concept set needs at least one language.")
        if len(set(languages)) < len(languages):
            twice = sorted({n for n in languages if languages.count(n) > 1})
            raise EmotionInterpError(
                f"two sets for one language: {', '.join(twice)}. Join sets of different languages, or write their "
                "emotions into one file."
            )

    @property
    def languages(self) -> tuple[str, ...]:
        """Language codes, in alphabetical order."""
        return tuple(p.language for p in self.parts)

    @property
    def emotions(self) -> tuple[str, ...]:
        """Emotions of any of the languages, in alphabetical order, without the neutral class."""
        return tuple(sorted({c.emotion for p in self.parts for c in p.concepts}))

    def _part(self, language: str | None) -> LanguageConcepts:
        if language is None:
            if len(self.parts) > 1:
                raise EmotionInterpError(f"the set has several languages; name one of {', '.join(self.languages)}.")
            return next(iter(self.parts))
        chosen_names("language", language, self.languages)
        return next(p for p in self.parts if p.language == language)

    def concept(self, emotion: str, language: str | None = None) -> Concept:
        """The concept of an emotion; `language` may be left out if the set has only one.

        Raises:
            UnknownNameError: the set has no such language, or the language no such emotion.
        """
        return self._part(language).concept(emotion)

    def words(self, emotion: str, language: str | None = None) -> tuple[str, ...]:
        """The words of an emotion, or of "neutral", in file order; raises as `concept` does."""
        if emotion == NEUTRAL:
            return self.neutral(language)
        return tuple(w.word for w in self.concept(emotion, language).words)

    def neutral(self, language: str | None = None) -> tuple[str, ...]:
        """The neutral words of a language; empty if the set has none, and then nothing is scored against neutral."""
        return tuple(w.word for w in self._part(language).neutral)

    def label(self, emotion: str, language: str | None = None) -> str:
        """The emotion's name as a word of the language, to look up in norms; raises as `concept` does."""
        return self.concept(emotion, language).label

    def templates(self, language: str | None = None) -> dict[str, str]:
        """Carrier templates of a language by name, each with one {word} slot."""
        return dict(self._part(language).templates)

    def siblings(self, emotion: str) -> tuple[str, ...]:
        """Emotions declared close to this one, by either of the two and in any language.

        Raises:
            UnknownNameError: no language of the set has this emotion.
        """
        chosen_names("emotion", emotion, self.emotions)
        pairs = {(c.emotion, s) for p in self.parts for c in p.concepts for s in c.siblings}
        return tuple(sorted({b for a, b in pairs if a == emotion} | {a for a, b in pairs if b == emotion}))

    @cached_property
    def groups(self) -> dict[str, str]:
        """Alignment id -> group: what is joined by an id (translations) or a lemma must stay on one side of a split."""
        return word_groups(self.parts)

    def stimuli(
        self,
        languages: str | Iterable[str] | None = None,
        templates: str | Iterable[str] | None = None,
        emotions: str | Iterable[str] | None = None,
    ) -> list[Stimulus]:
        """One stimulus per emotion x word x template x language, neutral words last in each language.

        Args:
            languages: names to keep, None for all; "neutral" counts as an emotion here.
            templates: names to keep, None for all; "neutral" counts as an emotion here.
            emotions: names to keep, None for all; "neutral" counts as an emotion here.

        Raises:
            UnknownNameError: a name that the set, or one of the chosen languages, does not have.
        """
        wanted = chosen_names("emotion", emotions, (*self.emotions, NEUTRAL))
        result = []
        for language in chosen_names("language", languages, self.languages):
            part = self._part(language)
            carriers = dict(part.templates)
            names = chosen_names(f"template of {language!r}", templates, tuple(carriers))
            for emotion, word in part.words_by_emotion():
                if emotion not in wanted:
                    continue
                for name in names:
                    before, after = carriers[name].split(SLOT)
                    span = (len(before), len(before) + len(word.word))
                    text = before + word.word + after
                    known = (emotion, word.word, name, language, self.groups[word.id])
                    result.append(Stimulus(text, span, *known, messages=part.messages))
        return result

    def split(self, seed: int, share: float = 0.5) -> dict[str, str]:
        """Map each group to "discovery" or "confirmation"; about `share` of each emotion's words go to discovery.

        Stratified by emotion and language; translations and words of one lemma stay together. Leaving emotions out of
        the set does not move the words of the others, unless a group joins them.

        Raises:
            EmotionInterpError: `share` is not between 0 and 1, or a concept cannot have words on both sides.

        Example:
            >>> from emotion_interp.concepts import concept_set
            >>> sorted(set(concept_set("en").split(seed=0).values()))
            ['confirmation', 'discovery']
        """
        return split_groups(self.parts, seed, share)

    @cached_property
    def sha256(self) -> str:
        """Hash of the content: words, ids, lemmas, labels, siblings, templates; not of the file's layout."""
        return sha256_of(
            {
                p.language: {
                    "templates": p.templates,
                    "neutral": [(w.word, w.id, w.lemma) for w in p.neutral],
                    "emotions": {
                        c.emotion: [c.label, c.siblings, c.shared, [(w.word, w.id, w.lemma) for w in c.words]]
                        for c in p.concepts
                    },
                    **({"messages": p.messages} if p.messages else {}),
                }
                for p in self.parts
            }
        )

    def in_chat(self, messages: Sequence[Mapping[str, str]] | None = None) -> ConceptSet:
        """This set for a chat model: every filled template is shown in a turn of a conversation.

        Args:
            messages: [{"role": ..., "content": ...}, ...] with `{text}` once, where the template goes; None: the template
                alone, said by the user.

        Raises:
            EmotionInterpError: no messages, or `{text}` is not in them once.

        Example:
            >>> from emotion_interp.concepts import concept_set
            >>> concept_set("en").in_chat().stimuli(templates="t0", emotions="joy")[0].messages
            (('user', '{text}'),)
        """
        frame = checked_frame([{"role": "user", "content": TEXT_SLOT}] if messages is None else messages)
        return ConceptSet(tuple(replace(part, messages=frame) for part in self.parts))

    def __or__(self, other: ConceptSet) -> ConceptSet:
        """Join sets of different languages."""
        if not isinstance(other, ConceptSet):
            return NotImplemented
        return ConceptSet((*self.parts, *other.parts))

    def subset(
        self, emotions: str | Iterable[str] | None = None, languages: str | Iterable[str] | None = None
    ) -> ConceptSet:
        """Only these emotions and languages; neutral words and templates stay, siblings that left are forgotten.

        Raises:
            UnknownNameError: a name that the set does not have.
            EmotionInterpError: nothing is left of a language.
        """
        chosen = chosen_names("emotion", emotions, self.emotions)
        parts = []
        for language in chosen_names("language", languages, self.languages):
            part = self._part(language).subset(chosen)
            if part is None:
                raise EmotionInterpError(
                    f"the set has none of {', '.join(chosen)} in {language!r}; leave that language out."
                )
            parts.append(part)
        return ConceptSet(tuple(parts))

    def with_neutral(self, words: Iterable[str], language: str | None = None) -> ConceptSet:
        """This set with a neutral list for one language; words that one of its emotions has are left out.

        Raises:
            EmotionInterpError: fewer than two words are left, or a word is given twice or has stray whitespace.

        Example:
            >>> from emotion_interp.concepts import concept_set
            >>> own = concept_set("en").subset(emotions=["joy", "fear"])
            >>> own.with_neutral(["chair", "door", "smile"]).neutral()
            ('chair', 'door')
        """
        part = self._part(language)
        taken = {same_word(w.word) for c in part.concepts for w in c.words}
        neutral = tuple(ConceptWord(w, f"{NEUTRAL}.{w}") for w in words if same_word(w) not in taken)
        if len(neutral) < 2:
            raise EmotionInterpError(
                f"a neutral list needs at least two words that no emotion has, got {len(neutral)}."
            )
        changed = replace(part, neutral=neutral)
        return ConceptSet(tuple(changed if p is part else p for p in self.parts))

    @classmethod
    def from_toml(cls, path: str | Path) -> ConceptSet:
        """Read a concept file; the shipped `en.toml` shows the layout.

        Words are strings or {w, id, lemma}; id defaults to "emotion.word", lemma to the word, label to the emotion,
        templates to the shipped ones of the language or else to the bare word. [neutral] may be left out, at the cost
        said above.

        Raises:
            FileFormatError: the file is missing, no TOML, or its content is refused; the message says why.
        """
        return cls(read_toml(path))

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        language: str | None = None,
        siblings: Mapping[str, Iterable[str]] | None = None,
        shared: Iterable[str] = (),
        templates: Mapping[str, str] | None = None,
    ) -> ConceptSet:
        """Read a comma- or tab-separated table: columns emotion, word; optional id, lemma, language, label.

        Rows whose emotion is "neutral" are the contrast class, which may be missing at the cost said above.

        Args:
            language: of all rows if there is no language column; with one, the only language to read.
            siblings: emotion -> siblings; None takes those of the shipped emotions of the same names, {} none.
            shared: words that may be under several emotions.
            templates: name -> text with one {word} slot; None takes the shipped ones or else the bare word.

        Raises:
            FileFormatError: the file is missing, lacks a column, or its content is refused; the message says why.
        """
        return cls(read_csv(path, language, siblings, shared, templates))

    @classmethod
    def from_word_associations(
        cls,
        path: str | Path,
        cues: Mapping[str, str | Iterable[str]] | None = None,
        language: str = "en",
        responses: str = "R123",
        min_strength: float = 0.01,
        overlap: str = "drop",
        siblings: Mapping[str, Iterable[str]] | None = None,
    ) -> ConceptSet:
        """Concepts from human word associations in a file of the Small World of Words project.

        Reads participant-level tables (`cue, R1, R2, R3`) and strength tables (`cue, response, R1, N, R1.Strength`, or
        the same with R123). The strength of a response is its share of all answers to the emotion's cues together,
        missing answers left out. Words come strongest first. There is no neutral list: add one by `with_neutral`.

        Args:
            cues: emotion -> cue words; None takes the shipped labels of the language.
            responses: "R1" counts first answers only, "R123" all three.
            min_strength: smallest strength kept, from 0 to 1.
            overlap: a word under several emotions is left out ("drop"), kept in all and declared as shared ("keep"),
                or left where it is strongest ("strongest"; a tie is left out).
            siblings: as in `from_csv`.

        Raises:
            FileFormatError: the file is missing or in neither layout.
            EmotionInterpError: the file lacks a cue, or fewer than two words are left for an emotion.

        Source: De Deyne, Navarro, Perfors, Brysbaert & Storms (2019), Behavior Research Methods 51, 987-1006.
        """
        return cls((read_word_associations(path, cues, language, responses, min_strength, overlap, siblings),))

    def to_toml(self, path: str | Path) -> None:
        """Write the set as a concept file that `from_toml` reads back equal, several languages included."""
        write_toml(self.parts, path)

    def to_frame(self) -> pd.DataFrame:
        """One row per language x emotion x word; columns language, emotion, label, word, id, lemma, group."""
        rows = []
        for part in self.parts:
            labels = {c.emotion: c.label for c in part.concepts} | {NEUTRAL: NEUTRAL}
            for emotion, w in part.words_by_emotion():
                rows.append((part.language, emotion, labels[emotion], w.word, w.id, w.lemma, self.groups[w.id]))
        return pd.DataFrame(rows, columns=["language", "emotion", "label", "word", "id", "lemma", "group"])

    def __repr__(self) -> str:
        counts = [f"{p.language}: {len(p.words_by_emotion()) - len(p.neutral)} words" for p in self.parts]
        neutral = [f"{len(p.neutral)} neutral" for p in self.parts]
        return f"ConceptSet({len(self.emotions)} emotions; {'; '.join(map(' + '.join, zip(counts, neutral, strict=True)))})"

    def _repr_html_(self) -> str:
        return concepts_html(repr(self), self.emotions, self.parts)
