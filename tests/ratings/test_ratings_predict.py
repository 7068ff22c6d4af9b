"""Ratings: nested ridge against scikit-learn, leakage, planted signal, transfer, ceilings and controls."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from emotion_interp.core import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.norms import Norms, load_norms
from emotion_interp.ratings import WordActivations, matched_outside, predict_from_activations
from emotion_interp.ratings.predict import score
from emotion_interp.stats.ridge import assign_folds, inner_groups, nested_ridge

ALPHAS = (0.5, 5.0, 50.0, 500.0)


def made_up(n: int = 120, seed: int = 0, prefix: str = "w", noise: float = 0.0) -> Norms:
    rng = np.random.default_rng(seed)
    values = rng.uniform(2, 8, (n, 2))
    table = pd.DataFrame({"word": [f"{prefix}{i}" for i in range(n)], "valence": values[:, 0], "arousal": values[:, 1]})
    for dimension, sd in (("valence", 1.0), ("arousal", 2.0)):
        table[f"{dimension}_sd"], table[f"{dimension}_n"] = sd + noise, 20.0
    return Norms("made up", "en", table, (1, 9))


def activations(norms: Norms, d: int, seed: int = 1, signal: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    human = norms.table[["valence", "arousal"]].to_numpy() - 5
    return np.maximum(0, rng.normal(size=(len(norms), d)) + signal * human @ rng.normal(size=(2, d)) / 2)


def brute_force(x: np.ndarray, y: np.ndarray, fold: np.ndarray, inner_folds: int, *, scale_inside: bool) -> np.ndarray:
    """The same nested cross-validation by scikit-learn, one fold, one target and one fit at a time."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    predicted = np.empty_like(y)
    numbers = np.unique(fold)
    for k in numbers:
        train, test = fold != k, fold == k
        inner = fold[train]
        groups = inner_groups([j for j in numbers if j != k], inner_folds)
        cv = [(np.flatnonzero(~np.isin(inner, g)), np.flatnonzero(np.isin(inner, g))) for g in groups]
        search = {"scoring": "neg_mean_squared_error", "cv": cv}
        for t in range(y.shape[1]):
            if scale_inside:
                model = make_pipeline(StandardScaler(), Ridge())
                grid = GridSearchCV(model, {"ridge__alpha": ALPHAS}, **search).fit(x[train], y[train, t])
                predicted[test, t] = grid.predict(x[test])
            else:
                scaler = StandardScaler().fit(x[train])
                grid = GridSearchCV(Ridge(), {"alpha": ALPHAS}, **search).fit(scaler.transform(x[train]), y[train, t])
                predicted[test, t] = grid.predict(scaler.transform(x[test]))
    return predicted


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("d", [12, 90])
def test_nested_ridge_equals_scikit_learns_grid_search(d: int, sparse: bool) -> None:
    rng = np.random.default_rng(d)
    x = np.maximum(0, rng.normal(size=(60, d)) + 0.2)
    x[:, 3] = 7.0
    x[:, 4] = 0.0
    x[5, 4] = 2.0
    y = x[:, :2] + 2 * rng.normal(size=(60, 2)) + [100.0, -3.0]
    fold = assign_folds(range(60), 6, seed=0)
    found = nested_ridge(sp.csr_array(x) if sparse else x, y, fold, inner_folds=3, alphas=ALPHAS)
    np.testing.assert_allclose(found.predicted, brute_force(x, y, fold, 3, scale_inside=d <= 60), rtol=1e-7, atol=1e-7)
    assert set(np.unique(found.alphas)) <= set(ALPHAS)


def test_single_precision_activations_are_computed_in_double() -> None:
    rng = np.random.default_rng(0)
    x = (1000 + rng.normal(size=(80, 6))).astype(np.float32)
    y = x[:, :1].astype(np.float64) + rng.normal(size=(80, 1))
    fold = assign_folds(range(80), 5, seed=0)
    single, double = (nested_ridge(v, y, fold, alphas=ALPHAS).predicted for v in (x, x.astype(np.float64)))
    np.testing.assert_allclose(single, double, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=20, max_size=60), st.integers(2, 4), st.integers(0, 100))
