"""Read-outs of emotions: what they are fitted on, what is held out, and what a bank keeps of them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.features.readings import decoder_rows_at, emotion_readouts, neutral_states, shown_words
from emotion_interp.features.readout import KINDS, LENGTHS, level_of, neutral_levels, top_shares
from emotion_interp.features.readout_fits import Examples, Plan, fit_on_texts, from_bank, held_out_values
from emotion_interp.features.text_states import TextStates, text_states

EMOTIONS = ("anger", "fear", "joy", "sadness")


@pytest.fixture(scope="module")
def labelled():
    """Texts that a random model can tell apart: each emotion has words of its own."""
    words = {"anger": "angry rage", "fear": "afraid scared", "joy": "happy laugh", "sadness": "cry tears"}
    ends = ("at home", "in the rain", "all day", "once more", "by the door", "in town", "again", "at night")
    pairs = [(f"{w} {w} {end}", e) for e, w in words.items() for end in ends]
    return ei.labelled_stimuli([t for t, _ in pairs], [e for _, e in pairs], "en")


@pytest.fixture(scope="module")
def readings(tiny_subject, tiny_bank, labelled):
    return ei.train_readings(tiny_subject, tiny_bank, labelled, k=4)


def no_rows(features) -> np.ndarray:
    raise AssertionError("the stream's read-outs need no decoder")


def states(dense) -> TextStates:
    return TextStates(np.asarray(dense, dtype=np.float32), csr_matrix(np.maximum(dense, 0)))


def test_one_pass_gives_the_mean_over_a_texts_tokens_after_the_logarithm(tiny_subject, tiny_bank):
    from emotion_interp.activations import read_tokens

    texts = ["He laughed out loud", "She wept."]
    made = text_states(tiny_subject, texts, tiny_bank.scales)
    for site, scale in tiny_bank.scales.items():
        for row, text in enumerate(texts):
            tokens = read_tokens(tiny_subject, text, [site])
            dense = tokens.dense[site].numpy()
            read = np.linalg.norm(dense, axis=1) <= 8 * scale
            latents = np.log1p(np.maximum(tokens.latents[site].numpy(), 0))[read].mean(0)
            np.testing.assert_allclose(made[site].dense[row], dense[read].mean(0) / scale, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(made[site].latents[row].toarray()[0], latents, rtol=1e-3, atol=1e-4)


def test_values_of_a_text_are_the_mean_of_those_of_its_tokens(tiny_subject, tiny_bank, readings):
    bank = readings.add_to(tiny_bank)
    for (site, _), readout in emotion_readouts(tiny_subject, bank, bank.sites, "en").items():
        whole = text_states(tiny_subject, ["He laughed out loud"], {site: bank.scales[site]})[site]
        single = text_states(tiny_subject, ["He laughed out loud"], {site: bank.scales[site]}, tokens=True)[site]
        tokens = readout.values(single.dense, single.latents)
        np.testing.assert_allclose(readout.values(whole.dense, whole.latents)[0], tokens.mean(0), atol=1e-4)


def test_texts_that_can_be_told_apart_are_read_rightly_and_noise_is_not(readings, rng):
    assert (readings.by_layer()["top1"].dropna() > 0.9).all()
    plan = Plan(ei.Site(0), "en", "dense", "texts", EMOTIONS, 4, no_rows)
    noise, codes = states(rng.normal(size=(160, 10))), np.tile(np.arange(4), 40)
    held = held_out_values(plan, Examples(noise, codes), np.arange(160) % 8, states(rng.normal(size=(50, 10))))
    assert top_shares(held, codes)[0] < 0.45


def test_a_text_is_read_by_folds_that_never_saw_it(rng):
    # each text has a coordinate of its own, so that a read-out that saw it would know it
    n = 32
    codes = np.tile(np.arange(4), n // 4)
    own = states(np.eye(n) * 50 + 0.01 * rng.normal(size=(n, n)))
    plan = Plan(ei.Site(0), "en", "dense", "texts", EMOTIONS, 4, no_rows)
    neutral = states(rng.normal(size=(40, n)))
    seen = fit_on_texts(plan, [Examples(own, codes)], neutral)
    assert top_shares(seen.values(own.dense, own.latents), codes)[0] == 1
    held = held_out_values(plan, Examples(own, codes), np.arange(n) // 4, neutral)
    assert top_shares(held, codes)[0] < 0.8


def test_each_source_counts_the_same_however_many_texts_it_has(rng):
    plan = Plan(ei.Site(0), "en", "dense", "texts", ("joy", "fear"), 2, no_rows)
    few, many = (states(rng.normal(size=(n, 5))) for n in (10, 10))
    codes, neutral = np.arange(10) % 2, states(rng.normal(size=(30, 5)))
    thrice = np.tile(np.arange(10), 3)
    one = fit_on_texts(plan, [Examples(few, codes), Examples(many, codes)], neutral)
    other = fit_on_texts(plan, [Examples(few, codes), Examples(many.rows(thrice), codes[thrice])], neutral)
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-6)


def test_the_words_that_a_bank_holds_out_are_not_shown(tiny_bank):
    texts, codes = shown_words(tiny_bank, "en", EMOTIONS)
    words = tiny_bank.words[tiny_bank.words["language"] == "en"]
    held_out = set(words.loc[words["side"] == "confirmation", "word"]) - set(
        words.loc[words["side"] == "discovery", "word"]
    )
    assert len(texts) == len(codes) > 0
    assert not any(text.rstrip(".").endswith(f" {word}") for text in texts for word in held_out)


def test_a_saved_bank_reads_as_the_bank_itself(tiny_subject, tiny_bank, readings, tmp_path):
    bank = readings.add_to(tiny_bank)
    loaded = ei.FeatureBank.load(bank.save(tmp_path / "bank"))
    one, other = (ei.emotion_trace(tiny_subject, "He laughed", b, language="en") for b in (bank, loaded))
    np.testing.assert_array_equal(one.values, other.values)
    assert one.readouts().equals(other.readouts()) and one.facts[0].readable


def test_new_readings_replace_those_of_their_language(tiny_bank, readings):
    twice = readings.add_to(readings.add_to(tiny_bank))
    assert len(twice.extras["readings"]) == len(readings.frame)


def test_a_language_without_texts_learns_from_the_others_and_is_not_called_tried(readings):
    rows = readings.by_layer()
    assert set(rows["language"]) == {"en", "zh"}
    assert rows.loc[rows["language"] == "zh", "top1"].isna().all()
    assert rows.loc[rows["language"] == "en", "top1"].notna().all()


def test_a_bank_without_readings_is_calibrated_on_neutral_tokens(tiny_subject, tiny_bank):
    made = emotion_readouts(tiny_subject, tiny_bank, tiny_bank.sites, "en")
    neutral = neutral_states(tiny_subject, tiny_bank, "en", tiny_bank.scales)
    for (site, kind), readout in made.items():
        values = readout.values(neutral[site].dense, neutral[site].latents)
        assert np.abs(values.mean(0)).max() < 1e-3, kind
        np.testing.assert_allclose(values.std(0)[values.std(0) > 1e-6], 1, atol=1e-3)
        assert readout.readable is None


def test_longer_stretches_of_neutral_text_reach_less(rng):
    levels = neutral_levels(rng.normal(size=(4000, 8)))
    assert (np.diff(levels) < 0).all() and len(levels) == len(LENGTHS)
    assert levels[0] == pytest.approx(
        np.quantile(np.random.default_rng(1).normal(size=(20000, 8)).max(1), 0.95), abs=0.2
    )
    assert levels[1] < level_of(levels, 1) <= levels[0] and level_of(levels, 10**6) == levels[-1]


def test_wrong_texts_are_refused_in_one_line(tiny_subject, tiny_bank, hooked_subject, labelled):
    with pytest.raises(UnknownNameError):
        ei.train_readings(tiny_subject, tiny_bank, "words")
    with pytest.raises(EmotionInterpError, match="no two emotions"):
        ei.train_readings(tiny_subject, tiny_bank, labelled[:8])
    with pytest.raises(EmotionInterpError, match="belongs to"):
        ei.train_readings(hooked_subject, tiny_bank, labelled)


def test_both_kinds_are_made_for_every_site(readings, tiny_bank):
    found = set(readings.frame[["site", "language", "kind"]].itertuples(index=False, name=None))
    assert found == {(str(s), lang, k) for s in tiny_bank.sites for lang in ("en", "zh") for k in KINDS}


def planted_features(rng, n=80, n_noise=60, width=24):
    """Texts of four emotions, each written by twelve features with like rows; a text fires one or two of them, and noise."""
    codes = np.tile(np.arange(4), n // 4)
    directions = np.random.default_rng(7).normal(size=(4, width))
    own = np.repeat(directions, 12, axis=0) + 0.3 * np.random.default_rng(8).normal(size=(48, width))
    rows = np.concatenate([own, np.random.default_rng(9).normal(size=(n_noise, width))])
    likely = np.full((n, len(rows)), 0.05)
    likely[:, :48] += 0.08 * (np.repeat(np.arange(4), 12) == codes[:, None])
    latents = (rng.random(likely.shape) < likely) * (0.5 + rng.random(likely.shape))
    stream = latents @ rows + rng.normal(size=(n, width))
    made = TextStates(stream.astype(np.float32), csr_matrix(latents.astype(np.float32)))
    return made, codes, rows


def test_a_feature_reads_alike_one_whose_decoder_row_is_alike():
    made, codes, rows = planted_features(np.random.default_rng(0))
    # the right rows, and those of others: only then do features of one emotion borrow from each other
    shuffled = rows[np.random.default_rng(1).permutation(len(rows))]
    right = {}
    for name, written in (("own rows", rows), ("rows of others", shuffled)):
        plan = Plan(
            ei.Site(0), "en", "features", "texts", EMOTIONS, 12, lambda features, written=written: written[features]
        )
        readout = fit_on_texts(plan, [Examples(made, codes)], made)
        fresh = [planted_features(np.random.default_rng(seed)) for seed in range(2, 12)]
        right[name] = np.mean([top_shares(readout.values(m.dense, m.latents), c)[0] for m, c, _ in fresh])
    assert right["own rows"] > right["rows of others"] + 0.05, right


def discriminants(states, codes, shrinkage):
    """Weights and biases of linear discriminants with equal priors, correlations shrunk."""
    n = codes.max() + 1
    means = np.stack([states[codes == c].mean(0) for c in range(n)])
    within = sum(np.cov(states[codes == c].T, ddof=0) * (codes == c).sum() for c in range(n)) / (len(codes) - n)
    spread = np.sqrt(np.diag(within))
    still = spread <= 1e-9 * spread.max()
    spread[still] = np.inf
    shrunk = (1 - shrinkage) * within / np.outer(spread, spread) + shrinkage * np.eye(len(spread))
    weights = np.stack([np.linalg.inv(shrunk) @ (m / spread) / spread for m in means])
    return weights, np.asarray([-0.5 * w @ m for w, m in zip(weights, means, strict=True)])


def in_units(states, codes, shrinkage):
    """Against the mean of all emotions, in units of the spread over these states: weights and values."""
    weights, bias = discriminants(states, codes, shrinkage)
    weights, bias = weights - weights.mean(0), bias - bias.mean()
    unit = (states @ weights.T).std(0).mean()
    return weights / unit, (states @ weights.T + bias) / unit


def test_read_outs_of_features_are_the_mean_of_those_that_tell_and_those_that_write(rng):
    made, codes, rows = planted_features(rng)
    plan = Plan(ei.Site(0), "en", "features", "texts", EMOTIONS, 6, lambda features: rows[features])
    readout = fit_on_texts(plan, [Examples(made, codes)], made)
    active, unit = made.latents.toarray().astype(float), rows / np.linalg.norm(rows, axis=1, keepdims=True)
    alive = np.flatnonzero((active > 0).mean(0) >= 0.02)
    wins = np.stack([(np.sign(active[codes == c][:, None] - active[codes != c][None])).mean((0, 1)) for c in range(4)])
    tell = np.unique(np.argsort(-wins[:, alive], axis=1, kind="stable")[:, :6])
    tell = alive[tell]
    along, _ = in_units(made.dense.astype(float), codes, 0.9)
    write = alive[np.unique(np.argsort(-(along @ unit[alive].T), axis=1, kind="stable")[:, :6])]
    assert readout.features.tolist() == np.union1d(tell, write).tolist()
    _, by_telling = in_units(np.hstack([active[:, tell], active[:, tell] @ unit[tell]]), codes, 0.8)
    _, by_writing = in_units(active[:, write] @ unit[write], codes, 0.9)
    both = by_telling + by_writing
    expected = both / both.std(0).mean()
    np.testing.assert_allclose(readout.values(made.dense, made.latents), expected, rtol=1e-6, atol=1e-9)


def test_the_length_of_decoder_rows_and_the_order_of_features_do_not_matter(rng):
    made, codes, rows = planted_features(rng)
    order = rng.permutation(len(rows))
    moved = TextStates(made.dense, made.latents[:, order])
    plain = Plan(ei.Site(0), "en", "features", "texts", EMOTIONS, 4, lambda features: rows[features])
    longer = Plan(ei.Site(0), "en", "features", "texts", EMOTIONS, 4, lambda features: 1000 * rows[order][features])
    one, other = (
        fit_on_texts(plain, [Examples(made, codes)], made),
        fit_on_texts(longer, [Examples(moved, codes)], moved),
    )
    assert set(order[other.features]) == set(one.features)
    np.testing.assert_allclose(
        other.values(moved.dense, moved.latents), one.values(made.dense, made.latents), rtol=1e-6, atol=1e-9
    )


def test_a_site_whose_features_never_fire_reads_nothing(rng):
    codes, silent = (
        np.arange(16) % 4,
        TextStates(rng.normal(size=(16, 5)).astype(np.float32), csr_matrix((16, 9), dtype=np.float32)),
    )
    plan = Plan(ei.Site(0), "en", "features", "texts", EMOTIONS, 2, lambda features: np.ones((len(features), 5)))
    readout = fit_on_texts(plan, [Examples(silent, codes)], silent)
    assert (readout.values(silent.dense, silent.latents) == 0).all()


def of_bank(subject, bank, site, language="en"):
    """Its read-out of features, the neutral tokens, and unit decoder rows of all latents."""
    neutral = neutral_states(subject, bank, language, bank.scales)[site]
    rows = subject.readers[site].decoder_rows(np.arange(neutral.latents.shape[1])).float().numpy().astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return emotion_readouts(subject, bank, [site], language)[site, "features"], neutral, rows


def filtered(vectors, background):
    """Matched filters against a background whose correlations are shrunk by .6, in units of its spread."""
    spread = background.std(0)
    correlations = 0.4 * np.corrcoef(background.T) + 0.6 * np.eye(len(spread))
    weights = vectors / spread @ np.linalg.inv(correlations) / spread
    return weights / (background @ weights.T).std(0)[:, None]


def test_a_bank_alone_reads_by_its_units_and_by_the_features_that_write_an_emotion_most(tiny_subject, tiny_bank):
    for site in tiny_bank.sites:
        readout, neutral, rows = of_bank(tiny_subject, tiny_bank, site)
        tokens, vectors = neutral.latents.toarray().astype(float), tiny_bank.directions[site, "en", "means"]
        alive = np.flatnonzero((tokens > 0).any(0))
        along = filtered(vectors, tokens[:, alive] @ rows[alive]) @ rows[alive].T
        written = np.unique([alive[np.argsort(-strength)[:16]] for strength in along])
        units, activations = tiny_bank.unit_activations(site, "en")
        kept = np.unique(activations.indices)
        assert readout.features.tolist() == np.union1d(kept, written).tolist()
        codes = units["emotion"].map({e: i for i, e in enumerate([*tiny_bank.emotions, "neutral"])}).to_numpy()
        told, _ = discriminants(np.log1p(activations[:, kept].toarray().astype(float)), codes, 0.9)
        scores = tokens[:, kept] @ told[: len(tiny_bank.emotions)].T
        spread = scores.std(0)
        both = scores / np.where(spread > 0, spread, 1)
        both += tokens[:, written] @ rows[written] @ filtered(vectors, tokens[:, written] @ rows[written]).T
        expected = (both - both.mean(0)) / both.std(0)
        np.testing.assert_allclose(readout.values(neutral.dense, neutral.latents), expected, rtol=1e-4, atol=1e-4)


def test_an_emotion_that_a_bank_has_no_unit_of_reads_nothing_by_features(tiny_subject, tiny_bank):
    site = tiny_bank.sites[0]
    neutral = neutral_states(tiny_subject, tiny_bank, "en", tiny_bank.scales)[site]
    units, activations = tiny_bank.unit_activations(site, "en")
    lost = tiny_bank.emotions[0]

    class Without:
        emotions, scales, manifest = tiny_bank.emotions, tiny_bank.scales, tiny_bank.manifest
        # as a bank has them: zeros for an emotion without units
        directions: ClassVar = {k: v * (np.arange(len(v)) > 0)[:, None] for k, v in tiny_bank.directions.items()}

        def unit_activations(self, at, language):
            mine = (units["emotion"] != lost).to_numpy()
            return units[mine], activations[mine]

    plan = Plan(site, "en", "", "", tuple(tiny_bank.emotions), 16, decoder_rows_at(tiny_subject, site))
    readout = next(r for r in from_bank(Without(), plan, neutral) if r.kind == "features")
    values = readout.values(neutral.dense, neutral.latents)
    assert (values[:, 0] == 0).all() and (values[:, 1:].std(0) > 0.9).all()
    # nor does it bring features of its own
    assert np.abs(readout.weights[1:]).max(0).min() > 0
