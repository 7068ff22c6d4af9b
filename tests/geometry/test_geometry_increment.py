"""What a space adds to the texts: partial RSA and incremental read-out, recomputed and with planted truths."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError
from emotion_interp.geometry.gain import PENALTIES, readout_gain
from emotion_interp.geometry.increment import partial_rsa, weighted_ranks
from emotion_interp.geometry.rsa import human_dissimilarity, model_dissimilarity
from emotion_interp.stats.intervals import permutations


def spaces(seed: int, n: int = 40, extra: float = 0.0, copy: bool = True):
    """Text, model (the text with noise, or nothing of it; with `extra` also a part of the ratings that the text lacks)
    and ratings, half of which the text knows."""
    rng = np.random.default_rng(seed)
    text, unknown = rng.normal(size=(n, 12)), rng.normal(size=n)
    valence, arousal = text[:, 0] + unknown, text[:, 1] + rng.normal(size=n)
    model = (text if copy else 0) + 0.5 * rng.normal(size=(n, 12))
    model[:, 5] += extra * unknown
    names = [f"e{i}" for i in range(n)]
    norms = pd.DataFrame({"emotion": names, "valence": valence, "arousal": arousal})
    return ei.EmotionSpace(model, names), ei.EmotionSpace(text, names, kind="text"), norms


def distances(model, text, norms):
    z = stats.zscore(norms[["valence", "arousal"]].to_numpy())
    return model_dissimilarity(model), model_dissimilarity(text), human_dissimilarity(z)


def test_partial_rsa_is_the_partial_correlation_of_the_ranks():
    model, text, norms = spaces(0)
    fit = ei.text_increment(model, text, norms, n_permutations=9, n_bootstrap=0)
    x, t, y = (stats.rankdata(d) for d in distances(model, text, norms))
    left = [v - np.polyval(np.polyfit(t, v, 1), t) for v in (x, y)]
    assert fit.rsa.rho == pytest.approx(stats.pearsonr(*left)[0], abs=1e-9)
    assert fit.rsa.total == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-9)
    left = [v - np.polyval(np.polyfit(x, v, 1), x) for v in (t, y)]
    assert fit.text_rsa.rho == pytest.approx(stats.pearsonr(*left)[0], abs=1e-9)


def test_partial_rsa_null_reorders_what_the_text_leaves_over():
    model, text, norms = spaces(1, n=9)
    x, t, y = (stats.rankdata(d) for d in distances(model, text, norms))
    orders = permutations(9, 50, 0)
    fit = partial_rsa(*distances(model, text, norms), orders, 0, 0)
    left_x, left_y = (v - np.polyval(np.polyfit(t, v, 1), t) for v in (x, y))
    square = np.zeros((9, 9))
    square[np.triu_indices(9, 1)] = left_y
    square += square.T
    null = []
    for order in orders:
        moved = square[np.ix_(order, order)][np.triu_indices(9, 1)]
        moved = moved - np.polyval(np.polyfit(t, moved, 1), t)
        null.append(stats.pearsonr(left_x, moved)[0])
    assert fit.p == (np.sum(np.array(null) >= stats.pearsonr(left_x, left_y)[0]) + 1) / 51


def test_bootstrap_ranks_are_those_of_the_sample_without_pairs_of_one_emotion():
    model, text, norms = spaces(2, n=6)
    x = distances(model, text, norms)[0]
    counts = np.array([2, 0, 1, 1, 3, 0])
    first, second = np.triu_indices(6, 1)
    weights = counts[first] * counts[second]
    ranks = weighted_ranks(x, weights[None].astype(float))[0]
    drawn = np.repeat(np.arange(6), counts)
    a, b = np.triu_indices(len(drawn), 1)
    kept = drawn[a] != drawn[b]
    pair = {tuple(sorted(p)): i for i, p in enumerate(zip(first, second, strict=True))}
    sample = np.array([pair[tuple(sorted(p))] for p in zip(drawn[a[kept]], drawn[b[kept]], strict=True)])
    expected = stats.rankdata(x[sample]) - 0.5
    np.testing.assert_allclose(ranks[sample], expected)


def test_readout_is_kernel_ridge_on_both_with_penalties_of_their_own():
    model, text, norms = spaces(3, n=20)
    y = norms["valence"].to_numpy()
    gain = readout_gain(model, text, y, permutations(20, 1, 0), 0, folds=20)
    found = {}
    for name, grid in {
        "text_r": [(a, np.inf) for a in PENALTIES],
        "model_r": [(np.inf, b) for b in PENALTIES],
        "both_r": [(a, b) for a in (*PENALTIES, np.inf) for b in (*PENALTIES, np.inf) if min(a, b) < np.inf],
    }.items():
        predicted = np.empty(20)
        for out in range(20):
            train = np.delete(np.arange(20), out)
            parts = []
            for space in (text, model):
                centred = space.vectors - space.vectors[train].mean(axis=0)
                parts.append(centred / np.sqrt((centred[train] ** 2).sum() / 18))

            def design(rows, a, b, parts=parts):
                return np.hstack([parts[0][rows] / np.sqrt(a), parts[1][rows] / np.sqrt(b)])

            def fit(rows, held, a, b, design=design):
                # ridge in the primal form, with an intercept that is not penalised
                x, mean = design(rows, a, b), y[rows].mean()
                centre = x.mean(axis=0)
                beta = np.linalg.solve(
                    (x - centre).T @ (x - centre) + np.eye(x.shape[1]), (x - centre).T @ (y[rows] - mean)
                )
                return (design(held, a, b) - centre) @ beta, mean

            def loo(a, b, train=train, fit=fit):
                return sum((y[i] - sum(fit(train[train != i], np.array([i]), a, b))[0]) ** 2 for i in train)

            best = min(grid, key=lambda g, loo=loo: loo(*g))
            predicted[out] = fit(train, np.array([out]), *best)[0][0]
        found[name] = stats.pearsonr(predicted, y)[0]
    for name, value in found.items():
        assert getattr(gain, name) == pytest.approx(value, abs=1e-6)
    assert gain.gain == pytest.approx(found["both_r"] - found["text_r"], abs=1e-6)
    assert gain.text_gain == pytest.approx(found["both_r"] - found["model_r"], abs=1e-6)


def test_a_noisy_copy_of_the_text_adds_nothing_and_more_than_the_text_adds_something():
    copies = [ei.text_increment(*spaces(s), n_permutations=1, n_bootstrap=0) for s in range(20)]
    assert abs(np.mean([f.rsa.rho for f in copies])) < 0.02
    assert abs(np.mean([f.valence.gain for f in copies])) < 0.03
    more = ei.text_increment(*spaces(0, extra=4.0), n_permutations=199, n_bootstrap=200)
    assert more.rsa.p <= 0.01 and more.rsa.ci[0] > 0
    assert more.valence.gain > 0.2 and more.valence.gain_p <= 0.02 and more.valence.gain_ci[0] > 0
    # what it adds to valence it does not add to arousal
    assert abs(more.arousal.gain) < 0.1
    # and the text still adds to it what it knows by itself
    assert more.valence.text_gain < more.valence.gain


@pytest.mark.parametrize("copy", [True, False])
def test_increments_are_calibrated_where_the_model_knows_the_text_or_nothing(copy):
    runs = 200
    found = np.zeros(2)
    for seed in range(runs):
        model, text, norms = spaces(1000 + seed, n=24, copy=copy)
        orders = permutations(24, 19, seed)
        y = norms["valence"].to_numpy()
        gain = readout_gain(model, text, y, orders, 0, folds=6, seed=seed)
        found += [gain.gain_p <= 0.05, partial_rsa(*distances(model, text, norms), orders, 0, seed).p <= 0.05]
    # at most the nominal rate, up to the error of so many runs
    assert (found / runs <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / runs)).all(), found / runs


def test_settings_and_spaces_that_do_not_fit_are_refused():
    model, text, norms = spaces(0)
    with pytest.raises(EmotionInterpError, match="n_permutations is a number of at least 1, got 0"):
        ei.text_increment(model, text, norms, n_permutations=0)
    with pytest.raises(EmotionInterpError, match="only 4 of 4 emotions"):
        ei.text_increment(model, text.subset(text.emotions[:4]), norms)
    with pytest.raises(EmotionInterpError, match="the baseline 'text' lacks e39"):
        ei.EmotionSpace(model.vectors, model.emotions, baselines={"text": text.subset(text.emotions[:39])})


def test_align_shows_the_texts_beside_the_space_and_what_it_adds():
    model, text, norms = spaces(0, extra=4.0)
    own = ei.EmotionSpace(model.vectors, model.emotions, layer=3, stimuli="texts", baselines={"text": text})
    options = {"n_permutations": 99, "n_bootstrap": 50}
    fit = ei.align(own, norms, **options)
    alone = ei.align(text, norms, **options)
    assert fit.baselines["text"].rsa.rho == alone.rsa.rho and fit.baselines["text"].readout == alone.readout
    assert fit.increments["text"].rsa == ei.text_increment(own, text, norms, n_permutations=99, n_bootstrap=50).rsa
    frame = fit.to_frame()
    assert frame["control"].tolist() == ["", "text"] and frame["kind"].tolist() == ["custom", "text"]
    assert frame["rsa_given_text"][0] == fit.increments["text"].rsa.rho and np.isnan(frame["rsa_given_text"][1])
    assert frame["valence_gain_over_text_p"][0] == fit.increments["text"].valence.gain_p
    # not asked for; and by the control spaces
    assert not ei.align(own, norms, text={}, **options).increments
    assert (
        ei.align(model, norms, controls={"text": text}, **options).increments["text"].rsa.rho
        == fit.increments["text"].rsa.rho
    )
    layers = ei.align_layers({2: model, 3: own}, norms, text=text, **options)
    table = layers.to_frame()
    assert table[["layer", "kind"]].to_numpy().tolist() == [[2, "custom"], [3, "custom"], [2, "text"], [3, "text"]]
    assert table["rsa_rho"][2] == table["rsa_rho"][3] == alone.rsa.rho
    assert layers.increments()["layer"].tolist() == [2, 3]
    assert "rsa_given_text" not in ei.align_layers({2: model}, norms, **options).to_frame()
