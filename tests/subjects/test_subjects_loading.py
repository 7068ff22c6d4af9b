"""Loading from folders and from a local Hugging Face cache, with the true loaders and no network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, FileFormatError, Site, UnknownNameError
from tests.conftest import SAELENS, make_gpt2, make_sae


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("model")
    make_gpt2(tokenizer).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def sae_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saes")
    for layer in (0, 2):
        make_sae(layer).save_model(folder / f"layer_{layer}")
    return folder


def test_a_local_folder_with_its_saes(model_folder, sae_folder):
    subject = ei.load_subject(model_folder, saes=str(sae_folder))
    assert subject.sites == [Site(0), Site(2)]
    assert subject.dtype == torch.float32
    assert "sha256" in subject.provenance
    assert ei.load_subject(model_folder, saes=str(sae_folder), layers=[2]).layers == [2]


def test_layers_without_an_sae_or_beyond_the_model_are_refused(model_folder, sae_folder):
    with pytest.raises(UnknownNameError, match="SAE layer"):
        ei.load_subject(model_folder, saes=str(sae_folder), layers=[1])
    with pytest.raises(UnknownNameError, match="layer 12"):
        ei.load_subject(model_folder, saes=str(sae_folder), layers=[12])


def test_unknown_models_folders_and_releases_are_named(model_folder, tmp_path):
    with pytest.raises(EmotionInterpError, match="no model can be loaded from 'no/such-model'"):
        ei.load_subject("no/such-model")
    with pytest.raises(FileFormatError, match=r"config\.json"):
        ei.load_subject(tmp_path)
    # the list of releases is a file of SAELens; without it any name may be a repository's
    near = "SAE release or folder 'gpt2-small-res-jbb'.*Did you mean" if SAELENS else "from 'gpt2-small-res-jbb'"
    with pytest.raises(EmotionInterpError, match=near):
        ei.load_subject(model_folder, saes="gpt2-small-res-jbb")
    with pytest.raises(FileFormatError, match="holds no SAE"):
        ei.load_subject(model_folder, saes=str(tmp_path))


@pytest.mark.parametrize("damage", ["weights", "config", "foreign"])
def test_a_corrupt_or_foreign_sae_is_refused(model_folder, tmp_path, damage):
    make_sae(0).save_model(tmp_path / "sae")
    if damage == "weights":
        (tmp_path / "sae/sae_weights.safetensors").write_bytes(b"not tensors")
    elif damage == "config":
        (tmp_path / "sae/cfg.json").write_text("{")
    else:
        (tmp_path / "sae/cfg.json").write_text(json.dumps({"architecture": "magic", "d_in": 32, "d_sae": 128}))
    with pytest.raises(
        EmotionInterpError, match="no readable SAELens SAE|is not readable JSON|architecture 'magic' cannot be read"
    ):
        ei.load_subject(model_folder, saes=str(tmp_path / "sae"))


def test_trap_a_batchtopk_training_folder_is_refused_and_its_inference_form_is_jumprelu(model_folder, tmp_path):
    from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    metadata = SAEMetadata(hook_name="blocks.0.hook_resid_post")
    sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=32, d_sae=64, k=4, metadata=metadata))
    sae.save_model(tmp_path / "training")
    with pytest.raises(EmotionInterpError):
        ei.load_subject(model_folder, saes=str(tmp_path / "training"))
    sae.save_inference_model(tmp_path / "inference")
    subject = ei.load_subject(model_folder, saes=str(tmp_path / "inference"))
    assert subject.readers[Site(0)].architecture == "jumprelu"


def cache_entry(root, repo, files):
    """The layout of huggingface_hub's cache: refs/main names a snapshot folder."""
    folder = root / "hub" / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 39 + "1")
    snapshot.parent.mkdir(parents=True)
    files.rename(snapshot)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(snapshot.name)


PROGRAM = """
import emotion_interp as ei
subject = ei.load_subject("gpt2", saes="gpt2-small-res-jb", layers=[1, 2])
print([s.hook_name for s in subject.sites])
print([r.provenance()["input_transform"] for r in subject.readers.values()])
print(subject.provenance["sae_release"], subject.provenance["revision"])
bank = ei.find_features(subject, ei.concept_set("en").subset(emotions=["joy", "fear", "anger", "sadness"]))
print(bank.layers)
try:
    ei.load_subject("gpt2", saes="gpt2-small-res-jb", layers=[3])
except ei.EmotionInterpError as error:
    print("refused:", str(error)[:60])
"""


def published_sae(folder, layer):
    """Weights and the fields of the published cfg.json, with tiny sizes."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(layer)
    weights = {
        "W_enc": torch.randn(32, 96, generator=generator),
        "W_dec": torch.randn(96, 32, generator=generator),
        "b_enc": torch.zeros(96),
        "b_dec": torch.zeros(32),
    }
    save_file(weights, folder / "sae_weights.safetensors")
    save_file({"sparsity": torch.zeros(96)}, folder / "sparsity.safetensors")
    config = {
        "model_name": "gpt2-small",
        "hook_point": f"blocks.{layer}.hook_resid_pre",
        "hook_point_layer": layer,
        "hook_point_head_index": None,
        "dataset_path": "Skylion007/openwebtext",
        "is_dataset_tokenized": False,
        "context_size": 128,
        "d_in": 32,
        "d_sae": 96,
        "expansion_factor": 3,
        "dtype": "torch.float32",
        "device": "cpu",
        "b_dec_init_method": "geometric_median",
        "lr": 0.0004,
        "l1_coefficient": 8e-05,
    }
    (folder / "cfg.json").write_text(json.dumps(config))


def test_a_hub_name_with_a_published_release_from_the_offline_cache(tmp_path, tokenizer):
    """gpt2-small-res-jb: a tiny model and tiny SAEs in the true layout, through the true loaders."""
    pytest.importorskip("sae_lens", reason="releases are loaded by SAELens")
    home, model, saes = tmp_path / "home", tmp_path / "model", tmp_path / "saes"
    make_gpt2(tokenizer, layers=4).save_pretrained(str(model))
    tokenizer.save_pretrained(str(model))
    cache_entry(home, "gpt2", model)
    for layer in (1, 2):
        published_sae(saes / f"blocks.{layer}.hook_resid_pre", layer)
    cache_entry(home, "jbloom/GPT2-Small-SAEs-Reformatted", saes)
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(home / "hub")}
    environment["PYTHONPATH"] = str(Path(ei.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.strip().splitlines()
    assert lines[0] == "['blocks.1.hook_resid_pre', 'blocks.2.hook_resid_pre']"
    assert lines[1] == "['centre', 'centre']"
    assert lines[2] == "gpt2-small-res-jb " + "0" * 39 + "1"
    assert lines[3] == "[1, 2]"
    assert lines[4].startswith("refused:")
