"""A subject leaves what it is given as it was, and refuses what it cannot read."""

import copy
import shutil

import numpy as np
import pytest
import torch

import emotion_interp as ei
from emotion_interp.activations import read_units
from emotion_interp.core import EmotionInterpError, NotFiniteError, Site, UnknownNameError, UnsupportedError
from emotion_interp.subjects.sae_reader import SaeReader
from tests.conftest import D_MODEL, make_gpt2, make_sae, make_tokenizer

FEW = ["joy", "fear", "anger", "sadness"]


def state(model):
    """Everything that must stay: class, weights, key names, hooks, config, mode, logits."""
    output = model(torch.tensor([[1, 5, 9]]))
    return {
        "class": type(model),
        "keys": list(model.state_dict()),
        "weights": {k: v.clone() for k, v in model.state_dict().items() if torch.is_tensor(v)},
        "pointers": [p.data_ptr() for p in model.parameters()],
        "modules": [(n, type(m)) for n, m in model.named_modules()],
        "hooks": [len(m._forward_hooks) for m in model.modules()],
        "config": str(getattr(model, "config", None) or vars(model.cfg)),
        "mode": [m.training for m in model.modules()],
        "logits": (output.logits if hasattr(output, "logits") else output).detach().clone(),
    }


def assert_same(before, after):
    for key in before:
        if key == "weights":
            assert all(torch.equal(before[key][k], after[key][k]) for k in before[key])
        elif key == "logits":
            assert torch.equal(before[key], after[key])
        else:
            assert before[key] == after[key], key


def use(subject):
    ei.find_features(subject, ei.concept_set("en").subset(emotions=FEW))
    with ei.steer(subject, ei.Direction(np.ones(subject.d_model), layer=0), dose=1.0):
        subject.generate("The letter", max_new_tokens=2)


@pytest.mark.parametrize("training", [False, True])
def test_a_transformers_model_is_left_exactly_as_it_was(tokenizer, training):
    model = make_gpt2(tokenizer)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.train(training)
    before = state(model)
    use(ei.Subject(model, saes=[make_sae(0)], tokenizer=tokenizer))
    assert_same(before, state(model))


def test_a_bridge_is_left_exactly_as_it_was(tokenizer):
    from transformer_lens.model_bridge import TransformerBridge

    model = make_gpt2(tokenizer)
    bridge = TransformerBridge.boot_transformers("tiny", hf_model=model, tokenizer=tokenizer, device="cpu")
    before = state(bridge)
    subject = ei.Subject(bridge, saes=[make_sae(0)])
    assert subject.model is bridge
    use(subject)
    assert_same(before, state(bridge))


def test_a_hooked_transformer_is_left_exactly_as_it_was(hooked_model):
    before = state(hooked_model)
    subject = ei.Subject(hooked_model, saes=[make_sae(0)])
    assert subject.model is hooked_model
    use(subject)
    assert_same(before, state(hooked_model))


def test_trap_wrapping_rebuilds_a_copy_that_shares_the_tensors(tokenizer):
    model = make_gpt2(tokenizer)
    subject = ei.Subject(model, tokenizer=tokenizer)
    assert {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in subject.model.parameters()}
    ids = torch.tensor([[1, 2, 3]])
    assert torch.allclose(subject.model(ids), model(ids).logits, atol=1e-5)


def test_the_users_sae_is_left_as_it_was(gpt2, tokenizer):
    sae = make_sae(1)
    before, config = {k: v.clone() for k, v in sae.state_dict().items()}, sae.cfg.to_dict()
    use(ei.Subject(gpt2, saes={Site(0): sae}, tokenizer=tokenizer))
    assert all(torch.equal(before[k], v) for k, v in sae.state_dict().items())
    assert sae.cfg.to_dict() == config


def test_saes_are_placed_by_their_metadata_or_by_the_mapping(gpt2, tokenizer):
    assert list(ei.Subject(gpt2, saes=[make_sae(1)], tokenizer=tokenizer).saes) == [Site(1)]
    moved = ei.Subject(gpt2, saes={Site(2, "resid_pre"): make_sae(1)}, tokenizer=tokenizer)
    assert list(moved.saes) == [Site(2, "resid_pre")]


