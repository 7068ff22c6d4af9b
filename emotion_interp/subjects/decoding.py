"""The decoding loop: batches of rows run token by token, each row with its own random stream and its own end."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.arguments import check_keywords, checked
from emotion_interp.core.errors import EmotionInterpError, tell
from emotion_interp.core.scopes import Scope, check_open, only_scopes, open_scopes, surely
from emotion_interp.core.seeds import generator
from emotion_interp.subjects.cache_check import can_pad, exactness
from emotion_interp.subjects.columns import left_padded
from emotion_interp.subjects.plan import evaluation_mode
from emotion_interp.subjects.sampling import Sampling
from emotion_interp.subjects.session import Session

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects.subject import Subject

TOKEN_BUDGET = 16_384
"""Padded tokens of one batch at its longest."""


PASS_TOKENS = 64
"""What one more forward pass costs beside its tokens, in tokens."""

OPTIONS = (
    "use_past_kv_cache",
    "seed",
    "streams",
    "return_logits",
    "eos_token_id",
    "stop_strings",
    "token_budget",
    "fork",
)
"""Options of the loop itself; those of `Sampling` come to them."""


class Decoding:
    """Rows of token ids being continued; `steps()` runs them, `tokens`, `stopped` and `logits` fill up.

    Args:
        subject: as in `generation.decode`.
        token_rows: as in `generation.decode`.
        max_new_tokens: as in `generation.decode`.
        **sampling: as in `generation.decode`.
        use_past_kv_cache: as there.
        seed: as there.
        streams: as there.
        return_logits: as there.
        eos_token_id: as there.
        stop_strings: as there.
        token_budget: as there.
        fork: as there.

    Raises:
        EmotionInterpError: an empty row, a row that does not fit the context with its new tokens, or an impossible option.
    """

    @checked
    def __init__(
        self,
        subject: Subject,
        token_rows: Sequence[Sequence[int]],
        max_new_tokens: int = 40,
        *,
        use_past_kv_cache: bool = True,
        seed: int = 0,
        streams: Sequence[object] | None = None,
        return_logits: bool = False,
        eos_token_id: int | Sequence[int] | None = None,
        stop_strings: str | Sequence[str] | None = None,
        token_budget: int = TOKEN_BUDGET,
        fork: bool = False,
        **sampling: Any,
    ) -> None:
        check_keywords("generate", sampling, (*OPTIONS, *inspect.get_annotations(Sampling)))
        self.subject, self.new, self.use_cache = subject, max_new_tokens, use_past_kv_cache
        self.rows = [list(map(int, row)) for row in token_rows]
        self.turns = [getattr(row, "turns", None) for row in token_rows]
        self.sampling = Sampling(**sampling)
        self.budget, self.fork = token_budget, fork
        names = list(range(len(self.rows))) if streams is None else list(streams)
        self._check(names)
        self.ends = np.asarray(sorted(eos_ids(subject) if eos_token_id is None else _ids(eos_token_id)), dtype=np.int64)
        closing = [() if t is None or eos_token_id is not None else t.end_ids for t in self.turns]
        self.closing = closing if any(closing) else []
        self.stops = (stop_strings,) if isinstance(stop_strings, str) else tuple(stop_strings or ())
        if not all(isinstance(s, str) and s for s in self.stops):
            raise EmotionInterpError(f"stop_strings are texts that are not empty, got {stop_strings!r}.")
        self.randoms = [generator(seed, "decode", name) for name in names] if self.sampling.do_sample else []
        self.tokens: list[list[int]] = [[] for _ in self.rows]
        self.stopped = ["length"] * len(self.rows)
        self.warned = False
        self.logits: list[list[torch.Tensor]] | None = [[] for _ in self.rows] if return_logits else None

    def _check(self, names: Sequence[object]) -> None:
        if len(names) != len(self.rows):
            raise EmotionInterpError(f"streams names {len(names)} rows, but there are {len(self.rows)}.")
        if isinstance(self.new, bool) or not isinstance(self.new, (int, np.integer)) or self.new < 0:
            raise EmotionInterpError(f"max_new_tokens is a whole number from 0, got {self.new!r}.")
        context = self.subject.context
        for i, row in enumerate(self.rows):
            if not row:
                raise EmotionInterpError(f"row {i} has no token; a continuation needs at least one.")
            if len(row) > context or (self.new and len(row) == context):
                raise EmotionInterpError(
                    f"prompt {i} fills the context of {context} tokens and leaves no room to continue; shorten it."
                )
            if len(row) + self.new > context:
                raise EmotionInterpError(
                    f"prompt {i} has {len(row)} tokens, and max_new_tokens={self.new} more are beyond the context of "
                    f"{context}; at most {context - len(row)} fit after it."
                )

    def steps(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """After each step (row indices, their new token ids); -1 for a row that ends or has ended.

        The interventions that act at the first step act to the last, wherever the steps are asked for.

        Raises:
            NotFiniteError: the model answers with NaN.
            EmotionInterpError: one of those interventions has been closed.

        Warns:
            UserWarning: an intervention was opened after the first step; it does not act here.
        """
        if not self.new:
            return
        scopes = open_scopes(self.subject.model)
        lengths = [len(r) for r in self.rows]
        padded = can_pad(self.subject, self.use_cache, lengths)
        for part in chunks(lengths, self.new, self.subject.context, self.budget, padded):
            yield from self._batch(part, scopes)

    def _batch(self, part: np.ndarray, scopes: tuple[Scope, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        ids, real = left_padded([self.rows[i] for i in part])
        stem, at = self._stem(part, ids, real, scopes)
        lengths = np.asarray([len(self.rows[i]) for i in part])
        session = self._session(part) if stem is None else stem.repeat(lengths, part, at)
        if stem is not None:
            ids, real = ids[:, -1:], None
        alive = np.ones(len(part), dtype=bool)
        seen: torch.Tensor | None = None
        for step in range(self.new):
            check_open(scopes)
            if step and not self.warned and not set(open_scopes(self.subject.model)) <= set(scopes):
                self.warned = True
                tell("steering that was opened after a text was begun does not act on it.")
            # inside a step only: between two of them the caller's code runs
            mode, acting = evaluation_mode(self.subject.model), only_scopes(scopes)
            with surely(mode), mode, surely(acting), acting:
                logits = session.extend(ids, real).float()
                if self.sampling.repetition_penalty != 1.0:
                    seen = (
                        _marked(seen, ids, real, logits) if step else _marked(None, session.ids, session.real, logits)
                    )
                uniforms = np.asarray([self.randoms[i].random() for i in part]) if self.randoms else None
                chosen = self.sampling.choose(logits, alive, uniforms, seen)
            check_open(scopes)
            new = self._take(part, chosen, alive, self.new - step, logits)
            yield part, new
            if not alive.any():
                return
            ids, real = chosen[:, None], None

    def _session(self, part: np.ndarray) -> Session:
        rows = [self.rows[i] for i in part]
        lengths, turns = np.asarray([len(row) for row in rows]), [self.turns[i] for i in part]
        return Session(self.subject, lengths, part, self.subject.has_bos(rows), self.use_cache, turns)

    def _stem(
        self, part: np.ndarray, ids: np.ndarray, real: np.ndarray, scopes: tuple[Scope, ...]
    ) -> tuple[Session | None, np.ndarray]:
        """The beginnings that rows share, all but the last token of each prompt, run once; and which one is each row's.

        None where that saves less than one more pass costs, or where something acts on those tokens, or no cache may be.
        """
        firsts: dict[tuple[int, ...], int] = {}
        at = np.zeros(len(part), dtype=np.int64)
        which: list[int] = []
        for k, row in enumerate(part):
            at[k] = firsts.setdefault(tuple(self.rows[row][:-1]), len(firsts))
            if at[k] == len(which):
                which.append(k)
        saved = (len(part) - len(which)) * (ids.shape[1] - 1)
        able = self.fork and self.use_cache and () not in firsts and all(scope.spares_prompt for scope in scopes)
        if not able or saved <= PASS_TOKENS or not exactness(self.subject).cache:
            return None, at
        stem = self._session(part[which])
        mode, acting = evaluation_mode(self.subject.model), only_scopes(scopes)
        with surely(mode), mode, surely(acting), acting:
            stem.extend(ids[which, :-1], real[which, :-1])
        return stem, at

    def _take(
        self, part: np.ndarray, chosen: np.ndarray, alive: np.ndarray, left: int, logits: torch.Tensor
    ) -> np.ndarray:
        """Give each living row its token and end those that are done; `left` counts this token."""
        kept = logits.cpu() if self.logits is not None else None
        ends = np.isin(chosen, self.ends)
        if self.closing:
            ends |= np.asarray([token in self.closing[row] for row, token in zip(part, chosen, strict=True)])
        new = np.where(alive & ~ends, chosen, -1)
        for k in np.flatnonzero(alive):
            row = int(part[k])
            if kept is not None and self.logits is not None:
                self.logits[row].append(kept[k])
            if ends[k]:
                alive[k], self.stopped[row] = False, "eos"
                continue
            self.tokens[row].append(int(chosen[k]))
            if self.stops and self._has_stop(row):
                alive[k], self.stopped[row] = False, "stop"
            elif left <= 1:
                alive[k] = False
        return new

    def _has_stop(self, row: int) -> bool:
        text = continuation_text(self.subject, self.rows[row], self.tokens[row])
        return any(stop in text for stop in self.stops)


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


def chunks(
    lengths: Sequence[int], new: int, context: int, token_budget: int, padded: bool = True
) -> Iterator[np.ndarray]:
    """Row indices by length, cut so that padded columns fit the token budget and, with new tokens, the context.

    Without padding the rows of one chunk have one length.
    """
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    part: list[int] = []
    for i in order:
        if part:
            room = min(new, context - lengths[part[0]])
            too_long = lengths[i] > lengths[part[0]] and (not padded or lengths[i] + room > context)
            if too_long or (len(part) + 1) * (lengths[i] + room) > token_budget:
                yield np.asarray(part)
                part = []
        part.append(i)
    if part:
        yield np.asarray(part)


def eos_ids(subject: Subject) -> set[int]:
    """The ids that end a text, from the tokenizer and the model's generation settings."""
    found: set[int] = set()
    config = getattr(getattr(subject.model, "original_model", None), "generation_config", None)
    for value in (subject.tokenizer.eos_token_id, getattr(config, "eos_token_id", None)):
        if value is not None:
            found |= _ids(value)
    return found


def _ids(value: int | Sequence[int]) -> set[int]:
    return {int(value)} if isinstance(value, (int, np.integer)) else {int(v) for v in value}


def _marked(seen: torch.Tensor | None, ids: np.ndarray, real: np.ndarray | None, logits: torch.Tensor) -> torch.Tensor:
    """Which tokens each row's text has by now: [row, vocab]."""
    import torch

    if seen is None:
        seen = torch.zeros_like(logits, dtype=torch.bool)
    rows, columns = np.nonzero(np.ones(ids.shape, dtype=bool) if real is None else real)
    seen[torch.from_numpy(rows), torch.from_numpy(ids[rows, columns])] = True
    return seen
