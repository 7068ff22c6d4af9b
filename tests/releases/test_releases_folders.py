"""SAEs in folders of other libraries and in repositories of the hub: encoded exactly, or refused with a reason."""

from __future__ import annotations

import io
import json
import pickle

import numpy as np
import pytest
import torch

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, FileFormatError, Site, UnsupportedError
from emotion_interp.subjects import sae_sources
from emotion_interp.subjects.sae_choice import SaeChoice
from emotion_interp.subjects.sae_folders import sae_places
from emotion_interp.subjects.sae_reader import SaeReader
from emotion_interp.subjects.sae_sources import chosen_saes
from tests.releases.cases import CASES
from tests.releases.hub import hub_at, tiny_sizes
from tests.releases.layouts import (
    arrays,
    as_json,
    as_safetensors,
    as_torch,
    dictionary,
    gemma_scope,
    jumprelu,
    llama_scope,
    llama_scope_r1,
    new_saelens,
    openmoss_tensors,
    pre,
    sparsify,
    topk,
)

WIDTH = 32


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def reader_of(root) -> SaeReader:
    (place,) = sae_places(root)
    return SaeReader(place.load())


def scope_2(path):
    config = {
        "architecture": "jump_relu",
        "model_name": "gemma-v3-270m",
        "hf_hook_point_in": "model.layers.5.self_attn.o_proj.input",
    }
    return gemma_scope(path, WIDTH, "params.safetensors", config)


DICTIONARIES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "JumpReluAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
)
FOLDERS = {
    **{
        f"dictionary_learning {kind}": (
            lambda kind=kind: dictionary("resid_post_layer_3/trainer_0", "some/model", 3, WIDTH, kind, own_norm=True),
            Site(3),
        )
        for kind in DICTIONARIES
    },
    "dictionary_learning at an MLP": (
        lambda: dictionary("trainer_0", "some/model", 2, WIDTH, "AutoEncoder", place="mlp_out_layer_2"),
        Site(2, "mlp_out"),
    ),
    "sparsify": (lambda: sparsify("layers.5", WIDTH, model="some/model"), Site(5)),
    "sparsify, decoder not normalised": (lambda: sparsify("layers.5", WIDTH, normalize_decoder=False), Site(5)),
    "sparsify at an MLP": (lambda: sparsify("model.layers.4.mlp", WIDTH), Site(4, "mlp_out")),
    "sparsify at attention": (lambda: sparsify("h.1.attn", WIDTH), Site(1, "attn_out")),
    "Gemma Scope": (lambda: gemma_scope("gemma-scope-2b-pt-res/layer_5/width_16k/average_l0_70", WIDTH), Site(5)),
    "Gemma Scope attention": (
        lambda: gemma_scope("gemma-scope-9b-pt-att/layer_5/width_16k/average_l0_70", WIDTH),
        Site(5, "z"),
    ),
    "Gemma Scope 2": (lambda: scope_2("attn_out/layer_5_width_16k_l0_big"), Site(5, "z")),
    "Gemma Scope 2 without config.json": (
        lambda: gemma_scope("mlp_out_all/layer_5_width_16k_l0_big", WIDTH, "params.safetensors"),
        Site(5, "mlp_out"),
    ),
    "OpenMOSS, Llama Scope": (lambda: llama_scope("L7R", "blocks.7.hook_resid_post", WIDTH, 8.5), Site(7)),
    "OpenMOSS, later": (lambda: llama_scope_r1("L7M", "blocks.7.hook_mlp_out", WIDTH, 8.5), Site(7, "mlp_out")),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_foreign_folder_encodes_as_its_own_library_does(name, tmp_path, rng):
    make, site = FOLDERS[name]
    files, formula = make()
    write(tmp_path, files)
    reader = reader_of(tmp_path)
    assert reader.site == site
    assert sae_places(tmp_path)[0].entry().site == site
    x = rng.normal(size=(40, WIDTH)) * 2
    expected = formula(x)
    assert (expected > 0).any()
    assert not (expected > 0).all()
    np.testing.assert_allclose(
        reader.encode(torch.from_numpy(x).float()).double().numpy(), expected, rtol=1e-5, atol=2e-5
    )


def moss(rng, **config):
    w = arrays(WIDTH)
    told = {"sae_type": "sae", "d_model": WIDTH, "expansion_factor": 1.5, "hook_point_in": "blocks.2.hook_resid_post"}
    told |= {"norm_activation": "inference", "sparsity_include_decoder_norm": True}
    return w, told | config


def test_openmoss_thresholds_are_compared_in_units_of_the_decoder_rows(tmp_path, rng):
    w, told = moss(rng, act_fn="jumprelu")
    thresholds = np.linspace(0.5, 3.0, 48).astype(np.float32)
    tensors = openmoss_tensors(w) | {"log_jumprelu_threshold": np.log(thresholds)}
    write(tmp_path, {"a/config.json": as_json(told), "a/sae_weights.safetensors": as_safetensors(tensors)})
    x = rng.normal(size=(40, WIDTH)) * 2
    before = pre(w, x, less_b_dec=False)
    expected = before * (before * np.linalg.norm(w["W_dec"].astype(np.float64), axis=1) > thresholds)
    found = reader_of(tmp_path).encode(torch.from_numpy(x).float()).double().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)
    assert np.abs(expected - jumprelu(before, thresholds)).max() > 0.1


