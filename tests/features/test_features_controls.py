"""Controls on planted truths: each kind of confound is caught by its own column, and a true emotion feature by none."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import fisher_exact, spearmanr
from sklearn.metrics import roc_auc_score

import emotion_interp as ei
from emotion_interp.activations.columns import ColumnReadings
from emotion_interp.activations.reading import SiteReadings
from emotion_interp.bank.files import KEYS
from emotion_interp.core import EmotionInterpError, Site, UnknownNameError
from emotion_interp.features.controls import controls_from_readings, emotion_valence, token_shares
from emotion_interp.features.matched import match_neutral
from emotion_interp.stats.corrections import holm

TRUE, LEXICAL, VALENCE, POSITION, FREQUENCY, ONE_WORD = range(6)
FLAGS = ["lexical", "valence_only", "positional"]
GOOD, BAD = ["joy", "pride", "relief"], ["anger", "fear", "sadness"]
SITE = Site(0)


def planted(seed):
    """Held-out words of six emotions and neutral ones, with a feature of each kind for joy."""
    rng = np.random.default_rng(seed)
    emotion = np.repeat([*GOOD, *BAD, "neutral"], [40] * 6 + [200])
    n = len(emotion)
    joy, neutral = emotion == "joy", emotion == "neutral"
    units = pd.DataFrame({"unit": np.arange(n), "language": "en", "emotion": emotion, "side": "confirmation"})
    units["group"] = [f"word {i}" for i in range(n)]
    units["n_tokens"] = rng.integers(1, 4, n).astype(float)
    units["frequency"] = rng.normal(4.5, 1, n) - 0.7 * joy
    # joy stands late, and the others in all places
    units["position"] = np.where(joy, rng.choice([2, 3, 4], n, p=[0.2, 0.3, 0.5]), rng.integers(0, 5, n)).astype(float)
    units["length"] = units["position"] + 1

    def fires(share):
        return np.where(rng.random(n) < share, 1 + rng.random(n), 0.0)

    values = np.zeros((n, 6))
    values[:, TRUE] = fires(np.where(joy, 0.8, 0.05))
    values[:, LEXICAL] = fires(np.where(joy, 0.7, 0.02))
    values[:, VALENCE] = fires(np.where(np.isin(emotion, GOOD), 0.8, 0.05))
    values[:, POSITION] = np.maximum(units["position"] - 2 + rng.normal(0, 0.7, n), 0)
    values[:, FREQUENCY] = np.maximum(4 - units["frequency"] + rng.normal(0, 0.2, n), 0)
    values[np.flatnonzero(joy)[0], ONE_WORD] = 3.0
    row, column = values.nonzero()
    # every word ends in a token of its own, but those that the lexical feature reads end in token 7
    token = np.where(column == LEXICAL, 7, 1000 + row)
    tokens = pd.DataFrame({"unit": row, "token": token, "feature": column, "total": values[row, column]})
    tokens = tokens[tokens["unit"].isin(np.flatnonzero(~neutral))]
    matrix = csr_matrix(values.astype(np.float32))
    fired = (matrix > 0).astype(np.float32)
    reading = SiteReadings(SITE, matrix, fired, np.zeros((n, 0), np.float32), 1.0, np.ones(n))
    features = pd.DataFrame({"feature": range(6), "layer": 0, "site": SITE.hook_name, "language": "en"})
    features = features.assign(emotion="joy", selected=True, top=False)
    return units, ColumnReadings({SITE: reading}, {SITE: tokens}), features, values


def control(units, readings, features, **changes):
    valence = dict.fromkeys(GOOD, 2.0) | dict.fromkeys(BAD, -2.0)
    options = {"kind": "words", "valence": valence, "siblings": {}, "token_names": {7: "ness"}} | changes
    result = controls_from_readings(features, units, readings, match_neutral(units), **options)
    return result.to_frame().set_index("feature", drop=False)


@pytest.mark.parametrize("seed", range(5))
def test_each_confound_is_caught_by_its_own_column_and_the_true_feature_by_none(seed):
    units, readings, features, _ = planted(seed)
    frame = control(units, readings, features)
    for feature, caught in [
        (TRUE, []),
        (LEXICAL, ["lexical"]),
        (VALENCE, ["valence_only"]),
        (POSITION, ["positional"]),
    ]:
        assert [f for f in FLAGS if frame.loc[feature, f]] == caught, feature
        assert frame.loc[feature, "matched_p_holm"] < 0.05 and frame.loc[feature, "matched_auroc"] > 0.6
    rare = frame.loc[FREQUENCY]
    assert rare["rest_lo"] > 0.5 and not rare[FLAGS].any()
    assert rare["matched_p_holm"] > 0.05 and rare["matched_auroc"] < 0.62
    assert frame.loc[LEXICAL, "lexical_token"] == "ness" and frame.loc[LEXICAL, "token_share"] == 1
    assert frame.loc[POSITION, "position_r"] > 0.6 and abs(frame.loc[TRUE, "position_r"]) < 0.2
    assert frame.loc[ONE_WORD, "lexical"] and frame.loc[ONE_WORD, "n_lemmas"] == 1


def test_every_figure_can_be_recomputed_from_the_readings():
    units, readings, features, values = planted(7)
    frame = control(units, readings, features)
    joy = (units["emotion"] == "joy").to_numpy()
    mates = units["emotion"].isin(["pride", "relief"]).to_numpy()
    pairs = match_neutral(units)
    pairs = pairs[pairs["emotion"] == "joy"]
    left, right = pairs["unit"].to_numpy(), pairs["neutral"].to_numpy()
    for feature in (TRUE, VALENCE, POSITION):
        x, row = values[:, feature], frame.loc[feature]
        assert row["rest_auroc"] == pytest.approx(roc_auc_score(joy, x))
        assert row["valence_auroc"] == pytest.approx(roc_auc_score(joy[joy | mates], x[joy | mates]))
        both = np.concatenate([x[left], x[right]])
        assert row["matched_auroc"] == pytest.approx(roc_auc_score([1] * 40 + [0] * 40, both))
        hits = [(x[left] > 0).sum(), (x[right] > 0).sum()]
        table = [[hits[0], 40 - hits[0]], [hits[1], 40 - hits[1]]]
        assert row["matched_p"] == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
        place = units["position"].to_numpy()
        assert row["position_r"] == pytest.approx(spearmanr(x[~joy], place[~joy]).statistic)
        share = [
            np.mean((v > x[~joy & (place == p)]) + 0.5 * (v == x[~joy & (place == p)]))
            for v, p in zip(x[joy], place[joy], strict=True)
        ]
        assert row["position_auroc"] == pytest.approx(np.mean(share))
    assert np.allclose(frame["matched_p_holm"], holm(frame["matched_p"].to_numpy()))
    assert (frame["n_units"] == 40).all() and (frame["n_valence"] == 80).all() and (frame["n_matched"] == 40).all()
    for column, name in (("n_tokens", "length"), ("frequency", "frequency")):
        c = units[column].to_numpy()
        assert np.allclose(frame[f"matched_{name}_difference"], (c[left] - c[right]).mean())


def test_matching_takes_the_difference_in_frequency_away():
    units, readings, features, _ = planted(1)
    frame = control(units, readings, features)
    joy, neutral = (units["frequency"][units["emotion"] == e].mean() for e in ("joy", "neutral"))
    assert abs(frame["matched_frequency_difference"].iloc[0]) < 0.2 * abs(joy - neutral)


def test_the_discovery_half_changes_nothing():
    units, readings, features, values = planted(2)
    expected = control(units, readings, features)
    noise = np.concatenate([values, np.random.default_rng(0).random(values.shape)])
    matrix = csr_matrix(noise.astype(np.float32))
    fired = (matrix > 0).astype(np.float32)
    reading = SiteReadings(SITE, matrix, fired, np.zeros((len(noise), 0), np.float32), 1.0, np.ones(len(noise)))
    seen = units.assign(unit=units["unit"] + len(units), side="discovery", frequency=1.0)
    got = control(
        pd.concat([units, seen], ignore_index=True), ColumnReadings({SITE: reading}, readings.tokens), features
    )
    pd.testing.assert_frame_equal(got, expected)


def test_holm_runs_over_the_kept_features_and_siblings_are_no_valence_contrast():
    units, readings, features, _ = planted(3)
    features["selected"] = features["feature"].isin([TRUE, VALENCE])
    frame = control(units, readings, features, siblings={"joy": {"pride"}})
    kept = frame["feature"].isin([TRUE, VALENCE])
    assert np.allclose(frame["matched_p_holm"][kept], holm(frame["matched_p"][kept].to_numpy()))
    assert frame["matched_p_holm"][~kept].isna().all()
    assert (frame["n_valence"] == 40).all()


def test_an_emotion_of_unknown_valence_is_never_called_valence_only():
    units, readings, features, _ = planted(0)
    frame = control(units, readings, features, valence=dict.fromkeys([*GOOD, *BAD], np.nan))
    assert frame["valence_auroc"].isna().all() and (frame["n_valence"] == 0).all()
    assert not frame["valence_only"].any()


def test_ids_of_one_token_type_count_together():
    units = pd.DataFrame({"unit": [0, 1, 2], "emotion": ["joy", "joy", "fear"]})
    tokens = pd.DataFrame({"unit": [0, 1, 1, 2], "token": [1, 2, 3, 3], "feature": 5, "total": [2.0, 2.0, 3.0, 9.0]})
    apart = token_shares(tokens, units, {})
    assert apart.loc[("joy", 5)].tolist() == ["<3>", pytest.approx(3 / 7)]
    together = token_shares(tokens, units, {1: "joy", 2: "joy", 3: "x"})
    assert together.loc[("joy", 5)].tolist() == ["joy", pytest.approx(4 / 7)]
    assert together.loc[("fear", 5)].tolist() == ["x", 1.0]


def test_the_sign_of_valence_comes_from_the_rating_of_the_label(small_concepts):
    valence = emotion_valence(small_concepts, ["anger", "joy"])
    assert valence["anger"] < 0 < valence["joy"]
    assert np.isnan(emotion_valence(small_concepts, ["frobnication"])["frobnication"])


@pytest.fixture(scope="module", params=["words", "scenes"])
def found(request, tiny_subject, small_concepts, tiny_bank):
    if request.param == "words":
        return tiny_bank
    return ei.find_features(tiny_subject, small_concepts, stimuli="scenes")


def test_a_whole_bank_is_controlled_and_filtered(tiny_subject, small_concepts, found, tmp_path):
    controls = ei.feature_controls(tiny_subject, small_concepts, found)
    frame = controls.to_frame()
    assert len(frame) == len(found.features) and not frame.duplicated(list(KEYS)).any()
    assert frame["token_share"].dropna().between(0, 1).all()
    share = frame["n_matched"] / frame["n_units"]
    assert (share == 1).all() and frame["rest_auroc"].between(0, 1).all()
    bank = ei.FeatureBank.load(found.with_table("controls", frame).save(tmp_path / "bank"))
    lexical = bank.table("joy", lexical=True)
    assert lexical["lexical"].all() and len(lexical) == int(frame[frame["emotion"] == "joy"]["lexical"].sum())
    counts = controls.counts()
    assert counts["features"].sum() == len(frame) and "<table" in controls._repr_html_()
    kept = ei.feature_controls(tiny_subject, small_concepts, found, rows="kept").to_frame()
    both = frame.merge(kept, on=list(KEYS), suffixes=("", "_kept"))
    assert len(both) == len(kept)
    assert np.allclose(both["rest_auroc"], both["rest_auroc_kept"], atol=1e-6)
    assert np.allclose(both["matched_p_holm"], both["matched_p_holm_kept"])


def test_the_held_out_auroc_of_the_summary_is_made_of_the_same_readings(tiny_subject, small_concepts, found):
    """The plain AUROC against neutral and the rest comes from the units that the summary reports on."""
    frame = ei.feature_controls(tiny_subject, small_concepts, found, rows="kept").to_frame()
    row = frame.iloc[0]
    words, matrix = found.unit_activations(row["layer"], row["language"])
    held = (words["side"] == "confirmation").to_numpy()
    x = matrix[:, [row["feature"]]].toarray()[held, 0]
    own = (words["emotion"] == row["emotion"]).to_numpy()[held]
    assert row["rest_auroc"] == pytest.approx(roc_auc_score(own, x), abs=1e-3)


def test_other_concepts_another_subject_and_unknown_rows_are_refused(
    tiny_subject, hooked_subject, small_concepts, tiny_bank
):
    with pytest.raises(EmotionInterpError, match="not those the bank was found with"):
        ei.feature_controls(tiny_subject, small_concepts.subset(languages="en"), tiny_bank)
    with pytest.raises(EmotionInterpError, match="belongs to the subject"):
        ei.feature_controls(hooked_subject, small_concepts, tiny_bank)
    with pytest.raises(UnknownNameError, match="choice of rows"):
        ei.feature_controls(tiny_subject, small_concepts, tiny_bank, rows="best")


def test_a_bank_of_own_texts_needs_those_texts_again(tiny_subject, small_concepts):
    from emotion_interp.concepts import labelled_stimuli, scene_stimuli

    scenes = scene_stimuli(["en"], small_concepts.emotions)
    own = labelled_stimuli([s.text for s in scenes], [s.emotion for s in scenes])
    bank = ei.find_features(tiny_subject, small_concepts, layers=[0], stimuli=own)
    with pytest.raises(EmotionInterpError, match="pass them again"):
        ei.feature_controls(tiny_subject, small_concepts, bank)
    frame = ei.feature_controls(tiny_subject, small_concepts, bank, stimuli=own, rows="kept").to_frame()
    assert set(frame["language"]) == {"en"}
