"""Overlap of two languages' features: planted truths, the null against brute force, calibration."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hypergeom

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, FileFormatError, Site, UnknownNameError
from emotion_interp.core.files import sha256_file, write_signed_json
from emotion_interp.features import universality_all
from emotion_interp.features.universality import overlap, overlap_of_profiles, rate_bins

SITE = Site(0)


def planted_bank(selected, rates, emotions=("fear", "joy")):
    """A bank that holds only what universality reads: selected = {language: {emotion: ids}}, rates = {language: {id: rate}}."""
    rows = [
        (0, language, emotion, feature, 0.01, 0.8, True)
        for language, own in selected.items()
        for emotion, ids in own.items()
        for feature in ids
    ]
    names = ["layer", "language", "emotion", "feature", "p", "auroc", "selected"]
    features = pd.DataFrame(rows, columns=names)
    table = [(0, language, feature, rate) for language, own in rates.items() for feature, rate in own.items()]
    frame = pd.DataFrame(table, columns=["layer", "language", "feature", "rate"])
    manifest = {"emotions": list(emotions), "languages": list(rates), "subject": "planted"}
    empty = pd.DataFrame()
    return ei.FeatureBank(features, empty, empty, empty, {}, {SITE: 1.0}, manifest, frame)


def test_planted_shared_features_are_found_and_separate_ones_are_not():
    rates = {lang: dict.fromkeys(range(200), 0.1) for lang in ("en", "zh")}
    chosen = {
        "en": {"joy": [1, 2, 3, 4, 5, 6], "fear": [10, 11, 12, 13]},
        "zh": {"joy": [2, 3, 4, 5, 6, 7], "fear": [20, 21, 22, 23]},
    }
    result = ei.universality(planted_bank(chosen, rates), "en", "zh")
    frame = result.to_frame().set_index("emotion")
    assert result.shared_features("joy", 0).tolist() == [2, 3, 4, 5, 6]
    assert result.shared_features("fear", 0).tolist() == []
    joy = frame.loc["joy"]
    assert (joy["n_both"], joy["n_first_only"], joy["n_second_only"], joy["n_alive_both"]) == (5, 1, 1, 200)
    assert joy["jaccard"] == 5 / 7
    assert joy["p_permutation"] < 0.001
    assert frame.loc["fear", "p_permutation"] == 1
    assert result.by_layer()["n_both"].tolist() == [5]
    assert result.by_layer()["p_permutation"][0] < 0.001


def test_features_that_never_fire_in_the_other_language_leave_the_population():
    rates = {"en": dict.fromkeys(range(50), 0.1), "zh": dict.fromkeys(range(25, 100), 0.1)}
    chosen = {"en": {"joy": [3, 30, 31]}, "zh": {"joy": [31, 90, 91]}}
    row = ei.universality(planted_bank(chosen, rates), "en", "zh").to_frame().set_index("emotion").loc["joy"]
    assert row["n_alive_both"] == 25
    assert (row["n_both"], row["n_first_only"], row["n_second_only"]) == (1, 1, 0)
    assert (row["n_first_silent"], row["n_second_silent"]) == (1, 2)
    assert np.isclose(row["expected"], 2 * 1 / 25)


def test_nothing_selected_gives_no_p():
    rates = {lang: dict.fromkeys(range(20), 0.1) for lang in ("en", "zh")}
    bank = planted_bank({"en": {"joy": [1]}, "zh": {"fear": [1]}}, rates)
    result = ei.universality(bank, "en", "zh")
    assert result.to_frame()[["p_permutation", "p_hypergeometric", "p_holm"]].isna().all().all()
    assert result.by_layer()["n_both"].tolist() == [0], "a feature of another emotion is not shared"


def random_case(rng, n=120, n_bins=4):
    first_bins, second_bins = rng.integers(n_bins, size=(2, n))
    first_bins, second_bins = (np.unique(b, return_inverse=True)[1] for b in (first_bins, second_bins))
    return rng.random(n) < 0.2, rng.random(n) < 0.2, first_bins, second_bins


def brute_force(first, second, first_bins, second_bins, n, rng):
    """Shuffle both languages' labels within their bins, one permutation after the other."""
    null = np.zeros(n)
    for i in range(n):
        shuffled = []
        for chosen, bins in ((first, first_bins), (second, second_bins)):
            moved = chosen.copy()
            for b in np.unique(bins):
                members = np.flatnonzero(bins == b)
                moved[members] = chosen[rng.permutation(members)]
            shuffled.append(moved)
        null[i] = (shuffled[0] & shuffled[1]).sum()
    return null