def test_openmoss_top_k_by_token_norm(tmp_path, rng):
    w, told = moss(rng, act_fn="topk", top_k=4, norm_activation="token-wise")
    w["W_dec"] /= np.linalg.norm(w["W_dec"], axis=1, keepdims=True)
    write(tmp_path, {"a/config.json": as_json(told), "a/sae_weights.safetensors": as_safetensors(openmoss_tensors(w))})
    x = rng.normal(size=(40, WIDTH)) * 2
    scaled = x * WIDTH**0.5 / np.linalg.norm(x, axis=1, keepdims=True)
    found = reader_of(tmp_path).encode(torch.from_numpy(x).float()).double().numpy()
    np.testing.assert_allclose(found, topk(pre(w, scaled, less_b_dec=False), 4), atol=2e-5)


def refused_openmoss(**config):
    w, told = moss(None, **config)
    return {"a/config.json": as_json(told), "a/sae_weights.safetensors": as_safetensors(openmoss_tensors(w))}


def never_set():
    files, _ = dictionary("a", "some/model", 1, WIDTH, "BatchTopKSAE")
    w = arrays(WIDTH)
    saved = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "decoder.weight": w["W_dec"].T}
    return files | {"a/ae.pt": as_torch(saved | {"b_dec": w["b_dec"], "threshold": np.float32(-1)})}


REFUSED = {
    "transcoder writes another site": [
        lambda: sparsify("layers.5.mlp", WIDTH, transcode=True)[0],
        lambda: gemma_scope("gemma-scope-2-1b-pt/transcoder_all/layer_5_width_16k_l0_big", WIDTH)[0],
        lambda: refused_openmoss(act_fn="relu", hook_point_out="blocks.2.hook_mlp_out"),
    ],
    "depends on the batch": [
        lambda: refused_openmoss(act_fn="batchtopk", top_k=3),
        lambda: refused_openmoss(act_fn="relu", norm_activation="batch-wise"),
    ],
    "before its threshold was set": [never_set],
    "no site that is known": [
        lambda: sparsify("layer_5", WIDTH)[0],
        lambda: dictionary("a", "m", 1, WIDTH, "AutoEncoder", place="logits")[0],
    ],
    "activation='groupmax'": [lambda: sparsify("layers.5", WIDTH, activation="groupmax")[0]],
    "is a CrossCoder": [lambda: dictionary("a", "m", 1, WIDTH, "CrossCoder")[0]],
    "says what it reads": [lambda: gemma_scope("layer_5/width_16k/average_l0_70", WIDTH)[0]],
    "decoder rows are not of length one": [lambda: refused_openmoss(act_fn="topk", top_k=3)],
}


@pytest.mark.parametrize(("reason", "make"), [(r, m) for r, makes in REFUSED.items() for m in makes])
def test_what_cannot_be_read_exactly_is_refused_with_its_reason(reason, make, tmp_path):
    write(tmp_path, make())
    with pytest.raises((UnsupportedError, FileFormatError), match=reason) as refused:
        reader_of(tmp_path)
    assert "\n" not in str(refused.value)


class Harmful:
    def __reduce__(self):
        return print, ("code of a file was run",)


def harmful():
    buffer = io.BytesIO()
    torch.save({"encoder.weight": Harmful()}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [harmful(), pickle.dumps({"a": Harmful()}), b"not tensors", b""])
def test_a_torch_file_is_read_as_tensors_alone(content, tmp_path, capsys):
    files, _ = dictionary("a", "m", 1, WIDTH, "AutoEncoder")
    write(tmp_path, files | {"a/ae.pt": content})
    with pytest.raises(FileFormatError, match="more than tensors|cannot be read"):
        reader_of(tmp_path)
    assert "code of a file" not in capsys.readouterr().out


