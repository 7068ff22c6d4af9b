"""Interventions move the stream by exactly what was asked, in any batch, and leave nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotion_interp.core import (
    WRITABLE_KINDS,
    Direction,
    EmotionInterpError,
    NotFiniteError,
    Site,
    UnknownNameError,
    UnsupportedError,
)
from emotion_interp.steering import RowInterventions, batch_steer, row_interventions, steer, steer_rows, unsteered
from emotion_interp.subjects.generation import decode

PROMPTS = ["The letter said", "She was", "When he opened the door he was afraid of the", "他打开门"]
NAMES = ("gpt2", "neox", "llama", "hooked", "hooked_rotary")


def a_direction(kind="resid_post", layer=1, seed=0, width=16):
    return Direction(np.random.default_rng(seed).normal(size=width), layer=layer, kind=kind)


def ids_of(subject, prompts=PROMPTS):
    return [list(t.ids) for t in subject.tokenize(prompts)]


def cache_of(subject, ids, **options):
    import torch

    with torch.no_grad():
        return subject.model.run_with_cache(torch.tensor([ids]), **options)[1]


@pytest.mark.parametrize("kind", WRITABLE_KINDS)
def test_the_stream_moves_by_exactly_what_was_asked(subject, kind):
    direction = a_direction(kind)
    ids = ids_of(subject)[2]
    if kind == "resid_mid" and subject.name == "neox":
        with pytest.raises(UnsupportedError, match="side by side"), steer(subject, direction):
            pass
        return
    # what the next nonlinear part reads: the first place where the addition must be seen whole
    seen_at = {"attn_out": "resid_mid", "mlp_out": "resid_post"}.get(kind, kind)
    if kind == "attn_out" and subject.name == "neox":
        seen_at = "resid_post"
    name = Site(1, seen_at).hook_name
    before = cache_of(subject, ids)
    with steer(subject, direction, 0.7, positions="all"):
        after = cache_of(subject, ids)
    moved = (after[name] - before[name])[0].numpy()
    expected = np.outer(np.arange(len(ids)) >= int(subject.prepends_bos), 0.7 * 2.0 * direction.unit)
    assert np.abs(moved - expected).max() < 1e-5
    # everything before the site is untouched, and the layer's end has moved
    assert np.array_equal(after[Site(0).hook_name].numpy(), before[Site(0).hook_name].numpy())
    assert np.abs(after[Site(1).hook_name] - before[Site(1).hook_name])[0, 1:].max() > 0.1


def test_resid_mid_of_a_bridge_is_a_side_branch_and_is_written_at_attn_out(subjects):
    """Trap: adding at hook_resid_mid itself moves resid_post by almost nothing of the vector."""
    import torch

    subject, direction = subjects["gpt2"], a_direction("resid_mid")
    ids = ids_of(subject)[0]
    vector = torch.from_numpy(1.4 * direction.unit)
    before = cache_of(subject, ids)["blocks.1.hook_resid_post"]
    mid = subject.model.hook_dict["blocks.1.hook_resid_mid"]
    mid.add_hook(lambda x, hook: x + vector)
    naive = cache_of(subject, ids)["blocks.1.hook_resid_post"] - before
    mid.remove_hooks()
    mlp_before = cache_of(subject, ids)["blocks.1.hook_mlp_out"]
    with steer(subject, direction, 0.7, positions="all_with_bos"):
        steered = cache_of(subject, ids)
    # the stream itself moves by the vector, plus whatever the MLP makes of it
    through_mlp = steered["blocks.1.hook_mlp_out"] - mlp_before
    assert float((steered["blocks.1.hook_resid_post"] - before - through_mlp - vector).abs().max()) < 1e-5
    assert float((naive - through_mlp).abs().max()) < 1e-5


@pytest.mark.parametrize(
    ("positions", "chosen"),
    [
        ("all", lambda at, n: at >= 1),
        ("all_with_bos", lambda at, n: at >= 0),
        ("prompt", lambda at, n: 1 <= at < n),
        ("generated", lambda at, n: at >= n),
        ("from_last_prompt_token", lambda at, n: at >= n - 1),
        (3, lambda at, n: at >= 3),
        (0, lambda at, n: at >= 1),
        ([0, 2, 9], lambda at, n: at in (0, 2, 9)),
        (range(2, 99, 3), lambda at, n: at >= 2 and (at - 2) % 3 == 0),
        (lambda at, n: at == n[:, None], lambda at, n: at == n),
    ],
)
@pytest.mark.parametrize("cache", [True, False])
def test_positions_count_net_of_padding_in_every_forward_pass(subjects, positions, chosen, cache):

    for name in ("gpt2", "hooked"):
        subject = subjects[name]
        rows = ids_of(subject)
        point = subject.model.hook_dict["blocks.0.hook_resid_post"]
        streams: list[torch.Tensor] = []
        point.add_hook(lambda x, hook: streams.append(x.clone()))  # noqa: B023
        with steer(subject, a_direction(layer=0), 1.0, positions=positions):
            point.add_hook(lambda x, hook: streams.append(x.clone()))  # noqa: B023
            decoded = decode(subject, rows, 4, use_past_kv_cache=cache)
        point.remove_hooks()
        assert not point.fwd_hooks
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        width = max(map(len, rows))
        for step, (before, after) in enumerate(zip(streams[::2], streams[1::2], strict=True)):
            moved = (after - before).norm(dim=-1).numpy()
            first = width + step - moved.shape[1] if cache else 0
            for k, i in enumerate(order):
                pad = width - len(rows[i])
                for column in range(moved.shape[1]):
                    at = first + column - pad
                    if at >= len(rows[i]) + len(decoded.tokens[i]):
                        continue  # the row has ended
                    wanted = 2.0 if at >= 0 and chosen(at, len(rows[i])) else 0.0
                    assert abs(moved[k, column] - wanted) < 1e-4, (name, step, i, at)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_intervention_is_the_same_with_and_without_cache_and_leaves_no_hook(subjects, hooks_on, data):
    subject = subjects[data.draw(st.sampled_from(NAMES))]
    kinds = [k for k in WRITABLE_KINDS if not (k == "resid_mid" and subject.name == "neox")]
    prompts = data.draw(st.lists(st.sampled_from(PROMPTS), min_size=1, max_size=4))
    positions = data.draw(
        st.sampled_from(["all", "prompt", "generated", "from_last_prompt_token", "all_with_bos", 2, [1, 4]])
    )
    one = st.builds(a_direction, st.sampled_from(kinds), st.integers(0, 2), st.integers(0, 9))
    directions = data.draw(
        st.lists(st.one_of(st.none(), one, st.tuples(one, one)), min_size=len(prompts), max_size=len(prompts))
    )
    doses = data.draw(st.lists(st.floats(-2, 2), min_size=len(prompts), max_size=len(prompts)))
    fails = data.draw(st.booleans())
    rows, before = ids_of(subject, prompts), hooks_on(subject)

    def run(which, **options):
        with batch_steer(subject, [directions[i] for i in which], [doses[i] for i in which], positions):
            return decode(subject, [rows[i] for i in which], 4, return_logits=True, **options)

    everyone = range(len(prompts))
    cached, plain = run(everyone), run(everyone, use_past_kv_cache=False)
    assert cached.tokens == plain.tokens
    for i in everyone:
        alone = run([i])
        assert alone.tokens[0] == cached.tokens[i]
        assert np.isfinite(cached.logits[i].numpy()).all()
        scale = 1 + float(cached.logits[i].abs().max())
        assert float((cached.logits[i] - plain.logits[i]).abs().max()) < 1e-4 * scale
        assert float((cached.logits[i] - alone.logits[0]).abs().max()) < 1e-4 * scale
    if fails:
        with pytest.raises(ZeroDivisionError), batch_steer(subject, directions, doses, positions):
            raise ZeroDivisionError
    assert hooks_on(subject) == before


def test_unsteered_rows_and_generated_only_steering_leave_the_first_token_alone(subject):
    rows = ids_of(subject)
    plain = decode(subject, rows, 3, return_logits=True)
    with batch_steer(subject, [a_direction(), None, a_direction(seed=1), None], 2.0, "generated"):
        steered = decode(subject, rows, 3, return_logits=True)
    for i in range(4):
        assert float((plain.logits[i][0] - steered.logits[i][0]).abs().max()) < 1e-5
    assert steered.tokens[1] == plain.tokens[1] and steered.tokens[3] == plain.tokens[3]


def test_nested_steering_adds_up_and_takes_away_only_its_own_hooks(subject, hooks_on):
    one, two = a_direction(seed=1), a_direction(seed=2, layer=2)
    own = subject.model.hook_dict["blocks.1.hook_resid_post"]
    own.add_hook(lambda x, hook: None)
    rows, before = ids_of(subject), hooks_on(subject)
    with steer(subject, [one, two, -one], [0.5, 0.3, 0.2], "all"):
        together = decode(subject, rows, 1, return_logits=True)
    with steer(subject, one, 0.3, "all"):
        inside = hooks_on(subject)
        with pytest.raises(ZeroDivisionError), steer(subject, two, 0.3, "all"):
            raise ZeroDivisionError
        assert hooks_on(subject) == inside
        with steer(subject, two, 0.3, "all"):
            nested = decode(subject, rows, 1, return_logits=True)
            with unsteered():
                bare = decode(subject, rows, 1, return_logits=True)
    assert hooks_on(subject) == before
    own.remove_hooks()
    plain = decode(subject, rows, 1, return_logits=True)
    for i in range(len(rows)):
        assert float((together.logits[i] - nested.logits[i]).abs().max()) < 1e-4
        assert float((bare.logits[i] - plain.logits[i]).abs().max()) < 1e-6


def test_a_bare_call_of_a_left_padded_batch_counts_positions_from_its_mask(subject):
    import torch

    row = ids_of(subject)[1]
    padded = torch.tensor([[0, 0, 0, *row]])
    mask = torch.tensor([[0, 0, 0, *[1] * len(row)]])
    with torch.no_grad(), steer(subject, a_direction(), 1.0, "all"):
        alone = subject.model(torch.tensor([row]), return_type="logits")[0]
        moved = subject.model(padded, attention_mask=mask, return_type="logits")[0, 3:]
    assert float((alone - moved).abs().max()) < 1e-4


@pytest.mark.parametrize("name", ["gpt2", "llama", "hooked"])
def test_the_models_own_generate_with_cache_is_steered_at_generated_tokens(subjects, name):
    """Trap: with a KV cache a hook sees [row, 1, d] for each new token, which is not position 0."""
    import torch

    subject = subjects[name]
    row = ids_of(subject)[0]
    with steer(subject, a_direction(seed=3), 30.0, "generated"):
        ours = decode(subject, [row], 5).tokens[0]
        theirs = subject.model.generate(
            torch.tensor([row]),
            max_new_tokens=5,
            do_sample=False,
            use_past_kv_cache=True,
            stop_at_eos=False,
            verbose=False,
        )
    assert theirs[0, len(row) :][: len(ours)].tolist() == ours
    assert ours != decode(subject, [row], 5).tokens[0]


def test_a_half_precision_model_stays_in_half_precision(tokenizer):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from emotion_interp.subjects import Subject

    config = GPT2Config(vocab_size=400, n_positions=48, n_embd=16, n_layer=2, n_head=2)
    model = GPT2LMHeadModel(config).eval().to(torch.bfloat16)
    subject = Subject(model, tokenizer=tokenizer)
    kinds: list[object] = []
    with steer(subject, a_direction(), 1.0, "all", scale=1.0):
        subject.model.hook_dict["blocks.1.hook_resid_post"].add_hook(lambda x, hook: kinds.append(x.dtype))
        decode(subject, ids_of(subject), 2)
    assert set(kinds) == {torch.bfloat16}


def test_what_does_not_fit_is_refused_before_any_hook(subject, hooks_on):
    before, good = hooks_on(subject), a_direction()
    cases = [
        (a_direction(width=8), {}, EmotionInterpError, "another model"),
        (a_direction(layer=7), {}, UnknownNameError, "layer"),
        (a_direction(kind="z"), {}, UnsupportedError, "cannot be written"),
        (np.ones(16), {}, EmotionInterpError, "expected a Direction"),
        ([], {}, EmotionInterpError, "at least one"),
        (good, {"dose": float("nan")}, NotFiniteError, "finite"),
        (good, {"dose": "much"}, EmotionInterpError, "number"),
        (good, {"dose": [0.1, 0.2]}, EmotionInterpError, "one dose"),
        (good, {"scale": 0.0}, EmotionInterpError, "positive"),
        (good, {"scale": {Site(0): 1.0}}, UnknownNameError, "scales"),
        (good, {"positions": "everywhere"}, UnknownNameError, "positions"),
        (good, {"positions": -1}, EmotionInterpError, "from 0"),
        (good, {"positions": [0.5]}, EmotionInterpError, "whole numbers"),
        (good, {"positions": None}, EmotionInterpError, "positions"),
    ]
    for direction, options, error, message in cases:
        with pytest.raises(error, match=message), steer(subject, direction, **options):
            pass
    with pytest.raises(EmotionInterpError, match="2 doses"), batch_steer(subject, [good, None], [1.0]):
        pass
    with pytest.raises(EmotionInterpError, match="has a row 3"), batch_steer(subject, [good, None], 1.0, "all"):
        decode(subject, ids_of(subject), 2)
    with pytest.raises(EmotionInterpError, match="booleans"), steer(subject, good, positions=lambda at, n: at):
        decode(subject, ids_of(subject), 1)
    with pytest.raises(NotFiniteError):
        RowInterventions({Site(0): np.full((1, 16), np.inf)})
    assert hooks_on(subject) == before


def test_an_index_lets_many_rows_take_few_vectors(subjects):
    subject, rows = subjects["gpt2"], ids_of(subjects["gpt2"])
    vectors = np.stack([2 * a_direction(seed=i).unit for i in range(2)])
    with steer_rows(subject, RowInterventions({Site(1): vectors}, index=np.array([1, 0, 0, 1])), "all"):
        indexed = decode(subject, rows, 3)
    with batch_steer(subject, [a_direction(seed=i) for i in (1, 0, 0, 1)], 1.0, "all"):
        assert decode(subject, rows, 3).tokens == indexed.tokens


def test_a_banks_direction_is_steered_at_the_scale_it_carries_unless_another_is_given(subjects):
    subject = subjects["gpt2"]
    plain = a_direction()
    carried = Direction(plain.vector, layer=1, provenance={"scale": 7.0})
    assert subject.scales[Site(1)] == 2.0
    for direction, options, length in ((plain, {}, 1.0), (carried, {}, 3.5), (carried, {"scale": 4.0}, 2.0)):
        rows = row_interventions(subject, [direction, None], [0.5, 0.0], **options)
        assert np.linalg.norm(rows.vectors[Site(1)][0]) == pytest.approx(length, rel=1e-5)
        # and as plain hooks, which know no subject
        if options or direction is carried:
            hook = direction.hooks(0.5, has_bos=False, **options)[0][1]
            moved = hook(torch.zeros(1, 3, 16))
            assert float(moved[0, 0].norm()) == pytest.approx(length, rel=1e-5)
