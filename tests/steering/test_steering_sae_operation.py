"""SAE operations change features by their decoder rows; the reconstruction error never enters."""

from __future__ import annotations

import numpy as np
import pytest

from emotion_interp.core import EmotionInterpError, Site, UnknownNameError, UnsupportedError
from emotion_interp.steering import sae_operation
from emotion_interp.subjects import Subject
from emotion_interp.subjects.generation import decode


def an_sae(site: Site, norm: str = "none"):
    import torch
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    config = StandardSAEConfig(
        d_in=16,
        d_sae=24,
        dtype="float32",
        device="cpu",
        normalize_activations=norm,
        metadata=SAEMetadata(hook_name=site.hook_name),
    )
    sae = StandardSAE(config)
    torch.manual_seed(4)
    for parameter in sae.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    return sae.eval()


@pytest.fixture(scope="module")
def with_saes(subjects, tokenizer):
    return {
        name: Subject(subjects[name].model, [an_sae(Site(1)), an_sae(Site(2), "layer_norm")], tokenizer)
        for name in ("gpt2", "hooked")
    }


def streams(subject, ids, op=None, **options):
    import torch

    with torch.no_grad():
        if op is None:
            return subject.model.run_with_cache(torch.tensor([ids]))[1]["blocks.1.hook_resid_post"][0]
        with sae_operation(subject, 1, [3, 17], op, positions="all_with_bos", **options):
            return subject.model.run_with_cache(torch.tensor([ids]))[1]["blocks.1.hook_resid_post"][0]


@pytest.mark.parametrize("name", ["gpt2", "hooked"])
@pytest.mark.parametrize("op", ["add", "clamp", "delta_clamp", "clamp_active", "conditional_clamp", "ablate"])
def test_an_operation_moves_the_stream_along_decoder_rows_only(with_saes, name, op):
    subject = with_saes[name]
    ids = list(subject.tokenize(["The old man was sad and calm"])[0].ids)
    before = streams(subject, ids)
    after = streams(subject, ids, op, value=[1.5, 0.5])
    sae = subject.saes[Site(1)]
    features = sae.encode(before)[:, [3, 17]].detach().numpy()
    assert (features > 0).any()
    value = np.array([1.5, 0.5])
    goal = {
        "add": features + value,
        "clamp": np.broadcast_to(value, features.shape),
        "delta_clamp": np.broadcast_to(value, features.shape),
        "clamp_active": np.where(features > 0, value, features),
        "conditional_clamp": np.where(features > 0, value, features),
        "ablate": np.zeros_like(features),
    }[op]
    expected = before.numpy() + (goal - features) @ sae.W_dec[[3, 17]].detach().numpy()
    assert np.abs(after.numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("name", ["gpt2", "hooked"])
def test_a_conditional_clamp_acts_above_its_threshold_only_and_a_schedule_fades_it(with_saes, name):
    subject = with_saes[name]
    ids = list(subject.tokenize(["The old man was sad and calm"])[0].ids)
    before, sae = streams(subject, ids), subject.saes[Site(1)]
    features = sae.encode(before)[:, [3, 17]].detach().numpy()
    threshold = 0.99 * float(features.max())
    after = streams(subject, ids, "conditional_clamp", value=4.0, threshold=threshold, schedule=lambda n: 1 / (n + 1))
    delta = np.where(features > threshold, 4.0 - features, 0.0) / (np.arange(len(ids)) + 1)[:, None]
    assert (delta != 0).any() and (delta == 0).any()
    expected = before.numpy() + delta @ sae.W_dec[[3, 17]].detach().numpy()
    assert np.abs(after.numpy() - expected).max() < 1e-5


def test_adding_nothing_changes_nothing_and_the_error_term_stays(with_saes):
    subject = with_saes["gpt2"]
    ids = list(subject.tokenize(["She was"])[0].ids)
    assert np.allclose(streams(subject, ids, "add", value=0.0), streams(subject, ids), atol=1e-7)


def test_operations_are_the_same_with_and_without_cache_and_leave_no_hook(with_saes, hooks_on):
    for subject in with_saes.values():
        rows, before = [list(t.ids) for t in subject.tokenize(["The letter said", "She was"])], hooks_on(subject)
        with sae_operation(subject, 1, 3, "clamp", 4.0, positions="generated"):
            cached = decode(subject, rows, 4, return_logits=True)
            plain = decode(subject, rows, 4, return_logits=True, use_past_kv_cache=False)
        assert max(float((a - b).abs().max()) for a, b in zip(cached.logits, plain.logits, strict=True)) < 1e-4
        assert hooks_on(subject) == before


def test_what_cannot_be_operated_on_is_refused(with_saes):
    subject = with_saes["gpt2"]
    cases = [
        ((0, 3), {}, UnknownNameError, "SAE"),
        ((1, 99), {}, UnknownNameError, "feature"),
        ((1, []), {}, EmotionInterpError, "whole numbers"),
        ((1, 3), {"op": "clamp_active", "threshold": -1.0}, EmotionInterpError, "threshold"),
        ((1, 3), {"op": "boost"}, UnknownNameError, "operation"),
        ((1, [3, 4]), {"value": [1.0, 2.0, 3.0]}, EmotionInterpError, "finite number"),
        ((1, 3), {"value": float("nan")}, EmotionInterpError, "finite number"),
        ((2, 3), {}, UnsupportedError, "rescales"),
    ]
    for arguments, options, error, message in cases:
        with pytest.raises(error, match=message), sae_operation(subject, *arguments, **options):
            pass
