"""Alignment: planted geometry, brute-force recomputation, calibration, families of layers, and refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import spatial, stats

from emotion_interp.core import EmotionInterpError, Site, UnknownNameError
from emotion_interp.geometry import EmotionSpace, align, align_layers
from emotion_interp.norms import load_norms
from emotion_interp.stats.intervals import permutations

EMOTIONS = [
    *("joy", "love", "calm", "fear", "anger", "sadness", "boredom", "pride"),
    *("shame", "excitement", "disgust", "gratitude", "hope", "guilt"),
]


def frame(seed: int = 0, n: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"word": [f"e{i}" for i in range(n)], "valence": rng.uniform(1, 9, n), "arousal": rng.uniform(1, 9, n)}
    )


def space(seed: int = 1, n: int = 12, d: int = 6, **more: object) -> EmotionSpace:
    return EmotionSpace(np.random.default_rng(seed).normal(size=(n, d)), [f"e{i}" for i in range(n)], **more)  # type: ignore[arg-type]


def z(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def test_a_planted_valence_arousal_plane_is_found() -> None:
    norms = load_norms("builtin")
    rated = norms.lookup(EMOTIONS)[["valence", "arousal"]].to_numpy()
    rng = np.random.default_rng(0)
    planted = z(rated) @ np.array([[3.0, 0], [0, 2.0]]) @ np.linalg.qr(rng.normal(size=(40, 2)))[0].T
    fit = align(EmotionSpace(planted + 0.1 * rng.normal(size=planted.shape), EMOTIONS, layer=4), norms, 999, seed=1)
    assert fit.valence.pc == 1 and abs(fit.valence.r) > 0.9 and fit.valence.p == pytest.approx(0.001)
    assert fit.arousal is not None and fit.arousal.pc == 2 and abs(fit.arousal.r) > 0.9
    assert fit.rsa.rho > 0.5 and fit.rsa.p == pytest.approx(0.001)
    assert fit.rsa.ceiling is not None and 0.5 < fit.rsa.ceiling <= 1
    assert fit.procrustes is not None and fit.procrustes.disparity < 0.15 and fit.procrustes.p == pytest.approx(0.001)
    assert fit.circumplex is not None and fit.circumplex.r > 0.7 and fit.circumplex.p < 0.01
    assert fit.readout.valence_r > 0.9 and fit.readout.arousal_r > 0.8 and fit.readout.valence_q2 > 0.8
    np.testing.assert_allclose(fit.points["x"], fit.points["valence"], atol=1.2)
    assert fit.layer == 4 and fit.n_emotions == len(EMOTIONS)


def test_two_sites_of_one_layer_have_rows_of_their_own() -> None:
    post, mlp = Site(3), Site(3, "mlp_out")
    found = align_layers({post: space(1), mlp: space(2, site="blocks.3.hook_mlp_out")}, frame(), 9, n_bootstrap=0)
    assert found.to_frame()[["layer", "site"]].to_numpy().tolist() == [[3, str(post)], [3, str(mlp)]]
    assert found.at(mlp).rsa.rho == found.at(str(mlp)).rsa.rho == found.alignments[1].rsa.rho
    assert found.at(3) is found.at(post) is found.alignments[0]
    assert space(site=mlp).subset(["e1", "e2"]).site == mlp
    assert align_layers({5: space(1)}, frame(), 9, n_bootstrap=0).to_frame()["site"].tolist() == [""]


def test_every_p_and_statistic_equals_a_brute_force_recomputation() -> None:
    table, sp, m, seed = frame(), space(), 39, 3
    fit = align(sp, table, m, seed, n_bootstrap=0)
    human = table[["valence", "arousal"]].to_numpy()
    n = len(human)
    centred = sp.vectors - sp.vectors.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    scores = left * singular
    upper = np.triu_indices(n, 1)
    model_rdm = spatial.distance.squareform(spatial.distance.pdist(centred, "cosine"))[upper]

    def statistics(rows: np.ndarray) -> dict[str, float]:
        r = np.array([[stats.pearsonr(scores[:, k], rows[:, d])[0] for k in range(scores.shape[1])] for d in (0, 1)])
        distances = spatial.distance.squareform(spatial.distance.pdist(z(rows)))[upper]
        first, second, disparity = spatial.procrustes(z(rows), scores[:, :2])
        angle_1, angle_2 = np.arctan2(first[:, 1], first[:, 0]), np.arctan2(second[:, 1], second[:, 0])
        top = bottom_1 = bottom_2 = 0.0
        for i in range(n):
            for j in range(i + 1, n):
                a, b = np.sin(angle_1[i] - angle_1[j]), np.sin(angle_2[i] - angle_2[j])
                top, bottom_1, bottom_2 = top + a * b, bottom_1 + a * a, bottom_2 + b * b
        readout = [left_one_out(sp.vectors, rows[:, d]) for d in (0, 1)]
        return {
            "valence": float(np.abs(r[0]).max()),
            "arousal": float(np.abs(r[1]).max()),
            "rho": stats.spearmanr(model_rdm, distances)[0],
            "procrustes": -disparity,
            "circumplex": top / np.sqrt(bottom_1 * bottom_2),
            "readout_valence": stats.pearsonr(readout[0], rows[:, 0])[0],
            "readout_arousal": stats.pearsonr(readout[1], rows[:, 1])[0],
        }

    observed = statistics(human)
    null = [statistics(human[order]) for order in permutations(n, m, seed)]
    p = {k: (sum(x[k] >= v - 1e-12 for x in null) + 1) / (m + 1) for k, v in observed.items()}
    assert fit.arousal and fit.procrustes and fit.circumplex
    found = {
        "valence": (abs(fit.valence.r), fit.valence.p),
        "arousal": (abs(fit.arousal.r), fit.arousal.p),
        "rho": (fit.rsa.rho, fit.rsa.p),
        "procrustes": (-fit.procrustes.disparity, fit.procrustes.p),
        "circumplex": (fit.circumplex.r, fit.circumplex.p),
        "readout_valence": (fit.readout.valence_r, fit.readout.valence_p),
        "readout_arousal": (fit.readout.arousal_r, fit.readout.arousal_p),
    }
    for name, (value, its_p) in found.items():
        assert value == pytest.approx(observed[name], abs=1e-9), name
        assert its_p == pytest.approx(p[name]), name


def left_one_out(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Refit without each emotion, at the penalty of the whole space (the mean squared length of its vectors)."""
    from sklearn.linear_model import Ridge

    alpha = ((x - x.mean(axis=0)) ** 2).sum() / (len(x) - 1)
    predicted = np.empty(len(y))
    for i in range(len(y)):
        keep = np.arange(len(y)) != i
        predicted[i] = Ridge(alpha=alpha).fit(x[keep], y[keep]).predict(x[i : i + 1])[0]
    return predicted


