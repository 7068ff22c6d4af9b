"""The house's own generation loop: seeded per row, the same in any batch, with or without KV cache.

A bridge's `generate` has no seed, answers a one-element list with a bare string, and changes a row's samples when
another row is added.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, NotFiniteError
from emotion_interp.core.seeds import generator
from emotion_interp.subjects.plan import evaluation_mode
from emotion_interp.subjects.session import Session

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects.subject import Subject

TOKEN_BUDGET = 16_384
"""Padded tokens of one batch at its longest."""


@dataclass(frozen=True)
class Decoded:
    """New token ids of each row (without EOS), why each row stopped ("length", "eos" or "context"), and, where asked,
    the logits of each step `[step, vocab]` in float32 on the CPU."""

    tokens: list[list[int]]
    stopped: list[str]
    logits: list[Any] | None = None


def decode(
    subject: Subject,
    token_rows: Sequence[Sequence[int]],
    max_new_tokens: int = 40,
    *,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    use_past_kv_cache: bool = True,
    seed: int = 0,
    streams: Sequence[object] | None = None,
    return_logits: bool = False,
    on_step: Callable[[np.ndarray, np.ndarray], None] | None = None,
    token_budget: int = TOKEN_BUDGET,
) -> Decoded:
    """Continue rows of token ids; a row's continuation does not depend on the other rows.

    Args:
        subject: the model; hooks on it stay and act.
        token_rows: prompts as token ids, BOS included where the subject prepends it.
        max_new_tokens: at most so many new tokens for each row.
        do_sample: draw instead of taking the likeliest token; `temperature`, `top_k` and `top_p` as in transformers.
        use_past_kv_cache: keep keys and values (faster, same result).
        seed: with the row's stream decides what is drawn.
        streams: [row], names of the rows' random streams; default: the row's index.
        return_logits: keep each step's logits.
        on_step: receives (row indices, new token ids) after each step; -1 marks a row that has ended.
        token_budget: padded tokens of one batch.

    Raises:
        EmotionInterpError: an empty row, a row that fills the context, or an impossible option.
        NotFiniteError: the model answers with NaN.

    Example:
        >>> decode(subject, [subject.tokenize(["The letter said"])[0].ids], 5).tokens  # doctest: +SKIP
        [[257, 300, 41, 88, 12]]
    """
    rows = [list(map(int, row)) for row in token_rows]
    names = list(range(len(rows))) if streams is None else list(streams)
    _check(subject, rows, names, max_new_tokens, temperature, top_k, top_p)
    randoms = [generator(seed, "decode", name) for name in names] if do_sample else []
    result = Decoded([[] for _ in rows], ["length"] * len(rows), [[] for _ in rows] if return_logits else None)
    if max_new_tokens == 0:
        return result
    ends = np.asarray(sorted(_eos_ids(subject)), dtype=np.int64)
    has_bos = subject.prepends_bos
    with evaluation_mode(subject.model):
        for part in _chunks([len(r) for r in rows], max_new_tokens, subject.context, token_budget):
            lengths = np.asarray([len(rows[i]) for i in part])
            limits = np.minimum(max_new_tokens, subject.context - lengths)
            ids, real = left_padded([rows[i] for i in part])
            session = Session(subject, lengths, part, has_bos, use_past_kv_cache)
            alive = np.ones(len(part), dtype=bool)
            for step in range(int(limits.max())):
                logits = session.extend(ids, real).float()
                _check_finite(logits, alive)
                if do_sample:
                    uniforms = np.asarray([randoms[i].random() for i in part])
                    chosen = sample(logits, uniforms, temperature, top_k, top_p)
                else:
                    chosen = logits.argmax(-1).cpu().numpy()
                kept = logits.cpu() if return_logits else None
                for k in np.flatnonzero(alive):
                    row = int(part[k])
                    if kept is not None and result.logits is not None:
                        result.logits[row].append(kept[k])
                    if chosen[k] in ends:
                        alive[k], result.stopped[row] = False, "eos"
                        continue
                    result.tokens[row].append(int(chosen[k]))
                    if step + 1 >= limits[k]:
                        alive[k] = False
                        if limits[k] < max_new_tokens:
                            result.stopped[row] = "context"
                if on_step is not None:
                    on_step(part, np.where(np.isin(chosen, ends), -1, chosen))
                if not alive.any():
                    break
                ids, real = chosen[:, None], None
    if result.logits is not None:
        import torch

        stacked = [torch.stack(steps) for steps in result.logits]
        return Decoded(result.tokens, result.stopped, stacked)
    return result


def generate(
    subject: Subject,
    prompts: str | Sequence[str],
    max_new_tokens: int = 40,
    *,
    return_prompt: bool = True,
    **options: Any,
) -> Any:
    """Continue prompts: str in, str out; list in, list out, also for one. The text includes the prompt.

    Args:
        subject: the model.
        prompts: one text or several.
        max_new_tokens: at most so many new tokens.
        return_prompt: False for the continuation alone.
        **options: `do_sample`, `temperature`, `top_k`, `top_p`, `use_past_kv_cache`, `seed`, ...: see `decode`.

    Raises:
        EmotionInterpError: a prompt that becomes no token or fills the context; an impossible option.

    Warns:
        UserWarning: a text stopped at the end of the context.

    Example:
        >>> generate(subject, "The letter said", max_new_tokens=5)  # doctest: +SKIP
        'The letter said that she was coming home'
    """
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    rows = [list(t.ids) for t in subject.tokenize(texts)]
    decoded = decode(subject, rows, max_new_tokens, **options)
    cut = decoded.stopped.count("context")
    if cut:
        warnings.warn(
            f"{cut} of {len(texts)} texts stopped at the context length of {subject.context} tokens.", stacklevel=2
        )
    continuations = [continuation_text(subject, r, new) for r, new in zip(rows, decoded.tokens, strict=True)]
    result = [t + c if return_prompt else c for t, c in zip(texts, continuations, strict=True)]
    return result[0] if isinstance(prompts, str) else result


def continuation_text(subject: Subject, prompt: Sequence[int], new: Sequence[int]) -> str:
    """The text of new tokens after a prompt; bytes of an unfinished last character are left out."""
    if not new:
        return ""
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    base = subject.tokenizer.decode(list(prompt), **options)
    full = subject.tokenizer.decode([*prompt, *new], **options)
    # decoding the new tokens alone loses the space that SentencePiece tokenizers put before a word
    text = full[len(base) :] if full.startswith(base) else subject.tokenizer.decode(list(new), **options)
    return text.rstrip("\ufffd")


def token_log_probabilities(
    subject: Subject, token_rows: Sequence[Sequence[int]], prompt_lengths: Sequence[int]
) -> list[np.ndarray]:
    """Log probability (natural) of every token after each row's prompt, given all before it: per row [token], float64.

    Raises:
        EmotionInterpError: a prompt length below 1 (the first token has nothing before it).
    """
    import torch

    rows = [list(map(int, row)) for row in token_rows]
    if any(n < 1 for n in prompt_lengths):
        raise EmotionInterpError("a prompt needs at least one token before the tokens that are scored.")
    result: list[np.ndarray] = [np.zeros(0)] * len(rows)
    work = [i for i, row in enumerate(rows) if len(row) > prompt_lengths[i]]
    # [row, column, vocab] logits are the largest thing in memory here: 256 MB at most
    budget = max(64, 64_000_000 // int(subject.model.cfg.d_vocab))
    with evaluation_mode(subject.model):
        for part in _chunks([len(rows[i]) for i in work], 0, subject.context, budget):
            chosen = [work[k] for k in part]
            ids, real = left_padded([rows[i] for i in chosen])
            lengths = np.asarray([prompt_lengths[i] for i in chosen])
            session = Session(subject, lengths, np.asarray(chosen), subject.prepends_bos, use_cache=False)
            logits = session.extend(ids, real, last_only=False)[:, :-1].float()
            _check_finite(logits[:, -1], np.ones(len(chosen), dtype=bool))
            target = torch.from_numpy(ids[:, 1:]).to(logits.device)[..., None]
            scores = (logits.gather(-1, target)[..., 0] - logits.logsumexp(-1)).double().cpu().numpy()
            for k, i in enumerate(chosen):
                result[i] = scores[k, scores.shape[1] - (len(rows[i]) - prompt_lengths[i]) :]
    return result


def sample(
    logits: torch.Tensor, uniforms: np.ndarray, temperature: float, top_k: int | None, top_p: float | None
) -> np.ndarray:
    """Draw one token per row by inverting the cumulative distribution at the row's own uniform number: [row]."""
    import torch

    probabilities = (logits.double() / temperature).softmax(-1)
    vocab = probabilities.shape[-1]
    order = None
    if top_k is not None or top_p is not None:
        probabilities, order = torch.topk(probabilities, min(top_k or vocab, vocab), dim=-1)
    if top_p is not None:
        before = probabilities.cumsum(-1) - probabilities
        # the nucleus of what top-k left, as transformers applies them one after the other; the likeliest always stays
        keep = before < top_p * probabilities.sum(-1, keepdim=True)
        keep[:, 0] = True
        probabilities = probabilities * keep
    cumulative = probabilities.cumsum(-1)
    draw = torch.from_numpy(uniforms).to(cumulative) * cumulative[:, -1]
    index = torch.searchsorted(cumulative, draw[:, None], right=True)
    # rounding at the upper end must not reach a token of probability zero
    places = torch.arange(probabilities.shape[-1], device=index.device)
    last = torch.where(probabilities > 0, places, 0).max(-1, keepdim=True).values
    index = torch.minimum(index, last)
    return (index if order is None else order.gather(-1, index))[:, 0].cpu().numpy()


