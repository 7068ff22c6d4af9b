"""Cells of tables: picked by column, turned into numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from emotion_interp.core import FileFormatError
from emotion_interp.core.frames import rows_where
from emotion_interp.core.reading import read_text
from emotion_interp.core.tables import Table

_TEXT = ("word", "form", "group")
_MISSING = ("", "NA", "NaN", "nan")
_COMMA = re.compile(r"^[+-]?\d+,\d+$")
_NUMBER = re.compile(r"^[+-]?[\d.,]+$")
NUMBERS_AMONG_WORDS = 0.5
"""Share of words that may be numbers: where more are, the columns of the file are shifted."""


def lines(path: Path) -> list[str]:
    """The lines of a text file."""
    return [line.removesuffix("\r") for line in read_text(path).rstrip("\r\n").split("\n")]


def pick(table: Table, columns: Mapping[str, str], path: Path) -> pd.DataFrame:
    """The named columns under the house's names, words stripped; `FileFormatError` where one is missing or doubled."""
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise FileFormatError(
            f"{path} lacks the column(s) {', '.join(map(repr, missing))}. It has: {', '.join(table.columns)}."
        )
    twice = [c for c in columns if table.columns.count(c) > 1]
    if twice:
        raise FileFormatError(f"{path} has several columns called {', '.join(map(repr, twice))}; keep one of each.")
    picked = rows_where(table.frame(), list(columns)).copy()
    picked.columns = list(columns.values())
    picked["word"] = picked["word"].str.strip()
    wrong = [line for line, word in picked["word"].items() if not isinstance(word, str) or not word]
    if wrong:
        raise FileFormatError(f"{path}, line {wrong[0]}: a rating without a word; give every rating its word.")
    broken = [line for line, word in picked["word"].items() if "\n" in word or "\r" in word]
    if broken and "group" not in picked:
        raise FileFormatError(f"{path}, line {broken[0]}: a word goes over several lines: a quote is not closed.")
    if len(picked) > 3 and picked["word"].str.match(_NUMBER).mean() > NUMBERS_AMONG_WORDS:
        raise FileFormatError(
            f"{path}: the words are numbers ({', '.join(picked['word'].head(3))}): the columns are shifted, or the header "
            "names the wrong one."
        )
    return picked


def numeric(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Every column but word, form and group as numbers; `FileFormatError` that names the first cell that is none.

    Numbers with a decimal comma are read where all of a column are written so; NA and NaN are missing.
    """
    frame = frame.copy()
    for column in [c for c in frame.columns if c not in _TEXT]:
        cells = frame[column].where(frame[column].isna(), frame[column].astype(str).str.strip())
        cells = cells.where(~cells.isin(_MISSING))
        cells = _decimal_points(cells, frame, column, path)
        parsed = pd.to_numeric(cells, errors="coerce")
        numbers = parsed.astype("float64")
        wrong = (numbers.isna() | np.isinf(numbers)) & cells.notna()
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise FileFormatError(
                f"{path}, line {frame.index[row]}: {column} of {frame['word'].iloc[row]!r} is {frame[column].iloc[row]!r}; "
                "a number is needed."
            )
        frame[column] = numbers
    return frame.reset_index(drop=True)


def _refuse_thousands(there: pd.Series, column: str, path: Path) -> None:
    """A number of raters such as 1.234: thousands with a point, or a part of a rater."""
    pointed = there[there.str.match(r"^\d{1,3}\.\d{3}$")]
    if len(pointed) and (len(pointed) < len(there) or not pointed.str.endswith("000").all()):
        raise FileFormatError(
            f"{path}, line {pointed.index[0]}: {column} is {pointed.iloc[0]!r}, which may be thousands; write whole numbers "
            "without a point."
        )


def _decimal_points(cells: pd.Series, frame: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """The cells with points for decimal commas."""
    filled = cells.dropna()
    if column == "n" or column.endswith("_n"):
        _refuse_thousands(filled, column, path)
    commas = filled[filled.str.contains(",", regex=False)]
    if not len(commas):
        return cells
    others = filled[filled.str.contains(".", regex=False)]
    line = commas.index[0]
    if len(others) or not commas.map(lambda cell: bool(_COMMA.match(cell))).all():
        raise FileFormatError(
            f"{path}, line {line}: {column} of {frame['word'][line]!r} is {commas.iloc[0]!r}; a number is needed, with a "
            "decimal comma in all rows or in none."
        )
    counted = column == "n" or column.endswith("_n")
    if counted and (len(commas) < len(filled) or all(len(cell.split(",")[1]) == 3 for cell in commas)):
        raise FileFormatError(
            f"{path}, line {line}: {column} is {commas.iloc[0]!r}, which may be a decimal comma, thousands or two cells; write "
            "whole numbers without a comma."
        )
    return cells.str.replace(",", ".", regex=False)
