"""The house's own generation: seeded per row, the same in any batch, with or without KV cache, whole or streamed.

A bridge's `generate` has no seed, answers a one-element list with a bare string, and changes a row's samples when
another row is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, overload

import numpy as np

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.messages import is_messages
from emotion_interp.core.progress import ticking
from emotion_interp.core.scopes import check_open, open_scopes, surely
from emotion_interp.subjects.cache_check import can_pad
from emotion_interp.subjects.columns import left_padded
from emotion_interp.subjects.decoding import Decoding, chunks, continuation_text
from emotion_interp.subjects.plan import evaluation_mode
from emotion_interp.subjects.sampling import check_finite, sample
from emotion_interp.subjects.session import Session
from emotion_interp.subjects.tokens import TokenizedText

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects.subject import Subject

__all__ = [
    "Decoded",
    "chat",
    "continuation_text",
    "decode",
    "generate",
    "sample",
    "stream",
    "token_log_probabilities",
]


@dataclass(frozen=True)
class Decoded:
    """New token ids of each row (without EOS), why each row stopped ("length", "eos" or "stop"), and, where
    asked, the logits of each step `[step, vocab]` in float32 on the CPU, before any sampling option."""

    tokens: list[list[int]]
    stopped: list[str]
    logits: list[Any] | None = None


def decode(
    subject: Subject,
    token_rows: Sequence[Sequence[int]],
    max_new_tokens: int = 40,
    *,
    on_step: Callable[[np.ndarray, np.ndarray], None] | None = None,
    **options: Any,
) -> Decoded:
    """Continue rows of token ids; a row's continuation does not depend on the other rows.

    Args:
        subject: the model; hooks on it stay and act.
        token_rows: prompts as token ids, BOS included where the subject prepends it.
        max_new_tokens: at most so many new tokens for each row; they have to fit the context after the longest.
        on_step: receives (row indices, new token ids) after each step; -1 marks a row that has ended.
        **options: `do_sample` (default False), `temperature`, `top_k`, `top_p`, `min_p`, `repetition_penalty`: as in
            transformers, see `Sampling`;
            `eos_token_id`: an id or several that end a row (default: the model's; an empty list: none);
            `stop_strings`: one text or several that end a row once its continuation has them;
            `use_past_kv_cache` (default True): keep keys and values (faster, same result);
            `seed` (default 0): with the row's stream decides what is drawn;
            `streams`: [row], names of the rows' random streams (default: the row's index);
            `return_logits`: keep each step's logits;
            `token_budget`: padded tokens of one batch;
            `fork` (default False): rows with the same prompt have it run once, up to its last token, where that saves
            tokens and no intervention acts there; equal to plain decoding up to rounding.

    Raises:
        EmotionInterpError: an empty row, a row that does not fit the context with its new tokens, or an impossible option.
        NotFiniteError: the model answers with NaN.

    Example:
        >>> decode(subject, [subject.tokenize(["The letter said"])[0].ids], 5).tokens  # doctest: +SKIP
        [[257, 300, 41, 88, 12]]
    """
    decoding = Decoding(subject, token_rows, max_new_tokens, **options)
    with ticking(None, len(decoding.rows) * max_new_tokens, "writing", "token") as tick:
        for part, new in decoding.steps():
            tick(len(part))
            if on_step is not None:
                on_step(part, new)
    return _result(decoding)


def _result(decoding: Decoding) -> Decoded:
    logits = decoding.logits
    if logits is None or not decoding.new:
        return Decoded(decoding.tokens, decoding.stopped, logits)
    import torch

    return Decoded(decoding.tokens, decoding.stopped, [torch.stack(steps) for steps in logits])


Conversation = Sequence[Mapping[str, object]]
"""Messages, each with a role and its content."""
Prompts = str | Sequence[str | Mapping[str, object] | Conversation]
"""A text, a conversation (a list of messages), or a list of either."""


class Streamer(Protocol):
    """A streamer of transformers."""

    def put(self, value: torch.Tensor, /) -> object: ...
    def end(self) -> object: ...


@overload
def generate(subject: Subject, prompts: str | Conversation, max_new_tokens: int = 40, **options: Any) -> str: ...
@overload
def generate(
    subject: Subject, prompts: Sequence[str | Conversation], max_new_tokens: int = 40, **options: Any
) -> list[str]: ...
@overload
def generate(subject: Subject, prompts: Prompts, max_new_tokens: int = 40, **options: Any) -> str | list[str]: ...
def generate(
    subject: Subject,
    prompts: Prompts,
    max_new_tokens: int = 40,
    *,
    return_prompt: bool = True,
    streamer: Streamer | Callable[[int, str], object] | None = None,
    template_options: Mapping[str, object] | None = None,
    **options: Any,
) -> str | list[str]:
    """Continue prompts: str in, str out; list in, list out, also for one. The text includes the prompt.

    Args:
        subject: the model.
        prompts: one text or several; or a conversation (a list of messages) or several, each answered by the reply alone.
        max_new_tokens: at most so many new tokens.
        return_prompt: False for the continuation alone.
        streamer: receives the text while it grows: a function of (row, piece of text), or, for one prompt, a streamer of
            transformers (`put(token ids)`, `end()`).
        template_options: variables of the chat template, as in `Subject.rendered`.
        **options: `do_sample`, `temperature`, `top_k`, `top_p`, `use_past_kv_cache`, `seed`, ...: see `decode`.

    Raises:
        EmotionInterpError: a prompt that becomes no token, or with its new tokens is longer than the context; an impossible
            option.
        UnsupportedError: a conversation, and the model has no chat template.

    Example:
        >>> generate(subject, "The letter said", max_new_tokens=5)  # doctest: +SKIP
        'The letter said that she was coming home'
    """
    texts, tokens = _prepared(subject, prompts, template_options)
    rows = [t.row for t in tokens]
    decoding = Decoding(subject, rows, max_new_tokens, **options)
    if streamer is None:
        with ticking(None, len(rows) * max_new_tokens, "writing", "token") as tick:
            for part, _ in decoding.steps():
                tick(len(part))
    elif hasattr(streamer, "put"):
        _put_all(decoding, streamer)
    elif callable(streamer):
        for row, piece in _pieces(decoding):
            streamer(row, piece)
    else:
        raise EmotionInterpError(
            f"a streamer is a function of (row, text) or has put() and end(), got {type(streamer).__name__}."
        )
    continuations = [continuation_text(subject, r, new) for r, new in zip(rows, decoding.tokens, strict=True)]
    result = [t + c if return_prompt and t is not None else c for t, c in zip(texts, continuations, strict=True)]
    return result[0] if _is_single(prompts) else result


def _is_single(prompts: Prompts) -> TypeGuard[str | Conversation]:
    return isinstance(prompts, str) or is_messages(prompts)


def _prepared(
    subject: Subject, prompts: Prompts, template_options: Mapping[str, object] | None
) -> tuple[list[str | None], list[TokenizedText]]:
    """What the caller wrote, None for a conversation, and the tokens of each prompt."""
    several: list[Any] = [prompts] if _is_single(prompts) else list(prompts)
    written = [None if is_messages(one) else one for one in several]
    made = [subject.rendered(one, template_options, continued=True) if is_messages(one) else one for one in several]
    return written, subject.tokenize(made, whole=True)


@overload
def chat(subject: Subject, messages: Conversation, max_new_tokens: int = 200, **options: object) -> str: ...
@overload
def chat(
    subject: Subject, messages: Sequence[Conversation], max_new_tokens: int = 200, **options: object
) -> list[str]: ...
def chat(subject: Subject, messages: Any, max_new_tokens: int = 200, **options: Any) -> str | list[str]:
    """Answer a conversation: one in, the reply out; a list of conversations in, a list of replies out.

    What the model's own chat template writes around the messages is read, with exactly one BOS; the reply ends where the
    template closes the assistant's turn. A conversation that ends with the assistant's words has them continued.

    Args:
        subject: a chat model.
        messages: [{"role": "user", "content": ...}, ...]; roles are "system", "user" and "assistant".
        max_new_tokens: at most so many new tokens.
        **options: as in `generate`.

    Raises:
        UnsupportedError: no chat template, or one that refuses these roles.
        EmotionInterpError: no messages, a message that spells a control token, or as `generate`.

    Example:
        >>> chat(subject, [{"role": "user", "content": "How do you feel?"}])  # doctest: +SKIP
        'I feel calm.'
    """
    several = list(messages) if isinstance(messages, (list, tuple)) else []
    if not is_messages(messages) and not (several and all(map(is_messages, several))):
        raise EmotionInterpError(
            f'chat takes messages such as [{{"role": "user", "content": "Hello"}}], got {messages!r:.60}.'
        )
    return generate(subject, messages, max_new_tokens, **options)


@overload
def stream(
    subject: Subject, prompts: str | Conversation, max_new_tokens: int = 40, **options: object
) -> Iterator[str]: ...
@overload
def stream(
    subject: Subject, prompts: Sequence[str | Conversation], max_new_tokens: int = 40, **options: object
) -> Iterator[tuple[int, str]]: ...
@overload
def stream(subject: Subject, prompts: Prompts, max_new_tokens: int = 40, **options: object) -> Iterator[object]: ...
def stream(subject: Subject, prompts: Prompts, max_new_tokens: int = 40, **options: Any) -> Iterator[object]:
    """Continue prompts and hand over the text as it grows: pieces for one text, (row, piece) for a list.

    A piece is what one token adds; joined, a row's pieces are its continuation. A character of several tokens comes when
    it is whole. What is steered when the first piece is asked for stays so to the last: iterate inside `with steer(...)`;
    a stream that goes on after the block has closed is refused.

    Args:
        subject: the model.
        prompts: one text or several, or conversations.
        max_new_tokens: at most so many new tokens.
        **options: see `decode`; `template_options`.

    Raises:
        EmotionInterpError: as `generate`, before the first piece.

    Example:
        >>> for piece in stream(subject, "The letter said"):  # doctest: +SKIP
        ...     print(piece, end="", flush=True)
    """
    single = _is_single(prompts)
    _, tokens = _prepared(subject, prompts, options.pop("template_options", None))
    decoding = Decoding(subject, [t.row for t in tokens], max_new_tokens, **options)
    return (piece if single else (row, piece) for row, piece in _pieces(decoding))


def _pieces(decoding: Decoding) -> Iterator[tuple[int, str]]:
    sent = [0] * len(decoding.rows)
    for part, new in decoding.steps():
        for row in map(int, part[new >= 0]):
            text = continuation_text(decoding.subject, decoding.rows[row], decoding.tokens[row])
            piece, sent[row] = text[sent[row] :], max(sent[row], len(text))
            if piece:
                yield row, piece


def _put_all(decoding: Decoding, streamer: Any) -> None:
    import torch

    if len(decoding.rows) != 1:
        raise EmotionInterpError(
            f"a streamer of transformers takes one prompt, got {len(decoding.rows)}; pass a function of (row, text)."
        )
    streamer.put(torch.tensor(decoding.rows))
    for _, new in decoding.steps():
        if new[0] >= 0:
            streamer.put(torch.tensor([int(new[0])]))
    streamer.end()


def token_log_probabilities(
    subject: Subject, token_rows: Sequence[Sequence[int]], prompt_lengths: Sequence[int]
) -> list[np.ndarray]:
    """Log probability (natural) of every token after each row's prompt, given all before it: per row [token], float64.

    Raises:
        EmotionInterpError: a prompt length below 1 (the first token has nothing before it), or a row beyond the context.
        NotFiniteError: the model answers with NaN.
    """
    import torch

    rows = [list(map(int, row)) for row in token_rows]
    if any(n < 1 for n in prompt_lengths):
        raise EmotionInterpError("a prompt needs at least one token before the tokens that are scored.")
    for i, row in enumerate(rows):
        if len(row) > subject.context:
            raise EmotionInterpError(
                f"row {i} has {len(row)} tokens, more than the context of {subject.context}; score a shorter text."
            )
    result: list[np.ndarray] = [np.zeros(0)] * len(rows)
    work = [i for i, row in enumerate(rows) if len(row) > prompt_lengths[i]]
    # [row, column, vocab] logits are the largest thing in memory here: 256 MB at most
    budget = max(64, 64_000_000 // int(subject.model.cfg.d_vocab))
    scopes = open_scopes(subject.model)
    with surely(evaluation_mode(subject.model)) as mode, mode:
        lengths_of = [len(rows[i]) for i in work]
        for part in chunks(lengths_of, 0, subject.context, budget, can_pad(subject, False, lengths_of)):
            chosen = [work[k] for k in part]
            ids, real = left_padded([rows[i] for i in chosen])
            lengths = np.asarray([prompt_lengths[i] for i in chosen])
            bos = subject.has_bos([rows[i] for i in chosen])
            session = Session(subject, lengths, np.asarray(chosen), bos, use_cache=False)
            # rows end together, so the longest scored part and the column before it hold all that is asked for
            last = 1 + max(len(rows[i]) - prompt_lengths[i] for i in chosen)
            logits = session.extend(ids, real, last_only=False, last=last)[:, :-1].float()
            check_open(scopes)
            target = torch.from_numpy(ids[:, 1 - last :]).to(logits.device)[..., None]
            normal = logits.logsumexp(-1)
            check_finite(torch.where(torch.from_numpy(real[:, -last:-1]).to(normal.device), normal, 0.0))
            scores = (logits.gather(-1, target)[..., 0] - normal).double().cpu().numpy()
            for k, i in enumerate(chosen):
                result[i] = scores[k, scores.shape[1] - (len(rows[i]) - prompt_lengths[i]) :]
    return result
