"""Output scores against forward passes by hand, a planted output feature, and nulls that find nothing."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import rankdata

import emotion_interp as ei
from emotion_interp.bank.files import KEYS
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError, UnsupportedError
from emotion_interp.experiments import Setting, feature_outputs
from emotion_interp.experiments.feature_outputs import COLUMNS, output_scores
from emotion_interp.features.lens import lens_logits

PROMPTS = {"en": ["The letter said that she was", "He felt"], "zh": ["她打开门，感到", "他"]}
LAYER, DOSE = 1, 0.5
EMOTIONS = ("anger", "fear", "joy", "sadness")


@pytest.fixture(scope="module")
def measured(request):
    """The bank and subject of the root fixtures under this room's tokenizer, with words that are single tokens of it."""
    subject, bank = request.getfixturevalue("tiny_subject"), request.getfixturevalue("tiny_bank")
    pieces = sorted(p for p in subject.tokenizer.get_vocab() if p.startswith("Ġ") and p[1:].isascii() and len(p) > 2)
    english = {e: [p[1:] for p in pieces[i::4][:4]] for i, e in enumerate(EMOTIONS)}
    # without a space: any bare letter is one token; sadness has none, so it cannot be measured
    chinese = {"anger": ["a", "b"], "fear": ["c"], "joy": ["d", "e"], "sadness": ["sublimity"]}
    return subject, bank, {"en": english, "zh": chinese}


@pytest.fixture(scope="module")
def scores(measured):
    subject, bank, words = measured
    return output_scores(subject, bank, [LAYER], words=words, prompts=PROMPTS, dose=DOSE, n_random=99)


def log_probabilities(subject, prompt, vector=None):
    """Next-token log probabilities of one whole forward pass with a vector added at the last token: [vocabulary]."""
    row = torch.tensor([subject.tokenize([prompt])[0].ids])
    point = subject.model.hook_dict[f"blocks.{LAYER}.hook_resid_post"]
    if vector is not None:
        added = torch.from_numpy(np.asarray(vector, dtype=np.float32))
        point.add_hook(lambda x, hook: torch.cat([x[:, :-1], x[:, -1:] + added], 1))
    with torch.no_grad():
        logits = subject.model(row, return_type="logits")[0, -1]
    point.remove_hooks()
    return logits.double().log_softmax(-1).numpy()


def token_ids(subject, words, language):
    space = "" if language == "zh" else " "
    encoded = {e: [subject.tokenizer(space + w)["input_ids"] for w in several] for e, several in words.items()}
    return {e: [i[0] for i in ids if len(i) == 1] for e, ids in encoded.items()}


def effect_by_hand(subject, vector, prompts, ids, emotion):
    changes = []
    for prompt in prompts:
        change = log_probabilities(subject, prompt, vector) - log_probabilities(subject, prompt)
        means = {e: change[i].mean() for e, i in ids.items() if i}
        changes.append(means[emotion] - np.mean([m for e, m in means.items() if e != emotion]))
    return float(np.mean(changes))


def test_the_effect_is_the_change_of_the_emotions_words_less_that_of_the_others(measured, scores):
    subject, bank, words = measured
    frame = scores.to_frame()
    assert list(frame.columns) == list(COLUMNS)
    for row in frame[frame["n_tokens"] > 0].groupby("language").head(3).itertuples():
        ids = token_ids(subject, words[row.language], row.language)
        unit = subject.saes[bank.site(LAYER)].W_dec.detach()[row.feature].double().numpy()
        unit = unit / np.linalg.norm(unit)
        vector = DOSE * bank.scales[bank.site(LAYER)] * unit
        expected = effect_by_hand(subject, vector, PROMPTS[row.language], ids, row.emotion)
        assert row.output_effect == pytest.approx(expected, abs=2e-4)
        assert row.n_tokens == len(ids[row.emotion])


def test_the_output_score_is_rank_times_probability_of_the_features_own_tokens(measured, scores):
    subject, bank, _ = measured
    for row in scores.to_frame().groupby("language").head(2).itertuples():
        decoder = subject.saes[bank.site(LAYER)].W_dec.detach()[[row.feature]]
        own = next(lens_logits(subject, decoder))[1][0].argsort(descending=True)[:20].numpy()
        unit = decoder[0].double().numpy() / np.linalg.norm(decoder[0].double().numpy())
        for vector, got in (
            (DOSE * bank.scales[bank.site(LAYER)] * unit, row.output_score),
            (None, row.output_score_unsteered),
        ):
            by_hand = []
            for prompt in PROMPTS[row.language]:
                log = log_probabilities(subject, prompt, vector)
                ranks = np.argsort(np.argsort(-log))[own]
                by_hand.append((1 - ranks.min() / len(log)) * np.exp(log[own]).max())
            assert got == pytest.approx(np.mean(by_hand), rel=1e-3, abs=1e-6)


