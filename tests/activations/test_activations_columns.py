"""Reading chosen latents: the same figures as the full reading, and the tokens they came from."""

import numpy as np
import pytest
import torch

from emotion_interp.activations import read_stimuli, read_tokens
from emotion_interp.activations.columns import read_columns, stimulus_tokens
from emotion_interp.concepts import scene_stimuli
from emotion_interp.core import EmotionInterpError, Site


@pytest.fixture(scope="module")
def words(small_concepts):
    kept = small_concepts.stimuli(languages="en", emotions=["joy", "fear"])
    names = sorted({s.word for s in kept})
    return kept, np.asarray([names.index(s.word) for s in kept])


@pytest.fixture(scope="module")
def scenes():
    kept = scene_stimuli(["en", "zh"], ["joy"])[:40]
    return kept, np.arange(len(kept))


@pytest.mark.parametrize("few", [True, False], ids=["encoded in part", "encoded whole"])
@pytest.mark.parametrize("position", ["last", "span", "text", "end"])
def test_chosen_latents_equal_those_of_the_full_reading(tiny_subject, words, scenes, position, few):
    stimuli, units = scenes if position == "text" else words
    columns = {Site(0): [3, 50, 17], Site(1): [5]} if few else {Site(0): np.arange(100), Site(1): np.arange(128)}
    skip = 4 if position == "text" else 0
    got = read_columns(tiny_subject, stimuli, units, columns, position=position, skip=skip)
    full = read_stimuli(tiny_subject, stimuli, units, position=position, skip=skip)
    for site, ids in columns.items():
        for name in ("features", "fired"):
            expected = getattr(full[site], name).toarray()
            others = np.setdiff1d(np.arange(expected.shape[1]), ids)
            found = getattr(got.sites[site], name).toarray()
            assert np.allclose(found[:, ids], expected[:, ids], atol=1e-4), name
            assert not found[:, others].any()
        assert got.sites[site].scale == pytest.approx(full[site].scale, rel=1e-6)


def test_activation_is_summed_by_token_over_the_tokens_that_are_read(tiny_subject, scenes):
    stimuli, units = scenes
    skip, feature = 4, 20
    got = read_columns(
        tiny_subject, stimuli, units, {Site(0): [feature]}, position="text", skip=skip, token_units=[2, 7]
    )
    table = got.tokens[Site(0)]
    assert set(table["unit"]) <= {2, 7}
    for unit in (2, 7):
        # BOS is left out of both: read_tokens drops it, the reading never picks it
        latents = read_tokens(tiny_subject, stimuli[unit].text).latents[Site(0)][:, feature].double().numpy()
        tokens = tiny_subject.tokenize([stimuli[unit].text])[0]
        ids = tokens.ids[int(tokens.has_bos) :]
        expected: dict[int, float] = {}
        for place in range(skip, len(ids)):
            if latents[place] > 0:
                expected[ids[place]] = expected.get(ids[place], 0.0) + latents[place]
        own = table[table["unit"] == unit]
        assert dict(zip(own["token"], own["total"], strict=True)) == pytest.approx(expected, rel=1e-4)


def test_sinks_are_left_out_as_in_the_full_reading(tiny_subject, scenes, monkeypatch):
    stimuli, units = scenes
    for module in ("reading", "columns"):
        monkeypatch.setattr(f"emotion_interp.activations.{module}.SINK_FACTOR", 1.0)
    got = read_columns(tiny_subject, stimuli, units, {Site(0): np.arange(128)}, position="text", skip=0)
    full = read_stimuli(tiny_subject, stimuli, units, sites=[Site(0)], position="text")
    assert np.allclose(got.sites[Site(0)].features.toarray(), full[Site(0)].features.toarray(), atol=1e-4)


def test_a_site_whose_latents_are_all_silent_gives_an_empty_table(tiny_subject, words):
    stimuli, units = words
    full = read_stimuli(tiny_subject, stimuli, units)[Site(0)].features
    silent = np.flatnonzero(np.asarray(full.sum(0)).ravel() == 0)
    if not len(silent):
        pytest.skip("every latent fires on these words")
    got = read_columns(tiny_subject, stimuli, units, {Site(0): silent})
    assert got.sites[Site(0)].features.nnz == 0 and got.tokens[Site(0)].empty


def test_nothing_to_read_and_a_target_beyond_the_context_are_refused(tiny_subject, words):
    with pytest.raises(EmotionInterpError, match="empty"):
        read_columns(tiny_subject, [], [], {Site(0): [1]})
    stimulus = words[0][0]
    far = type(stimulus)("x " * 200 + "joy", (400, 403), "joy", "joy", "t", "en", "g")
    with pytest.raises(EmotionInterpError, match="beyond the context"):
        stimulus_tokens(tiny_subject, [far], "last", 0)


def test_reading_leaves_gradients_and_mode_alone(tiny_subject, words):
    stimuli, units = words
    before = torch.is_grad_enabled()
    read_columns(tiny_subject, stimuli[:4], units[:4], {Site(0): [1]})
    assert torch.is_grad_enabled() == before
