"""What "confirmed" claims: an emotion's feature answers to it alone, at the layer fixed beforehand, at its nominal rate."""

import itertools

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from benchmarks.confirmation import CASES, confirmed, rates
from emotion_interp.bank import merge_banks
from emotion_interp.bank.confirmation import COLUMNS, fix_layers
from emotion_interp.bank.frames import summary_by_layer
from emotion_interp.core import EmotionInterpError
from emotion_interp.features import Selection, with_confirmation
from emotion_interp.features.search import bank_from_readings
from emotion_interp.features.specific import _labellings, specificity_test
from emotion_interp.stats.corrections import holm
from emotion_interp.stats.scores import pairwise_auroc
from tests.bank.test_bank_feature_bank import find, synthetic

NAMES = ("anger", "fear", "joy")
NONE: dict[str, set[int]] = {name: set() for name in NAMES}


# -- the test itself --------------------------------------------------------------------------------------------------
def exact_p(values, own, groups):
    """Every labelling: groups of both labels swap them, groups of one exchange it."""
    both = [g for g in dict.fromkeys(groups) if len(set(own[groups == g])) == 2]
    alone = [g for g in dict.fromkeys(groups) if g not in both]
    k = sum(bool(own[groups == g][0]) for g in alone)
    codes = np.where(own, 0, 1)
    observed = pairwise_auroc(values[:, None], codes, 0, 2)[1, 0]
    found = []
    for swaps in itertools.product([False, True], repeat=len(both)):
        for chosen in itertools.combinations(alone, k):
            labels = own.copy()
            for group, swap in zip(both, swaps, strict=True):
                labels[groups == group] ^= swap
            for group in alone:
                labels[groups == group] = group in chosen
            found.append(pairwise_auroc(values[:, None], np.where(labels, 0, 1), 0, 2)[1, 0])
    return np.mean(np.asarray(found) >= observed - 1e-12)


@pytest.mark.parametrize(
    "groups",
    [
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"],  # each word for itself
        ["a", "a", "b", "b", "c", "a", "b", "b", "c", "c"],  # topics with units of both
        ["a", "a", "b", "b", "c", "d", "d", "e", "f", "f"],  # authors of one emotion
        ["a", "a", "b", "c", "d", "a", "b", "b", "e", "f"],  # both kinds
    ],
)
def test_p_is_that_of_all_labellings_of_whole_groups(groups, rng):
    groups, codes = np.asarray(groups), np.repeat([0, 1], 5)
    for _ in range(3):
        values = np.maximum(rng.normal(size=10) + 0.7 * (codes == 0), 0)
        smallest, p, rival = specificity_test(values[:, None], [0], codes, groups, NAMES[:2], NONE, n_permutations=9999)
        assert smallest[0] == pytest.approx(pairwise_auroc(values[:, None], codes, 0, 2)[1, 0])
        assert rival == ["fear"]
        assert p[0] == pytest.approx(exact_p(values, codes == 0, groups), abs=0.02)


def test_the_largest_p_over_emotions_that_are_no_siblings_counts(rng):
    codes = np.repeat([0, 1, 2, 3], 20)  # the last class is neutral
    values = rng.random((80, 1)) + np.asarray([2.0, 2.0, 0.0, 2.0])[codes][:, None]
    groups = np.arange(80)
    smallest, p, rival = specificity_test(values, [0], codes, groups, NAMES, NONE)
    assert rival == ["fear"] and p[0] > 0.05 and smallest[0] < 0.7
    declared = {"anger": {1}, "fear": {0}, "joy": set()}
    smallest, p, rival = specificity_test(values, [0], codes, groups, NAMES, declared)
    # neutral units are not tested against: they fire as much and do not count
    assert rival == ["joy"] and p[0] == pytest.approx(1 / 5000) and smallest[0] == 1.0
    smallest, p, rival = specificity_test(values, [0], codes, groups, NAMES, {**NONE, "anger": {1, 2}})
    assert np.isnan(smallest[0]) and np.isnan(p[0]) and rival == [None]


def test_another_emotion_does_not_move_the_labellings_of_a_pair(rng):
    codes, values = np.repeat([0, 1, 2], 10), rng.random((30, 1))
    pair = codes < 2
    alone = specificity_test(values[pair], [0], codes[pair], np.arange(20), NAMES[:2], NONE)
    siblings = {"anger": {2}, "fear": set(), "joy": {0}}
    assert specificity_test(values, [0], codes, np.arange(30), NAMES, siblings)[1] == alone[1]


