"""`--chat` and `--messages`: stimuli, prompts and traces in a model's own chat template, on a tiny chat model."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.study.presets import IN_CHAT
from tests.chat_models import CONTEXT, FAMILIES, make_chat_tokenizer
from tests.conftest import make_sae
from tests.families.zoo import make_model

TALK = [{"role": "user", "content": "How do you feel today?"}]
LONGER = [*TALK, {"role": "assistant", "content": "I feel calm"}]


@pytest.fixture(scope="module")
def chat_options(tmp_path_factory):
    root = tmp_path_factory.mktemp("chat")
    tokenizer = make_chat_tokenizer("llama3")
    make_model(FAMILIES["llama3"][0], tokenizer, 0, max_position_embeddings=CONTEXT).save_pretrained(root / "llama3")
    tokenizer.save_pretrained(root / "llama3")
    for layer in (0, 1):
        make_sae(layer).save_model(root / "saes" / f"layer_{layer}")
    return ["--model", str(root / "llama3"), "--saes", str(root / "saes"), "-q"]


@pytest.fixture(scope="module")
def chat_subject(chat_options):
    return ei.load_subject(chat_options[1], saes=chat_options[3])


@pytest.fixture(scope="module")
def chat_bank(chat_subject, tmp_path_factory):
    bank = ei.find_features(chat_subject, ei.concept_set("en").subset(emotions=["anger", "fear", "joy"]).in_chat())
    return bank.save(tmp_path_factory.mktemp("bank") / "bank")


@pytest.fixture
def talk_file(tmp_path):
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(TALK), encoding="utf-8")
    return path


def test_features_are_found_in_the_models_own_template(shell, chat_options, tmp_path):
    rows = [
        {"text": f"{word} number {i}", "emotion": e}
        for e, word in (("joy", "happy"), ("fear", "afraid"))
        for i in range(8)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "texts.csv", index=False)
    find = ["features", "find", *chat_options, "--languages", "en", "--stimuli", tmp_path / "texts.csv"]
    answer = shell(*find, "--chat", "--out", tmp_path / "bank")
    assert answer.code == 0, answer.err
    assert ei.FeatureBank.load(tmp_path / "bank").manifest["conversation"] == {"en": [["user", "{text}"]]}


def test_a_study_says_that_its_stimuli_stand_in_conversations(shell, chat_options, tmp_path):
    out = tmp_path / "study"
    run = ["run", *chat_options, "--languages", "en", "--emotions", "joy,fear", "--stages", "features"]
    answer = shell(*run, "--chat", "--out", out)
    assert answer.code == 0, answer.err
    assert json.loads((out / "study.json").read_text("utf-8"))["notes"] == [IN_CHAT]
    assert ei.FeatureBank.load(out / "bank").manifest["conversation"] == {"en": [["user", "{text}"]]}


def test_conversations_are_answered_unsteered_and_steered(shell, chat_options, chat_subject, chat_bank, tmp_path):
    path = tmp_path / "talks.json"
    path.write_text(json.dumps([TALK, LONGER]), encoding="utf-8")
    asked = ["--bank", chat_bank, "--messages", path, "--method", "dense", "--layer", "1", "--dose", "3"]
    options = [*asked, "--positions", "assistant_turn", "--tokens", "6"]
    answer = shell("steer", *chat_options, *options, "--json")
    assert answer.code == 0, answer.err
    rows = answer.records
    assert [row["unsteered"] for row in rows] == chat_subject.chat([TALK, LONGER], max_new_tokens=6)
    joy = ei.FeatureBank.load(chat_bank).direction("joy", layer=1, method="dense")
    with ei.steer(chat_subject, joy, dose=3.0, positions="assistant_turn"):
        assert [row["steered"] for row in rows] == chat_subject.chat([TALK, LONGER], max_new_tokens=6)


def test_a_grid_is_judged_on_conversations(shell, chat_options, chat_bank, talk_file, tmp_path):
    grid = [
        "--grid",
        tmp_path / "g.csv",
        "--judge",
        "text",
        "--doses",
        "1",
        "--random",
        "3",
        "--method",
        "dense",
        "--tokens",
        "3",
    ]
    answer = shell("steer", *chat_options, "--bank", chat_bank, "--messages", talk_file, *grid, "--json")
    assert answer.code == 0, answer.err
    assert [row["emotion"] for row in answer.records] == ["joy"] and (tmp_path / "g.csv").is_file()


def test_a_conversation_is_traced_with_its_speakers(shell, chat_options, chat_bank, tmp_path):
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(LONGER), encoding="utf-8")
    answer = shell("trace", *chat_options, "--bank", chat_bank, "--messages", path, "--layer", "1")
    assert answer.code == 0, answer.err
    assert "speaker" in answer.out and "assistant" in answer.out and "user" in answer.out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "is not readable JSON"),
        ("{}", "a conversation is a list of messages"),
        ("[]", "a conversation is a list of messages"),
        ('[{"role": "model", "content": "a"}]', "unknown role of message 0"),
        ('[{"role": "user"}]', "message 0 is"),
        ('[{"role": "user", "content": 3}]', "content of message 0 is a text"),
    ],
)
def test_a_file_that_is_no_conversation_is_refused_by_its_name(refused, tmp_path, content, said):
    path = tmp_path / "talk.json"
    path.write_text(content, encoding="utf-8")
    for command in ("steer", "trace"):
        line = refused(command, "--messages", path)
        assert said in line and "talk.json" in line


def test_choices_that_do_not_go_together_are_refused_before_anything_is_loaded(refused, talk_file):
    assert "the ones or the others" in refused("steer", "He was", "--messages", talk_file)
    assert "there is none" in refused("steer", "He was", "--positions", "user_turn")
    assert "unknown positions" in refused("steer", "He was", "--positions", "end")
    assert "give one of them" in refused("trace", "He was", "--messages", talk_file)
    assert "give one of them" in refused("trace")
    for stimuli in ("shipped", "stories"):
        assert f"not {stimuli}" in refused("run", "--chat", "--stimuli", stimuli)


def test_a_model_without_a_template_is_refused_before_it_is_searched(refused, subject_options, talk_file, tmp_path):
    for command in ("steer", "trace"):
        assert "has no chat template" in refused(command, *subject_options, "--messages", talk_file)
    assert "has no chat template" in refused("features", "find", *subject_options, "--languages", "en", "--chat")
