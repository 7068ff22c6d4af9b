"""Stimuli in conversations: carriers shown in a turn, read where the concept stands or where a speaker is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emotion_interp as ei
from emotion_interp.activations import forward_pass
from emotion_interp.activations.reading import read_stimuli, read_units
from emotion_interp.activations.shown import shown
from emotion_interp.concepts.model import SLOT
from emotion_interp.core import EmotionInterpError, Site, UnsupportedError
from tests.chat_models import make_chat_subject
from tests.conftest import make_sae

FRAME = [
    {"role": "user", "content": "I shall say a word."},
    {"role": "assistant", "content": "Say it."},
    {"role": "user", "content": "It is: {text} "},
]


@pytest.fixture(scope="module")
def chats():
    saes = [make_sae(0), make_sae(1)]
    return {family: make_chat_subject(family, saes) for family in ("qwen", "llama3", "gemma")}


@pytest.fixture(scope="module")
def concepts():
    return ei.concept_set("en").subset(emotions=["anger", "fear", "joy"])


def test_a_set_in_a_conversation_has_the_same_words_and_carriers_and_another_hash(concepts, tmp_path):
    framed = concepts.in_chat(FRAME)
    plain, inside = concepts.stimuli(), framed.stimuli()
    assert [replace(s, messages=()) for s in inside] == plain
    assert {s.messages for s in inside} == {tuple((m["role"], m["content"]) for m in FRAME)}
    assert len({concepts.sha256, framed.sha256, concepts.in_chat().sha256}) == 3
    assert framed.split(0) == concepts.split(0)
    framed.to_toml(tmp_path / "set.toml")
    assert ei.ConceptSet.from_toml(tmp_path / "set.toml") == framed
    for kept in (
        framed.subset(emotions=["joy"]),
        framed.with_neutral(["chair", "door"]),
        framed | ei.concept_set("zh"),
    ):
        assert kept.stimuli(languages="en")[0].messages == inside[0].messages
    both = framed | ei.concept_set("zh").in_chat()
    both.to_toml(tmp_path / "both.toml")
    assert ei.ConceptSet.from_toml(tmp_path / "both.toml") == both


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([{"role": "user", "content": "no slot"}], "need {text} once"),
        ([{"role": "user", "content": "{text}{text}"}], "need {text} once"),
        ([], "list of messages"),
    ],
)
def test_messages_without_one_place_for_the_stimulus_are_refused(concepts, messages, said):
    with pytest.raises(EmotionInterpError, match=said):
        concepts.in_chat(messages)


@pytest.mark.parametrize("family", ["qwen", "llama3", "gemma"])
@settings(max_examples=40, deadline=None)
@given(
    before=st.text(max_size=8),
    after=st.text(max_size=8),
    word=st.text(alphabet="aé高🙂 ", min_size=1).filter(lambda word: word == word.strip()),
)
def test_the_target_is_found_in_what_the_template_writes_or_refused(chats, family, before, after, word):
    stimulus = ei.Stimulus(before + word + after, (len(before), len(before) + len(word)), "joy", word, "t", "en", "g")
    frame = tuple((m["role"], m["content"]) for m in FRAME)
    for messages in (frame, (("user", "{text}"),)):
        (text,), ((start, stop),) = shown(chats[family], [replace(stimulus, messages=messages)])
        assert text[start:stop] == word


def test_a_target_that_the_template_strips_is_refused(chats):
    stimulus = ei.Stimulus("calm ", (0, 5), "calm", "calm ", "t", "en", "g", (("user", "{text}"),))
    with pytest.raises(EmotionInterpError, match="cuts off a part of the target"):
        shown(chats["gemma"], [stimulus])


@pytest.mark.parametrize("family", ["qwen", "llama3", "gemma"])
@pytest.mark.parametrize("position", ["last", "span", "user_turn", "assistant_turn", "assistant_start", "end_of_user"])
def test_readings_are_the_streams_at_the_tokens_that_the_position_names(chats, family, position, concepts):
    subject = chats[family]
    stimuli = concepts.in_chat(FRAME).stimuli(templates=["t0"])[:5]
    texts, spans = shown(subject, stimuli)
    got = read_stimuli(subject, stimuli, range(5), sites=[Site(1)], position=position)[Site(1)].dense
    for number, (tokens, span) in enumerate(zip(subject.tokenize(texts), spans, strict=True)):
        kept = []
        forward_pass(subject, [tokens], [Site(1)], lambda s, x, b, kept=kept: kept.append(x[0].clone()))
        inside = [k for k, (a, b) in enumerate(tokens.offsets) if b > span[0] and a < span[1]]
        wanted = {
            "last": inside[-1:],
            "span": inside,
            "assistant_start": [len(tokens) - 1],
            "end_of_user": [tokens.turns.spans("end_of_user")[-1][0]],
        }.get(position)
        if wanted is None:
            spoken = {"user_turn": ["I shall say a word.", "It is:"], "assistant_turn": ["Say it."]}[position]
            places = [(texts[number].index(w), texts[number].index(w) + len(w)) for w in spoken]
            pieces = tokens.turns.spans(position)
            wanted = [k for a, b in pieces for k in range(a, min(b, len(tokens)))]
            # every word that is spoken is among them
            for a, b in places:
                assert {k for k, (x, y) in enumerate(tokens.offsets) if y > a and x < b} <= set(wanted)
        expected = kept[0][wanted].double().mean(0).numpy()
        assert np.abs(got[number] - expected).max() < 1e-3


def test_features_are_found_in_a_chat_models_own_turns(chats, concepts):
    bank = ei.find_features(chats["qwen"], concepts.in_chat(FRAME), position="assistant_start")
    plain = ei.find_features(chats["qwen"], concepts)
    assert bank.manifest["position"] == "assistant_start"
    assert bank.manifest["concepts_sha256"] != plain.manifest["concepts_sha256"]
    assert bank.manifest["conversation"] == {"en": [[m["role"], m["content"]] for m in FRAME]}
    assert "conversation" not in plain.manifest
    assert not np.allclose(
        bank.direction("joy", layer=1, method="dense").vector, plain.direction("joy", layer=1, method="dense").vector
    )


def test_a_model_that_is_no_chat_model_is_not_shown_conversations(tiny_subject, concepts):
    with pytest.raises(UnsupportedError, match="no chat template"):
        ei.find_features(tiny_subject, concepts.in_chat())
    with pytest.raises(EmotionInterpError, match="'end_of_user' is a place in a conversation"):
        ei.find_features(tiny_subject, concepts, position="end_of_user")
    with pytest.raises(EmotionInterpError, match="unknown position 'start'"):
        read_units(tiny_subject, ["a"], [0], position="start")


def test_a_turn_without_words_is_refused(chats):
    stimulus = ei.Stimulus("joy", (0, 3), "joy", "joy", "t", "en", "g", (("user", "{text}"),))
    with pytest.raises(EmotionInterpError, match="no token at 'assistant_turn'"):
        read_stimuli(chats["llama3"], [stimulus], [0], sites=[Site(0)], position="assistant_turn")
    assert SLOT == "{word}"


def test_a_bank_of_conversations_is_not_tested_again_on_plain_words(chats, concepts, tmp_path):
    framed = concepts.in_chat(FRAME)
    subject = chats["llama3"]
    bank = ei.find_features(subject, framed)
    bank.save(tmp_path / "bank")
    again = ei.FeatureBank.load(tmp_path / "bank")
    assert ei.feature_controls(subject, framed, again) is not None
    with pytest.raises(EmotionInterpError, match="found in a conversation"):
        ei.feature_controls(subject, concepts, again)
    with pytest.raises(EmotionInterpError, match="found on plain texts"):
        ei.feature_controls(subject, framed, ei.find_features(subject, concepts))


def test_texts_of_your_own_are_shown_in_the_conversation_of_the_concepts(chats, concepts):
    from emotion_interp.features.design import design_stimuli

    texts = [
        ei.Stimulus(f"text {i} of {e}", (0, 4), e, f"{e}{i}", "t", "en", f"{e}{i}")
        for e in ("joy", "fear")
        for i in range(3)
    ]
    own = (("user", "Mine: {text}"),)
    texts[0] = replace(texts[0], messages=own)
    design = design_stimuli(concepts.in_chat(), texts, 0)
    assert [s.messages for s in design.stimuli] == [own, *([(("user", "{text}"),)] * 5)]
    assert not any(s.messages for s in design_stimuli(concepts, texts[1:], 0).stimuli)


def test_rated_words_are_read_in_a_turn_through_a_carrier_that_the_template_wrote(chats, concepts):
    from emotion_interp.ratings.subject_ratings import read_words

    subject = chats["llama3"]
    words = ["letter", "sea", "joy"]
    carrier = subject.rendered([{"role": "user", "content": "The word is {word}."}])
    got = read_words(subject, words, "en", [Site(1)], carrier=carrier)[Site(1)].dense
    frame = (("user", "The word is {text}."),)
    stimuli = [ei.Stimulus(w, (0, len(w)), "neutral", w, "t", "en", w, frame) for w in words]
    expected = read_stimuli(subject, stimuli, range(3), sites=[Site(1)])[Site(1)].dense
    assert np.abs(got - expected).max() < 1e-4


def test_rated_words_are_read_in_the_conversation_of_the_bank(chats, concepts):
    from emotion_interp.ratings.subject_ratings import read_part

    subject, norms = chats["llama3"], ei.load_norms("builtin")
    bank = ei.find_features(subject, concepts.in_chat(FRAME))
    told = {"layers": [1], "max_words": 12}
    inside, _ = read_part(subject, norms, bank, **told)
    first = next(iter(concepts.templates("en").values()))
    carrier = subject.rendered([*FRAME[:2], {"role": "user", "content": f"It is: {first} "}])
    by_hand, _ = read_part(subject, norms, bank, carrier=carrier, **told)
    plain, _ = read_part(subject, norms, None, **told)
    assert inside.words == by_hand.words == plain.words
    for site, activations in inside.dense.items():
        assert np.abs(activations - by_hand.dense[site]).max() < 1e-4
        assert np.abs(activations - plain.dense[site]).max() > 0.01
