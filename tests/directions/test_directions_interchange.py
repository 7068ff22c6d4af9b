"""Directions as files of other programs: the place, the length and the layers are those that the programs use."""

from __future__ import annotations

import json

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError, UnsupportedError
from emotion_interp.directions.interchange_formats import FORMATS

D = 32
ONE_LAYER = ("caa",)


def direction(layer=1, kind="resid_post", seed=0, **provenance):
    vector = np.random.default_rng(seed).normal(size=D)
    return ei.Direction(vector, layer, kind, name="joy", provenance=provenance)


def written(tmp_path, form, directions, **options):
    return ei.export_direction(directions, tmp_path / f"joy{FORMATS[form].suffix}", format=form, **options)


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_written_is_read_again_at_its_length_and_place(tmp_path, form):
    several = [direction(1, seed=1, scale=7.0), direction(2, seed=2, scale=9.0)][: 1 if form in ONE_LAYER else 2]
    export = written(tmp_path, form, several, dose=0.5)
    again = ei.import_directions(export.path)
    assert [d.site for d in again] == [d.site for d in several]
    for found, wanted in zip(again, several, strict=True):
        np.testing.assert_allclose(found.unit, wanted.unit, atol=1e-6)
        # a dose of a file of this package means what it meant
        assert found.provenance["scale"] == wanted.provenance["scale"]
    assert list(export.frame["length"]) == [d.provenance["scale"] for d in several]
    assert "coefficient" in str(export.statement["operation"])
    assert str(export.statement["how"])


@pytest.mark.parametrize("form", [f for f in FORMATS if f != "neuronpedia"])
def test_without_what_lies_beside_it_a_dose_of_one_is_a_coefficient_of_one(tmp_path, form):
    export = written(tmp_path, form, direction(1, scale=7.0), dose=0.5)
    (tmp_path / f"{export.path.name}.about.json").unlink()
    found = ei.import_directions(export.path, layers=[1] if form == "caa" else None)[0]
    assert found.provenance["scale"] == pytest.approx(7.0, rel=1e-6)
    assert (found.layer, found.kind) == (1, "resid_post")


@pytest.mark.parametrize("form", FORMATS)
def test_a_subject_is_moved_by_the_file_as_by_the_direction(tiny_subject, tmp_path, form):
    export = written(tmp_path, form, direction(1), dose=0.7, subject=tiny_subject)
    parity = ei.check_parity(export.path, tiny_subject)
    assert parity.passed, parity.to_frame()
    moved = parity.to_frame().query("state == 'after'")["moved"]
    assert float(moved.min()) > 0.05
    assert {p.name for p in export.files} >= {export.path.name, "check_parity.py"}


def test_the_expected_states_are_those_of_a_vector_added_by_hand_to_the_original_model(
    tiny_subject, gpt2, root_tokenizer, tmp_path
):
    """GPT-2 itself, with a plain hook; nothing of TransformerLens takes part."""
    import torch
    from safetensors.numpy import load_file

    joy = direction(1, scale=6.0)
    export = written(tmp_path, "llama.cpp", joy, dose=0.5, subject=tiny_subject, texts=["The letter said"])
    states = load_file(tmp_path / f"{export.path.name}.parity.safetensors")
    test = json.loads((tmp_path / f"{export.path.name}.parity.json").read_text())
    seen = {}
    vector = torch.from_numpy(3.0 * joy.unit)
    blocks = gpt2.transformer.h
    handles = [
        blocks[1].register_forward_hook(
            lambda m, a, out: (out[0] + vector, *out[1:]) if isinstance(out, tuple) else out + vector
        ),
        blocks[2].register_forward_hook(lambda m, a, out: seen.update(last=out[0] if isinstance(out, tuple) else out)),
    ]
    try:
        with torch.no_grad():
            logits = gpt2(torch.tensor([test["texts"][0]["token_ids"]])).logits
    finally:
        for handle in handles:
            handle.remove()
    np.testing.assert_allclose(states["0.2.after"], seen["last"][0].numpy(), atol=2e-5)
    np.testing.assert_allclose(states["0.logits.after"], logits[0, -1].numpy(), atol=5e-5)


def test_resid_pre_is_the_resid_post_of_the_block_before(tiny_subject, tmp_path):
    export = written(tmp_path, "llama.cpp", direction(2, "resid_pre", scale=5.0), subject=tiny_subject)
    assert list(export.frame["entry"]) == ["direction.1"]
    assert ei.check_parity(export.path, tiny_subject).passed


