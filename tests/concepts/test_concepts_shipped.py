"""The shipped word lists: complete, clean, aligned across languages."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from emotion_interp.concepts import Concept, ConceptSet, ConceptWord, concept_set
from emotion_interp.core import UnknownNameError

EMOTIONS = [
    "admiration",
    "amusement",
    "anger",
    "anxiety",
    "awe",
    "boredom",
    "calm",
    "compassion",
    "contempt",
    "desire",
    "disappointment",
    "disgust",
    "embarrassment",
    "envy",
    "excitement",
    "fear",
    "gratitude",
    "guilt",
    "hope",
    "joy",
    "loneliness",
    "love",
    "nostalgia",
    "pride",
    "relief",
    "sadness",
    "shame",
    "surprise",
]
LANGUAGES = ("en", "es", "zh")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_shipped_language_has_the_28_emotions(language):
    assert list(concept_set(language).emotions) == EMOTIONS


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_concept_has_18_to_24_words_and_200_neutral_words_stand_beside(language):
    concepts = concept_set(language)
    sizes = {emotion: len(concepts.words(emotion)) for emotion in concepts.emotions}
    assert {e: n for e, n in sizes.items() if not 18 <= n <= 24} == {}
    assert len(concepts.neutral()) >= 200


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_has_stray_whitespace_or_stands_twice(language):
    concepts = concept_set(language)
    words = [w for e in (*concepts.emotions, "neutral") for w in concepts.words(e)]
    assert [w for w in words if not w or w != w.strip() or any(c.isspace() for c in w)] == []
    assert [w for w, n in Counter(words).items() if n > 1] == []


def test_english_words_are_lower_case_ascii():
    concepts = concept_set("en")
    words = [w for e in (*concepts.emotions, "neutral") for w in concepts.words(e)]
    assert [w for w in words if not (w.isascii() and w.isalpha() and w == w.lower())] == []


def test_chinese_words_are_simplified_and_one_to_four_characters():
    zhconv = pytest.importorskip("zhconv")
    concepts = concept_set("zh")
    words = [w for e in (*concepts.emotions, "neutral") for w in concepts.words(e)]
    assert [w for w in words if not 1 <= len(w) <= 4 or not all("\u4e00" <= c <= "\u9fff" for c in w)] == []
    assert [w for w in words if zhconv.convert(w, "zh-cn") != w] == []


def test_spanish_words_are_lower_case_single_words_in_composed_letters():
    concepts = concept_set("es")
    words = [w for e in (*concepts.emotions, "neutral") for w in concepts.words(e)]
    letters = set("abcdefghijklmnopqrstuvwxyzáéíóúüñ")
    assert [w for w in words if not set(w) <= letters] == []


def test_derivations_of_one_spanish_lemma_share_a_group():
    frame = concept_set("es").to_frame()
    group = dict(zip(frame["word"], frame["group"], strict=True))
    assert group["orgulloso"] == group["orgullo"]
    assert group["agradecer"] == group["gratitud"]
    assert group["rabia"] != group["ira"]


def test_three_languages_split_into_halves_that_share_no_group():
    concepts = concept_set("en") | concept_set("es") | concept_set("zh")
    frame = concepts.to_frame()
    sides = concepts.split(seed=0)
    shares = frame.assign(found=[sides[g] == "discovery" for g in frame["group"]])
    shares = shares.groupby(["language", "emotion"])["found"].mean()
    assert shares.between(0.35, 0.65).all()
    by_id = frame.groupby("id")["group"].nunique()
    assert (by_id == 1).all()


def test_at_least_60_percent_of_each_concept_is_aligned_across_languages():
    for emotion in (*EMOTIONS, "neutral"):
        ids = {}
        for language in LANGUAGES:
            part = next(iter(concept_set(language).parts))
            ids[language] = {w.id for e, w in part.words_by_emotion() if e == emotion}
        for language in LANGUAGES:
            assert len(ids["en"] & ids[language]) >= 0.6 * len(ids[language]), (emotion, language)
            assert len(ids["en"] & ids[language]) >= 0.6 * len(ids["en"]), (emotion, language)


def test_ids_begin_with_their_emotion():
    frame = (concept_set("en") | concept_set("es") | concept_set("zh")).to_frame()
    assert all(i.startswith(f"{e}.") for i, e in zip(frame["id"], frame["emotion"], strict=True))


@pytest.mark.parametrize("language", LANGUAGES)
def test_siblings_are_declared_by_both_and_alike_in_every_language(language):
    declared = {e: set(concept_set(language).concept(e).siblings) for e in EMOTIONS}
    assert {(a, b) for a in declared for b in declared[a]} == {(b, a) for a in declared for b in declared[a]}
    assert declared == {e: set(concept_set("en").concept(e).siblings) for e in EMOTIONS}
    assert {"shame"} <= declared["guilt"]
    assert {"excitement"} <= declared["joy"]
    assert {"anxiety"} <= declared["fear"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_six_templates_end_with_the_target(language):
    templates = concept_set(language).templates()
    assert list(templates) == [f"t{i}" for i in range(6)]
    assert all(text.count("{word}") == 1 and text.endswith("{word}") for text in templates.values())
    assert len(set(templates.values())) == 6


def test_labels_are_words_of_the_language_and_of_the_concept():
    assert concept_set("en").label("anger") == "anger"
    assert concept_set("zh").label("anger") == "愤怒"
    assert concept_set("es").label("anger") == "ira"
    for language in LANGUAGES:
        concepts = concept_set(language)
        assert [e for e in EMOTIONS if concepts.label(e) not in concepts.words(e)] == []


def test_every_shipped_stimulus_has_its_word_at_its_span_and_a_group():
    concepts = concept_set("en") | concept_set("es") | concept_set("zh")
    stimuli = concepts.stimuli()
    n_words = len(concepts.to_frame())
    assert len(stimuli) == n_words * 6
    assert all(s.text[slice(*s.span)] == s.word for s in stimuli)
    assert {s.group for s in stimuli} == set(concepts.split(seed=0))


def test_derivations_of_one_english_lemma_share_a_group():
    concepts = concept_set("en")
    group = dict(zip(concepts.to_frame()["word"], concepts.to_frame()["group"], strict=True))
    assert group["angry"] == group["anger"]
    assert group["lonely"] == group["loneliness"]
    assert group["rage"] != group["anger"]


def test_unknown_language_is_refused_with_what_is_there():
    with pytest.raises(UnknownNameError, match=r"'xx'.*en, es, zh"):
        concept_set("xx")


def test_the_room_exports_its_types():
    concepts = concept_set("en")
    assert isinstance(concepts, ConceptSet)
    assert isinstance(concepts.concept("joy"), Concept)
    assert isinstance(concepts.concept("joy").words[0], ConceptWord)


@pytest.mark.real
def test_neutral_words_are_rated_calmer_and_nearer_the_middle_than_emotion_words():
    data = os.environ.get("EMOTION_INTERP_DATA")
    path = Path(data or "") / "norms/Ratings_Warriner_et_al.csv"
    if not data or not path.is_file():
        pytest.skip("EMOTION_INTERP_DATA does not name a folder with norms/Ratings_Warriner_et_al.csv")
    with path.open(encoding="utf-8") as handle:
        norms = {r["Word"]: (float(r["V.Mean.Sum"]), float(r["A.Mean.Sum"])) for r in csv.DictReader(handle)}
    concepts = concept_set("en")
    neutral = [norms[w] for w in concepts.neutral() if w in norms]
    emotional = [norms[w] for e in concepts.emotions for w in concepts.words(e) if w in norms]
    assert len(neutral) > 0.9 * len(concepts.neutral())
    assert len(emotional) > 570
    assert [v for v in neutral if not 3.5 < v[0] < 7] == []

    def mean(values):
        return sum(values) / len(values)

    assert mean([a for _, a in neutral]) < mean([a for _, a in emotional]) - 0.8
    assert mean([abs(v - 5) for v, _ in neutral]) < mean([abs(v - 5) for v, _ in emotional]) / 2
    by_emotion = {e: mean([norms[w][0] for w in concepts.words(e) if w in norms]) for e in concepts.emotions}
    assert max(by_emotion[e] for e in ("anger", "disgust", "fear", "sadness", "shame")) < 4.2
    assert min(by_emotion[e] for e in ("joy", "love", "gratitude", "hope", "calm")) > 6
