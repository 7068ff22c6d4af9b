"""Spans, every n-th token, rows of their own, and doses that change from token to token: by the token, not by the pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.core import Direction, EmotionInterpError, NotFiniteError, Site, UnknownNameError, UnsupportedError
from emotion_interp.steering import RowPositions, batch_steer, decay, ramp, steer
from emotion_interp.steering.positions import first_positions, select
from emotion_interp.subjects.generation import decode
from emotion_interp.subjects.plan import ForwardPlan

PROMPTS = ["The letter said", "She was", "When he opened the door he was afraid of the", "他打开门"]


def a_direction(kind="resid_post", layer=1, seed=0, **options):
    return Direction(np.random.default_rng(seed).normal(size=16), layer=layer, kind=kind, **options)


def ids_of(subject, prompts=PROMPTS):
    return [list(t.ids) for t in subject.tokenize(prompts)]


def amounts(subject, rows, new, cache, *arguments, **options):
    """How far the stream of each row moved at each of its tokens: [row] -> [position]."""
    import torch

    streams: list[torch.Tensor] = []
    point = subject.model.hook_dict["blocks.0.hook_resid_post"]
    point.add_hook(lambda x, hook: streams.append(x.clone()))
    with batch_steer(subject, [a_direction(layer=0)] * len(rows), *arguments, **options):
        point.add_hook(lambda x, hook: streams.append(x.clone()))
        decode(subject, rows, new, use_past_kv_cache=cache, eos_token_id=[])
    point.remove_hooks()
    passes = [(b - a).norm(dim=-1).numpy() for a, b in zip(streams[::2], streams[1::2], strict=True)]
    moved = np.concatenate(passes, 1) if cache else passes[-1]
    order, width = sorted(range(len(rows)), key=lambda i: len(rows[i])), max(map(len, rows))
    return {i: moved[k, width - len(rows[i]) :] for k, i in enumerate(order)}


@pytest.mark.parametrize(
    ("positions", "chosen"),
    [
        (slice(2, 5), lambda at, n: 2 <= at < 5),
        (slice(None, 3), lambda at, n: 1 <= at < 3),
        (slice(0, None, 2), lambda at, n: at > 0 and at % 2 == 0),
        (slice(1, None, 3), lambda at, n: at % 3 == 1),
        (slice(0, 9, 4), lambda at, n: at in (4, 8)),
    ],
)
@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("name", ["gpt2", "hooked"])
def test_spans_and_every_nth_token_are_counted_from_the_start_of_the_text(subjects, name, cache, positions, chosen):
    rows = ids_of(subjects[name])
    for i, moved in amounts(subjects[name], rows, 5, cache, 1.0, positions).items():
        expected = [2.0 * chosen(at, len(rows[i])) for at in range(len(moved))]
        assert np.abs(moved - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("schedule", "multiplier"),
    [
        ("decay", lambda n: 0.5 ** (n / 8)),
        (decay(2.0), lambda n: 0.5 ** (n / 2)),
        ("ramp", lambda n: min(1, (n + 1) / 8)),
        (ramp(3), lambda n: min(1, (n + 1) / 3)),
        ("constant", lambda n: 1),
        (lambda n: np.where(n % 2 == 0, 1.0, 0.25), lambda n: 1 if n % 2 == 0 else 0.25),
    ],
)
@pytest.mark.parametrize(
    ("positions", "start"),
    [
        ("generated", lambda n: n),
        ("all", lambda n: 1),
        ("from_last_prompt_token", lambda n: n - 1),
        (3, lambda n: 3),
        (slice(2, None, 2), lambda n: 2),
        (lambda at, n: at > n[:, None], lambda n: n + 1),
    ],
)
@pytest.mark.parametrize("cache", [True, False])
def test_a_schedule_counts_tokens_since_the_first_steered_one(subjects, cache, positions, start, schedule, multiplier):
    subject = subjects["gpt2"]
    rows = ids_of(subject)[:3]
    for i, moved in amounts(subject, rows, 5, cache, 0.5, positions, schedule=schedule).items():
        first = start(len(rows[i]))
        step = 2 if isinstance(positions, slice) else 1
        for at, size in enumerate(moved):
            steered = at >= first and (at - first) % step == 0
            assert abs(size - (multiplier(at - first) if steered else 0.0)) < 1e-4


@pytest.mark.parametrize("cache", [True, False])
def test_every_row_of_a_batch_has_positions_of_its_own(subjects, cache):
    subject = subjects["hooked"]
    rows = ids_of(subject)
    each = ["prompt", slice(2, 4), "generated", [1, 5]]
    chosen = [
        lambda at, n: 1 <= at < n,
        lambda at, n: 2 <= at < 4,
        lambda at, n: at >= n,
        lambda at, n: at in (1, 5),
    ]
    for i, moved in amounts(subject, rows, 4, cache, 1.0, each).items():
        assert np.abs(moved - [2.0 * chosen[i](at, len(rows[i])) for at in range(len(moved))]).max() < 1e-4
    with pytest.raises(EmotionInterpError, match="1 positions, got 4"), batch_steer(subject, [None], 1.0, each):
        pass
    with (
        pytest.raises(EmotionInterpError, match="positions for 1 rows"),
        batch_steer(subject, [a_direction()] * 4, 1.0, RowPositions(["all"])),
    ):
        decode(subject, rows, 1)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    start=st.integers(0, 6), size=st.integers(1, 6), step=st.integers(1, 4), pad=st.integers(0, 4), bos=st.booleans()
)
def test_a_slice_selects_what_python_selects_without_bos(start, size, step, pad, bos):
    at = np.concatenate([np.full(pad, -1), np.arange(10)])[None]
    plan = ForwardPlan(at, np.array([4]), np.arange(1), bos)
    wanted = [p for p in list(range(10))[start : start + size : step] if p >= int(bos)]
    mask = select(slice(start, start + size, step), plan)
    assert at[mask].tolist() == wanted
    if wanted:
        assert first_positions(slice(start, start + size, step), plan).tolist() == [wanted[0]]


def test_positions_and_schedules_that_mean_nothing_are_refused_before_any_hook(subjects, hooks_on):
    subject, good = subjects["gpt2"], a_direction()
    before = hooks_on(subject)
    for positions in (slice(-1, None), slice(3, 3), slice(1, None, 0), slice(0.5, None), [[1, 2], [3]]):
        with pytest.raises(EmotionInterpError, match="positions"), steer(subject, good, positions=positions):
            pass
    with pytest.raises(UnknownNameError, match="schedule"), steer(subject, good, schedule="slowly"):
        pass
    with pytest.raises(EmotionInterpError, match="schedule"), steer(subject, good, schedule=0.5):
        pass
    for wrong, error in ((lambda n: n * np.nan, NotFiniteError), (lambda n: np.ones(99), EmotionInterpError)):
        with pytest.raises(error, match="schedule"), steer(subject, good, positions="all", schedule=wrong):
            decode(subject, ids_of(subject), 1)
    for call in (lambda: decay(0), lambda: decay(float("nan")), lambda: ramp(0), lambda: ramp(1.5)):
        with pytest.raises(EmotionInterpError):
            call()
    with pytest.raises(EmotionInterpError, match="a row's positions"):
        RowPositions([RowPositions(["all"])])
    assert hooks_on(subject) == before


# -- plain hooks ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"])
def test_plain_hooks_do_what_steer_does_at_all_positions(subject, kind):
    """Trap: resid_mid of a bridge is a side branch."""
    import torch

    if kind == "resid_mid" and subject.name == "neox":
        pytest.skip("parallel blocks have no resid_mid")
    direction, bos = a_direction(kind, provenance={"scale": 2.0}), subject.prepends_bos
    ids = torch.tensor([ids_of(subject)[2]])
    with torch.no_grad():
        bare = subject.model(ids, return_type="logits")
        with steer(subject, direction, 0.7, "all"):
            steered = subject.model(ids, return_type="logits")
        with subject.model.hooks(fwd_hooks=direction.hooks(0.7, has_bos=bos)):
            hooked = subject.model(ids, return_type="logits")
        half = direction.hooks(0.35, scale=4.0, has_bos=bos)
        direct = subject.model.run_with_hooks(ids, return_type="logits", fwd_hooks=half)
        after = subject.model(ids, return_type="logits")
    assert float((steered - bare).abs().max()) > 0.01
    assert float((steered - hooked).abs().max()) < 1e-5
    assert float((steered - direct).abs().max()) < 1e-5
    assert torch.equal(bare, after)


@pytest.mark.parametrize("name", ["gpt2", "hooked"])
def test_plain_hooks_steer_a_models_own_generate_with_cache(subjects, name):
    import torch

    subject, direction = subjects[name], a_direction(seed=3)
    row = ids_of(subject)[0]
    with steer(subject, direction, 5.0, "all", scale=2.0):
        ours = decode(subject, [row], 5).tokens[0]
    with subject.model.hooks(fwd_hooks=direction.hooks(5.0, scale=2.0)):
        theirs = subject.model.generate(
            torch.tensor([row]), max_new_tokens=5, do_sample=False, stop_at_eos=False, verbose=False
        )
    assert theirs[0, len(row) :][: len(ours)].tolist() == ours


def test_plain_hooks_add_once_on_a_bridge_in_compatibility_mode(tokenizer):
    """Trap: there a hook is called once for each name of its hook point, on what it answered the time before."""
    import torch
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import GPT2Config, GPT2LMHeadModel

    from emotion_interp.subjects.subject import wrap_transformers

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=400, n_positions=48, n_embd=16, n_layer=3, n_head=2, initializer_range=0.2)
    model = wrap_transformers(TransformerBridge, GPT2LMHeadModel(config).eval(), tokenizer)
    model.enable_compatibility_mode(no_processing=True)
    direction, ids = a_direction(), torch.tensor([[0, 5, 9, 12]])
    name, add = direction.hooks(0.5, scale=2.0)[0]
    seen = []
    with torch.no_grad():
        before = model.run_with_cache(ids)[1][name]
        for _ in range(2):
            with model.hooks(fwd_hooks=[(name, add), (name, lambda x, hook: seen.append(x.clone()))]):
                model(ids)
    for x in seen:
        moved = (x - before)[0].numpy()
        assert np.abs(moved - np.outer([0, 1, 1, 1], direction.unit)).max() < 1e-5


def test_plain_hooks_need_a_scale_and_a_writable_site():
    direction = a_direction()
    with pytest.raises(EmotionInterpError, match="carries no scale"):
        direction.hooks(0.5)
    for scale, refusal in (
        (0.0, "positive number, got 0.0"),
        ("big", "scale is a number"),
        (True, "scale is a number"),
    ):
        with pytest.raises(EmotionInterpError, match=refusal):
            direction.hooks(0.5, scale=scale)
    with pytest.raises(EmotionInterpError, match="dose"):
        direction.hooks(float("inf"), 1.0)
    with pytest.raises(UnsupportedError):
        a_direction("z").hooks(0.5, 1.0)
    assert a_direction("resid_mid").hooks(1.0, 1.0)[0][0] == Site(1, "attn_out").hook_name
