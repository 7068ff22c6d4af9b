"""How the next token is chosen from logits: greedy, or drawn as transformers' generation options say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.core.arguments import check_fields
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError

if TYPE_CHECKING:
    import torch

_BLOCK = 128


@dataclass(frozen=True)
class Sampling:
    """Generation options under the names and with the meaning they have in transformers.

    Attributes:
        do_sample: draw instead of taking the likeliest token.
        temperature: of the softmax; below 1 sharper.
        top_k: only the so many likeliest tokens.
        top_p: only the likeliest tokens that together have this probability.
        min_p: only tokens with this share of the likeliest token's probability.
        repetition_penalty: logits of tokens that the text has already are divided by it where positive, multiplied
            where negative; 1 for none. Acts on greedy choice as well.

    Raises:
        EmotionInterpError: an impossible value.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self)
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise EmotionInterpError(f"temperature is above 0 (greedy: do_sample=False), got {self.temperature!r}.")
        if self.top_k is not None and self.top_k < 1:
            raise EmotionInterpError(f"top_k is at least 1, got {self.top_k!r}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise EmotionInterpError(f"top_p lies in (0, 1], got {self.top_p!r}.")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise EmotionInterpError(f"min_p lies in [0, 1], got {self.min_p!r}.")
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise EmotionInterpError(f"repetition_penalty is above 0, got {self.repetition_penalty!r}.")

    def choose(
        self, logits: torch.Tensor, alive: np.ndarray, uniforms: np.ndarray | None, seen: torch.Tensor | None
    ) -> np.ndarray:
        """The next token of every row: [row].

        Args:
            logits: [row, vocab], float32.
            alive: [row], whose logits must be finite.
            uniforms: [row] in [0, 1), for `do_sample`.
            seen: [row, vocab], the tokens that a row's text has, for `repetition_penalty`.

        Raises:
            NotFiniteError: NaN or infinite logits.
        """
        import torch

        # the largest logit is NaN or infinite as soon as one of them is
        largest, best = logits.max(-1)
        check_finite(largest, alive)
        if seen is not None:
            penalty = self.repetition_penalty
            logits = torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)
            best = logits.argmax(-1)
        if not self.do_sample or uniforms is None:
            return best.cpu().numpy()
        return sample(logits, uniforms, self.temperature, self.top_k, self.top_p, self.min_p)


def check_finite(values: torch.Tensor, alive: slice | torch.Tensor | np.ndarray = slice(None)) -> None:
    """Refuse NaN and infinity among the values [row] of living rows."""
    if not bool(values.isfinite().cpu().numpy()[alive].all()):
        raise NotFiniteError("the model's logits have NaN or infinite values; a smaller dose, or float32, may help.")


def sample(
    logits: torch.Tensor,
    uniforms: np.ndarray,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    min_p: float | None = None,
) -> np.ndarray:
    """Draw one token per row by inverting the cumulative distribution at the row's own uniform number: [row]."""
    import torch

    scaled, order = logits.float(), None
    if top_k is not None or top_p is not None:
        scaled, order = torch.topk(scaled, min(top_k or scaled.shape[-1], scaled.shape[-1]), dim=-1)
    if temperature != 1.0:
        # after the choice, which it does not change: the whole vocabulary need not be divided
        scaled = scaled / temperature
    weights = (scaled - scaled.amax(-1, keepdim=True)).exp()
    if top_p is not None:
        exact = weights.double()
        before = exact.cumsum(-1) - exact
        # the nucleus of what top-k left, as transformers applies them one after the other; the likeliest always stays
        keep = before < top_p * exact.sum(-1, keepdim=True)
        keep[:, 0] = True
        weights = weights * keep
    if min_p is not None:
        # the likeliest token has weight 1
        weights = weights * (weights >= min_p)
    # first the block, then the token in it: cumulative sums in float64 over the whole vocabulary cost more than the model
    blocks = torch.nn.functional.pad(weights, (0, -weights.shape[-1] % _BLOCK)).view(len(weights), -1, _BLOCK)
    sums = blocks.sum(-1, dtype=torch.float64)
    cumulative = sums.cumsum(-1)
    draw = torch.from_numpy(uniforms).to(cumulative) * cumulative[:, -1]
    block = _inverted(cumulative, sums, draw)
    before = torch.where(block > 0, cumulative.gather(-1, (block - 1).clamp(min=0)), 0.0)[:, 0]
    inside = blocks.gather(1, block[:, :, None].expand(-1, -1, _BLOCK))[:, 0].double()
    index = block * _BLOCK + _inverted(inside.cumsum(-1), inside, draw - before)
    return (index if order is None else order.gather(-1, index))[:, 0].cpu().numpy()


def _inverted(cumulative: torch.Tensor, weights: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
    """The place whose part of the cumulative sum holds the draw: [row, 1]."""
    import torch

    index = torch.searchsorted(cumulative, draw[:, None], right=True)
    # rounding at the upper end must not reach a token of probability zero
    places = torch.arange(weights.shape[-1], device=index.device)
    last = torch.where(weights > 0, places, 0).max(-1, keepdim=True).values
    return torch.minimum(index, last)