def left_padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids padded on the left with id 0, and the mask of real tokens: both [row, column]."""
    width = max(map(len, rows))
    ids = np.zeros((len(rows), width), dtype=np.int64)
    real = np.zeros((len(rows), width), dtype=bool)
    for k, row in enumerate(rows):
        ids[k, width - len(row) :] = row
        real[k, width - len(row) :] = True
    return ids, real


def _chunks(lengths: Sequence[int], new: int, context: int, token_budget: int) -> Iterator[np.ndarray]:
    """Row indices by length, cut so that padded columns fit the token budget and, with new tokens, the context."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    part: list[int] = []
    for i in order:
        if part:
            room = min(new, context - lengths[part[0]])
            too_long = lengths[i] > lengths[part[0]] and lengths[i] + room > context
            if too_long or (len(part) + 1) * (lengths[i] + room) > token_budget:
                yield np.asarray(part)
                part = []
        part.append(i)
    if part:
        yield np.asarray(part)


def _eos_ids(subject: Subject) -> set[int]:
    found: set[int] = set()
    config = getattr(getattr(subject.model, "original_model", None), "generation_config", None)
    for value in (subject.tokenizer.eos_token_id, getattr(config, "eos_token_id", None)):
        if value is not None:
            found |= set(value) if isinstance(value, (list, tuple)) else {int(value)}
    return found


