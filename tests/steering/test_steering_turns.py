"""Steering of one speaker's turns: exactly their tokens, in any batch, with and without KV cache."""

from __future__ import annotations

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, Site, UnknownNameError
from emotion_interp.steering import RowPositions, batch_steer, decay, steer
from emotion_interp.steering.hooks import hooked
from emotion_interp.steering.interventions import RowInterventions
from emotion_interp.subjects.generation import decode
from tests.chat_models import make_chat_subject

CONVERSATIONS = [
    [("user", "I feel happy"), ("assistant", "fine"), ("user", "so am I")],
    [("user", "How do you feel today?")],
    [("user", "she was sad"), ("assistant", "he felt calm and")],
]
POSITIONS = ("system", "user_turn", "assistant_turn", "assistant_start", "end_of_user")


@pytest.fixture(scope="module")
def chats():
    made = {family: make_chat_subject(family) for family in ("qwen", "llama3", "gemma", "smollm")}
    for subject in made.values():
        subject.scales.update({Site(layer): 2.0 for layer in range(2)})
    return made


def messages_of(number):
    return [{"role": role, "content": content} for role, content in CONVERSATIONS[number]]


def rows_of(subject):
    texts = [subject.rendered(messages_of(i), continued=True) for i in range(len(CONVERSATIONS))]
    return [tokens.row for tokens in subject.tokenize(texts)]


def direction(subject, seed=0, layer=0):
    return ei.Direction(np.random.default_rng(seed).normal(size=subject.d_model), layer=layer)


def expected_tokens(subject, position, number, new):
    """Which tokens are a speaker's, by counting the template's own marks: an account of its own."""
    row = rows_of(subject)[number]
    names = subject.tokenizer.convert_ids_to_tokens(list(row))
    starts = [k for k, n in enumerate(names) if n in ("<|im_start|>", "<|start_header_id|>", "<start_of_turn>")]
    ends = [k for k, n in enumerate(names) if n in ("<|im_end|>", "<|eot_id|>", "<end_of_turn>")]
    # the header: the mark, the role's name, and line breaks
    bodies, roles = [], []
    for k, start in enumerate(starts):
        stop = ends[k] if k < len(ends) else len(names)
        words = subject.tokenizer.decode(row[start:stop], skip_special_tokens=False)
        role = next(r for r in ("system", "user", "assistant", "model") if r in words[:30])
        first = next(
            j
            for j in range(start, stop + 1)
            if subject.tokenizer.decode(row[start:j]).rstrip(" ").endswith(("\n", "\n\n"))
        )
        while first < stop and names[first] in ("Ċ", "<0x0A>"):
            first += 1
        bodies.append((first, stop))
        roles.append("assistant" if role == "model" else role)
    mask = np.zeros(len(names) + new, dtype=bool)
    for (first, stop), role, k in zip(bodies, roles, range(len(starts)), strict=True):
        last = k == len(starts) - 1
        if position == "assistant_start" and role == "assistant":
            mask[first - 1] = True
        elif position == "end_of_user" and role == "user":
            mask[stop] = True
        elif position.removesuffix("_turn") == role:
            mask[first : len(mask) if last and role == "assistant" else stop] = True
    return mask


def moved(subject, position, cache, new=4, rows=None):
    """How far the stream of each row moved at each of its tokens: [row] -> [position]."""
    rows = rows_of(subject) if rows is None else rows
    passes = []
    point = subject.model.hook_dict["blocks.0.hook_resid_post"]
    point.add_hook(lambda x, hook: passes.append(x.clone()))
    with steer(subject, direction(subject), 1.0, position):
        point.add_hook(lambda x, hook: passes.append(x.clone()))
        decode(subject, rows, new + 1, use_past_kv_cache=cache, eos_token_id=[])
    point.remove_hooks()
    steps = [(b - a).norm(dim=-1).numpy() for a, b in zip(passes[::2], passes[1::2], strict=True)]
    whole = np.concatenate(steps, 1) if cache else steps[-1]
    order, width = sorted(range(len(rows)), key=lambda i: len(rows[i])), max(map(len, rows))
    return {i: whole[k, width - len(rows[i]) :] for k, i in enumerate(order)}


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("family", ["qwen", "llama3", "gemma", "smollm"])
def test_exactly_one_speakers_tokens_move(chats, family, position, cache):
    subject = chats[family]
    for number, amounts in moved(subject, position, cache).items():
        expected = 2.0 * expected_tokens(subject, position, number, 4)
        assert np.abs(amounts - expected).max() < 1e-3, (number, amounts.round(2), expected)


@pytest.mark.parametrize("position", POSITIONS)
def test_replies_are_the_same_with_and_without_cache_and_in_any_batch(chats, position):
    subject = chats["llama3"]
    conversations = [messages_of(i) for i in range(3)]
    plain = subject.chat(conversations, 8)
    with steer(subject, direction(subject), 20.0, position):
        cached = subject.chat(conversations, 8)
        assert subject.chat(conversations, 8, use_past_kv_cache=False) == cached
        assert [subject.chat(one, 8) for one in conversations] == cached
        assert subject.chat(conversations[::-1], 8) == cached[::-1]
    assert (cached != plain) == (position != "system")


