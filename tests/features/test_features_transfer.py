"""Features of a bank on stimuli of another kind: planted truths, families, overlaps, and the table in the bank."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import fisher_exact
from sklearn.metrics import roc_auc_score

import emotion_interp as ei
from emotion_interp.activations.reading import SiteReadings
from emotion_interp.concepts import labelled_stimuli, scene_stimuli
from emotion_interp.core import EmotionInterpError, Site
from emotion_interp.features.transfer import transfer_from_readings
from emotion_interp.stats.corrections import holm

SITE = Site(0)
EMOTIONS = ["anger", "fear", "joy", "sadness"]


def planted(seed, n=30, planted=True):
    """Latent i carries emotion i on the new stimuli too for the first two emotions; latents 2 and 3 carry nothing there."""
    rng = np.random.default_rng(seed)
    emotion = np.repeat([*EMOTIONS, "neutral"], [n] * 4 + [2 * n])
    units = pd.DataFrame({"unit": np.arange(len(emotion)), "language": "en", "emotion": emotion})
    share = np.full((len(emotion), 4), 0.15)
    for i in range(2):
        share[emotion == EMOTIONS[i], i] = 0.7 if planted else 0.15
    values = np.where(rng.random(share.shape) < share, 1 + rng.random(share.shape), 0)
    features = pd.DataFrame({"feature": range(4), "emotion": EMOTIONS, "layer": 0, "site": SITE.hook_name})
    features = features.assign(language="en", auroc=0.9, selected=True, top=True)
    return units, values, features


def readings_of(values):
    matrix = csr_matrix(values.astype(np.float32))
    fired = (matrix > 0).astype(np.float32)
    return {SITE: SiteReadings(SITE, matrix, fired, np.zeros((len(values), 0), np.float32), 1.0, np.ones(len(values)))}


def run(units, values, features, kind="words", **options):
    options = {"n_resamples": 200} | options
    return transfer_from_readings(features, units, readings_of(values), "new", kind=kind, **options)


@pytest.mark.parametrize("kind", ["words", "texts"])
def test_planted_features_transfer_and_the_others_do_not(kind):
    frame = run(*planted(0), kind=kind).to_frame().set_index("emotion")
    assert frame["transfers"].to_dict() == {"anger": True, "fear": True, "joy": False, "sadness": False}
    assert (frame.loc[["anger", "fear"], "lo"] > 0.6).all()
    assert frame.loc["joy", "lo"] < 0.5 < frame.loc["joy", "hi"]


def test_the_family_wise_error_holds_where_nothing_transfers():
    runs = [run(*planted(seed, planted=False), n_resamples=5).frame["transfers"].any() for seed in range(60)]
    assert sum(runs) <= 7


@pytest.mark.parametrize("kind", ["words", "texts"])
def test_every_figure_can_be_recomputed(kind):
    units, values, features = planted(3)
    frame = run(units, values, features, kind).to_frame()
    emotion = units["emotion"].to_numpy()
    for row in frame.itertuples():
        x, own = values[:, row.feature].astype(np.float32), emotion == row.emotion
        against = {
            e: roc_auc_score(own[own | (emotion == e)], x[own | (emotion == e)])
            for e in [*EMOTIONS, "neutral"]
            if e != row.emotion
        }
        others = np.mean([against[e] for e in EMOTIONS if e != row.emotion])
        assert row.auroc == pytest.approx(0.5 * against["neutral"] + 0.5 * others)
        fires = x > 0 if kind == "words" else x > max(0, np.quantile(x, 0.75))
        table = [[(fires & own).sum(), (~fires & own).sum()], [(fires & ~own).sum(), (~fires & ~own).sum()]]
        assert row.p == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
        assert row.coverage == pytest.approx(fires[own].mean()) and row.n_units == own.sum()
        assert row.lo <= row.auroc <= row.hi
    assert np.allclose(frame["p_holm"], holm(frame["p"].to_numpy()))


def test_top_features_are_a_family_of_their_own():
    units, values, features = planted(1)
    top = run(units, values, features).to_frame()
    more = pd.concat([features, features.assign(top=False, feature=[1, 2, 3, 0])], ignore_index=True)
    both = run(units, values, more).to_frame()
    assert np.allclose(both["p_holm"][both["top"]], top["p_holm"])
    assert np.allclose(both["p_holm"][~both["top"]], holm(both["p"].to_numpy())[~both["top"]])


def test_rare_emotions_are_neither_tested_nor_a_contrast():
    units, values, features = planted(2)
    rare = np.flatnonzero(units["emotion"] == "sadness")[4:]
    kept = units.drop(index=rare)
    frame = run(kept, values, features).to_frame()
    assert set(frame["emotion"]) == {"anger", "fear", "joy"}
    without = run(units[units["emotion"] != "sadness"], values, features).to_frame()
    pd.testing.assert_frame_equal(frame, without)
    with pytest.raises(EmotionInterpError, match="no emotion of these features has 5 units"):
        run(units.groupby("emotion").head(4), values, features)


def test_the_same_seed_gives_the_same_interval_whatever_else_is_tested():
    units, values, features = planted(4)
    whole = run(units, values, features, seed=3).to_frame()
    one = run(units, values, features.head(1), seed=3).to_frame()
    assert whole.loc[0, ["lo", "hi"]].tolist() == one.loc[0, ["lo", "hi"]].tolist()
    assert (
        whole.loc[0, ["lo", "hi"]].tolist()
        != run(units, values, features, seed=4).to_frame().loc[0, ["lo", "hi"]].tolist()
    )


@pytest.fixture(scope="module")
def scene_bank(tiny_subject, small_concepts):
    return ei.find_features(tiny_subject, small_concepts, stimuli="scenes")


def test_words_are_tested_on_scenes_and_scenes_on_words(tiny_subject, small_concepts, tiny_bank, scene_bank, tmp_path):
    for bank, name in ((tiny_bank, "scenes"), (scene_bank, "words")):
        result = ei.transfer(tiny_subject, small_concepts, bank, n_resamples=100)
        frame = result.to_frame()
        assert result.tested_on == name and (frame["tested_on"] == name).all()
        assert len(frame) == int((bank.features["selected"] | bank.features["top"]).sum())
        assert frame["auroc"].between(0, 1).all() and (frame["lo"] <= frame["hi"]).all()
        loaded = ei.FeatureBank.load(result.add_to(bank).save(tmp_path / name))
        pd.testing.assert_frame_equal(loaded.extras["transfer"], frame)
        assert result.by_layer()["top"].sum() == int(frame["top"].sum()) and "<table" in result._repr_html_()


def test_the_auroc_on_scenes_is_that_of_a_plain_reading(tiny_subject, small_concepts, tiny_bank):
    from emotion_interp.activations import read_stimuli

    row = ei.transfer(tiny_subject, small_concepts, tiny_bank, rows="top", n_resamples=10).to_frame().iloc[0]
    scenes = [s for s in scene_stimuli([row["language"]]) if s.emotion in {*small_concepts.emotions, "neutral"}]
    site = Site.parse(row["site"])
    values = (
        read_stimuli(tiny_subject, scenes, np.arange(len(scenes)), sites=[site], position="text", skip=8)[site]
        .features[:, [row["feature"]]]
        .toarray()[:, 0]
    )
    emotion = np.asarray([s.emotion for s in scenes])
    own = emotion == row["emotion"]

    def auroc(other):
        keep = own | (emotion == other)
        return roc_auc_score(own[keep], values[keep])

    others = np.mean([auroc(e) for e in small_concepts.emotions if e != row["emotion"]])
    assert row["auroc"] == pytest.approx(0.5 * auroc("neutral") + 0.5 * others, abs=1e-3)


def test_several_tests_stand_side_by_side_and_a_new_one_replaces_its_own(tiny_subject, small_concepts, tiny_bank):
    scenes = scene_stimuli(["en"], small_concepts.emotions)
    one = ei.transfer(tiny_subject, small_concepts, tiny_bank, scenes, tested_on="a", rows="top", n_resamples=10)
    two = ei.transfer(tiny_subject, small_concepts, tiny_bank, scenes, tested_on="b", rows="kept", n_resamples=10)
    bank = one.add_to(two.add_to(one.add_to(tiny_bank)))
    counts = bank.extras["transfer"]["tested_on"].value_counts().to_dict()
    assert counts == {"a": len(one.frame), "b": len(two.frame)}
    assert "transfer" not in tiny_bank.extras


def test_texts_the_bank_was_found_on_are_skipped_and_its_own_kind_refused(tiny_subject, small_concepts, scene_bank):
    known = scene_stimuli(["en"], small_concepts.emotions)
    new = labelled_stimuli(
        [f"{s.text} So it was." for s in known] + [known[0].text.upper(), "  " + known[1].text],
        [s.emotion for s in known] + [known[0].emotion, known[1].emotion],
    )
    result = ei.transfer(tiny_subject, small_concepts, scene_bank, new, n_resamples=10)
    assert result.n_skipped == 2 and result.tested_on == "texts"
    with pytest.raises(EmotionInterpError, match="nothing is left to test on"):
        ei.transfer(tiny_subject, small_concepts, scene_bank, known)
    with pytest.raises(EmotionInterpError, match="bank was found on scenes"):
        ei.transfer(tiny_subject, small_concepts, scene_bank, "scenes")


def test_texts_a_bank_was_found_on_are_known_by_their_hashes(tiny_subject, small_concepts):
    scenes = scene_stimuli(["en"], small_concepts.emotions)
    own = labelled_stimuli([s.text for s in scenes], [s.emotion for s in scenes])
    bank = ei.find_features(tiny_subject, small_concepts, layers=[0], stimuli=own)
    respaced = labelled_stimuli([f"  {s.text.upper()} " for s in scenes], [s.emotion for s in scenes])
    for again in (own, respaced):
        with pytest.raises(EmotionInterpError, match="nothing is left"):
            ei.transfer(tiny_subject, small_concepts, bank, again)
    assert len(ei.transfer(tiny_subject, small_concepts, bank, "words", n_resamples=10).frame)
    # banks of earlier versions have no hashes and must be told
    older = dataclasses.replace(bank, words=bank.words.drop(columns="text_sha256"))
    with pytest.raises(EmotionInterpError, match="found_on="):
        ei.transfer(tiny_subject, small_concepts, older, own)
    with pytest.raises(EmotionInterpError, match="nothing is left"):
        ei.transfer(tiny_subject, small_concepts, older, own, found_on=own)