def test_folds_never_split_a_group(groups: list[int], folds: int, seed: int) -> None:
    if len(set(groups)) < folds:
        with pytest.raises(EmotionInterpError, match="groups"):
            assign_folds(groups, folds, seed)
        return
    fold = assign_folds(groups, folds, seed)
    assert set(fold) == set(range(folds))
    for group in set(groups):
        assert len({f for f, g in zip(fold, groups, strict=True) if g == group}) == 1


def test_pure_noise_predicts_nothing() -> None:
    norms = made_up(150)
    rs = []
    for run in range(20):
        x = np.random.default_rng(run).normal(size=(150, 60))
        table = predict_from_activations({0: x}, norms.words, norms, folds=5, alphas=ALPHAS, seed=run).to_frame()
        rs.append(table["r"].mean())
        assert (table["r2"] < 0.05).all()
    assert np.mean(rs) < 0.05


def test_groups_keep_copies_of_a_word_out_of_training() -> None:
    """Each word comes five times with the same features and rating: without groups that is learnt by heart."""
    rng = np.random.default_rng(0)
    human, x = np.repeat(rng.uniform(2, 8, 40), 5), np.repeat(rng.normal(size=(40, 60)), 5, axis=0)
    words = [f"w{i}" for i in range(200)]
    norms = Norms("copies", "en", pd.DataFrame({"word": words, "valence": human}), (1, 9))
    lemmas = [f"lemma{i // 5}" for i in range(200)]
    leaky = predict_from_activations({0: x}, words, norms, alphas=ALPHAS).to_frame()["r"].item()
    clean = predict_from_activations({0: x}, words, norms, groups=lemmas, alphas=ALPHAS).to_frame()["r"].item()
    assert leaky > 0.9 and clean < 0.4


def test_a_words_own_rating_never_reaches_its_prediction() -> None:
    norms = made_up(60)
    x = activations(norms, 10)
    table = norms.table.copy()
    table.loc[7, ["valence", "arousal"]] = [1.0, 9.0]
    changed = Norms("changed", "en", table, (1, 9))
    one, two = (predict_from_activations({0: x}, norms.words, n, folds=5, alphas=ALPHAS) for n in (norms, changed))
    first, second = (r.predictions.query("word == 'w7'")["predicted"].to_numpy() for r in (one, two))
    np.testing.assert_allclose(first, second, rtol=1e-9)


def test_scores_recompute_from_the_predictions_and_the_ceiling() -> None:
    norms = made_up(noise=0.5)
    ratings = predict_from_activations({2: activations(norms, 20)}, norms.words, norms, folds=5, alphas=ALPHAS)
    for row in ratings.to_frame().to_dict("records"):
        frame = ratings.predictions.query(f"dimension == '{row['dimension']}'")
        human, predicted = frame["human"], frame["predicted"]
        folds = [part for _, part in frame.groupby("fold")]
        for name, statistic in (("r", stats.pearsonr), ("rho", stats.spearmanr)):
            values = [statistic(part["human"], part["predicted"])[0] for part in folds]
            assert row[name] == pytest.approx(np.average(values, weights=[len(part) for part in folds]))
        assert row["r_pooled"] == pytest.approx(stats.pearsonr(human, predicted)[0])
        assert row["r_lo"] < row["r"] < row["r_hi"] and row["p"] == 1 / 200
        assert row["r2"] == pytest.approx(1 - ((human - predicted) ** 2).sum() / ((human - human.mean()) ** 2).sum())
        assert row["mae"] == pytest.approx((human - predicted).abs().mean())
        means = norms.table[row["dimension"]]
        error = (norms.table[f"{row['dimension']}_sd"] ** 2 / 20).mean()
        assert row["r_over_ceiling"] == pytest.approx(row["r"] / np.sqrt(1 - error / means.var(ddof=1)))
        assert (row["n_words"], row["n_features"], row["layer"], row["feature_set"]) == (120, 20, 2, "all")
        assert row["r"] > 0.7


def test_ratings_without_sd_have_no_ceiling() -> None:
    norms = made_up()
    bare = Norms("bare", "en", norms.table[["word", "valence"]], (1, 9))
    table = predict_from_activations({0: activations(norms, 8)}, norms.words, bare, folds=5, alphas=ALPHAS).to_frame()
    assert table["dimension"].tolist() == ["valence"] and np.isnan(table["r_over_ceiling"].item())