def test_the_direct_score_is_the_auroc_of_the_words_under_the_lens(measured, scores):
    subject, bank, words = measured
    frame = scores.to_frame()
    for row in frame[(frame["language"] == "en")].head(4).itertuples():
        ids = token_ids(subject, words["en"], "en")
        logits = next(lens_logits(subject, subject.saes[bank.site(LAYER)].W_dec.detach()[[row.feature]]))[1][0].numpy()
        mine = logits[ids[row.emotion]]
        others = logits[[i for e, several in ids.items() if e != row.emotion for i in several]]
        pairs = mine[:, None] - others[None]
        assert row.direct_auroc == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2, abs=1e-9)
        percentile = (rankdata(logits)[ids[row.emotion]] - 1) / (len(logits) - 1)
        assert row.direct_percentile == pytest.approx(percentile.mean(), abs=2e-3)


def test_p_counts_the_vectors_of_the_null_that_do_at_least_as_much(rng):
    values = rng.normal(size=(60, 3)).round(1)
    values[:, 2] = np.nan
    z, p = feature_outputs._against(values, 10)
    for i in range(10):
        for e in range(2):
            null = values[10:, e]
            assert p[i, e] == pytest.approx((1 + sum(n >= values[i, e] for n in null)) / 51)
            assert z[i, e] == pytest.approx((values[i, e] - null.mean()) / null.std(ddof=1))
    assert np.isnan(z[:, 2]).all() and np.isnan(p[:, 2]).all()


def planted(subject, bank, words):
    """The subject with one selected feature's decoder row turned towards what the head reads as its emotion's words."""
    site = bank.site(LAYER)
    row = bank.table(layer=LAYER, language="en").query("selected or top").iloc[0]
    ids = token_ids(subject, words["en"], "en")
    weight = subject.model.W_U.detach()
    own = weight[:, ids[row["emotion"]]].mean(1)
    others = torch.stack([weight[:, i].mean(1) for e, i in ids.items() if e != row["emotion"]]).mean(0)
    sae = copy.deepcopy(subject.saes[site])
    with torch.no_grad():
        sae.W_dec[int(row["feature"])] = (own - others) / (own - others).norm()
    model = subject.model
    saes = {s: (sae if s == site else old) for s, old in subject.saes.items()}
    return ei.Subject(model, saes=saes, tokenizer=subject.tokenizer, name=subject.name), row


def test_a_planted_output_feature_is_found_and_can_be_steered_with(measured):
    subject, bank, words = measured
    changed, row = planted(subject, bank, words)
    scores = output_scores(
        changed, bank, [LAYER], ["en"], words=words, prompts=PROMPTS, dose=DOSE, n_random=999, max_q=0.1
    )
    frame = scores.to_frame()
    mine = frame[(frame["feature"] == row["feature"]) & (frame["emotion"] == row["emotion"])].iloc[0]
    assert mine["label"] == ("both" if row["selected"] else "output")
    assert mine["output_p"] == pytest.approx(1 / 1000) and mine["direct_auroc"] > 0.9
    steered = ei.with_output_directions(changed, scores.add_to(bank))
    direction = steered.direction(row["emotion"], LAYER, "en", method="sae_output")
    assert direction.unit @ changed.saes[bank.site(LAYER)].W_dec.detach()[int(row["feature"])].numpy() > 0.5


def test_random_decoder_rows_are_labelled_output_no_more_often_than_promised(measured):
    """The decoder of the tiny subject is random, so every feature is one more random direction."""
    subject, bank, words = measured
    site = bank.site(LAYER)
    every = [(LAYER, str(site), "en", e, f) for e in EMOTIONS for f in range(subject.readers[site].d_sae)]
    rows = pd.DataFrame(every, columns=list(KEYS)).assign(selected=False, top=False)
    frame = output_scores(
        subject, replace(bank, features=rows), features="scored", languages=["en"], words=words, prompts=PROMPTS
    ).to_frame()
    assert len(frame) == 4 * 128
    # 25.6 of 512 are expected below .05, one standard deviation of independent tests is 4.9
    assert 8 <= (frame["output_p"] <= 0.05).sum() <= 46
    assert 0.42 < frame["output_p"].mean() < 0.58
    assert frame["label"].isin(["output", "both"]).mean() < 0.05


