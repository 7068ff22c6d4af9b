"""The generation loop against brute force, whatever the batch, with and without KV cache."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from emotion_interp.core import Direction, EmotionInterpError, NotFiniteError
from emotion_interp.steering import steer
from emotion_interp.subjects.generation import (
    continuation_text,
    decode,
    generate,
    sample,
    stream,
    token_log_probabilities,
)
from emotion_interp.subjects.plan import ForwardPlan, current_plan, using_plan

PROMPTS = ["The letter said", "She was", "When he opened the door he was afraid of the", "他打开门"]


def ids_of(subject, prompts=PROMPTS):
    return [list(t.ids) for t in subject.tokenize(prompts)]


def test_greedy_tokens_are_the_argmax_of_plain_forward_passes(subject):
    import torch

    rows = ids_of(subject)
    decoded = decode(subject, rows, 6)
    for row, new in zip(rows, decoded.tokens, strict=True):
        expected = []
        for _ in range(6):
            with torch.no_grad():
                best = int(subject.model(torch.tensor([row + expected]), return_type="logits")[0, -1].argmax())
            if best == subject.tokenizer.eos_token_id:
                break
            expected.append(best)
        assert new == expected


def test_cache_on_is_cache_off_and_batch_of_one_is_batch_of_many(subject):
    rows = ids_of(subject)
    batch = decode(subject, rows, 6, return_logits=True)
    plain = decode(subject, rows, 6, return_logits=True, use_past_kv_cache=False)
    for i, row in enumerate(rows):
        alone = decode(subject, [row], 6, return_logits=True)
        assert alone.tokens[0] == batch.tokens[i] == plain.tokens[i]
        assert float((alone.logits[0] - batch.logits[i]).abs().max()) < 1e-4
        assert float((plain.logits[i] - batch.logits[i]).abs().max()) < 1e-4


def test_text_in_text_out_and_list_in_list_out_also_for_one(subjects):
    subject = subjects["gpt2"]
    text = subject.generate("The letter said", max_new_tokens=4)
    assert isinstance(text, str) and text.startswith("The letter said")
    assert subject.generate(["The letter said"], max_new_tokens=4) == [text]
    assert "The letter said" + generate(subject, "The letter said", 4, return_prompt=False) == text
    assert subject.generate([]) == []


def test_a_sampled_row_does_not_depend_on_its_neighbours(subject):
    rows = ids_of(subject)
    together = decode(subject, rows, 8, do_sample=True, seed=5)
    fewer = decode(subject, rows[:2], 8, do_sample=True, seed=5)
    assert together.tokens[:2] == fewer.tokens
    split = decode(subject, rows, 8, do_sample=True, seed=5, token_budget=20)
    assert split.tokens == together.tokens
    named = decode(subject, rows[3:], 8, do_sample=True, seed=5, streams=[3])
    assert named.tokens[0] == together.tokens[3]
    assert decode(subject, rows, 8, do_sample=True, seed=6).tokens != together.tokens


@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"), [(None, None, 0.7), (3, None, 1.0), (None, 0.6, 1.3), (5, 0.5, 1.0)]
)
def test_sampling_follows_the_warped_softmax_of_transformers(top_k, top_p, temperature):
    import torch
    from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(3)) * 2
    warped = logits.double() / temperature
    if top_k:
        warped = TopKLogitsWarper(top_k)(None, warped)
    if top_p:
        warped = TopPLogitsWarper(top_p)(None, warped)
    expected = warped.softmax(-1)[0].numpy()
    grid = (np.arange(20_000) + 0.5) / 20_000
    drawn = sample(logits.expand(len(grid), -1), grid, temperature, top_k, top_p)
    assert np.abs(np.bincount(drawn, minlength=12) / len(grid) - expected).max() < 2e-4
    assert expected[sample(logits, np.array([1 - 1e-16]), temperature, top_k, top_p)[0]] > 0


def test_each_row_stops_at_its_own_eos(subjects):
    subject = copy.copy(subjects["gpt2"])
    rows = ids_of(subject)
    free = decode(subject, rows, 8).tokens
    stop = free[0][3]
    subject.tokenizer = copy.deepcopy(subject.tokenizer)
    subject.tokenizer.eos_token = subject.tokenizer.convert_ids_to_tokens(stop)
    stopped = decode(subject, rows, 8)
    for new, full, why in zip(stopped.tokens, free, stopped.stopped, strict=True):
        assert new == (full[: full.index(stop)] if stop in full else full)
        assert why == ("eos" if stop in full else "length")


def test_rows_fill_the_context_whatever_their_length(subject):
    long = ids_of(subject)[2] * 20
    rows = [long[:45], long[:3], long[:44], long[:3]]
    with pytest.raises(EmotionInterpError, match="at most 3 fit"):
        decode(subject, rows, 4)
    decoded = decode(subject, rows, 3)
    for new, why in zip(decoded.tokens, decoded.stopped, strict=True):
        assert len(new) == 3 or why == "eos"
    alone = decode(subject, [rows[1]], 3)
    assert alone.tokens[0] == decoded.tokens[1]


def test_new_tokens_beyond_the_context_and_a_full_prompt_are_refused(subjects):
    subject = subjects["gpt2"]
    text = "she was " * 20
    kept = subject.tokenizer.decode(subject.tokenize([text])[0].ids[1:44])
    with pytest.raises(EmotionInterpError, match="beyond the context of 48"):
        generate(subject, kept, 20)
    with pytest.raises(EmotionInterpError, match="longer than the context of 48"):
        generate(subject, "she was happy and sad " * 40, 5)


def test_impossible_options_are_refused(subjects):
    subject = subjects["gpt2"]
    for options in (
        {"repetition_penalty": 0.0},
        {"min_p": 1.5},
        {"stop_strings": [""]},
        {"streamer": 3},
        {"streamer": None, "beams": 2},
    ):
        with pytest.raises((EmotionInterpError, TypeError)):
            generate(subject, "She was", 3, **options)
    for options in ({"temperature": 0.0}, {"temperature": float("nan")}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(EmotionInterpError):
            generate(subject, "She was", 3, do_sample=True, **options)
    for new in (-1, 2.5, True):
        with pytest.raises(EmotionInterpError, match="max_new_tokens"):
            generate(subject, "She was", new)
    with pytest.raises(EmotionInterpError, match="no token"):
        decode(subject, [[]], 3)
    with pytest.raises(EmotionInterpError, match="streams"):
        decode(subject, ids_of(subject), 3, streams=[1])
    assert generate(subject, "She was", 0) == "She was"


def test_log_probabilities_are_those_of_an_unpadded_forward_pass(subject):
    import torch

    rows = ids_of(subject)
    lengths = [1, 2, 3, len(rows[3])]
    scored = token_log_probabilities(subject, rows, lengths)
    for row, length, got in zip(rows, lengths, scored, strict=True):
        with torch.no_grad():
            logits = subject.model(torch.tensor([row]), return_type="logits")[0].double().log_softmax(-1)
        expected = [float(logits[i - 1, row[i]]) for i in range(length, len(row))]
        assert np.allclose(got, expected, atol=1e-5)


def test_streaming_reports_every_token_of_every_row(subjects):
    rows = ids_of(subjects["gpt2"])
    seen: dict[int, list[int]] = {i: [] for i in range(len(rows))}

    def on_step(part, new):
        for i, token in zip(part, new, strict=True):
            seen[int(i)].append(int(token))

    decoded = decode(subjects["gpt2"], rows, 5, on_step=on_step, token_budget=30)
    for i, new in enumerate(decoded.tokens):
        assert seen[i][: len(new)] == new


def test_nan_logits_are_reported_and_the_mode_is_put_back(subjects):
    subject = subjects["gpt2"]
    point = subject.model.hook_dict["blocks.1.hook_resid_post"]
    subject.model.train(True)
    try:
        point.add_hook(lambda x, hook: x * float("nan"))
        with pytest.raises(NotFiniteError):
            generate(subject, "She was", 3)
        assert subject.model.training and current_plan() is None
    finally:
        point.remove_hooks()
        subject.model.train(False)


def test_a_plan_is_taken_back_after_an_error():
    plan = ForwardPlan.of_columns(2, 3, True)
    with pytest.raises(KeyError), using_plan(plan):
        assert current_plan() is plan
        raise KeyError
    assert current_plan() is None


def test_an_unfinished_chinese_character_is_left_out(subjects):
    subject = subjects["gpt2"]
    pieces = subject.tokenizer("龘", add_special_tokens=False)["input_ids"]
    assert len(pieces) == 3
    prompt = ids_of(subject)[0]
    assert continuation_text(subject, prompt, pieces[:2]) == ""
    assert continuation_text(subject, prompt, pieces) == "龘"


def test_min_p_and_repetition_penalty_are_those_of_transformers(subjects):
    import torch
    from transformers.generation.logits_process import MinPLogitsWarper, RepetitionPenaltyLogitsProcessor

    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(3)) * 2
    expected = MinPLogitsWarper(0.1)(None, logits.double()).softmax(-1)[0].numpy()
    grid = (np.arange(20_000) + 0.5) / 20_000
    drawn = sample(logits.expand(len(grid), -1), grid, 1.0, None, None, min_p=0.1)
    assert np.abs(np.bincount(drawn, minlength=12) / len(grid) - expected).max() < 2e-4

    subject = subjects["gpt2"]
    rows = ids_of(subject)
    penalised = decode(subject, rows, 8, repetition_penalty=1.7, eos_token_id=[])
    assert penalised.tokens != decode(subject, rows, 8, eos_token_id=[]).tokens
    processor = RepetitionPenaltyLogitsProcessor(1.7)
    for row, new in zip(rows, penalised.tokens, strict=True):
        text = list(row)
        for token in new:
            with torch.no_grad():
                logits = subject.model(torch.tensor([text]), return_type="logits")[:, -1]
            assert int(processor(torch.tensor([text]), logits).argmax()) == token
            text.append(token)


def test_eos_ids_and_stop_strings_end_a_row_where_they_appear(subjects):
    subject = subjects["gpt2"]
    rows = ids_of(subject)
    free = decode(subject, rows, 8, eos_token_id=[]).tokens
    assert all(len(new) == 8 for new in free)
    given = decode(subject, rows, 8, eos_token_id=[free[0][3], free[1][5]])
    for new, full in zip(given.tokens, free, strict=True):
        ends = [k for k, token in enumerate(full) if token in (free[0][3], free[1][5])]
        assert new == (full[: ends[0]] if ends else full)
    texts = [continuation_text(subject, row, new) for row, new in zip(rows, free, strict=True)]
    stop = texts[0][len(texts[0]) // 2 :][:2]
    halted = decode(subject, rows, 8, eos_token_id=[], stop_strings=stop)
    for row, new, full, text, why in zip(rows, halted.tokens, free, texts, halted.stopped, strict=True):
        shorter = [k for k in range(1, 9) if stop in continuation_text(subject, row, full[:k])]
        assert new == (full[: shorter[0]] if shorter else full)
        assert why == ("stop" if stop in text else "length")


@pytest.mark.parametrize("name", ["gpt2", "hooked"])
def test_streamed_pieces_join_to_the_generated_text_also_when_steered_and_sampled(subjects, name):
    import torch

    subject = subjects[name]
    options = {"do_sample": True, "top_k": 40, "seed": 3}
    with steer(subject, Direction(np.ones(16) + np.arange(16), layer=1), 2.0):
        whole = subject.generate(PROMPTS, 12, return_prompt=False, **options)
        pieces = {i: [] for i in range(len(PROMPTS))}
        for row, piece in subject.stream(PROMPTS, 12, **options):
            assert torch.is_grad_enabled() and piece
            pieces[row].append(piece)
        one = list(stream(subject, PROMPTS[0], 12, **options))
        called: list[tuple[int, str]] = []
        again = subject.generate(PROMPTS, 12, streamer=lambda row, piece: called.append((row, piece)), **options)
    assert ["".join(pieces[i]) for i in range(len(PROMPTS))] == whole
    assert "".join(one) == whole[0] and len(one) > 1
    assert again == [p + w for p, w in zip(PROMPTS, whole, strict=True)]
    assert ["".join(p for r, p in called if r == i) for i in range(len(PROMPTS))] == whole


def test_a_streamer_of_transformers_gets_prompt_tokens_and_end(subjects):
    from transformers import TextStreamer

    subject, kept = subjects["gpt2"], []

    class Kept(TextStreamer):
        def on_finalized_text(self, text, stream_end=False):
            kept.append(text)

    streamer = Kept(subject.tokenizer, skip_special_tokens=True)
    whole = subject.generate(PROMPTS[2], 8, streamer=streamer)
    assert "".join(kept).startswith(whole)
    with pytest.raises(EmotionInterpError, match="one prompt"):
        subject.generate(PROMPTS, 3, streamer=streamer)


def test_a_stream_that_is_left_early_puts_the_mode_back_and_checks_come_before_the_first_piece(subjects):
    subject = subjects["gpt2"]
    subject.model.train(True)
    try:
        pieces = subject.stream("She was", 12)
        next(pieces)
        assert subject.model.training
        pieces.close()
        assert subject.model.training
    finally:
        subject.model.train(False)
    with pytest.raises(EmotionInterpError, match="top_k"):
        subject.stream("She was", 3, top_k=0)


def test_nan_in_a_scored_text_is_reported(subjects):
    subject = subjects["gpt2"]
    rows = ids_of(subject)
    point = subject.model.hook_dict["blocks.1.hook_resid_post"]
    try:
        point.add_hook(lambda x, hook: x * float("nan"))
        with pytest.raises(NotFiniteError):
            token_log_probabilities(subject, rows, [1] * len(rows))
    finally:
        point.remove_hooks()