def test_selected_features_predict_and_matched_outside_ones_do_not() -> None:
    norms = made_up(300)
    rng = np.random.default_rng(0)
    x = np.maximum(0, rng.normal(size=(300, 80)))
    x[:, :10] = activations(norms, 10)
    outside = matched_outside((x > 0).mean(axis=0), range(10))
    sets = {4: {"selected": range(10), "outside": outside, "empty": [], "all": None}}
    dense = {4: rng.normal(size=(300, 5)), 6: rng.normal(size=(300, 5))}
    table = predict_from_activations(
        {4: sp.csr_array(x)}, norms.words, norms, sets, folds=5, alphas=ALPHAS, dense=dense
    ).to_frame()
    r = table.query("dimension == 'valence'").set_index(["layer", "feature_set"])["r"]
    assert r[4, "selected"] > 0.8 and r[4, "all"] > 0.7 and abs(r[4, "outside"]) < 0.25
    assert np.isnan(r[4, "empty"]) and (6, "dense") in r.index
    sizes = table.drop_duplicates("feature_set").set_index("feature_set")["n_features"]
    assert sizes.to_dict() == {"selected": 10, "outside": 10, "empty": 0, "all": 80, "dense": 5}


def test_words_without_a_rating_are_left_out() -> None:
    norms = made_up()
    words = ["unrated", *norms.words]
    x = np.vstack([np.full((1, 8), 50.0), activations(norms, 8)])
    plain = predict_from_activations({0: x[1:]}, norms.words, norms, folds=5, alphas=ALPHAS)
    more = predict_from_activations({0: x}, words, norms, folds=5, alphas=ALPHAS)
    pd.testing.assert_frame_equal(plain.to_frame(), more.to_frame())
    assert "unrated" not in set(more.predictions["word"])


def test_transfer_predicts_another_language_on_its_own_scale() -> None:
    english, spanish = made_up(150, 0), made_up(100, 5, "s")
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(2, 12))
    x, y = ((n.table[["valence", "arousal"]].to_numpy() - 5) @ weights for n in (english, spanish))
    other = WordActivations({0: y + rng.normal(size=y.shape)}, spanish.words, spanish.rescale(-1, 1), "es")
    ratings = predict_from_activations(
        {0: x + rng.normal(size=x.shape)}, english.words, english, folds=5, alphas=ALPHAS, transfer=[other]
    )
    table = ratings.to_frame()
    assert table[["train_language", "test_language"]].drop_duplicates().to_numpy().tolist() == [
        ["en", "en"],
        ["en", "es"],
    ]
    across = table.query("test_language == 'es'")
    assert (across["r"] > 0.9).all() and (across["r2"] > 0.8).all() and (across["n_words"] == 100).all()
    np.testing.assert_allclose(across["ceiling"], [spanish.ceiling["valence"], spanish.ceiling["arousal"]])


def test_transfer_keeps_translations_out_of_training() -> None:
    rng = np.random.default_rng(0)
    n = 60
    x = rng.normal(size=(n, 80))
    human = rng.uniform(2, 8, n)
    norms = [
        Norms(k, k, pd.DataFrame({"word": [f"{k}{i}" for i in range(n)], "valence": human}), (1, 9))
        for k in ("en", "es")
    ]
    groups = [str(i) for i in range(n)]
    r = {}
    for name, its_groups in (("apart", [f"es{i}" for i in range(n)]), ("together", groups)):
        other = WordActivations({0: x}, norms[1].words, norms[1], "es", its_groups)
        table = predict_from_activations(
            {0: x}, norms[0].words, norms[0], groups=groups, folds=5, alphas=ALPHAS, transfer=[other]
        ).to_frame()
        r[name] = table.query("test_language == 'es'")["r"].item()
    assert r["apart"] > 0.6 and r["together"] < 0.35


