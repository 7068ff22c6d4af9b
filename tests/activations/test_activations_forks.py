"""Shared beginnings: planned by token counts, and read as plain passes read them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emotion_interp as ei
from emotion_interp.activations.forks import SharedPass
from emotion_interp.activations.forward import forward_pass
from emotion_interp.activations.prefixes import PASS_TOKENS, prefix_plan
from emotion_interp.activations.several import read_several
from emotion_interp.core import Site

SITES = [Site(0), Site(1), Site(1, "mlp_out"), Site(2)]


def collected(run, subject, tokens, sites=SITES):
    """(site, text) -> activations of its real tokens; every text exactly once at each site."""
    seen = {}

    def on_site(site, activations, batch):
        for i, row in enumerate(batch.rows):
            assert (site, int(row)) not in seen
            seen[site, int(row)] = activations[i, : batch.lengths[i]].double().numpy()

    run(subject, tokens, sites, on_site, batch_tokens=128)
    assert len(seen) == len(sites) * len(tokens)
    return seen


def difference(first, second):
    """Largest distance of two readings as a share of the token's norm."""
    return max(
        float((np.linalg.norm(second[key] - value, axis=-1) / np.linalg.norm(value, axis=-1)).max())
        for key, value in first.items()
    )


@pytest.fixture(scope="module")
def stimuli():
    return [s.text for s in ei.concept_set("en").stimuli(emotions=["joy", "fear", "neutral"])]


def test_forked_texts_equal_plain_ones_and_fewer_tokens_run(tiny_subject, stimuli):
    tokens = tiny_subject.tokenize(stimuli)
    plain, run = collected(forward_pass, tiny_subject, tokens), SharedPass()
    forked = collected(run, tiny_subject, tokens)
    assert run.facts.shared and run.facts.n_computed < 0.8 * run.facts.n_tokens
    assert difference(plain, forked) < 1e-5


def test_equal_texts_run_once_and_each_gets_its_rows(tiny_subject, stimuli):
    texts = [*stimuli, *stimuli[:200], "Quite another text."]
    tokens = tiny_subject.tokenize(texts)
    run = SharedPass()
    forked = collected(run, tiny_subject, tokens)
    assert difference(collected(forward_pass, tiny_subject, tokens), forked) < 1e-5
    alone = SharedPass()
    collected(alone, tiny_subject, tokens[: len(stimuli)])
    assert run.facts.n_computed == alone.facts.n_computed + len(tokens[-1])


def test_pooled_readings_are_the_same(tiny_subject):
    stimuli = ei.concept_set("en").stimuli(emotions=["joy", "neutral"])
    texts, spans = [s.text for s in stimuli], [s.span for s in stimuli]
    units = np.arange(len(texts)) // 6
    given = (tiny_subject, texts, units, spans, tiny_subject.sites, ["last", "text"])
    plain, run = read_several(*given), SharedPass()
    forked = read_several(*given, run=run)
    assert run.facts.shared
    for position, by_site in plain.readings.items():
        for site, reading in by_site.items():
            other = forked.readings[position][site]
            np.testing.assert_allclose(other.dense, reading.dense, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(other.features.toarray(), reading.features.toarray(), atol=2e-5)
            np.testing.assert_allclose(other.scale, reading.scale, rtol=1e-6)
    assert sorted(forked.token_units) == sorted(plain.token_units)


def test_texts_that_share_nothing_are_read_plainly_to_the_last_bit(tiny_subject):
    tokens = tiny_subject.tokenize(["One thing.", "Two others went home.", "Nobody knows."])
    run = SharedPass()
    forked, plain = collected(run, tiny_subject, tokens), collected(forward_pass, tiny_subject, tokens)
    assert not run.facts.shared and all((forked[key] == plain[key]).all() for key in plain)


def test_a_steered_subject_is_read_plainly(tiny_subject, stimuli):
    tokens = tiny_subject.tokenize(stimuli)
    run, direction = SharedPass(), ei.Direction(np.ones(tiny_subject.d_model), layer=0)
    with ei.steer(tiny_subject, direction, dose=0.5):
        steered = collected(run, tiny_subject, tokens)
        assert not run.facts.shared
        assert difference(collected(forward_pass, tiny_subject, tokens), steered) == 0


def test_a_hooked_transformer_is_read_plainly(hooked_model, root_tokenizer, stimuli):
    subject = ei.Subject(hooked_model, tokenizer=root_tokenizer, name="hooked")
    run = SharedPass()
    collected(run, subject, subject.tokenize(stimuli), [Site(0), Site(1)])
    assert not run.facts.shared


def test_a_model_whose_cached_pass_differs_is_read_plainly_and_says_so(root_tokenizer, gpt2, stimuli):
    subject = ei.Subject(gpt2, tokenizer=root_tokenizer, name="forgetful")
    attention = subject.model.original_model.transformer.h[0].attn

    def forget(module, args, kwargs):
        # an attention that does not see what was cached before
        for name in ("past_key_values", "past_key_value", "layer_past"):
            if kwargs.get(name) is not None and kwargs[name].get_seq_length():
                kwargs[name].layers[0].keys = kwargs[name].layers[0].keys * 0
        return args, kwargs

    handle = attention.register_forward_pre_hook(forget, with_kwargs=True)
    try:
        tokens, run = subject.tokenize(stimuli), SharedPass()
        with pytest.warns(UserWarning, match="without shared beginnings"):
            forked = collected(run, subject, tokens)
        assert not run.facts.shared
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            collected(run, subject, tokens)
    finally:
        handle.remove()
    assert difference(collected(forward_pass, subject, tokens), forked) == 0


# -- the plan ----------------------------------------------------------------------------------------------------------
def cost(sequences, plan):
    """Tokens run, counted from the plan itself."""
    forked = sum(f.length + sum(len(sequences[r]) - f.length for r in f.rows) for f in plan.forks)
    return forked + sum(len(sequences[r]) for r in plan.plain)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=40).map(tuple), min_size=1, max_size=60))
def test_every_sequence_is_read_once_from_a_prefix_that_is_its_own(sequences):
    plan = prefix_plan(sequences)
    rows = [row for fork in plan.forks for row in fork.rows] + list(plan.plain)
    assert sorted(rows) == sorted(set(plan.same))
    assert all(sequences[one] == sequence for one, sequence in zip(plan.same, sequences, strict=True))
    for fork in plan.forks:
        heads = {sequences[row][: fork.length] for row in fork.rows}
        assert len(heads) == 1 and all(len(sequences[row]) > fork.length for row in fork.rows)
    assert plan.n_computed == cost(sequences, plan)
    distinct = sum(len(s) for s in set(sequences))
    assert plan.n_computed + PASS_TOKENS * len(plan.forks) <= distinct


def test_two_carriers_are_two_forks_and_few_rows_are_none():
    many = [(0, carrier, 5, 6, word) for carrier in (1, 2) for word in range(10, 80)]
    assert sorted((f.length, len(f.rows)) for f in prefix_plan(many).forks) == [(4, 70), (4, 70)]
    few = prefix_plan([(0, 1, 2, word) for word in range(5)])
    assert not few.forks and not few.pays
