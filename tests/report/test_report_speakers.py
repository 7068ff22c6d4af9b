"""Traces of conversations: who speaks at which token, in the table, the picture and the page."""

from __future__ import annotations

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, UnsupportedError
from emotion_interp.figures import trace_heatmap
from emotion_interp.report import token_view
from tests.chat_models import make_chat_subject
from tests.conftest import make_sae

MESSAGES = [
    {"role": "user", "content": "I feel <b>happy</b> 🙂"},
    {"role": "assistant", "content": "fine"},
    {"role": "user", "content": "so am I"},
]


@pytest.fixture(scope="module")
def chats():
    return {family: make_chat_subject(family, [make_sae(0), make_sae(1)]) for family in ("qwen", "llama3")}


@pytest.fixture(scope="module")
def banks(chats):
    concepts = ei.concept_set("en").subset(emotions=["fear", "joy"])
    return {family: ei.find_features(subject, concepts) for family, subject in chats.items()}


@pytest.mark.parametrize("kind", ["features", "dense"])
@pytest.mark.parametrize("family", ["qwen", "llama3"])
def test_every_token_is_said_by_the_one_whose_turn_it_is(chats, banks, family, kind):
    subject, bank = chats[family], banks[family]
    trace = ei.emotion_trace(subject, MESSAGES, bank, kind=kind)
    text = subject.rendered(MESSAGES)
    # BOS is not shown
    bos = subject.tokenizer.bos_token or ""
    assert "".join(trace.tokens) == text.removeprefix(bos) and trace.text == text
    said = {}
    for token, speaker in zip(trace.tokens, trace.speakers, strict=True):
        said[speaker] = said.get(speaker, "") + token
    assert "happy" in said["user"] and "so am I" in said["user"] and "fine" in said["assistant"]
    assert "happy" not in said["assistant"] and "fine" not in said["user"]
    assert ("You are Qwen" in said.get("system", "")) == (family == "qwen")
    frame = trace.to_frame()
    shown = frame.drop_duplicates("position").set_index("position")["speaker"]
    assert tuple(shown) == trace.speakers
    # the same numbers as of the text that the template writes
    plain = ei.emotion_trace(subject, str(text), bank, language="en", kind=kind)
    assert np.array_equal(plain.values, trace.values) and plain.speakers == ()
    assert "speaker" not in plain.to_frame()


def test_the_picture_and_the_page_show_who_speaks(chats, banks, tmp_path):
    trace = ei.emotion_trace(chats["qwen"], MESSAGES, banks["qwen"])
    for figure in (trace.plot(), trace.plot(layer=0)):
        assert [a.hovertext for a in figure.layout.annotations] == ["system", "user", "assistant", "user", "assistant"]
        assert len(figure.layout.shapes) == 4
        assert any(name.startswith("user: ") for name in figure.data[0].customdata[0])
    page = trace.save(tmp_path / "trace.html").read_text(encoding="utf-8")
    assert page.count('<b class="ei-speaker">assistant</b>') >= 2 and '<b class="ei-speaker">system</b>' in page
    for first, stop in trace.sentences:
        assert len(set(trace.speakers[first:stop])) == 1
    assert [stop for _, stop in trace.sentences][:-1] == [first for first, _ in trace.sentences][1:]
    assert "<b>happy" not in page and "&lt;" in page
    assert trace.view().html.count("<li><b>user</b>") == 2
    plain = ei.emotion_trace(chats["qwen"], "I feel happy", banks["qwen"])
    assert not plain.plot(layer=0).layout.annotations and 'ei-turns"' not in plain.view().html
    assert '"ei-speaker"' not in plain.save(tmp_path / "plain.html").read_text(encoding="utf-8")


def test_a_speaker_of_a_frame_is_plain_text_in_the_picture():
    import pandas as pd

    frame = pd.DataFrame(
        {"position": [0, 1], "token": ["a", "b"], "emotion": "joy", "value": 1.0, "speaker": "<i>x</i>"}
    )
    (note,) = trace_heatmap(frame).layout.annotations
    assert "<i>" not in note.hovertext
    assert 'ei-turns"' not in token_view(["a"], [[1.0]], ["joy"]).html


def test_words_that_the_assistant_is_about_to_say_have_a_place(chats, banks):
    trace = ei.emotion_trace(chats["llama3"], MESSAGES, banks["llama3"])
    assert trace.speakers[-1] == "assistant" and trace.tokens[-1] == "\n"
    reply = chats["llama3"].chat(MESSAGES, 4)
    whole = ei.emotion_trace(chats["llama3"], [*MESSAGES, {"role": "assistant", "content": reply}], banks["llama3"])
    assert np.allclose(whole.values[:, : len(trace.tokens) - 1], trace.values[:, :-1], atol=1e-4)


def test_what_cannot_be_traced_is_one_line(chats, banks, tiny_subject, tiny_bank):
    with pytest.raises(UnsupportedError, match="no chat template"):
        ei.emotion_trace(tiny_subject, MESSAGES, tiny_bank)
    for wrong in ([{"role": "user", "content": " "}], [], [{"role": "user"}]):
        with pytest.raises(EmotionInterpError):
            ei.emotion_trace(chats["qwen"], wrong, banks["qwen"])