def test_inputs_stay_unchanged_and_a_seed_repeats_the_result() -> None:
    norms = made_up()
    x = sp.csr_array(activations(norms, 8))
    before = x.toarray().copy()
    one, two = (
        predict_from_activations({0: x}, norms.words, norms, folds=5, alphas=ALPHAS, seed=3).to_frame() for _ in "ab"
    )
    pd.testing.assert_frame_equal(one, two)
    np.testing.assert_array_equal(x.toarray(), before)
    assert "0." in predict_from_activations({0: x}, norms.words, norms, folds=5, alphas=ALPHAS)._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"activations": {0: np.ones((3, 2))}}, EmotionInterpError, "120 words"),
        ({"activations": {}}, EmotionInterpError, "nothing to predict"),
        ({"activations": {0: np.full((120, 2), np.nan)}}, NotFiniteError, "layer 0"),
        ({"feature_sets": {9: {"all": None}}}, UnknownNameError, "layer"),
        ({"feature_sets": {0: {"joy": [8]}}}, EmotionInterpError, "'joy' of layer 0"),
        ({"folds": 80}, EmotionInterpError, "at least 160"),
        ({"alphas": [0.0]}, EmotionInterpError, "positive"),
        ({"folds": 2}, EmotionInterpError, "at least 3 folds"),
        ({"groups": ["a"]}, EmotionInterpError, "as many groups"),
        ({"dense": {0: np.ones((4, 2))}}, EmotionInterpError, "dense of layer 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, error: type[Exception], message: str) -> None:
    norms = made_up()
    usual = {"activations": {0: activations(norms, 8)}, "words": norms.words, "norms": norms, "folds": 5}
    with pytest.raises(error, match=message):
        predict_from_activations(**(usual | arguments))


def test_score_of_constant_or_missing_predictions() -> None:
    human = np.array([1.0, 2.0, 3.0, 4.0])
    constant = score(human, np.full(4, 2.5))
    assert constant["r"] == 0 and constant["rho"] == 0 and constant["r2"] == 0 and constant["mae"] == 1
    assert np.isnan(score(human, np.full(4, np.nan))["r"])


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 25), st.integers(60, 120), st.integers(0, 500))
def test_matched_features_are_as_many_living_outside_and_alike_in_rate(k: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rates = 10 ** rng.uniform(-4, 0, n)
    rates[rng.choice(n, 5, replace=False)] = 0
    selected = rng.choice(n, k, replace=False)
    found = matched_outside(rates, selected, seed)
    assert len(found) == k and not set(found) & set(selected) and (rates[found] > 0).all()
    assert found.tolist() == matched_outside(rates, selected, seed).tolist()


def test_matched_features_are_closer_in_rate_than_random_ones() -> None:
    rng = np.random.default_rng(0)
    rates = 10 ** rng.uniform(-4, 0, 2000)
    selected = np.flatnonzero(rates > 0.3)[:60]
    found = matched_outside(rates, selected)
    assert abs(np.log10(rates[found]).mean() - np.log10(rates[selected]).mean()) < 0.05


def test_too_few_features_outside_are_all_taken_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="only 1 living"):
        assert matched_outside([0.5, 0.5, 0.2, 0.0], [0, 1]).tolist() == [2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert matched_outside([0.5, 0.2], [0]).tolist() == [1]
    with pytest.raises(EmotionInterpError, match="0 to 1"):
        matched_outside([0.5, 0.2], [2])
    with pytest.raises(EmotionInterpError, match="finite"):
        matched_outside([0.5, np.nan], [0])


def test_features_that_fire_in_the_left_out_rows_alone_count_as_constant():
    """Their training sums come by subtraction; the rounding residue must not be blown up to unit variance."""
    from scipy.sparse import csr_matrix

    from emotion_interp.stats.ridge import nested_ridge

    rng = np.random.default_rng(3)
    n = 30_000
    features = np.where(rng.random((n, 50)) < 0.05, rng.random((n, 50)), 0)
    features[:, 10:] = 0.0
    for column in range(10, 50):
        features[column, column] = rng.random() * 5
    targets = features[:, :2] @ rng.normal(size=(2, 2)) + 0.1 * rng.normal(size=(n, 2))
    fold = np.arange(n) % 10
    whole = nested_ridge(csr_matrix(features), targets, fold)
    without = nested_ridge(csr_matrix(features[:, :10]), targets, fold)
    others = np.setdiff1d(np.arange(n), np.arange(10, 50))
    assert np.allclose(whole.predicted[others], without.predicted[others], atol=0.05)


def test_r_over_folds_has_no_floor_where_the_pooled_one_has() -> None:
    """Features that say nothing: the pooled r lies below 0, the mean over folds and its null around 0, p is calibrated."""
    runs, table = 120, []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        words = pd.DataFrame({"word": [f"w{i}" for i in range(60)], "valence": rng.normal(size=60)})
        norms = Norms("blind", "en", words, (-9, 9))
        ratings = predict_from_activations(
            {0: rng.normal(size=(60, 5))},
            norms.words,
            norms,
            folds=10,
            alphas=(1e3, 1e5),
            n_permutations=39,
            n_bootstrap=0,
        )
        table.append(ratings.to_frame().iloc[0])
    frame = pd.DataFrame(table)
    assert frame["r_pooled"].mean() < -0.15
    assert abs(frame["r"].mean()) < 3 * frame["r"].std() / np.sqrt(runs)
    assert abs(frame["r_null"].mean()) < 0.02
    assert 0.005 < (frame["p"] <= 0.05).mean() < 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / runs)


