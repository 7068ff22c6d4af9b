"""Tokenised texts in two flat arrays: a Python object per token would grow with the stimuli far beyond their readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np

from emotion_interp.subjects.subject import Subject
from emotion_interp.subjects.tokens import TokenizedText, tell_of_cuts

_TEXTS = 1024
"""Texts tokenised at a time."""

Pick = Callable[[int, TokenizedText], np.ndarray]
"""Indices of the tokens that are read, from (number of the text, its tokens)."""


class PackedTexts(Sequence[TokenizedText]):
    """Token ids of many texts, offsets left out, and the indices of the tokens that are read of each.

    Args:
        subject: its tokenizer.
        texts: one text per stimulus.
        pick: chooses the tokens while their offsets are there.
    """

    def __init__(self, subject: Subject, texts: Sequence[str], pick: Pick) -> None:
        ids, picks = [], []
        self._id_ends, self._pick_ends = np.zeros(len(texts) + 1, np.int64), np.zeros(len(texts) + 1, np.int64)
        self._has_bos = np.zeros(len(texts), dtype=bool)
        cut = 0
        for start in range(0, len(texts), _TEXTS):
            tokens = subject.tokenize_quietly(texts[start : start + _TEXTS])
            chosen = [pick(start + i, text).astype(np.int32) for i, text in enumerate(tokens)]
            ids.append(np.concatenate([np.asarray(text.ids, dtype=np.int32) for text in tokens]))
            picks.append(np.concatenate(chosen))
            block = slice(start + 1, start + len(tokens) + 1)
            self._id_ends[block], self._pick_ends[block] = [len(t) for t in tokens], [len(c) for c in chosen]
            self._has_bos[start : start + len(tokens)] = [t.has_bos for t in tokens]
            cut += sum(t.cut_at is not None for t in tokens)
        tell_of_cuts(cut, len(texts), subject.context, stacklevel=3)
        self._ids, self._picks = np.concatenate(ids), np.concatenate(picks)
        np.cumsum(self._id_ends, out=self._id_ends)
        np.cumsum(self._pick_ends, out=self._pick_ends)

    def __len__(self) -> int:
        return len(self._id_ends) - 1

    @overload
    def __getitem__(self, index: int) -> TokenizedText: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenizedText]: ...
    def __getitem__(self, index: int | slice) -> TokenizedText | list[TokenizedText]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        ids = self._ids[self._id_ends[index] : self._id_ends[index + 1]]
        return TokenizedText(tuple(ids.tolist()), (), bool(self._has_bos[index]))

    def picks(self, index: int) -> np.ndarray:
        """Indices of the tokens of one text that are read."""
        return self._picks[self._pick_ends[index] : self._pick_ends[index + 1]].astype(np.int64)
