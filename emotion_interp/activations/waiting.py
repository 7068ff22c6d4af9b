"""Tokens that are encoded after a pass, one SAE after the other: where the SAEs of its sites cannot all be in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.activations.spill import Spool

if TYPE_CHECKING:
    import torch


class WaitingTokens:
    """What is read of one hook point, in the pieces and the precision it came in, so that encoding later changes no number.

    Args:
        limit: bytes in memory; what is more waits in a temporary file.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._pieces: list[tuple[int, tuple[np.ndarray, ...]]] = []
        self._spool: Spool | None = None
        self._like: torch.Tensor | None = None

    def add(self, tokens: torch.Tensor, *beside: np.ndarray) -> None:
        """Keep tokens [token, d] and what belongs to them."""
        bits = tokens.detach().contiguous()
        self._like = bits[:0]
        if bits.dtype.itemsize == 2:
            import torch

            # numpy has no bfloat16
            bits = bits.view(torch.int16)
        values = bits.cpu().numpy()
        if self._spool is None:
            self._spool = Spool(values.dtype, self.limit)
        self._spool.append(values)
        self._pieces.append((len(tokens), beside))

    def __iter__(self) -> Iterator[tuple[torch.Tensor, tuple[np.ndarray, ...]]]:
        """(tokens, what belongs to them), as they came, on the device they were on."""
        import torch

        if self._spool is None or self._like is None:
            return
        width, start = self._like.shape[1], 0
        for n_tokens, beside in self._pieces:
            stop = start + n_tokens * width
            # a copy: what is read from a file may not be written to
            bits = torch.from_numpy(np.array(self._spool.read(start, stop))).reshape(n_tokens, width)
            start = stop
            yield bits.view(self._like.dtype).to(self._like.device), beside
