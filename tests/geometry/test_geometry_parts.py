"""Emotion space, intervals and single statistics of the geometry room."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import spatial, stats

from emotion_interp.core import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.geometry import EmotionSpace, principal_components, rsa
from emotion_interp.geometry.circumplex import circular_correlation
from emotion_interp.geometry.coordinates import HumanCoordinates
from emotion_interp.geometry.procrustes import nuclear_norms
from emotion_interp.geometry.readout import leave_one_out_operator
from emotion_interp.stats import intervals


@pytest.mark.parametrize(
    ("vectors", "emotions", "error", "message"),
    [
        ([[1.0, 2.0]], ["a"], EmotionInterpError, "at least 2"),
        ([[1.0], [2.0]], ["a", "a"], EmotionInterpError, "more than once: a"),
        ([[1.0], [2.0]], ["a"], EmotionInterpError, "as many emotions"),
        ([1.0, 2.0], ["a", "b"], EmotionInterpError, "shape"),
        ([[1.0], [np.nan]], ["a", "b"], NotFiniteError, "of b"),
        ([[1.0], [1.0]], ["a", "b"], EmotionInterpError, "same vector"),
        ([[1.0], [2.0]], "ab", EmotionInterpError, "list of names"),
    ],
)
def test_broken_spaces_are_refused(vectors: list, emotions: list, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        EmotionSpace(vectors, emotions)


def test_a_space_is_a_read_only_copy_in_double_precision() -> None:
    import torch

    values = torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=torch.bfloat16)
    space = EmotionSpace(values, ["a", "b"], layer=2, language="en")
    values[0, 0] = 9
    assert space.vectors.dtype == np.float64 and space.vectors[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        space.vectors[0, 0] = 5
    assert space.subset(["b", "a"]).vectors[0].tolist() == [3, 5] and space.subset(["b", "a"]).layer == 2
    with pytest.raises(UnknownNameError):
        space.subset(["c"])
    assert space.to_frame().loc["b"].tolist() == [3, 5] and "layer=2" in repr(space)


def test_components_are_those_of_scikit_learn_with_the_largest_score_positive() -> None:
    from sklearn.decomposition import PCA

    space = EmotionSpace(np.random.default_rng(0).normal(size=(9, 5)), list("abcdefghi"))
    found, expected = principal_components(space), PCA(5).fit(space.vectors)
    np.testing.assert_allclose(found.explained, expected.explained_variance_ratio_)
    np.testing.assert_allclose(np.abs(found.scores), np.abs(expected.transform(space.vectors)), atol=1e-9)
    np.testing.assert_allclose(space.centred @ found.loadings.T, found.scores, atol=1e-9)
    assert all(found.scores[np.abs(found.scores[:, k]).argmax(), k] > 0 for k in range(5))
    assert principal_components(space, 2).scores.shape == (9, 2)


def test_components_stop_at_the_rank_of_the_space() -> None:
    line = np.outer(np.arange(6.0), [1.0, 2.0, 3.0])
    assert principal_components(EmotionSpace(line, list("abcdef"))).scores.shape == (6, 1)


def test_bca_interval_equals_scipys_on_the_same_resamples() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=25)
    y = x + rng.normal(size=25)
    low, high = intervals.bca_interval(lambda c: intervals.weighted_correlation(c, x, y), 25, 20_000, seed=0)
    expected = stats.bootstrap(
        (x, y),
        lambda a, b: stats.pearsonr(a, b)[0],
        paired=True,
        vectorized=False,
        method="BCa",
        n_resamples=2_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert low == pytest.approx(expected.low, abs=0.03) and high == pytest.approx(expected.high, abs=0.03)


def test_bca_interval_covers_the_true_correlation() -> None:
    covered = 0
    for run in range(150):
        rng = np.random.default_rng(run)
        x = rng.normal(size=40)
        y = 0.6 * x + 0.8 * rng.normal(size=40)
        statistic = lambda c, x=x, y=y: intervals.weighted_correlation(c, x, y)  # noqa: E731
        low, high = intervals.bca_interval(statistic, 40, 400, seed=run)
        covered += low <= 0.6 <= high
    assert covered >= stats.binom.ppf(0.001, 150, 0.93)


def test_no_bootstrap_no_interval() -> None:
    assert np.isnan(intervals.bca_interval(lambda c: c[:, 0], 5, 0, seed=0)).all()


@settings(max_examples=25, deadline=None)
@given(arrays(np.int8, (6,), elements=st.integers(0, 4)), st.integers(0, 1000))
def test_weighted_correlation_is_the_correlation_of_repeated_rows(counts: np.ndarray, seed: int) -> None:
    assume((counts > 0).sum() >= 3)
    x, y = np.random.default_rng(seed).normal(size=(2, 6))
    expected = np.corrcoef(np.repeat(x, counts), np.repeat(y, counts))[0, 1]
    weights = counts[None].astype(float)
    assert intervals.weighted_correlation(weights, x, y)[0] == pytest.approx(expected)
    assert intervals.weighted_correlation(weights, x[None], y[None])[0] == pytest.approx(expected)


def test_permutation_p_counts_ties_and_the_observed_order() -> None:
    assert intervals.permutation_p(2.0, np.array([1.0, 2.0, 3.0])) == pytest.approx(3 / 4)
    assert intervals.permutation_p(9.0, np.array([1.0, 2.0, 3.0])) == pytest.approx(1 / 4)


def test_permutations_are_permutations_and_seeded() -> None:
    orders = intervals.permutations(7, 50, seed=1)
    assert (np.sort(orders, axis=1) == np.arange(7)).all()
    np.testing.assert_array_equal(orders, intervals.permutations(7, 50, seed=1))
    assert (orders != intervals.permutations(7, 50, seed=2)).any()


def test_rsa_interval_is_the_jackknife_of_spaces_without_each_emotion() -> None:
    rng = np.random.default_rng(4)
    names = list("abcdefghij")
    space, ratings = EmotionSpace(rng.normal(size=(10, 4)), names), rng.normal(size=(10, 2))
    left_out = []
    for i in range(10):
        keep = [k for k in range(10) if k != i]
        z = (ratings[keep] - ratings[keep].mean(0)) / ratings[keep].std(0)
        centred = space.vectors[keep] - space.vectors[keep].mean(0)
        rho = stats.spearmanr(spatial.distance.pdist(centred, "cosine"), spatial.distance.pdist(z))[0]
        left_out.append(np.arctanh(rho))
    z = (ratings - ratings.mean(0)) / ratings.std(0)
    rho = stats.spearmanr(spatial.distance.pdist(space.centred, "cosine"), spatial.distance.pdist(z))[0]
    half = stats.t.ppf(0.975, 9) * np.sqrt(9 * np.var(left_out))
    expected = np.tanh(np.arctanh(rho) - half), np.tanh(np.arctanh(rho) + half)
    np.testing.assert_allclose(rsa.emotion_interval(space, ratings), expected, atol=1e-9)


def test_rsa_interval_is_not_shifted_by_same_emotion_pairs() -> None:
    gaps = []
    for run in range(30):
        rng = np.random.default_rng(run)
        space, ratings = EmotionSpace(rng.normal(size=(12, 2)), list("abcdefghijkl")), rng.normal(size=(12, 2))
        rho = rsa.spearman(rsa.model_dissimilarity(space), rsa.human_dissimilarity(rsa.ratings_z(ratings)))
        gaps.append(np.mean(rsa.emotion_interval(space, ratings)) - rho)
    # pairs of an emotion with itself (distance 0 on both sides) would lift the interval by about .1
    assert abs(np.mean(gaps)) < 0.05


def test_dissimilarities_are_cosine_and_euclidean() -> None:
    rng = np.random.default_rng(0)
    space = EmotionSpace(rng.normal(size=(6, 4)), list("abcdef"))
    np.testing.assert_allclose(rsa.model_dissimilarity(space), spatial.distance.pdist(space.centred, "cosine"))
    points = rng.normal(size=(6, 2))
    np.testing.assert_allclose(rsa.human_dissimilarity(points), spatial.distance.pdist(points))


def test_a_vector_at_the_mean_is_neither_alike_nor_unlike() -> None:
    space = EmotionSpace([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], ["a", "b", "c"])
    np.testing.assert_allclose(rsa.model_dissimilarity(space), [1, 1, 2])


def test_rating_agreement_of_two_groups_of_raters_falls_with_noise_and_needs_sd() -> None:
    rng = np.random.default_rng(0)
    valence, arousal = rng.uniform(1, 9, (2, 15))

    def human(error: float | None) -> HumanCoordinates:
        errors = None if error is None else np.full(15, error)
        names = tuple(str(i) for i in range(15))
        return HumanCoordinates(names, names, valence, arousal, errors, errors, ())

    exact, fine, coarse = (rsa.rating_agreement(human(e), 0) for e in (1e-9, 0.3, 1.5))
    assert exact == pytest.approx(1) and fine is not None and coarse is not None and 1 > fine > coarse > 0
    assert rsa.rating_agreement(human(None), 0) is None


def test_circular_correlation_equals_the_sum_over_pairs() -> None:
    a, b = np.random.default_rng(0).uniform(-np.pi, np.pi, (2, 11))
    i, j = np.triu_indices(11, 1)
    one, two = np.sin(a[i] - a[j]), np.sin(b[i] - b[j])
    expected = (one * two).sum() / np.sqrt((one**2).sum() * (two**2).sum())
    assert circular_correlation(a[None], b)[0] == pytest.approx(expected)
    assert circular_correlation(a[None] + 1.3, b)[0] == pytest.approx(expected)
    assert circular_correlation(-a[None], b)[0] == pytest.approx(-expected)
    assert circular_correlation(np.zeros((1, 11)), b)[0] == 0


@settings(max_examples=25, deadline=None)
@given(arrays(np.float64, (2, 2), elements=st.floats(-10, 10)))
def test_nuclear_norm_is_the_sum_of_singular_values(matrix: np.ndarray) -> None:
    expected = np.linalg.svd(matrix, compute_uv=False).sum()
    assert nuclear_norms(matrix[None])[0] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(5, 12), d=st.integers(1, 20), ridge=st.floats(0.05, 20), seed=st.integers(0, 1000))
def test_leave_one_out_operator_equals_refitting(n: int, d: int, ridge: float, seed: int) -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(seed)
    space = EmotionSpace(rng.normal(size=(n, d)), [str(i) for i in range(n)])
    y = rng.normal(size=n)
    alpha = ridge * (space.centred**2).sum() / (n - 1)
    expected = []
    for i in range(n):
        keep = np.arange(n) != i
        expected.append(Ridge(alpha=alpha).fit(space.vectors[keep], y[keep]).predict(space.vectors[i : i + 1])[0])
    np.testing.assert_allclose(leave_one_out_operator(space, ridge) @ y, expected, atol=1e-8)
