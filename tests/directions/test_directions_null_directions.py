"""Four kinds of random direction: what each is made of, and that p is calibrated and the largest over kinds and judges."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core import Direction, EmotionInterpError, Site, UnknownNameError
from emotion_interp.directions.null_directions import KINDS, NullTexts, null_texts, random_directions
from emotion_interp.experiments import dose_response, steering_controls, steering_test
from emotion_interp.experiments.grid import _record
from emotion_interp.experiments.nulls import random_answers
from emotion_interp.experiments.question import GridQuestion
from emotion_interp.features.dense import contrast_means
from emotion_interp.judges.next_word import next_words
from emotion_interp.subjects import Subject
from tests.experiments.random_bank import PROMPTS, WORDS
from tests.steering.test_steering_sae_operation import an_sae

SITE = Site(1)
EMOTIONS = ("anger", "joy", "sadness")


@pytest.fixture(scope="module")
def subject(subjects, tokenizer):
    made = Subject(subjects["gpt2"].model, [an_sae(SITE)], tokenizer)
    made.scales.update(subjects["gpt2"].scales)
    return made


def some_texts(n_topics: int = 12, each: int = 3, seed: int = 0, d: int = 16) -> NullTexts:
    random = np.random.default_rng(seed)
    emotions = [e for _ in range(n_topics) for e in EMOTIONS for _ in range(each)]
    groups = [f"topic {t}" for t in range(n_topics) for _ in EMOTIONS for _ in range(each)]
    return NullTexts({SITE: random.normal(size=(len(emotions), d))}, tuple(emotions), tuple(groups))


@dataclass
class Bank:
    """Random directions at layer 1, with a manifest and selected features."""

    emotions: tuple[str, ...] = tuple(WORDS)
    layers: tuple[int, ...] = (1,)
    scales: dict = field(default_factory=lambda: {SITE: 2.0})
    manifest: dict = field(default_factory=dict)
    own: dict = field(default_factory=dict)

    def site(self, layer):
        return layer if isinstance(layer, Site) else Site(1)

    def direction(self, emotion, layer, language=None, method="dense"):
        vector = np.random.default_rng([len(emotion), len(method)]).normal(size=16)
        return Direction(vector, 1, name=emotion, method=method)

    def held_out_words(self, emotion, language=None):
        return WORDS[emotion]

    def selected_features(self, layer, language=None, emotion=None):
        return np.asarray(self.own.get(emotion, []), dtype=np.int64)


class Letters:
    """A judge whose answers depend on the text alone."""

    def __init__(self, emotions, step):
        self.emotions, self.step = tuple(emotions), step

    def predict_proba(self, texts):
        return np.asarray(
            [[(sum(map(ord, t)) * (self.step + k)) % 97 / 97 for k in range(len(self.emotions))] for t in texts]
        )


# -- what each kind is ------------------------------------------------------------------------------------------------
def test_every_kind_has_length_one_and_depends_on_the_seed_alone(subject):
    texts = some_texts()
    one, again = (random_directions(subject, 1, 20, KINDS, seed=3, texts=texts) for _ in range(2))
    other = random_directions(subject, 1, 20, KINDS, seed=4, texts=texts)
    assert tuple(one) == KINDS
    for kind, drawn in one.items():
        assert drawn.units.shape == (20, 16) and np.allclose(np.linalg.norm(drawn.units, axis=1), 1)
        assert np.array_equal(drawn.units, again[kind].units) and not np.allclose(drawn.units, other[kind].units)
        # a kind does not depend on which others are drawn
        assert np.array_equal(random_directions(subject, 1, 20, [kind], seed=3, texts=texts)[kind].units, drawn.units)
    assert ei.random_directions is random_directions


def test_isotropic_directions_prefer_none(subject):
    units = random_directions(subject, 1, 20_000)["isotropic"].units
    assert np.abs(units.mean(0)).max() < 0.01
    assert np.abs(units.T @ units / len(units) - np.eye(16) / 16).max() < 0.004


def test_decoder_directions_are_the_saes_rows_each_once(subject):
    drawn = random_directions(subject, 1, 24, ["decoder"])["decoder"]
    rows = subject.saes[SITE].W_dec.detach().numpy()
    assert sorted(drawn.latents) == list(range(24))
    assert np.allclose(drawn.units, rows[drawn.latents] / np.linalg.norm(rows[drawn.latents], axis=1, keepdims=True))
    with pytest.raises(EmotionInterpError, match="24 decoder rows, fewer than the 25"):
        random_directions(subject, 1, 25, ["decoder"])
    with pytest.raises(UnknownNameError, match="SAE"):
        random_directions(subject, 0, 5, ["decoder"])


def test_topic_differences_hold_no_emotion_and_are_those_of_two_topics(subject):
    random = np.random.default_rng(0)
    emotion_of, topic_of = random.normal(size=(3, 8)), random.normal(size=(9, 8))
    # emotions and topics in dimensions apart: a difference of topics has nothing in the emotions'
    rows = [(e, t) for t in range(9) for e in range(3) for _ in range(1 + (e + t) % 3)]
    values = np.asarray([np.concatenate([emotion_of[e], topic_of[t]]) for e, t in rows])
    texts = NullTexts({SITE: values}, tuple(EMOTIONS[e] for e, _ in rows), tuple(f"t{t}" for _, t in rows))
    assert subject.d_model == 16
    units = random_directions(subject, 1, 36, ["topics"], texts=texts)["topics"].units
    assert np.abs(units[:, :8]).max() < 1e-12
    pairs = {}
    for unit in units:
        found = [
            (a, b)
            for a in range(9)
            for b in range(9)
            if a != b and np.allclose(unit[8:], (d := topic_of[a] - topic_of[b]) / np.linalg.norm(d))
        ]
        pairs[frozenset(found[0])] = found
    # all 36 pairs, each once
    assert len(pairs) == 36
    with pytest.raises(EmotionInterpError, match=r"9 topics .* make 36 pairs .* fewer than the 37"):
        random_directions(subject, 1, 37, ["topics"], texts=texts)


@pytest.mark.parametrize("with_neutral", [False, True])
def test_shuffled_differences_are_the_contrast_of_permuted_labels(subject, with_neutral):
    texts = some_texts()
    if with_neutral:
        labels = tuple("neutral" if i % 4 == 0 else e for i, e in enumerate(texts.emotions))
        texts = NullTexts(texts.values, labels, texts.groups)
    units = random_directions(subject, 1, 6, ["shuffled"], seed=2, texts=texts)["shuffled"].units
    from emotion_interp.core.seeds import generator

    random = generator(2, "random directions, shuffled", SITE.hook_name)
    names = [*EMOTIONS, *(["neutral"] if with_neutral else [])]
    codes = np.asarray([names.index(e) for e in texts.emotions])
    for i in range(6):
        order = random.permutation(len(codes))
        expected = contrast_means(texts.values[SITE], codes[order], len(names), 3 if with_neutral else None)[i % 3]
        assert np.allclose(units[i], expected / np.linalg.norm(expected))


def test_stimuli_are_read_as_a_bank_of_texts_reads_them(subject):
    from emotion_interp.activations import read_stimuli
    from emotion_interp.concepts.scenes import labelled_stimuli

    words = ("happy", "sad", "angry", "calm")
    lines = [f"The letter said that {who} felt {w} by the sea and the door" for who in ("she", "he") for w in words]
    stimuli = labelled_stimuli(lines, ["joy", "sadness", "anger", "joy"] * 2, groups=["a"] * 4 + ["b"] * 4)
    texts = null_texts(subject, stimuli, [1])
    assert texts.emotions == ("joy", "sadness", "anger", "joy") * 2 and texts.groups == ("a",) * 4 + ("b",) * 4
    expected = read_stimuli(subject, stimuli, np.arange(8), sites=[SITE], position="text", skip=8)[SITE].dense
    assert np.allclose(texts.values[SITE], expected)
    assert len(random_directions(subject, 1, 3, ["shuffled"], texts=stimuli)["shuffled"]) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": "isotropic"}, "kinds is a list"),
        ({"kinds": []}, "kinds is a list"),
        ({"kinds": ["isotropc"]}, "isotropc"),
        ({"kinds": ["topics"]}, "made of texts"),
        ({"kinds": ["shuffled"]}, "made of texts"),
        ({"n": 0}, "n is a number of at least 1, got 0"),
        ({"n": 2.5}, "n is a whole number, got 2.5"),
        ({"texts": []}, "got none"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(subject, options, message):
    with pytest.raises(EmotionInterpError, match=message):
        random_directions(subject, 1, **options)


# -- p ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_p_is_calibrated_for_a_direction_that_is_drawn_as_its_null_is(subject, tokenizer, kind):
    """A null subject: its emotion's direction is one more random direction of the same kind."""
    from tests.experiments.test_experiments_necessity import wide_sae

    wide = Subject(subject.model, [wide_sae(400)], tokenizer)
    judge = next_words(subject, {"joy": WORDS["joy"]}, "en")
    setting = GridQuestion(wide, tuple(PROMPTS), judge, ("joy",), "all", 0, 0, {})
    texts = some_texts(40) if kind in ("topics", "shuffled") else None
    pool = random_answers(setting, 2.0, 0.6, random_directions(wide, 1, 400, [kind], texts=texts)[kind])[:, :, 0]
    random, picks = np.random.default_rng(1), np.zeros((1, len(PROMPTS)), dtype=int)
    small = 0
    for _ in range(2000):
        some = random.choice(400, size=40, replace=False)
        small += _record(pool[some[0]], pool[some[0]], pool[some[1:]], picks)["p"] <= 0.05
    assert 0.035 <= small / 2000 <= 0.0675


