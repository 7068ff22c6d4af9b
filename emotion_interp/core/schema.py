"""What a table on disk must be: kinds of columns, ranges, missing values, unique rows; checked once where it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from emotion_interp.core.errors import FileFormatError

_ROUNDING = 1e-6
"""Means of shares in float32 end a little beyond 1."""
_WANTED = {
    "text": "text",
    "whole": "a whole number",
    "number": "a number",
    "truth": "true or false",
    "list": "a list",
    "numbers": "a list of finite numbers",
}


@dataclass(frozen=True)
class Column:
    """One column. kind: "text", "whole", "number", "truth", "list" or "numbers" (a list of them); low and high: the range, ends included; missing:
    whether values may be missing; needed: whether the column must be there; values: the only ones allowed."""

    kind: str
    low: float | None = None
    high: float | None = None
    missing: bool = False
    needed: bool = True
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """The columns of a table that are known (it may have others), and those that name a row."""

    columns: Mapping[str, Column]
    keys: tuple[str, ...] = ()


def share(missing: bool = False, needed: bool = True) -> Column:
    """A p, q, AUROC, rate or coverage: from 0 to 1."""
    return Column("number", 0.0, 1.0, missing, needed)


def number(low: float | None = None, missing: bool = False, needed: bool = True) -> Column:
    """A finite number."""
    return Column("number", low, None, missing, needed)


def whole(low: int = 0, needed: bool = True, missing: bool = False) -> Column:
    """A count or an index."""
    return Column("whole", low, None, missing, needed)


def text(*values: str, needed: bool = True, missing: bool = False) -> Column:
    """Text, or one of some values."""
    return Column("text", missing=missing, needed=needed, values=values)


def truth(needed: bool = True, missing: bool = False) -> Column:
    """True or false."""
    return Column("truth", needed=needed, missing=missing)


def check_table(name: str, frame: pd.DataFrame, table: Table) -> None:
    """Refuse a table that is not what was declared, naming column, row and value.

    Raises:
        FileFormatError: columns missing or twice, another type, a missing, infinite or impossible value, two rows of one key.
    """
    twice = frame.columns[frame.columns.duplicated()].tolist()
    if twice:
        raise FileFormatError(f"{name} has the column {twice[0]!r} twice.")
    missing = [c for c, column in table.columns.items() if column.needed and c not in frame.columns]
    if missing:
        raise FileFormatError(f"{name} lacks the columns {missing}.")
    for column, rule in table.columns.items():
        if column in frame.columns:
            _check_column(name, column, frame[column], rule)
    keys = [k for k in table.keys if k in frame.columns]
    again = frame.duplicated(keys).to_numpy() if keys else np.zeros(0, dtype=bool)
    if again.any():
        row = frame.iloc[int(again.argmax())]
        raise FileFormatError(
            f"{name} has several rows of one {', '.join(keys)}: {', '.join(str(row[k])[:60] for k in keys)}; each is there once."
        )


def _check_column(name: str, column: str, values: pd.Series, rule: Column) -> None:
    gone = values.isna().to_numpy(dtype=bool)
    kinds: dict[str, Callable[[pd.Series], bool]] = {
        "whole": pd.api.types.is_integer_dtype,
        "number": pd.api.types.is_numeric_dtype,
        "truth": pd.api.types.is_bool_dtype,
    }
    if rule.kind in kinds:
        boolean = rule.kind != "truth" and pd.api.types.is_bool_dtype(values)
        optional = rule.missing and gone.all()
        if (boolean or not kinds[rule.kind](values)) and not optional:
            _refuse(name, column, values, ~gone, rule)
    else:
        fits = {"text": _is_text, "list": _is_list, "numbers": _are_numbers}[rule.kind]
        wrong = np.fromiter((not fits(v) for v in values.array), dtype=bool, count=len(values)) & ~gone
        if wrong.any():
            _refuse(name, column, values, wrong, rule)
    if gone.any() and not rule.missing:
        _refuse(name, column, values, gone, rule)
    if rule.values:
        wrong = ~values.isin(rule.values).to_numpy() & ~gone
        if wrong.any():
            _refuse(name, column, values, wrong, rule)
    if rule.kind in ("whole", "number") and not gone.all():
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = np.isinf(numbers)
        if rule.low is not None:
            wrong |= numbers < rule.low - _ROUNDING
        if rule.high is not None:
            wrong |= numbers > rule.high + _ROUNDING
        if wrong.any():
            _refuse(name, column, values, wrong, rule)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple, np.ndarray))


def _are_numbers(value: object) -> bool:
    if not _is_list(value):
        return False
    try:
        array = np.asarray(value)
    except ValueError:
        return False
    return not array.size or (array.ndim == 1 and array.dtype.kind in "iuf" and bool(np.isfinite(array).all()))


def _refuse(name: str, column: str, values: pd.Series, wrong: Sequence[bool] | np.ndarray, rule: Column) -> None:
    places = np.flatnonzero(np.asarray(wrong))
    row = int(places[0]) if len(places) else 0
    given = values.iloc[row] if len(values) else values.dtype
    wanted = _WANTED[rule.kind]
    if rule.values:
        wanted = f"one of {', '.join(rule.values)}"
    elif rule.low is not None or rule.high is not None:
        wanted += f" from {rule.low:g}" if rule.low is not None else ""
        wanted += f" to {rule.high:g}" if rule.high is not None else ""
    shown = repr(given if not isinstance(given, np.generic) else given.item())
    raise FileFormatError(f"{name}, column {column!r}, row {row + 1}: {wanted} is needed, got {shown[:80]}.")
