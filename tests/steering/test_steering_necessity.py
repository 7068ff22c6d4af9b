"""Necessity: the drop is that of ablating the features alone, and random sets match them in firing rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.activations import read_tokens
from emotion_interp.core import EmotionInterpError, Site, UnknownNameError
from emotion_interp.steering import necessity, next_word_probability, sae_operation
from emotion_interp.steering.necessity import NEIGHBOURS, firing_rates, rate_matched
from emotion_interp.subjects import Subject
from emotion_interp.subjects.generation import decode

TEXTS = ["The old man was sad and the woman", "She was", "He felt the sea and was"]
WORDS = {"fear": ["afraid", "scared", "sea", "was", "the", "he", "felt"]}


class SmallBank:
    """What necessity asks a bank: sites and selected features."""

    layers = (1,)

    def __init__(self, features):
        self.features = features

    def site(self, layer):
        return Site(1)

    def selected_features(self, layer, language=None, emotion=None):
        return np.asarray(self.features)

    def held_out_words(self, emotion, language):
        return WORDS[emotion]


@pytest.fixture(scope="module")
def subject(subjects, tokenizer):
    import torch
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    config = StandardSAEConfig(
        d_in=16, d_sae=60, dtype="float32", device="cpu", metadata=SAEMetadata(hook_name=Site(1).hook_name)
    )
    sae = StandardSAE(config)
    torch.manual_seed(4)
    for parameter in sae.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    return Subject(subjects["gpt2"].model, [sae.eval()], tokenizer)


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


def test_p_counts_the_random_sets_that_drop_as_far(subject):
    frame = necessity(subject, SmallBank([3, 17]), "fear", TEXTS, n_random=19, seed=2).iloc[0]
    rates = firing_rates(subject, Site(1), TEXTS)
    rows = [list(t.ids) for t in subject.tokenize(TEXTS)]
    ids = [subject.tokenizer(" " + w, add_special_tokens=False)["input_ids"] for w in WORDS["fear"]]
    single = sorted({i[0] for i in ids if len(i) == 1})

    def judged(features):
        with sae_operation(subject, 1, features, "ablate", positions="all"):
            logits = [one[0].double() for one in decode(subject, rows, 1, return_logits=True).logits]
        return np.mean([float(x.softmax(-1)[single].sum()) for x in logits])

    own = judged([3, 17])
    others = [judged(list(map(int, s))) for s in rate_matched(rates, np.array([3, 17]), 19, 2)]
    assert frame["p"] == (1 + sum(o <= own + 1e-12 for o in others)) / 20
    assert abs(frame["random_drop"] - (frame["target"] - np.mean(others))) < 1e-6


def test_firing_rates_are_those_of_single_texts_pooled_over_tokens(subject):
    latents = np.concatenate([read_tokens(subject, t).latents[Site(1)].numpy() for t in TEXTS])
    assert np.allclose(firing_rates(subject, Site(1), TEXTS), (latents > 0).mean(0))


@given(st.integers(30, 80), st.integers(1, 8), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_stand_ins_are_others_each_once_and_among_the_nearest_in_rate(n, k, seed):
    random = np.random.default_rng(seed)
    rates = random.random(n).round(1)
    features = random.choice(n, size=k, replace=False)
    sets = rate_matched(rates, features, 5, seed)
    assert sets.shape == (5, k) and not np.isin(sets, features).any()
    assert all(len(set(s)) == k for s in sets.tolist())
    others = np.setdiff1d(np.arange(n), features)
    for one in sets:
        for place, feature in enumerate(features):
            gaps = np.sort(np.abs(rates[others] - rates[feature]))
            furthest = gaps[min(len(gaps), NEIGHBOURS + place) - 1]
            assert abs(rates[one[place]] - rates[feature]) <= furthest + 1e-12
    assert np.array_equal(sets, rate_matched(rates, features, 5, seed))


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
    frame = necessity(subject, SmallBank([3]), "fear", TEXTS, judge, n_random=4, max_new_tokens=6).iloc[0]
    plain = [subject.generate(t, max_new_tokens=6, return_prompt=False) for t in TEXTS]
    assert judge.seen[:3] == plain and len(judge.seen) == 3 * 6
    assert abs(frame["target"] - np.mean([min(1, len(t) / 100) for t in plain])) < 1e-12


def test_features_can_be_given_and_nothing_to_ablate_is_said(subject, hooks_on):
    count = hooks_on(subject)
    given_features = necessity(subject, SmallBank([]), "fear", TEXTS, layer=1, features=[5, 9], n_random=0).iloc[0]
    assert given_features["n_features"] == 2 and np.isnan(given_features["p"])
    with pytest.raises(EmotionInterpError, match="nothing to ablate"):
        necessity(subject, SmallBank([]), "fear", TEXTS)
    with pytest.raises(EmotionInterpError, match="need the layer"):
        necessity(subject, SmallBank([]), "fear", TEXTS, features=[5])
    with pytest.raises(EmotionInterpError, match="list of at least one text"):
        necessity(subject, SmallBank([3]), "fear", "one text")
    judge = LengthJudge()
    judge.emotions = ("joy",)
    with pytest.raises(UnknownNameError, match="fear"):
        necessity(subject, SmallBank([3]), "fear", TEXTS, judge)
    with pytest.raises(EmotionInterpError, match="needs texts"):
        necessity(subject, SmallBank([3]), "fear", TEXTS, LengthJudge(), max_new_tokens=0)
    with pytest.raises(EmotionInterpError, match="from 0"):
        necessity(subject, SmallBank([3]), "fear", TEXTS, n_random=-1)
    with pytest.raises(TypeError, match="n_radom"):
        necessity(subject, SmallBank([3]), "fear", TEXTS, n_random=0, n_radom=3)
    assert hooks_on(subject) == count