def test_p_is_the_largest_over_the_kinds_and_each_is_that_of_the_kind_alone(subject):
    texts, options = some_texts(), {"layers": [1], "n_random": 19, "seed": 5, "alpha": None}
    args = (subject, Bank(), list(WORDS), [0.5], PROMPTS)
    table = dose_response(*args, kinds=KINDS, stimuli=texts, **options).table.set_index("emotion")
    for kind in KINDS:
        alone = dose_response(*args, kinds=[kind], stimuli=texts, **options).table.set_index("emotion")
        assert np.allclose(table[f"p_{kind}"].astype(float), alone["p"].astype(float))
        here = table[table["random_kind"] == kind].index
        columns = ["random_lo", "random_hi", "z", "over_random"]
        assert np.allclose(table.loc[here, columns].astype(float), alone.loc[here, columns].astype(float))
    assert np.allclose(table["p"], table[[f"p_{k}" for k in KINDS]].max(axis=1))


def test_of_two_judges_p_is_the_largest_and_the_first_that_knows_the_emotion_decides(subject):
    judges = {"outside": Letters(["joy", "anger"], 1), "inside": Letters(["sadness", "joy"], 5)}
    options = {"layers": [1], "n_random": 19, "max_new_tokens": 4, "alpha": None, "kinds": ("isotropic", "decoder")}
    args = (subject, Bank(), list(WORDS), [0.5], PROMPTS)
    table = dose_response(*args, judge=judges, **options).table.set_index("emotion")
    assert table["judge"].to_dict() == {"joy": "outside", "sadness": "inside", "anger": "outside"}
    for name, judge in judges.items():
        known = [e for e in WORDS if e in judge.emotions]
        alone = dose_response(args[0], args[1], known, *args[3:], judge=judge, **options).table.set_index("emotion")
        assert np.allclose(table.loc[known, f"target_{name}"].astype(float), alone["target"].astype(float))
        assert np.allclose(table.loc[known, f"p_{name}"].astype(float), alone["p"].astype(float))
        assert np.allclose(table.loc[known, f"p_{name}_decoder"].astype(float), alone["p_decoder"].astype(float))
    assert table.loc["joy", "p"] == max(table.loc["joy", ["p_outside", "p_inside"]])
    assert (
        np.isnan(float(table.loc["anger", "p_inside"])) and table.loc["anger", "p"] == table.loc["anger", "p_outside"]
    )
    with pytest.raises(EmotionInterpError, match="knows none"):
        dose_response(args[0], args[1], ["sadness"], *args[3:], judge={"outside": judges["outside"]}, **options)
    with pytest.raises(EmotionInterpError, match="judge is a TextJudge .*got .*'joy'"):
        dose_response(*args, judge={"outside": "joy"}, **options)


