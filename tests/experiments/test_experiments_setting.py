"""One setting for every experiment: checked when it is made, and the same figures as the call with subject and bank."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.options import Options
from emotion_interp.experiments.controls import ControlOptions
from emotion_interp.experiments.dose_response import DoseOptions
from emotion_interp.experiments.necessity import NecessityOptions
from tests.experiments.random_bank import PROMPTS, WORDS, Bank

TAKEN = (
    *("dose_response", "steering_test", "steering_controls", "necessity", "cross_language"),
    *("dial_grid", "dial_test", "output_scores"),
)
EMOTIONS = list(WORDS)
CHOICES = pd.DataFrame({"emotion": ["joy"], "layer": [1], "method": ["dense"], "dose": [0.5]})


class Judge:
    """Of texts and of coordinates, from their letters alone."""

    emotions = ("joy", "anger")

    def predict_proba(self, texts, /):
        share = np.array([t.count("a") / (1 + len(t)) for t in texts])
        return np.stack([1 - share, share], 1)

    def predict(self, texts, /):
        return np.asarray([[sum(c in "aeiou" for c in t), len(t)] for t in texts], dtype=float)


@pytest.fixture
def setting(subjects):
    return ei.Setting(subjects["gpt2"], Bank(), PROMPTS[:2], max_new_tokens=0, seed=3)


def same(one, other):
    pd.testing.assert_frame_equal(one, other)


def test_a_grid_of_a_setting_is_that_of_the_simple_call(setting):
    one = ei.dose_response(setting, EMOTIONS, [0.5], layers=[1], n_random=4, alpha=None)
    args = (setting.subject, setting.bank, EMOTIONS, [0.5], PROMPTS[:2], [1], "dense", "en")
    same(one.table, ei.dose_response(*args, n_random=4, alpha=None, seed=3).table)
    named = {"subject": setting.subject, "bank": setting.bank, "prompts": PROMPTS[:2], "layers": [1], "seed": 3}
    few = DoseOptions(n_random=4, alpha=None)
    same(one.table, ei.dose_response(emotions=EMOTIONS, doses=[0.5], options=few, **named).table)
    same(one.table, ei.dose_response(setting=setting, emotions=EMOTIONS, doses=[0.5], layers=[1], options=few).table)


def test_texts_judge_and_options_of_decode_come_from_the_setting(subjects):
    written = {"judge": Judge(), "max_new_tokens": 3, "samples": 2, "positions": "generated", "seed": 1}
    setting = ei.Setting(subjects["gpt2"], Bank(), PROMPTS[:1], **written, generation={"do_sample": True})
    one = ei.dose_response(setting, ["joy"], [0.5], layers=[1], n_random=3, alpha=None)
    simple = {"layers": [1], "n_random": 3, "alpha": None, "do_sample": True, **written}
    other = ei.dose_response(subjects["gpt2"], Bank(), ["joy"], [0.5], PROMPTS[:1], **simple)
    same(one.table, other.table)
    same(one.texts, other.texts)
    assert len(one.texts) == 4


def test_a_steering_test_and_its_controls_take_one_setting(setting):
    tried = {"layers": [1], "doses": [0.3, 0.6], "methods": ["dense"], "n_random": 3, "tune_random": 3, "alpha": None}
    one = ei.steering_test(setting, EMOTIONS, PROMPTS[2:], **tried)
    args = (setting.subject, setting.bank, EMOTIONS, PROMPTS[2:], PROMPTS[:2])
    same(one.table, ei.steering_test(*args, max_new_tokens=0, seed=3, **tried).table)
    bank = replace_site(setting.bank)
    few = ControlOptions(n_random=3, others=["anger"])
    beside = ei.steering_controls(replace(setting, bank=bank), CHOICES, options=few)
    again = {"n_random": 3, "others": ["anger"], "seed": 3}
    same(beside, ei.steering_controls(setting.subject, bank, CHOICES, PROMPTS[:2], **again))


def replace_site(bank):
    class WithSite(Bank):
        emotions = tuple(WORDS)

        def site(self, layer):
            return ei.Site.parse(layer) if isinstance(layer, str) else ei.Site(layer)

    return WithSite(bank.layers, bank.scales)


def test_necessity_and_output_scores_take_a_setting(tiny_subject, tiny_bank):
    texts = ["She was so", "He felt"]
    setting = ei.Setting(tiny_subject, tiny_bank, texts, Judge(), max_new_tokens=2, seed=1)
    asked = NecessityOptions(n_random=2, features=[1, 2], null="scaled")
    one = ei.necessity(setting, "joy", 0, options=asked)
    simple = {"layer": 0, "features": [1, 2], "n_random": 2, "null": "scaled", "max_new_tokens": 2, "seed": 1}
    same(one, ei.necessity(tiny_subject, tiny_bank, "joy", texts, Judge(), **simple))
    with pytest.raises(EmotionInterpError, match="each text once"):
        ei.necessity(replace(setting, samples=2, generation={"do_sample": True}), "joy", 0)
    with pytest.raises(EmotionInterpError, match="n_random is at least 19"):
        ei.output_scores(setting, [0], n_random=3)


def test_a_dial_takes_a_setting_and_says_which_judge_it_needs(subjects):
    from tests.experiments.test_experiments_dial_grid import NORMS
    from tests.experiments.test_experiments_dial_grid import Bank as RatedBank

    cells = {"norms": NORMS, "valences": (-1, 1), "arousals": (-1, 1), "n_null": 0}
    written = {"max_new_tokens": 3, "seed": 2}
    setting = ei.Setting(
        subjects["gpt2"], RatedBank(), PROMPTS[:2], Judge(), samples=2, generation={"do_sample": True}, **written
    )
    one = ei.dial_grid(setting, 1, 0.5, **cells)
    simple = {"layer": 1, "dose": 0.5, "n_samples": 2, **written, **cells}
    same(one.table, ei.dial_grid(subjects["gpt2"], RatedBank(), PROMPTS[:2], Judge(), **simple).table)
    with pytest.raises(EmotionInterpError, match="dial_grid: judge is"):
        ei.dial_grid(replace(setting, judge={"a": Judge()}), 1, 0.5, **cells)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompts": "one"}, "prompts is a list of texts"),
        ({"prompts": ["她走进房间说"]}, "read as 'zh', but are taken for 'en'"),
        ({"judge": 3}, "judge"),
        ({"positions": "nowhere"}, "nowhere"),
        ({"samples": 2}, "greedy texts"),
        ({"samples": 0}, "samples is a number of at least 1"),
        ({"max_new_tokens": -1}, "max_new_tokens is a number of at least 0"),
        ({"max_new_tokens": 10_000}, "context"),
        ({"generation": {"do_smaple": True}}, "do_smaple"),
        ({"seed": "one"}, "seed is a whole number"),
        ({"subject": "gpt2"}, "subject is a Subject"),
        ({"bank": object()}, "bank is a FeatureBank"),
    ],
)
def test_a_setting_is_checked_when_it_is_made(subjects, wrong, message):
    with pytest.raises(EmotionInterpError, match=message):
        ei.Setting(**{"subject": subjects["gpt2"], "bank": Bank(), "prompts": PROMPTS, **wrong})


def test_a_language_that_the_bank_lacks_is_refused_and_a_setting_cannot_be_changed(tiny_subject, tiny_bank):
    with pytest.raises(UnknownNameError, match="xx"):
        ei.Setting(tiny_subject, tiny_bank, language="xx")
    setting = ei.Setting(tiny_subject, tiny_bank, ["He said"], seed=4)
    with pytest.raises(FrozenInstanceError):
        setting.seed = 5
    assert replace(setting, seed=5).prompts == ("He said",)
    assert "seed=4" in repr(setting) and "positions" not in repr(setting)


def test_what_belongs_to_the_setting_is_not_taken_beside_it(setting):
    with pytest.raises(EmotionInterpError, match="has no argument 'seed'"):
        ei.dose_response(setting, ["joy"], [0.5], seed=1)
    with pytest.raises(EmotionInterpError, match="n_radom.*Did you mean 'n_random'"):
        ei.dose_response(setting, ["joy"], [0.5], n_radom=1)
    with pytest.raises(EmotionInterpError, match="n_random: given in options and by keyword"):
        ei.dose_response(setting, ["joy"], [0.5], options=DoseOptions(n_random=3), n_random=4)
    with pytest.raises(EmotionInterpError, match="at least one text"):
        ei.dose_response(replace(setting, prompts=()), ["joy"], [0.5])
    with pytest.raises(EmotionInterpError, match="a judge of its own"):
        ei.cross_language(replace(setting, bank=two_languages(), judge=Judge()), ["joy"])


def two_languages():
    class Both(Bank):
        languages = ("en", "zh")

    return Both()


@pytest.mark.parametrize("name", TAKEN)
def test_every_experiment_takes_a_setting_first_and_few_parameters(name):
    function = getattr(ei, name)
    asked = inspect.signature(function).parameters
    assert next(iter(asked)) == "setting" and len(asked) <= 8
    assert "Also `" in function.__doc__
    simple = inspect.signature(function.simple).parameters
    assert list(simple)[:2] == ["subject", "bank"]
    options = inspect.unwrap(function).__globals__[str(asked["options"].annotation).partition(" ")[0]]
    assert issubclass(options, Options) and all(field in (options.__doc__ + doc(options)) for field in own(options))


def own(options):
    return inspect.get_annotations(options)


def doc(options):
    return "".join(base.__doc__ or "" for base in options.__mro__)
