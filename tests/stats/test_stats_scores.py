"""Every score against brute force, the closed form, or another library."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.stats import fisher_exact, mannwhitneyu
from sklearn.metrics import roc_auc_score

from emotion_interp.features.dense import contrast_means, neutral_components, project_out
from emotion_interp.stats.corrections import holm
from emotion_interp.stats.scores import (
    bootstrap_composite,
    composite_auroc,
    fisher_enrichment,
    pairwise_auroc,
    specificity,
    standardised_mean_difference,
)


@pytest.fixture
def data(rng):
    codes = np.repeat([0, 1, 2, 3], [6, 5, 7, 9])
    values = np.where(rng.random((27, 8)) < 0.4, rng.random((27, 8)).round(1), 0.0)
    values[codes == 1, 0] += 0.5
    return values, codes


def test_fisher_equals_scipy_table_by_table(data):
    values, codes = data
    fired = values > 0
    p = fisher_enrichment(csr_matrix(fired), codes, 4)
    for c in range(4):
        for f in range(values.shape[1]):
            a, b = fired[codes == c, f], fired[codes != c, f]
            table = [[a.sum(), (~a).sum()], [b.sum(), (~b).sum()]]
            expected = fisher_exact(table, alternative="greater").pvalue
            assert p[c, f] == pytest.approx(expected, abs=1e-12)


def test_trap_one_firing_word_is_no_evidence():
    """The rank-sum test gave p = 5e-10 for a feature that fires on one of eight words; Fisher does not."""
    codes = np.repeat([0, 1], [8, 400])
    fired = np.zeros((408, 1), dtype=bool)
    fired[0] = True
    assert fisher_enrichment(fired, codes, 2)[0, 0] == pytest.approx(8 / 408)


def test_pairwise_auroc_equals_scikit_learn_and_mann_whitney(data):
    values, codes = data
    got = pairwise_auroc(values, codes, 1, 4)
    for c in (0, 2, 3):
        for f in range(values.shape[1]):
            keep = (codes == 1) | (codes == c)
            assert got[c, f] == pytest.approx(roc_auc_score(codes[keep] == 1, values[keep, f]), abs=1e-12)
            u = mannwhitneyu(values[codes == 1, f], values[codes == c, f]).statistic
            assert got[c, f] == pytest.approx(u / ((codes == 1).sum() * (codes == c).sum()), abs=1e-12)
    assert np.isnan(got[1]).all()


def test_pairwise_auroc_in_blocks_is_the_same(data, monkeypatch):
    values, codes = data
    whole = pairwise_auroc(values, codes, 2, 4)
    monkeypatch.setattr("emotion_interp.stats.scores._BLOCK", 1)
    assert np.array_equal(pairwise_auroc(values, codes, 2, 4), whole, equal_nan=True)


def all_pairs(values, codes, target, n_classes):
    """AUROC by comparing every pair."""
    found = np.full((n_classes, values.shape[1]), np.nan)
    for c in set(codes.tolist()) - {target}:
        mine, other = values[codes == target][:, None], values[codes == c][None]
        if len(mine):
            found[c] = ((mine > other) + 0.5 * (mine == other)).mean((0, 1))
    return found


@given(st.integers(0, 10**6), st.sampled_from(["sparse", "signed", "dense", "silent", "one"]))
@settings(max_examples=60, deadline=None)
def test_ranks_equal_the_comparison_of_all_pairs(seed, kind):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    codes = rng.integers(0, 5, n)
    values = rng.normal(size=(n, 4)).round(int(rng.integers(0, 3)))
    values *= {"silent": 0.0, "one": np.arange(n)[:, None] == 0}.get(kind, rng.random(values.shape) < 0.4)
    values = np.abs(values) if kind == "sparse" else values + (kind == "dense")
    for target in range(5):
        expected = all_pairs(values, codes, target, 5)
        for given_ in (values, csr_matrix(values)):
            assert np.allclose(pairwise_auroc(given_, codes, target, 5), expected, atol=1e-12, rtol=0, equal_nan=True)


def test_the_time_of_the_auroc_does_not_grow_with_the_square_of_the_words(rng):
    """20,000 words: all pairs would be 4e8 comparisons a column, and 80 GB in one array."""
    import tracemalloc

    codes = rng.integers(0, 4, 20_000)
    values = csr_matrix(np.where(rng.random((20_000, 40)) < 0.1, rng.random((20_000, 40)), 0))
    tracemalloc.start()
    found = pairwise_auroc(values, codes, 1, 4)
    low, high = bootstrap_composite(values[:, 0].toarray()[:, 0], codes, 1, None, 4, rng, 50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    assert low < np.nanmean(found[:, 0]) < high


def test_large_classes_are_resampled_as_small_ones_are(rng, monkeypatch):
    codes = np.repeat([0, 1, 2], [40, 50, 60])
    values = np.maximum(rng.normal(size=150) + (codes == 0), 0)
    small = bootstrap_composite(values, codes, 0, 2, 3, np.random.default_rng(1), 4000)
    monkeypatch.setattr("emotion_interp.stats.scores._MULTINOMIAL", 0)
    assert np.allclose(bootstrap_composite(values, codes, 0, 2, 3, np.random.default_rng(1), 4000), small, atol=0.01)


def test_composite_is_half_neutral_half_the_mean_of_the_others(data):
    values, codes = data
    pairs = pairwise_auroc(values, codes, 1, 4)
    assert np.allclose(composite_auroc(pairs, 1, 3), 0.5 * pairs[3] + 0.5 * (pairs[0] + pairs[2]) / 2)
    assert np.allclose(composite_auroc(pairs, 1, None), (pairs[0] + pairs[2] + pairs[3]) / 3)


def test_specificity_is_the_worst_emotion_that_is_no_sibling(data):
    values, codes = data
    pairs = pairwise_auroc(values, codes, 1, 4)
    assert np.allclose(specificity(pairs, 1, set(), 3), np.minimum(pairs[0], pairs[2]))
    assert np.allclose(specificity(pairs, 1, {0}, 3), pairs[2])


def test_standardised_mean_difference_by_hand(data):
    values, codes = data
    got = standardised_mean_difference(values, codes, 2)
    a, b = values[codes == 2, 0], values[codes != 2, 0]
    spread = np.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(a) + len(b) - 2))
    assert got[0] == pytest.approx((a.mean() - b.mean()) / spread)
    assert standardised_mean_difference(np.zeros((27, 1)), codes, 2)[0] == 0


def test_the_bootstrap_interval_agrees_with_a_slow_bootstrap(data):
    values, codes = data
    rng = np.random.default_rng(5)
    low, high = bootstrap_composite(values[:, 0], codes, 1, 3, 4, np.random.default_rng(1), 2000)
    slow = []
    for _ in range(600):
        pick = np.concatenate([rng.choice(np.flatnonzero(codes == c), (codes == c).sum()) for c in range(4)])
        # the target is resampled apart from itself as a rival: rows of other classes only are rivals
        pairs = pairwise_auroc(values[pick, :1], codes[pick], 1, 4)
        slow.append(composite_auroc(pairs, 1, 3)[0])
    expected = np.percentile(slow, [2.5, 97.5])
    assert np.allclose([low, high], expected, atol=0.05)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=25)
def test_holm_equals_the_step_down_rule(p):
    p = np.asarray(p)
    got = holm(p)
    for alpha in (0.01, 0.05, 0.3):
        order, rejected = np.argsort(p, kind="stable"), np.zeros(len(p), bool)
        for k, i in enumerate(order):
            if p[i] * (len(p) - k) > alpha:
                break
            rejected[i] = True
        assert np.array_equal(got <= alpha, rejected)


def test_holm_leaves_untested_emotions_out_of_the_family():
    assert np.allclose(holm(np.array([0.01, np.nan, 0.04])), [0.02, np.nan, 0.04], equal_nan=True)


def test_contrast_means_by_hand(rng):
    values, codes = rng.normal(size=(12, 3)), np.repeat([0, 1, 2, 3], 3)
    m = np.stack([values[codes == c].mean(0) for c in range(4)])
    got = contrast_means(values, codes, 4, neutral=3)
    assert np.allclose(got[0], m[0] - 0.5 * (m[1] + m[2]) / 2 - 0.5 * m[3])
    assert np.allclose(contrast_means(values, codes, 4, None)[0], m[0] - (m[1] + m[2] + m[3]) / 3)


def test_neutral_components_hold_at_least_the_share_and_not_one_more(rng):
    """Trap: a PCA threshold reversed keeps the wrong end."""
    neutral = rng.normal(size=(50, 6)) * np.array([9, 4, 2, 1, 0.5, 0.1])
    rows = neutral_components(neutral, 0.9)
    variance = np.linalg.eigvalsh(np.cov(neutral.T))[::-1]
    needed = int(np.searchsorted(np.cumsum(variance) / variance.sum(), 0.9) + 1)
    assert len(rows) == needed
    assert np.allclose(project_out(rows, rows), 0, atol=1e-12)
    assert np.allclose(rows @ rows.T, np.eye(len(rows)))
