"""Texts as token ids: exactly one BOS where the model has one, true character offsets, nothing cut unnoticed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, tell
from emotion_interp.core.scopes import lock_of
from emotion_interp.subjects.turns import ChatText, TokenRow, Turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TokenizedText:
    """Token ids of one text with character offsets; `ids[0]` is BOS where `has_bos`.

    The offset of a BOS is (0, 0), or its place where the text spells it. `cut_at` is where in the text the context
    ended; None: all of it is there. `turns` tells who speaks where, in tokens, if the text is a conversation.
    """

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    has_bos: bool
    cut_at: int | None = None
    turns: Turns | None = None

    @property
    def row(self) -> TokenRow:
        """The ids as `decode` takes them, with the turns of a conversation."""
        found = TokenRow(self.ids)
        found.turns = self.turns
        return found

    def __len__(self) -> int:
        return len(self.ids)


def bos_id(tokenizer: Any) -> int | None:
    """The id of a tokenizer's BOS; None where it was made without one.

    TransformerLens gives such a tokenizer its EOS for a BOS, which the model never saw at the start of a text.
    """
    if tokenizer.bos_token_id is None:
        return None
    invented = tokenizer.bos_token == tokenizer.eos_token and not tokenizer.init_kwargs.get("bos_token")
    return None if invented else int(tokenizer.bos_token_id)


def bare_tokens(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], offsets: bool = True
) -> Iterator[tuple[list[int], list[tuple[int, int]], bool]]:
    """(ids, character offsets where asked, whether it begins with BOS) of each text as it is spelled; nothing is added.

    A BOS that a text spells several times at its start, as a chat template put into another does, is there once.

    Raises:
        EmotionInterpError: something that is no text.
    """
    texts = list(texts)
    if not texts:
        return
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise EmotionInterpError(f"text {number} is no text, got {text!r}.")
    with lock_of(tokenizer):
        encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=offsets, verbose=False)
    bos, doubled = bos_id(tokenizer), 0
    found = []
    places = encoded["offset_mapping"] if offsets else [()] * len(texts)
    for ids, where in zip(encoded["input_ids"], places, strict=True):
        spelled = 0
        while bos is not None and spelled < len(ids) and ids[spelled] == bos:
            spelled += 1
        doubled += spelled > 1
        first = max(0, spelled - 1)
        found.append((ids[first:], where[first:], spelled > 0))
    if doubled:
        tell(
            f"{doubled} of {len(texts)} texts spell the BOS {tokenizer.bos_token!r} more than once at their start; it is "
            "read once."
        )
    yield from found


def tokenized(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], prepend: bool, context: int, only_bos: bool = False
) -> list[TokenizedText]:
    """Token ids and offsets of each text, with one BOS at the start where it is prepended or spelled, cut to the context.

    Args:
        tokenizer: what is read.
        texts: what is read.
        prepend: whether a text begins with BOS that does not spell it.
        context: tokens that are kept.
        only_bos: a text that is nothing but a spelled BOS is one.

    Raises:
        EmotionInterpError: a text becomes no token at all.
    """
    result = []
    for text, (ids, offsets, spelled) in zip(texts, bare_tokens(tokenizer, texts), strict=True):
        if len(ids) == (spelled and not only_bos):
            raise EmotionInterpError(f"the text {text!r} becomes no token under this model's tokenizer; leave it out.")
        if prepend and not spelled:
            ids, offsets = [tokenizer.bos_token_id, *ids], [(0, 0), *offsets]
        cut_at = int(offsets[context][0]) if len(ids) > context else None
        kept = tuple((int(a), int(b)) for a, b in offsets[:context])
        turns = text.turns.in_tokens(kept, cut_at) if isinstance(text, ChatText) else None
        result.append(TokenizedText(tuple(ids[:context]), kept, prepend or spelled, cut_at, turns))
    return result


def tell_of_cuts(cut: int, total: int, context: int) -> None:
    """One line of warning where texts were cut.

    Warns:
        UserWarning: some were.
    """
    if cut:
        tell(f"{cut} of {total} texts are longer than the context of {context} tokens; what lies beyond is not read.")


def refuse_cuts(tokens: Sequence[TokenizedText], texts: Sequence[str], context: int) -> None:
    """Refuse a text that does not fit the context.

    Raises:
        EmotionInterpError: one does not.
    """
    for number, (one, text) in enumerate(zip(tokens, texts, strict=True)):
        if one.cut_at is not None:
            raise EmotionInterpError(
                f"prompt {number} ({text[:40]!r}...) is longer than the context of {context} tokens; shorten it."
            )


def span_tokens(tokens: TokenizedText, span: tuple[int, int]) -> np.ndarray:
    """Indices of the tokens that overlap a character span (byte-level pieces of one character all count).

    None where a part of the span lies beyond the context.
    """
    start, end = span
    if tokens.cut_at is not None and end > tokens.cut_at:
        return np.zeros(0, dtype=np.int64)
    first = int(tokens.has_bos)
    hits = [i for i in range(first, len(tokens)) if tokens.offsets[i][1] > start and tokens.offsets[i][0] < end]
    return np.asarray(hits, dtype=np.int64)
