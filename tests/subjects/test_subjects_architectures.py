"""Every SAELens architecture is read as SAELens encodes it, or refused with what would be right."""

import copy

import numpy as np
import pytest
import sae_lens
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sae_lens.saes.sae import SAEMetadata

from emotion_interp.core import Site, UnknownNameError, UnsupportedError
from emotion_interp.subjects.loading import load_sae
from emotion_interp.subjects.sae_reader import SaeReader

D_IN, D_SAE = 16, 48
EXACT = ("Standard", "JumpReLU", "Gated")
COMPETING = ("TopK", "AbsTopK")
BATCH_TOPK = ("BatchTopK", "MatryoshkaBatchTopK")


def randomised(sae, seed=0):
    """Every weight drawn anew, biases and thresholds included; thresholds and norms stay positive."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in sae.state_dict().items():
            drawn = 0.3 * torch.randn(tensor.shape, generator=generator, dtype=torch.float32)
            tensor.copy_(drawn.abs() if "threshold" in name else drawn)
    return sae


def make(name, seed=0, d_sae=D_SAE, **options):
    config = getattr(sae_lens, f"{name}SAEConfig")
    options |= {"k": 5} if "TopK" in name else {}
    metadata = SAEMetadata(hook_name="blocks.0.hook_resid_post")
    return randomised(
        getattr(sae_lens, f"{name}SAE")(config(d_in=D_IN, d_sae=d_sae, metadata=metadata, **options)), seed
    )


def trained(name, folder):
    """A training SAE with random weights, saved for inference as SAELens does it, and loaded again."""
    options = {"matryoshka_widths": [16, D_SAE]} if name.startswith("Matryoshka") else {}
    config = getattr(sae_lens, f"{name}TrainingSAEConfig")(d_in=D_IN, d_sae=D_SAE, k=5, **options)
    config.metadata = SAEMetadata(hook_name="blocks.0.hook_resid_post")
    sae = randomised(getattr(sae_lens, f"{name}TrainingSAE")(config))
    sae.save_inference_model(folder)
    return sae, load_sae(folder)


def tokens(n=40, seed=1, d=D_IN):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", [*EXACT, *COMPETING])
def test_the_readable_architectures_encode_as_saelens_does(name):
    sae, x = make(name), tokens()
    expected = copy.deepcopy(sae).encode(x)
    assert (expected != 0).any()
    assert torch.equal(SaeReader(sae).encode(x), expected.detach())


def test_topk_activates_k_latents_and_depends_on_all_of_them():
    latents = SaeReader(make("TopK")).encode(tokens())
    assert ((latents != 0).sum(1) <= 5).all()


@pytest.mark.parametrize("name", BATCH_TOPK)
def test_batchtopk_is_refused_in_training_and_read_as_saved_for_inference(name, tmp_path):
    training, saved = trained(name, tmp_path)
    with pytest.raises(UnsupportedError, match="save_inference_model"):
        SaeReader(training)
    reader, x = SaeReader(saved), tokens()
    assert reader.architecture == "jumprelu"
    # saved with the decoder's norms folded in: a latent is active above one threshold, in units of its decoder row
    norms = training.W_dec.norm(dim=-1)
    before = ((x - training.b_dec) @ training.W_enc + training.b_enc) * norms
    expected = before * (before > training.topk_threshold)
    assert (expected > 0).any()
    got = reader.encode(x)
    assert torch.allclose(got, expected.float().clamp(min=0), atol=1e-5)
    # one token at a time gives the same: nothing depends on the batch any more
    assert torch.allclose(torch.cat([reader.encode(row[None]) for row in x]), got, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in dir(sae_lens) if n.endswith("TrainingSAE") and n != "TrainingSAE"])
def test_every_training_class_is_refused(name):
    config = getattr(sae_lens, f"{name}Config")
    options = {"k": 3} if "TopK" in name else {}
    options |= {"matryoshka_widths": [16, D_SAE]} if name.startswith("Matryoshka") else {}
    with pytest.raises(UnsupportedError, match=r"training SAE.*save_inference_model"):
        SaeReader(getattr(sae_lens, name)(config(d_in=D_IN, d_sae=D_SAE, **options)), Site(0))


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        *(
            (n, {"d_out": D_IN, "apply_b_dec_to_input": False}, "writes another site than it reads.*Use an SAE of")
            for n in ("Transcoder", "SkipTranscoder", "JumpReLUTranscoder", "JumpReLUSkipTranscoder")
        ),
        ("TemporalSAE", {"n_heads": 2, "bottleneck_factor": 4}, "together with those before it.*reads single tokens"),
        ("MatchingPursuitSAE", {"residual_threshold": 0.1}, "has no encoder.*Use an SAE with an encoder"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_would_be_right(name, options, reason):
    config = getattr(sae_lens, f"{name}Config")(d_in=D_IN, d_sae=D_SAE, **options)
    with pytest.raises(UnsupportedError, match=reason):
        SaeReader(getattr(sae_lens, name)(config), Site(0))


def test_a_crosscoder_and_other_objects_are_refused():
    class BatchTopKCrossCoder(torch.nn.Linear):
        pass

    with pytest.raises(UnsupportedError, match="several layers at once.*each layer"):
        SaeReader(BatchTopKCrossCoder(2, 2), Site(0))
    with pytest.raises(UnsupportedError, match="expected a SAELens SAE, got Linear"):
        SaeReader(torch.nn.Linear(2, 2), Site(0))


@pytest.mark.parametrize("norm", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=6, deadline=None)
@given(features=st.lists(st.integers(0, D_SAE - 1), max_size=20), seed=st.integers(0, 99), bias=st.booleans())
def test_a_part_is_the_whole_encoders_columns(name, norm, features, seed, bias):
    sae = make(name, seed, normalize_activations=norm, apply_b_dec_to_input=bias)
    reader, x = SaeReader(sae), 2 * tokens(seed=seed) + 0.5
    state = {k: v.clone() for k, v in sae.state_dict().items()}
    whole, part = reader.encode(x), reader.encode_columns(x, features)
    assert part.shape == (len(x), len(features))
    assert torch.allclose(part, whole[:, features], atol=1e-6 * max(1.0, float(whole.abs().max())))
    assert all(torch.equal(state[k], v) for k, v in sae.state_dict().items())
    assert not set(vars(sae)) & {"ln_mu", "ln_std", "x_norm_coeff"}


@pytest.mark.parametrize("name", COMPETING)
def test_a_part_of_competing_latents_is_refused(name):
    with pytest.raises(UnsupportedError, match="depend on the others.*encode"):
        SaeReader(make(name)).encode_columns(tokens(), [1])


@pytest.mark.parametrize("name", EXACT)
def test_a_part_of_a_derived_class_is_refused(name):
    base = getattr(sae_lens, f"{name}SAE")
    derived = type("Derived", (base,), {"encode": lambda self, x: base.encode(self, x).softmax(-1)})
    sae = derived(make(name).cfg)
    reader = SaeReader(sae)
    assert torch.allclose(reader.encode(tokens()).sum(1), torch.ones(40))
    with pytest.raises(UnsupportedError, match="Derived cannot be encoded in part"):
        reader.encode_columns(tokens(), [1])


@pytest.mark.parametrize("feature", [-1, D_SAE])
def test_a_latent_that_is_not_there_is_refused(feature):
    with pytest.raises(UnknownNameError, match="feature of the SAE"):
        SaeReader(make("Standard")).encode_columns(tokens(), [0, feature])


def test_a_part_without_latents_is_empty_and_numpy_ids_do():
    reader = SaeReader(make("Gated"))
    assert reader.encode_columns(tokens(), []).shape == (40, 0)
    assert reader.encode_columns(tokens(), np.array([3, 1])).shape == (40, 2)


@pytest.mark.parametrize("norm", ["layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("name", [*EXACT, *COMPETING])
def test_inputs_are_normalised_as_saelens_does_it(name, norm):
    sae, x = make(name, normalize_activations=norm), 3 * tokens() + 1
    expected = copy.deepcopy(sae)
    expected._setup_activation_normalization()
    got = SaeReader(sae).encode(x)
    assert torch.allclose(got, expected.encode(x).detach(), atol=1e-6)
    plain = make(name)
    if norm == "layer_norm":
        centred = x - x.mean(-1, keepdim=True)
        by_hand = centred / (centred.std(-1, keepdim=True) + 1e-5)
    else:
        by_hand = x * D_IN**0.5 / x.norm(dim=-1, keepdim=True)
    assert torch.allclose(got, plain.encode(by_hand).detach(), atol=1e-4)
    assert not torch.allclose(got, plain.encode(x).detach(), atol=1e-2)


@pytest.mark.parametrize("name", EXACT)
def test_an_average_norm_is_folded_with_its_factor(name):
    sae, x = make(name, normalize_activations="expected_average_only_in"), tokens()
    folded = make(name)
    folded.fold_activation_norm_scaling_factor(0.25)
    reader = SaeReader(sae, norm_factor=0.25)
    assert torch.allclose(reader.encode(x), folded.encode(x).detach(), atol=1e-6)
    assert torch.allclose(reader.encode_columns(x, [5, 2]), folded.encode(x)[:, [5, 2]].detach(), atol=1e-6)
    # the decoder is brought back to the size of the stream
    assert torch.allclose(reader.decoder_rows([4]), sae.W_dec[[4]].detach() / 0.25)


def test_whitening_that_was_not_folded_is_refused():
    with pytest.raises(UnsupportedError, match="fold_activation_whitening"):
        SaeReader(make("Standard", normalize_activations="covariance_whitening"))


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("used_before", [False, True])
def test_trap_an_sae_that_flattens_hook_z_itself_gets_flat_activations_and_stays_as_it_was(name, used_before):
    sae = make(name)
    config = sae.cfg.to_dict()
    sae.cfg.metadata.hook_name = "blocks.1.attn.hook_z"
    sae.cfg.reshape_activations = "hook_z"
    sae.turn_on_forward_pass_hook_z_reshaping()
    heads = tokens(d=D_IN).reshape(40, 4, D_IN // 4)
    expected = copy.deepcopy(sae).encode(heads).detach()
    if used_before:
        sae.encode(heads)
    before = (sae.d_head, sae.reshape_fn_in)
    reader = SaeReader(sae)
    assert reader.site == Site(1, "z")
    assert torch.allclose(reader.encode(heads.flatten(1)), expected, atol=1e-6)
    assert torch.allclose(reader.encode_columns(heads.flatten(1), [7, 3]), expected[:, [7, 3]], atol=1e-6)
    assert (sae.d_head, sae.reshape_fn_in) == before
    assert torch.allclose(sae.encode(heads).detach(), expected)
    assert config["d_sae"] == D_SAE
