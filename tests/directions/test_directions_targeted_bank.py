"""Effect-targeted directions of a whole bank: those that the pieces give by hand, and zeros where nothing moves."""

from __future__ import annotations

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.core.seeds import generator
from emotion_interp.directions import fit_effects, measure_effects, targeted_direction, with_targeted_directions

PROMPTS = {"en": ["The letter said", "He felt"], "zh": ["她打开门", "他"]}
OPTIONS = {"prompts": PROMPTS, "n_vectors": 40, "max_new_tokens": 4}


@pytest.fixture(scope="module")
def more(request):
    subject, bank = request.getfixturevalue("tiny_subject"), request.getfixturevalue("tiny_bank")
    return subject, bank, with_targeted_directions(subject, bank, [1], **OPTIONS)


def kept_of(bank, site, emotion=None, language=None):
    frame = bank.features[(bank.features["site"] == str(site)) & (bank.features["selected"] | bank.features["top"])]
    for column, value in (("emotion", emotion), ("language", language)):
        frame = frame if value is None else frame[frame[column] == value]
    return frame


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_direction_is_the_one_that_the_pieces_give(more, language):
    subject, bank, found = more
    site, reader = bank.site(1), subject.readers[bank.site(1)]
    ids = np.unique(kept_of(bank, site)["feature"].to_numpy())
    others = [f for f in range(reader.d_sae) if f not in set(ids.tolist())]
    drawn = generator(0, "vectors", site).permutation(others)[: max(0, 40 - len(ids))]
    rows = reader.decoder_rows(np.concatenate([ids, drawn]).astype(int)).double().numpy()
    measured, names = measure_effects(subject, site, rows, PROMPTS[language], 0.25, max_new_tokens=4, scale=bank.scales)
    effects = fit_effects(site, 0.25, rows, measured, names)
    checked = 0
    for emotion in bank.emotions:
        own = kept_of(bank, site, emotion, language)
        own = own[own["selected"]] if own["selected"].any() else own[own["top"]]
        target = {f: 1 / measured[:, f].std() for f in own["feature"] if measured[:, f].std() > 0}
        if target:
            by_hand = targeted_direction(effects, target).unit
            assert np.allclose(found.direction(emotion, 1, language, "sae_ts").unit, by_hand, atol=1e-5)
            checked += 1
    assert checked


def test_the_bank_itself_stays_as_it_is_and_other_layers_have_none(more):
    _, bank, found = more
    assert "sae_ts" in found.methods and "sae_ts" not in bank.methods
    with pytest.raises(UnknownNameError, match="method"):
        found.direction(bank.emotions[0], 0, "en", "sae_ts")


def test_features_that_nothing_moves_leave_a_row_of_zeros(tiny_subject, tiny_bank):
    # at a dose of next to nothing no text changes
    still = with_targeted_directions(tiny_subject, tiny_bank, [1], ["en"], **{**OPTIONS, "dose": 1e-9})
    assert not still.directions[1, "en", "sae_ts"].any()
    with pytest.raises(EmotionInterpError, match="zero vector"):
        still.direction(tiny_bank.emotions[0], 1, "en", "sae_ts")


def test_wrong_languages_layers_and_subjects_are_refused(tiny_subject, tiny_bank, gpt2, tokenizer):
    with pytest.raises(UnknownNameError, match="language 'fr'.*en, zh"):
        with_targeted_directions(tiny_subject, tiny_bank, [1], ["fr"], **OPTIONS)
    with pytest.raises(UnknownNameError):
        with_targeted_directions(tiny_subject, tiny_bank, [9], **OPTIONS)
    with pytest.raises(EmotionInterpError, match="another|belongs"):
        with_targeted_directions(ei.Subject(gpt2, tokenizer=tokenizer, name="other"), tiny_bank, [1], **OPTIONS)
