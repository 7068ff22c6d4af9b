"""Sparse and dense probes: planted sets of features, no leak of the confirmation half, fits against their definitions."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

import emotion_interp as ei
from emotion_interp.activations.reading import SiteReadings
from emotion_interp.core import EmotionInterpError, Site, UnknownNameError
from emotion_interp.features.dense import contrast_means, neutral_components
from emotion_interp.features.design import design_stimuli
from emotion_interp.features.probe_fits import (
    balanced_weights,
    cross_validated_ridge,
    dense_cleaner,
    group_folds,
    logistic_weights,
    ridge_weights,
)
from emotion_interp.features.probes import probes_from_readings
from emotion_interp.stats.scores import composite_auroc, pairwise_auroc

SITE = Site(0)


def halves_of_joy(subject, concepts, seed=0):
    """Latent 5 fires on one half of joy, latent 9 on the other; the stream carries joy along its first axis."""
    words = design_stimuli(concepts, "words", seed).words
    rng = np.random.default_rng(seed)
    values = np.zeros((len(words), subject.readers[SITE].d_sae), dtype=np.float32)
    values[:, 40:80] = np.where(rng.random((len(words), 40)) < 0.1, rng.random((len(words), 40)), 0)
    joy = np.flatnonzero(words["emotion"] == "joy")
    values[joy[0::2], 5] = 1 + rng.random(len(joy[0::2]))
    values[joy[1::2], 9] = 1 + rng.random(len(joy[1::2]))
    dense = rng.normal(size=(len(words), subject.d_model)).astype(np.float32)
    dense[joy, 0] += 3
    features = csr_matrix(values)
    reading = SiteReadings(SITE, features, (features > 0).astype(np.float32), dense, 1.0, np.ones(len(words)))
    return words, {SITE: reading}


@pytest.fixture(scope="module")
def planted(tiny_subject, small_concepts):
    words, readings = halves_of_joy(tiny_subject, small_concepts)
    return probes_from_readings(tiny_subject, small_concepts, words, readings, ks=(1, 2, 4), seed=0)


def test_two_features_that_each_carry_half_an_emotion_beat_either_alone(planted):
    joy = planted.to_frame().query("emotion == 'joy'").set_index(["language", "k"])
    for language in ("en", "zh"):
        assert set(joy.loc[(language, 2), "features"]) == {5, 9}
        assert 0.6 < joy.loc[(language, 1), "auroc_heldout"] < 0.85
        assert joy.loc[(language, 2), "auroc_heldout"] > 0.99
        assert min(joy.loc[(language, 2), "weights"]) > 0


def test_the_sets_grow_and_never_see_the_confirmation_half(tiny_subject, small_concepts, planted):
    frame = planted.to_frame()
    for _, rows in frame.groupby(["layer", "language", "emotion"]):
        sets = rows.sort_values("k")["features"].tolist()
        assert sets[0] == sets[1][:1] and sets[1] == sets[2][:2]
    words, readings = halves_of_joy(tiny_subject, small_concepts)
    held = np.flatnonzero(words["side"] == "confirmation")
    changed = readings[SITE].features.tolil()
    changed[held] = 3.0
    dense = readings[SITE].dense.copy()
    dense[held] += 5
    other = {SITE: SiteReadings(SITE, csr_matrix(changed), csr_matrix(changed), dense, 1.0, readings[SITE].n_stimuli)}
    after = probes_from_readings(tiny_subject, small_concepts, words, other, ks=(1, 2, 4), seed=0)
    columns = ["features", "weights", "auroc"]
    pd.testing.assert_frame_equal(after.to_frame()[columns], frame[columns])
    pd.testing.assert_series_equal(after.baselines()["penalty"], planted.baselines()["penalty"])


def test_held_out_figures_are_the_composite_auroc_of_the_weighted_sum(tiny_subject, small_concepts, planted):
    words, readings = halves_of_joy(tiny_subject, small_concepts)
    row = planted.to_frame().query("emotion == 'fear' and language == 'en' and k == 4").iloc[0]
    held = words[(words["side"] == "confirmation") & (words["language"] == "en")]
    scores = readings[SITE].features[held["unit"].to_numpy()][:, list(row["features"])] @ np.array(row["weights"])
    own = scores[held["emotion"] == "fear"]

    def auroc(name):
        rest = scores[held["emotion"] == name]
        return np.mean([(a > b) + 0.5 * (a == b) for a in own for b in rest])

    expected = 0.5 * auroc("neutral") + 0.5 * np.mean([auroc(e) for e in ("anger", "joy", "sadness")])
    assert np.isclose(row["auroc_heldout"], expected)


def test_dense_baselines_find_what_the_stream_carries_and_nothing_else(planted):
    table = planted.baselines().set_index(["emotion", "language"])
    columns = ["means_auroc", "means_clean_auroc", "probe_auroc", "probe_clean_auroc"]
    assert (table.loc["joy", columns] > 0.85).all().all()
    assert (table.query("emotion != 'joy'")[columns].mean() - 0.5).abs().max() < 0.15
    by_layer = planted.by_layer()
    assert list(by_layer.columns) == ["layer", "site", "language", "k=1", "k=2", "k=4", *columns]
    first = planted.to_frame().query("language == 'en' and k == 1")["auroc_heldout"].median()
    assert by_layer.loc[by_layer["language"] == "en", "k=1"].item() == first


def test_a_probe_as_direction_is_the_weighted_sum_of_decoder_rows(tiny_subject, planted):
    row = planted.to_frame().query("emotion == 'joy' and language == 'zh' and k == 2").iloc[0]
    direction = planted.direction("joy", 0, 2, "zh")
    rows = tiny_subject.readers[SITE].decoder_rows(row["features"]).double().numpy()
    assert np.allclose(direction.vector, np.array(row["weights"]) @ rows, atol=1e-6)
    assert direction.site == SITE
    for arguments in (("joi", 0, 2, "zh"), ("joy", 7, 2, "zh"), ("joy", 0, 3, "zh"), ("joy", 0, 2, "es")):
        with pytest.raises(UnknownNameError, match="Available"):
            planted.direction(*arguments)


def test_probes_read_the_subject_themselves_and_repeat_themselves(tiny_subject, small_concepts):
    two = small_concepts.subset(emotions=["joy", "fear"])
    first = ei.sparse_probes(tiny_subject, two, (1, 200), layers=[1], stimuli="scenes")
    again = ei.sparse_probes(tiny_subject, two, (200, 1), layers=[1], stimuli="scenes")
    pd.testing.assert_frame_equal(first.to_frame(), again.to_frame())
    pd.testing.assert_frame_equal(first.baselines(), again.baselines())
    assert first.to_frame().query("k == 200")["n_features"].max() <= 128
    assert "<table" in first._repr_html_()


def test_what_cannot_be_probed_is_refused(tiny_subject, small_concepts):
    for ks, why in (
        ((), "whole numbers from 1"),
        ((0,), "ks is a number of at least 1"),
        ((1.5,), "ks is a"),
        ((True,), "ks is a"),
    ):
        with pytest.raises(EmotionInterpError, match=why):
            ei.sparse_probes(tiny_subject, small_concepts, ks)
    with pytest.raises(UnknownNameError, match="SAE layer"):
        ei.sparse_probes(tiny_subject, small_concepts, layers=[2])
    bare = ei.Subject(tiny_subject.model, tokenizer=tiny_subject.tokenizer)
    with pytest.raises(EmotionInterpError, match="has no SAE"):
        ei.sparse_probes(bare, small_concepts)


def some_words(rng, n=60, d=8):
    codes = np.arange(n) % 4
    values = rng.normal(size=(n, d))
    values[codes == 1, 0] += 2
    return values, codes


def test_balanced_weights_make_the_difference_of_means_of_the_dense_direction(rng):
    values, codes = some_words(rng)
    codes[:20] = 3
    for target, neutral in ((1, 3), (1, None), (0, 3)):
        weights = balanced_weights(codes, target, neutral)
        assert np.isclose(weights.sum(), 1)
        assert np.isclose(weights[codes == target].sum(), 0.5)
        signed = np.where(codes == target, weights, -weights)
        assert np.allclose(2 * signed @ values, contrast_means(values, codes, 4, neutral)[target])


def test_ridge_is_that_of_scikit_learn(rng):
    from sklearn.linear_model import Ridge

    for n, d in ((60, 8), (20, 50)):
        values, codes = some_words(rng, n, d)
        sample = balanced_weights(codes, 1, 3)
        got = ridge_weights(values, codes == 1, sample, np.array([0.1, 10.0]))
        centred = np.sqrt(sample)[:, None] * (values - sample @ values)
        for row, penalty in zip(got, (0.1, 10.0), strict=True):
            model = Ridge(alpha=penalty * (centred**2).sum() / d, tol=1e-10)
            model.fit(values, np.where(codes == 1, 1.0, -1.0), sample_weight=sample)
            assert np.allclose(row, model.coef_, atol=1e-8)


def test_logistic_weights_follow_the_units_of_the_feature(rng):
    values, codes = some_words(rng)
    sample = balanced_weights(codes, 1, 3)
    weights = logistic_weights(values, codes == 1, sample)
    assert np.argmax(np.abs(weights)) == 0 and weights[0] > 0
    scaled = logistic_weights(values * 10.0, codes == 1, sample)
    assert np.allclose(values @ weights, 10 * values @ scaled, rtol=1e-3, atol=1e-3)
    silent = np.column_stack([values, np.zeros(len(values))])
    assert logistic_weights(silent, codes == 1, sample)[-1] == 0


def test_folds_keep_groups_together_and_share_out_every_class(rng):
    codes = np.repeat(np.arange(3), 16)
    groups = np.asarray([f"{c} {i // 2}" for c in range(3) for i in range(16)])
    fold = group_folds(codes, groups, 0)
    table = pd.DataFrame({"group": groups, "fold": fold, "code": codes})
    assert table.groupby("group")["fold"].nunique().max() == 1
    assert (table.groupby(["code", "fold"]).size() == 4).all()


def test_the_cross_validated_probe_generalises_and_takes_a_strong_penalty_for_few_words(rng):
    values, codes = some_words(rng, 80, 40)
    new, new_codes = some_words(rng, 400, 40)
    groups = np.arange(80).astype(str)
    weights, penalty = cross_validated_ridge(values, codes, 1, 3, 4, groups, 0)
    score = composite_auroc(pairwise_auroc((new @ weights)[:, None], new_codes, 1, 4), 1, 3)[0]
    assert score > 0.8
    assert penalty >= 0.1
    one = np.flatnonzero(codes == 1)[1:]
    kept = np.setdiff1d(np.arange(80), one)
    _, penalty = cross_validated_ridge(values[kept], codes[kept], 1, 3, 4, groups[kept], 0)
    assert penalty == 100.0


def test_the_cleaner_removes_the_neutral_components_and_no_more(rng):
    values, codes = some_words(rng)
    cleaned = dense_cleaner(values, codes, 3)(values)
    components = neutral_components(values[codes == 3])
    assert np.allclose(cleaned @ components.T, 0)
    assert np.linalg.matrix_rank(cleaned) == values.shape[1] - len(components)
    assert dense_cleaner(values, codes, None)(values) is values


def test_the_ridge_solves_in_words_or_in_dimensions_whichever_are_fewer(rng):
    from emotion_interp.features.probe_fits import ridge_weights

    values, target = rng.normal(size=(30, 12)), np.arange(30) % 3 == 0
    sample = rng.random(30)
    sample /= sample.sum()
    penalties = np.asarray([0.01, 1.0, 10.0])
    x, y = values - sample @ values, np.where(target, 1.0, -1.0) - sample @ np.where(target, 1.0, -1.0)
    gram = (x * sample[:, None]).T @ x
    scale = np.trace(gram) / 12
    expected = [np.linalg.solve(gram + p * scale * np.eye(12), (x * sample[:, None]).T @ y) for p in penalties]
    assert np.allclose(ridge_weights(values, target, sample, penalties), expected, rtol=1e-9, atol=1e-12)
    wide = np.hstack([values, rng.normal(size=(30, 40))])
    x = wide - sample @ wide
    gram = (x * sample[:, None]).T @ x
    expected = [
        np.linalg.solve(gram + p * np.trace(gram) / 52 * np.eye(52), (x * sample[:, None]).T @ y) for p in penalties
    ]
    assert np.allclose(ridge_weights(wide, target, sample, penalties), expected, rtol=1e-9, atol=1e-12)