def test_points_hold_the_procrustes_fit_and_the_leave_one_out_predictions() -> None:
    table, sp = frame(), space()
    fit = align(sp, table, 9, n_bootstrap=0)
    assert fit.procrustes is not None
    rated = z(table[["valence", "arousal"]].to_numpy())
    np.testing.assert_allclose(fit.points[["valence", "arousal"]], rated)
    left_over = ((fit.points[["x", "y"]].to_numpy() - rated) ** 2).sum() / (rated**2).sum()
    assert left_over == pytest.approx(fit.procrustes.disparity)
    predicted = left_one_out(sp.vectors, table["valence"].to_numpy())
    np.testing.assert_allclose(fit.points["readout_valence"], predicted)
    others = (table["valence"].sum() - table["valence"]) / (len(table) - 1)
    q2 = 1 - ((table["valence"] - predicted) ** 2).sum() / ((table["valence"] - others) ** 2).sum()
    assert fit.readout.valence_q2 == pytest.approx(q2)


def test_null_runs_are_called_significant_as_often_as_they_should() -> None:
    runs, hits = 300, {}
    for run in range(runs):
        rng = np.random.default_rng(run)
        vectors = rng.normal(size=(14, 20)) * np.geomspace(4, 0.5, 20)
        row = align(
            EmotionSpace(vectors, [f"e{i}" for i in range(14)]), frame(10_000 + run, 14), 199, seed=run, n_bootstrap=0
        ).row()
        for name, value in row.items():
            if name.endswith("_p"):
                hits[name] = hits.get(name, 0) + (value <= 0.05)
    assert len(hits) == 7
    low, high = stats.binom.ppf([0.0005, 0.9995], runs, 0.05)
    assert all(low <= count <= high for count in hits.values()), hits


def test_null_of_the_readout_lies_below_zero_and_its_p_allows_for_it() -> None:
    runs = [align(space(s, 10, 15), frame(100 + s, 10), 99, n_bootstrap=0).readout for s in range(60)]
    assert np.mean([r.valence_r for r in runs]) < -0.1
    assert 0.35 < np.mean([r.valence_p for r in runs]) < 0.65


def test_results_do_not_depend_on_the_order_of_emotions_or_the_scale_of_vectors() -> None:
    table, sp = frame(), space()
    order = np.random.default_rng(5).permutation(12)
    turned = np.linalg.qr(np.random.default_rng(6).normal(size=(6, 6)))[0]
    other = EmotionSpace(50 * sp.vectors[order] @ turned + 3, [sp.emotions[i] for i in order])
    one, two = (align(s, table, 9, n_bootstrap=0).row() for s in (sp, other))
    for name in ("valence_r", "arousal_r"):
        assert abs(one[name]) == pytest.approx(abs(two[name]))
    for name in ("rsa_rho", "procrustes_disparity", "readout_valence_r", "readout_arousal_q2", "circumplex_r"):
        assert one[name] == pytest.approx(two[name]), name