def test_trap_metadata_that_lacks_the_hook_name_is_noticed(gpt2, tokenizer):
    """SAEMetadata answers None to any misspelt key."""
    from sae_lens.saes.sae import SAEMetadata

    sae = make_sae(0)
    sae.cfg.metadata = SAEMetadata(hook_nam="blocks.0.hook_resid_post")
    with pytest.raises(EmotionInterpError, match="no hook_name"):
        ei.Subject(gpt2, saes=[sae], tokenizer=tokenizer)


def test_trap_a_training_sae_is_refused(gpt2, tokenizer):
    from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig

    sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=D_MODEL, d_sae=64, k=4))
    with pytest.raises(UnsupportedError, match="training SAE"):
        ei.Subject(gpt2, saes={Site(0): sae}, tokenizer=tokenizer)


def test_a_transcoder_is_refused(gpt2, tokenizer):
    from sae_lens import Transcoder, TranscoderConfig

    coder = Transcoder(TranscoderConfig(d_in=D_MODEL, d_sae=64, d_out=D_MODEL, apply_b_dec_to_input=False))
    with pytest.raises(UnsupportedError, match="transcoder"):
        ei.Subject(gpt2, saes={Site(0): coder}, tokenizer=tokenizer)


def test_trap_an_unfolded_activation_norm_is_folded_with_its_factor_or_refused(gpt2, tokenizer):
    sae = make_sae(0)
    sae.cfg.normalize_activations = "expected_average_only_in"
    with pytest.raises(UnsupportedError, match="norm_factor"):
        ei.Subject(gpt2, saes=[sae], tokenizer=tokenizer)
    x = torch.randn(5, D_MODEL)
    assert torch.allclose(SaeReader(sae, norm_factor=2.0).encode(x), make_sae(0).encode(2.0 * x), atol=1e-5)
    assert sae.cfg.normalize_activations == "expected_average_only_in"


def test_trap_a_layer_norm_sae_keeps_no_state_after_encoding():
    from sae_lens import StandardSAE, StandardSAEConfig

    sae = StandardSAE(StandardSAEConfig(d_in=D_MODEL, d_sae=64, normalize_activations="layer_norm"))
    x = 3 * torch.randn(4, D_MODEL) + 1
    centred = x - x.mean(-1, keepdim=True)
    expected = torch.relu((centred / (centred.std(-1, keepdim=True) + 1e-5) - sae.b_dec) @ sae.W_enc + sae.b_enc)
    assert torch.allclose(SaeReader(sae, Site(0)).encode(x), expected, atol=1e-5)
    assert not hasattr(sae, "ln_mu")
    assert not hasattr(sae, "ln_std")


def test_trap_an_sae_of_centred_weights_subtracts_the_mean_first():
    sae = make_sae(0)
    sae.cfg.metadata.model_from_pretrained_kwargs = {"center_writing_weights": True}
    reader = SaeReader(sae)
    x = torch.randn(4, D_MODEL) + 2
    assert torch.allclose(reader.encode(x), make_sae(0).encode(x - x.mean(-1, keepdim=True)), atol=1e-5)
    assert reader.provenance()["input_transform"] == "centre"


def test_trap_a_processed_model_under_an_sae_of_the_raw_one_is_refused(hooked_model):
    processed = copy.deepcopy(hooked_model)
    with torch.no_grad():
        processed.embed.W_E.sub_(processed.embed.W_E.mean(-1, keepdim=True))
    with pytest.raises(UnsupportedError, match="centred writing weights"):
        ei.Subject(processed, saes=[make_sae(0)])
    sae = make_sae(0)
    sae.cfg.metadata.model_from_pretrained_kwargs = {"center_writing_weights": True}
    assert ei.Subject(processed, saes=[sae]).layers == [0]


