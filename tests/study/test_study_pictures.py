"""What the pictures of a study show: against brute force."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import procrustes
from scipy.stats import spearmanr

from emotion_interp.core.types import Site
from emotion_interp.geometry import EmotionSpace, align, align_layers
from emotion_interp.study.pictures import best_predictions, chance_limits, dissimilarity_table, point_covariances
from emotion_interp.study.stages import _alignment_tables

EMOTIONS = ["joy", "love", "calm", "fear", "anger", "sadness", "boredom", "pride"]


def _norms() -> pd.DataFrame:
    values = np.random.default_rng(3).uniform(1, 9, (len(EMOTIONS), 2))
    return pd.DataFrame(values, columns=["valence", "arousal"]).assign(word=EMOTIONS)


def _space(layer: int = 0, units: int = 6) -> EmotionSpace:
    random = np.random.default_rng(layer)
    names = [e for e in EMOTIONS for _ in range(units)]
    centres = np.repeat(random.normal(0, 2, (len(EMOTIONS), 12)), units, axis=0)
    values = centres + random.normal(0, 1, (len(names), 12))
    return EmotionSpace.from_units(values, names, EMOTIONS, layer=layer, kind="features", language="en")


def test_the_pairs_correlate_as_the_alignment_says() -> None:
    space = _space()
    fit = align(space, _norms(), 19, n_bootstrap=0)
    table = dissimilarity_table(space, fit)
    assert len(table) == 28
    assert spearmanr(table["model"], table["people"])[0] == pytest.approx(fit.rsa.rho)
    vectors = space.vectors - space.vectors.mean(axis=0)
    row = table[(table["emotion_a"] == "love") & (table["emotion_b"] == "anger")].iloc[0]
    a, b = vectors[EMOTIONS.index("love")], vectors[EMOTIONS.index("anger")]
    assert row["model"] == pytest.approx(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_covariance_is_that_of_the_units_in_the_plane_of_the_picture() -> None:
    space = _space()
    fit = align(space, _norms(), 19, n_bootstrap=0)
    found = point_covariances(space, fit)
    # the plane once more: each unit's place is the point that the picture would give its vector
    drawn = fit.points[["x", "y"]].to_numpy()
    centred = space.vectors - space.vectors.mean(axis=0)
    plane = np.linalg.svd(centred, full_matrices=False)[2][:2]
    turn = np.linalg.solve((centred @ plane.T).T @ (centred @ plane.T), (centred @ plane.T).T @ (drawn - drawn.mean(0)))
    assert np.allclose(centred @ plane.T @ turn + drawn.mean(0), drawn)
    for i, emotion in enumerate(EMOTIONS):
        own = np.asarray(space.units)[np.asarray(space.unit_emotions) == emotion] @ plane.T @ turn
        own = own - own.mean(axis=0)
        expected = own.T @ own / (len(own) - 1) / len(own)
        assert np.allclose(found[i], [expected[0, 0], expected[1, 1], expected[0, 1]])
    assert fit.procrustes is not None
    assert procrustes(fit.points[["valence", "arousal"]].to_numpy(), drawn)[2] == pytest.approx(
        fit.procrustes.disparity
    )


def test_a_space_without_units_or_with_too_few_has_no_covariance() -> None:
    space = _space()
    bare = EmotionSpace(space.vectors, EMOTIONS)
    assert np.isnan(point_covariances(bare, align(bare, _norms(), 9, n_bootstrap=0))).all()
    two = _space(units=2)
    assert np.isnan(point_covariances(two, align(two, _norms(), 9, n_bootstrap=0))).all()


def test_chance_limits_are_the_quantiles_of_reordered_ratings() -> None:
    space = _space()
    fit = align(space, _norms(), 19, n_bootstrap=0)
    (limits,) = chance_limits([space], [fit])
    random = np.random.default_rng(99)
    table, people = dissimilarity_table(space, fit), fit.points[["valence", "arousal"]].to_numpy()
    scores = np.linalg.svd(space.vectors - space.vectors.mean(0), full_matrices=False)[0][:, : len(fit.valence.r_by_pc)]
    largest, rhos = [], []
    for _ in range(600):
        order = random.permutation(len(EMOTIONS))
        largest.append(max(abs(np.corrcoef(people[order, 0], score)[0, 1]) for score in scores.T))
        first, second = np.triu_indices(len(EMOTIONS), 1)
        distances = np.linalg.norm(people[order][first] - people[order][second], axis=1)
        rhos.append(spearmanr(table["model"], distances)[0])
    assert limits["valence_chance"] == pytest.approx(np.quantile(largest, 0.95), abs=0.04)
    assert limits["rsa_chance_lo"] == pytest.approx(np.quantile(rhos, 0.025), abs=0.08)
    assert limits["rsa_chance_hi"] == pytest.approx(np.quantile(rhos, 0.975), abs=0.08)


def test_the_tables_hold_the_pairs_of_the_best_layer_only() -> None:
    spaces = [replace(_space(layer), site=Site(layer)) for layer in range(3)]
    aligned = align_layers(spaces, _norms(), 19, n_bootstrap=0)
    tables = _alignment_tables(spaces, aligned)
    best = tables["alignment"].sort_values("rsa_rho").iloc[-1]["layer"]
    assert set(tables["rdms"]["layer"]) == {best} and len(tables["rdms"]) == 28
    assert {"model_var_x", "model_var_y", "model_cov"} <= set(tables["points"].columns)
    for column in ("valence_chance", "arousal_chance", "rsa_chance_lo", "rsa_chance_hi"):
        assert tables["alignment"][column].notna().tolist() == [True] * 3, column


def test_the_words_are_those_of_the_best_layer_within_each_language() -> None:
    rows = [
        (0, "all", "en", "en", "valence", 0.2),
        (1, "all", "en", "en", "valence", 0.6),
        (0, "outside", "en", "en", "valence", 0.9),
        (0, "all", "en", "zh", "valence", 0.95),
    ]
    keys = ["layer", "feature_set", "train_language", "test_language", "dimension"]
    table = pd.DataFrame(rows, columns=[*keys, "r"]).assign(site=lambda t: [str(Site(n)) for n in t["layer"]])
    keys.append("site")
    words = pd.concat([table[keys].assign(word=w, human=5.0, predicted=4.0) for w in ("sun", "rain")])
    found = best_predictions(SimpleNamespace(to_frame=lambda: table, predictions=words))
    assert found["layer"].tolist() == [1, 1] and sorted(found["word"]) == ["rain", "sun"]
    assert set(found["feature_set"]) == {"all"} and set(found["test_language"]) == {"en"}
