"""Figures of SAEs on held-out groups: recomputed by brute force, exact at the extremes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.training.sae_quality import SaeQuality, sae_quality

TEXTS = [
    " ".join(words)
    for words in zip(*[iter(ei.concept_set("en").words("joy") + ei.concept_set("en").words("fear"))] * 4)
]
WORDS = [s.text for s in ei.concept_set("en").stimuli(templates=["t0"], emotions=["joy"])]


@pytest.fixture(scope="module")
def quality(tiny_subject):
    return sae_quality(tiny_subject, {"en": TEXTS, "en words": WORDS}, words=["en words"])


def test_figures_equal_a_loop_over_single_texts(tiny_subject, quality):
    frame = quality.to_frame()
    for site in tiny_subject.sites:
        sae, rows = tiny_subject.saes[site], []
        for text in WORDS:
            ids = torch.tensor([list(tiny_subject.tokenize([text])[0].ids)])
            with torch.no_grad():
                _, cache = tiny_subject.model.run_with_cache(ids, names_filter=[site.hook_name])
            rows.append(cache[site.hook_name][0, -1])
        x = torch.stack(rows).double().numpy()
        with torch.no_grad():
            latents = sae.encode(torch.stack(rows))
            rebuilt = sae.decode(latents).double().numpy()
        row = frame[(frame["site"] == str(site)) & (frame["group"] == "en words")].iloc[0]
        error, variance = ((x - rebuilt) ** 2).sum(0), ((x - x.mean(0)) ** 2).sum(0)
        assert row["ev"] == pytest.approx(1 - error.sum() / variance.sum(), abs=1e-4)
        assert row["ev_standardized"] == pytest.approx(1 - (error / variance).mean(), abs=1e-4)
        assert row["l0"] == pytest.approx(float((latents > 0).sum(1).double().mean()))
        assert row["tokens"] == len(WORDS)
        assert np.isnan(row["ce_recovered"])


class _Perfect(torch.nn.Module):
    """An SAE that rebuilds its input: latents are the positive and the negative part."""

    def encode(self, x):
        return torch.cat([x.relu(), (-x).relu()], -1)

    def decode(self, latents):
        positive, negative = latents.chunk(2, -1)
        return positive - negative


def test_a_perfect_sae_recovers_all_of_the_loss_and_zeros_recover_none(tiny_subject):
    from emotion_interp.training.sae_quality import _cross_entropy, _splice

    site = tiny_subject.sites[-1]
    windows = tiny_subject.tokenize(TEXTS)
    plain = _cross_entropy(tiny_subject, windows, [])
    perfect = _cross_entropy(tiny_subject, windows, [(site.hook_name, _splice(_Perfect(), 1e9))])
    zero = _cross_entropy(tiny_subject, windows, [(site.hook_name, _splice(None, 1e9))])
    assert perfect == pytest.approx(plain, abs=1e-5)
    assert abs(zero - plain) > 1e-3
    rows = [torch.tensor([list(w.ids)]) for w in windows]
    with torch.no_grad():
        by_hand = [
            torch.nn.functional.cross_entropy(
                tiny_subject.model(ids, return_type="logits")[0, :-1], ids[0, 1:], reduction="none"
            )
            for ids in rows
        ]
    assert plain == pytest.approx(float(torch.cat(by_hand).mean()), abs=1e-5)


def test_the_picture_has_a_line_for_each_group(quality):
    groups = set(quality.frame["group"])
    assert {str(trace.name).split(",")[0] for trace in quality.plot().data} >= groups
    assert set(quality.by_layer()["group"]) == groups


def test_shortfalls_name_site_and_group(quality):
    assert isinstance(quality, SaeQuality)
    assert any("en words" in line for line in quality.shortfalls())


def test_an_empty_group_and_an_unknown_name_are_refused(tiny_subject):
    with pytest.raises(EmotionInterpError, match="no text"):
        sae_quality(tiny_subject, {"en": [" "]})
    with pytest.raises(EmotionInterpError, match="none of the groups"):
        sae_quality(tiny_subject, {"en": TEXTS}, words=["zh words"])
