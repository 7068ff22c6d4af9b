"""Text-residualised geometry: recomputed with numpy and scikit-learn, with planted truths, nulls and the noise control."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.sparse import csr_matrix

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, NotFiniteError, Site, UnknownNameError
from emotion_interp.geometry import residual_alignments
from emotion_interp.geometry.residual_checks import rated_stories
from emotion_interp.geometry.residual_null import StoryStatistics, permuted_means, refitted_means, story_orders
from emotion_interp.geometry.residual_results import removed_shares
from emotion_interp.geometry.text_predictors import noise_like, text_predictors, with_embedding
from emotion_interp.geometry.topic_ridge import STRENGTHS, TopicRidge, stacked

SITE = Site(3)


def stories(seed: int, emotions: int = 12, topics: int = 8, each: int = 3):
    """Labels, topics, ratings and a text predictor that knows the valence of a story's emotion."""
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(emotions), topics * each)
    topic = np.tile(np.repeat(np.arange(topics), each), emotions)
    names = [f"e{i:02d}" for i in range(emotions)]
    norms = pd.DataFrame(
        {"emotion": names, **dict(zip(("valence", "arousal"), rng.normal(size=(2, emotions)), strict=True))}
    )
    text = rng.normal(size=(len(code), 5))
    text[:, 0] += norms["valence"].to_numpy()[code]
    return rng, code, topic.tolist(), [names[c] for c in code], norms, text


def linear_in_text(seed: int, **options):
    """Activations that are a linear function of the text and noise: nothing is left beyond it."""
    rng, code, topic, labels, norms, text = stories(seed, **options)
    return text @ rng.normal(size=(5, 8)) + rng.normal(size=(len(code), 8)), text, labels, topic, norms


def fitted(activations, predictors, labels, topic, norms, **options):
    if not isinstance(activations, dict):
        activations = {(SITE, "dense"): activations}
    options = {"n_permutations": 99, "n_bootstrap": 0, **options}
    return residual_alignments(activations, predictors, labels, topic, norms, **options)


def test_residuals_are_those_of_a_ridge_fitted_on_other_topics_with_its_strength_chosen_by_whole_topics():
    from sklearn.linear_model import LinearRegression, Ridge

    y, x, labels, topic, norms = linear_in_text(0)
    topic = np.asarray(topic)
    fit, test = topic < 4, topic >= 4
    scaled = (x - x[fit].mean(0)) / np.sqrt(((x[fit] - x[fit].mean(0)) ** 2).sum(1).mean())

    def model(strength, rows, target):
        # in multiples of the total variance of the training rows
        total = ((scaled[rows] - scaled[rows].mean(0)) ** 2).sum()
        own = LinearRegression() if strength == 0 else Ridge(alpha=strength * total)
        return own.fit(scaled[rows], target[rows])

    left = np.empty((test.sum(), y.shape[1]))
    for d in range(y.shape[1]):
        errors = []
        for strength in STRENGTHS[:-1]:
            held = [fit & (topic == k) for k in range(4)]
            errors.append(
                sum(((y[h, d] - model(strength, fit & ~h, y[:, d]).predict(scaled[h])) ** 2).sum() for h in held)
            )
        best = STRENGTHS[int(np.argmin(errors))]
        left[:, d] = y[test, d] - model(best, fit, y[:, d]).predict(scaled[test])
    frame = pd.DataFrame(left).groupby(np.asarray(labels)[test]).mean()
    vectors = frame.to_numpy() - frame.to_numpy().mean(0)
    found = fitted(y, {"text": x}, labels, topic.tolist(), norms, noise=False, n_permutations=9)
    fit_of = found.at(3, "text")
    scores = np.linalg.svd(vectors)[0]
    r = max((abs(stats.pearsonr(scores[:, k], norms["valence"])[0]), k) for k in range(8))
    assert abs(fit_of.alignment.valence.r) == pytest.approx(r[0], abs=1e-9)
    assert fit_of.alignment.valence.pc == r[1] + 1
    first, second = np.triu_indices(len(frame), 1)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    z = stats.zscore(norms[["valence", "arousal"]].to_numpy())
    people = np.linalg.norm(z[first] - z[second], axis=1)
    rho = stats.spearmanr(1 - (unit @ unit.T)[first, second], people)[0]
    assert fit_of.alignment.rsa.rho == pytest.approx(rho, abs=1e-9)
    plain = pd.DataFrame(y[test]).groupby(np.asarray(labels)[test]).mean().to_numpy()
    share = 1 - (vectors**2).sum() / ((plain - plain.mean(0)) ** 2).sum()
    assert fit_of.removed == pytest.approx(share, abs=1e-9)
    assert found.at(3).removed == 0 and found.at(3).alignment.n_emotions == 12