def test_neuronpedia_counts_from_the_front_of_the_block_behind(tmp_path):
    entry = json.loads(written(tmp_path, "neuronpedia", direction(1, scale=250.0), dose=-0.5).path.read_text())
    assert (entry["layerNumber"], entry["hookType"]) == (2, "hook_resid_pre")
    # strengths end at 100; what is longer stays in the vector, which adds up to dose * scale
    assert entry["vectorDefaultSteerStrength"] == -100.0
    assert entry["vectorDefaultSteerStrength"] * np.linalg.norm(entry["vector"]) == pytest.approx(-125.0)


def test_a_gguf_file_is_what_the_loader_of_llama_cpp_asks_for(tmp_path):
    """Tensors named direction.N, N from 1, F32, one dimension, one width (common_control_vector_load_one)."""
    gguf = pytest.importorskip("gguf", reason="the package gguf (extra `gguf`) is not installed")

    joy = [direction(1, seed=1, scale=7.0), direction(2, seed=2, scale=9.0)]
    reader = gguf.GGUFReader(str(written(tmp_path, "llama.cpp", joy).path))
    assert reader.get_field("general.architecture").contents() == "controlvector"
    assert reader.get_field("controlvector.layer_count").contents() == 2
    for tensor, wanted in zip(reader.tensors, joy, strict=True):
        assert tensor.name == f"direction.{wanted.layer}"
        assert (tensor.tensor_type.name, list(tensor.shape)) == ("F32", [D])
        np.testing.assert_allclose(tensor.data, wanted.provenance["scale"] * wanted.unit, rtol=1e-6)


def test_what_a_program_cannot_do_is_refused_before_a_file_is_there(tmp_path, tiny_subject):
    joy = direction(0, scale=5.0)
    with pytest.raises(UnsupportedError, match="llama.cpp cannot add behind block 0"):
        written(tmp_path, "llama.cpp", joy)
    assert written(tmp_path, "repeng", joy).path.is_file()
    with pytest.raises(UnsupportedError, match="repeng cannot add behind block -1"):
        written(tmp_path, "repeng", direction(0, "resid_pre", scale=5.0))
    with pytest.raises(UnsupportedError, match="whole blocks end"):
        written(tmp_path, "npz", direction(0, "mlp_out", scale=5.0))
    with pytest.raises(UnsupportedError, match="behind the last one"):
        written(tmp_path, "neuronpedia", direction(2), subject=tiny_subject)
    with pytest.raises(UnsupportedError, match="a CAA file holds one vector"):
        written(tmp_path, "caa", [direction(1, scale=5.0), direction(2, scale=5.0)])
    with pytest.raises(EmotionInterpError, match="two directions are added behind block 1"):
        written(tmp_path, "npz", [direction(1, scale=5.0), direction(2, "resid_pre", scale=5.0)])
    with pytest.raises(EmotionInterpError, match=r"carries no scale.*give scale= or subject="):
        written(tmp_path, "npz", direction(1))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["joy.gguf", "joy.gguf.about.json"]


def test_a_changed_file_is_not_taken_for_the_one_that_was_written(tiny_subject, tmp_path):
    export = written(tmp_path, "npz", direction(1, scale=5.0), subject=tiny_subject)
    np.savez(export.path, **{"blocks.1.hook_resid_post": np.ones(D, dtype=np.float32)})
    with pytest.warns(UserWarning, match="is of another"):
        assert ei.import_directions(export.path)[0].provenance["scale"] == pytest.approx(np.sqrt(D))
    with pytest.raises(FileFormatError, match="is of other files"):
        ei.check_parity(export.path, tiny_subject)


def test_another_model_and_another_vector_are_told_apart(tiny_subject, root_tokenizer, tmp_path):
    from tests.conftest import make_gpt2

    export = written(tmp_path, "npz", direction(1, scale=5.0), subject=tiny_subject)
    stranger = ei.Subject(make_gpt2(root_tokenizer, seed=9), tokenizer=root_tokenizer, name="stranger")
    parity = ei.check_parity(export.path, stranger)
    assert not parity.passed
    assert "the model differs" in parity.reason


