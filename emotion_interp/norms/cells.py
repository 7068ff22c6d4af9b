"""Cells of text files: read as text, picked by column, turned into numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp.core import FileFormatError

if TYPE_CHECKING:
    import pandas as pd


def read_csv(
    path: str | Path, *, comment: str | None = None, separator: str = ",", header: int | None = 0, quoted: bool = True
) -> pd.DataFrame:
    """A CSV file as text columns; words such as "null" and "NA" stay words."""
    import csv

    import pandas as pd

    try:
        return pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            encoding="utf-8-sig",
            comment=comment,
            sep=separator,
            header=header,
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        )
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not UTF-8 text ({error}). Save it again as UTF-8.") from error
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path} is not a readable CSV file: {error}.") from error


def lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file."""
    try:
        return path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not UTF-8 text ({error}).") from error
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}.") from error


def pick(frame: pd.DataFrame, columns: dict[str, str], path: Path) -> pd.DataFrame:
    """The named columns under the house's names, words stripped; `FileFormatError` where one is missing."""
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise FileFormatError(
            f"{path} lacks the column(s) {', '.join(map(repr, missing))}. It has: {', '.join(map(str, frame.columns))}."
        )
    picked: Any = frame[list(columns)].copy()
    picked.columns = list(columns.values())
    picked["word"] = picked["word"].str.strip()
    return picked


def numeric(frame: Any, path: Path) -> pd.DataFrame:
    """Every column but word, form and group as numbers; `FileFormatError` that names the first cell that is none."""
    import pandas as pd

    for column in frame.columns.difference(["word", "form", "group"]):
        numbers: Any = pd.to_numeric(frame[column], errors="coerce")
        wrong = numbers.isna() & frame[column].notna()
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise FileFormatError(
                f"{path}: {column} of {frame['word'].iloc[row]!r} is {frame[column].iloc[row]!r}; a number is needed."
            )
        frame[column] = numbers.astype("float64")
    return frame
