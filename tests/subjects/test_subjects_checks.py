"""What is wrapped is what was handed in; what is generated needs no cache; a site is what its name says."""

import subprocess

import numpy as np
import pytest
import torch
import transformers

import emotion_interp as ei
from emotion_interp.activations import read_units
from emotion_interp.core import EmotionInterpError, Site, UnsupportedError
from emotion_interp.subjects import cache_check
from emotion_interp.subjects.checks import check_bridge, difference, resting_hooks, tolerance
from emotion_interp.subjects.generation import decode
from tests.backends import HOOKED
from tests.conftest import make_gpt2, make_sae
from tests.families.zoo import make_model, make_tokenizer


@pytest.fixture(scope="module")
def small():
    return make_tokenizer()


def boot(model, tokenizer):
    from transformer_lens.model_bridge import TransformerBridge

    if not model.config.architectures:
        model.config.architectures = [type(model).__name__]
    return TransformerBridge.boot_transformers("tiny", hf_model=model, tokenizer=tokenizer, device="cpu")


# -- the model that was handed in -------------------------------------------------------------------------------------
wrong_hunyuan = pytest.mark.skipif(not HOOKED, reason="TransformerLens 4 computes HunYuan as it is")


@wrong_hunyuan
def test_a_model_that_the_bridge_computes_otherwise_is_refused_with_the_difference(small):
    with pytest.raises(UnsupportedError, match=r"computes something else.*logits differ by up to .*% of tokens"):
        ei.Subject(make_model("HunYuan", small), tokenizer=small)


@wrong_hunyuan
def test_a_users_own_bridge_that_computes_otherwise_is_refused_too(tokenizer):
    with pytest.raises(UnsupportedError, match="computes something else"):
        ei.Subject(boot(make_model("HunYuan", tokenizer), tokenizer))
    good = boot(make_model("Llama", tokenizer), tokenizer)
    assert ei.Subject(good).model is good


@pytest.mark.parametrize("family", ["GPT-2", "GPT-NeoX", "Gemma 2", "Bloom", "Qwen3-MoE", "Phi-3"])
def test_a_users_own_bridge_is_compared_with_transformers_on_the_same_weights(family, tokenizer):
    """The comparison sees a change of what the bridge computes, in families it delegates and in those it rewrites."""
    bridge = boot(make_model(family, tokenizer), tokenizer)
    check_bridge(bridge, tokenizer)
    bridge.blocks[0].register_forward_hook(
        lambda m, a, out: (out[0] * 1.2, *out[1:]) if isinstance(out, tuple) else out * 1.2
    )
    with pytest.raises(UnsupportedError, match="computes something else"):
        check_bridge(bridge, tokenizer)


class Drifting(transformers.LlamaForCausalLM):
    """As some quantised layers do, it keeps a state that is shared with its copies, and changes when it runs."""

    runs = 0

    def forward(self, *args, **kwargs):
        out = super().forward(*args, **kwargs)
        Drifting.runs += 1
        if Drifting.runs > 1:
            out.logits = out.logits + 0.5 * torch.sin(torch.arange(out.logits.shape[-1]))
        return out


def test_a_model_whose_copy_shares_a_state_is_refused(small):
    Drifting.runs = 0
    model = make_model("Llama", small)
    model.__class__ = Drifting
    with pytest.raises(UnsupportedError, match="computes something else|changed what it computes"):
        ei.Subject(model, tokenizer=small)