def test_layers_share_permutations_and_p_layers_is_the_max_over_layers() -> None:
    table, m = frame(), 49
    spaces = [space(s, layer=s) for s in (1, 2, 3)]
    layers = align_layers(spaces, table, m, seed=7, n_bootstrap=0)
    orders = permutations(12, m, 7)
    maxima = []
    for order in orders:
        shuffled = table["arousal"].to_numpy()[order]
        scores = [np.linalg.svd(s.centred, full_matrices=False)[0] for s in spaces]
        maxima.append(max(abs(np.corrcoef(u[:, k], shuffled)[0, 1]) for u in scores for k in range(6)))
    for alignment in layers.alignments:
        assert alignment.arousal is not None
        expected = (sum(v >= abs(alignment.arousal.r) - 1e-12 for v in maxima) + 1) / (m + 1)
        assert alignment.arousal.p_layers == pytest.approx(expected)
        assert alignment.arousal.p_layers >= alignment.arousal.p
    single = align(spaces[1], table, m, seed=7, n_bootstrap=0)
    assert single.row()["rsa_p"] == layers.at(2).row()["rsa_p"] and single.valence.p_layers is None


def test_families_of_languages_are_corrected_and_rated_apart() -> None:
    table = frame()
    spaces = {("en", 1): space(1, layer=1, language="en"), ("en", 2): space(2, layer=2, language="en")}
    spaces |= {("zh", 1): space(1, layer=1, language="zh")}
    both = {"en": table, "zh": table.assign(valence=table["arousal"], arousal=table["valence"])}
    layers = align_layers(spaces, both, 49, n_bootstrap=0)
    rows = layers.to_frame()
    assert rows["language"].tolist() == ["en", "en", "zh"] and rows["layer"].tolist() == [1, 2, 1]
    assert rows["valence_r"][2] == pytest.approx(rows["arousal_r"][0])
    assert np.isnan(rows["valence_p_layers"][2]) and rows["valence_p_layers"][0] >= rows["valence_p"][0]
    assert layers.at(1, "zh").language == "zh"
    with pytest.raises(UnknownNameError):
        layers.at(9)
    with pytest.raises(UnknownNameError, match="language"):
        align_layers(spaces, {"en": table}, 9, n_bootstrap=0)


def test_a_layer_key_names_a_space_without_layer() -> None:
    rows = align_layers({3: space(1), 8: space(2)}, frame(), 9, n_bootstrap=0).to_frame()
    assert rows["layer"].tolist() == [3, 8]
    wanted = {"valence_pc", "valence_r", "valence_lo", "valence_hi", "valence_p", "valence_p_layers", "rsa_rho"}
    wanted |= {"rsa_lo", "rsa_hi", "rsa_p", "procrustes_disparity", "procrustes_p", "readout_valence_r"}
    wanted |= {"readout_valence_p", "readout_arousal_r", "readout_arousal_p", "circumplex_r", "circumplex_p"}
    assert wanted | {"layer", "language", "kind", "n_emotions"} <= set(rows.columns)


def test_norms_with_valence_alone_give_the_valence_half() -> None:
    fit = align(space(), frame()[["word", "valence"]], 19, n_bootstrap=50)
    assert fit.arousal is None and fit.procrustes is None and fit.circumplex is None
    assert 0 < fit.valence.p <= 1 and np.isnan(fit.readout.arousal_r) and np.isfinite(fit.rsa.rho)
    assert np.isnan(fit.to_frame()["arousal_r"].iloc[0]) and "arousal" not in fit.points
    assert "valence PC" in repr(fit)


def test_unrated_emotions_are_dropped_and_listed() -> None:
    sp = EmotionSpace(np.random.default_rng(0).normal(size=(8, 4)), [*EMOTIONS[:6], "zorgness", "blarg"])
    fit = align(sp, load_norms("builtin"), 9, n_bootstrap=0)
    assert fit.unmatched == ("zorgness", "blarg") and fit.n_emotions == 6
    rescued = align(sp, load_norms("builtin"), 9, labels={"blarg": "Pride"}, n_bootstrap=0)
    assert rescued.unmatched == ("zorgness",) and rescued.points["word"].iloc[-1] == "pride"
    subset = align(sp.subset(EMOTIONS[:6]), load_norms("builtin"), 9, n_bootstrap=0)
    assert subset.row() == fit.row()


