"""The planner's sizes of every family, from its configuration alone, are those of the model that TransformerLens wraps."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

import emotion_interp as ei
from emotion_interp.core import UnsupportedError
from emotion_interp.subjects.architecture import _of_table, architecture_of
from tests.backends import HOOKED
from tests.families.by_hand import blocks_of
from tests.families.zoo import FAMILIES, make_model, make_tokenizer

COPIED = ("GPT-NeoX", "GPT-NeoX, sequential", "Bloom", "Falcon", "Falcon, ALiBi", "CodeGen", "MPT")
"""Families whose queries, keys and values TransformerLens sorts into matrices of their own."""

BEYOND = (5, 24)
"""Where transformers is beyond our bound: a family may be refused, here CodeGen, whose attention TransformerLens calls as before."""


@pytest.fixture(scope="module")
def family_tokenizer():
    return make_tokenizer()


def made(family: str, tokenizer: Any) -> Any:
    try:
        return make_model(family, tokenizer)
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_are_counted_from_the_configuration(family, family_tokenizer, tmp_path):
    model = made(family, family_tokenizer)
    model.config.save_pretrained(tmp_path)
    shape = architecture_of(tmp_path)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert shape.layer_parameters == sum(p.numel() for p in blocks_of(model).parameters())
    assert 0 < shape.active_parameters <= shape.layer_parameters
    text = model.config.get_text_config()
    assert (shape.n_layers, shape.d_model) == (text.num_hidden_layers, text.hidden_size)


@pytest.mark.skipif(not HOOKED, reason="what TransformerLens 4 copies is another matter")
@pytest.mark.parametrize(
    "family", [*COPIED, "GPT-2", "Llama", "Gemma 2", "Phi", "Phi-3", "Qwen3-MoE", "gpt-oss", "Mamba"]
)
def test_what_a_wrapped_model_holds_is_planned(family, family_tokenizer, tmp_path):
    model = made(family, family_tokenizer)
    model.config.save_pretrained(tmp_path)
    shape = architecture_of(tmp_path)
    try:
        subject = ei.Subject(model, tokenizer=family_tokenizer)
    except UnsupportedError as error:
        if tuple(map(int, version("transformers").split(".")[:2])) < BEYOND:
            raise
        pytest.skip(f"refused beside transformers {version('transformers')}: {error}")
    held = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in subject.model.parameters()}
    assert shape.held_parameters == sum(held.values()) / 4
    # beside the bias of the unembedding
    assert (shape.copied_parameters > shape.d_vocab) == (family in COPIED)


def test_a_table_counts_the_copies_of_a_configuration(family_tokenizer, tmp_path):
    model = made("GPT-NeoX", family_tokenizer)
    model.config.save_pretrained(tmp_path)
    shape = architecture_of(tmp_path)
    sizes = (shape.n_layers, shape.d_model, shape.n_heads, shape.n_heads, shape.d_head, shape.d_mlp, shape.d_vocab)
    known = _of_table("x", "table", *sizes, False, False, 0, interleaved=True)
    assert known.copied_parameters == pytest.approx(shape.copied_parameters, rel=0.05)
    # a quarter of a block is queries, keys and values
    pythia = architecture_of("EleutherAI/pythia-1.4b")
    assert pythia.copied_parameters - pythia.d_vocab == pytest.approx(pythia.layer_parameters / 4, rel=0.01)
