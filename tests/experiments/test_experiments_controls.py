"""Controls of a steering figure, each recomputed by the functions they stand beside or by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from emotion_interp.core import Direction, EmotionInterpError, Site, UnknownNameError
from emotion_interp.core.seeds import generator
from emotion_interp.experiments import (
    cross_language,
    dose_response,
    shuffled_directions,
    steering_controls,
    steering_test,
)
from emotion_interp.judges import next_word_probability, next_words
from emotion_interp.steering import row_interventions

WORDS = {"joy": ["happy", "glad"], "sadness": ["sad", "grief"], "anger": ["angry", "furious"]}
CHINESE = {"joy": ["感", "到"], "sadness": ["心", "里"], "anger": ["高", "门"]}
PROMPTS = ["The letter said that she felt", "He was", "The old man"]
CHOICES = pd.DataFrame({"emotion": ["joy", "anger"], "layer": [1, 0], "method": ["sae", "dense"], "dose": [0.4, 0.6]})


@dataclass
class Bank:
    emotions: tuple[str, ...] = tuple(WORDS)
    layers: tuple[int, ...] = (0, 1)
    languages: tuple[str, ...] = ("en", "zh")
    scales: dict[Site, float] = field(default_factory=lambda: {Site(0): 2.0, Site(1): 3.0})
    manifest: dict = field(default_factory=lambda: {"labels": {"en": {"joy": "gladness"}}})
    lacking: tuple[tuple[str, str], ...] = ()

    def site(self, layer):
        return Site(layer)

    def direction(self, emotion, layer, language=None, method="dense"):
        if (emotion, method) in self.lacking:
            raise UnknownNameError("emotion", emotion, ["others"])
        seed = [len(emotion), layer, len(method), ("en", "zh", None).index(language)]
        return Direction(np.random.default_rng(seed).normal(size=16), layer, name=emotion, method=method)

    def held_out_words(self, emotion, language=None):
        return (WORDS if language == "en" else CHINESE)[emotion]


def test_steered_random_and_other_emotions_agree_with_dose_response(subjects):
    subject, bank = subjects["gpt2"], Bank()
    frame = steering_controls(subject, bank, CHOICES, PROMPTS, n_random=9, seed=4).set_index(["emotion", "control"])
    for choice in CHOICES.to_dict("records"):
        grid = dose_response(
            subject,
            bank,
            list(WORDS),
            [choice["dose"]],
            PROMPTS,
            [choice["layer"]],
            choice["method"],
            n_random=9,
            seed=4,
        )
        emotion = choice["emotion"]
        own = grid.table[grid.table["emotion"] == emotion].iloc[0]
        steered = frame.loc[(emotion, "steered")]
        assert np.allclose(
            steered[["shift", "lo", "hi"]].astype(float), own[["shift", "shift_lo", "shift_hi"]].astype(float)
        )
        assert frame.loc[(emotion, "random"), "p"] == pytest.approx(own["p"])
        shifts = grid.confusion[grid.confusion["judged"] == emotion].set_index("emotion")["shift"].drop(emotion)
        # batches of other shapes: float32 logits agree to rounding, as in the first comparison
        assert np.allclose(frame.loc[(emotion, "other emotions"), "shift"], shifts.mean())
        assert frame.loc[(emotion, "strongest other"), "shift"] == pytest.approx(shifts.max())
        assert frame.loc[(emotion, "strongest other"), "which"] == shifts.idxmax()
        assert frame.loc[(emotion, "none"), "shift"] == 0
    # where the emotion's own kind of direction is the dense one, both are the same
    assert frame.loc[("anger", "dense"), "shift"] == pytest.approx(frame.loc[("anger", "steered"), "shift"])
    assert "shuffled" not in frame.index.get_level_values(1)


def test_prompt_control_is_the_judged_shift_after_the_prefix_with_the_emotions_name(subjects):
    subject = subjects["hooked"]
    frame = steering_controls(subject, Bank(), CHOICES[:1], PROMPTS, n_random=2, prefixes=["The {label} was: ", "He "])
    means = [
        next_word_probability(subject, [prefix + p for p in PROMPTS], WORDS)[0, :, 0]
        for prefix in ("The gladness was: ", "He ")
    ]
    plain = next_word_probability(subject, PROMPTS, WORDS)[0, :, 0]
    row = frame[frame["control"] == "prompt"].iloc[0]
    assert row["n"] == 2 and row["shift"] == pytest.approx((np.mean(means, 0) - plain).mean())


def test_text_judge_sees_the_prompt_but_never_the_prefix(subjects):
    seen = []

    class Judge:
        emotions = ("joy", "sadness")

        def predict_proba(self, texts):
            seen.extend(texts)
            return np.full((len(texts), 2), 0.25)

    options = {"judge": Judge(), "max_new_tokens": 2, "n_random": 1, "prefixes": ["Zebra {label}: "]}
    frame = steering_controls(subjects["gpt2"], Bank(), CHOICES[:1], PROMPTS, **options)
    assert (frame["shift"] == 0).all() and len(seen) > 3
    assert all(t.startswith(tuple(PROMPTS)) and "Zebra" not in t for t in seen)


def test_shuffled_directions_are_pushed_at_the_same_length_and_lacking_ones_are_left_out(subjects):
    subject, bank = subjects["gpt2"], Bank(lacking=(("sadness", "sae"),))
    vectors = np.random.default_rng(8).normal(size=(5, 3, 16)) * 40
    frame = steering_controls(subject, bank, CHOICES[:1], PROMPTS, n_random=0, shuffled={Site(1): vectors})
    frame = frame.set_index("control")
    rows = row_interventions(subject, [Direction(v, 1) for v in vectors[:, 0]], 0.4, 3.0)
    answers = next_word_probability(subject, PROMPTS, WORDS, rows)[:, :, 0]
    plain = next_word_probability(subject, PROMPTS, WORDS)[0, :, 0]
    assert frame.loc["shuffled", "shift"] == pytest.approx((answers - plain).mean(), rel=1e-4)
    b = ((answers - plain).mean(1) >= frame.loc["steered", "shift"]).sum()
    assert frame.loc["shuffled", "p"] == pytest.approx((1 + b) / 6)
    assert frame.loc["other emotions", "n"] == 1 and frame.loc["strongest other", "which"] == "anger"
    assert "random" not in frame.index


def test_controls_that_cannot_be_made_are_refused(subjects):
    with pytest.raises(EmotionInterpError, match="choices are rows with"):
        steering_controls(subjects["gpt2"], Bank(), CHOICES[["emotion"]], PROMPTS)
    with pytest.raises(UnknownNameError, match="'fr'"):
        steering_controls(subjects["gpt2"], Bank(), CHOICES, PROMPTS, language="fr")


# -- shuffled labels --------------------------------------------------------------------------------------------------
def test_shuffled_directions_are_differences_of_means_of_permuted_labels(tiny_subject, tiny_bank, small_concepts):
    from emotion_interp.activations import read_stimuli
    from emotion_interp.features.design import design_stimuli

    found = shuffled_directions(tiny_subject, small_concepts, tiny_bank, n=2, seed=5)
    assert {s: v.shape for s, v in found.items()} == dict.fromkeys(tiny_bank.sites, (2, 4, 32))
    design = design_stimuli(small_concepts, "words", 0)
    site = tiny_bank.sites[1]
    dense = read_stimuli(tiny_subject, design.stimuli, design.units, sites=[site], position="last")[site].dense
    here = design.words[(design.words["language"] == "en") & (design.words["side"] == "discovery")]
    values, labels = dense[here["unit"]].astype(float), here["emotion"].to_numpy()
    assert sorted(set(labels)) == ["anger", "fear", "joy", "neutral", "sadness"]
    for i in range(2):
        given = labels[generator(5, "shuffled labels", "en", i).permutation(len(labels))]
        means = {e: values[given == e].mean(0) for e in set(labels)}
        for k, emotion in enumerate(tiny_bank.emotions):
            others = np.mean([means[e] for e in tiny_bank.emotions if e != emotion], 0)
            expected = means[emotion] - 0.5 * others - 0.5 * means["neutral"]
            assert np.allclose(found[site][i, k], expected, atol=1e-5)
    # unpermuted, the recipe is that of the bank
    means = {e: values[labels == e].mean(0) for e in set(labels)}
    own = means["joy"] - 0.5 * np.mean([means[e] for e in tiny_bank.emotions if e != "joy"], 0) - 0.5 * means["neutral"]
    assert np.allclose(tiny_bank.direction("joy", 1, "en", "dense").vector, own, atol=1e-4)
    with pytest.raises(EmotionInterpError, match="n is a number of at least 1, got 0"):
        shuffled_directions(tiny_subject, small_concepts, tiny_bank, n=0)
    with pytest.raises(EmotionInterpError, match="not those the bank was found with"):
        shuffled_directions(tiny_subject, small_concepts, tiny_bank, n=1, stimuli="scenes")


def without_half_of_the_spread(vectors, neutral):
    """Vectors without the fewest leading eigenvectors of the neutral rows' covariance that hold half of its trace."""
    values, axes = np.linalg.eigh(np.cov(neutral.T))
    share = values[::-1].cumsum() / values.sum()
    removed = axes[:, ::-1][:, : int((share < 0.5).sum()) + 1]
    return vectors - vectors @ removed @ removed.T


