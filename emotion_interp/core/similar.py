"""What a mistyped name may have meant: a near spelling, or the emotion that a word stands for; never a guess."""

from __future__ import annotations

from collections.abc import Callable, Iterable

_MEANINGS: list[Callable[[str], Iterable[str]]] = []
REAL_WORD = 3.3
"""Zipf frequency from which a text is an English word of its own and no slip of the keyboard."""


def register_meanings(source: Callable[[str], Iterable[str]]) -> None:
    """Add a source of the emotions that a word stands for (the concept sets know: happiness is a word of joy)."""
    if source not in _MEANINGS:
        _MEANINGS.append(source)


def similar(given: object, names: Iterable[object], emotions: bool = False) -> str | None:
    """The one name that was probably meant, or None.

    The same but for case and separators; for emotions, what the word means; then the only name that begins so, or at most
    one slip of the keyboard in every three letters. Close letters alone say nothing about meaning: happiness is no sadness,
    and content, a word of its own, no contempt.

    Example:
        >>> similar("jooy", ["joy", "fear"]), similar("Joy ", ["joy"]), similar("happiness", ["sadness"], emotions=True)
        ('joy', 'joy', None)
    """
    known = {_plain(name): str(name) for name in reversed([str(n) for n in names])}
    asked = _plain(given)
    if not asked or not known:
        return None
    if asked in known:
        return known[asked]
    if emotions:
        meant = [_plain(name) for source in _MEANINGS for name in source(asked)]
        if meant or _is_word(asked):
            return next((known[name] for name in meant if name in known), None)
    slips = sorted((_distance(asked, name), name) for name in known if abs(len(name) - len(asked)) <= 4)
    if slips and slips[0][0] <= _allowed(asked, slips[0][1]):
        return known[slips[0][1]]
    begins = [name for name in known if len(asked) >= 3 and name.startswith(asked)]
    return known[begins[0]] if len(begins) == 1 else None


def suggestion(given: object, names: Iterable[object], emotions: bool = False) -> str:
    """A sentence " Did you mean ...?", or nothing."""
    names_like = similar(given, names, emotions)
    return f" Did you mean {names_like!r}?" if names_like is not None else ""


def _plain(name: object) -> str:
    return str(name).strip().casefold().replace("-", "_").replace(" ", "_")


def _is_word(text: str) -> bool:
    from wordfreq import zipf_frequency

    return text.isalpha() and zipf_frequency(text, "en") >= REAL_WORD


def _allowed(asked: str, name: str) -> int:
    """Slips that names of this length may have: none for the shortest ("en", "zh") and for numbers (layer 9)."""
    shorter = min(len(asked), len(name))
    return 0 if shorter < 3 or name.isdigit() else max(1, shorter // 3)


def _distance(first: str, second: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours that lead from one to the other."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, a in enumerate(first):
        before, last, row = row, before, [i + 1]
        for j, b in enumerate(second):
            cost = min(before[j + 1] + 1, row[j] + 1, before[j] + (a != b))
            if i and j and a == second[j - 1] and b == first[i - 1]:
                cost = min(cost, last[j - 1] + 1)
            row.append(cost)
    return row[-1]
