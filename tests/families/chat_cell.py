"""A conversation in each family: the template's tokens, one BOS, transformers' own reply, and one speaker steered."""

from __future__ import annotations

from typing import Any

import numpy as np

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError
from tests.families.by_hand import blocks_of, greedy, hook_on_block, ours

TEMPLATE = (
    "{{ start }}{% for message in messages %}{{ message.role + ': ' + message.content | trim + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
TALK = [
    {"role": "user", "content": " he read "},
    {"role": "assistant", "content": "joy"},
    {"role": "user", "content": "and she"},
]


def chat_cell(subject: Any, model: Any) -> str | None:
    """The template of the cell is the tokenizer's meanwhile."""
    tokenizer = subject.tokenizer
    before = getattr(tokenizer, "chat_template", None)
    start = f"{tokenizer.bos_token}" if subject.prepends_bos else ""
    tokenizer.chat_template = "{% set start = '" + start + "' %}" + TEMPLATE
    try:
        return _talk(subject, model, tokenizer)
    finally:
        tokenizer.chat_template = before


def _talk(subject: Any, model: Any, tokenizer: Any) -> str | None:
    import torch

    tokens = subject.tokenize([subject.rendered(TALK)], whole=True)[0]
    row = tokens.row
    assert list(row) == tokenizer.apply_chat_template(
        TALK, tokenize=True, add_generation_prompt=True, return_dict=False
    )
    assert not subject.prepends_bos or list(row).count(tokenizer.bos_token_id) == 1
    expected = greedy(model, list(row))
    assert ours(subject, [row], False)[0] == ours(subject, [row], True)[0] == expected
    ends = {tokenizer.eos_token_id, *(tokens.turns.end_ids)}
    shown = expected[: next((k for k, token in enumerate(expected) if token in ends), len(expected))]
    assert subject.chat(TALK, 6) == ei.subjects.generation.continuation_text(subject, list(row), shown)
    vector = np.random.default_rng(3).normal(size=subject.d_model).astype(np.float32)
    delta = torch.from_numpy(4.0 * vector / np.linalg.norm(vector))
    said = ["he read", "and she"]
    text = tokenizer.decode(list(row), skip_special_tokens=False)
    spans = [tokenizer.decode(list(row[a:b])).strip() for a, b in tokens.turns.spans("user_turn")]
    assert spans == said, (spans, text)

    def add(x: Any) -> Any:
        moved = x.clone()
        for a, b in tokens.turns.spans("user_turn"):
            moved[:, a:b] += delta.to(x)
        return moved

    with hook_on_block(blocks_of(model)[0], add):
        steered = greedy(model, list(row))
    try:
        with ei.steer(subject, ei.Direction(vector, layer=0), dose=4.0, scale=1.0, positions="user_turn"):
            got = [ours(subject, [row], cache)[0] for cache in (False, True)]
    except EmotionInterpError as error:
        return f"without steering: {error}"
    assert got == [steered, steered], (got, steered)
    return None