def test_shuffled_directions_are_cleaned_as_those_that_they_stand_beside(tiny_subject, tiny_bank, small_concepts):
    from emotion_interp.activations import read_stimuli
    from emotion_interp.features.design import design_stimuli

    raw = shuffled_directions(tiny_subject, small_concepts, tiny_bank, n=2, seed=5)
    clean = shuffled_directions(tiny_subject, small_concepts, tiny_bank, n=2, seed=5, method="dense_clean")
    design, site = design_stimuli(small_concepts, "words", 0), tiny_bank.sites[1]
    dense = read_stimuli(tiny_subject, design.stimuli, design.units, sites=[site], position="last")[site].dense
    kept = (design.words["language"] == "en") & (design.words["side"] == "discovery")
    neutral = dense[design.words.loc[kept & (design.words["emotion"] == "neutral"), "unit"]].astype(float)
    np.testing.assert_allclose(clean[site], without_half_of_the_spread(raw[site], neutral), atol=1e-5)
    own = tiny_bank.direction("joy", 1, "en", "dense").vector
    expected = without_half_of_the_spread(own.astype(float), neutral)
    np.testing.assert_allclose(tiny_bank.direction("joy", 1, "en", "dense_clean").vector, expected, atol=1e-4)
    with pytest.raises(UnknownNameError, match="method"):
        shuffled_directions(tiny_subject, small_concepts, tiny_bank, n=1, method="sae")


