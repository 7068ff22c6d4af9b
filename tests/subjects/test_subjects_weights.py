"""Folders whose files do not belong together: what would be random or left out is refused, or said in one line."""

from __future__ import annotations

import copy
import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import emotion_interp as ei
from emotion_interp.activations import read_units
from emotion_interp.core import FileFormatError, Site
from tests.conftest import make_sae
from tests.families.zoo import make_model, make_tokenizer

TEXTS = ["the letter said that she was coming home", "he read", "joy, fear and anger and"]
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture(scope="module")
def family_tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def llama(tmp_path_factory, family_tokenizer):
    folder = tmp_path_factory.mktemp("whole") / "llama"
    make_model("Llama", family_tokenizer).save_pretrained(folder)
    family_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(llama, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(llama, tmp_path / "llama")


def loaded(folder) -> tuple[ei.Subject, list[str]]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        subject = ei.load_subject(folder)
    return subject, [str(w.message) for w in seen if w.category is UserWarning and str(folder) in str(w.message)]


def stream(subject) -> np.ndarray:
    return read_units(subject, TEXTS, np.arange(len(TEXTS)), position="end", sites=[Site(1)])[Site(1)].dense


def in_shards(folder, second=lambda names: names, index=lambda names: names) -> None:
    """The weights as two shards with an index: of the second half of them, and of all, those that are to be there."""
    whole = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(whole)
    halves = {FIRST: names[: len(names) // 2], SECOND: names[len(names) // 2 :]}
    for file, part in halves.items():
        there = second(part) if file == SECOND else part
        save_file({name: whole[name] for name in there}, folder / file, metadata={"format": "pt"})
    placed = {name: file for file, part in halves.items() for name in part}
    known = {name: placed[name] for name in index(names)}
    text = json.dumps({"metadata": {"total_size": 1}, "weight_map": known})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def test_shards_give_what_the_whole_file_gave_and_win_over_nothing(llama, folder):
    in_shards(folder)
    subject, said = loaded(folder)
    assert said == [] and np.array_equal(stream(subject), stream(loaded(llama)[0]))
    # a whole file beside them is what transformers reads, and what is noted
    shutil.copy(llama / "model.safetensors", folder / "model.safetensors")
    assert loaded(folder)[0].provenance["sha256"] == loaded(llama)[0].provenance["sha256"]


@pytest.mark.parametrize(
    "stale",
    [{"second": lambda names: names[:-2]}, {"index": lambda names: names[: len(names) // 2]}],
    ids=["a shard lacks weights", "the index does not know a shard"],
)
def test_weights_that_would_be_random_are_refused(folder, stale):
    in_shards(folder, **stale)
    with pytest.raises(ei.EmotionInterpError) as refusal:
        ei.load_subject(folder)
    assert str(folder) in str(refusal.value) and "\n" not in str(refusal.value)


def test_weights_of_a_deeper_model_are_said_to_be_left_out(folder, family_tokenizer):
    make_model("Llama", family_tokenizer, num_hidden_layers=4).save_pretrained(folder / "deep")
    shutil.copy(folder / "deep" / "model.safetensors", folder / "model.safetensors")
    (said,) = loaded(folder)[1]
    assert "config.json knows nothing of" in said and "model.layers.2" in said


def test_an_adapter_that_would_be_left_out_is_refused(folder):
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.self_attn.q_proj.lora_A.weight"] = torch.ones(2, 32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FileFormatError, match="Merge it into the model"):
        ei.load_subject(folder)


def test_a_tokenizer_of_far_fewer_tokens_is_named(folder, family_tokenizer):
    rows = 2 * len(family_tokenizer)
    make_model("Llama", family_tokenizer, vocab_size=rows).save_pretrained(folder)
    (said,) = loaded(folder)[1]
    assert f"knows {len(family_tokenizer):,} tokens" in said and f"{rows:,} rows" in said


def test_a_tokenizer_that_pads_left_and_cuts_by_itself_reads_the_same(llama, folder, family_tokenizer):
    told = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    pad = {"strategy": {"Fixed": 20}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0}
    told["padding"] = {**pad, "pad_token": str(family_tokenizer.eos_token)}
    told["truncation"] = {"direction": "Left", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(told), encoding="utf-8")
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    sides = {"padding_side": "left", "truncation_side": "left"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, **sides}), encoding="utf-8")
    whole, padded = loaded(llama)[0], loaded(folder)[0]
    assert [t.ids for t in padded.tokenize(TEXTS)] == [t.ids for t in whole.tokenize(TEXTS)]
    assert np.array_equal(stream(padded), stream(whole))
    assert padded.generate(TEXTS, 4) == whole.generate(TEXTS, 4)


@pytest.mark.parametrize("hook", ["blocks.1.hook_mlp_out", "blocks.1.ln2.hook_normalized", "blocks.1.attn.hook_z"])
def test_an_sae_that_is_put_elsewhere_than_it_was_trained_is_named_in_one_line(gpt2, tokenizer, hook):
    sae = make_sae(1)
    sae.cfg.metadata.hook_name = hook
    with pytest.warns(UserWarning, match="where they were not trained") as seen:
        ei.Subject(gpt2, saes={Site(1): sae}, tokenizer=tokenizer)
    assert sum(hook in str(w.message) for w in seen) == 1
    if "ln2" in hook:
        with pytest.raises(ei.EmotionInterpError, match="unknown hook"):
            ei.Subject(gpt2, saes=[sae], tokenizer=tokenizer)


def test_an_sae_at_the_next_blocks_beginning_is_at_the_same_place(gpt2, tokenizer, recwarn):
    sae = make_sae(0)
    ei.Subject(gpt2, saes={Site(1, "resid_pre"): sae, Site(0): copy.deepcopy(sae)}, tokenizer=tokenizer)
    assert not [w for w in recwarn if "not trained" in str(w.message)]


def test_half_precision_of_an_sae_is_noted(gpt2, tokenizer):
    half = copy.deepcopy(make_sae(1)).to(torch.bfloat16)
    half.cfg.dtype = "bfloat16"
    subjects = [ei.Subject(gpt2, saes=[sae], tokenizer=tokenizer) for sae in (make_sae(1), half)]
    noted = [next(iter(s.readers.values())).provenance().get("dtype") for s in subjects]
    assert noted == [None, "bfloat16"]