def test_an_encoder_decoder_and_a_model_that_sees_later_tokens_are_refused(small):
    config = transformers.T5Config(vocab_size=len(small), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    with pytest.raises(UnsupportedError, match="encoder with a decoder"):
        ei.Subject(transformers.T5ForConditionalGeneration(config).eval(), tokenizer=small)
    config = transformers.BertConfig(
        vocab_size=len(small), hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    torch.manual_seed(0)
    bert = transformers.BertForMaskedLM(config).eval()
    with torch.no_grad():
        for parameter in bert.parameters():
            parameter.mul_(4.0 if parameter.ndim > 1 else 1.0)
    with pytest.raises(UnsupportedError, match="tokens that come later|TransformerLens"):
        ei.Subject(bert, tokenizer=small)


def test_a_tokenizer_of_a_larger_vocabulary_is_refused(tokenizer, small):
    with pytest.raises(EmotionInterpError, match="do not belong together"):
        ei.Subject(make_model("Llama", small, vocab_size=200), tokenizer=tokenizer)


def test_a_model_made_in_memory_needs_no_architecture_in_its_config(small):
    model = make_model("Qwen3-MoE", small)
    assert not model.config.architectures
    ei.Subject(model, tokenizer=small)
    assert not model.config.architectures


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_tolerance_passes_rounding_and_nothing_else(dtype, small):
    model = make_model("OLMo-2", small).to(dtype)
    ei.Subject(model, tokenizer=small)
    limits = tolerance(model)
    logits = torch.randn(10, 50, generator=torch.Generator().manual_seed(0))
    rounded = logits * (1 + torch.finfo(dtype).eps * torch.randn(10, 50).sign())
    assert difference(rounded, logits).within(limits)
    assert not difference(logits + 0.08 * torch.randn(10, 50), logits).within(limits)
    assert not difference(torch.full_like(logits, torch.nan), logits).within(limits)


def test_a_causal_mask_among_the_buffers_is_no_quantised_weight(small):
    model = make_model("GPT-Neo", small, max_position_embeddings=256)
    assert any(b.dtype == torch.bool for b in model.buffers())
    assert tolerance(model) == tolerance(make_model("Llama", small))


# -- compatibility mode -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["resid_post", "z"])
def test_a_bridge_in_compatibility_mode_under_an_sae_of_the_raw_model_is_refused(tokenizer, kind):
    bridge = boot(make_gpt2(tokenizer), tokenizer)
    bridge.enable_compatibility_mode()
    sae = make_sae(0)
    if kind == "z":
        sae.cfg.metadata.hook_name = "blocks.0.attn.hook_z"
    with pytest.raises(UnsupportedError, match=r"trained on the raw model.*enable_compatibility_mode"):
        ei.Subject(bridge, saes=[sae])


def test_compatibility_mode_that_changes_no_site_is_taken_and_reads_the_same(tokenizer):
    raw = ei.Subject(boot(make_gpt2(tokenizer), tokenizer), saes=[make_sae(0)])
    bridge = boot(make_gpt2(tokenizer), tokenizer)
    bridge.enable_compatibility_mode(center_writing_weights=False)
    found = [
        read_units(s, ["a happy dog"], [0], position="text")[Site(0)].features.toarray()
        for s in (raw, ei.Subject(bridge, saes=[make_sae(0)]))
    ]
    assert np.allclose(*found, atol=1e-5)


def test_an_sae_of_centred_weights_reads_a_bridge_in_compatibility_mode(tokenizer):
    bridge = boot(make_gpt2(tokenizer), tokenizer)
    bridge.enable_compatibility_mode()
    sae = make_sae(0)
    sae.cfg.metadata.model_from_pretrained_kwargs = {"center_writing_weights": True}
    assert ei.Subject(bridge, saes=[sae]).layers == [0]


# -- nothing is installed ---------------------------------------------------------------------------------------------
def seeing_model(kind, tokenizer):
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
    } | ids
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": 8, "patch_size": 4}
    torch.manual_seed(0)
    if kind == "Gemma3":
        config = transformers.Gemma3Config(
            text_config=transformers.Gemma3TextConfig(head_dim=8, sliding_window=8, **text),
            vision_config=transformers.SiglipVisionConfig(**vision),
            mm_tokens_per_image=4,
            image_token_index=5,
            boi_token_index=6,
            eoi_token_index=7,
        )
    else:
        options = {"image_grid_pinpoints": [[8, 8]]} if kind == "LlavaNext" else {}
        config = getattr(transformers, f"{kind}Config")(
            text_config=transformers.LlamaConfig(**text),
            vision_config=transformers.CLIPVisionConfig(**vision),
            image_token_index=5,
            **options,
        )
    return getattr(transformers, f"{kind}ForConditionalGeneration")(config).eval()


@pytest.mark.parametrize("kind", ["Gemma3", "Llava", "LlavaNext"])
def test_a_model_that_sees_is_opened_without_installing_anything(kind, small, tmp_path, monkeypatch):
    model = seeing_model(kind, small)
    model.save_pretrained(tmp_path)
    small.save_pretrained(tmp_path)

    def spawned(*args, **kwargs):
        pytest.fail(f"a process was started: {args}")

    for name in ("run", "call", "check_call", "check_output", "Popen"):
        monkeypatch.setattr(subprocess, name, spawned)
    ids = torch.tensor([[1, 20, 30, 40]])
    expected = model(ids).logits
    for subject in (ei.load_subject(tmp_path), ei.Subject(model, tokenizer=small)):
        assert torch.allclose(subject.model(ids, return_type="logits"), expected, atol=1e-4)
        assert isinstance(subject.generate("the letter", max_new_tokens=2), str)


# -- cache and padding ------------------------------------------------------------------------------------------------
def test_a_cache_that_changes_the_logits_is_switched_off_with_one_line(small):
    model = make_model("Mamba", small)
    subject = ei.Subject(model, tokenizer=small, name="tiny mamba")
    with pytest.warns(UserWarning, match="tiny mamba is run without its cache") as seen:
        first = subject.generate("the letter", max_new_tokens=4)
        assert subject.generate("the letter", max_new_tokens=4) == first
    assert len([w for w in seen if "cache" in str(w.message)]) == 1
    assert first == subject.generate("the letter", max_new_tokens=4, use_past_kv_cache=False)


def test_a_bridge_that_ignores_its_cache_is_found_out(small, monkeypatch):
    """As a bridge of TransformerLens 3.9 does under transformers 5.24: every new token sees only itself."""
    subject = ei.Subject(make_model("Llama", small), tokenizer=small)
    attention = type(subject.model.blocks[0].attn)
    forward = attention.forward

    def forgetful(self, *args, **kwargs):
        kwargs.pop("past_key_values", None)
        return forward(self, *args, **kwargs)

    rows = [[1, 20, 30, 40, 50], [1, 22, 33]]
    expected = decode(subject, rows, 5, use_past_kv_cache=False, eos_token_id=[]).tokens
    monkeypatch.setattr(attention, "forward", forgetful)
    cache_check._KNOWN.pop(subject, None)
    with pytest.warns(UserWarning, match="without its cache"):
        assert decode(subject, rows, 5, eos_token_id=[]).tokens == expected


def test_rows_of_a_family_that_padding_changes_are_run_by_length(small):
    subject = ei.Subject(make_model("RWKV", small), tokenizer=small)
    rows = [[1, 20, 30, 40, 50], [1, 22, 33], [1, 44, 55]]
    with pytest.warns(UserWarning, match="cache"):
        together = decode(subject, rows, 4, eos_token_id=[]).tokens
    assert together == [decode(subject, [row], 4, eos_token_id=[]).tokens[0] for row in rows]
    from emotion_interp.subjects.generation import token_log_probabilities

    scores = token_log_probabilities(subject, rows, [1, 1, 1])
    alone = [token_log_probabilities(subject, [row], [1])[0] for row in rows]
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(scores, alone, strict=True))


