"""Where the sentences of a text begin and end, in tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

_ENDS = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])[”’」』）]*|\n+")
"""Where a sentence ends; a Chinese one without a space."""


def sentence_ranges(text: str, spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The tokens of each sentence, (first, last + 1); a token belongs where its first character that is no space does.

    Example:
        >>> sentence_ranges("No. Yes!", [(0, 2), (2, 3), (3, 7), (7, 8)])
        ((0, 2), (2, 4))
    """
    ends = [m.end() for m in _ENDS.finditer(text) if m.end() < len(text)]
    starts = [start + len(text[start:end]) - len(text[start:end].lstrip()) for start, end in spans]
    number = np.searchsorted(np.asarray(ends, dtype=int), np.asarray(starts), side="right")
    cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(spans)]
    return tuple((a, b) for a, b in pairwise(cuts) if b > a)
