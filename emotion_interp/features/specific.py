"""Does what was chosen for an emotion answer to that emotion alone? A permutation test on held-out units.

What is exchanged: between an emotion and one other, their labels, by whole groups. A group (a word with its relatives, a
topic, an author; a text without one is its own) that has units of both swaps the two; groups with units of one of them
exchange their label with each other. So units of one group count as one observation, and what groups have in common (a topic
on which a feature fires whatever the emotion) is the same under every labelling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import rankdata

from emotion_interp.core.seeds import generator

PERMUTATIONS = 4999
_CELLS = 1_000_000
"""Labels drawn at a time."""


def specificity_test(
    values: np.ndarray,
    targets: Sequence[int] | np.ndarray,
    codes: np.ndarray,
    groups: Sequence[object] | np.ndarray,
    emotions: Sequence[str],
    siblings: dict[str, set[int]],
    *,
    n_permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, list[str | None]]:
    """Smallest pairwise AUROC over emotions that are no siblings, its permutation p, and the emotion it is against.

    One-sided, for "the score is higher under the emotion than under each other one": the p of each pair comes from labels
    exchanged within the pair (see the module), and the largest of them counts (intersection-union). A feature of a mood,
    which several emotions share, passes at most at the level of the test, since for one pair at least nothing is there.

    Args:
        values: scores of held-out units [unit, column].
        targets: the emotion of each column, an index into `emotions`.
        codes: class of each unit; classes beyond the emotions (neutral) are not tested against.
        groups: group of each unit.
        emotions: names, which also name the streams of random labels.
        siblings: per emotion the indices that are not tested against.
        n_permutations: labellings of each pair.
        seed: of the labellings.

    Returns:
        specificity [column], p [column], rival [column]; NaN and None where there is nothing to test against.
    """
    values, targets, codes = np.asarray(values, dtype=np.float64), np.asarray(targets), np.asarray(codes)
    names = np.asarray([str(group) for group in groups])
    smallest, p = np.full(len(targets), np.nan), np.full(len(targets), np.nan)
    rival: list[str | None] = [None] * len(targets)
    for a in range(len(emotions)):
        for b in range(a + 1, len(emotions)):
            tested = np.flatnonzero(
                ((targets == a) & (b not in siblings[emotions[a]]))
                | ((targets == b) & (a not in siblings[emotions[b]]))
            )
            rows = np.flatnonzero((codes == a) | (codes == b))
            of_class = codes[rows] == a
            if not len(tested) or of_class.all() or not of_class.any():
                continue
            rng = generator(seed, "specificity", *sorted((emotions[a], emotions[b])))
            auroc, high, low = _exchanged(values[np.ix_(rows, tested)], of_class, names[rows], n_permutations, rng)
            for place, column in enumerate(tested):
                first = targets[column] == a
                score, more = (auroc[place], high[place]) if first else (1 - auroc[place], low[place])
                if not score >= smallest[column]:
                    smallest[column], rival[column] = score, emotions[b if first else a]
                p[column] = np.fmax(p[column], (more + 1) / (n_permutations + 1))
    return smallest, p, rival


def _exchanged(
    values: np.ndarray, own: np.ndarray, groups: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AUROC of the own units against the others, and how many labellings give at least, and at most, as much: [column]."""
    # a cell: the units of one group with one label; they keep together
    cells, cell = np.unique(np.stack([np.unique(groups, return_inverse=True)[1], own]), axis=1, return_inverse=True)
    cell = cell.ravel()
    size = np.bincount(cell)
    ranks = np.zeros((cells.shape[1], values.shape[1]))
    np.add.at(ranks, cell, rankdata(values, axis=0))

    def auroc(labels: np.ndarray) -> np.ndarray:
        count = labels @ size
        return (labels @ ranks - (count * (count + 1) / 2)[:, None]) / (count * (len(own) - count))[:, None]

    observed = auroc(cells[1][None].astype(np.float64))[0]
    high, low = np.zeros(values.shape[1], dtype=np.int64), np.zeros(values.shape[1], dtype=np.int64)
    for labels in _labellings(cells, n, rng):
        drawn = auroc(labels)
        # sums of halves are exact, the division is not
        high += (drawn >= observed - 1e-12).sum(0)
        low += (drawn <= observed + 1e-12).sum(0)
    return observed, high, low


def _labellings(cells: np.ndarray, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Random labellings of cells (rows: group, label): [labelling, cell] of 0 and 1, some at a time."""
    group, label = cells
    # sorted by group and label: a group of both labels lies side by side
    both = np.flatnonzero(group[1:] == group[:-1])
    alone = np.setdiff1d(np.arange(len(group)), [*both, *both + 1])
    k = int(label[alone].sum())
    step = max(1, _CELLS // len(group))
    for start in range(0, n, step):
        rows = min(step, n - start)
        swapped = rng.random((rows, len(both))) < 0.5
        drawn = rng.random((rows, len(alone)), dtype=np.float32) if 0 < k < len(alone) else None
        # the draws of a step are together, so that a seed's labellings stay what they are; the rest takes eight times as much
        for first in range(0, rows, max(1, step // 8)):
            part = slice(first, min(rows, first + max(1, step // 8)))
            labels = np.zeros((part.stop - first, len(group)))
            labels[:, both], labels[:, both + 1] = swapped[part], ~swapped[part]
            if drawn is None:
                labels[:, alone] = label[alone]
            else:
                chosen = np.argpartition(drawn[part], k - 1, axis=1)[:, :k]
                np.put_along_axis(labels, alone[chosen], 1.0, axis=1)
            yield labels