@pytest.mark.parametrize("seed", range(3))
def test_the_p_value_is_that_of_shuffling_labels_within_bins(seed):
    rng = np.random.default_rng(seed)
    case = random_case(rng)
    got = overlap(*case, 20_000, np.random.default_rng(1))
    null = brute_force(*case, 3000, rng)
    assert abs(got["expected"] - null.mean()) < 4 * null.std() / np.sqrt(len(null))
    expected = (null >= got["n_both"]).mean()
    assert abs(got["p_permutation"] - expected) < 4 * np.sqrt(0.25 / 3000)
    first, second, *bins = case
    profiles = overlap_of_profiles(first[:, None], second[:, None], *bins, 5000, np.random.default_rng(2))
    assert abs(profiles["p_permutation"] - expected) < 4 * np.sqrt(0.25 / 3000)
    assert np.isclose(profiles["expected"], got["expected"])


def test_one_bin_is_the_hypergeometric_test(rng):
    first, second, *_ = random_case(rng)
    second |= first & (rng.random(len(first)) < 0.3)
    bins = np.zeros(len(first), dtype=int)
    got = overlap(first, second, bins, bins, 50_000, rng)
    exact = hypergeom(len(first), first.sum(), second.sum()).sf((first & second).sum() - 1)
    assert np.isclose(got["p_hypergeometric"], exact)
    assert abs(got["p_permutation"] - exact) < 0.01
    assert np.isclose(got["expected"], first.sum() * second.sum() / len(first))


def test_random_selections_by_firing_rate_are_calibrated_where_the_hypergeometric_test_is_not():
    """Frequent features are selected more often in both languages: rates are shared, selections are independent."""
    rng = np.random.default_rng(0)
    p, naive = [], []
    for _ in range(300):
        rate = rng.random(400)
        bins = rate_bins(rate, 10)
        first, second = rng.random((2, 400)) < 0.25 * rate**2
        row = overlap(first, second, bins, bins, 499, rng)
        p.append(row["p_permutation"])
        naive.append(row["p_hypergeometric"])
    assert (np.array(p) <= 0.05).mean() <= 0.08
    assert (np.array(naive) <= 0.05).mean() > 0.15


def test_profiles_of_several_emotions_are_calibrated_under_independent_languages():
    rng = np.random.default_rng(1)
    p = []
    for _ in range(200):
        bins = rng.integers(3, size=150)
        # a feature that is chosen for one emotion is mostly chosen for the others as well
        profiles = [(rng.random((150, 1)) < 0.15) & (rng.random((150, 6)) < 0.7) for _ in range(2)]
        p.append(overlap_of_profiles(*profiles, bins, bins, 199, rng)["p_permutation"])
    assert (np.array(p) <= 0.05).mean() <= 0.09


def test_equal_rates_share_a_bin_and_bins_leave_no_gap(rng):
    rates = rng.integers(0, 6, size=100) / 10
    bins = rate_bins(rates, 10)
    assert sorted(set(bins)) == list(range(bins.max() + 1))
    for rate in np.unique(rates):
        assert len(set(bins[rates == rate])) == 1
    assert (np.diff(bins[np.argsort(rates)]) >= 0).all()


def test_the_bank_keeps_the_rates_of_living_features_through_its_folder(tiny_bank, tmp_path):
    counts = tiny_bank.rates.groupby(["layer", "language"]).size()
    for layer in tiny_bank.layers:
        for language in tiny_bank.languages:
            assert counts[layer, language] == tiny_bank.manifest["n_alive"][f"{Site(layer).hook_name}|{language}"]
    assert tiny_bank.rates["rate"].between(0, 1, inclusive="right").all()
    known = tiny_bank.features.merge(tiny_bank.rates, on=["layer", "language", "feature"], suffixes=("", "_kept"))
    assert len(known) == len(tiny_bank.features)
    assert np.allclose(known["rate"], known["rate_kept"])
    loaded = ei.FeatureBank.load(tiny_bank.save(tmp_path / "bank"))
    pd.testing.assert_frame_equal(loaded.rates, tiny_bank.rates)


