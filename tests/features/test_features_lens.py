"""Logit lens: the norm's linear part and the unembedding on both backends, against the model itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.features import lens
from emotion_interp.features.lens import (
    chosen_features,
    final_norm,
    lens_logits,
    residual_rows,
    token_lens,
    token_text,
)


@pytest.fixture(scope="module")
def llama_subject(tokenizer):
    """RMSNorm, untied unembedding, weights of the norm far from one."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=64,
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.3,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        model.model.norm.weight.copy_(torch.rand(24) + 0.2)
    return ei.Subject(model, tokenizer=tokenizer, name="tiny-llama")


def head(subject, x: torch.Tensor) -> torch.Tensor:
    """Final norm and unembedding as the model runs them: [row, d_model] -> [row, vocabulary]."""
    with torch.no_grad():
        return subject.model.unembed(subject.model.ln_final(x[None]))[0].double()


def brute_lens(subject, rows: torch.Tensor, centres: bool) -> torch.Tensor:
    """The head's derivative along each row at a stream of pure row: its odd part, rescaled to the row's own length."""
    rows = rows - rows.mean(-1, keepdim=True) if centres else rows
    length = rows.double().pow(2).mean(-1, keepdim=True).sqrt()
    # a large row makes the norm's epsilon vanish
    return (head(subject, rows * 1e3) - head(subject, -rows * 1e3)) / 2 * length


@pytest.mark.parametrize("name", ["tiny_subject", "hooked_subject", "llama_subject"])
def test_lens_logits_are_the_models_own_head_without_its_bias_and_length(name, request):
    subject = request.getfixturevalue(name)
    rows = torch.randn(7, subject.d_model, generator=torch.Generator().manual_seed(0))
    parts = [logits for _, logits in lens_logits(subject, rows)]
    expected = brute_lens(subject, rows, centres=name != "llama_subject")
    assert torch.allclose(torch.cat(parts).double(), expected, atol=2e-4, rtol=1e-3)


def test_the_norms_weight_and_centring_are_found_by_probing(tiny_subject, llama_subject):
    weight, centres = final_norm(tiny_subject)
    own = tiny_subject.model.original_model.transformer.ln_f.state_dict()
    stored = next(v for k, v in own.items() if k.endswith("weight"))
    assert centres and torch.allclose(weight, stored, atol=1e-4)
    weight, centres = final_norm(llama_subject)
    norm = llama_subject.model.original_model.model.norm.state_dict()
    stored = next(v for k, v in norm.items() if k.endswith("weight"))
    assert not centres and torch.allclose(weight, stored, atol=1e-4)


def test_an_odd_width_is_probed_too():
    from types import SimpleNamespace

    norm = torch.nn.LayerNorm(9)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    model = SimpleNamespace(ln_final=norm)
    stand_in = SimpleNamespace(model=model, d_model=9, device=torch.device("cpu"), dtype=torch.float32)
    weight, centres = final_norm(stand_in)  # type: ignore[arg-type]
    assert centres and torch.allclose(weight, norm.weight.detach(), atol=1e-4)


def test_chunks_over_features_and_vocabulary_change_nothing(tiny_subject, monkeypatch):
    rows = torch.randn(9, 32, generator=torch.Generator().manual_seed(1))
    whole = torch.cat([x for _, x in lens_logits(tiny_subject, rows)])
    monkeypatch.setattr(lens, "_LOGITS_AT_ONCE", 2 * whole.shape[1])
    monkeypatch.setattr(lens, "_VOCAB_BLOCK", 7)
    parts = list(lens_logits(tiny_subject, rows))
    assert len(parts) == 5
    assert torch.allclose(torch.cat([x for _, x in parts]), whole, atol=1e-5)


def test_a_head_writes_through_its_output_matrix(tiny_subject, gpt2, tokenizer):
    from emotion_interp.core import Site

    sae = tiny_subject.saes[Site(0)]
    subject = ei.Subject(gpt2, saes={Site(0, "z"): sae}, tokenizer=tokenizer, name="z")
    rows = residual_rows(subject, Site(0, "z"), [3, 5])
    weight = gpt2.transformer.h[0].attn.c_proj.weight.detach()
    assert torch.allclose(rows, sae.W_dec.detach()[[3, 5]] @ weight, atol=1e-5)


def test_the_table_lists_the_tokens_with_largest_and_smallest_logits(tiny_subject, tiny_bank):
    frame = token_lens(tiny_subject, tiny_bank, layers=[1], n_tokens=4).to_frame()
    ids = chosen_features(tiny_subject, tiny_bank, [1])
    (site,) = ids
    assert frame["feature"].tolist() == ids[site].tolist()
    row = tiny_subject.readers[site].sae.W_dec.detach()[[int(frame.loc[2, "feature"])]]
    order = brute_lens(tiny_subject, row, centres=True)[0].argsort(descending=True).tolist()
    assert frame.loc[2, "promoted"] == [token_text(tiny_subject.tokenizer, i) for i in order[:4]]
    assert frame.loc[2, "suppressed"] == [token_text(tiny_subject.tokenizer, i) for i in order[::-1][:4]]


def test_the_table_is_kept_by_the_bank_through_saving(tiny_subject, tiny_bank, tmp_path):
    bank = token_lens(tiny_subject, tiny_bank, n_tokens=3).add_to(tiny_bank)
    loaded = ei.FeatureBank.load(bank.save(tmp_path / "bank"))
    assert [list(x) for x in loaded.extras["tokens"]["promoted"]] == bank.extras["tokens"]["promoted"].tolist()


def test_pieces_of_a_character_are_shown_as_bytes_and_spaces_are_kept(tokenizer):
    pieces = tokenizer.convert_tokens_to_ids(["ç", "Ġ", "a"])
    assert [token_text(tokenizer, i) for i in pieces] == ["<0xE7>", " ", "a"]
    for token in range(len(tokenizer)):
        text = token_text(tokenizer, token)
        assert text and "\ufffd" not in text and "Ġ" not in text


def test_a_sentencepiece_token_keeps_its_space():
    class Pieces:
        def convert_ids_to_tokens(self, token: int) -> str:
            return ["\u2581joy", "<0xE7>"][token]

        def decode(self, ids: list[int], **options: object) -> str:
            return ["joy", "\ufffd"][ids[0]]

    assert [token_text(Pieces(), i) for i in (0, 1)] == [" joy", "<0xE7>"]


def test_what_does_not_fit_is_refused(tiny_subject, hooked_subject, tiny_bank):
    with pytest.raises(EmotionInterpError, match="belongs to the subject"):
        token_lens(hooked_subject, tiny_bank)
    with pytest.raises(UnknownNameError, match="layer"):
        token_lens(tiny_subject, tiny_bank, layers=[7])
    with pytest.raises(EmotionInterpError, match="n_tokens"):
        token_lens(tiny_subject, tiny_bank, n_tokens=0)


def test_nothing_is_left_on_the_model(tiny_subject, tiny_bank):
    before = {k: v.clone() for k, v in tiny_subject.model.original_model.state_dict().items()}
    token_lens(tiny_subject, tiny_bank)
    after = tiny_subject.model.original_model.state_dict()
    assert all(np.array_equal(v.numpy(), after[k].numpy()) for k, v in before.items())