@pytest.mark.parametrize("family", ["Qwen3-Next", "Qwen3.5"])
def test_uncached_passes_of_linear_attention_run(family, small):
    model = make_model(family, small)
    model.config.use_cache = False
    subject = ei.Subject(model, tokenizer=small)
    assert read_units(subject, ["the letter"], [0], sites=[Site(0)], position="end")[Site(0)].dense.any()
    row = [[1, 20, 30, 40]]
    with_cache, without = (decode(subject, row, 5, use_past_kv_cache=c, eos_token_id=[]).tokens for c in (True, False))
    assert with_cache == without


def test_the_check_leaves_hooks_alone_and_is_not_seen_by_them(tokenizer):
    subject = ei.Subject(make_gpt2(tokenizer), tokenizer=tokenizer)
    seen = []
    subject.model.add_hook("blocks.0.hook_resid_post", lambda x, hook: seen.append(x.shape[1]))
    with ei.steer(subject, ei.Direction(np.ones(subject.d_model), layer=0), dose=1.0, scale=1.0):
        subject.generate("a happy", max_new_tokens=1)
    assert len(seen) == 1
    with resting_hooks(subject.model):
        subject.model(torch.tensor([[1, 2]]))
    assert len(seen) == 1
    subject.model(torch.tensor([[1, 2]]))
    assert len(seen) == 2
    subject.model.reset_hooks()


