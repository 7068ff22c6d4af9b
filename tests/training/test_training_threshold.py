"""Thresholds set so that no kind of text fires more latents than wanted: by one factor, on the texts given, once."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.types import Site
from emotion_interp.training import SaeRecipe, train_saes
from emotion_interp.training.sae_threshold import limit_l0

WORDS = [s.text for s in ei.concept_set("en").stimuli(templates=["t0"])]
TEXTS = [" ".join(words) for words in zip(*[iter(WORDS)] * 5, strict=False)]


@pytest.fixture(scope="module")
def trained(tiny_subject, tmp_path_factory):
    out = tmp_path_factory.mktemp("saes") / "saes"
    recipe = SaeRecipe(d_sae=64, k=16, tokens=2048, batch_tokens=128, layers=(0,))
    train_saes(tiny_subject, TEXTS, out, recipe)
    return out


def test_no_kind_of_text_is_denser_than_wanted_and_thresholds_change_by_one_factor(tiny_subject, trained):
    from emotion_interp.training.sae_activations import read_windows, text_windows
    from emotion_interp.training.sae_quality import last_token_activations
    from emotion_interp.training.sae_report import load_quietly, mean_l0

    before = load_file(trained / "layer_0" / "sae_weights.safetensors")
    groups = {"texts": TEXTS, "words": WORDS[:300]}
    factors = limit_l0(tiny_subject, trained, groups, words=["words"], most=6.0)
    after = load_file(trained / "layer_0" / "sae_weights.safetensors")
    assert factors[0] > 1
    ratio = after["threshold"].float() / before["threshold"].float()
    assert ratio.min() == pytest.approx(factors[0], rel=2e-3)
    assert ratio.max() == pytest.approx(factors[0], rel=2e-3)
    assert all((after[name] == before[name]).all() for name in before if name != "threshold")
    sae = load_quietly(trained / "layer_0", "cpu")
    site = Site(0)
    texts = read_windows(tiny_subject, text_windows(tiny_subject, TEXTS, 128), [site])[site]
    words = last_token_activations(tiny_subject, WORDS[:300], [site])[site]
    densest = max(mean_l0(sae, texts), mean_l0(sae, words))
    # half precision moves a threshold by a two-thousandth
    assert 5.5 < densest < 6.2
    again = limit_l0(tiny_subject, trained, groups, words=["words"], most=7.0)
    assert again == {0: 1.0}


def test_wrong_choices_are_refused_before_anything_is_read(tiny_subject, trained):
    with pytest.raises(EmotionInterpError, match="most is a positive number"):
        limit_l0(tiny_subject, trained, {"en": TEXTS}, most=0)
    with pytest.raises(EmotionInterpError, match="which is none of en"):
        limit_l0(tiny_subject, trained, {"en": TEXTS}, words=["es"])
    with pytest.raises(EmotionInterpError, match="no texts of the kind 'en'"):
        limit_l0(tiny_subject, trained, {"en": []})