def test_the_statistics_of_the_null_are_the_numbers_of_the_alignment():
    y, x, labels, topic, norms = linear_in_text(1)
    for width in (8, 400):
        wide = np.hstack([y, np.random.default_rng(0).normal(size=(len(y), width - 8))])
        fit = fitted(wide, {"text": x}, labels, topic, norms, noise=False).at(3)
        test = np.flatnonzero(np.asarray(topic) >= 4)
        codes = np.asarray([int(labels[i][1:]) for i in test])
        z = stats.zscore(norms[["valence", "arousal"]].to_numpy())
        found = {k: v[0] for k, v in StoryStatistics(z, 10, 1.0)(permuted_means(wide[test], codes[None], 12)).items()}
        own = fit.alignment
        expected = {
            "valence": abs(own.valence.r),
            "arousal": abs(own.arousal.r),
            "rsa": own.rsa.rho,
            "readout_valence": own.readout.valence_r,
            "readout_arousal": own.readout.arousal_r,
        }
        assert found == pytest.approx(expected, abs=1e-9)


def test_stories_are_permuted_within_their_topic_and_p_counts_the_observed_one():
    y, x, labels, topic, norms = linear_in_text(2)
    test = np.flatnonzero(np.asarray(topic) >= 4)
    codes, own = np.asarray([int(labels[i][1:]) for i in test]), [topic[i] for i in test]
    orders = story_orders(codes, own, 50, 0)
    for k in set(own):
        rows = np.asarray(own) == k
        assert (np.sort(orders[:, rows]) == np.sort(codes[rows])).all()
    assert len({tuple(o) for o in orders.tolist()}) == 50
    fit = fitted(y, {"text": x}, labels, topic, norms, noise=False, n_permutations=50).at(3)
    z = stats.zscore(norms[["valence", "arousal"]].to_numpy())
    null, seen = (StoryStatistics(z, 10, 1.0)(permuted_means(y[test], o, 12))["rsa"] for o in (orders, codes[None]))
    assert fit.p_stories["rsa"] == (np.sum(null >= seen - 1e-12) + 1) / 51


def test_over_layers_the_largest_value_under_the_same_permutation_is_the_null():
    rng, code, topic, labels, norms, text = stories(3)
    layers = {(Site(k), "dense"): rng.normal(size=(len(code), 6)) for k in range(4)}
    found = fitted(layers, {"text": text}, labels, topic, norms, noise=False)
    for name in ("valence", "rsa", "readout_arousal"):
        alone = [found.at(k, "text").p_stories[name] for k in range(4)]
        over = [found.at(k, "text").p_stories_layers[name] for k in range(4)]
        assert all(b >= a for a, b in zip(alone, over, strict=True)) and max(over) > min(alone)
    assert all(found.at(k, "text").alignment.valence.p_layers is not None for k in range(4))


def small_null(seed: int, emotions: int = 9, columns: int = 0):
    """Null p of every statistic, with the ridge fitted anew and not, and the p of the space before the ridge, of one space
    that the text explains; `columns` more predictors that say nothing."""
    y, x, labels, topic, norms = linear_in_text(seed, emotions=emotions)
    x = np.hstack([x, np.random.default_rng(seed).normal(size=(len(x), columns))])
    test, fit = np.flatnonzero(np.asarray(topic) >= 4), np.flatnonzero(np.asarray(topic) < 4)
    scaled, own = stacked((x,), fit), [topic[i] for i in fit]
    regression = TopicRidge(scaled[fit], own)
    chosen = regression.chosen(y[fit])
    left = y[test] - regression.predict(y[fit], chosen, scaled[test])
    codes = np.asarray([int(labels[i][1:]) for i in test])
    orders = story_orders(codes, [topic[i] for i in test], 99, seed)
    places = story_orders(np.arange(len(fit)), own, 99, seed, "fitted on")
    statistics = StoryStatistics(stats.zscore(norms[["valence", "arousal"]].to_numpy()), 10, 1.0)
    text = next(iter(permuted_means_of(scaled[test], codes, emotions)))
    nulls = (
        (left, refitted_means(regression, y[fit], chosen, left, text, orders, places)),
        (left, permuted_means(left, orders, emotions)),
        (y[test], permuted_means(y[test], orders, emotions)),
    )
    found = []
    for vectors, moved in nulls:
        seen = statistics(permuted_means(vectors, codes[None], emotions))
        found.append([(np.sum(v >= seen[k][0] - 1e-12) + 1) / 100 for k, v in statistics(moved).items()])
    return found


