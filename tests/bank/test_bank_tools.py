"""Banks beside each other: differences, merging of layers and languages, CSV."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.bank import bank_to_csv, diff_banks, merge_banks
from emotion_interp.core import EmotionInterpError, UnknownNameError


@pytest.fixture(scope="module")
def parts(tiny_subject, small_concepts):
    """The same scenes at layer 0, at layer 1, and at both; and each language alone."""
    found = {
        name: ei.find_features(tiny_subject, small_concepts, layers, stimuli="scenes")
        for name, layers in (("0", [0]), ("1", [1]), ("both", [0, 1]))
    }
    for language in ("en", "zh"):
        own = ei.concept_set(language).subset(emotions=list(small_concepts.emotions))
        found[language] = ei.find_features(tiny_subject, own, stimuli="scenes")
    return found


def test_a_bank_does_not_differ_from_itself(tiny_bank):
    table = diff_banks(tiny_bank, tiny_bank)
    assert len(table) == len(tiny_bank.summary)
    assert table["same_top"].all()
    assert (table[["n_first_only", "n_second_only"]] == 0).all().all()
    assert np.allclose(table["dense_cosine"], 1)
    assert (table["auroc_heldout_first"] == table["auroc_heldout_second"]).all()


def test_the_difference_counts_selected_features_on_either_side(tiny_bank):
    features = tiny_bank.features.copy()
    here = (features["emotion"] == "joy") & (features["layer"] == 0) & (features["language"] == "en")
    assert here.sum() >= 3
    one, two = features.copy(), features.copy()
    places = np.flatnonzero(here)
    one["selected"], two["selected"] = False, False
    one.loc[places[:2], "selected"] = True
    two.loc[places[1:3], "selected"] = True
    table = diff_banks(replace(tiny_bank, features=one), replace(tiny_bank, features=two))
    joy = table.query("emotion == 'joy' and layer == 0 and language == 'en'").iloc[0]
    assert (joy["n_both"], joy["n_first_only"], joy["n_second_only"]) == (1, 1, 1)
    assert table[["n_both", "n_first_only", "n_second_only"]].to_numpy().sum() == 3


def test_layers_found_apart_merge_to_what_was_found_together(parts, tmp_path):
    merged = merge_banks(parts["0"], parts["1"])
    both = parts["both"]
    assert merged.layers == both.layers
    # q and what follows from it belong to each part's own family
    columns = ["layer", "language", "emotion", "feature", "p", "auroc", "rate"]
    pd.testing.assert_frame_equal(merged.features[columns], both.features[columns])
    pd.testing.assert_frame_equal(merged.rates, both.rates)
    pd.testing.assert_frame_equal(merged.words, both.words)
    assert merged.manifest["n_tested"] == both.manifest["n_tested"]
    assert merged.manifest["n_alive"] == both.manifest["n_alive"]
    assert merged.scales == both.scales
    for key in ("dense", "dense_clean", "means"):
        assert np.array_equal(merged.directions[1, "zh", key], both.directions[1, "zh", key])
    assert [p["layers"] for p in merged.manifest["merged"]] == [[0], [1]]
    loaded = ei.FeatureBank.load(merged.save(tmp_path / "merged"))
    assert loaded.extras["text_space"]["emotion"].tolist() == both.extras["text_space"]["emotion"].tolist()


def test_languages_found_apart_merge_and_keep_their_activations(parts, tmp_path):
    merged = merge_banks(parts["en"], parts["zh"])
    assert merged.languages == ["en", "zh"]
    for language in ("en", "zh"):
        words, matrix = merged.unit_activations(0, language)
        own_words, own = parts[language].unit_activations(0, language)
        assert words["word"].tolist() == own_words["word"].tolist()
        assert (matrix != own).nnz == 0
    assert (merged.words["unit"] == np.arange(len(merged.words))).all()
    loaded = ei.FeatureBank.load(merged.save(tmp_path / "merged"))
    pd.testing.assert_frame_equal(loaded.features, merged.features)
    assert ei.universality(loaded, "en", "zh", 50).first == "en"


def test_banks_that_do_not_belong_together_are_refused(parts, tiny_bank):
    def changed(bank, **entries):
        return replace(bank, manifest={**bank.manifest, **entries})

    one = parts["0"]
    for call in (diff_banks, merge_banks):
        with pytest.raises(EmotionInterpError, match="two subjects"):
            call(one, changed(parts["1"], subject="another"))
        with pytest.raises(EmotionInterpError, match="two subjects"):
            call(one, changed(parts["1"], provenance={"sha256": "0"}))
        other = [{**s, "d_sae": 7} for s in one.manifest["saes"]]
        with pytest.raises(EmotionInterpError, match="two different SAEs"):
            call(one, changed(one, saes=other))
    with pytest.raises(EmotionInterpError, match="different seed"):
        merge_banks(one, changed(parts["1"], seed=1))
    with pytest.raises(EmotionInterpError, match="different stimuli"):
        merge_banks(one, tiny_bank)
    with pytest.raises(EmotionInterpError, match="other sites with the same words"):
        merge_banks(one, one)
    with pytest.raises(EmotionInterpError, match="share no layer"):
        diff_banks(one, parts["1"])


def test_a_split_that_tears_translations_apart_is_refused(parts):
    turned = parts["zh"].words.copy()
    turned["side"] = turned["side"].map({"discovery": "confirmation", "confirmation": "discovery"})
    with pytest.raises(EmotionInterpError, match="both sides of the split"):
        merge_banks(parts["en"], replace(parts["zh"], words=turned))


@pytest.mark.parametrize("table", ["features", "selected", "summary", "words"])
def test_tables_come_back_from_csv(tiny_bank, tmp_path, table):
    path = bank_to_csv(tiny_bank, tmp_path / "table.csv", table)
    frame = tiny_bank.table(selected=True) if table == "selected" else getattr(tiny_bank, table)
    back = pd.read_csv(path, keep_default_na=False, na_values=[""])
    assert list(back.columns) == list(frame.columns)
    assert len(back) == len(frame)
    if table == "features":
        assert np.allclose(back["auroc"], frame["auroc"])
    with pytest.raises(UnknownNameError, match="table of a bank"):
        bank_to_csv(tiny_bank, tmp_path / "x.csv", "colours")