def test_an_export_without_a_subject_leaves_no_parity_test_of_an_earlier_one(tiny_subject, tmp_path):
    written(tmp_path, "npz", direction(1, scale=5.0), subject=tiny_subject)
    export = written(tmp_path, "npz", direction(2, scale=5.0))
    with pytest.raises(FileFormatError, match="a parity test is written by export_direction"):
        ei.check_parity(export.path, tiny_subject)


# -- files of others --------------------------------------------------------------------------------------------------
def test_layers_of_transformers_hidden_states_are_one_further(tmp_path):
    rows = np.random.default_rng(0).normal(size=(4, D)).astype(np.float32)
    np.savez(tmp_path / "persona.npz", vectors=rows)
    blocks = ei.import_directions(tmp_path / "persona.npz")
    states = ei.import_directions(tmp_path / "persona.npz", counted="hidden_states")
    assert [(d.layer, d.kind) for d in blocks] == [(n, "resid_post") for n in range(4)]
    assert [(d.layer, d.kind) for d in states] == [(0, "resid_pre"), *((n, "resid_post") for n in range(3))]
    np.testing.assert_allclose(states[1].vector, rows[1])


@pytest.mark.parametrize(
    ("content", "layers"),
    [
        (lambda t: {3: t, 5: t}, [3, 5]),
        (lambda t: {"layer_3": t, "layer_5": t}, [3, 5]),
        (lambda t: {"model.layers.3": t}, [3]),
        (lambda t: {"layer_activations": {4: t}, "layer_type": "decoder_block"}, [4]),
        (lambda t: t.half(), [13]),
    ],
)
def test_torch_files_say_their_layers_in_keys_or_in_their_name(tmp_path, content, layers):
    import torch

    path = tmp_path / "vec_layer_13_Llama-2-7b-chat-hf.pt"
    torch.save(content(torch.ones(D)), path)
    found = ei.import_directions(path)
    assert [d.layer for d in found] == layers
    assert found[0].provenance["scale"] == pytest.approx(np.sqrt(D))


def test_a_torch_file_of_other_objects_is_never_run(tmp_path):
    import torch

    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    torch.save({"layer_activations": {1: Bomb()}}, tmp_path / "bomb.pt")
    with pytest.raises(FileFormatError, match="no torch file of tensors alone"):
        ei.import_directions(tmp_path / "bomb.pt")


@pytest.mark.parametrize("suffix", [".gguf", ".pt", ".json", ".safetensors", ".npz"])
@pytest.mark.parametrize("content", [b"", b"not a file of vectors", b"GGUF\x03\x00\x00\x00" + bytes(40), b"PK\x03\x04"])
def test_damaged_files_are_refused_in_one_line(tmp_path, suffix, content):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(EmotionInterpError) as caught:
        ei.import_directions(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"layer.1": np.ones(D), "layer.2": np.ones(D + 1)}, "shapes"),
        ({"layer.1": np.zeros(D)}, "zeros alone"),
        ({"layer.1": np.full(D, np.nan)}, "NaN"),
        ({"mean": np.ones(D)}, "says no layer"),
        ({"a": np.ones((2, 2, D)), "b": np.ones(D)}, "says no layer"),
        ({"blocks.1.attn.hook_z": np.ones(D)}, "resid_pre and resid_post are read"),
        ({"layer.1": np.ones(D), "blocks.1.hook_resid_post": np.ones(D)}, "two vectors"),
    ],
)
def test_arrays_that_are_no_vectors_are_refused(tmp_path, arrays, reason):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(EmotionInterpError, match=reason):
        ei.import_directions(tmp_path / "x.npz")


def test_a_model_is_no_control_vector(tmp_path):
    gguf = pytest.importorskip("gguf", reason="the package gguf (extra `gguf`) is not installed")

    writer = gguf.GGUFWriter(str(tmp_path / "model.gguf"), "llama")
    writer.add_tensor("token_embd.weight", np.ones((4, D), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(FileFormatError, match="is no control vector"):
        ei.import_directions(tmp_path / "model.gguf")
    with pytest.raises(UnknownNameError, match="ending"):
        ei.import_directions(tmp_path / "joy.csv")


def test_the_shell_knows_the_same_formats_and_endings():
    from emotion_interp.cli import direction_commands
    from emotion_interp.directions import interchange, interchange_formats

    assert set(direction_commands.FORMATS) == set(FORMATS)
    assert set(direction_commands.ENDINGS) == set(interchange_formats._BY_SUFFIX)
    assert direction_commands.COUNTED == interchange.COUNTED
