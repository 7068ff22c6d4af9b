"""Loading without more memory than the weights take: tables that nobody reads again and freed pages are given back."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def lean_tokenizer(tokenizer: T) -> T:
    """A fast tokenizer without the Python copies of its vocabulary and merges.

    transformers keeps the lists that it made the tokenizer from; of a vocabulary of 262,144 words they are 150 MB, and
    everything is read from the tokenizer itself afterwards. One that writes files from its lists keeps them.
    """
    if getattr(tokenizer, "is_fast", False) and "save_vocabulary" not in vars(type(tokenizer)):
        for name, kind in (("_vocab", dict), ("_merges", list)):
            if isinstance(vars(tokenizer).get(name), kind):
                setattr(tokenizer, name, kind())
    give_back()
    return tokenizer


def give_back() -> None:
    """Have the C library return freed memory to the system; it would keep hundreds of megabytes after parsing a vocabulary."""
    gc.collect()
    if sys.platform.startswith("linux"):
        # another C library than glibc has no such function
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def ends(tensor: torch.Tensor) -> tuple[float, float]:
    """Smallest and largest value, NaN where there is one; unlike isfinite() it makes no tensor of the same size."""
    if not tensor.numel():
        return 0.0, 0.0
    low, high = tensor.detach().aminmax()
    return float(low), float(high)
