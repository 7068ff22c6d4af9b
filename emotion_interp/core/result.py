"""The one shape of a result: its rows, the settings that made it, and the ways to look at it, draw it and keep it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.markup import summary_html

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

R = TypeVar("R", bound="Result")
K = TypeVar("K", bound="KeepsTables")
SHOWN = 12
"""Most columns of a table that a notebook shows by itself."""
_MOST_ITEMS = 20


class KeepsTables(Protocol):
    """What a bank does with the rows of a result."""

    def with_table(self, name: str, frame: pd.DataFrame) -> Self: ...


class Result:
    """Base of what an analysis gives back: a frozen dataclass with its rows in a field, or in a `to_frame` of its own.

    Rooms below the pictures cannot draw: a result that has a picture makes it in its own `plot`. One that a bank keeps
    names the table in `TABLE`.
    """

    COLUMNS: ClassVar[Sequence[str]] = ()
    """The columns that a notebook shows; those that are not there are left out. None named: the first twelve."""
    SERIES: ClassVar[Sequence[str]] = ("language",)
    """What `by_layer` keeps apart beside layer and site."""
    TABLE: ClassVar[str] = ""
    """The bank's table that keeps it."""
    ROWS: ClassVar[str] = "frame"
    """The field that holds the rows: a table, or one frozen dataclass a row."""
    settings: Mapping[str, Any] = MappingProxyType({})
    """The function that made it and all its arguments, defaults among them; large objects by their kind alone."""

    def to_frame(self) -> pd.DataFrame:
        """All rows and columns, as a copy."""
        import pandas as pd

        rows = getattr(self, self.ROWS)
        return rows.copy() if isinstance(rows, pd.DataFrame) else pd.DataFrame([vars(row) for row in rows])

    def view(self, columns: str | Iterable[str] | None = None) -> pd.DataFrame:
        """The rows with the columns that a notebook shows, at most twelve.

        Args:
            columns: other columns, or "all".

        Raises:
            UnknownNameError: no such column.
        """
        return chosen_columns(self.to_frame(), columns, self.COLUMNS)

    def by_layer(self) -> pd.DataFrame:
        """One row per layer, site and `SERIES`: the median of the numbers in view.

        Raises:
            EmotionInterpError: it has no layers.
        """
        frame = self.to_frame()
        if "layer" not in frame or bool(frame["layer"].isna().to_numpy().all()):
            raise EmotionInterpError(f"a {type(self).__name__} has no layers; to_frame() has its rows.")
        keys = [c for c in ("layer", "site", *self.SERIES) if c in frame]
        numbers = self.view().drop(columns=keys, errors="ignore").select_dtypes("number").columns
        return frame.groupby(keys, dropna=False)[list(numbers)].median().reset_index()

    def plot(self) -> go.Figure:
        """A picture of it.

        Raises:
            EmotionInterpError: it has none.
        """
        raise EmotionInterpError(f"a {type(self).__name__} has no picture; view() and to_frame() have its rows.")

    def add_to(self, bank: K) -> K:
        """A bank that keeps it, the same as `bank.add(result)`; the one given stays as it is.

        Raises:
            EmotionInterpError: a bank has no place for it.
        """
        if not self.TABLE:
            raise EmotionInterpError(
                f"a bank keeps no {type(self).__name__}; keep its rows yourself, as in to_frame().to_csv(path)."
            )
        return bank.with_table(self.TABLE, self.to_frame())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.to_frame())} rows)"

    def _repr_html_(self) -> str:
        return summary_html(self, self.view(), digits=3)


def chosen_columns(frame: pd.DataFrame, columns: str | Iterable[str] | None, short: Sequence[str] = ()) -> pd.DataFrame:
    """A table with the columns that were asked for: by name, "all", or None for the short ones (the first twelve).

    Raises:
        UnknownNameError: no such column.
    """
    if columns is None:
        return frame[[c for c in short if c in frame][:SHOWN] or list(frame.columns[:SHOWN])]
    names = [columns] if isinstance(columns, str) else list(columns)
    if names == ["all"]:
        return frame
    for name in names:
        if name not in frame:
            raise UnknownNameError("column", name, ["all", *map(str, frame.columns)])
    return frame[names]


def made_by(result: R, function: str, arguments: Mapping[str, object]) -> R:
    """The same result, knowing the call that made it."""
    if "settings" in vars(type(result)).get("__dataclass_fields__", ()):
        # one that keeps settings of its own, as its file has them
        return result
    made = copy.copy(result)
    object.__setattr__(made, "settings", {"function": function} | {k: _plain(v) for k, v in arguments.items()})
    return made


def _plain(value: object) -> object:
    """A value that reads well and weighs little: numbers, texts and short lists as they are, others by their kind."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (list, tuple, Mapping)) and len(value) <= _MOST_ITEMS:
        return {k: _plain(v) for k, v in value.items()} if isinstance(value, Mapping) else [_plain(v) for v in value]
    if hasattr(value, "shape") or hasattr(value, "__len__") or callable(value):
        return type(value).__name__
    text = repr(value)
    return type(value).__name__ if text.startswith("<") or len(text) > 120 else text
