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

    def extend(self, ids: np.ndarray, real: np.ndarray | None = None, last_only: bool = True) -> torch.Tensor:
        """Run more columns; see `Columns.extend`.

        Raises:
            UnsupportedError: padded rows, where they would change the logits.
        """
        check_padding(self.subject, self.use_cache, np.ones(ids.shape, dtype=bool) if real is None else real)
        return super().extend(ids, real, last_only)

    def repeat(self, prompt_lengths: np.ndarray, rows: np.ndarray) -> Session:
        """A new session whose rows all continue this one's single row; this one stays as it is."""
        turns = None if self.turns is None else [*self.turns] * len(rows)
        other = Session(self.subject, prompt_lengths, rows, self.has_bos, self.use_cache, turns)
        other.ids, other.real = np.repeat(self.ids, len(rows), 0), np.repeat(self.real, len(rows), 0)
        other.positions = np.repeat(self.positions, len(rows), 0)
        if self._cache is not None:
            cache = copy.deepcopy(self._cache)
            if self.subject.backend == "hooked":
                for entry in cache.entries:
                    entry.past_keys = entry.past_keys.repeat_interleave(len(rows), 0)
                    entry.past_values = entry.past_values.repeat_interleave(len(rows), 0)
                cache.previous_attention_mask = cache.previous_attention_mask.repeat_interleave(len(rows), 0)
            else:
                cache.batch_repeat_interleave(len(rows))
            other._cache = cache
        return other