def test_an_emotions_own_features_are_no_random_decoder_rows_for_it(subject):
    bank = Bank(own={"joy": [0, 1, 2, 3, 4]})
    test = steering_test(
        subject, bank, list(WORDS), PROMPTS[:2], PROMPTS[2:], doses=[0.5], methods=["dense"], n_random=24,
        kinds=["decoder"], max_new_tokens=0, alpha=None,
    )  # fmt: skip
    sizes = test.nulls.groupby("emotion").size().to_dict()
    assert sizes == {"joy": 19, "sadness": 24, "anger": 24}
    for row in test.table.to_dict("records"):
        null = test.nulls[test.nulls["emotion"] == row["emotion"]]["target"].to_numpy()
        assert row["p"] == pytest.approx((1 + (null >= row["target"]).sum()) / (len(null) + 1))


def test_controls_have_a_row_for_each_kind_and_the_steered_one_their_largest_p(subject):
    choices = pd.DataFrame({"emotion": ["joy", "anger"], "layer": 1, "method": "dense", "dose": [0.4, 0.6]})
    args = (subject, Bank(), choices, PROMPTS)
    frame = steering_controls(*args, n_random=9, kinds=KINDS, stimuli=some_texts(), seed=4)
    for emotion, rows in frame.groupby("emotion"):
        p = rows.set_index("control")["p"]
        kinds = ["random", "decoder", "topics", "shuffled"]
        assert p["steered"] == p[kinds].max() and rows.set_index("control").loc[kinds, "n"].tolist() == [9] * 4
        dose = float(choices[choices["emotion"] == emotion]["dose"].iloc[0])
        table = dose_response(
            subject, Bank(), list(WORDS), [dose], PROMPTS, [1], n_random=9, kinds=KINDS, stimuli=some_texts(), seed=4
        ).table.set_index("emotion")
        assert np.allclose(p[kinds], table.loc[emotion, [f"p_{k}" for k in KINDS]].astype(float))
    judges = {"a": Letters(["joy", "anger"], 1), "b": Letters(["joy"], 3)}
    both = steering_controls(*args, judge=judges, n_random=9, max_new_tokens=3)
    assert set(zip(both["emotion"], both["judge"], strict=True)) == {("joy", "a"), ("joy", "b"), ("anger", "a")}
    joy = both[(both["emotion"] == "joy") & both["control"].isin(["random", "steered"])].set_index(
        ["judge", "control"]
    )["p"]
    assert joy["a", "steered"] == joy["b", "steered"] == max(joy["a", "random"], joy["b", "random"])
    with pytest.raises(EmotionInterpError, match="stimuli="):
        steering_controls(*args, n_random=9, kinds=["topics"])