def test_the_assistants_words_are_steered_and_the_users_are_not_read_otherwise(chats):
    """What stands before a steered turn is untouched: the stream there is that of the unsteered conversation."""
    from emotion_interp.activations import read_tokens

    subject = chats["qwen"]
    text = subject.rendered(messages_of(0))
    plain = read_tokens(subject, text, [Site(1)])
    with steer(subject, direction(subject), 3.0, "assistant_turn"):
        steered = read_tokens(subject, text, [Site(1)])
    change = (steered.dense[Site(1)] - plain.dense[Site(1)]).norm(dim=-1).numpy()
    (first, stop), _ = subject.tokenize([text])[0].turns.spans("assistant_turn")
    assert (change[:first] == 0).all() and (change[first:stop] > 0.1).all()
    assert plain.speakers[first] == "assistant" and plain.speakers[first - 1] == "assistant"


def test_a_schedule_counts_from_the_speakers_first_token(chats):
    subject = chats["gemma"]
    rows = rows_of(subject)[:1]
    ((first, stop), *_) = rows[0].turns.spans("user_turn")
    passes = []
    point = subject.model.hook_dict["blocks.0.hook_resid_post"]
    point.add_hook(lambda x, hook: passes.append(x.clone()))
    with steer(subject, direction(subject), 1.0, "user_turn", schedule=decay(2.0)):
        point.add_hook(lambda x, hook: passes.append(x.clone()))
        decode(subject, rows, 1)
    point.remove_hooks()
    amounts = (passes[1] - passes[0]).norm(dim=-1)[0].numpy()
    assert np.allclose(amounts[first:stop], 2.0 * 0.5 ** (np.arange(stop - first) / 2.0), atol=1e-3)


def test_every_row_may_have_its_own_speaker(chats):
    subject = chats["qwen"]
    rows = [rows_of(subject)[0]] * 2
    with batch_steer(subject, [direction(subject)] * 2, 3.0, ["user_turn", "assistant_turn"]):
        both = decode(subject, rows, 6, eos_token_id=[]).tokens
    for position, tokens in zip(("user_turn", "assistant_turn"), both, strict=True):
        with steer(subject, direction(subject), 3.0, position):
            assert decode(subject, rows[:1], 6, eos_token_id=[]).tokens[0] == tokens
    assert RowPositions(["user_turn", slice(2, 4)]).each[0] == "user_turn"


def test_a_plain_text_has_no_speakers_and_says_so(chats, tiny_subject):
    import torch

    subject = chats["qwen"]
    for run in (
        lambda: subject.generate("He read", 2),
        lambda: subject.generate([messages_of(0), "He read"], 2),
        lambda: subject.model(torch.tensor([[5, 6, 7]])),
        lambda: decode(subject, [list(rows_of(subject)[0])], 2),
    ):
        with (
            pytest.raises(EmotionInterpError, match="'user_turn' is a place in a conversation") as error,
            steer(subject, direction(subject), 1.0, "user_turn"),
        ):
            run()
        assert "\n" not in str(error.value)
    with pytest.raises(UnknownNameError, match="did you mean 'user_turn'|Did you mean 'user_turn'"):
        steer(subject, direction(subject), 1.0, "user_turns")
    assert hooked(tiny_subject, {}, "end_of_user").positions == "end_of_user"


def test_experiments_take_conversations_as_prompts(chats):
    """Next-word probabilities under steering of one speaker: those of the model's own logits with a hook on these tokens."""
    import torch

    from emotion_interp.judges.next_word import next_token_logits

    subject = chats["qwen"]
    prompts = [subject.rendered(messages_of(i), continued=True) for i in (0, 1)]
    vectors = np.stack([np.zeros(subject.d_model), 4.0 * direction(subject).unit]).astype(np.float32)
    found = {}
    for position in ("user_turn", "assistant_start"):

        def keep(p, part, logits, position=position):
            found.update({(position, p, int(r)): x for r, x in zip(part, logits, strict=True)})

        interventions = RowInterventions({Site(0): vectors})
        next_token_logits(subject, prompts, interventions, keep, positions=position)
        for p, row in enumerate(tokens.row for tokens in subject.tokenize(prompts)):
            spans = row.turns.spans(position)

            def add(x, hook, spans=spans):
                for a, b in spans:
                    x[:, a:b] += torch.from_numpy(vectors[1])
                return x

            with subject.model.hooks(fwd_hooks=[("blocks.0.hook_resid_post", add)]):
                expected = subject.model(torch.tensor([list(row)]))[0, -1]
            assert torch.allclose(found[position, p, 1], expected, atol=1e-3)
            assert not torch.allclose(found[position, p, 0], expected, atol=1e-3)


def test_a_setting_refuses_a_speakers_position_for_plain_prompts_before_a_model_runs(chats, tiny_bank):
    subject = chats["qwen"]
    with pytest.raises(EmotionInterpError, match="'user_turn' is a place in a conversation"):
        ei.Setting(subject, tiny_bank, ["He read"], positions="user_turn")
    setting = ei.Setting(subject, tiny_bank, [subject.rendered(messages_of(1))], positions="user_turn")
    assert setting.prompts[0].turns.opened
