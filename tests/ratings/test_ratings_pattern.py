"""The paper's pattern: planted patterns are found, reversed ones refused, missing ones not tested; intervals cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emotion_interp.core import EmotionInterpError, UnknownNameError
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
