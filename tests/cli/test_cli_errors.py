"""Bad input ends in one line on standard error and exit code 2, with nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
from dataclasses import replace

import numpy as np
import pytest

import emotion_interp as ei
from tests.conftest import make_gpt2, make_sae


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["features", "--layers", "abc"], "--layers are whole numbers with commas"),
        (["features", "--layers", ","], "--layers are whole numbers with commas"),
        (["run", "--steered-layers=-1"], "--steered-layers are whole numbers with commas, counted from 0"),
        (["run", "--layers", "0", "--steered-layers", "1"], "unknown layer to steer '1'"),
        (["run", "--doses", "0.1,nan"], "--doses are finite numbers"),
        (["run", "--methods", "dense,magic"], "unknown direction method 'magic'"),
        (["features", "--layers", "9"], "unknown layer 9. Available: 0, 1, 2"),
        (["features", "--layers", "2"], "unknown SAE layer 2. Available: 0, 1"),
        (["features", "--languages", "xx"], "language 'xx'"),
        (["features", "--languages", ""], "language ''"),
        (["features", "--languages", "en:huge"], "language 'en:huge'"),
        (["align", "--norms", "warrinner"], "Did you mean 'warriner'"),
        (["run", "--stages", "features,dreaming"], "unknown stage 'dreaming'"),
        (["run", "--norms", "no.csv"], "no.csv"),
        (["run", "--stimuli", "dreams"], "'dreams'"),
        (["run", "--topics", "5"], "--topics are whole numbers"),
    ],
)
def test_names_that_do_not_exist(refused, subject_options, tmp_path, arguments, message):
    command, *rest = arguments
    where = ["--out", tmp_path / "out"] if command in ("run", "features") else []
    assert message in refused(command, *subject_options, *rest, *where)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["features", "jooy"], "Did you mean 'joy'"),
        (["features", "joy", "--layer", "2"], "unknown layer 2"),
        (["steer", "She said", "--emotion", "hunger"], "unknown emotion 'hunger'"),
        (
            ["steer", "She said", "--method", "magic"],
            "unknown direction method 'magic'. Available: dense, dense_clean, sae",
        ),
        (["steer", "She said", "--layer", "2"], "unknown layer 2"),
        (["steer", "She said", "--language", "es"], "unknown language 'es'. Available: en, zh"),
        (["steer", "She said", "--dose", "nan"], "finite"),
        (["steer", ""], "is empty"),
        (["steer", "  "], "is empty"),
        (["trace", ""], "empty"),
        (["trace", "She said", "--language", "es"], "unknown language 'es'"),
    ],
)
def test_names_a_bank_does_not_have(refused, bank_options, arguments, message):
    assert message in refused(*arguments, *bank_options)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["align", "--permutations", "many"],
        ["align", "--permutations", "0"],
        ["ratings", "--words", "-3"],
        ["features", "--seed", "-1"],
        ["steer", "She said", "--tokens", "0"],
        ["steer"],
        ["features", "--no-such-option"],
    ],
)
def test_wrong_usage_is_named_without_a_traceback(shell, arguments):
    answer = shell(*arguments)
    assert answer.code == 2 and "Usage:" in answer.err and "Traceback" not in answer.err


def test_an_unknown_model_and_release(refused, model_folder, sae_folder, tmp_path):
    assert "no model can be loaded from 'no/such'" in refused("features", "--model", "no/such", "--saes", sae_folder)
    assert "config.json" in refused("features", "--model", tmp_path)
    line = refused("features", "--model", model_folder, "--saes", "gpt2-smal-res-jb")
    assert "Did you mean 'gpt2-small-res-jb'" in line
    assert "has no SAE" in refused("features", "--model", model_folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("weights", "no readable SAELens SAE"),
        ("truncated", "no readable SAELens SAE"),
        ("config", "no readable SAELens SAE"),
        ("hook", "unknown hook 'blocks.0.hook_dreams'"),
        ("nan", "NaN or infinite"),
        ("width", "reads 16 dimensions, but tiny has 32"),
        ("none", "holds no SAE"),
    ],
)
def test_an_sae_that_is_damaged_or_foreign(refused, model_folder, tmp_path, damage, message):
    import torch

    folder = tmp_path / "saes"
    sae = make_sae(0, d_in=16 if damage == "width" else 32)
    if damage == "nan":
        with torch.no_grad():
            sae.W_dec[0, 0] = float("nan")
    if damage == "hook":
        sae.cfg.metadata.hook_name = "blocks.0.hook_dreams"
    sae.save_model(folder)
    weights = folder / "sae_weights.safetensors"
    if damage == "weights":
        weights.write_bytes(b"not tensors")
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "config":
        (folder / "cfg.json").write_text("{")
    elif damage == "none":
        (folder / "cfg.json").unlink()
    assert message in refused("features", "--model", model_folder, "--saes", folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "there is no feature bank at"),
        ("manifest", "not readable JSON"),
        ("foreign", "no feature bank"),
        ("version", "bank format 99"),
        ("bytes", "SHA-256 differs"),
        ("file", "is missing"),
    ],
)
def test_a_bank_that_is_damaged(refused, subject_options, bank_folder, tmp_path, damage, message):
    folder = tmp_path / "bank"
    if damage != "missing":
        shutil.copytree(bank_folder, folder)
    manifest = folder / "manifest.json"
    if damage == "manifest":
        manifest.write_text("{")
    elif damage == "foreign":
        manifest.write_text("[]")
    elif damage == "version":
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format_version": 99}))
    elif damage == "bytes":
        (folder / "words.parquet").write_bytes(b"PAR1")
    elif damage == "file":
        (folder / "directions.safetensors").unlink()
    assert message in refused("features", *subject_options, "--bank", folder)


def test_a_bank_of_another_subject_or_of_a_layer_that_is_not_loaded(refused, subject_options, tiny_bank, tmp_path):
    other = replace(tiny_bank, manifest={**tiny_bank.manifest, "subject": "someone"})
    other.save(tmp_path / "other")
    assert "belongs to the subject 'someone'" in refused("features", *subject_options, "--bank", tmp_path / "other")
    tiny_bank.save(tmp_path / "mine")
    line = refused("features", *subject_options, "--layers", "0", "--bank", tmp_path / "mine")
    assert "no SAE" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--methods", "trained,magic"],
            "unknown kind of direction to add 'magic'. Available: trained, sae_ts, sae_output",
        ),
        (["--methods", "trained"], "trained on texts"),
        (["--methods", "sae_ts", "--layers", "2"], "unknown SAE layer 2"),
    ],
    ids=["unknown", "a bank of words", "layer"],
)
def test_directions_that_cannot_be_added(refused, subject_options, bank_folder, options, message):
    before = ei.FeatureBank.load(bank_folder).methods
    assert message in refused("features", "directions", bank_folder, *subject_options, *options)
    assert ei.FeatureBank.load(bank_folder).methods == before


@pytest.mark.parametrize("command", ["run", "features"])
def test_out_at_a_file_or_below_one_is_refused_before_any_work(refused, tmp_path, command):
    (tmp_path / "file").write_text("mine")
    # the model does not exist either: the place is looked at first
    assert "is a file" in refused(command, "--model", "no/such", "--out", tmp_path / "file")
    assert "no folder" in refused(command, "--model", "no/such", "--out", tmp_path / "file/below")
    assert (tmp_path / "file").read_text() == "mine"


def test_trace_to_a_folder_or_below_a_file_is_refused(refused, bank_options, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "is a folder" in refused("trace", "she wept", *bank_options, "--out", tmp_path)
    assert "no folder" in refused("trace", "she wept", *bank_options, "--out", tmp_path / "file/x.html")


@pytest.mark.parametrize("command", ["run", "features"])
def test_out_without_permission(refused, tmp_path, command):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write everywhere (root), so chmod forbids nothing")
    assert "may not write" in refused(command, "--model", "no/such", "--out", closed / "out")


def test_a_folder_of_something_else_is_no_study(refused, small_out, tmp_path):
    (tmp_path / "study.json").write_text('{"format": "cookbook"}')
    assert "no study" in refused("report", tmp_path)
    assert "not a study" in refused(*small_out, tmp_path)
    (tmp_path / "study.json").write_text("[]")
    assert "no study" in refused("report", tmp_path)
    assert "does not exist" in refused("report", tmp_path / "nowhere")


@pytest.fixture
def small_out(subject_options):
    return ["run", *subject_options, "--languages", "en", "--layers", "0", "--stages", "features", "--out"]


@pytest.fixture
def full_disk():
    """No file may grow beyond 3,000 bytes: the system itself refuses the write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_bank(refused, bank_options, tmp_path, full_disk):
    assert "cannot write" in refused("features", *bank_options, "--out", tmp_path / "bank")