def test_a_release_with_a_harmful_file_is_refused_and_nothing_is_run(tmp_path, capsys):
    case = next(case for case in CASES if case.release == "goodfire-llama-3.1-8b-instruct")
    with hub_at(tmp_path) as hub, tiny_sizes(case):
        hub.add("Goodfire/Llama-3.1-8B-Instruct-SAE-l19", {case.path: harmful()})
        (chosen,) = chosen_saes(case.release, [19])
        with pytest.raises(FileFormatError, match="more than tensors"):
            chosen.load()
    assert "code of a file" not in capsys.readouterr().out


def test_arrays_with_objects_are_refused(tmp_path):
    files, _ = gemma_scope("gemma-scope-2b-pt-res/layer_5/width_16k/average_l0_70", WIDTH)
    write(tmp_path, files)
    np.savez(tmp_path / next(iter(files)), W_enc=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FileFormatError, match="cannot be read as arrays"):
        reader_of(tmp_path)


@pytest.mark.parametrize("config", ["{", json.dumps({"trainer": []}), json.dumps([1])])
def test_a_damaged_configuration_is_named(config, tmp_path):
    files, _ = dictionary("a", "m", 1, WIDTH, "AutoEncoder")
    write(tmp_path, files | {"a/config.json": config.encode()})
    for ask in (lambda: reader_of(tmp_path), lambda: sae_places(tmp_path)[0].entry()):
        with pytest.raises(EmotionInterpError, match=r"config"):
            ask()


def test_a_repository_of_the_hub_is_chosen_from_and_read_from_the_cache(tmp_path, gpt2, tokenizer, capsys):
    """user/repo that SAELens does not list: a SAELens folder and one of dictionary_learning, two SAEs at one site."""
    one, _ = new_saelens("layer_1", "gpt2", "blocks.1.hook_resid_post", WIDTH)
    two, _ = dictionary("dl/resid_post_layer_1/trainer_0", "gpt2", 1, WIDTH, "AutoEncoderTopK")
    gpt2.save_pretrained(str(tmp_path / "model"))
    tokenizer.save_pretrained(str(tmp_path / "model"))
    with hub_at(tmp_path / "hub") as hub:
        hub.add("somebody/saes", one | two)
        with pytest.raises(EmotionInterpError, match=r"2 SAEs at blocks\.1\.hook_resid_post.*dl/resid_post_layer_1"):
            ei.load_subject(tmp_path / "model", saes="somebody/saes")
        subject = ei.load_subject(tmp_path / "model", saes="somebody/saes", choose=SaeChoice(ids=["layer_1"]))
        told = subject.readers[Site(1)].provenance()
        assert (told["sae_release"], told["sae_id"], told["architecture"]) == ("somebody/saes", "layer_1", "jumprelu")
        assert subject.provenance["sae_release"] == "somebody/saes"
        assert "somebody/saes: 1 SAE: layer_1" in capsys.readouterr().err
        with pytest.raises(EmotionInterpError, match="nobody/saes"):
            ei.load_subject(tmp_path / "model", saes="nobody/saes")


def test_what_was_chosen_is_in_the_bank_with_its_page_on_neuronpedia(tmp_path, capsys, small_concepts, monkeypatch):
    from emotion_interp.bank import bank_card, feature_link
    from tests.releases.cells import loaded

    case = next(case for case in CASES if case.release == "gpt2-small-res-jb-feature-splitting")
    # said once in a process, and another test may have been first
    monkeypatch.setattr(sae_sources, "_SAID", set())
    with hub_at(tmp_path) as hub:
        subject = loaded(case, hub).subject
    assert (
        "gpt2-small-res-jb-feature-splitting: 1 SAE: blocks.8.hook_resid_pre_1536 (1k, l0 39)"
        in capsys.readouterr().err
    )
    assert subject.provenance["sae_ids"] == {"blocks.8.hook_resid_pre": "blocks.8.hook_resid_pre_1536"}
    bank = ei.find_features(subject, small_concepts.subset(languages=["en"]), stimuli="words")
    bank.save(tmp_path / "bank")
    (sae,) = ei.FeatureBank.load(tmp_path / "bank").manifest["saes"]
    assert (sae["sae_release"], sae["sae_id"]) == (case.release, case.id)
    assert feature_link(bank, 8, 3) == "https://www.neuronpedia.org/gpt2-small/8-res_fs1536-jb/3"
    row = bank.features.iloc[0]
    card, page = bank_card(bank), "https://www.neuronpedia.org/gpt2-small/8-res_fs1536-jb"
    assert f"<{page}>" in card
    assert f"{case.id} of {case.release}" in card
    assert f'href="{page}/{row["feature"]}"' in ei.feature_card(bank, 8, int(row["feature"])).html
