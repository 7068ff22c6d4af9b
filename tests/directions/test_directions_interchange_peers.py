"""The programs themselves run the parity tests: repeng and steering-vectors in `.peers`, llama.cpp where it is installed.

`make peers` makes `.peers`, since both hold transformers below our version. `EMOTION_INTERP_LLAMA_CPP` names an interpreter
that has llama-cpp-python, safetensors and gguf.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import emotion_interp as ei

PEERS = Path(__file__).parents[2] / ".peers" / "bin" / "python"


def run(interpreter, export, model, program):
    # nothing of this package on the other side
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [interpreter, "check_parity.py", export.path.name, "--model", str(model), "--with", program]
    return subprocess.run(
        [*map(str, command), "--tolerance", "1e-5"],
        cwd=export.path.parent,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def peers():
    if not PEERS.is_file():
        pytest.skip("no .peers; `make peers` makes it")
    return PEERS


@pytest.fixture(scope="module")
def model_folder(gpt2, root_tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    gpt2.save_pretrained(folder)
    root_tokenizer.save_pretrained(folder)
    return folder


def directions(width, layers, seed=0):
    rng = np.random.default_rng(seed)
    return [ei.Direction(rng.normal(size=width), layer, name="joy") for layer in layers]


@pytest.mark.parametrize(
    ("form", "suffix", "program", "layers"),
    [
        ("repeng", ".gguf", "repeng", [0, 1, 2]),
        ("llama.cpp", ".gguf", "repeng", [1, 2]),
        ("steering-vectors", ".pt", "steering-vectors", [0, 2]),
        ("neuronpedia", ".json", "transformers", [0, 1]),
        ("safetensors", ".safetensors", "transformers", [0, 2]),
        ("npz", ".npz", "transformers", [1]),
        ("caa", ".pt", "transformers", [1]),
    ],
)
def test_another_program_computes_the_expected_states(
    peers, tiny_subject, model_folder, tmp_path, form, suffix, program, layers
):
    export = ei.export_direction(
        directions(tiny_subject.d_model, layers), tmp_path / f"joy{suffix}", format=form, dose=0.7, subject=tiny_subject
    )
    done = run(peers, export, model_folder, program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "agrees" in done.stdout


def test_a_vector_behind_another_block_is_seen_by_the_other_program(peers, tiny_subject, model_folder, tmp_path):
    import torch

    export = ei.export_direction(
        directions(tiny_subject.d_model, [1]), tmp_path / "joy.pt", format="steering-vectors", subject=tiny_subject
    )
    content = torch.load(export.path, weights_only=True)
    torch.save({**content, "layer_activations": {2: content["layer_activations"][1]}}, export.path)
    done = run(peers, export, model_folder, "steering-vectors")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "0.1.before" in done.stdout
    assert "DIFFERS" in done.stdout


def test_a_control_vector_of_repeng_is_read_with_its_layers_and_lengths(peers, tmp_path):
    code = (
        "import numpy as np; from repeng import ControlVector; r = np.random.default_rng(0); "
        "ControlVector('llama', {n: r.normal(size=8).astype('float32') for n in (1, 2)}).export_gguf('theirs.gguf')"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([str(peers), "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True)
    rng = np.random.default_rng(0)
    found = ei.import_directions(tmp_path / "theirs.gguf")
    assert [d.layer for d in found] == [1, 2]
    for one in found:
        vector = rng.normal(size=8).astype("float32")
        np.testing.assert_array_equal(one.vector, vector)
        assert one.provenance["scale"] == pytest.approx(np.linalg.norm(vector))


def test_llama_cpp_computes_the_expected_logits(tmp_path, root_tokenizer, monkeypatch):
    interpreter = os.environ.get("EMOTION_INTERP_LLAMA_CPP")
    if not interpreter:
        pytest.skip("EMOTION_INTERP_LLAMA_CPP names no interpreter with llama-cpp-python")
    monkeypatch.setenv("EMOTION_INTERP_CACHE", str(tmp_path / "cache"))
    path = write_llama(tmp_path / "tiny-llama.gguf", root_tokenizer)
    subject = ei.load_subject(path)
    export = ei.export_direction(directions(64, [1, 2]), tmp_path / "joy.gguf", dose=0.7, subject=subject)
    done = run(interpreter, export, path, "llama.cpp")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0.logits.after" in done.stdout


def write_llama(path, tokenizer, width=64, heads=4, inner=96, layers=3):
    """A random Llama in float32 with a byte-level tokenizer, by llama.cpp's own writer."""
    gguf = pytest.importorskip("gguf", reason="the package gguf (extra `gguf`) is not installed")

    rng = np.random.default_rng(0)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    words = sorted(model["vocab"], key=model["vocab"].__getitem__)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    writer.add_token_types([3 if word == "<|endoftext|>" else 1 for word in words])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_unk_token_id, writer.add_pad_token_id):
        add(tokenizer.bos_token_id)
    shapes = {"token_embd": (len(words), width), "output": (len(words), width)}
    for i in range(layers):
        shapes |= {f"blk.{i}.attn_{name}": (width, width) for name in ("q", "k", "v", "output")}
        shapes |= {f"blk.{i}.ffn_gate": (inner, width), f"blk.{i}.ffn_up": (inner, width)}
        shapes |= {f"blk.{i}.ffn_down": (width, inner)}
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{name}.weight", np.ones(width, dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.ones(width, dtype=np.float32))
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", rng.normal(0, 0.2, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
