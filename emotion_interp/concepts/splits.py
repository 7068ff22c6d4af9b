"""Groups of words that must stay together, and the stratified split into a discovery and a confirmation half."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from emotion_interp.concepts.model import NEUTRAL, LanguageConcepts, same_word
from emotion_interp.core import EmotionInterpError
from emotion_interp.core.seeds import generator

DISCOVERY = "discovery"
CONFIRMATION = "confirmation"

Cell = tuple[str, str]
"""(emotion, language): a split shares out the words of every cell."""


def word_groups(parts: Iterable[LanguageConcepts]) -> dict[str, str]:
    """Map each alignment id to its group: union-find over ids across languages and lemmas within one.

    A group is called after the first of its ids in alphabetical order. Ids are nodes and a lemma links its ids, so the
    same id in two languages is one node.
    """
    root: dict[str, str] = {}

    def find(node: str) -> str:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    first_with_lemma: dict[tuple[str, str], str] = {}
    for part in parts:
        for _, word in part.words_by_emotion():
            root.setdefault(word.id, word.id)
            # the word itself counts too: a shared word stays on one side even if its ids differ
            for form in {same_word(word.lemma), same_word(word.word)}:
                other = first_with_lemma.setdefault((part.language, form), word.id)
                low, high = sorted((find(word.id), find(other)))
                root[high] = low
    return {node: find(node) for node in list(root)}


def same_text(text: str) -> str:
    """The form under which two texts count as copies: without case, spacing, punctuation and widths of letters."""
    letters = "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if not _is_punctuation(c))
    return letters or "".join(text.split())


def _is_punctuation(letter: str) -> bool:
    category = unicodedata.category(letter)
    return category[0] in "PZC" or category in ("Sk", "Sm")


def copies_together(texts: Sequence[str], groups: Sequence[str]) -> list[str]:
    """The groups of texts, where those that share a copy of a text have become one, called after the first of them.

    Example:
        >>> copies_together(["So glad!", "Well.", "so  glad"], ["a", "b", "c"])
        ['a', 'b', 'a']
    """
    root = {group: group for group in groups}

    def find(group: str) -> str:
        while root[group] != group:
            root[group] = root[root[group]]
            group = root[group]
        return group

    place = {group: k for k, group in reversed(list(enumerate(groups)))}
    first: dict[str, str] = {}
    for text, group in zip(texts, groups, strict=True):
        first_root, other = find(first.setdefault(same_text(text), group)), find(group)
        early, late = sorted((first_root, other), key=lambda g: place[g])
        root[late] = early
    return [find(group) for group in groups]


def _assign(
    cells: dict[str, Counter[Cell]], emotions: list[str], seed: int, share: float, attempt: int
) -> tuple[dict[str, str], Counter[Cell]]:
    """Give each group, largest first and shuffled among equals, to the side that keeps its cells closest to `share`."""
    side: dict[str, str] = {}
    counted: Counter[Cell] = Counter()
    placed: Counter[Cell] = Counter()
    for emotion in emotions:
        # one stream per emotion: leaving out another emotion does not move this one's words
        rng = generator(seed, "concept split", emotion, attempt)
        groups_left = sorted(g for g, counts in cells.items() if g not in side and any(e == emotion for e, _ in counts))
        order = [groups_left[i] for i in rng.permutation(len(groups_left))]
        for group in sorted(order, key=lambda g: -sum(cells[g].values())):
            counts = cells[group]
            target = {cell: share * (placed[cell] + n) for cell, n in counts.items()}
            with_it = sum((counted[cell] + n - target[cell]) ** 2 for cell, n in counts.items())
            without = sum((counted[cell] - target[cell]) ** 2 for cell in counts)
            coin = rng.random() < share
            discovery = coin if np.isclose(with_it, without) else with_it < without
            side[group] = DISCOVERY if discovery else CONFIRMATION
            placed.update(counts)
            if discovery:
                counted.update(counts)
    return side, counted


def split_groups(parts: Iterable[LanguageConcepts], seed: int, share: float) -> dict[str, str]:
    """Map each group to "discovery" or "confirmation", stratified by emotion and language.

    Raises:
        EmotionInterpError: `share` is not between 0 and 1, or a concept cannot have words on both sides.
    """
    parts = tuple(parts)
    if not 0 < share < 1:
        raise EmotionInterpError(f"share is the part of the words used for discovery, between 0 and 1; got {share!r}.")
    groups = word_groups(parts)
    cells: defaultdict[str, Counter[Cell]] = defaultdict(Counter)
    total: Counter[Cell] = Counter()
    for part in parts:
        for emotion, word in part.words_by_emotion():
            cells[groups[word.id]][emotion, part.language] += 1
            total[emotion, part.language] += 1
    emotions = [*sorted({e for e, _ in total if e != NEUTRAL}), NEUTRAL]
    one_sided: list[Cell] = []
    # greedy choices can leave a very small concept on one side by bad luck, which another shuffle mends
    for attempt in range(20):
        side, placed = _assign(cells, emotions, seed, share, attempt)
        one_sided = [cell for cell, n in total.items() if not 0 < placed[cell] < n]
        if not one_sided:
            return side
    names = ", ".join(f"{emotion} ({language})" for emotion, language in one_sided[:5])
    raise EmotionInterpError(
        f"with share={share} these concepts have no word on one side of the split: {names}. "
        "Give them more words of different lemmas, or a share nearer to one half."
    )