def test_a_labelling_keeps_what_belongs_together():
    cells = np.asarray([[0, 0, 1, 2, 3, 3, 4], [0, 1, 1, 0, 0, 1, 1]])
    for labels in _labellings(cells, 200, np.random.default_rng(0)):
        assert (labels[:, 0] != labels[:, 1]).all() and (labels[:, 4] != labels[:, 5]).all()
        assert (labels[:, [2, 3, 6]].sum(1) == 2).all()
        assert 0.3 < labels[:, 0].mean() < 0.7 and 0.5 < labels[:, 2].mean() < 0.8


# -- calibration ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", [c for c in CASES if not c.true], ids=lambda c: c.name)
def test_confirmation_rejects_at_its_nominal_rate(case):
    """400 runs of six features: at most the upper 99.9% bound of a binomial at .05, in features and in runs."""
    found = rates(confirmed(case, 400))
    assert found["larger p < .05"] <= 0.065, "2,400 features"
    assert found["runs with a confirmed feature"] <= 0.087, "family-wise"


def test_fisher_alone_confirms_features_of_a_mood_and_of_authors():
    mood, authors = (next(c for c in CASES if c.name == n) for n in ("one rival fires as much", CASES[5].name))
    assert rates(confirmed(mood, 100))["Fisher p < .05"] > 0.9
    assert rates(confirmed(authors, 400))["Fisher p < .05"] > 0.08


def test_a_feature_of_its_emotion_alone_is_confirmed():
    found = rates(confirmed(next(c for c in CASES if c.true), 100))
    assert found["features confirmed"] > 0.9


def _mood(subject, concepts, seed, shuffle):
    """Latents 3, 7, 11 and 19 fire for anger, fear and sadness alike; with `shuffle` for nothing in particular."""
    words, readings = synthetic(subject, concepts, seed, planted=False)
    rng = np.random.default_rng(seed)
    (site,) = readings
    values = readings[site].features.toarray()
    own = words["emotion"].isin(["anger", "fear", "sadness"]).to_numpy()
    for latent in (3, 7, 11, 19):
        chance = np.full(len(words), 0.4) if shuffle else np.where(own, 0.8, 0.03)
        values[:, latent] = (rng.random(len(words)) < chance) * (1 + rng.random(len(words)))
    from dataclasses import replace

    from scipy.sparse import csr_matrix

    features = csr_matrix(values)
    return words, {site: replace(readings[site], features=features, fired=(features > 0).astype(np.float32))}


@pytest.mark.parametrize("shuffle", [False, True], ids=["mood", "shuffled"])
def test_a_whole_search_confirms_no_mood(tiny_subject, small_concepts, shuffle):
    """Of 20 runs without thresholds at most 4 (99.7% bound at .05) confirm anything; Fisher alone confirms every mood."""
    concepts, lax = small_concepts.subset(languages=["en"]), Selection(1.0, 0.0, 0.0)
    runs, fisher = [], []
    for seed in range(20):
        words, readings = _mood(tiny_subject, concepts, seed, shuffle)
        bank = bank_from_readings(
            tiny_subject, concepts, words, readings, position="last", selection=lax, seed=seed, kind="words"
        )
        assert bank.summary["selected"].all()
        runs.append(bool(bank.summary["confirmed"].any()))
        fisher.append(bool((bank.summary["p_holm"] < 0.05).any()))
    assert sum(runs) <= 4
    assert shuffle or all(fisher)


# -- in the bank ------------------------------------------------------------------------------------------------------
def test_the_summary_holds_both_tests_and_their_verdict(tiny_subject, small_concepts):
    bank = find(tiny_subject, small_concepts, 0)
    summary = bank.summary
    assert set(COLUMNS) <= set(summary)
    for language, rows in summary.groupby("language"):
        words, matrix = bank.unit_activations(0, language)
        held = (words["side"] == "confirmation").to_numpy()
        codes = words["emotion"].map({e: i for i, e in enumerate([*bank.emotions, "neutral"])}).to_numpy()[held]
        for row in rows.to_dict("records"):
            i = bank.emotions.index(row["emotion"])
            values = matrix[held][:, [row["feature"]]].toarray()
            pairs = pairwise_auroc(values, codes, i, 5)[:4, 0]
            near = [bank.emotions.index(s) for s in small_concepts.siblings(row["emotion"]) if s in bank.emotions]
            pairs[near] = np.nan
            assert row["held_out_specificity"] == pytest.approx(np.nanmin(pairs))
            assert row["rival"] == bank.emotions[int(np.nanargmin(pairs))]
        joint = np.where(rows["selected"], rows[["p_heldout", "p_specificity"]].max(axis=1), np.nan)
        assert np.allclose(rows["p_confirmed"], holm(joint), equal_nan=True)
        assert (rows["confirmed_uncorrected"] == (rows["p_confirmed"] < 0.05)).all()
    assert summary["layer_fixed"].all() and (summary["confirmed"] == summary["confirmed_uncorrected"]).all()