def test_the_null_of_r_is_ridge_on_reordered_ratings() -> None:
    from emotion_interp.stats.folds import group_permutations
    from emotion_interp.stats.ridge import assign_folds, nested_ridge

    rng = np.random.default_rng(0)
    groups = [f"g{i // 2}" for i in range(20)] + [f"h{i}" for i in range(20)]
    orders = group_permutations(groups, 7, 0)
    for order in orders:
        assert sorted(order) == list(range(40))
        # pairs take the place of pairs
        moved = np.asarray(groups)[order]
        assert (moved[:20:2] == moved[1:20:2]).all() and set(moved[20:]) == set(groups[20:])
    assert len({tuple(order) for order in orders}) == 7
    y, fold = rng.normal(size=(40, 2)), assign_folds(groups, 5, 0)
    for width in (6, 90):
        x = rng.normal(size=(40, width))
        found = nested_ridge(x, y, fold, alphas=(10.0,), null_orders=orders)
        for number, order in enumerate(orders):
            again = nested_ridge(x, y[order], fold, alphas=(10.0,))
            np.testing.assert_allclose(found.null[:, :, number], again.predicted, atol=1e-5)


def test_the_interval_of_r_covers_it_and_narrows_with_words() -> None:
    widths = []
    for n in (60, 400):
        norms = made_up(n, noise=0.5)
        table = predict_from_activations(
            {0: activations(norms, 8)}, norms.words, norms, folds=5, alphas=ALPHAS
        ).to_frame()
        row = table.iloc[0]
        assert row["r_lo"] < row["r"] < row["r_hi"]
        widths.append(row["r_hi"] - row["r_lo"])
    assert widths[1] < widths[0]
    without = predict_from_activations(
        {0: activations(norms, 8)}, norms.words, norms, folds=5, alphas=ALPHAS, n_permutations=0, n_bootstrap=0
    ).to_frame()
    assert without[["p", "r_lo", "r_hi", "r_null"]].isna().all().all() and without["r"][0] == row["r"]


def test_words_of_one_lemma_stay_in_one_fold() -> None:
    rng = np.random.default_rng(0)
    families = ("happy happiness happily happier", "fear fearful fearless fears", "excite excited excitement exciting")
    words = [w for family in families for w in family.split()] + [f"w{i}" for i in range(40)]
    norms = Norms("made up", "en", pd.DataFrame({"word": words, "valence": rng.normal(size=len(words))}), (-9, 9))
    ratings = predict_from_activations({0: rng.normal(size=(len(words), 4))}, words, norms, folds=10, alphas=ALPHAS)
    fold = ratings.predictions.set_index("word")["fold"]
    for family in families:
        assert fold[family.split()].nunique() == 1


def test_more_sets_than_colours_are_drawn_as_rows_each_at_its_best_layer(rng):
    norms = load_norms("builtin")
    x = rng.normal(size=(len(norms.words), 12))
    x[:, 3] += norms.table["valence"].to_numpy()
    sets = {f"s{i}": [i] for i in range(10)}
    ratings = predict_from_activations({0: x[:, ::-1], 1: x}, norms.words, norms, {0: sets, 1: sets}, folds=3)
    figure = ratings.plot()
    (dots,) = [trace for trace in figure.data if trace.mode == "markers"]
    best = ratings.table.query("dimension == 'valence'").groupby("feature_set")["r"].max()
    drawn = dict(zip([str(t).partition(",")[0] for t in dots.text], dots.x, strict=True))
    np.testing.assert_allclose([drawn[name] for name in best.index], best.to_numpy())
    assert "s3" in figure.layout.yaxis.ticktext[0] and "layer 1" in dots.text[0]
    few = predict_from_activations({0: x}, norms.words, norms, {0: {"s3": [3], "s1": [1]}}, folds=3)
    assert {trace.mode for trace in few.plot().data if trace.name} == {"lines+markers"}
