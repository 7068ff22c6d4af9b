"""Effect-targeted steering: a planted linear model is found again, and effects are those of text really written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.core import EmotionInterpError, Site, UnknownNameError
from emotion_interp.core.errors import NotFiniteError
from emotion_interp.directions import SteeringEffects, fit_effects, measure_effects, targeted_direction
from emotion_interp.steering import steer
from emotion_interp.subjects.generation import decode

NAMES = ("a", "b", "c")


def planted(seed, noise=0.0, n=120, d=12):
    random = np.random.default_rng(seed)
    weights, bias = random.normal(size=(d, 3)), random.normal(size=3)
    vectors = random.normal(size=(n, d)) * random.uniform(0.1, 9, size=(n, 1))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, units @ weights + bias + noise * random.normal(size=(n, 3)), weights, bias


def test_a_planted_linear_model_is_found_whatever_the_vectors_lengths():
    vectors, effects, weights, bias = planted(0)
    found = fit_effects(Site(1), 0.3, vectors, effects, NAMES)
    assert np.allclose(found.weights, weights, atol=0.02) and np.allclose(found.bias, bias, atol=0.02)
    assert (found.r2 > 0.999).all()


def test_effects_without_any_rule_have_no_r2_out_of_sample():
    vectors, _, _, _ = planted(1)
    noise = np.random.default_rng(2).normal(size=(120, 3))
    noise[:, 2] = 0.5
    found = fit_effects(Site(1), 0.3, vectors, noise, NAMES)
    assert (found.r2[:2] < 0.1).all() and np.isnan(found.r2[2])
    assert np.abs(found.weights[:, :2]).max() < 0.3


@given(st.integers(0, 500))
@settings(max_examples=20)
def test_without_bias_and_side_effects_no_direction_is_predicted_to_do_more(seed):
    random = np.random.default_rng(seed)
    effects = SteeringEffects(Site(0), 0.2, NAMES, random.normal(size=(8, 3)), random.normal(size=3), np.zeros(3))
    best = targeted_direction(effects, "b", bias_weight=0)
    others = random.normal(size=(400, 8))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert effects.predict(best.unit[None])[0, 1] >= effects.predict(others)[:, 1].max() - 1e-6
    apart = targeted_direction(effects, "b", ["a", "c"], bias_weight=0)
    moved = effects.predict(apart.unit[None])[0] - effects.bias
    assert np.allclose(moved[[0, 2]], 0, atol=1e-5) and moved[1] > 0
    # among directions that leave the side effects alone, none is predicted to do more
    basis = np.linalg.svd(effects.weights[:, [0, 2]], full_matrices=False)[0]
    free = others - others @ basis @ basis.T
    free /= np.linalg.norm(free, axis=1, keepdims=True)
    assert moved[1] + effects.bias[1] >= effects.predict(free)[:, 1].max() - 1e-5


def test_the_direction_is_the_papers_formula():
    _, _, weights, bias = planted(3)
    effects = SteeringEffects(Site(2), 0.2, NAMES, weights, bias, np.zeros(3))
    got = targeted_direction(effects, {"a": 2.0, "c": -1.0}, name="mix")
    towards, common = weights @ [2.0, 0.0, -1.0], weights @ bias
    expected = towards / np.linalg.norm(towards) - common / np.linalg.norm(common)
    assert np.allclose(got.vector, expected, atol=1e-6)
    assert got.site == Site(2) and got.method == "targeted" and got.name == "mix"
    predicted = effects.predict(got.unit[None])[0] @ [2.0, 0.0, -1.0]
    assert got.provenance["predicted"] == pytest.approx(predicted, abs=1e-5)


def test_what_cannot_be_targeted_is_refused():
    vectors, effects, weights, bias = planted(4)
    fitted = SteeringEffects(Site(0), 0.2, NAMES, weights, bias, np.zeros(3))
    with pytest.raises(UnknownNameError, match="'joy'"):
        targeted_direction(fitted, "joy")
    with pytest.raises(EmotionInterpError, match="no effect of its own"):
        targeted_direction(fitted, "a", ["a", "b"])
    with pytest.raises(EmotionInterpError, match="side_weight"):
        targeted_direction(fitted, "a", side_weight=2)
    with pytest.raises(EmotionInterpError, match="ten vectors"):
        fit_effects(Site(0), 0.2, vectors[:5], effects[:5], NAMES)
    with pytest.raises(NotFiniteError):
        fit_effects(Site(0), 0.2, vectors, effects * np.nan, NAMES)
    with pytest.raises(EmotionInterpError, match="length 0"):
        fit_effects(Site(0), 0.2, vectors * 0, effects, NAMES)


def test_feature_effects_are_mean_activations_of_the_written_tokens_read_unsteered(tiny_subject):
    import torch

    from emotion_interp.core import Direction

    site, prompts = Site(1), ["He was", "She felt the sea"]
    vectors = np.random.default_rng(6).normal(size=(2, 32))
    effects, names = measure_effects(tiny_subject, site, vectors, prompts, dose=0.8, max_new_tokens=5, scale=4.0)
    reader = tiny_subject.readers[site]
    assert effects.shape == (2, reader.d_sae) and names[7] == "7"
    ids = [list(t.ids) for t in tiny_subject.tokenize(prompts)]

    def mean(vector):
        if vector is None:
            made = decode(tiny_subject, ids, 5)
        else:
            with steer(tiny_subject, Direction(vector, 1), 0.8, "from_last_prompt_token", scale=4.0):
                made = decode(tiny_subject, ids, 5)
        latents = []
        for prompt, new in zip(ids, made.tokens, strict=True):
            with torch.no_grad():
                _, cache = tiny_subject.model.run_with_cache(torch.tensor([[*prompt, *new]]))
            latents.append(reader.encode(cache[site.hook_name][0, len(prompt) :]).double().numpy())
        return np.concatenate(latents).mean(0)

    base = mean(None)
    assert np.allclose(effects, [mean(v) - base for v in vectors], atol=1e-5) and np.abs(effects).max() > 0


def test_judged_effects_are_the_judges_mean_shifts(subjects):
    class Judge:
        emotions = ("joy", "fear")

        def predict_proba(self, texts):
            return np.asarray([[t.count("a") / 50, len(t) / 500] for t in texts])

    vectors = np.eye(16)[:3]
    effects, names = measure_effects(
        subjects["gpt2"], Site(0), vectors, ["He was"], 2.0, judge=Judge(), max_new_tokens=6, scale=2.0
    )
    assert names == ("joy", "fear") and effects.shape == (3, 2) and np.abs(effects).max() > 0
    with pytest.raises(EmotionInterpError, match="list of at least one text"):
        measure_effects(subjects["gpt2"], Site(0), vectors, "He was", judge=Judge())