def test_word_coordinates_are_means_with_the_error_of_a_mean() -> None:
    from emotion_interp.geometry.coordinates import human_coordinates

    norms = load_norms("builtin")
    words = {e: [e, "hope", "not-a-word"] for e in EMOTIONS[:6]}
    human = human_coordinates(EMOTIONS[:6], norms, "words", words=words)
    both = norms.lookup(["joy", "hope"])
    assert human.valence[0] == pytest.approx(both["valence"].mean())
    assert human.valence_se is not None
    variance = (both["valence_sd"] ** 2 / both["valence_n"]).sum() / 4
    assert human.valence_se[0] == pytest.approx(np.sqrt(variance))
    sp = EmotionSpace(np.random.default_rng(0).normal(size=(6, 4)), EMOTIONS[:6])
    fit = align(sp, norms, 9, coordinates="words", words=words, n_bootstrap=0)
    assert fit.coordinates == "words" and fit.points["word"].iloc[1] == "love, hope"


def test_frames_may_be_indexed_by_emotion() -> None:
    table = frame()
    by_word = align(space(), table, 9, n_bootstrap=0).row()
    by_index = align(space(), table.set_index("word"), 9, n_bootstrap=0).row()
    by_emotion = align(space(), table.rename(columns={"word": "emotion"}), 9, n_bootstrap=0).row()
    assert by_word == by_index == by_emotion


def test_emotions_of_a_frame_without_valence_count_as_unrated() -> None:
    table = frame().set_index("word")
    table.loc["e3", "valence"] = np.nan
    table.loc["e5", "arousal"] = np.nan
    assert align(space(), table, 9, n_bootstrap=0).unmatched == ("e3", "e5")
    with pytest.raises(EmotionInterpError, match="no valence at all"):
        align(space(), table.assign(valence=np.nan), 9, n_bootstrap=0)


def test_controls_are_aligned_in_the_same_way() -> None:
    table, control = frame(), space(9)
    fit = align(space(), table, 19, controls={"embedding": control}, n_bootstrap=0)
    assert fit.controls["embedding"].row() == align(control, table, 19, n_bootstrap=0).row()
    assert fit.to_frame()["control"].tolist() == ["", "embedding"]
    with pytest.raises(EmotionInterpError, match="lacks"):
        align(space(), table, 9, controls={"small": control.subset(["e0", "e1", "e2"])})


def test_halves_pick_on_the_first_and_report_the_second() -> None:
    table, whole = frame(), space(1)
    rng = np.random.default_rng(8)
    first, second = (EmotionSpace(whole.vectors + 0.3 * rng.normal(size=(12, 6)), whole.emotions) for _ in range(2))
    fit = align(whole, table, 19, halves=(first, second), n_bootstrap=200)
    _, _, loadings = np.linalg.svd(first.centred, full_matrices=False)
    picked = [abs(stats.pearsonr(first.centred @ w, table["valence"])[0]) for w in loadings]
    best = int(np.argmax(picked))
    assert fit.valence.heldout and fit.valence.pc == best + 1
    expected = stats.pearsonr(second.centred @ loadings[best], table["valence"])[0]
    assert abs(fit.valence.r) == pytest.approx(abs(expected))
    assert fit.valence.ci[0] <= fit.valence.r <= fit.valence.ci[1]
    assert fit.valence.p == align(whole, table, 19, n_bootstrap=0).valence.p


def test_the_same_seed_gives_the_same_result_and_inputs_stay_unchanged() -> None:
    table, vectors = frame(), np.random.default_rng(1).normal(size=(12, 6))
    before, kept = table.copy(), vectors.copy()
    one, two = (align(EmotionSpace(vectors, table["word"]), table, 29, seed=4, n_bootstrap=100).row() for _ in range(2))
    assert one == pytest.approx(two, nan_ok=True)
    pd.testing.assert_frame_equal(table, before)
    np.testing.assert_array_equal(vectors, kept)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"coordinates": "colour"}, UnknownNameError, "coordinates"),
        ({"coordinates": "words"}, EmotionInterpError, "needs words="),
        ({"n_permutations": 0}, EmotionInterpError, "n_permutations"),
        ({"n_bootstrap": -1}, EmotionInterpError, "n_bootstrap"),
        ({"ridge": 0.0}, EmotionInterpError, "ridge"),
        ({"norms": "warriner"}, EmotionInterpError, "load_norms"),
        ({"norms": frame(n=4)}, EmotionInterpError, "only 4 of 12"),
        ({"norms": frame().assign(arousal=5.0)}, EmotionInterpError, "same human arousal"),
        ({"norms": frame().drop(columns="valence")}, EmotionInterpError, "valence"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        align(**({"space": space(), "norms": frame(), "n_permutations": 9} | arguments))


def test_layers_with_different_emotions_are_refused() -> None:
    with pytest.raises(EmotionInterpError, match="same emotions"):
        align_layers([space(), space(2).subset([f"e{i}" for i in range(8)])], frame(), 9)
    with pytest.raises(EmotionInterpError, match="no emotion space"):
        align_layers({}, frame(), 9)
