"""Reading, encoding and steering on a card, against the same on the host; skipped where there is none."""

import numpy as np
import pytest
import torch

import emotion_interp as ei
from emotion_interp.activations import read_stimuli
from emotion_interp.activations.host import to_device, to_host
from emotion_interp.core.memory import free_memory
from tests.conftest import make_gpt2, make_sae

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, root_tokenizer):
    root = tmp_path_factory.mktemp("card")
    make_gpt2(root_tokenizer).save_pretrained(root / "model")
    root_tokenizer.save_pretrained(root / "model")
    for layer in range(3):
        make_sae(layer).save_model(root / "saes" / f"layer_{layer}")
    return root / "model", root / "saes"


def loaded(folders, device, dtype="float32", **load):
    return ei.load_subject(
        folders[0], saes=folders[1], device=device, dtype=dtype, load=ei.LoadOptions(**load) if load else None
    )


@pytest.fixture(scope="module")
def host(folders):
    return loaded(folders, "cpu")


@pytest.mark.parametrize("position", ["last", "text"])
def test_float32_reads_as_the_host_does(folders, host, small_concepts, position):
    stimuli = small_concepts.stimuli()[:60]
    card = loaded(folders, "cuda")
    a, b = (read_stimuli(s, stimuli, range(60), position=position) for s in (host, card))
    for site in a:
        assert np.allclose(a[site].dense, b[site].dense, atol=2e-3)
        assert np.allclose(a[site].features.toarray(), b[site].features.toarray(), atol=5e-2)
        assert a[site].scale == pytest.approx(b[site].scale, rel=1e-3)


def test_bfloat16_sums_in_float32_and_stays_close(folders, host, small_concepts):
    stimuli = small_concepts.stimuli()[:60]
    card = loaded(folders, "cuda", "bfloat16")
    # many stimuli in one unit: a sum in half precision would be off by percents
    a, b = (read_stimuli(s, stimuli, np.zeros(60, dtype=int)) for s in (host, card))
    for site in a:
        assert b[site].dense.dtype == np.float32
        assert np.linalg.norm(a[site].dense - b[site].dense) < 0.03 * np.linalg.norm(a[site].dense)


@pytest.mark.parametrize("sae_dtype", ["float32", "bfloat16"])
def test_saes_that_wait_on_disk_read_the_same_on_a_card(folders, small_concepts, sae_dtype):
    stimuli = small_concepts.stimuli()[:60]
    whole, shelved = (loaded(folders, "cuda", resident=resident, sae_dtype=sae_dtype) for resident in (3, 1))
    a, b = (read_stimuli(s, stimuli, range(60)) for s in (whole, shelved))
    for site in a:
        assert (a[site].features != b[site].features).nnz == 0


def test_steering_on_a_card_adds_what_it_adds_on_the_host(folders, host):
    vector = np.random.default_rng(0).normal(size=host.d_model)
    direction = ei.Direction(vector, layer=1)
    card = loaded(folders, "cuda")
    texts = []
    for subject in (host, card):
        with ei.steer(subject, direction, dose=1.0):
            texts.append(subject.generate("The word is", max_new_tokens=8))
    assert texts[0] == texts[1]


def test_arrays_go_to_the_card_and_back_unchanged():
    arrays = [np.arange(7), np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)]
    tensors = [to_device(a, torch.device("cuda")) for a in arrays]
    assert all(t.is_cuda for t in tensors)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, to_host(*tensors), strict=True))
    assert (free_memory("cuda") or 0) > 0
