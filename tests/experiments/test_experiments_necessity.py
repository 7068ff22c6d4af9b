"""Necessity: the drop is that of ablating the features alone, and random sets fire as often and take away as much."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.activations import read_tokens
from emotion_interp.core import EmotionInterpError, Site, UnknownNameError
from emotion_interp.experiments import necessity
from emotion_interp.experiments.matched_sets import NEIGHBOURS, FiredOn, fired_on, fully_matched, overlap, rate_matched
from emotion_interp.judges import next_word_probability
from emotion_interp.steering import ablate_rows, sae_operation
from emotion_interp.subjects import Subject
from emotion_interp.subjects.generation import decode

TEXTS = ["The old man was sad and the woman", "She was", "He felt the sea and was"]
WORDS = {"fear": ["afraid", "scared", "sea", "was", "the", "he", "felt"]}


class SmallBank:
    """What necessity asks a bank: sites and selected features; the rest makes it one."""

    layers = (1,)

    def __init__(self, features):
        self.features = features

    def site(self, layer):
        return Site(1)

    def selected_features(self, layer, language=None, emotion=None):
        return np.asarray(self.features)

    def held_out_words(self, emotion, language):
        return WORDS[emotion]

    def direction(self, emotion, layer, language=None, method="dense"):
        raise AssertionError("necessity ablates features")


def wide_sae(d_sae):
    import torch
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    config = StandardSAEConfig(
        d_in=16, d_sae=d_sae, dtype="float32", device="cpu", metadata=SAEMetadata(hook_name=Site(1).hook_name)
    )
    sae = StandardSAE(config)
    torch.manual_seed(4)
    for parameter in sae.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    return sae.eval()


@pytest.fixture(scope="module")
def subject(subjects, tokenizer):
    return Subject(subjects["gpt2"].model, [wide_sae(60)], tokenizer)


def test_the_drop_is_that_of_the_ablation_alone(subject):
    frame = necessity(subject, SmallBank([3, 17]), "fear", TEXTS, n_random=19).iloc[0]
    plain = next_word_probability(subject, TEXTS, WORDS)[0, :, 0]
    with sae_operation(subject, 1, [3, 17], "ablate", positions="all"):
        without = next_word_probability(subject, TEXTS, WORDS, positions="all")[0, :, 0]
    assert abs(frame["target"] - plain.mean()) < 1e-6
    assert abs(frame["target_ablated"] - without.mean()) < 1e-6
    assert abs(frame["drop"] - (plain - without).mean()) < 1e-6
    assert frame["lo"] <= frame["drop"] <= frame["hi"]
    assert (frame["n_features"], frame["n_texts"], frame["layer"]) == (2, 3, 1)
    assert frame["site"] == "blocks.1.hook_resid_post"


def test_p_counts_the_random_sets_that_drop_as_far_each_with_its_factor(subject):
    chosen = np.array([3, 17])
    frame = necessity(subject, SmallBank([3, 17]), "fear", TEXTS, n_random=19, seed=2, null="scaled").iloc[0]
    fired = fired_on(subject, Site(1), TEXTS)
    rows = [list(t.ids) for t in subject.tokenize(TEXTS)]
    ids = [subject.tokenizer(" " + w, add_special_tokens=False)["input_ids"] for w in WORDS["fear"]]
    single = sorted({i[0] for i in ids if len(i) == 1})

    def judged(features, strength=1.0):
        with ablate_rows(subject, 1, [features] * len(rows), "all", strength):
            logits = [one[0].double() for one in decode(subject, rows, 1, return_logits=True).logits]
        return np.mean([float(x.softmax(-1)[single].sum()) for x in logits])

    own = judged([3, 17])
    sets = [list(map(int, s)) for s in rate_matched(fired.rates, chosen, 19, 2)]
    factors = [fired.removed(chosen) / fired.removed(s) for s in sets]
    others = [judged(s, f) for s, f in zip(sets, factors, strict=True)]
    assert frame["p"] == (1 + sum(o <= own + 1e-12 for o in others)) / 20
    assert abs(frame["random_drop"] - (frame["target"] - np.mean(others))) < 1e-6
    sizes = [fired.removed(s) for s in sets]
    assert frame["factor"] == pytest.approx(np.median(factors)) and frame["removed"] == pytest.approx(
        fired.removed(chosen)
    )
    columns = ["removed_null", "removed_null_lo", "removed_null_hi"]
    assert np.allclose(frame[columns].astype(float), [np.median(sizes), min(sizes), max(sizes)])
    assert frame["removed_ratio"] == pytest.approx(np.median(sizes) / fired.removed(chosen))


def test_a_strength_multiplies_what_is_taken_away(subject):
    import torch

    ids = list(subject.tokenize([TEXTS[0]])[0].ids)

    def stream(strength=None):
        with torch.no_grad():
            if strength is None:
                return subject.model.run_with_cache(torch.tensor([ids]))[1]["blocks.1.hook_resid_post"][0].double()
            with ablate_rows(subject, 1, [[3, 17]], "all_with_bos", strength):
                return subject.model.run_with_cache(torch.tensor([ids]))[1]["blocks.1.hook_resid_post"][0].double()

    taken = stream() - stream(1.0)
    assert float(taken.abs().max()) > 0.01
    for strength in (0.0, 2.5, [2.5]):
        factor = float(np.ravel(strength)[0])
        assert float((stream() - stream(strength) - factor * taken).abs().max()) < 1e-5
    for wrong in (float("nan"), [1.0, 2.0]):
        with pytest.raises(EmotionInterpError, match="strength"), ablate_rows(subject, 1, [[3]], "all", wrong):
            pass


def test_rates_and_what_is_removed_are_those_of_single_texts_pooled_over_tokens(subject):
    latents = np.concatenate([read_tokens(subject, t).latents[Site(1)].numpy() for t in TEXTS])
    fired = fired_on(subject, Site(1), TEXTS)
    assert np.allclose(fired.rates, (latents > 0).mean(0))
    rows = subject.saes[Site(1)].W_dec.detach().numpy()
    expected = np.linalg.norm(latents[:, [3, 17]] @ rows[[3, 17]], axis=1).mean()
    assert fired.removed([3, 17]) == pytest.approx(expected, rel=1e-5)


@given(st.integers(30, 80), st.integers(1, 8), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_stand_ins_are_living_others_each_once_and_among_the_nearest_in_rate(n, k, seed):
    random = np.random.default_rng(seed)
    rates = random.random(n).round(1)
    features = random.choice(n, size=k, replace=False)
    sets = rate_matched(rates, features, 5, seed)
    assert sets.shape == (5, k) and not np.isin(sets, features).any() and (rates[sets] > 0).all()
    assert all(len(set(s)) == k for s in sets.tolist())
    others = np.setdiff1d(np.flatnonzero(rates > 0), features)
    for one in sets:
        for place, feature in enumerate(features):
            gaps = np.sort(np.abs(rates[others] - rates[feature]))
            furthest = gaps[min(len(gaps), NEIGHBOURS + place) - 1]
            assert abs(rates[one[place]] - rates[feature]) <= furthest + 1e-12
    assert np.array_equal(sets, rate_matched(rates, features, 5, seed))


def fires(seed: int, n: int = 150, tokens: int = 200) -> FiredOn:
    """Features of many sizes and rates, some of them dead."""
    from scipy.sparse import csc_matrix

    random = np.random.default_rng(seed)
    rates = np.where(np.arange(n) % 7 == 0, 0.0, random.uniform(0.02, 0.4, n))
    active = (random.random((tokens, n)) < rates) * random.gamma(2.0, size=(tokens, n)) * np.exp(random.normal(size=n))
    return FiredOn(csc_matrix(active), random.normal(size=(n, 12)))


@pytest.mark.parametrize("seed", range(6))
def test_matched_sets_fire_as_often_and_take_away_as_much(seed):
    fired = fires(seed)
    features = np.random.default_rng(seed).choice(np.flatnonzero(fired.rates > 0), 8, replace=False)
    sets = fully_matched(fired, features, 25, seed, 0.25)
    assert len(sets) == 25 == len({tuple(s) for s in sets.tolist()})
    assert not np.isin(sets, features).any() and (fired.rates[sets] > 0).all()
    assert all(len(set(s)) == 8 for s in sets.tolist())
    for one in sets:
        assert 1 / 1.25 - 1e-9 <= fired.removed(one) / fired.removed(features) <= 1.25 + 1e-9
        assert 1 / 1.25 - 1e-9 <= fired.rates[one].mean() / fired.rates[features].mean() <= 1.25 + 1e-9
    assert np.array_equal(sets, fully_matched(fired, features, 25, seed, 0.25))


def test_where_nothing_takes_away_as_much_there_is_no_set():
    fired = fires(1)
    living = np.flatnonzero(fired.rates > 0)
    decoder = fired.decoder.copy()
    decoder[living[:4]] *= 1000
    assert fully_matched(FiredOn(fired.latents, decoder), living[:4], 25, 0, 0.25).shape == (0, 4)
    dead = np.flatnonzero(fired.rates == 0)[:3]
    assert len(fully_matched(fired, dead, 5, 0, 0.25)) == 0


def test_the_overlap_is_the_mean_share_of_features_in_common():
    sets = np.array([[1, 2], [2, 3], [4, 5]])
    pairs = [
        len(set(a) & set(b)) / 2 for i, a in enumerate(sets.tolist()) for j, b in enumerate(sets.tolist()) if i != j
    ]
    assert overlap(sets) == pytest.approx(np.mean(pairs)) and np.isnan(overlap(sets[:1]))


def test_without_a_match_the_table_says_so_and_gives_no_p(subject):
    import torch

    sae = wide_sae(60)
    with torch.no_grad():
        sae.W_dec[[3, 17]] *= 500
    loud = Subject(subject.model, [sae], subject.tokenizer)
    frame = necessity(loud, SmallBank([3, 17]), "fear", TEXTS, n_random=19, null=("matched", "scaled"))
    matched, scaled = frame.set_index("null").loc[["matched", "scaled"]].to_dict("records")
    assert (
        np.isnan(matched["p"])
        and matched["note"].startswith("no match: 0 of 19 random sets")
        and matched["n_random"] == 0
    )
    assert np.isfinite(scaled["p"]) and not scaled["note"] and scaled["n_random"] == 19 and scaled["factor"] > 5
    assert matched["drop"] == scaled["drop"]
    # where there is one, the achieved match is in the table
    found = necessity(subject, SmallBank([3, 17]), "fear", TEXTS, n_random=19, tolerance=0.3).iloc[0]
    assert found["note"] == "" and found["n_random"] == 19 and found["factor"] == 1
    assert 1 / 1.3 <= found["removed_ratio"] <= 1.3 and 1 / 1.3 <= found["rate_null"] / found["rate"] <= 1.3
    assert found["removed_null_lo"] >= found["removed"] / 1.3 - 1e-9 and 0 <= found["overlap"] <= 1


class LengthJudge:
    """Judges by the letters it sees, to show which text it is given."""

    emotions = ("fear",)

    def __init__(self):
        self.seen = []

    def predict_proba(self, texts):
        self.seen += list(texts)
        return np.asarray([[min(1.0, len(t) / 100)] for t in texts])


def test_a_text_judge_sees_the_continuation_alone(subject):
    judge = LengthJudge()
    frame = necessity(subject, SmallBank([3]), "fear", TEXTS, judge, n_random=4, max_new_tokens=6, null="scaled").iloc[
        0
    ]
    plain = [subject.generate(t, max_new_tokens=6, return_prompt=False) for t in TEXTS]
    assert judge.seen[:3] == plain and len(judge.seen) == 3 * 6
    assert abs(frame["target"] - np.mean([min(1, len(t) / 100) for t in plain])) < 1e-12


def test_features_can_be_given_and_nothing_to_ablate_is_said(subject, hooks_on):
    count = hooks_on(subject)
    given_features = necessity(subject, SmallBank([]), "fear", TEXTS, layer=1, features=[5, 9], n_random=0).iloc[0]
    assert given_features["n_features"] == 2 and np.isnan(given_features["p"]) and given_features["note"] == ""
    for wrong in ({"null": "rate"}, {"null": ()}, {"tolerance": 0}, {"tolerance": float("nan")}):
        with pytest.raises(EmotionInterpError, match=r"null|tolerance"):
            necessity(subject, SmallBank([3]), "fear", TEXTS, n_random=0, **wrong)
    with pytest.raises(EmotionInterpError, match="nothing to ablate"):
        necessity(subject, SmallBank([]), "fear", TEXTS)
    with pytest.raises(EmotionInterpError, match="need the layer"):
        necessity(subject, SmallBank([]), "fear", TEXTS, features=[5])
    with pytest.raises(EmotionInterpError, match="texts is a list of texts, got 'one text'"):
        necessity(subject, SmallBank([3]), "fear", "one text")
    judge = LengthJudge()
    judge.emotions = ("joy",)
    with pytest.raises(UnknownNameError, match="fear"):
        necessity(subject, SmallBank([3]), "fear", TEXTS, judge)
    with pytest.raises(EmotionInterpError, match="needs texts"):
        necessity(subject, SmallBank([3]), "fear", TEXTS, LengthJudge(), max_new_tokens=0)
    with pytest.raises(EmotionInterpError, match="n_random is a number of at least 0, got -1"):
        necessity(subject, SmallBank([3]), "fear", TEXTS, n_random=-1)
    with pytest.raises(TypeError, match="n_radom"):
        necessity(subject, SmallBank([3]), "fear", TEXTS, n_random=0, n_radom=3)
    assert hooks_on(subject) == count
