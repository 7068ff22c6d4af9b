"""Learning curves: against scikit-learn, leakage, sizes and repeats, the picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.norms import Norms
from emotion_interp.ratings import WordActivations, learning_curve
from emotion_interp.ratings.curve import _order, _split, curve_from_activations
from emotion_interp.stats.ridge import assign_folds, inner_groups, nested_ridge

ALPHAS = (1.0, 10.0, 100.0)


def planted(n: int = 400, d: int = 30, noise: float = 3.0, seed: int = 0) -> WordActivations:
    """Ratings that the features carry, with noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = x @ rng.normal(size=(d, 2)) + noise * rng.normal(size=(n, 2))
    table = pd.DataFrame({"word": [f"w{i}" for i in range(n)], "valence": y[:, 0], "arousal": y[:, 1]})
    return WordActivations({0: sp.csr_array(x)}, table["word"].tolist(), Norms("planted", "en", table, (-99, 99)))


@pytest.mark.parametrize("d", [8, 70])
def test_rows_apart_are_predicted_as_scikit_learn_does(d: int) -> None:
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(d)
    x, new = rng.normal(size=(50, d)) * 3 + 1, rng.normal(size=(20, d))
    y = x[:, :1] + rng.normal(size=(50, 1))
    fold = assign_folds(range(50), 5, 0)
    found = nested_ridge(x, y, fold, alphas=ALPHAS, test_features=new, test_fold=np.full(20, -1))
    cv = [(np.flatnonzero(~np.isin(fold, g)), np.flatnonzero(np.isin(fold, g))) for g in inner_groups(range(5), 5)]
    if d <= 50:
        model, name, a, b = make_pipeline(StandardScaler(), Ridge()), "ridge__alpha", x, new
    else:
        scaler = StandardScaler().fit(x)
        model, name, a, b = Ridge(), "alpha", scaler.transform(x), scaler.transform(new)
    grid = GridSearchCV(model, {name: ALPHAS}, cv=cv, scoring="neg_mean_squared_error").fit(a, y[:, 0])
    np.testing.assert_allclose(found.predicted[:, 0], grid.predict(b), rtol=1e-8, atol=1e-8)
    assert found.alphas.shape == (1, 1) and found.alphas[0, 0] == grid.best_params_[name]


def test_r_rises_with_the_words_towards_the_truth() -> None:
    part = planted(noise=2.0)
    frame = curve_from_activations(part, n_words=[20, 80, 300], repeats=4, n_bootstrap=100).to_frame()
    r = frame[frame["dimension"] == "valence"].set_index("n_words_train")["r"]
    assert r[20] + 0.1 < r[80] < r[300] and r[300] > 0.85
    assert ((frame["low"] < frame["r"]) & (frame["r"] < frame["high"])).all()
    assert set(frame["n_words_test"]) == {80} and set(frame["n_features"]) == {30}


def test_r_is_the_mean_over_repeats_of_fits_by_hand() -> None:
    from emotion_interp.core.seeds import generator

    part = planted(n=120, d=6)
    frame = curve_from_activations(part, n_words=[40], repeats=3, n_bootstrap=50, seed=5).to_frame()
    x, y = part.activations[0].toarray(), part.norms.table[["valence", "arousal"]].to_numpy()
    test, pool = _split(part.words, 0.2, 5)
    rs = []
    for repeat in range(3):
        learnt = _order(part.words, pool, generator(5, "learning curve", repeat))[:40]
        fold = assign_folds([part.words[i] for i in learnt], 5, 5)
        fit = nested_ridge(x[learnt], y[learnt], fold, test_features=x[test], test_fold=np.full(len(test), -1))
        rs.append([np.corrcoef(fit.predicted[:, t], y[test, t])[0, 1] for t in range(2)])
    np.testing.assert_allclose(frame["r"], np.mean(rs, axis=0))
    np.testing.assert_allclose(frame["r_sd"], np.std(rs, axis=0, ddof=1))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=30, max_size=80), st.floats(0.05, 0.6), st.integers(0, 50))
def test_test_words_share_no_group_with_the_words_learnt(labels: list[int], share: float, seed: int) -> None:
    groups = [str(g) for g in labels]
    test, pool = _split(groups, share, seed)
    assert sorted([*test, *pool]) == list(range(len(groups)))
    assert not {groups[i] for i in test} & {groups[i] for i in pool}
    assert len(test) >= share * len(groups)
    if len(pool):
        order = _order(groups, pool, np.random.default_rng(seed))
        assert sorted(order) == sorted(pool)


def test_all_training_words_are_one_draw_and_the_default_sizes_end_there() -> None:
    frame = curve_from_activations(planted(), repeats=3, n_bootstrap=20).to_frame()
    assert frame.groupby("n_words_train")["repeats"].first().to_dict() == {250: 3, 320: 1}
    assert frame[frame["repeats"] == 1]["r_sd"].isna().all()


def test_same_seed_same_curve_other_seed_other_words() -> None:
    one, two, three = (
        curve_from_activations(planted(), n_words=[50], repeats=2, n_bootstrap=20, seed=s).table for s in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one, two)
    assert not np.allclose(one["r"], three["r"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_words": [9]}, "from 10"),
        ({"n_words": [321]}, "to 320"),
        ({"n_words": []}, "n_words"),
        ({"test_share": 1.0}, "between 0 and 1"),
        ({"repeats": 0}, "at least 1"),
        ({"sets": {0: {}}}, "nothing to predict"),
    ],
)
def test_impossible_curves_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(EmotionInterpError, match=message):
        curve_from_activations(planted(), **{"n_bootstrap": 10, **arguments})


def test_curve_of_a_subject_has_its_feature_sets_and_a_picture(tiny_subject) -> None:
    from emotion_interp.norms import load_norms

    curve = learning_curve(tiny_subject, load_norms("builtin"), n_words=[20, 60], layers=[0, 1], repeats=2)
    frame = curve.to_frame()
    assert set(frame["feature_set"]) == {"all", "dense"} and set(frame["layer"]) == {0, 1}
    assert len(frame) == 2 * 2 * 2 * 2 and np.isfinite(frame["r_over_ceiling"]).all()
    figure = curve.plot("arousal", layer=0)
    rows = frame[(frame["layer"] == 0) & (frame["dimension"] == "arousal") & (frame["feature_set"] == "all")]
    drawn = next(t for t in figure.data if t.name == "all")
    assert list(drawn.y) == rows["r"].tolist() and list(drawn.x) == [20, 60]
    with pytest.raises(UnknownNameError, match="layer"):
        curve.plot(layer=7)
    with pytest.raises(UnknownNameError, match="feature set"):
        learning_curve(tiny_subject, load_norms("builtin"), sets=["selekted"])
