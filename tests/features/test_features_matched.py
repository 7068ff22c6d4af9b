"""Lengths, frequencies and places of units, and neutral units matched on them."""

import itertools
import logging

import numpy as np
import pandas as pd
import pytest
import wordfreq
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score

from emotion_interp.core import Stimulus
from emotion_interp.features.design import design_stimuli
from emotion_interp.features.matched import log_frequency, match_neutral, unit_covariates
from emotion_interp.stats.adjusted import adjusted_auroc, quantile_strata, rank_correlation

levels = st.integers(0, 4)


def frame(lengths, frequencies, n_own):
    n = len(lengths)
    return pd.DataFrame(
        {
            "unit": np.arange(n) + 100,
            "language": "en",
            "emotion": ["joy"] * n_own + ["neutral"] * (n - n_own),
            "side": "confirmation",
            "n_tokens": np.asarray(lengths, dtype=float),
            "frequency": np.asarray(frequencies, dtype=float),
        }
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.floats(1, 7)), min_size=6, max_size=6), st.integers(1, 5))
def test_the_matching_has_the_least_cost_of_all_one_to_one_assignments(values, n_own):
    units = frame(*zip(*values, strict=True), n_own)
    pairs = match_neutral(units)
    covariates = units[["n_tokens", "frequency"]].to_numpy()
    spread = covariates.std(0)
    z = (covariates - covariates.mean(0)) / np.where(spread > 0, spread, 1)
    own, neutral = range(n_own), range(n_own, 6)

    def cost(assignment):
        return sum(((z[a] - z[b]) ** 2).sum() for a, b in assignment)

    k = min(len(own), len(neutral))
    best = min(
        cost(zip(chosen, order, strict=True))
        for chosen in itertools.combinations(own, k)
        for order in itertools.permutations(neutral, k)
    )
    found = [(a - 100, b - 100) for a, b in zip(pairs["unit"], pairs["neutral"], strict=True)]
    assert cost(found) == pytest.approx(best, abs=1e-9)
    assert len(pairs) == k and pairs["unit"].is_unique and pairs["neutral"].is_unique


def test_units_of_the_other_half_and_of_other_languages_are_never_matched():
    units = frame([1, 2, 1, 2, 1, 2], [3, 4, 3, 4, 3, 4], 2)
    units.loc[4, "side"] = "discovery"
    units.loc[5, "language"] = "zh"
    pairs = match_neutral(units)
    assert pairs.values.tolist() == [["en", "joy", 100, 102], ["en", "joy", 101, 103]]


def test_a_language_without_neutral_units_or_known_frequencies_still_works():
    assert match_neutral(frame([1, 2], [3, 4], 2)).empty
    pairs = match_neutral(frame([1, 5, 5, 1], [np.nan] * 4, 2))
    assert pairs[["unit", "neutral"]].values.tolist() == [[100, 103], [101, 102]]


def test_frequencies_are_those_of_wordfreq_and_quiet(capfd):
    assert log_frequency("joy", "en") == wordfreq.zipf_frequency("joy", "en")
    assert log_frequency("快乐", "zh") == wordfreq.zipf_frequency("快乐", "zh")
    text = "She ran home, laughing."
    expected = np.mean([wordfreq.zipf_frequency(w, "en") for w in ("she", "ran", "home", "laughing")])
    assert log_frequency(text, "en", whole=False) == pytest.approx(expected)
    assert np.isnan(log_frequency("joy", "tlh"))
    assert "prefix dict" not in "".join(capfd.readouterr())
    assert not logging.getLogger("jieba").filters


def test_covariates_count_tokens_and_places_without_bos(tiny_subject):
    texts = [("The word was gloom", "gloom"), ("Oh gloom", "gloom"), ("The word was joy here", "joy")]
    stimuli = []
    for text, word in texts:
        start = text.index(word)
        stimuli.append(Stimulus(text, (start, start + len(word)), "sadness", word, "t", "en", word))
    words = pd.DataFrame({"unit": [0, 1], "language": "en", "emotion": "sadness", "word": ["gloom", "joy"]})
    got = unit_covariates(tiny_subject, words, stimuli, np.asarray([0, 0, 1]), kind="words", position="last", skip=0)

    def count(text):
        return len(tiny_subject.tokenizer(text, add_special_tokens=False)["input_ids"])

    ends = [count("The word was gloom") - 1, count("Oh gloom") - 1, count("The word was joy") - 1]
    assert got["position"].tolist() == [np.mean(ends[:2]), ends[2]]
    assert got["length"].tolist() == [np.mean([count(t) for t, _ in texts[:2]]), count(texts[2][0])]
    assert got["n_tokens"].tolist() == [count(" gloom"), count(" joy")]
    assert got["frequency"].tolist() == [wordfreq.zipf_frequency(w, "en") for w in ("gloom", "joy")]