def permuted_means_of(values, codes, n):
    return [np.stack([values[codes == i].mean(0) for i in range(n)])]


@pytest.mark.parametrize("columns", [0, 30])
def test_activations_that_the_text_explains_leave_a_null_geometry_at_the_stated_rate(columns):
    chances = np.asarray([small_null(1000 + seed, columns=columns) for seed in range(300)])
    rates = (chances < 0.05).mean(axis=0)
    print(rates)
    assert ((rates[0] >= 0.03) & (rates[0] <= 0.08)).all(), rates
    # what is left, permuted without fitting anew, leans on the text as the error of the ridge does
    assert rates[1].max() > 0.08
    # before the ridge the very same spaces align
    assert rates[2][[0, 2, 3]].min() > 0.5


def test_an_emotion_signal_that_no_text_predictor_has_survives():
    rng, code, topic, labels, norms, text = stories(5)
    ratings = norms[["valence", "arousal"]].to_numpy()
    text = rng.normal(size=text.shape)
    y = text @ rng.normal(size=(5, 8)) + 0.5 * rng.normal(size=(len(code), 8))
    y[:, :2] += 2 * ratings[code]
    found = fitted(y, {"text": text}, labels, topic, norms)
    left = found.at(3, "text")
    assert abs(left.alignment.valence.r) > 0.9 and left.alignment.rsa.rho > 0.5
    assert left.alignment.readout.valence_r > 0.9
    assert max(left.p_stories.values()) == 0.01 and left.alignment.valence.p == 0.01
    assert left.rsa_given_predictor is not None and left.rsa_given_predictor.p == 0.01


def test_noise_of_384_dimensions_takes_away_almost_half_in_sample_and_nothing_across_topics():
    rng = np.random.default_rng(0)
    code, topic = np.repeat(np.arange(28), 30), np.tile(np.arange(30), 28)
    centres = rng.normal(size=(28, 20))
    y = centres[code] + rng.normal(size=(840, 20))
    noise = noise_like("encoder", 840, 384, 0)

    def means(values, rows):
        return pd.DataFrame(values).groupby(code[rows]).mean().to_numpy()

    everything = np.arange(840)
    centred = noise - noise.mean(0)
    inside = y - y.mean(0) - centred @ np.linalg.lstsq(centred, y - y.mean(0), rcond=None)[0]
    assert 0.40 < removed_shares(means(y, everything), means(inside, everything))[0] < 0.80
    fit, test = np.flatnonzero(topic < 15), np.flatnonzero(topic >= 15)
    left = y[test] - TopicRidge(noise[fit], topic[fit])(y[fit], noise[test])
    shares = removed_shares(means(y[test], test), means(left, test))
    assert max(map(abs, shares)) < 0.03


def test_the_noise_row_stands_beside_each_predictor_at_its_size():
    y, x, labels, topic, norms = linear_in_text(6)
    found = fitted(y, {"text": x, "two": (x[:, :2], x[:, 2:4])}, labels, topic, norms).to_frame()
    sizes = found.set_index("predictor")["n_predictors"].to_dict()
    assert sizes == {"": 0, "text": 5, "two": 4, "noise (text)": 5, "noise (two)": 4}
    removed = found.set_index("predictor")["removed"]
    assert removed["text"] > 0.6 and abs(removed["noise (text)"]) < 0.1
    assert (
        "noise (text)" not in fitted(y, {"text": x}, labels, topic, norms, noise=False).to_frame()["predictor"].tolist()
    )


def test_a_predictor_that_is_the_space_itself_is_left_out_there():
    y, x, labels, topic, norms = linear_in_text(7)
    spaces = {(Site(0, "resid_pre"), "dense"): x, (SITE, "dense"): y}
    found = fitted(spaces, {"embedding": x}, labels, topic, norms, noise=False).to_frame()
    assert found["site"][found["predictor"] == "embedding"].tolist() == [str(SITE)]
    assert (found["predictor"] == "").sum() == 2


