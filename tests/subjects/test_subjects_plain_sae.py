"""SAEs read without SAELens encode as SAELens' own, parameter by parameter, from the files that SAELens writes."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnsupportedError
from emotion_interp.subjects.plain_sae import PARAMETERS, PlainConfig, load_plain_sae
from emotion_interp.subjects.sae_folders import load_sae, sae_config
from emotion_interp.subjects.sae_reader import SaeReader

D, N = 16, 48
HOOK = "blocks.1.hook_resid_post"
KINDS = {
    "standard": {},
    "jumprelu": {},
    "topk": {"k": 5},
    "topk rescaled": {"k": 5, "rescale_acts_by_decoder_norm": True},
    "abstopk": {"k": 5},
    "gated": {},
    "standard layer_norm": {"normalize_activations": "layer_norm"},
    "jumprelu constant_norm": {"normalize_activations": "constant_norm_rescale"},
    "standard without b_dec": {"apply_b_dec_to_input": False},
}


def saelens_folder(folder, name, hook=HOOK, **options):
    """A folder that SAELens itself writes, with random numbers in every parameter."""
    import torch
    from sae_lens.registry import get_sae_class
    from sae_lens.saes.sae import SAEMetadata

    architecture = name.split()[0]
    made, config = get_sae_class(architecture)
    settings = KINDS.get(name, {}) | options
    sae = made(config(d_in=D, d_sae=N, metadata=SAEMetadata(hook_name=hook, model_name="tiny"), **settings))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    sae.save_model(folder)
    return sae


def inputs(tokens=200):
    import torch

    return torch.from_numpy(np.random.default_rng(1).normal(0, 2, (tokens, D)).astype(np.float32))


@pytest.fixture
def without_saelens(monkeypatch):
    """An environment where SAELens cannot be imported, as beside TransformerLens 4."""
    for name in [n for n in sys.modules if n.split(".")[0] == "sae_lens"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sae_lens", None)


@pytest.mark.parametrize("name", KINDS)
def test_an_encoding_is_saelens_own(tmp_path, name):
    import torch

    sae = saelens_folder(tmp_path, name)
    plain = load_plain_sae(tmp_path)
    x = inputs()
    with torch.no_grad():
        wanted, found = sae.encode(x), plain.encode(x)
    assert 0 < int((wanted != 0).sum()) < wanted.numel()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    if "norm" not in name:
        with torch.no_grad():
            torch.testing.assert_close(plain.decode(found), sae.decode(wanted), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["standard", "jumprelu", "topk", "gated"])
def test_a_reader_of_it_is_the_reader_of_saelens_own(tmp_path, name):
    import torch

    sae = saelens_folder(tmp_path, name)
    readers = SaeReader(sae), SaeReader(load_plain_sae(tmp_path))
    x = inputs()
    assert readers[0].provenance() == readers[1].provenance()
    torch.testing.assert_close(readers[1].encode(x), readers[0].encode(x), rtol=0, atol=1e-6)
    torch.testing.assert_close(readers[1].decoder_rows([3, 40]), readers[0].decoder_rows([3, 40]))
    if name == "topk":
        with pytest.raises(UnsupportedError, match="cannot be encoded in part"):
            readers[1].encode_columns(x, [3])
    else:
        torch.testing.assert_close(readers[1].encode_columns(x, [40, 3]), readers[1].encode(x)[:, [40, 3]])


def test_flattened_heads_are_read_as_saelens_reads_them(tmp_path):
    import torch

    sae = saelens_folder(tmp_path, "standard", hook="blocks.1.attn.hook_z", reshape_activations="hook_z")
    with torch.no_grad():
        x = inputs().unflatten(-1, (2, 8))
        torch.testing.assert_close(load_plain_sae(tmp_path).encode(x), sae.encode(x), rtol=0, atol=1e-6)


def test_a_folded_norm_and_folded_rows_are_saelens_own(tmp_path):
    import torch

    for name in ("jumprelu", "gated"):
        sae = saelens_folder(tmp_path / name, name)
        plain = load_plain_sae(tmp_path / name)
        for one in (sae, plain):
            one.fold_activation_norm_scaling_factor(0.3)
            one.fold_W_dec_norm()
        with torch.no_grad():
            torch.testing.assert_close(plain.encode(inputs()), sae.encode(inputs()), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(plain.W_dec, sae.W_dec.data)


def test_a_configuration_from_before_saelens_6_is_read_as_saelens_reads_it(tmp_path):
    from sae_lens import SAE

    saelens_folder(tmp_path, "topk")
    old = {
        "d_in": D,
        "d_sae": N,
        "hook_point": HOOK,
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 7},
        "normalize_activations": False,
        "dtype": "float32",
        "model_name": "tiny",
        "context_size": 64,
    }
    (tmp_path / "cfg.json").write_text(json.dumps(old))
    theirs, ours = SAE.load_from_disk(tmp_path), load_plain_sae(tmp_path)
    assert (ours.cfg.kind, ours.cfg.k) == (theirs.cfg.architecture(), theirs.cfg.k) == ("topk", 7)
    for name in ("apply_b_dec_to_input", "normalize_activations", "reshape_activations"):
        assert getattr(ours.cfg, name) == getattr(theirs.cfg, name)
    for name in ("hook_name", "model_name", "context_size", "prepend_bos", "neuronpedia_id"):
        assert ours.cfg.metadata[name] == theirs.cfg.metadata[name]


def test_the_bundled_saes_are_read_without_saelens(without_saelens, monkeypatch):
    from emotion_interp.subjects.loading import bundled_folder

    folder = sorted((bundled_folder() / "saes").glob("*/cfg.json"))[0].parent
    assert type(load_sae(folder)).__name__ == "PlainSae"
    assert isinstance(sae_config(folder), PlainConfig)


def test_a_subject_reads_the_same_features_with_and_without_saelens(
    tiny_subject, gpt2, root_tokenizer, tmp_path, monkeypatch
):
    from emotion_interp.activations.tokens import read_tokens

    for site, sae in tiny_subject.saes.items():
        sae.save_model(tmp_path / str(site))
    with_it = ei.Subject(gpt2, [load_sae(tmp_path / str(s)) for s in tiny_subject.sites], root_tokenizer, name="tiny")
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    without = ei.Subject(gpt2, [load_sae(tmp_path / str(s)) for s in tiny_subject.sites], root_tokenizer, name="tiny")
    assert {type(sae).__name__ for sae in without.saes.values()} == {"PlainSae"}
    text = "She opened the letter and wept."
    one, other = (read_tokens(subject, text) for subject in (with_it, without))
    for site in tiny_subject.sites:
        assert float(one.latents[site].abs().max()) > 0.5
        np.testing.assert_allclose(other.latents[site], one.latents[site], rtol=0, atol=1e-6)


def test_what_saelens_alone_can_do_says_so_without_it(without_saelens):
    from emotion_interp.subjects.sae_kinds import need_sae_lens

    with pytest.raises(UnsupportedError, match="holds TransformerLens below 4"):
        need_sae_lens("a release")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"architecture": "temporal"}, "'temporal' cannot be read here"),
        ({"normalize_activations": "magic"}, "'magic' is not known"),
        ({"d_sae": N + 1}, "the configuration says"),
        ({"d_sae": None}, "whole numbers"),
        ({"architecture": "gated"}, "a gated SAE has"),
        ({"dtype": "int8"}, "is none of float32"),
    ],
)
def test_files_that_do_not_belong_together_are_refused_in_one_line(tmp_path, change, reason):
    saelens_folder(tmp_path, "standard")
    told = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(told | change))
    with pytest.raises(EmotionInterpError, match=reason) as caught:
        load_plain_sae(tmp_path, dtype=None)
    assert "\n" not in str(caught.value)


def test_a_scaling_factor_that_no_encoder_applies_is_refused(tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    saelens_folder(tmp_path, "standard")
    weights = tmp_path / "sae_weights.safetensors"
    save_file(load_file(weights) | {"scaling_factor": torch.ones(N)}, weights)
    assert set(load_plain_sae(tmp_path).state_dict()) == set(PARAMETERS["standard"])
    save_file(load_file(weights) | {"scaling_factor": torch.full((N,), 2.0)}, weights)
    with pytest.raises(UnsupportedError, match="scaling factor"):
        load_plain_sae(tmp_path)


def test_a_missing_configuration_is_named(tmp_path):
    with pytest.raises(FileFormatError, match=r"cfg\.json"):
        load_plain_sae(tmp_path)
