"""The larger shipped sets: at least 42 and 82 words an emotion, which begin with those of the set before."""

from __future__ import annotations

import fnmatch
import tomllib
from collections import Counter
from itertools import permutations, product
from pathlib import Path

import pytest

import emotion_interp
from emotion_interp import concept_set
from emotion_interp.concepts.lemmas import lemma_key
from emotion_interp.core import UnknownNameError

LANGUAGES = ("en", "es", "zh")
LARGER = {"large": (42, 46), "extended": (82, 90)}
"""Fewest and most words of an emotion."""
SHARED_LEMMAS = {"en": set(), "zh": set(), "es": {"risa"}}
"""In the standard Spanish set risa is joy and risita, of its lemma, amusement: siblings."""


def _ids(language, size):
    part = concept_set(language, size).parts[0]
    return {w.id for concept in part.concepts for w in concept.words}


@pytest.mark.parametrize("size", LARGER)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_emotion_has_as_many_words_as_its_size_says(language, size):
    concepts, (least, most) = concept_set(language, size=size), LARGER[size]
    assert len(concepts.emotions) == 28
    assert {e: len(concepts.words(e)) for e in concepts.emotions if not least <= len(concepts.words(e)) <= most} == {}


@pytest.mark.parametrize(("smaller", "size"), [("standard", "large"), ("large", "extended")])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_of_the_smaller_set_come_first_and_all_else_is_as_it_was(language, smaller, size):
    standard, large = concept_set(language, smaller).parts[0], concept_set(language, size).parts[0]
    for old, new in zip(standard.concepts, large.concepts, strict=True):
        assert new.words[: len(old.words)] == old.words
        assert (new.emotion, new.label, new.siblings, new.shared) == (old.emotion, old.label, old.siblings, old.shared)
    assert (large.neutral, large.templates) == (standard.neutral, standard.templates)
    assert concept_set(language, size).sha256 != concept_set(language, smaller).sha256


@pytest.mark.parametrize(("language", "start"), [("en", "b3396a86"), ("es", "2eb40d83"), ("zh", "53decc14")])
def test_the_standard_sets_are_unchanged(language, start):
    assert concept_set(language).sha256 == concept_set(language, "standard").sha256
    assert concept_set(language).sha256.startswith(start)


@pytest.mark.parametrize("size", LARGER)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_and_no_lemma_stands_under_two_emotions(language, size):
    words = concept_set(language, size).parts[0].words_by_emotion()
    assert [w for w, n in Counter(w.word.casefold() for _, w in words).items() if n > 1] == []
    owners = {}
    for emotion, word in words:
        for form in (word.lemma, word.word):
            owners.setdefault(form.casefold(), set()).add(emotion)
    assert {form for form, emotions in owners.items() if len(emotions) > 1} == SHARED_LEMMAS[language]


def test_words_are_single_ones_in_the_letters_of_their_language():
    letters = set("abcdefghijklmnopqrstuvwxyz")
    for language, more in (("en", ""), ("es", "áéíóúüñ")):
        words = [w for e in concept_set(language).emotions for w in concept_set(language, "extended").words(e)]
        assert [w for w in words if not set(w) <= letters | set(more)] == []
    chinese = [w for e in concept_set("zh").emotions for w in concept_set("zh", "extended").words(e)]
    assert [w for w in chinese if not 1 <= len(w) <= 4 or not all("\u4e00" <= c <= "\u9fff" for c in w)] == []


def test_chinese_words_are_simplified():
    # no zhconv needed: the national standard set has simplified characters only
    words = [w for e in concept_set("zh").emotions for w in concept_set("zh", "extended").words(e)]
    assert [w for w in words if w.encode("gb2312", "ignore").decode("gb2312") != w] == []


@pytest.mark.parametrize(("size", "share"), [("large", 0.75), ("extended", 0.7)])
@pytest.mark.parametrize(("one", "other"), list(permutations(LANGUAGES, 2)))
def test_most_of_the_words_have_a_translation(one, other, size, share):
    assert len(_ids(one, size) & _ids(other, size)) >= share * len(_ids(one, size))


@pytest.mark.parametrize("size", LARGER)
@pytest.mark.parametrize("language", LANGUAGES)
def test_ids_are_unique_and_begin_with_their_emotion(language, size):
    words = concept_set(language, size).parts[0].words_by_emotion()
    assert [i for i, n in Counter(w.id for _, w in words).items() if n > 1] == []
    assert [w.id for emotion, w in words if not w.id.startswith(f"{emotion}.")] == []


@pytest.mark.parametrize(("size", "least"), [("large", 18), ("extended", 38)])
def test_splits_keep_lemmas_and_translations_together_and_leave_enough_words_a_half(size, least):
    concepts = concept_set("en", size) | concept_set("es", size) | concept_set("zh", size)
    frame = concepts.to_frame()
    sides = concepts.split(seed=0)
    frame = frame.assign(side=[sides[g] for g in frame["group"]])
    assert (frame.groupby(["language", "lemma"])["side"].nunique() == 1).all()
    assert (frame.groupby("id")["side"].nunique() == 1).all()
    counts = frame[frame["emotion"] != "neutral"].groupby(["language", "emotion", "side"]).size()
    assert counts.min() >= least


def test_english_derivations_share_a_lemma_within_an_emotion():
    for concept in concept_set("en", "extended").parts[0].concepts:
        groups = {}
        for word in concept.words:
            groups.setdefault(lemma_key(word.word), set()).add(word.lemma)
        assert {key: lemmas for key, lemmas in groups.items() if len(lemmas) > 1} == {}, concept.emotion


def test_an_unknown_size_is_refused_with_the_choices():
    with pytest.raises(UnknownNameError, match=r"size of a concept set 'huge'.*standard, large, extended"):
        concept_set("en", size="huge")


def test_sizes_join_across_languages():
    both = concept_set("en", "large") | concept_set("zh")
    assert [len(both.words("fear", language)) for language in ("en", "zh")] == [44, 22]


def test_the_wheel_takes_the_files():
    root = Path(emotion_interp.__file__).parent
    project = tomllib.loads((root.parent / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["hatch"]["build"]["targets"]["wheel"]["artifacts"]
    for language, size in product(LANGUAGES, LARGER):
        path = root / "concepts" / size / f"{language}.toml"
        assert path.is_file()
        assert any(fnmatch.fnmatch(path.relative_to(root.parent).as_posix(), p) for p in patterns)
