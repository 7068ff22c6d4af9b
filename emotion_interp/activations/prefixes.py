"""Which beginnings of token sequences are worth running once: a tree over all of them, cut where it pays by token counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

PASS_TOKENS = 64
"""What one more forward pass costs beside its tokens (weights are read again, a batch stays half full), in tokens."""
WORTH = 0.8
"""A tree is used where it computes at most this share of the tokens, passes counted in."""
_DEEPEST = 400
"""Levels of the tree that are looked at."""

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Fork:
    """Rows whose first `length` tokens are the same, run once for all of them; each has at least one token more."""

    length: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class PrefixPlan:
    """How sequences are read.

    Attributes:
        same: for each sequence the number of the first that equals it.
        forks: groups of distinct sequences that share a beginning.
        plain: distinct sequences that share none worth a fork.
        n_tokens: tokens of all sequences.
        n_computed: tokens that are run.
    """

    same: tuple[int, ...]
    forks: tuple[Fork, ...]
    plain: tuple[int, ...]
    n_tokens: int
    n_computed: int

    @property
    def pays(self) -> bool:
        """Whether it computes so much less that the passes it adds are worth it."""
        return self.n_computed + PASS_TOKENS * len(self.forks) <= WORTH * self.n_tokens


def prefix_plan(sequences: Sequence[Ids]) -> PrefixPlan:
    """The cheapest way to read sequences with their shared beginnings run once, by token counts alone.

    The sequences, sorted, are a tree whose nodes are ranges that begin alike. At each node either all its sequences fork
    from what they share, or each child decides for itself.

    Args:
        sequences: token ids of each text, at least one.

    Example:
        >>> plan = prefix_plan([(0, 1, 2, word) for word in range(100)])
        >>> plan.forks[0].length, plan.n_tokens, plan.n_computed, plan.pays
        (3, 400, 103, True)
    """
    first: dict[Ids, int] = {}
    same = tuple(first.setdefault(tuple(sequence), number) for number, sequence in enumerate(sequences))
    order = sorted(first)
    shared = [_common(a, b) for a, b in pairwise(order)]
    groups: list[tuple[int, int, int]] = []
    _best(order, shared, 0, len(order), 0, groups)
    forks, forked = [], set()
    for low, high, length in groups:
        rows = tuple(first[ids] for ids in order[low:high] if len(ids) > length)
        forks.append(Fork(length, rows))
        forked.update(rows)
    plain = tuple(number for number in first.values() if number not in forked)
    computed = sum(f.length + sum(len(sequences[r]) - f.length for r in f.rows) for f in forks)
    computed += sum(len(sequences[r]) for r in plain)
    return PrefixPlan(same, tuple(forks), plain, sum(map(len, sequences)), computed)


def _common(a: Ids, b: Ids) -> int:
    """How many tokens two sequences share at their start."""
    length = min(len(a), len(b))
    return next((i for i in range(length) if a[i] != b[i]), length)


def _best(
    order: Sequence[Ids], shared: Sequence[int], low: int, high: int, level: int, groups: list[tuple[int, int, int]]
) -> int:
    """Least cost of a range of sorted sequences; the groups that reach it are added."""
    plain = sum(len(order[i]) for i in range(low, high))
    if high - low < 2:
        return plain
    common = min(shared[low : high - 1])
    able = [i for i in range(low, high) if len(order[i]) > common]
    together = plain - common * len(able) + common + PASS_TOKENS
    here, marks = plain, len(groups)
    longest = max(len(order[i]) for i in range(low, high))
    if level < _DEEPEST and (high - low - 1) * longest > PASS_TOKENS:
        here, start = 0, low
        for end in range(low + 1, high + 1):
            # children part where neighbours share no more than all do
            if end == high or shared[end - 1] == common:
                here += _best(order, shared, start, end, level + 1, groups)
                start = end
    if together < min(here, plain):
        del groups[marks:]
        groups.append((low, high, common))
        return together
    if plain <= here:
        del groups[marks:]
    return min(here, plain)