def test_an_emotion_without_single_token_words_is_untested(scores):
    frame = scores.to_frame()
    rows = frame[(frame["language"] == "zh") & (frame["emotion"] == "sadness")]
    assert len(rows) and set(rows["label"]) == {"untested"} and (rows["n_tokens"] == 0).all()
    assert rows[["output_effect", "output_p", "direct_auroc"]].isna().all(axis=None)
    assert rows["output_score"].notna().all()


def test_the_table_joins_the_scores_of_the_bank_and_survives_saving(measured, scores, tmp_path):
    _, bank, _ = measured
    joined = scores.add_to(bank)
    table = joined.table(layer=LAYER, selected=True, language="en")
    assert len(table) == len(bank.table(layer=LAYER, selected=True, language="en"))
    assert table["label"].notna().all() and table["output_effect"].notna().all()
    loaded = ei.FeatureBank.load(joined.save(tmp_path / "bank"))
    assert loaded.extras["outputs"].equals(joined.extras["outputs"])
    assert not loaded.extras["outputs"].duplicated(list(KEYS)).any()


def test_the_seed_fixes_everything_and_batches_change_nothing(measured, scores):
    subject, bank, words = measured
    options = {"words": words, "prompts": PROMPTS, "dose": DOSE, "n_random": 99}
    again = output_scores(subject, bank, [LAYER], token_budget=64, **options).to_frame()
    assert np.allclose(again["output_effect"], scores.frame["output_effect"], atol=1e-4, equal_nan=True)
    assert (again["label"] == scores.frame["label"]).all()
    other = output_scores(subject, bank, [LAYER], seed=1, **options).to_frame()
    assert not np.allclose(other["output_z"], scores.frame["output_z"], equal_nan=True)


def test_the_null_of_decoder_rows_leaves_the_banks_own_features_out(measured):
    subject, bank, _ = measured
    site = bank.site(LAYER)
    vectors = feature_outputs._null(
        Setting(subject, bank), site, "en", feature_outputs.OutputOptions(null="decoder", n_random=10_000)
    )
    decoder = subject.saes[site].W_dec.detach().double().numpy()
    ids = {int(np.abs(decoder - v).sum(1).argmin()) for v in vectors}
    own = set(bank.table(layer=LAYER).query("selected or top")["feature"])
    living = set(bank.rates.query("layer == @LAYER and language == 'en'")["feature"])
    assert ids == living - own and len(ids) == len(vectors)


def test_no_hook_and_no_change_is_left_on_the_model(measured, hooks_on):
    subject, bank, words = measured
    before = hooks_on(subject)
    bare = log_probabilities(subject, "He felt")
    output_scores(subject, bank, [LAYER], ["en"], words=words, prompts=PROMPTS, n_random=19)
    assert hooks_on(subject) == before and np.array_equal(log_probabilities(subject, "He felt"), bare)


def test_what_cannot_be_measured_is_refused(measured):
    subject, bank, words = measured
    good = {"words": words, "prompts": PROMPTS}
    with pytest.raises(UnknownNameError, match="null"):
        output_scores(subject, bank, null="zeros", **good)
    with pytest.raises(UnknownNameError, match="choice of features"):
        output_scores(subject, bank, features="all", **good)
    with pytest.raises(UnknownNameError, match="language"):
        output_scores(subject, bank, languages=["fr"], **good)
    with pytest.raises(EmotionInterpError, match="n_random"):
        output_scores(subject, bank, n_random=5, **good)
    with pytest.raises(EmotionInterpError, match="no neutral prompts for 'zh'"):
        output_scores(subject, bank, words=words, prompts={"en": ["He felt"]})
    with pytest.raises(UnknownNameError, match="choice of words"):
        output_scores(subject, bank, words="none", prompts=PROMPTS)


def test_a_site_that_cannot_be_written_is_refused(measured, monkeypatch):
    subject, bank, words = measured
    from emotion_interp.core import Site

    monkeypatch.setattr(feature_outputs, "chosen_features", lambda *_: {Site(0, "z"): np.asarray([1])})
    with pytest.raises(UnsupportedError, match="not written"):
        output_scores(subject, bank, words=words, prompts=PROMPTS)
