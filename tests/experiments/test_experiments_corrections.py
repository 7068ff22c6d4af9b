"""Holm that cannot pass is said beforehand; max-T over emotions holds its level and passes with fewer directions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.experiments import dose_response, steering_test
from emotion_interp.experiments.corrections import max_t_over, needed_directions
from emotion_interp.stats import holm, max_t
from tests.experiments.random_bank import PROMPTS, WORDS, Bank


def test_the_needed_number_is_the_first_with_which_holm_can_pass():
    for tests in (1, 8, 18, 21, 28):
        for alpha in (0.05, 0.01):
            m = needed_directions(tests, alpha)
            assert tests / (m + 1) < alpha - 1e-12 and not tests / m < alpha - 1e-12
            assert holm(np.asarray([1 / (m + 1), *([1.0] * (tests - 1))]))[0] < alpha


@pytest.mark.parametrize("call", [dose_response, steering_test])
def test_too_few_random_directions_are_said_in_one_line(subjects, call):
    args = (subjects["gpt2"], Bank(), list(WORDS))
    grid = {"doses": [0.2], "max_new_tokens": 0}
    grid |= {"prompts": PROMPTS} if call is dose_response else {"tune_prompts": PROMPTS, "test_prompts": ["The woman"]}
    with pytest.warns(
        UserWarning, match=r"^with 59 random .*Holm over 3 emotions cannot be below 0.05.*at least 60"
    ) as one:
        call(*args, n_random=59, **grid)
    assert len(one) == 1 and "\n" not in str(one[0].message) and one[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for quiet in ({"n_random": 60}, {"n_random": 0}, {"n_random": 5, "alpha": None}):
            call(*args, **quiet, **grid)
    for wrong in (0, 1, "0.05", True):
        with pytest.raises(EmotionInterpError, match="alpha is a"):
            call(*args, n_random=5, alpha=wrong, **grid)


def test_max_t_is_that_of_the_draws_by_hand():
    from emotion_interp.core.seeds import generator

    random = np.random.default_rng(0)
    targets, nulls = [3.0, 0.5, float("nan"), 1.9], [random.normal(size=n) for n in (60, 50, 60, 55)]
    found = max_t(targets, nulls, seed=3)
    assert np.isnan(found[2])
    own, drawn = {}, {}
    for i in (0, 1, 3):
        pooled = np.append(nulls[i], targets[i])
        z = (pooled - pooled.mean()) / pooled.std()
        own[i], drawn[i] = z[-1], generator(3, "max-T", i).permutation(z[:-1])[:50]
    order, p = sorted(own, key=lambda i: -own[i]), []
    for place, i in enumerate(order):
        largest = np.max([drawn[k] for k in order[place:]], axis=0)
        p.append(max([*p[-1:], (1 + (largest >= own[i]).sum()) / 51]))
    assert np.allclose(found[order], p)


def correlated(random, n, emotions, tails):
    """Judged answers [direction, emotion] under random directions: emotions share factors, some have heavy tails."""
    mixed = random.normal(size=(n, 3)) @ random.normal(size=(3, emotions)) + random.normal(size=(n, emotions))
    return np.where(np.arange(emotions) % 4 == 0, np.exp(mixed), mixed) if tails else mixed


@pytest.mark.parametrize("tails", [False, True])
def test_max_t_holds_its_level_in_2000_runs_without_an_effect(tails):
    random = np.random.default_rng(5)
    wrong = 0
    for run in range(2000):
        answers = correlated(random, 99 + 12, 12, tails)
        # the directions of the emotions are 12 more random ones; the null is shared by all emotions
        own = [answers[99 + e, e] for e in range(12)]
        wrong += np.nanmin(max_t(own, [answers[:99, e] for e in range(12)], seed=run)) <= 0.05
    assert wrong / 2000 <= 0.0675
    assert wrong / 2000 >= 0.035


def test_max_t_passes_where_holm_cannot():
    random = np.random.default_rng(2)
    nulls = [random.normal(size=99) for _ in range(28)]
    targets = [9.0, 8.0, *([0.0] * 26)]
    p = max_t(targets, nulls)
    plain = np.asarray([(1 + (n >= t).sum()) / 100 for t, n in zip(targets, nulls, strict=True)])
    assert (p[:2] < 0.05).all() and (p[2:] > 0.05).all() and (holm(plain) > 0.05).all()


def test_over_judges_and_kinds_the_largest_counts():
    random = np.random.default_rng(2)
    nulls = [{("", k): random.normal(size=49) for k in ("a", "b")} for _ in range(3)]
    targets = [{"": 4.0}, {"": 2.0}, {"": 0.0}]
    both = max_t_over(targets, nulls)
    alone = [max_t([t[""] for t in targets], [n["", k] for n in nulls]) for k in ("a", "b")]
    assert np.allclose(both, np.max(alone, axis=0))


def test_a_steering_test_has_max_t_beside_holm(subjects):
    args = (subjects["gpt2"], Bank(), list(WORDS), PROMPTS, ["The woman"])
    options = {"doses": [0.6], "methods": ["dense", "sae"], "max_new_tokens": 0, "n_random": 39}
    test = steering_test(*args, correction="maxT", **options)
    for method, rows in test.table.groupby("method"):
        nulls = [
            test.nulls[(test.nulls["emotion"] == e) & (test.nulls["method"] == method)]["target"].to_numpy()
            for e in rows["emotion"]
        ]
        assert np.allclose(rows["p_maxT"].astype(float), max_t(rows["target"].tolist(), nulls))
    chosen = test.table["chosen"]
    assert (
        test.table["p_maxT_chosen"].notna().equals(chosen) and (test.table["p_maxT"] >= test.table["p"] - 1e-12).all()
    )
    with pytest.raises(UnknownNameError, match="maxt"):
        steering_test(*args, correction="maxt", **options)
    with pytest.raises(EmotionInterpError, match="at least 19"):
        steering_test(*args, correction="maxT", **options | {"n_random": 9})
