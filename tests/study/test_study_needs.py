"""What a model takes, from its configuration: against the models themselves."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from packaging.version import Version

import emotion_interp as ei
from emotion_interp.core import UnknownNameError
from emotion_interp.study.doctor import bad_pairs, examine
from emotion_interp.study.doctor_model import card_figures
from emotion_interp.study.findings import Finding
from emotion_interp.study.needs import room_here
from emotion_interp.subjects.architecture import _of_table, architecture_of
from emotion_interp.subjects.loading import bundled_folder
from emotion_interp.subjects.sae_sizes import sae_sizes

# published counts
KNOWN = {
    "gpt2": 124_439_808,
    "google/gemma-2-9b-it": 9_241_705_984,
    "gemma-2-2b": 2_614_341_888,
    "meta-llama/Meta-Llama-3-8B-Instruct": 8_030_261_248,
    "EleutherAI/pythia-70m-deduped": 70_426_624,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
}


@pytest.mark.parametrize(("name", "parameters"), KNOWN.items())
def test_parameters_are_those_that_are_published(name, parameters):
    assert architecture_of(name).parameters == pytest.approx(parameters, rel=0.002)


def _configs():
    from transformers import Gemma2Config, GPT2Config, GPTNeoXConfig, LlamaConfig, MixtralConfig, Qwen2Config

    shape = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96}
    keys = {"num_key_value_heads": 2}
    return {
        "gpt2": GPT2Config(vocab_size=300, n_embd=48, n_layer=3, n_head=4, n_positions=64),
        "neox": GPTNeoXConfig(vocab_size=300, **shape),
        "llama": LlamaConfig(vocab_size=300, **shape, **keys),
        "gemma2": Gemma2Config(vocab_size=300, head_dim=12, **shape, **keys),
        "qwen2": Qwen2Config(vocab_size=300, tie_word_embeddings=True, **shape, **keys),
        "mixtral": MixtralConfig(vocab_size=300, num_local_experts=4, num_experts_per_tok=2, **shape, **keys),
    }


@pytest.mark.parametrize("family", ["gpt2", "neox", "llama", "gemma2", "qwen2", "mixtral"])
def test_parameters_of_a_folder_are_those_of_the_model(tmp_path, family):
    from transformers import AutoModelForCausalLM

    config = _configs()[family]
    config.save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_config(config)
    shape = architecture_of(tmp_path)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert (shape.n_layers, shape.d_model, shape.d_mlp) == (3, 48, 192 if family == "gpt2" else 96)
    blocks = model.base_model.h if family == "gpt2" else model.base_model.layers
    assert shape.layer_parameters == sum(p.numel() for p in blocks.parameters())
    # two of four experts: their half is not run
    experts = sum(p.numel() for n, p in model.named_parameters() if ".experts." in n)
    assert shape.active_parameters == shape.layer_parameters - experts // 2
    assert (experts > 0) == (family == "mixtral")


def test_a_table_of_sizes_agrees_with_the_configuration(tmp_path):
    for family, gated, tied, positions in (("gpt2", False, True, 64), ("llama", True, False, 0)):
        _configs()[family].save_pretrained(tmp_path / family)
        shape = architecture_of(tmp_path / family)
        keys = 4 if family == "gpt2" else 2
        sizes = (shape.n_layers, 48, 4, keys, 12, shape.d_mlp, 300, gated, tied, positions)
        assert _of_table("x", "table", *sizes).parameters == pytest.approx(shape.parameters, rel=0.02)


def test_memory_is_that_of_the_loaded_subject_and_its_saes():
    planned = ei.plan(saes=bundled_folder() / "saes")
    subject = ei.load_subject()
    held = sum(p.nbytes for sae in subject.saes.values() for p in sae.parameters())
    row = planned.to_frame().set_index(["dtype", "saes_in_memory"]).loc[("float32", 4)]
    assert row["saes_gib"] * 2**30 == pytest.approx(held, rel=0.1, abs=2**20)
    original = sum(p.nbytes for p in subject.model.original_model.parameters())
    assert row["weights_gib"] * 2**30 == pytest.approx(original, rel=0.25)
    assert planned.bytes_needed(resident=2) < planned.bytes_needed()
    fits, line = room_here(planned)
    assert fits and "needed" in line
    with pytest.raises(UnknownNameError):
        planned.bytes_needed("int8")


def test_hours_fall_with_the_card_and_grow_with_the_texts():
    few, many = (ei.plan("gemma-2-9b-it", "gemma-scope-9b-it-res-canonical", texts=n) for n in (10_000, 30_000))
    assert [s.layer for s in few.saes] == [9, 20, 31] and {s.d_sae for s in few.saes} == {16_384}
    assert many.flops == pytest.approx(3 * few.flops)
    hours = few.cards[few.cards["dtype"] == "bfloat16"].set_index("card")["hours"]
    assert hours["H100 80GB"] < hours["L40S"] < hours["L4"] and np.isnan(hours["T4"])
    layer_9 = ei.plan("gemma-2-9b-it", "gemma-scope-9b-it-res-canonical", layers=[9])
    assert layer_9.flops < 0.4 * few.flops


def test_a_card_of_your_own_stands_beside_the_listed_ones_or_in_their_place():
    plain = ei.plan("gemma-2-9b-it", texts=1_000_000)
    told = ei.plan(
        "gemma-2-9b-it",
        texts=1_000_000,
        cards={"B200": (180, 2250, 75, 8000), "H100 80GB": (80, 98.9, 6.7, 335)},
        efficiency=0.35,
    )
    hours, others = (p.cards[p.cards["dtype"] == "bfloat16"].set_index("card")["hours"] for p in (plain, told))
    assert others["B200"] < hours["H200"] and "B200" not in hours and others["A100 80GB"] == hours["A100 80GB"]
    assert others["H100 80GB"] == pytest.approx(10 * hours["H100 80GB"], rel=0.01)
    half = ei.plan("gemma-2-9b-it", texts=1_000_000, efficiency=0.175).cards
    assert half["hours"].sum() > 1.5 * plain.cards["hours"].sum()
    # the card named in the table of memory is the smallest that holds it
    memory = ei.plan("meta-llama/Meta-Llama-3-8B-Instruct").to_frame().set_index("dtype").loc["float32"]
    assert 24e9 < memory["total_gib"] * 2**30 < 0.92 * 40e9 and memory["from"] == "A100 40GB"
    for wrong in ({"x": (1, 2, 3)}, {"x": (1, 2, 3, 0)}, {"x": (1, 2, 3, float("nan"))}):
        with pytest.raises(ei.EmotionInterpError, match="four figures above zero"):
            ei.plan("gemma-2-9b-it", cards=wrong)
    with pytest.raises(ei.EmotionInterpError, match="share of the peak"):
        ei.plan("gemma-2-9b-it", efficiency=2.0)


def test_widths_of_releases_are_those_of_their_names():
    widths = {
        ("gemma-scope-9b-it-res-canonical", "gemma-2-9b-it"): 16_384,
        ("llama-3-8b-it-res-jh", "meta-llama/Meta-Llama-3-8B-Instruct"): 65_536,
        ("llama_scope_lxr_8x", "meta-llama/Llama-3.1-8B"): 32_768,
        ("gpt2-small-resid-post-v5-128k", "gpt2"): 131_072,
        ("gpt2-small-res-jb", "gpt2"): 24_576,
        ("gemma-scope-2b-pt-res-canonical", "gemma-2-2b"): 16_384,
    }
    for (release, model), width in widths.items():
        assert {size.d_sae for size in sae_sizes(release, architecture_of(model))} == {width}, release


def test_what_nobody_here_knows_is_said_in_a_line():
    with pytest.raises(ei.EmotionInterpError, match="not known here"):
        ei.plan("nobody/nothing-7b")
    with pytest.raises(UnknownNameError):
        ei.plan("gemma-2-9b-it", "gemma-scope-9b-it-res-canonical", layers=[3])
    with pytest.raises(UnknownNameError):
        ei.plan("gpt2", "gemma-scope-9b-it-res-canonical")


def test_calibration_runs_blocks_of_the_shape_with_and_without_a_configuration(tmp_path):
    from transformers import LlamaConfig

    shape = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}
    LlamaConfig(vocab_size=400, num_hidden_layers=4, **shape).save_pretrained(tmp_path)
    for model in (tmp_path, None):
        seconds = ei.plan(model, texts=1000, calibrate=True).seconds_here
        assert seconds is not None and 0 < seconds < 1000
    assert ei.plan(tmp_path).seconds_here is None


def test_pairs_that_do_not_go_together_are_named_with_what_mends_them():
    good = {"transformer-lens": Version("3.9.0"), "sae-lens": Version("6.54.12"), "torch": Version("2.13.0")}
    assert bad_pairs(good | {"transformers": Version("5.23.0")}) == []
    for wrong in (
        {"transformer-lens": Version("4.3.0")},
        {"transformers": Version("5.24.0")},
        {"sae-lens": Version("6.1")},
    ):
        found = bad_pairs(good | wrong)
        assert len(found) == 1 and "pip install" in found[0][1]


def test_the_doctor_finds_the_bundled_subject_well_and_its_card_true():
    lines = []
    found = examine(tell=lines.append)
    assert found.wrong == () and len(lines) == len(found.findings) == len(found.to_frame())
    states = {f.check: f.state for f in found.findings}
    assert states["card"] == states["generation"] == states["BOS"] == states["memory"] == "fine"


def test_the_doctor_sees_a_subject_that_is_not_its_card(monkeypatch):
    import emotion_interp.study.doctor_model as module

    expected = card_figures()
    assert len(expected) == 9
    monkeypatch.setattr(module, "measured_figures", lambda subject: expected | {"loss": expected["loss"] + 0.5})
    (finding,) = module._card(None)
    assert finding.state == "wrong" and "loss 5.402 instead of 4.902" in finding.finding


def test_the_doctor_sees_a_model_that_does_not_load_and_a_chat_model_without_template(tmp_path, gpt2, root_tokenizer):
    found = examine(str(tmp_path / "nowhere"))
    assert [f.check for f in found.wrong] == ["model"]
    folder = tmp_path / "tiny-instruct"
    gpt2.save_pretrained(folder)
    root_tokenizer.save_pretrained(folder)
    states = {f.check: f for f in examine(str(folder)).findings}
    assert states["chat template"].state == "look" and "card" not in states
    assert str(Finding("a", "wrong", "b", "c")) == "WRONG a: b | c"


def test_a_wrong_device_ends_with_exit_code_1():
    command = [sys.executable, "-m", "emotion_interp", "doctor", "--device", "cuda:7", "--json"]
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    assert subprocess.run(command, capture_output=True, timeout=300).returncode == 1