def _check_finite(logits: torch.Tensor, alive: np.ndarray) -> None:
    # the largest logit is NaN or infinite as soon as one of them is
    if not bool(logits.amax(-1).isfinite().cpu().numpy()[alive].all()):
        raise NotFiniteError("the model's logits have NaN or infinite values; a smaller dose, or float32, may help.")


def _check(
    subject: Subject,
    rows: list[list[int]],
    names: Sequence[object],
    new: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
) -> None:
    if len(names) != len(rows):
        raise EmotionInterpError(f"streams names {len(names)} rows, but there are {len(rows)}.")
    if isinstance(new, bool) or not isinstance(new, (int, np.integer)) or new < 0:
        raise EmotionInterpError(f"max_new_tokens is a whole number from 0, got {new!r}.")
    if not (math.isfinite(temperature) and temperature > 0):
        raise EmotionInterpError(f"temperature is above 0 (greedy: do_sample=False), got {temperature!r}.")
    if top_k is not None and top_k < 1:
        raise EmotionInterpError(f"top_k is at least 1, got {top_k!r}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise EmotionInterpError(f"top_p lies in (0, 1], got {top_p!r}.")
    for i, row in enumerate(rows):
        if not row:
            raise EmotionInterpError(f"row {i} has no token; a continuation needs at least one.")
        if new and len(row) >= subject.context:
            raise EmotionInterpError(
                f"prompt {i} fills the context of {subject.context} tokens and leaves no room to continue; shorten it."
            )