@pytest.mark.parametrize("method", ["dense", "dense_clean"])
def test_null_directions_of_texts_are_cleaned_as_those_that_they_stand_beside(subjects, method):
    from emotion_interp.directions import random_directions
    from emotion_interp.directions.null_directions import NullTexts

    subject, bank, random = subjects["gpt2"], Bank(), np.random.default_rng(2)
    labels = ("joy", "fear", "neutral") * 10
    texts = NullTexts({Site(1): random.normal(size=(30, 16)) * np.linspace(0.2, 6, 16)}, labels, labels)
    asked = {"n_random": 6, "kinds": ("isotropic", "shuffled"), "stimuli": texts, "seed": 3}
    choice = CHOICES[:1].assign(method=method)
    frame = steering_controls(subject, bank, choice, PROMPTS, **asked).set_index("control")
    units = random_directions(subject, 1, 6, ("isotropic", "shuffled"), 3, texts)["shuffled"].units
    if method == "dense_clean":
        units = without_half_of_the_spread(units, texts.values[Site(1)][2::3])
    rows = row_interventions(subject, [Direction(v, 1) for v in units], 0.4, 3.0)
    shifts = (
        next_word_probability(subject, PROMPTS, WORDS, rows)[:, :, 0]
        - next_word_probability(subject, PROMPTS, WORDS)[0, :, 0]
    )
    assert frame.loc["shuffled", "shift"] == pytest.approx(shifts.mean(), rel=1e-4)
    beaten = (1 + (shifts.mean(1) >= frame.loc["steered", "shift"]).sum()) / 7
    assert frame.loc["shuffled", "p"] == pytest.approx(beaten)
    grid = dose_response(subject, bank, list(WORDS), [0.4], PROMPTS, [1], method, **asked)
    assert grid.table.set_index("emotion").loc["joy", "p_shuffled"] == pytest.approx(beaten)
    both = steering_test(
        subject, bank, list(WORDS), ["It was"], PROMPTS, layers=[1], doses=[0.4], methods=[method], **asked
    )
    means = both.nulls[(both.nulls["emotion"] == "joy") & (both.nulls["kind"] == "shuffled")]["target"]
    np.testing.assert_allclose(np.sort(means), np.sort(shifts.mean(1) + frame.loc["none", "target"]), rtol=1e-3)