def test_the_layer_is_fixed_by_the_discovery_half_alone():
    frame = pd.DataFrame(
        {
            "language": ["en"] * 6 + ["zh"] * 4,
            "layer": [0, 0, 1, 1, 2, 2, 0, 0, 1, 1],
            "selected": [True, False, True, True, True, True, False, False, False, False],
            "auroc": [0.9, 0.9, 0.7, 0.7, 0.8, 0.8, 0.6, 0.6, 0.6, 0.6],
        }
    )
    frame["site"] = [f"blocks.{layer}.hook_resid_post" for layer in frame["layer"]]
    # most selected; of equals the larger median; of equals the first
    assert fix_layers(frame).tolist() == [False] * 4 + [True] * 4 + [False] * 2
    other = frame.assign(auroc_heldout=np.arange(10.0), p_heldout=0.5, confirmed=True)
    assert fix_layers(other).equals(fix_layers(frame))


def test_only_one_layer_of_a_language_confirms(tiny_bank):
    summary = tiny_bank.summary
    assert (summary[summary["layer_fixed"]].groupby("language")["site"].nunique() == 1).all()
    assert not summary.loc[~summary["layer_fixed"], "confirmed"].any()
    table = summary_by_layer(tiny_bank)
    assert table.groupby("language")["layer_fixed"].sum().eq(1).all()
    assert (table.loc[~table["layer_fixed"], "confirmed"] == 0).all()
    assert "not corrected over layers" in tiny_bank._repr_html_()


def test_a_bank_of_an_earlier_version_is_brought_up_to_date_without_reading(tiny_bank, small_concepts):
    from dataclasses import replace

    summary = tiny_bank.summary.drop(columns=list(COLUMNS))
    summary["confirmed"] = summary["p_holm"] < 0.05
    old = replace(tiny_bank, summary=summary)
    assert "earlier rule" in old._repr_html_() and "layer_fixed" not in summary_by_layer(old)
    again = with_confirmation(old, small_concepts).summary
    assert sorted(again) == sorted(tiny_bank.summary)
    pd.testing.assert_frame_equal(again[list(tiny_bank.summary)], tiny_bank.summary)
    with pytest.raises(EmotionInterpError, match="not those the bank was found with"):
        with_confirmation(old, small_concepts.subset(languages=["en"]))


def test_a_merged_bank_fixes_its_layer_anew(tiny_subject, small_concepts, tiny_bank):
    from dataclasses import replace

    low, high = (ei.find_features(tiny_subject, small_concepts, layers=[layer]) for layer in (0, 1))
    joint = merge_banks(low, high)
    assert (joint.summary[joint.summary["layer_fixed"]].groupby("language")["site"].nunique() == 1).all()
    assert not joint.summary.loc[~joint.summary["layer_fixed"], "confirmed"].any()
    old = replace(high, summary=high.summary.drop(columns=list(COLUMNS)))
    with pytest.raises(EmotionInterpError, match="second bank was confirmed by an earlier rule"):
        merge_banks(low, old)


# -- sets of features -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def probes(tiny_subject, small_concepts):
    return ei.sparse_probes(tiny_subject, small_concepts, ks=(1, 8))