def test_sparse_features_give_what_dense_ones_give_and_nothing_of_the_user_changes():
    y, x, labels, topic, norms = linear_in_text(8)
    features = np.maximum(y, 0)
    features[:, 3] = 0
    sparse = csr_matrix(features)
    kept = [a.copy() for a in (features, x)], labels.copy(), topic.copy(), norms.copy(), sparse.copy()
    frames = [
        fitted({(SITE, "features"): v}, {"text": x}, labels, topic, norms, n_permutations=19).to_frame()
        for v in (features, sparse)
    ]
    pd.testing.assert_frame_equal(*frames)
    assert (features == kept[0][0]).all() and (x == kept[0][1]).all() and (sparse != kept[4]).nnz == 0
    assert labels == kept[1] and topic == kept[2]
    pd.testing.assert_frame_equal(norms, kept[3])


def test_norms_of_valence_alone_give_the_valence_half():
    y, x, labels, topic, norms = linear_in_text(9)
    found = fitted(y, {"text": x}, labels, topic, norms.drop(columns="arousal"), noise=False)
    assert set(found.at(3, "text").p_stories) == {"valence", "rsa", "readout_valence"}
    assert found.to_frame()["arousal_p_stories"].isna().all()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"fit_topics": [0, 1, 2], "test_topics": [2, 3]}, "in both: 2"),
        (
            {"fit_topics": [0], "test_topics": [2, 3]},
            "at least 2 topics to fit on and 1 to test on are needed, got 1 and 2",
        ),
        ({"fit_topics": [0, 1], "test_topics": []}, "got 2 and 0"),
        ({"fit_topics": [0, 1], "test_topics": [77]}, "no story has the topic 77"),
    ],
)
def test_topics_that_overlap_lack_or_do_not_exist_are_refused(options, line):
    y, x, labels, topic, norms = linear_in_text(10)
    with pytest.raises(EmotionInterpError, match=line) as caught:
        fitted(y, {"text": x}, labels, topic, norms, **options)
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_refused_in_one_line():
    y, x, labels, topic, norms = linear_in_text(11)
    few = ["e00" if int(e[1:]) < 9 else e for e in labels]
    broken = x.copy()
    broken[0, 0] = np.nan
    for given, error, line in (
        ((y, {"text": x}, few, topic, norms), EmotionInterpError, "only 4 of 4 emotions have a rating"),
        (
            (y, {"text": x}, labels[1:], topic, norms),
            EmotionInterpError,
            "give one emotion and one topic for each story",
        ),
        ((y[1:], {"text": x}, labels, topic, norms), EmotionInterpError, r"for 288 stories, got the shape \(287, 8\)"),
        ((y, {"text": x[:, 0]}, labels, topic, norms), EmotionInterpError, "the predictor 'text' are"),
        ((y, {"text": broken}, labels, topic, norms), NotFiniteError, "the predictor 'text' have NaN"),
        ((y, {}, labels, topic, norms), EmotionInterpError, "at least one"),
    ):
        with pytest.raises(error, match=line) as caught:
            fitted(*given)
        assert "\n" not in str(caught.value)
    with pytest.raises(UnknownNameError):
        fitted(y, {"text": x}, labels, topic, norms).at(9, "text")


def test_terms_weights_and_reduction_are_learnt_on_the_stories_fitted_on(monkeypatch):
    monkeypatch.delenv("EMOTION_INTERP_ENCODER", raising=False)
    texts = ["glad morning light", "glad light song", "weary winter rain", "weary rain morning", "unseen zebra glad"]
    first = text_predictors(texts, [0, 1, 2, 3], "xx", terms=2)["text"][0]
    changed = text_predictors([*texts[:4], "unseen llama glad"], [0, 1, 2, 3], "xx", terms=2)["text"][0]
    assert first.shape == (5, 2)
    np.testing.assert_allclose(first, changed)
    assert with_embedding({"text": (first,)}, np.ones((5, 3)))["all"][1].dtype == np.float64


def test_unrated_emotions_are_fitted_on_and_not_read():
    y, x, labels, topic, norms = linear_in_text(12)
    part = norms[norms["emotion"] != "e03"]
    found = fitted(y, {"text": x}, labels, topic, part, noise=False)
    assert found.n_fit == 144 and found.n_test == 132
    mask = np.asarray(topic) >= 4
    human, kept, codes = rated_stories(labels, mask, ei.geometry.coordinates.as_norms(part), None)
    assert len(kept) == 132 and codes.max() == 10 and human.unmatched == ("e03",)


def _texts():
    emotions = ["joy", "fear", "anger", "sadness", "love", "disgust"]
    places = ["garden", "harbour", "kitchen", "station"]
    told = [
        f"In the {p} {o} felt {e} again and the evening went on"
        for e in emotions
        for p in places
        for o in ("he", "she")
    ]
    return told, [e for e in emotions for _ in range(8)], [k for _ in emotions for k in range(4) for _ in range(2)]


