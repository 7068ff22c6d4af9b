"""The paper's pattern: planted patterns are found, reversed ones refused, missing ones not tested; intervals cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emotion_interp.core import EmotionInterpError, Site, UnknownNameError
from emotion_interp.ratings import Ratings, paper_pattern
from emotion_interp.ratings.series import bootstrap_means


def made_up(r: dict[tuple[str, str, str, str], float], n: int = 1500, seed: int = 0, layers: int = 2) -> Ratings:
    """Ratings in which (feature set, train, test, dimension) predicts with about the given r at every layer."""
    rng = np.random.default_rng(seed)
    human: dict[tuple[str, str], np.ndarray] = {}
    common: dict[tuple[str, str], np.ndarray] = {}
    frames = []
    for (name, train, test, dimension), value in r.items():
        truth = human.setdefault((test, dimension), rng.normal(size=n))
        # most of the error is shared by all sets, as it is in real fits
        shared = common.setdefault((test, dimension), rng.normal(size=n))
        for layer in range(layers):
            error = 0.95 * shared + np.sqrt(1 - 0.95**2) * rng.normal(size=n)
            frames.append(
                pd.DataFrame(
                    {
                        "word": [f"{test}{i}" for i in range(n)],
                        "layer": layer,
                        "feature_set": name,
                        "train_language": train,
                        "test_language": test,
                        "dimension": dimension,
                        "human": truth,
                        "predicted": value * truth + np.sqrt(1 - value**2) * error,
                    }
                )
            )
    return Ratings(pd.DataFrame(), pd.concat(frames, ignore_index=True))


def pattern(valence: float, arousal: float, all_: float, outside: float, across: float) -> dict:
    r = {}
    for train, test in (("en", "en"), ("zh", "zh"), ("en", "zh"), ("zh", "en")):
        for dimension, value in (("valence", valence), ("arousal", arousal)):
            here = value if train == test else across
            r["intersection", train, test, dimension] = here
            r["all", train, test, dimension] = here + all_
            r["outside_intersection", train, test, dimension] = here + outside
    return r


def test_the_papers_pattern_holds_where_it_is_planted() -> None:
    found = paper_pattern(made_up(pattern(0.7, 0.5, 0.01, -0.3, 0.2)), n_bootstrap=400)
    assert found.verdicts == {"a": "holds", "b": "holds", "c": "holds", "d": "holds"}
    table = found.to_frame()
    assert table["claim"].value_counts().to_dict() == {"a": 4, "b": 4, "c": 2, "d": 4}
    assert table["paired"].all() and (table["n_layers"] == 2).all() and (table["n_words"] == 1500).all()
    across = table[(table["claim"] == "d") & (table["language"] == "zh") & (table["dimension"] == "valence")].iloc[0]
    assert across["effect"] == pytest.approx(0.5, abs=0.08) and across["low"] < across["effect"] < across["high"]
    assert "(a) shared ~ all: holds" in repr(found) and "holds" in found._repr_html_()


def test_the_opposite_pattern_does_not_hold() -> None:
    found = paper_pattern(made_up(pattern(0.3, 0.6, 0.3, 0.2, 0.65)), n_bootstrap=400)
    assert found.verdicts == dict.fromkeys("abcd", "does not hold")


def test_no_difference_decides_nothing() -> None:
    r = {("intersection", "en", "en", d): 0.3 for d in ("valence", "arousal")}
    r |= {("outside_intersection", "en", "en", d): 0.3 for d in ("valence", "arousal")}
    found = paper_pattern(made_up(r, n=60, seed=4), n_bootstrap=400)
    assert found.verdicts == {"a": "not tested", "b": "undecided", "c": "undecided", "d": "not tested"}


def test_missing_rows_are_not_tested_and_never_hold() -> None:
    found = paper_pattern(made_up({("all", "en", "en", "valence"): 0.5}), n_bootstrap=50)
    assert set(found.verdicts.values()) == {"not tested"}
    assert found.to_frame()["effect"].isna().all() and set(found.to_frame()["claim"]) == set("abcd")


def test_a_set_is_not_tested_against_itself() -> None:
    found = paper_pattern(made_up(pattern(0.7, 0.5, 0.01, -0.3, 0.2), n=100), shared="all", n_bootstrap=50)
    assert found.verdicts["a"] == "not tested" and found.verdicts["c"] != "not tested"


def test_observed_effects_are_differences_of_mean_correlations() -> None:
    ratings = made_up(pattern(0.7, 0.5, 0.1, -0.3, 0.2), n=80)
    for layer in (None, 1):
        found = paper_pattern(ratings, layer=layer, n_bootstrap=20)
        for row in found.comparisons:
            rs = []
            for label in (row.first, row.second):
                name, languages, dimension = label.split("/")
                train, test = languages.split(" to ")
                rows = ratings.predictions.query(
                    f"feature_set == '{name}' and train_language == '{train}' and test_language == '{test}'"
                    f" and dimension == '{dimension}'" + ("" if layer is None else f" and layer == {layer}")
                )
                rs.append(np.mean([stats.pearsonr(g["human"], g["predicted"])[0] for _, g in rows.groupby("layer")]))
            np.testing.assert_allclose((row.first_r, row.second_r, row.effect), (*rs, rs[0] - rs[1]), atol=1e-10)


def test_bootstrap_correlations_are_those_of_the_drawn_words() -> None:
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 30)) + 100
    observed, boot = bootstrap_means([[(x, y)], [(x, z), (y, z)]], 7, np.random.default_rng(5))
    drawn = np.random.default_rng(5).integers(30, size=(7, 30))
    expected = []
    for row in [np.arange(30), *drawn]:
        r = [stats.pearsonr(a[row], b[row])[0] for a, b in ((x, y), (x, z), (y, z))]
        expected.append([r[0], (r[1] + r[2]) / 2])
    np.testing.assert_allclose(np.vstack([observed, boot]), expected, atol=1e-10)


def test_intervals_cover_the_true_difference() -> None:
    runs, covered = 500, 0
    for run in range(runs):
        r = {("intersection", "en", "en", "valence"): 0.6, ("outside_intersection", "en", "en", "valence"): 0.4}
        found = paper_pattern(made_up(r, n=200, seed=run, layers=1), n_bootstrap=300, seed=run)
        (row,) = [c for c in found.comparisons if c.claim == "b"]
        covered += row.low <= 0.2 <= row.high
    assert 0.925 <= covered / runs <= 0.975


def test_without_a_model_of_the_second_language_other_words_stand_in() -> None:
    r = {("intersection", "en", test, "valence"): value for test, value in (("en", 0.7), ("zh", 0.3))}
    (row,) = [c for c in paper_pattern(made_up(r), n_bootstrap=200).comparisons if c.claim == "d"]
    assert not row.paired and row.verdict == "holds" and row.effect == pytest.approx(0.4, abs=0.08)


def test_ratings_of_several_languages_and_their_frame_give_the_same() -> None:
    whole = made_up(pattern(0.7, 0.5, 0.01, -0.3, 0.2), n=100)
    parts = [Ratings(whole.table, rows) for _, rows in whole.predictions.groupby("train_language")]
    tables = [paper_pattern(r, n_bootstrap=30).to_frame() for r in (whole, parts, whole.predictions)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[2])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layer": 9}, UnknownNameError, "layer"),
        ({"equivalence": 0}, EmotionInterpError, "equivalence"),
        ({"level": 1.0}, EmotionInterpError, "level"),
        ({"n_bootstrap": 0}, EmotionInterpError, "n_bootstrap"),
        ({"ratings": pd.DataFrame({"layer": [1], "r": [0.5]})}, EmotionInterpError, "lacks word"),
        ({"ratings": ["x"]}, EmotionInterpError, "list of Ratings"),
        ({"ratings": []}, EmotionInterpError, "no predictions"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, error: type[Exception], message: str) -> None:
    usual = {"ratings": made_up(pattern(0.7, 0.5, 0, -0.3, 0.2), n=40)}
    with pytest.raises(error, match=message):
        paper_pattern(**(usual | arguments))


def test_too_few_words_and_words_twice_are_refused() -> None:
    few = made_up(pattern(0.7, 0.5, 0, -0.3, 0.2), n=10)
    with pytest.raises(EmotionInterpError, match="share 10 words"):
        paper_pattern(few)
    with pytest.raises(EmotionInterpError, match="twice"):
        paper_pattern(pd.concat([few.predictions, few.predictions]))
    with pytest.raises(EmotionInterpError, match="give each once"):
        paper_pattern([few, few])


def beside(r: dict[tuple[str, str, str, str], float], static: float, length: float) -> dict:
    """The same with what the words alone predict."""
    return r | {
        (name, code, code, d): value
        for name, value in (("static", static), ("length", length))
        for code in ("en", "zh")
        for d in ("valence", "arousal")
    }


def test_what_holds_below_the_words_themselves_says_so() -> None:
    planted = pattern(0.7, 0.5, 0.01, -0.3, 0.2)
    above = paper_pattern(made_up(beside(planted, 0.3, 0.1)), n_bootstrap=300)
    assert above.verdicts == dict.fromkeys("abcd", "holds")
    below = paper_pattern(made_up(beside(planted, 0.75, 0.1)), n_bootstrap=300)
    assert below.verdicts == dict.fromkeys("abcd", "holds, below the text baseline")
    table = below.to_frame()
    valence = table[table["dimension"] != "arousal"]
    assert valence["static_r"].between(0.7, 0.8).all() and table["length_r"].between(0.03, 0.17).all()
    assert (valence["above_low"] < 0).all() and table["frequency_r"].isna().all()
    # length alone is enough to fall below
    assert paper_pattern(made_up(beside(planted, 0.1, 0.75)), n_bootstrap=300).verdicts["b"].endswith("text baseline")
    # what does not hold is not held below anything
    worse = paper_pattern(made_up(beside(pattern(0.3, 0.6, 0.3, 0.2, 0.65), 0.9, 0.1)), n_bootstrap=300)
    assert worse.verdicts == dict.fromkeys("abcd", "does not hold")


def test_one_outside_set_and_missing_baselines_are_called_out() -> None:
    with pytest.warns(UserWarning) as caught:
        paper_pattern(made_up(pattern(0.7, 0.5, 0.01, -0.3, 0.2), n=100), n_bootstrap=20)
    said = " ".join(str(w.message) for w in caught)
    assert "was drawn 1 time(s)" in said and "no static and no length row" in said


def with_draws(spread: float, n_draws: int = 200, n: int = 400) -> Ratings:
    """Shared r about .5; outside sets of about .3, whose r differ from draw to draw; the one in the rows is a poor one."""
    from emotion_interp.ratings.redraw import RedrawnSeries

    r = {("selected", "en", "en", "valence"): 0.5, ("outside", "en", "en", "valence"): 0.0}
    r |= {("static", "en", "en", "valence"): 0.2, ("length", "en", "en", "valence"): 0.1}
    ratings = made_up(r, n=n, layers=1)
    rows = ratings.predictions[ratings.predictions["feature_set"] == "outside"]
    human = stats.zscore(rows["human"].to_numpy())
    rng = np.random.default_rng(1)
    rates = np.clip(rng.normal(0.3, spread, n_draws), -0.9, 0.9)
    predicted = np.stack([rate * human + np.sqrt(1 - rate**2) * rng.normal(size=n) for rate in rates])
    series = RedrawnSeries(tuple(rows["word"]), human, predicted.astype(np.float16))
    return Ratings(ratings.table, ratings.predictions, {(0, "outside", "en", "en", "valence"): series})


def test_the_interval_of_b_covers_words_and_draws() -> None:
    rows = {}
    for spread in (0.0, 0.2):
        found = paper_pattern(with_draws(spread), shared="selected", n_bootstrap=600)
        rows[spread] = next(c for c in found.comparisons if c.claim == "b" and c.dimension == "valence")
    for spread, row in rows.items():
        series = with_draws(spread).draws[0, "outside", "en", "en", "valence"]
        assert row.n_draws == 200
        # the mean over draws, not the lucky set of the rows
        assert row.second_r == pytest.approx(series.r().mean(), abs=0.01) and row.second_r > 0.2
        assert row.first_r > 0.4
    assert rows[0.2].high - rows[0.2].low > 1.8 * (rows[0.0].high - rows[0.0].low)
    assert rows[0.0].verdict == "holds" and rows[0.2].verdict == "undecided"


def test_b_with_draws_is_calibrated_where_the_set_is_one_more_draw() -> None:
    """A shared set that is drawn like the outside sets: its interval excludes 0 in 5% of the runs, up to error."""
    runs, false = 150, 0
    for run in range(runs):
        rng = np.random.default_rng(run)
        n = 120
        human = rng.normal(size=n)
        rates = np.clip(rng.normal(0.3, 0.15, 61), -0.9, 0.9)
        sets = np.stack([rate * human + np.sqrt(1 - rate**2) * rng.normal(size=n) for rate in rates])
        words = [f"w{i}" for i in range(n)]
        keys = {"layer": 0, "train_language": "en", "test_language": "en", "dimension": "valence", "human": human}
        frame = pd.concat(
            [
                pd.DataFrame({"word": words, "feature_set": name, "predicted": sets[place], **keys})
                for name, place in (("selected", 0), ("outside", 1), ("static", 2), ("length", 3))
            ]
        )
        from emotion_interp.ratings.redraw import RedrawnSeries

        draws = {(0, "outside", "en", "en", "valence"): RedrawnSeries(tuple(words), stats.zscore(human), sets[1:])}
        with pytest.warns(UserWarning, match="drawn 60 time"):
            found = paper_pattern(Ratings(pd.DataFrame(), frame, draws), shared="selected", n_bootstrap=200)
        row = next(c for c in found.comparisons if c.claim == "b")
        false += row.low > 0 or row.high < 0
    assert false / runs <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / runs)


def test_redrawn_outside_sets_are_fitted_and_stand_in_the_table() -> None:
    import emotion_interp as ei
    from emotion_interp.ratings import predict_from_activations
    from emotion_interp.ratings.redraw import redrawn_outside

    rng = np.random.default_rng(0)
    norms = ei.load_norms("builtin")
    rated = stats.zscore(norms.table[["valence", "arousal"]].to_numpy())
    x = rng.normal(size=(192, 60))
    x[:, :4] += rated @ rng.normal(size=(2, 4)) * 2
    x = np.maximum(x, 0)
    draws = redrawn_outside((x > 0).mean(axis=0), range(4), 200)
    ratings = predict_from_activations(
        {2: x},
        norms.words,
        norms,
        {2: {"selected": range(4), "outside": draws[0]}},
        folds=5,
        draws={2: {"outside": draws}},
        n_permutations=9,
        n_bootstrap=20,
    )
    table = ratings.to_frame().set_index(["feature_set", "dimension"])
    assert set(ratings.draws) == {(Site(2), "outside", "en", "en", d) for d in ("valence", "arousal")}
    for dimension in ("valence", "arousal"):
        row, series = table.loc["outside", dimension], ratings.draws[Site(2), "outside", "en", "en", dimension]
        # the first draw is the set of the row
        assert series.r()[0] == pytest.approx(row["r"], abs=2e-3) and row["n_draws"] == 200
        assert (
            row["r_draws"] == pytest.approx(series.r().mean())
            and row["r_draws_lo"] < row["r_draws"] < row["r_draws_hi"]
        )
        assert np.isnan(table.loc["selected", dimension]["r_draws"])
    found = paper_pattern([ratings], shared="selected", n_bootstrap=200)
    rows = [c for c in found.comparisons if c.claim == "b"]
    assert all(c.verdict == "holds" and c.n_draws == 200 for c in rows)


def test_predict_ratings_redraws_the_outside_sets_and_the_pattern_uses_them(
    tiny_subject, small_concepts, tiny_bank
) -> None:
    import emotion_interp as ei
    from emotion_interp.ratings import predict_ratings

    options = {"folds": 5, "n_permutations": 9, "n_bootstrap": 20}
    ratings = predict_ratings(tiny_subject, ei.load_norms("builtin"), tiny_bank, outside_draws=25, **options)
    table = ratings.to_frame()
    drawn = table[table["n_draws"].notna()] if "n_draws" in table else table.iloc[:0]
    assert {key[1] for key in ratings.draws} == set(drawn["feature_set"])
    for key, series in ratings.draws.items():
        row = drawn[
            (drawn["site"] == str(key[0])) & (drawn["feature_set"] == key[1]) & (drawn["dimension"] == key[4])
        ].iloc[0]
        assert row["n_draws"] == 25 and row["r_draws"] == pytest.approx(series.r().mean())
        assert row["r_draws_lo"] <= row["r_draws"] <= row["r_draws_hi"]
    assert not predict_ratings(tiny_subject, ei.load_norms("builtin"), tiny_bank, outside_draws=0, **options).draws