def test_sets_are_confirmed_by_the_same_two_tests(probes, tiny_subject, small_concepts):
    frame = probes.to_frame()
    assert {*COLUMNS, "confirmed", "p_heldout"} <= set(frame)
    assert (frame[frame["layer_fixed"]].groupby("language")["site"].nunique() == 1).all()
    assert not frame.loc[~frame["layer_fixed"], "confirmed"].any()
    for _, rows in frame.groupby(["language", "site", "k"]):
        assert np.allclose(rows["p_confirmed"], holm(rows[["p_heldout", "p_specificity"]].max(axis=1).to_numpy()))
    table = probes.confirmed()
    assert table["k"].tolist() == [1, 8, 1, 8] and (table["emotions"] == 4).all()
    best = frame.groupby(["language", "site", "k"])["auroc"].median().groupby(["language", "site"]).mean()
    for language, site in table[["language", "site"]].drop_duplicates().to_numpy():
        assert best[language].idxmax() == site


def test_a_sets_specificity_is_that_of_its_decision_value(probes, tiny_subject, small_concepts):
    from emotion_interp.activations import read_stimuli
    from emotion_interp.features.design import design_stimuli

    design = design_stimuli(small_concepts, "words", 0)
    readings = read_stimuli(tiny_subject, design.stimuli, design.units)
    names = small_concepts.emotions
    for row in probes.to_frame().iloc[::5].to_dict("records"):
        held = design.words[(design.words["language"] == row["language"]) & (design.words["side"] == "confirmation")]
        reading = next(r for site, r in readings.items() if str(site) == row["site"])
        values = reading.features[held["unit"].to_numpy()][:, list(row["features"])].toarray() @ np.asarray(
            row["weights"]
        )
        codes = held["emotion"].map({e: i for i, e in enumerate([*names, "neutral"])}).to_numpy()
        i = list(names).index(row["emotion"])
        pairs = pairwise_auroc(values[:, None], codes, i, 5)[:4, 0]
        pairs[[list(names).index(s) for s in small_concepts.siblings(row["emotion"]) if s in names]] = np.nan
        assert row["held_out_specificity"] == pytest.approx(np.nanmin(pairs), abs=1e-9)


def test_sets_of_an_earlier_bank_are_confirmed_without_fitting(
    probes, tiny_subject, small_concepts, tiny_bank, tmp_path
):
    from emotion_interp.features import with_confirmed_sets

    added = probes.add_to(tiny_bank)
    old = added.extras["probes"].drop(columns=[*COLUMNS, "confirmed", "p_heldout"])
    bank = ei.FeatureBank.load(added.with_table("probes", old).save(tmp_path / "old"))
    again = with_confirmed_sets(tiny_subject, small_concepts, bank)
    kept = ei.FeatureBank.load(again.save(tmp_path / "new")).extras["probes"]
    for column in old:
        if column not in ("features", "weights"):
            assert kept[column].equals(old[column]), column
    made = added.extras["probes"]
    for column in (*COLUMNS, "confirmed", "p_heldout"):
        left, right = kept[column], made[column]
        close = (
            np.allclose(left, right, atol=1e-6, equal_nan=True) if left.dtype.kind == "f" else list(left) == list(right)
        )
        assert close, column
    with pytest.raises(EmotionInterpError, match="no probes"):
        with_confirmed_sets(tiny_subject, small_concepts, tiny_bank)


def test_a_bank_with_both_tests_survives_its_folder(tiny_bank, tmp_path):
    loaded = ei.FeatureBank.load(tiny_bank.save(tmp_path / "bank"))
    pd.testing.assert_frame_equal(loaded.summary, tiny_bank.summary, check_dtype=False)
    from dataclasses import replace

    from emotion_interp.core import FileFormatError

    wrong = replace(tiny_bank, summary=tiny_bank.summary.assign(p_confirmed=1.5))
    with pytest.raises(FileFormatError, match="p_confirmed"):
        ei.FeatureBank.load(wrong.save(tmp_path / "wrong"))


def test_the_shell_brings_a_bank_up_to_date(tiny_bank, tmp_path):
    """With the emotions of the shipped sets that the bank has: it was found with four of them."""
    from typer.testing import CliRunner

    from emotion_interp.cli.main import app

    done = CliRunner().invoke(app, ["features", "confirm", str(tmp_path / "none")])
    assert done.exit_code != 0
    place = tiny_bank.save(tmp_path / "bank")
    done = CliRunner().invoke(app, ["features", "confirm", str(place)])
    assert done.exit_code == 0, done.output
    again = ei.FeatureBank.load(place).summary
    assert sorted(again) == sorted(tiny_bank.summary)
    pd.testing.assert_frame_equal(again[list(tiny_bank.summary)], tiny_bank.summary, check_dtype=False)
