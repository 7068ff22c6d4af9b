"""Two tables of one name, compared column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

TOLERANCE = 1e-12
"""Of what counts as equal, absolute below 1 and relative above."""
LEAVES = {"path", "number", "text"}
"""Columns of what `store.leaves` made."""
EQUAL, CLOSE = "equal to the last bit", f"equal within {TOLERANCE:g}"


@dataclass(frozen=True)
class Verdict:
    """What became of a table; `same` unless a number or text changed."""

    same: bool
    text: str


def compare_tables(before: pd.DataFrame, after: pd.DataFrame) -> Verdict:
    """Say whether `after` holds every number of `before`; columns that are new are named and change nothing."""
    if set(before) == set(after) == LEAVES:
        return _by_path(before.set_index("path"), after.set_index("path"))
    gone = [c for c in before if c not in after]
    new = [c for c in after if c not in before]
    if gone:
        return Verdict(False, f"differs: without {_names('column', gone)}{_beside(new)}")
    if len(before) != len(after):
        return Verdict(False, f"differs: {len(after)} rows, there were {len(before)}{_beside(new)}")
    columns = {c: _difference(before[c], after[c]) for c in before}
    wrong = {c: found for c, found in columns.items() if found.wrong}
    if wrong:
        if _reordered(before, after):
            return Verdict(False, f"differs: the same {len(before)} rows in another order{_beside(new)}")
        shown = "; ".join(f"column {c}, {w.text}" for c, w in list(wrong.items())[:4])
        more = f"; and {len(wrong) - 4} more columns" if len(wrong) > 4 else ""
        return Verdict(False, f"differs: {shown}{more}")
    largest = max((found.largest for found in columns.values()), default=0.0)
    exact = all(found.exact for found in columns.values())
    kinds = [f"{c} {after[c].dtype}, was {before[c].dtype}" for c in before if after[c].dtype != before[c].dtype]
    notes = [f"new columns: {', '.join(new)}"] * bool(new) + [f"types: {', '.join(kinds)}"] * bool(kinds)
    size = f" ({len(before)} x {len(before.columns)})"
    what = EQUAL if exact else f"{CLOSE}: largest difference {largest:.1e}"
    return Verdict(True, what + size + "".join(f"; {note}" for note in notes))


def _by_path(before: pd.DataFrame, after: pd.DataFrame) -> Verdict:
    """Values of one object, told by where they stand in it."""
    gone, new = before.index.difference(after.index), after.index.difference(before.index)
    if len(gone):
        return Verdict(
            False, f"differs: {len(gone)} of {len(before)} values are gone, first {gone[0]}{_beside(list(new[:3]))}"
        )
    unlike = [c for c in before if _difference(before[c], after[c].reindex(before.index)).wrong]
    again = compare_tables(before.reset_index(drop=True), after.reindex(before.index).reset_index(drop=True))
    if unlike:
        at = _difference(before[unlike[0]], after[unlike[0]].reindex(before.index)).first
        return Verdict(False, f"{again.text}; first at {before.index[at]}")
    return Verdict(True, again.text + (f"; {len(new)} new values, first {new[0]}" if len(new) else ""))


@dataclass(frozen=True)
class _Found:
    wrong: int
    exact: bool
    largest: float = 0.0
    text: str = ""
    first: int = 0


def _difference(before: Any, after: Any) -> _Found:
    numbers = [isinstance(c.dtype, np.dtype) and c.dtype.kind in "biuf" for c in (before, after)]
    if numbers[0] != numbers[1]:
        # an empty or wholly missing column has whatever type its maker gave it
        if before.isna().all() and after.isna().all():
            return _Found(0, True)
        kinds = ["numbers" if number else "texts" for number in numbers]
        return _Found(len(before), False, np.inf, f"{kinds[1]} where {kinds[0]} were")
    if not numbers[0]:
        unlike = ~((before == after).fillna(False) | (before.isna() & after.isna())).to_numpy(dtype=bool)
        if not unlike.any():
            return _Found(0, True)
        at = int(unlike.argmax())
        text = f"{unlike.sum()} of {len(unlike)} rows, first in row {at}: {_short(after, at)}, was {_short(before, at)}"
        return _Found(int(unlike.sum()), False, 0.0, text, at)
    old, new = before.to_numpy(), after.to_numpy()
    if old.dtype.kind in "biu" and new.dtype.kind in "biu":
        unlike, apart = old != new, np.abs(old.astype(np.float64) - new.astype(np.float64))
        exact = not unlike.any()
    else:
        old, new = old.astype(np.float64), new.astype(np.float64)
        same = (old == new) & (np.signbit(old) == np.signbit(new)) | (np.isnan(old) & np.isnan(new))
        with np.errstate(invalid="ignore"):
            apart = np.abs(old - new)
        apart = np.where(same | (old == new), 0.0, np.where(np.isfinite(apart), apart, np.inf))
        unlike = apart > TOLERANCE * np.maximum(1.0, np.where(np.isfinite(old), np.abs(old), 1.0))
        exact = bool(same.all())
    largest = float(apart.max()) if len(apart) else 0.0
    text = f"{unlike.sum()} of {len(unlike)} rows, largest difference {largest:.3g}"
    return _Found(int(unlike.sum()), exact, largest, text, int(unlike.argmax()) if unlike.any() else 0)


def _reordered(before: pd.DataFrame, after: pd.DataFrame) -> bool:
    """The same rows, but not in the same places."""
    columns = list(before)
    keys = [sorted(map(repr, frame[columns].itertuples(index=False, name=None))) for frame in (before, after)]
    return keys[0] == keys[1]


def _short(column: Any, at: int) -> str:
    text = repr(column.iloc[at])
    return text if len(text) <= 60 else text[:57] + "..."


def _names(kind: str, names: list[str]) -> str:
    return f"{kind}{'s' * (len(names) > 1)} {', '.join(names)}"


def _beside(new: list[str]) -> str:
    return f"; with {_names('new column', new)}" if new else ""
