"""Ratings from a subject: feature sets of several languages, carriers, positions, transfer, baselines."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.norms import Norms, load_norms
from emotion_interp.ratings import bank_sets, predict_from_activations, predict_ratings
from emotion_interp.ratings.sets import CONTROLS
from emotion_interp.ratings.subject_ratings import read_part, read_words, sampled_words


def bank(**chosen: list[int]):
    """What `bank_sets` asks of a bank: its sites, languages and selected features."""

    def site(layer: int) -> int:
        if layer != 2:
            raise UnknownNameError("layer", layer, [2])
        return layer

    return SimpleNamespace(
        site=site,
        languages=list(chosen),
        selected_features=lambda layer, language: np.array(sorted(chosen[language]), dtype=int),
    )


@pytest.fixture(scope="module")
def english() -> Norms:
    table = load_norms("builtin")
    return table.subset(table.words[:60])


@pytest.fixture(scope="module")
def chinese(small_concepts) -> Norms:
    words = sorted({s.word for s in small_concepts.stimuli(languages=["zh"])})[:50]
    rng = np.random.default_rng(0)
    return Norms("zh", "zh", pd.DataFrame({"word": words, "valence": rng.uniform(0, 1, len(words))}), (0, 1))


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 39)), st.sets(st.integers(0, 39)), st.integers(0, 99))
def test_set_logic_of_two_languages(en: set[int], zh: set[int], seed: int) -> None:
    rates = np.random.default_rng(seed).uniform(0.01, 1, 200)
    rates[::7] = 0
    sets = bank_sets(bank(en=list(en), zh=list(zh)), 2, "zh", rates, seed)  # type: ignore[arg-type]
    living = set(np.flatnonzero(rates > 0))
    expected = {
        "selected": zh & living,
        "selected_en": en & living,
        "selected_zh": zh & living,
        "intersection": en & zh & living,
        "union": (en | zh) & living,
    }
    for name, features in expected.items():
        assert (set(sets[name]) == features) if len(features) >= 2 else name not in sets
    for name, control in CONTROLS.items():
        assert (control in sets) == (name in sets)
        if name in sets:
            assert len(sets[control]) == len(sets[name]) and set(sets[control]) <= living - (en | zh)


def test_a_bank_of_one_language_has_only_its_own_set_and_control() -> None:
    rates = np.full(30, 0.5)
    assert set(bank_sets(bank(en=[1, 2]), 2, "en", rates)) == {"selected", "outside"}  # type: ignore[arg-type]
    assert bank_sets(bank(en=[1, 2]), 2, "es", rates) == {}  # type: ignore[arg-type]
    assert bank_sets(bank(en=[1, 2]), 5, "en", rates) == {}  # type: ignore[arg-type]
    names = {"selected_en", "selected_zh", "union", "outside_union"}
    assert set(bank_sets(bank(en=[1, 2], zh=[2, 3]), 2, "es", rates)) == names  # type: ignore[arg-type]


def test_default_run_has_the_old_rows_and_baselines_beside_every_layer(tiny_subject, english) -> None:
    ratings = predict_ratings(tiny_subject, english, folds=5)
    table = ratings.to_frame()
    layers = [s.layer for s in tiny_subject.sites]
    assert set(table["feature_set"]) == {"all", "dense", "static", "length", "frequency"}
    assert all(set(rows["layer"]) == set(layers) for _, rows in table.groupby("feature_set"))
    r = table[(table["feature_set"] == "static") & (table["dimension"] == "valence")]["r"]
    assert r.nunique() == 1 and set(table[table["feature_set"] == "length"]["n_features"]) == {2}
    assert not table.duplicated(["layer", "feature_set", "dimension"]).any()
    plain = predict_ratings(tiny_subject, english, folds=5, baselines=False).to_frame()
    pd.testing.assert_frame_equal(plain, table[table["feature_set"].isin(["all", "dense"])].reset_index(drop=True))


def test_static_baseline_is_the_ridge_on_the_mean_input_embedding(tiny_subject, english) -> None:
    from emotion_interp.ratings import predict_from_activations

    words = sampled_words(english, None, 0)
    table = tiny_subject.model.W_E.detach().numpy()
    ids = [tiny_subject.tokenizer.encode(" " + w, add_special_tokens=False) for w in words]
    x = np.stack([table[i].mean(0) for i in ids])
    expected = predict_from_activations({0: x}, words, english, folds=5).to_frame()
    got = predict_ratings(tiny_subject, english, folds=5).to_frame().query("feature_set == 'static'")
    np.testing.assert_allclose(got["r"].to_numpy()[:2], expected["r"])
    lengths = np.array([[len(w), len(i)] for w, i in zip(words, ids, strict=True)])
    expected = predict_from_activations({0: lengths}, words, english, folds=5).to_frame()
    got = predict_ratings(tiny_subject, english, folds=5).to_frame().query("feature_set == 'length'")
    np.testing.assert_allclose(got["r"].to_numpy()[:2], expected["r"])


def test_carriers_are_averaged_and_positions_differ_on_long_words_only(tiny_subject, small_concepts) -> None:
    words = ["joy", "unfathomableness"]
    site = tiny_subject.sites[0]
    texts = list(small_concepts.templates("en").values())[:2]
    one, two = (read_words(tiny_subject, words, "en", [site], text)[site] for text in texts)
    both = read_words(tiny_subject, words, "en", [site], carriers=2)[site]
    np.testing.assert_allclose(both.dense, (one.dense + two.dense) / 2, rtol=1e-4, atol=1e-5)
    assert both.n_stimuli.tolist() == [2, 2]
    span = read_words(tiny_subject, words, "en", [site], texts[0], position="span")[site]
    before, after = texts[0].split("{word}")
    text = before + words[1] + after
    tokens = tiny_subject.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert sum(b > len(before) and a < len(before) + len(words[1]) for a, b in tokens) > 1
    assert not np.allclose(span.dense[1], one.dense[1])


def test_transfer_predicts_the_words_of_another_language(tiny_subject, tiny_bank, english, chinese) -> None:
    ratings = predict_ratings(tiny_subject, english, tiny_bank, folds=5, transfer=[chinese])
    table = ratings.to_frame()
    across = table[table["test_language"] == "zh"]
    assert (across["train_language"] == "en").all() and set(across["dimension"]) == {"valence"}
    assert set(across["feature_set"]) == set(table[table["test_language"] == "en"]["feature_set"])
    assert (across["n_words"] == len(chinese)).all()
    sizes = across.drop_duplicates(["layer", "feature_set"]).set_index(["layer", "feature_set"])["n_features"]
    for layer in tiny_bank.layers:
        for code in ("en", "zh"):
            if (layer, f"selected_{code}") in sizes.index:
                assert 2 <= sizes[layer, f"selected_{code}"] <= len(tiny_bank.selected_features(layer, code))


def test_one_seed_draws_the_same_words_for_learning_and_for_transfer(chinese) -> None:
    drawn = sampled_words(chinese, 20, 3)
    assert drawn == sampled_words(chinese, 20, 3) and drawn != sampled_words(chinese, 20, 4)
    assert len(set(drawn)) == 20 and drawn == sorted(drawn)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"position": "first"}, UnknownNameError, "position"),
        ({"carriers": 0}, EmotionInterpError, "at least 1"),
        ({"carriers": 99}, EmotionInterpError, "99 carriers"),
        ({"carriers": 2, "carrier": "{word}"}, EmotionInterpError, "one was given"),
        ({"carrier": "no slot"}, EmotionInterpError, "exactly one"),
    ],
)
def test_wrong_arguments_are_refused(
    tiny_subject, english, arguments: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        predict_ratings(tiny_subject, english, **arguments)


def test_what_features_write_together_is_a_set_of_its_own_and_recomputes(tiny_subject):
    norms = load_norms("builtin")
    options = {"folds": 5, "baselines": False, "n_permutations": 9, "n_bootstrap": 0}
    ratings = predict_ratings(tiny_subject, norms, written=True, transfer=[norms], **options)
    part, sites = read_part(tiny_subject, norms)
    for site in sites:
        decoder = tiny_subject.readers[site].sae.W_dec.detach().double().numpy()
        written = np.asarray(part.activations[site].todense(), dtype=np.float64) @ decoder
        alone = predict_from_activations({site: written}, part.words, norms, folds=5, n_permutations=9, n_bootstrap=0)
        table = ratings.to_frame()
        mine = table[(table["site"] == str(site)) & (table["feature_set"] == "written")]
        assert len(mine) == 4 and set(mine["n_features"]) == {tiny_subject.d_model}
        np.testing.assert_allclose(mine["r"].to_numpy()[:2], alone.to_frame()["r"], atol=1e-6)
        # the same words again are predicted as those that were learnt
        np.testing.assert_allclose(mine["r"].to_numpy()[2:], mine["r"].to_numpy()[:2], atol=1e-9)
        dense = table[(table["site"] == str(site)) & (table["feature_set"] == "dense")]
        assert not np.allclose(dense["r"], mine["r"])
    without = predict_ratings(tiny_subject, norms, **options).to_frame()
    assert "written" not in set(without["feature_set"])
