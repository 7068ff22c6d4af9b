"""Columns run through a subject in those ways only that leave its logits as they are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.subjects.cache_check import check_padding, exactness
from emotion_interp.subjects.columns import Columns

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects.subject import Subject
    from emotion_interp.subjects.turns import Turns


class Session(Columns):
    """Columns with a cache only where that changes no logits of this subject, and no padding where that would.

    Args:
        subject: as in `Columns`.
        prompt_lengths: as in `Columns`.
        rows: as in `Columns`.
        has_bos: as in `Columns`.
        use_cache: keep keys and values between calls, where it may be.
        turns: as in `Columns`.
    """

    def __init__(
        self,
        subject: Subject,
        prompt_lengths: np.ndarray,
        rows: np.ndarray,
        has_bos: bool | np.ndarray,
        use_cache: bool = True,
        turns: Sequence[Turns | None] | None = None,
    ) -> None:
        super().__init__(subject, prompt_lengths, rows, has_bos, use_cache and exactness(subject).cache, turns)

    def extend(
        self, ids: np.ndarray, real: np.ndarray | None = None, last_only: bool = True, last: int | None = None
    ) -> torch.Tensor:
        """Run more columns; see `Columns.extend`.

        Raises:
            UnsupportedError: padded rows, where they would change the logits.
        """
        check_padding(self.subject, self.use_cache, np.ones(ids.shape, dtype=bool) if real is None else real)
        return super().extend(ids, real, last_only, last)

    def repeat(self, prompt_lengths: np.ndarray, rows: np.ndarray, at: np.ndarray | None = None) -> Session:
        """A new session each of whose rows continues one of this one's rows; this one stays as it is.

        Args:
            prompt_lengths: [new row], as in `Columns`.
            rows: [new row], as in `Columns`.
            at: [new row], the row of this session that it continues; default: its single row.
        """
        import torch

        at = np.zeros(len(rows), dtype=np.int64) if at is None else at
        turns = None if self.turns is None else [self.turns[k] for k in at.tolist()]
        has_bos = np.broadcast_to(np.asarray(self.has_bos), (len(self.rows),))[at]
        other = Session(self.subject, prompt_lengths, rows, has_bos, self.use_cache, turns)
        other.ids, other.real, other.positions = self.ids[at], self.real[at], self.positions[at]
        if self._cache is not None:
            cache = copy.deepcopy(self._cache)
            index = torch.from_numpy(at).to(self.subject.device)
            if self.subject.backend == "hooked":
                for entry in cache.entries:
                    entry.past_keys, entry.past_values = entry.past_keys[index], entry.past_values[index]
                cache.previous_attention_mask = cache.previous_attention_mask[
                    index.to(cache.previous_attention_mask.device)
                ]
            elif len(self.rows) == 1:
                # what recurrent caches can do as well
                cache.batch_repeat_interleave(len(at))
            else:
                cache.batch_select_indices(index)
            other._cache = cache
        return other