def test_trap_spliced_saes_are_refused(tokenizer):
    from sae_lens import HookedSAETransformer
    from transformer_lens import HookedTransformerConfig

    config = HookedTransformerConfig(
        n_layers=1, d_model=D_MODEL, n_ctx=16, d_head=16, n_heads=2, d_vocab=len(tokenizer), act_fn="relu", device="cpu"
    )
    model = HookedSAETransformer(config, tokenizer=tokenizer)
    ei.Subject(model, saes=[make_sae(0)])
    model.add_sae(make_sae(0))
    with pytest.raises(UnsupportedError, match="spliced"):
        ei.Subject(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_sae_with_bad_values_is_refused(gpt2, tokenizer, value):
    sae = make_sae(0)
    with torch.no_grad():
        sae.W_dec[3, 1] = value
    with pytest.raises(NotFiniteError, match="W_dec"):
        ei.Subject(gpt2, saes=[sae], tokenizer=tokenizer)


def test_an_sae_of_another_width_and_two_at_one_site_are_refused(gpt2, tokenizer):
    with pytest.raises(EmotionInterpError, match="another model"):
        ei.Subject(gpt2, saes=[make_sae(0, d_in=16)], tokenizer=tokenizer)
    with pytest.raises(EmotionInterpError, match="two SAEs"):
        ei.Subject(gpt2, saes=[make_sae(0), make_sae(0)], tokenizer=tokenizer)
    with pytest.raises(UnknownNameError, match="layer"):
        ei.Subject(gpt2, saes=[make_sae(7)], tokenizer=tokenizer)


def test_models_of_another_kind_and_models_without_tokenizer_are_refused(gpt2):
    with pytest.raises(UnsupportedError, match="expected a TransformerBridge"):
        ei.Subject(torch.nn.Linear(2, 2))
    with pytest.raises(EmotionInterpError, match="tokenizer"):
        ei.Subject(gpt2)


def test_trap_a_tokenizer_that_was_never_saved_is_taken_and_left_as_it_is(tokenizer):
    fresh = make_tokenizer()
    before = dict(fresh.init_kwargs)
    assert "name_or_path" not in before
    subject = ei.Subject(make_gpt2(fresh), saes=[make_sae(0)], tokenizer=fresh)
    saved = ei.Subject(make_gpt2(tokenizer), saes=[make_sae(0)], tokenizer=tokenizer)
    use(subject)
    assert subject.tokenize(["a happy dog"]) == saved.tokenize(["a happy dog"])
    assert subject.tokenizer is fresh and fresh.init_kwargs == before
    assert subject.model.tokenizer.name_or_path == ""


def test_a_tokenizer_whose_folder_is_gone_is_taken(tmp_path):
    from transformers import PreTrainedTokenizerFast

    place = tmp_path / "was_here"
    make_tokenizer().save_pretrained(str(place))
    loaded = PreTrainedTokenizerFast.from_pretrained(str(place))
    shutil.rmtree(place)
    subject = ei.Subject(make_gpt2(loaded), saes=[make_sae(0)], tokenizer=loaded)
    use(subject)
    assert subject.model.tokenizer.name_or_path == loaded.name_or_path == str(place)


def test_bos_is_first_and_offsets_reach_the_end(tiny_subject):
    tokens = tiny_subject.tokenize(["joy and 快乐"])[0]
    assert tokens.ids[0] == tiny_subject.tokenizer.bos_token_id
    assert tokens.has_bos
    assert tokens.offsets[-1][1] == len("joy and 快乐")


def test_trap_pad_bos_and_eos_are_one_id_and_lengths_rule(tiny_subject):
    tokenizer = tiny_subject.tokenizer
    assert tokenizer.pad_token_id == tokenizer.bos_token_id == tokenizer.eos_token_id
    text = "a<|endoftext|>b"
    assert tokenizer.eos_token_id in tiny_subject.tokenize([text])[0].ids[1:]
    both = read_units(tiny_subject, [text, "c d e f g h i"], [0, 1], sites=[Site(0)], position="end")[Site(0)]
    alone = read_units(tiny_subject, [text], [0], sites=[Site(0)], position="end")[Site(0)]
    assert np.allclose(both.dense[0], alone.dense[0], atol=1e-5)
