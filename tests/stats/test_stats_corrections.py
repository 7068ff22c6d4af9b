"""Corrections of a family of tests, each recomputed from its definition."""

from __future__ import annotations

import numpy as np

from emotion_interp.stats import benjamini_hochberg, holm


def p_values(seed: int) -> np.ndarray:
    p = np.random.default_rng(seed).random(20) ** 3
    p[[3, 11]] = np.nan
    p[5] = p[6]
    return p


def test_holm_is_the_step_down_of_its_definition():
    for seed in range(5):
        p = p_values(seed)
        known = np.flatnonzero(np.isfinite(p))
        order = known[np.argsort(p[known], kind="stable")]
        largest = 0.0
        for k, i in enumerate(order):
            largest = max(largest, (len(order) - k) * p[i])
            assert holm(p)[i] == min(1.0, largest)
        assert np.isnan(holm(p)[[3, 11]]).all()


def test_benjamini_hochberg_is_the_step_up_of_its_definition():
    for seed in range(5):
        p = p_values(seed)
        known = np.flatnonzero(np.isfinite(p))
        order = known[np.argsort(p[known], kind="stable")]
        smallest = 1.0
        for k in range(len(order), 0, -1):
            smallest = min(smallest, len(order) / k * p[order[k - 1]])
            assert np.isclose(benjamini_hochberg(p)[order[k - 1]], smallest, rtol=1e-12)
        assert np.isnan(benjamini_hochberg(p)[[3, 11]]).all()


def test_a_family_of_nothing_stays_nothing():
    nothing = np.full(3, np.nan)
    assert np.isnan(holm(nothing)).all() and np.isnan(benjamini_hochberg(nothing)).all()
    assert holm(np.array([])).size == 0 and benjamini_hochberg(np.array([])).size == 0