def test_null_directions_beside_several_methods_and_doses_are_those_of_each_alone(subjects):
    from emotion_interp.directions.null_directions import NullTexts

    labels = ("joy", "fear", "neutral") * 10
    texts = NullTexts(
        {Site(1): np.random.default_rng(2).normal(size=(30, 16)) * np.linspace(0.2, 6, 16)}, labels, labels
    )
    asked = {"n_random": 4, "kinds": ("isotropic", "shuffled"), "stimuli": texts, "seed": 3}

    def found(*methods):
        more = {"layers": [1], "doses": [0.2, 0.4], "methods": methods, **asked}
        return steering_test(subjects["gpt2"], Bank(), list(WORDS), ["It was"], PROMPTS, **more).nulls

    together = found("dense_clean", "dense")
    for method in ("dense", "dense_clean"):
        alone = found(method)
        mine = together[together["method"] == method]
        np.testing.assert_allclose(mine["target"], alone["target"], rtol=1e-4)
    for kind, same in (("isotropic", True), ("shuffled", False)):
        # joy's dose is the same by both methods
        chosen = together[(together["emotion"] == "joy") & (together["kind"] == kind)].groupby("method")["target"]
        one, other = (values.to_numpy() for _, values in chosen)
        assert np.allclose(one, other, rtol=1e-4) == same


def test_texts_without_neutral_ones_are_said_to_clean_nothing_where_the_bank_is_cleaned(subjects, tiny_bank):
    from emotion_interp.directions import random_directions
    from emotion_interp.directions.null_directions import NullTexts
    from emotion_interp.experiments.nulls import as_the_method

    values = {Site(1): np.random.default_rng(2).normal(size=(20, 16))}
    texts = NullTexts(values, ("joy", "fear") * 10, ("a", "b") * 10)
    drawn = random_directions(subjects["gpt2"], 1, 3, ("isotropic", "shuffled"), 0, texts)
    with pytest.warns(UserWarning, match="without the emotion 'neutral' are not cleaned"):
        assert as_the_method(drawn, "dense_clean", texts, tiny_bank) == drawn
    # a bank without neutral units has nothing cleaned either
    assert as_the_method(drawn, "dense_clean", texts, Bank()) == drawn
    assert as_the_method(drawn, "dense", texts, tiny_bank) == drawn


def test_a_direction_of_nothing_but_what_neutral_texts_vary_in_is_refused(subjects):
    from emotion_interp.directions.null_directions import NullDirections, NullTexts
    from emotion_interp.experiments.nulls import as_the_method

    values = np.zeros((9, 16))
    values[:, 0] = np.arange(9)
    texts = NullTexts({Site(1): values}, ("neutral",) * 9, ("a",) * 9)
    drawn = {"shuffled": NullDirections("shuffled", Site(1), np.eye(16)[:2])}
    with pytest.raises(EmotionInterpError, match="nothing but what the neutral texts vary in"):
        as_the_method(drawn, "dense_clean", texts)


# -- two languages ----------------------------------------------------------------------------------------------------
def test_cross_language_is_the_steering_test_of_every_pair_of_languages(subjects):
    subject, bank = subjects["gpt2"], Bank()
    prompts = {"en": (PROMPTS[:2], PROMPTS[2:]), "zh": (["他打开门"], ["心里感到"])}
    options = {"doses": (0.3, 0.8), "methods": ("dense",), "n_random": 5, "max_new_tokens": 3}
    frame = cross_language(subject, bank, list(WORDS), prompts, **options)
    pairs = frame.groupby(["direction_language", "text_language"])["emotion"].agg(list).to_dict()
    # an emotion none of whose Chinese words is one token is left out of Chinese text
    written = [e for e, ids in next_words(subject, CHINESE, "zh").token_ids.items() if ids]
    assert pairs == {(a, b): (list(WORDS) if b == "en" else written) for a in ("en", "zh") for b in ("en", "zh")}
    assert len(written) >= 2
    expected = steering_test(
        subject, bank, list(WORDS), *prompts["en"], language="zh", words=WORDS, text_language="en", **options
    ).to_frame()
    got = frame[(frame["direction_language"] == "zh") & (frame["text_language"] == "en")]
    assert np.allclose(got["target"].astype(float), expected[expected["chosen"]]["target"].astype(float))
    # the Chinese words are counted in Chinese text: the unsteered probability is theirs
    plain = next_word_probability(subject, prompts["zh"][1], CHINESE, language="zh")[0, 0]
    chinese = frame[frame["text_language"] == "zh"].groupby("emotion")["target_unsteered"].first()
    assert np.allclose(chinese[written], plain[[list(WORDS).index(e) for e in written]])
    with pytest.raises(UnknownNameError, match="'fr'"):
        cross_language(subject, bank, ["joy"], prompts, languages=["en", "fr"])
    with pytest.raises(EmotionInterpError, match="two languages"):
        cross_language(subject, bank, ["joy"], prompts, languages=["en"])