def test_covariates_of_texts_are_of_the_whole_text(tiny_subject, small_concepts):
    design = design_stimuli(small_concepts, "scenes", 0)
    got = unit_covariates(
        tiny_subject, design.words, design.stimuli, design.units, kind="scenes", position="text", skip=8
    )
    text = design.stimuli[5].text
    n = min(len(tiny_subject.tokenizer(text, add_special_tokens=False)["input_ids"]), tiny_subject.context - 1)
    assert got.loc[5, ["n_tokens", "length", "position"]].tolist() == [n, n, n - 1]


@settings(max_examples=25, deadline=None)
@given(st.lists(levels, min_size=2, max_size=12), st.lists(levels, min_size=2, max_size=12))
def test_auroc_and_its_error_are_delongs(own, rest):
    auroc, error = adjusted_auroc(np.asarray(own, float)[:, None], np.asarray(rest, float)[:, None])
    wins = np.asarray([[(a > b) + 0.5 * (a == b) for b in rest] for a in own])
    assert auroc[0] == pytest.approx(roc_auc_score([1] * len(own) + [0] * len(rest), own + rest))
    expected = np.sqrt(wins.mean(1).var(ddof=1) / len(own) + wins.mean(0).var(ddof=1) / len(rest))
    assert error[0] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(levels, st.integers(0, 2)), min_size=1, max_size=12),
    st.lists(st.tuples(levels, st.integers(0, 2)), min_size=1, max_size=12),
)
def test_the_adjusted_auroc_compares_within_strata_only(own, rest):
    a, s = np.asarray(own).T
    b, t = np.asarray(rest).T
    auroc, _ = adjusted_auroc(a[:, None].astype(float), b[:, None].astype(float), s, t)
    shares = []
    for value, stratum in own:
        others = [x for x, y in rest if y == stratum]
        if others:
            shares.append(np.mean([(value > x) + 0.5 * (value == x) for x in others]))
    assert auroc[0] == pytest.approx(np.mean(shares)) if shares else np.isnan(auroc[0])


def test_the_lower_bound_covers_the_truth_in_about_95_percent_of_samples(rng):
    from scipy.stats import norm

    from emotion_interp.stats.adjusted import lower_bound

    own, rest = rng.normal(0.8, 1, (40, 4000)), rng.normal(0, 1, (80, 4000))
    strata = np.arange(40) % 4, np.arange(80) % 4
    truth = norm.cdf(0.8 / np.sqrt(2))
    for groups in ((), strata):
        covered = (lower_bound(*adjusted_auroc(own, rest, *groups))[1] < truth).mean()
        assert 0.925 < covered < 0.975


def test_a_feature_that_fires_on_one_unit_of_eight_is_not_above_chance():
    own, rest = np.zeros((8, 1)), np.zeros((200, 1))
    own[0] = 5.0
    auroc, error = adjusted_auroc(own, rest)
    assert auroc[0] == pytest.approx(0.5625) and auroc[0] - 1.645 * error[0] < 0.5


def test_strata_are_the_values_themselves_or_quantile_bins(rng):
    assert quantile_strata(np.asarray([7.0, 3.0, 7.0, 5.0])).tolist() == [2, 0, 2, 1]
    values = rng.random(1000)
    assert np.bincount(quantile_strata(values)).tolist() == [200] * 5
    assert (np.diff(quantile_strata(np.sort(values))) >= 0).all()


def test_rank_correlation_is_spearmans(rng):
    values = np.where(rng.random((30, 4)) < 0.5, rng.random((30, 4)), 0)
    values[:, 3] = 0
    place = rankdata(rng.integers(0, 6, 30)).astype(float)
    got = rank_correlation(values, place)
    for column in range(3):
        assert got[column] == pytest.approx(spearmanr(values[:, column], place).statistic)
    assert got[3] == 0
