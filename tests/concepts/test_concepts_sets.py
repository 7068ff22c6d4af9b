"""ConceptSet: look-ups, stimuli, subsets, and what it refuses."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from emotion_interp.concepts import Concept, ConceptSet, ConceptWord, concept_set
from emotion_interp.concepts.model import LanguageConcepts
from emotion_interp.core import EmotionInterpError, UnknownNameError


def words(*names, emotion="joy"):
    return tuple(ConceptWord(n, f"{emotion}.{n}") for n in names)


def small(language="en", **changes):
    joy = Concept("joy", "joy", words("smile", "party"), siblings=("awe",))
    awe = Concept("awe", "awe", words("vast", "ocean", emotion="awe"))
    fields = {
        "concepts": (joy, awe),
        "neutral": words("chair", "door", emotion="neutral"),
        "templates": (("a", "A {word}!"), ("b", "{word}")),
    }
    return ConceptSet((LanguageConcepts(language, **(fields | changes)),))


def test_languages_join_in_either_order_to_the_same_set():
    en, zh = concept_set("en"), concept_set("zh")
    assert (en | zh) == (zh | en)
    assert (en | zh).sha256 == (zh | en).sha256
    assert (en | zh).languages == ("en", "zh")


def test_joining_a_language_with_itself_is_refused():
    with pytest.raises(EmotionInterpError, match="two sets for one language: en"):
        concept_set("en") | concept_set("en")


def test_look_ups_name_what_is_there():
    concepts = concept_set("en") | concept_set("zh")
    assert concepts.label("sadness", "zh") == "悲伤"
    assert concepts.concept("joy", "en").words[0].word == "joy"
    assert "椅子" in concepts.neutral("zh")
    assert concepts.words("neutral", "zh") == concepts.neutral("zh")
    with pytest.raises(UnknownNameError, match="Did you mean 'sadness'"):
        concepts.words("sadnes", "en")
    with pytest.raises(UnknownNameError, match="Available: en, zh"):
        concepts.neutral("es")
    with pytest.raises(UnknownNameError, match="emotion 'delight'"):
        concepts.siblings("delight")
    with pytest.raises(EmotionInterpError, match="several languages; name one of en, zh"):
        concepts.words("joy")


def test_siblings_hold_both_ways_even_if_only_one_declares_them():
    assert small().siblings("joy") == ("awe",)
    assert small().siblings("awe") == ("joy",)


def test_stimuli_are_every_combination_with_exact_spans():
    stimuli = small().stimuli()
    assert [(s.emotion, s.word, s.template, s.text) for s in stimuli if s.emotion == "awe"] == [
        ("awe", "vast", "a", "A vast!"),
        ("awe", "vast", "b", "vast"),
        ("awe", "ocean", "a", "A ocean!"),
        ("awe", "ocean", "b", "ocean"),
    ]
    assert stimuli[0].span == (2, 6)
    assert [s.emotion for s in stimuli] == ["awe"] * 4 + ["joy"] * 4 + ["neutral"] * 4


def test_stimuli_filters_keep_exactly_what_is_named():
    concepts = concept_set("en") | concept_set("zh")
    stimuli = concepts.stimuli(languages="zh", templates=["t0", "t5"], emotions=["joy", "neutral"])
    assert {s.language for s in stimuli} == {"zh"}
    assert {s.template for s in stimuli} == {"t0", "t5"}
    assert {s.emotion for s in stimuli} == {"joy", "neutral"}
    assert len(stimuli) == 2 * (len(concepts.words("joy", "zh")) + len(concepts.neutral("zh")))
    for wrong in ({"languages": "xx"}, {"templates": "t9"}, {"emotions": ["joi"]}):
        with pytest.raises(UnknownNameError):
            concepts.stimuli(**wrong)
    with pytest.raises(EmotionInterpError, match="no emotion is given"):
        concepts.stimuli(emotions=[])


@settings(max_examples=25, deadline=None)
@given(
    word=st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8),
    before=st.text(max_size=12).filter(lambda t: "{word}" not in t),
    after=st.text(max_size=12).filter(lambda t: "{word}" not in t),
)
def test_span_is_the_word_in_any_template(word, before, after):
    assume((before + "{word}" + after).count("{word}") == 1 and word.casefold() != "other")
    joy = Concept("joy", "joy", (ConceptWord(word, "joy.x"), ConceptWord("other", "joy.y")))
    concepts = ConceptSet((LanguageConcepts("en", (joy,), (), (("t", before + "{word}" + after),)),))
    stimulus = concepts.stimuli()[0]
    assert stimulus.text == before + word + after
    assert stimulus.span == (len(before), len(before) + len(word))


def test_subset_keeps_neutral_words_and_forgets_siblings_that_left():
    concepts = (concept_set("en") | concept_set("zh")).subset(emotions=["joy", "amusement", "fear"], languages=["en"])
    assert concepts.languages == ("en",)
    assert concepts.emotions == ("amusement", "fear", "joy")
    assert concepts.siblings("joy") == ("amusement",)
    assert concepts.siblings("fear") == ()
    assert concepts.neutral() == concept_set("en").neutral()
    with pytest.raises(UnknownNameError):
        concept_set("en").subset(emotions=["joi"])


def test_languages_may_differ_in_their_emotions():
    only_joy = small("es").subset(emotions="joy")
    both = small("en") | only_joy
    assert both.emotions == ("awe", "joy")
    assert {s.emotion for s in both.stimuli(languages="es")} == {"joy", "neutral"}
    with pytest.raises(UnknownNameError):
        both.words("awe", "es")
    with pytest.raises(EmotionInterpError, match="none of awe in 'es'"):
        both.subset(emotions="awe")


def test_hash_follows_content_and_nothing_else():
    assert small().sha256 == small().sha256
    assert small().sha256 == small(concepts=small().parts[0].concepts[::-1]).sha256
    assert small().sha256 != small(neutral=()).sha256
    assert small().sha256 != small(templates=(("a", "A {word}!"),)).sha256
    concepts = small().parts[0].concepts
    for change in ({"label": "x"}, {"siblings": ("joy",)}, {"words": words("vast", "sky", emotion="awe")}):
        changed = (dataclasses.replace(concepts[0], **change), concepts[1])
        assert small(concepts=changed).sha256 != small().sha256


def test_sets_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        small().parts = ()  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        concept_set("en").concept("joy").label = "x"  # type: ignore[misc]


def test_with_neutral_leaves_out_words_of_emotions():
    bare = small(neutral=())
    assert bare.neutral() == ()
    assert "neutral" not in {s.emotion for s in bare.stimuli()}
    assert bare.with_neutral(["Smile", "chair", "door"]).neutral() == ("chair", "door")
    assert bare.neutral() == ()
    with pytest.raises(EmotionInterpError, match="at least two words"):
        bare.with_neutral(["smile", "door"])


def test_views_say_what_is_in_the_set():
    concepts = small("en") | small("zh")
    assert repr(concepts) == "ConceptSet(2 emotions; en: 4 words + 2 neutral; zh: 4 words + 2 neutral)"
    assert "smile, party" in concepts._repr_html_()
    marked = small(concepts=(Concept("joy", "joy", words("<b>", "party")),))
    assert "<b>" not in marked._repr_html_()
    frame = concepts.to_frame()
    assert list(frame.columns) == ["language", "emotion", "label", "word", "id", "lemma", "group"]
    assert len(frame) == 12


@pytest.mark.parametrize("bad", ["", " ", " smile", "smile ", "two  words", "a\tb", "a\nb", "a\x00b", "\u3000笑"])
def test_words_with_stray_whitespace_are_refused(bad):
    with pytest.raises(EmotionInterpError, match=r"is empty|stray whitespace|no spelling"):
        ConceptWord(bad, "joy.x")
    with pytest.raises(EmotionInterpError, match=r"is empty|stray whitespace|no spelling"):
        ConceptWord("x", bad)


def test_concepts_of_no_or_one_word_are_refused():
    with pytest.raises(EmotionInterpError, match="'joy' has no words; at least two"):
        Concept("joy", "joy", ())
    with pytest.raises(EmotionInterpError, match="'joy' has only 'smile'; at least two"):
        Concept("joy", "joy", words("smile"))


def test_a_word_twice_in_a_concept_is_refused_whatever_its_case_or_composition():
    with pytest.raises(EmotionInterpError, match="more than once: 'smile'"):
        Concept("joy", "joy", words("smile", "Smile"))
    with pytest.raises(EmotionInterpError, match="more than once"):
        Concept("joy", "joy", words("caf\u00e9", "cafe\u0301"))


def test_a_word_under_two_emotions_needs_both_to_declare_it():
    def two(first, second):
        joy = Concept("joy", "joy", words("smile", "heart"), shared=first)
        love = Concept("love", "love", words("kiss", "heart", emotion="love"), shared=second)
        return small(concepts=(joy, love))

    for declared in (((), ()), (("heart",), ()), ((), ("heart",))):
        with pytest.raises(EmotionInterpError, match=r"'heart' \(en\) is under several emotions: joy, love"):
            two(*declared)
    concepts = two(("heart",), ("heart",))
    groups = {(s.emotion, s.word): s.group for s in concepts.stimuli()}
    assert groups["joy", "heart"] == groups["love", "heart"]


def test_a_neutral_word_of_an_emotion_is_refused():
    with pytest.raises(EmotionInterpError, match=r"neutral word 'smile' .*'joy'"):
        small(neutral=words("smile", "door", emotion="neutral"))


@pytest.mark.parametrize("text", ["no slot", "{word} and {word}", "{words}", ""])
def test_a_template_needs_exactly_one_slot(text):
    with pytest.raises(EmotionInterpError, match=r"exactly one \{word\} slot"):
        small(templates=(("t0", text),))


def test_other_faults_are_named():
    with pytest.raises(UnknownNameError, match=r"sibling of 'joy' 'ave'.*Did you mean 'awe'"):
        small(concepts=(Concept("joy", "joy", words("a", "b"), siblings=("ave",)), small().concept("awe")))
    with pytest.raises(EmotionInterpError, match="itself as a sibling"):
        Concept("joy", "joy", words("a", "b"), siblings=("joy",))
    with pytest.raises(UnknownNameError, match="shared word of 'joy'"):
        Concept("joy", "joy", words("a", "b"), shared=("c",))
    with pytest.raises(EmotionInterpError, match="contrast class"):
        Concept("neutral", "neutral", words("a", "b"))
    with pytest.raises(EmotionInterpError, match="more than once in 'en': joy"):
        small(concepts=(small().concept("awe"), *[Concept("joy", "joy", words("a", "b"))] * 2), neutral=())
    with pytest.raises(EmotionInterpError, match="no emotions"):
        small(concepts=())
    with pytest.raises(EmotionInterpError, match="no templates"):
        small(templates=())
    with pytest.raises(EmotionInterpError, match="given twice"):
        small(templates=(("a", "{word}"), ("a", "x {word}")))
    with pytest.raises(EmotionInterpError, match="only 'chair'"):
        small(neutral=words("chair"))
    with pytest.raises(EmotionInterpError, match="at least one language"):
        ConceptSet(())
