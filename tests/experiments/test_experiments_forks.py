"""Steering grids run a prompt once for all directions: the same texts, fewer tokens, and never where something acts on it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.core import Site
from emotion_interp.experiments.dial_texts import texts_of_cells
from emotion_interp.experiments.setting import Setting
from emotion_interp.judges.judging import Question, continue_all
from emotion_interp.steering import ablate_rows
from emotion_interp.steering.context import steer_rows
from emotion_interp.steering.interventions import RowInterventions
from emotion_interp.subjects.generation import decode
from tests.chat_models import make_chat_subject
from tests.experiments.random_bank import Bank

PROMPTS = ("She said that the feeling was", "He opened the door", "Today she was very happy and he felt")
DIRECTIONS = 12
NEW = 6


@pytest.fixture(params=["bridge", "hooked", "gemma"])
def subject(request):
    """A cache of TransformerLens, one of transformers, and one with a window."""
    if request.param == "gemma":
        return make_chat_subject("gemma")
    return request.getfixturevalue("tiny_subject" if request.param == "bridge" else "hooked_subject")


def crossed(subject, rng):
    vectors = 3 * rng.standard_normal((DIRECTIONS, subject.d_model)).astype(np.float32)
    return RowInterventions({Site(0): vectors}, index=np.repeat(np.arange(DIRECTIONS), len(PROMPTS)))


def decoded(subject, rows, positions="from_last_prompt_token", **options):
    """What was written, and how many tokens went through the first block."""
    prompts, count = [t.row for t in subject.tokenize(PROMPTS, whole=True)] * DIRECTIONS, Counter()
    point = subject.model.hook_dict["blocks.0.hook_resid_pre"]

    def seen(activations, hook):
        count["tokens"] += activations.shape[0] * activations.shape[1]

    names = {"streams": list(range(len(PROMPTS))) * DIRECTIONS, "return_logits": True}
    point.add_hook(seen)
    try:
        with steer_rows(subject, rows, positions):
            return decode(subject, prompts, NEW, **names, **options), count["tokens"]
    finally:
        subject.model.reset_hooks()


@pytest.mark.parametrize("positions", ["from_last_prompt_token", "generated"])
@pytest.mark.parametrize("options", [{}, {"do_sample": True, "seed": 3}, {"repetition_penalty": 1.3}], ids=str)
def test_a_forked_grid_writes_what_plain_generation_writes(subject, rng, positions, options):
    rows = crossed(subject, rng)
    plain, every = decoded(subject, rows, positions, **options)
    forked, run = decoded(subject, rows, positions, fork=True, **options)
    assert forked.tokens == plain.tokens and forked.stopped == plain.stopped
    for a, b in zip(plain.logits, forked.logits, strict=True):
        assert float((a - b).abs().max()) <= 1e-5 * float(a.abs().max())
    longest = max(len(t.ids) for t in subject.tokenize(PROMPTS, whole=True))
    assert run == every - (DIRECTIONS - 1) * len(PROMPTS) * (longest - 1)


@pytest.mark.parametrize("positions", ["all", "prompt", 2])
def test_what_acts_on_the_prompt_is_not_forked(tiny_subject, rng, positions):
    rows = crossed(tiny_subject, rng)
    plain, every = decoded(tiny_subject, rows, positions)
    asked, run = decoded(tiny_subject, rows, positions, fork=True)
    assert run == every and asked.tokens == plain.tokens


def test_rows_that_are_ablated_each_in_its_way_are_not_forked(tiny_subject, rng):
    rows = crossed(tiny_subject, rng)
    count = DIRECTIONS * len(PROMPTS)
    with ablate_rows(tiny_subject, Site(1), [[k % 7] for k in range(count)], "all", [1.0] * count):
        plain, every = decoded(tiny_subject, rows)
        asked, run = decoded(tiny_subject, rows, fork=True)
    assert run == every and asked.tokens == plain.tokens


def test_without_a_cache_or_for_few_rows_nothing_is_forked(tiny_subject, rng):
    rows = crossed(tiny_subject, rng)
    _, every = decoded(tiny_subject, rows, use_past_kv_cache=False)
    assert decoded(tiny_subject, rows, use_past_kv_cache=False, fork=True)[1] == every
    prompts = [t.row for t in tiny_subject.tokenize(PROMPTS, whole=True)]
    assert decode(tiny_subject, prompts, 3, fork=True).tokens == decode(tiny_subject, prompts, 3).tokens
    with pytest.raises(ei.EmotionInterpError, match="fork"):
        decode(tiny_subject, prompts, 3, fork="yes")


def test_grids_and_the_dial_fork_by_themselves(tiny_subject, rng):
    vectors = crossed(tiny_subject, rng).vectors
    asked = (PROMPTS, None, ("joy",), "from_last_prompt_token", NEW, 0)
    made = [continue_all(Question(tiny_subject, *asked, o), RowInterventions(vectors)) for o in ({}, {"fork": False})]
    assert made[0].texts == made[1].texts and len(made[0].texts) == DIRECTIONS
    setting = Setting(tiny_subject, Bank(), PROMPTS, max_new_tokens=NEW)
    plain = Setting(tiny_subject, Bank(), PROMPTS, max_new_tokens=NEW, generation={"fork": False})
    assert texts_of_cells(setting, RowInterventions(vectors)) == texts_of_cells(plain, RowInterventions(vectors))
