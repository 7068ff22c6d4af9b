"""Linear discriminants: against scikit-learn, and what their weights and shrinkage must do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_interp.stats.discriminant import discriminant, whitened


def sample(rng, n=40, d=6, classes=3):
    codes = np.repeat(np.arange(classes), n)
    return rng.normal(size=(len(codes), d)) * np.arange(1, d + 1) + 2 * rng.normal(size=(classes, d))[codes], codes


def test_without_shrinkage_the_scores_are_those_of_scikit_learn(rng):
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    values, codes = sample(rng)
    weights, bias = discriminant(values, codes, 3, 0.0)
    model = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3).fit(values, codes)
    ours = values @ weights.T + bias
    theirs = model.decision_function(values)
    # scikit-learn divides the covariance by n, not by n - classes
    factor = len(values) / (len(values) - 3)
    np.testing.assert_allclose((ours - ours[:, :1]) * factor, theirs - theirs[:, :1], rtol=1e-6, atol=1e-8)


def test_a_weight_of_two_is_the_sample_twice(rng):
    values, codes = sample(rng)
    twice = np.r_[np.arange(len(values)), np.arange(10)]
    weights = np.where(np.arange(len(values)) < 10, 2.0, 1.0)
    one, other = discriminant(values, codes, 3, 0.4, weights), discriminant(values[twice], codes[twice], 3, 0.4)
    # the correlations are the same; the spread counts one sample for each row
    scores = [values @ w.T + b for w, b in (one, other)]
    ratio = scores[0] / scores[1]
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-8)


def test_a_coordinate_without_spread_counts_for_nothing(rng):
    values, codes = sample(rng)
    weights, _ = discriminant(np.c_[values, np.full(len(values), 7.0)], codes, 3, 0.5)
    assert np.isfinite(weights).all() and not weights[:, -1].any()


@given(st.integers(0, 2**31), st.floats(0.05, 1.0))
def test_scores_on_the_background_have_mean_nought_and_spread_one(seed, shrinkage):
    rng = np.random.default_rng(seed)
    background = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)) + 3
    weights, bias = whitened(rng.normal(size=(2, 4)), background, shrinkage)
    scores = background @ weights.T + bias
    assert scores.mean(0) == pytest.approx(0, abs=1e-6) and scores.std(0) == pytest.approx(1, abs=1e-6)
