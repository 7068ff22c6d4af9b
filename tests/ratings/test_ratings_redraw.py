"""Redrawn outside sets: matched, many at once, and equal to a fit of each alone."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from emotion_interp.core import EmotionInterpError
from emotion_interp.ratings.redraw import redrawn_outside, redrawn_ridge
from emotion_interp.stats.ridge import assign_folds, nested_ridge


@pytest.mark.parametrize("sparse", [False, True])
def test_many_sets_at_once_are_nested_ridge_on_each(sparse: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 30)) * (rng.random((90, 30)) < 0.6) + 2.0
    if sparse:
        x = np.where(x == 2.0, 0.0, x)
        x[:, 4] = 0.0
    y = x[:, :2] @ rng.normal(size=(2, 2)) + rng.normal(size=(90, 2))
    fold = assign_folds(range(90), 6, 0)
    other, other_fold = rng.normal(size=(25, 30)), rng.integers(6, size=25)
    draws = np.stack([np.sort(rng.choice(30, 5, replace=False)) for _ in range(7)])
    given = sp.csr_array(x) if sparse else x
    own, elsewhere = redrawn_ridge(given, y, fold, draws, [(other, other_fold)], alphas=(0.5, 5.0, 50.0))
    for number, columns in enumerate(draws):
        alone = nested_ridge(x[:, columns], y, fold, alphas=(0.5, 5.0, 50.0))
        np.testing.assert_allclose(own[number], alone.predicted, atol=2e-5)
        apart = nested_ridge(
            x[:, columns],
            y,
            fold,
            alphas=(0.5, 5.0, 50.0),
            test_features=other[:, columns],
            test_fold=other_fold,
        )
        np.testing.assert_allclose(elsewhere[number], apart.predicted, atol=2e-5)


def test_draws_are_outside_living_matched_and_differ() -> None:
    rng = np.random.default_rng(0)
    rates = np.exp(rng.normal(-3, 1.5, size=400)).clip(0, 1)
    rates[:50] = 0
    selected = np.arange(60, 80)
    draws = redrawn_outside(rates, selected, 200, seed=1)
    assert draws.shape == (200, 20) and not np.isin(draws, selected).any() and (rates[draws] > 0).all()
    assert all(len(set(draw)) == 20 for draw in draws.tolist())
    assert len({tuple(draw) for draw in draws.tolist()}) > 195
    # every draw fires about as often as the selection
    gap = np.log(rates[draws]).mean(axis=1) - np.log(rates[selected]).mean()
    assert np.abs(gap).max() < 0.3
    np.testing.assert_array_equal(draws, redrawn_outside(rates, selected, 200, seed=1))


def test_too_few_outside_are_all_taken_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="there is one outside set"):
        assert redrawn_outside([0.5, 0.4, 0.3], [0, 1], 3).tolist() == [[2]] * 3
    with pytest.raises(EmotionInterpError, match="n_draws"):
        redrawn_outside([0.5, 0.4, 0.3], [0], 0)