def test_a_full_disk_while_tensors_are_written_leaves_no_bank(tiny_bank, tmp_path):
    wide = {k: np.tile(v, (1, 1000)) for k, v in tiny_bank.directions.items()}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(ei.EmotionInterpError, match="cannot write"):
            replace(tiny_bank, directions=wide).save(tmp_path / "bank")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_at_the_last_step_leaves_the_old_bank(shell, bank_options, bank_folder, tmp_path, monkeypatch):
    shutil.copytree(bank_folder, tmp_path / "bank")
    before = {p.name: p.read_bytes() for p in (tmp_path / "bank").iterdir()}

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("emotion_interp.core.files.os.replace", full)
    answer = shell("features", *bank_options, "--out", tmp_path / "bank")
    monkeypatch.undo()
    assert answer.code == 2 and answer.err.count("\n") == 1 and "No space left" in answer.err
    assert {p.name: p.read_bytes() for p in (tmp_path / "bank").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["bank"]


def test_a_full_disk_in_a_run_leaves_nothing_half_written(shell, small_out, tmp_path, full_disk):
    answer = shell(*small_out, tmp_path / "study")
    assert answer.code == 2 and "cannot write" in answer.err and answer.err.count("\n") == 1
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_model_with_nan_weights_is_named(refused, tokenizer, sae_folder, tmp_path):
    import torch

    model = make_gpt2(tokenizer)
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight[0, 0] = float("nan")
    model.save_pretrained(str(tmp_path / "model"))
    tokenizer.save_pretrained(str(tmp_path / "model"))
    line = refused("features", "--model", tmp_path / "model", "--saes", sae_folder, "-q")
    assert "NaN or infinite activations" in line


def test_names_that_nothing_would_follow_are_refused(refused, subject_options, bank_folder):
    for more in (["--bank", bank_folder], [], ["--stimuli", "words"]):
        assert "--names drop is for the texts of a corpus" in refused(
            "features", *subject_options, "--names", "drop", *more
        )