@pytest.fixture(scope="module")
def of_tiny(tiny_subject):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ei.residual_geometry(
            tiny_subject, *_texts(), ei.load_norms("builtin"), skip=1, terms=6, random_weights=True, language="en",
            n_permutations=19, n_bootstrap=20,
        )  # fmt: skip


def test_a_subject_gives_every_site_kind_and_predictor_and_its_random_twin(of_tiny):
    frame = of_tiny.to_frame()
    assert {"", "text", "embedding", "all", "noise (text)"} <= set(frame["predictor"])
    own = frame[frame["weights"] == "own"]
    assert set(zip(own["site"], own["kind"], strict=True)) == {
        ("blocks.0.hook_resid_pre", "dense"),
        *((f"blocks.{k}.hook_resid_post", kind) for k in (0, 1) for kind in ("dense", "features")),
    }
    assert set(frame["kind"][frame["weights"] == "random"]) == {"dense"}
    embedding = frame[frame["site"] == "blocks.0.hook_resid_pre"]
    assert not {"embedding", "all"} & set(embedding["predictor"])
    assert "beyond what 'text'" in repr(of_tiny)
    assert "<table" in of_tiny._repr_html_()
    assert of_tiny.at("blocks.1.hook_resid_post", "text", "features").kind == "features"


def test_what_the_subject_gives_is_what_its_readings_give(of_tiny, tiny_subject):
    from emotion_interp.geometry.residual import story_activations

    texts, labels, topics = _texts()
    shown = story_activations(tiny_subject, texts, [Site(1), Site(0, "resid_pre")], skip=1)
    learnt = [i for i, t in enumerate(topics) if t < 2]
    named = with_embedding(text_predictors(texts, learnt, "en", 6), shown[Site(0, "resid_pre"), "dense"])
    again = residual_alignments(
        {(Site(1), "dense"): shown[Site(1), "dense"]}, {"all": named["all"]}, labels, topics, ei.load_norms("builtin"),
        n_permutations=19, n_bootstrap=20,
    )  # fmt: skip
    one, two = (g.at(1, "all") for g in (of_tiny, again))
    assert one.removed == pytest.approx(two.removed) and one.p_stories == two.p_stories
    assert one.alignment.valence.r == pytest.approx(two.alignment.valence.r)


def test_what_is_wrong_is_said_before_the_model_reads(tiny_subject):
    texts, labels, topics = _texts()
    count = []
    handle = tiny_subject.model.register_forward_pre_hook(lambda *_: count.append(1))
    try:
        with pytest.raises(EmotionInterpError, match="in both: 1"):
            ei.residual_geometry(
                tiny_subject, texts, labels, topics, ei.load_norms("builtin"), fit_topics=[0, 1], test_topics=[1, 2]
            )
        with pytest.raises(EmotionInterpError, match="2 texts, 48 emotions"):
            ei.residual_geometry(tiny_subject, texts[:2], labels, topics, ei.load_norms("builtin"))
    finally:
        handle.remove()
    assert count == []


def test_what_the_benchmark_read_is_kept_by_site_and_block_and_never_read_again(tiny_subject, tmp_path, monkeypatch):
    from benchmarks import residual_geometry as benchmark
    from emotion_interp.geometry.residual import story_activations

    monkeypatch.setattr(benchmark, "BLOCK", 20)
    monkeypatch.setattr(benchmark, "SKIP", 1)
    texts = _texts()[0]
    sites = [Site(0, "resid_pre"), Site(1)]
    first = benchmark.kept_activations(tmp_path, lambda: tiny_subject, texts, sites)
    whole = story_activations(tiny_subject, texts, sites, skip=1)
    assert set(first) == set(whole)
    for key, values in whole.items():
        gap = abs(first[key] - values)
        assert gap.max() < 1e-4 and first[key].shape == values.shape

    def asked():
        raise AssertionError("the model is asked again")

    again = benchmark.kept_activations(tmp_path, asked, texts, sites)
    assert (again[Site(1), "dense"] == first[Site(1), "dense"]).all()
    (tmp_path / str(Site(1)) / "00020.npz").unlink()
    with pytest.raises(AssertionError):
        benchmark.kept_activations(tmp_path, asked, texts, sites)
    key = benchmark.key_of(tiny_subject, texts, 0)
    assert key == benchmark.key_of(tiny_subject, texts, 0) != benchmark.key_of(tiny_subject, texts[1:], 0)
