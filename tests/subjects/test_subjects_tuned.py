"""SAEs of a tuned model on a base model, or the reverse, in a folder of any name: said where the files tell, and nowhere else."""

from __future__ import annotations

import json
import re
import warnings

import pytest

import emotion_interp as ei
from emotion_interp.subjects.tuned import kind_of_name
from tests.chat_models import make_chat_tokenizer
from tests.conftest import make_gpt2, make_sae

NAMES = {
    "tuned": ["google/gemma-2-2b-it", "gemma-1.1-7b-it", "Llama-2-7b-chat-hf", "mistralai/Mistral-7B-Instruct-v0.1"],
    "base": [
        *("gpt2", "gpt2-small", "EleutherAI/pythia-70m-deduped", "gemma-2b", "google/gemma-3-1b-pt", "gemma-3-270m"),
        *("meta-llama/Llama-3.1-8B", "meta-llama/Llama-2-7b-hf", "Qwen/Qwen2.5-0.5B", "Qwen/Qwen3-8B-Base"),
        "mistral-7b",
    ],
    # an Italian model, the tuned model of a later Qwen, a model of one's own
    None: ["gpt2-small-it", "Qwen/Qwen3-8B", "gemma-2-2b-emotions", "tiny", "", "bert-base"],
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names])
def test_what_a_name_says(kind, name):
    assert kind_of_name(name) == kind


def folder_with(place, template=True, ends_with_turns=True, recorded=None):
    """A folder whose name says nothing, with a tiny model of GPT-2's class."""
    tokenizer = make_chat_tokenizer("qwen")
    if not ends_with_turns:
        tokenizer.eos_token = "<|endoftext|>"
    if not template:
        tokenizer.chat_template = None
    folder = place / "run-7"
    make_gpt2(tokenizer, layers=2).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    if recorded:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "_name_or_path": recorded}))
    return folder


def said(folder, model_name):
    """The lines about another model that loading a folder with SAEs of a model brings."""
    saes = [make_sae(layer) for layer in (0, 1)]
    for sae in saes:
        sae.cfg.metadata.model_name = model_name
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ei.load_subject(folder, saes)
    return [str(w.message) for w in caught if "were trained on" in str(w.message)]


BASE, TUNED = "google/gemma-2-2b", "google/gemma-2-2b-it"
CASES = {
    "base SAEs, a model that ends with its turns": ({}, BASE, "base model, and run-7 is probably one tuned for conv"),
    "tuned SAEs, no template": (
        {"template": False},
        TUNED,
        "was tuned for conversations, and run-7 is probably a base",
    ),
    "base SAEs, made from a tuned one": ({"recorded": TUNED, "template": False}, BASE, f"config.json .* names {TUNED}"),
    "base SAEs, made from another base": ({"recorded": "EleutherAI/pythia-70m", "template": False}, "gpt2", "pythia"),
    "tuned SAEs, made from the base": ({"recorded": BASE, "template": False}, TUNED, "has no chat template"),
    "base SAEs, tuned from that base": ({"recorded": BASE}, BASE, "ends where its chat template closes a turn"),
}
SILENT = {
    "both tuned": ({}, TUNED),
    "both base": ({"template": False}, BASE),
    # some base models bring a template
    "a template alone, base SAEs": ({"ends_with_turns": False}, BASE),
    "a template alone, tuned SAEs": ({"ends_with_turns": False}, TUNED),
    "SAEs of a name that says nothing": ({}, "tiny"),
    "SAEs of the same folder": ({}, "run-7"),
    "made from a tuned one without a template": ({"recorded": TUNED, "template": False}, TUNED),
    # published tuned models may name the base that they were made from
    "made from the base, with a template": ({"recorded": BASE}, TUNED),
    "the same base by another owner": ({"recorded": "unsloth/gemma-2-2b", "template": False}, BASE),
    "made from nobody knows what": ({"recorded": "/data/run-6", "template": False}, BASE),
}


@pytest.mark.parametrize(("files", "model_name", "words"), CASES.values(), ids=CASES)
def test_one_line_where_the_files_tell(tmp_path, files, model_name, words):
    lines = said(folder_with(tmp_path, **files), model_name)
    assert len(lines) == 1 and "\n" not in lines[0] and lines[0].startswith("2 of 2 SAEs")
    assert re.search(words, lines[0]), lines[0]


@pytest.mark.parametrize(("files", "model_name"), SILENT.values(), ids=SILENT)
def test_nothing_is_said_where_it_cannot_be_known(tmp_path, files, model_name):
    assert said(folder_with(tmp_path, **files), model_name) == []


@pytest.mark.parametrize("beside", ["chat_template.json", "chat_template.jinja.orig"])
def test_a_template_that_transformers_did_not_read_may_be_the_models(tmp_path, beside):
    folder = folder_with(tmp_path, template=False)
    (folder / beside).write_text("{}")
    assert said(folder, TUNED) == []


def test_a_damaged_or_odd_recorded_name_is_none(tmp_path):
    for odd in (7, ["gpt2"], None, ""):
        folder = folder_with(tmp_path / str(odd), template=False, recorded="x")
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "_name_or_path": odd}))
        assert said(folder, BASE) == []
