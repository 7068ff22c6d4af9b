"""Intervals over emotions and over words: brute-force refits, what they depend on, and that they cover the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import spatial, stats

from emotion_interp.core import EmotionInterpError, NotFiniteError
from emotion_interp.geometry import EmotionSpace, align, principal_components
from emotion_interp.geometry.from_bank import rated_only
from emotion_interp.geometry.resampling import _Words, resampled_components, word_intervals
from emotion_interp.stats.intervals import NO_INTERVAL, jackknife_interval

NAMES = [f"e{i}" for i in range(14)]


def planted(seed: int, noise: float = 1.0, m: int = 8) -> tuple[EmotionSpace, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    ratings = rng.normal(size=(14, 2))
    true = ratings @ np.diag([3, 2]) @ np.linalg.qr(rng.normal(size=(9, 2)))[0].T + 0.5 * rng.normal(size=(14, 9))
    units = np.repeat(true, m, axis=0) + noise * rng.normal(size=(14 * m, 9))
    space = EmotionSpace.from_units(units, np.repeat(NAMES, m).tolist(), layer=2)
    return space, pd.DataFrame(ratings, index=NAMES, columns=["valence", "arousal"])


def test_components_are_fitted_anew_to_every_sample_of_emotions() -> None:
    space, table = planted(0)
    human = table["valence"].to_numpy()
    found = resampled_components(space, 5, 60, seed=3)
    assert found is not None
    base = principal_components(space, 5)
    centred = space.centred
    for row in (0, 1, 5, 20, 40, 70):
        drawn = np.repeat(np.arange(14), found.counts[row].astype(int))
        sample = centred[drawn] - centred[drawn].mean(0)
        loadings = np.linalg.svd(sample, full_matrices=False)[2][:5]
        overlap = loadings @ base.loadings[1]
        best = np.abs(overlap).argmax()
        expected = stats.pearsonr(sample @ loadings[best] * np.sign(overlap[best]), human[drawn])[0]
        inside = np.abs(found.axes[row, 1]).argmax()
        scores = found.points @ found.axes[row, :, inside] * np.sign(found.axes[row, 1, inside])
        assert stats.pearsonr(scores[drawn], human[drawn])[0] == pytest.approx(expected, abs=1e-6), row


def test_interval_over_emotions_surrounds_r_and_widens_with_refitting() -> None:
    space, table = planted(1)
    fit = align(space, table, 9, n_bootstrap=400)
    for part in (fit.valence, fit.arousal):
        assert part is not None and part.ci[0] < part.r < part.ci[1] and part.ci_emotions == part.ci
    assert fit.rsa.ci[0] < fit.rsa.rho < fit.rsa.ci[1] and fit.rsa.ci_emotions == fit.rsa.ci


def test_interval_over_words_shrinks_with_the_noise_of_words_and_with_their_number() -> None:
    def widths(noise: float, m: int) -> list[float]:
        space, table = planted(2, noise, m)
        fit = align(space, table, 9, n_bootstrap=300)
        assert fit.arousal is not None
        parts = (fit.valence, fit.arousal, fit.rsa)
        return [part.ci_words[1] - part.ci_words[0] for part in parts]

    coarse, fine, many = widths(1.5, 6), widths(0.3, 6), widths(1.5, 60)
    assert all(f < c and m < c for f, c, m in zip(fine, coarse, many, strict=True))


def test_statistics_of_resampled_words_are_those_of_align() -> None:
    space, table = planted(3)
    fit = align(space, table, 9, n_bootstrap=0)
    from emotion_interp.geometry.resampling import _Words

    members = [np.flatnonzero(np.asarray(space.unit_emotions) == e) for e in space.emotions]
    from emotion_interp.geometry.rsa import human_dissimilarity, ratings_z

    targets = {name: table[name].to_numpy() for name in ("valence", "arousal")}
    assert fit.arousal is not None
    picked = {"valence": fit.valence.pc - 1, "arousal": fit.arousal.pc - 1}
    words = _Words(space, members, targets, picked, human_dissimilarity(ratings_z(table.to_numpy())), 10)
    found = words.statistics(words.base[None])[0]
    np.testing.assert_allclose(found, [fit.valence.r, fit.arousal.r, fit.rsa.rho], atol=1e-9)
    drawn = words.bootstrap(4000, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    brute = []
    for _ in range(100):
        rows = np.concatenate([rng.choice(m, len(m)) for m in members])
        means = np.stack([space.units[r].mean(0) for r in rows.reshape(14, -1)])
        stretched = space.vectors + np.sqrt(8 / 7) * (means - space.vectors)
        brute.append(align(EmotionSpace(stretched, NAMES), table, 1, n_bootstrap=0).rsa.rho)
    assert np.mean(drawn[:, 2]) == pytest.approx(np.mean(brute), abs=4 * np.std(brute) / np.sqrt(100))
    assert np.std(drawn[:, 2]) == pytest.approx(np.std(brute), rel=0.3)


@pytest.mark.parametrize(("m", "groups"), [(8, 8), (45, 30)])
def test_standard_error_of_rho_over_words_is_the_jackknife_of_whole_alignments(m: int, groups: int) -> None:
    space, table = planted(3, 1.0, m)
    members = [np.flatnonzero(np.asarray(space.unit_emotions) == e) for e in NAMES]
    ratings = table.to_numpy() - table.to_numpy().mean(0)
    human = spatial.distance.pdist(ratings / ratings.std(0))
    words = _Words(space, members, {}, {}, human, 10)
    found = words.jackknife_error(np.random.default_rng(7))
    rng, variance = np.random.default_rng(7), 0.0
    for rows in members:
        z = []
        for left_out in np.array_split(rng.permutation(rows), groups):
            kept = np.setdiff1d(np.arange(len(space.unit_emotions)), left_out)
            smaller = EmotionSpace.from_units(space.units[kept], np.asarray(space.unit_emotions)[kept].tolist())
            smaller = smaller.subset(NAMES)
            centred = smaller.vectors - smaller.vectors.mean(0)
            z.append(np.arctanh(stats.spearmanr(spatial.distance.pdist(centred, "cosine"), human)[0]))
        variance += (groups - 1) / groups * ((np.array(z) - np.mean(z)) ** 2).sum()
    assert found == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_intervals_over_words_cover_the_value_without_noise() -> None:
    covered = {"valence": 0, "rsa": 0}
    runs = 60
    for run in range(runs):
        space, table = planted(run, 1.0)
        true, _ = planted(run, 0.0)
        truth = align(true, table, 1, n_bootstrap=0)
        fit = align(space, table, 1, n_bootstrap=200, seed=run)
        covered["rsa"] += fit.rsa.ci_words[0] <= truth.rsa.rho <= fit.rsa.ci_words[1]
        low, high = sorted(np.abs(fit.valence.ci_words))
        covered["valence"] += low <= abs(truth.valence.r) <= high
    assert min(covered.values()) >= stats.binom.ppf(0.001, runs, 0.93), covered


def test_no_units_no_interval_over_words() -> None:
    space, table = planted(4)
    bare = EmotionSpace(space.vectors, space.emotions)
    fit = align(bare, table, 9, n_bootstrap=100)
    assert np.isnan([*fit.valence.ci_words, *fit.rsa.ci_words]).all() and np.isfinite(fit.rsa.ci).all()
    single = EmotionSpace.from_units(space.vectors, NAMES)
    assert np.isnan(align(single, table, 9, n_bootstrap=100).rsa.ci_words).all()
    assert np.isnan(align(space, table, 9, n_bootstrap=0).rsa.ci_words).all()
    halves = align(space, table, 9, n_bootstrap=100, halves=(bare, bare))
    assert np.isnan(halves.valence.ci_words).all() and np.isfinite(halves.rsa.ci_words).all()
    assert word_intervals(bare, {}, {}, np.zeros(91), 10, 50, 0).rsa is NO_INTERVAL


def test_rows_of_the_frame_hold_both_intervals() -> None:
    space, table = planted(5)
    fit = align(space, table, 9, n_bootstrap=100)
    row = fit.to_frame().iloc[0]
    assert (row["rsa_lo"], row["rsa_hi"]) == fit.rsa.ci
    assert (row["rsa_lo_words"], row["rsa_hi_words"]) == fit.rsa.ci_words
    assert (row["valence_lo_words"], row["valence_hi_words"]) == fit.valence.ci_words


def test_a_space_from_units_is_their_means_and_keeps_them_in_subsets() -> None:
    space, _ = planted(6)
    np.testing.assert_allclose(space.vectors[2], space.units[16:24].mean(0))
    part = rated_only({"x": space}, ["e3", "e1"])["x"]
    assert part.emotions == ("e1", "e3") and part.unit_emotions == ("e1",) * 8 + ("e3",) * 8
    np.testing.assert_array_equal(part.units, np.concatenate([space.units[8:16], space.units[24:32]]))
    with pytest.raises(ValueError, match="read-only"):
        space.units[0, 0] = 1
    shifted = EmotionSpace(space.centred, NAMES, units=space.units, unit_emotions=space.unit_emotions)
    assert shifted.units is space.units


@pytest.mark.parametrize(
    ("units", "emotions", "error", "message"),
    [
        ([[1.0], [2.0]], None, EmotionInterpError, "belong together"),
        ([[1.0], [2.0]], ["a"], EmotionInterpError, "2 units need as many"),
        ([[1.0], [2.0]], "ab", EmotionInterpError, "list of names"),
        ([1.0, 2.0], ["a", "b"], EmotionInterpError, "shape"),
        ([[1.0], [np.inf]], ["a", "b"], NotFiniteError, "units"),
        ([[1.0, 0.0], [2.0, 0.0]], ["a", "b"], EmotionInterpError, "2 dimensions"),
        ([[1.0], [2.0]], ["a", "c"], EmotionInterpError, "b, c"),
        ([[1.0], [9.0]], ["a", "b"], EmotionInterpError, "not the means"),
    ],
)
def test_wrong_units_are_refused(units: list, emotions: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        EmotionSpace([[1.0], [2.0]], ["a", "b"], units=units, unit_emotions=emotions)  # type: ignore[arg-type]
    with pytest.raises(EmotionInterpError, match="no unit belongs to"):
        EmotionSpace.from_units([[1.0], [2.0]], ["a", "b"], emotions=["a", "z"])


def test_jackknife_interval_stays_inside_one_and_needs_three_values() -> None:
    low, high = jackknife_interval(0.98, np.array([0.97, 0.99, 0.985, 0.96]))
    assert -1 < low < 0.98 < high < 1
    assert np.isnan(jackknife_interval(0.5, np.array([0.4, 0.6]))).all()
