"""One batch of rows run column by column through a subject, with or without a KV cache."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.scopes import lock_of, surely
from emotion_interp.subjects.plan import ForwardPlan, using_plan

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects.subject import Subject
    from emotion_interp.subjects.turns import Turns


def left_padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids padded on the left with id 0, and the mask of real tokens: both [row, column]."""
    width = max(map(len, rows))
    ids = np.zeros((len(rows), width), dtype=np.int64)
    real = np.zeros((len(rows), width), dtype=bool)
    for k, row in enumerate(rows):
        ids[k, width - len(row) :] = row
        real[k, width - len(row) :] = True
    return ids, real


class Columns:
    """Feeds columns of token ids to a subject; remembers what came before, in a KV cache or by running it again.

    Whether that leaves the logits as they are is not asked here; `Session` asks.

    Masks come from the rows' lengths, never from ids: pad, bos and eos are often one id.

    Args:
        subject: the model.
        prompt_lengths: [row], for the plan that hooks read.
        rows: [row], each row's index in the caller's list.
        has_bos: [row], whether it starts with BOS; or one for all.
        use_cache: keep keys and values between calls.
        turns: [row], who speaks where, where rows are conversations; for the plan.
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
        self.turns = turns
        self.subject, self.has_bos, self.use_cache = subject, has_bos, use_cache
        self.prompt_lengths, self.rows = np.asarray(prompt_lengths), np.asarray(rows)
        self.ids = np.zeros((len(self.rows), 0), dtype=np.int64)
        self.real = np.zeros((len(self.rows), 0), dtype=bool)
        self.positions = np.zeros((len(self.rows), 0), dtype=np.int64)
        self._cache: Any = None
        self._last_logits_only: bool | None = None

    def extend(
        self, ids: np.ndarray, real: np.ndarray | None = None, last_only: bool = True, last: int | None = None
    ) -> torch.Tensor:
        """Run more columns.

        Args:
            ids: [row, column].
            real: [row, column], False on padding; default: all real.
            last_only: logits of the last column only: [row, vocab]; else of all columns run: [row, column, vocab].
            last: else of so many last columns; None: of all.
        """
        import torch

        new = np.ones(ids.shape, dtype=bool) if real is None else real
        before = self.positions.max(1, keepdims=True, initial=-1)
        added = np.where(new, before + new.cumsum(1), -1)
        self.ids, self.real = np.concatenate([self.ids, ids], 1), np.concatenate([self.real, new], 1)
        self.positions = np.concatenate([self.positions, added], 1)
        width = ids.shape[1] if self.use_cache else self.ids.shape[1]
        positions = added if self.use_cache else self.positions
        plan = ForwardPlan(positions, self.prompt_lengths, self.rows, self.has_bos, self.turns)
        device = self.subject.device
        columns = torch.from_numpy(np.ascontiguousarray(self.ids[:, -width:])).to(device)
        run = self._hooked if self.subject.backend == "hooked" else self._bridge
        # a bridge and a HookedTransformer keep state while they run
        with lock_of(self.subject.model), surely(using_plan(plan)) as own, own:
            logits = run(columns, positions, width, 1 if last_only else last)
        # where the model itself cannot leave columns out, they are cut off here
        return logits[:, -1] if last_only else logits[:, -last:] if last else logits

    def _mask(self, width: int | None = None) -> torch.Tensor:
        import torch

        real = self.real if width is None else self.real[:, -width:]
        return torch.from_numpy(real.astype(np.int64)).to(self.subject.device)

    def _hooked(self, columns: torch.Tensor, positions: np.ndarray, width: int, last: int | None) -> torch.Tensor:
        del positions, last  # HookedTransformer counts positions from the mask, and always unembeds every column
        options: dict[str, object] = {}
        if self.use_cache:
            if self._cache is None:
                from transformer_lens.cache.key_value_cache import TransformerLensKeyValueCache

                config = self.subject.model.cfg
                self._cache = TransformerLensKeyValueCache.init_cache(config, columns.device, len(columns))
            options["past_kv_cache"] = self._cache
        return self.subject.model(columns, return_type="logits", attention_mask=self._mask(width), **options)

    def _bridge(self, columns: torch.Tensor, positions: np.ndarray, width: int, last: int | None) -> torch.Tensor:
        import torch

        model = self.subject.model
        options: dict[str, object] = {"use_cache": True} if self.use_cache else dict(self.subject.uncached_options)
        options["attention_mask"] = self._mask()
        accepts = getattr(model, "_accepts_derived_position_ids", None)
        if accepts is None or accepts():
            options["position_ids"] = torch.from_numpy(positions.clip(min=0)).to(columns.device)
        if self._cache is not None:
            options["past_key_values"] = self._cache
        if self._last_logits_only is None:
            parameters = inspect.signature(model.original_model.forward).parameters
            self._last_logits_only = "logits_to_keep" in parameters
        # the unembedding of a whole prompt costs more than a small model's blocks
        if last and self._last_logits_only:
            options["logits_to_keep"] = last
        logits, cache = model(columns, return_type="logits_and_cache", **options)
        self._cache = cache if self.use_cache else None
        return logits