def test_a_bank_of_an_earlier_version_loads_and_says_what_it_lacks(tiny_bank, tmp_path):
    folder = replace(tiny_bank, rates=None).save(tmp_path / "old")
    assert not (folder / "rates.parquet").exists()
    old = ei.FeatureBank.load(folder)
    pd.testing.assert_frame_equal(old.features, tiny_bank.features)
    with pytest.raises(EmotionInterpError, match="kept no firing rates.*again"):
        ei.universality(old, "en", "zh")


def test_damaged_rates_are_refused(tiny_bank, tmp_path):
    folder = tiny_bank.save(tmp_path / "bank")
    (folder / "rates.parquet").write_bytes(b"x")
    with pytest.raises(FileFormatError, match="changed after it was saved"):
        ei.FeatureBank.load(folder)
    tiny_bank.rates.drop(columns="rate").to_parquet(folder / "rates.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["rates.parquet"] = sha256_file(folder / "rates.parquet")
    write_signed_json(folder / "manifest.json", manifest)
    with pytest.raises(FileFormatError, match="lacks the columns"):
        ei.FeatureBank.load(folder)


def test_a_real_bank_is_compared_for_every_pair_and_the_same_seed_gives_the_same_table(tiny_bank):
    every = universality_all(tiny_bank, n_permutations=200, features="nominal")
    assert list(every) == [("en", "zh")]
    frame = every["en", "zh"].to_frame()
    assert len(frame) == len(tiny_bank.emotions) * len(tiny_bank.layers)
    again = ei.universality(tiny_bank, "en", "zh", 200, features="nominal")
    pd.testing.assert_frame_equal(again.to_frame(), frame)
    rows = tiny_bank.table("joy", layer=0)
    rows = rows[rows["p"] <= 0.05]
    sets = [set(rows[rows["language"] == lang]["feature"]) for lang in ("en", "zh")]
    assert set(again.shared_features("joy", 0)) == sets[0] & sets[1]
    assert "<table" in again._repr_html_()


def test_what_cannot_be_compared_is_refused(tiny_bank):
    with pytest.raises(UnknownNameError, match="language 'es'"):
        ei.universality(tiny_bank, "en", "es")
    with pytest.raises(EmotionInterpError, match="given twice"):
        ei.universality(tiny_bank, "en", "en")
    with pytest.raises(EmotionInterpError, match="bins is a number of at least 1"):
        ei.universality(tiny_bank, "en", "zh", bins=0)
    with pytest.raises(UnknownNameError, match="kind of features"):
        ei.universality(tiny_bank, "en", "zh", features="all")
    result = ei.universality(tiny_bank, "en", "zh", 10)
    with pytest.raises(UnknownNameError, match="emotion"):
        result.shared_features("joi", 0)
    with pytest.raises(UnknownNameError, match="layer"):
        result.shared_features("joy", 7)
    one = replace(tiny_bank, manifest={**tiny_bank.manifest, "languages": ["en"]})
    with pytest.raises(EmotionInterpError, match="only 'en'"):
        universality_all(one)


def test_languages_found_on_other_kinds_of_text_are_compared_with_a_warning(tiny_subject, small_concepts) -> None:
    import warnings

    import emotion_interp as ei
    from emotion_interp.concepts import labelled_stimuli, scene_stimuli

    found = {}
    for kind, prefixes in {"mixed": ("topic", "brighter"), "stories": ("topic", "topic"), "own": ("a", "b")}.items():
        stimuli = []
        for language, prefix in zip(("en", "zh"), prefixes, strict=True):
            scenes = [s for s in scene_stimuli([language], small_concepts.emotions) if s.emotion != "neutral"]
            groups = [f"{prefix} {i}" for i in range(len(scenes))]
            stimuli += labelled_stimuli([s.text for s in scenes], [s.emotion for s in scenes], language, groups)
        found[kind] = ei.find_features(tiny_subject, small_concepts, layers=[0], stimuli=stimuli)
    with pytest.warns(UserWarning, match="'en' were found on stories, those of 'zh' on posts"):
        shared = ei.universality(found["mixed"], "en", "zh", 50)
    for frame in (shared.to_frame(), shared.by_layer()):
        assert set(frame["first_genre"]) == {"stories"} and set(frame["second_genre"]) == {"posts"}
    assert shared.genres == ("stories", "posts") and "stories against posts" in repr(shared)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ei.universality(found["stories"], "en", "zh", 50).genres == ("stories", "stories")
        assert ei.universality(found["own"], "en", "zh", 50).by_layer()["first_genre"].tolist() == ["texts"]