# -- sites ------------------------------------------------------------------------------------------------------------
def test_post_norm_blocks_are_exact_or_refused(small):
    """OLMo-2 and Gemma add what comes after a norm; OpenAI GPT normalises the sum, and its stream ends nowhere."""
    vector = np.ones(32)
    for family in ("OLMo-2", "Gemma 2", "Gemma 3", "GLM-4", "EXAONE 4"):
        subject = ei.Subject(make_model(family, small), tokenizer=small)
        for kind in ("resid_mid", "attn_out", "mlp_out"):
            with ei.steer(subject, ei.Direction(vector, 1, kind), 1.0, scale=1.0):
                pass
    subject = ei.Subject(make_model("OpenAI GPT", small), tokenizer=small)
    with pytest.raises(UnsupportedError, match="hook_mlp_out of .* is not steered: the stream at both ends"):
        ei.steer(subject, ei.Direction(vector, 1, "mlp_out"), 1.0, scale=1.0).__enter__()
    with pytest.raises(UnsupportedError, match="its hook never fires"):
        read_units(subject, ["the letter"], [0], sites=[Site(0)], position="end")


def test_a_norm_after_a_sublayer_that_the_bridge_does_not_know_is_found(tokenizer):
    """The MLP's output is scaled behind its hook: neither a read nor a dose there is what it says."""
    subject = ei.Subject(make_gpt2(tokenizer), tokenizer=tokenizer)
    mlp = subject.model.blocks[1].mlp
    handle = mlp.register_forward_hook(lambda module, args, out: 3.0 * out)
    with pytest.raises(UnsupportedError, match="not what the MLP adds"):
        read_units(subject, ["a"], [0], sites=[Site(1, "mlp_out")], position="end")
    with pytest.raises(UnsupportedError, match="mlp_out of .*: it is not what the MLP adds"):
        ei.steer(subject, ei.Direction(np.ones(subject.d_model), 1, "mlp_out"), 1.0, scale=1.0).__enter__()
    # the other layers are as they were
    read_units(subject, ["a"], [0], sites=[Site(0, "mlp_out")], position="end")
    handle.remove()


def test_a_site_off_the_stream_is_not_steered(tokenizer, monkeypatch):
    """A hook that is read right, but whose output nobody uses."""
    subject = ei.Subject(make_gpt2(tokenizer), tokenizer=tokenizer)
    point = subject.model.hook_dict["blocks.1.hook_resid_post"]
    call = type(point).__call__

    def unheard(this, x):
        out = call(this, x)
        return x if this is point else out

    monkeypatch.setattr(type(point), "__call__", unheard)
    with pytest.raises(UnsupportedError, match="a hook on the block itself does otherwise"):
        ei.steer(subject, ei.Direction(np.ones(subject.d_model), 1), 1.0, scale=1.0).__enter__()
