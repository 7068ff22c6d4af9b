"""Tables as they are in the wild, read as cells of text: every row has the cells of the header, or the line is refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from emotion_interp.core.errors import FileFormatError
from emotion_interp.core.reading import is_workbook, read_text, said
from emotion_interp.core.workbooks import sheet_rows

SEPARATORS = "\t;,|"
LONGEST_NAME = 200
"""Letters in the name of a column; where there are more, the header has swallowed rows."""


@dataclass(frozen=True)
class Table:
    """Cells of text in named columns.

    `columns` are the header's names, stripped (two may be alike: `find` refuses them where they are asked for);
    `separator` is "" for a workbook; `start` is the line of the header.
    """

    path: str
    columns: tuple[str, ...]
    separator: str
    body: Sequence[tuple[int, list[str]]]

    def __iter__(self) -> Iterator[tuple[int, dict[str, str]]]:
        """(line, column -> cell) of every row."""
        for line, cells in self.body:
            yield line, dict(zip(self.columns, cells, strict=True))

    def __len__(self) -> int:
        return len(self.body)

    def find(self, *names: str) -> str | None:
        """The column called so, by the first of the names that is there: as it is written, else whatever the case.

        Raises:
            FileFormatError: several columns are called so.
        """
        for name in names:
            same = [c for c in self.columns if c == name]
            alike = [c for c in self.columns if c.casefold() == name.casefold()]
            if len(alike) > 1:
                raise FileFormatError(
                    f"{self.path} has {len(alike)} columns for {name!r}: {', '.join(map(repr, alike))}. Keep one, or rename the "
                    "others."
                )
            if same or alike:
                return (same or alike)[0]
        return None

    def frame(self) -> pd.DataFrame:
        """The cells as a frame, empty ones as NaN; its index is the line in the file. Of columns called alike the first."""
        places = {name: k for k, name in reversed(list(enumerate(self.columns)))}
        data = {
            name: [cells[k] or None for _, cells in self.body] for name, k in sorted(places.items(), key=lambda i: i[1])
        }
        return pd.DataFrame(data, index=[line for line, _ in self.body], dtype=object)


def read_table(
    path: str | Path, hint: str = "", *, header: Sequence[str] | None = None, comment: str | None = None
) -> Table:
    """A table from a text file (separated by commas, semicolons, tabs or |, as the header shows) or a workbook (.xlsx).

    Quotes are those of CSV; where the columns are separated by tabs, or the quotes do not fit, they are letters of the
    text, except around a whole cell. Cells beyond the header are dropped where they are empty (a comma at the end of a
    line); rows without any text are skipped.

    Args:
        path: the file; UTF-8 or UTF-16, packed with gzip or not.
        hint: what would be right, for the error about a missing file.
        header: names of the columns of a file that has no header; () numbers them from "0".
        comment: lines that begin so are skipped.

    Raises:
        FileFormatError: no such file, no text, or a row with more or fewer cells than the header; names the line.

    Example:
        >>> read_table("words.csv").columns  # doctest: +SKIP
        ('word', 'valence')
    """
    if is_workbook(path):
        return _workbook_table(path, header)
    return parse_table(path, read_text(path, hint), header=header, comment=comment)


def parse_table(
    path: str | Path, text: str, *, header: Sequence[str] | None = None, comment: str | None = None
) -> Table:
    """The table of a text that was read from `path`; see `read_table`."""
    skipped = 0
    first, _, rest = text.partition("\n")
    separator = None
    if first.strip().lower().startswith("sep=") and len(first.strip()) <= 5:
        # Excel's own note of the separator
        separator, text, skipped = first.strip("\r\n")[4:5] or ",", rest, 1
    while comment is not None and text.lstrip("\r\n").startswith(comment):
        skipped += text[: text.index(comment)].count("\n") + 1
        text = text.lstrip("\r\n").partition("\n")[2]
    if not text.strip():
        raise FileFormatError(f"{path} is not a readable CSV file: it is empty.")
    separator = separator or separator_of(text)
    reasons = []
    for quoting, skip in _readings(separator, text):
        rows = _rows(text, separator, quoting, skip, skipped)
        try:
            return _table(path, list(rows), separator, header, quoting == csv.QUOTE_NONE)
        except csv.Error as error:
            reasons.append(str(error))
        except FileFormatError as error:
            reasons.append(str(error))
    shown = next((r for r in reasons if r.startswith(str(path))), None)
    raise FileFormatError(shown or f"{path} is not a readable CSV file: {reasons[0]}.")


def separator_of(text: str) -> str:
    """What separates the columns, by the first line that is not empty: the sign it has most of outside quotes."""
    line = next((text_line for text_line in text.splitlines() if text_line.strip()), "")
    bare = "".join(part for k, part in enumerate(line.split('"')) if k % 2 == 0)
    counts = {sign: bare.count(sign) for sign in SEPARATORS}
    if not any(counts.values()):
        return ","
    if counts["\t"]:
        return "\t"
    return max(counts, key=lambda sign: counts[sign])


def _readings(separator: str, text: str) -> list[tuple[int, bool]]:
    """(quoting, skip blanks behind a separator) to try in turn."""
    plain, quoted, spaced = (csv.QUOTE_NONE, False), (csv.QUOTE_MINIMAL, False), (csv.QUOTE_MINIMAL, True)
    if separator == "\t":
        return [plain, quoted]
    return [spaced, quoted, plain] if f'{separator} "' in text else [quoted, plain]


def _rows(text: str, separator: str, quoting: Any, skip: bool, before: int) -> Iterator[tuple[int, list[str]]]:
    """(line where it begins, cells) of each row that has any text."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, quoting=quoting, skipinitialspace=skip, strict=True
    )
    begins = before + 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield begins, cells
            begins = before + reader.line_num + 1
    except csv.Error as error:
        raise csv.Error(f"line {begins}: {error}") from error


def _unwrapped(cell: str) -> str:
    """A cell without the quotes around the whole of it."""
    inner = cell.strip()
    if len(inner) >= 2 and inner[0] == inner[-1] == '"' and '"' not in inner[1:-1].replace('""', ""):
        return inner[1:-1].replace('""', '"')
    return cell


def _table(
    path: str | Path, rows: list[tuple[int, list[str]]], separator: str, header: Sequence[str] | None, bare: bool
) -> Table:
    """The table of rows, each with the cells of the header; `bare`: quotes were read as letters."""
    if bare:
        rows = [(line, [_unwrapped(cell) for cell in cells]) for line, cells in rows]
        if separator != "\t":
            _refuse_open_quotes(path, rows)
    if not rows:
        raise FileFormatError(f"{path} is not a readable CSV file: no line of it has a text.")
    if header is None:
        _, names = rows[0]
        rows = rows[1:]
    else:
        names = list(header) or [str(k) for k in range(len(rows[0][1]))]
    names = [" ".join(name.split()) for name in names]
    if long := next((name for name in names if len(name) > LONGEST_NAME), ""):
        raise FileFormatError(f"{path}: a column is called {said(long, 60)!r}; a quote in the header is not closed.")
    while names and not names[-1]:
        names.pop()
    if not names:
        raise FileFormatError(f"{path} is not a readable CSV file: its first line names no column.")
    body = [(line, _fitted(path, line, cells, names)) for line, cells in rows]
    for k, name in enumerate(names):
        # the first may be a row's number, as pandas and R write it
        if k and not name and (wrong := next((line for line, cells in body if cells[k].strip()), 0)):
            raise FileFormatError(
                f"{path}, line {wrong}: cell {k + 1} is in a column without a name; name it or empty it."
            )
    return Table(str(path), tuple(names), separator, body)


def _fitted(path: str | Path, line: int, cells: list[str], names: list[str]) -> list[str]:
    width = len(names)
    spare = cells[width:]
    if any(cell.strip() for cell in spare):
        raise FileFormatError(
            f"{path}, line {line}: {len(cells)} cells where the header has {width} ({_shown(names)}): {_shown(cells)}. A "
            "text with a separator in it stands in quotes."
        )
    if len(cells) < width:
        missing = names[len(cells)] or "last cell"
        raise FileFormatError(
            f"{path}: line {line}: the {missing} is empty, as the row has {len(cells)} cell(s) where the header has {width} "
            f"({_shown(names)}): {_shown(cells)}."
        )
    return cells[:width]


def _shown(cells: Sequence[str]) -> str:
    return " | ".join(said(cell, 24) if cell.strip() else "" for cell in cells[:8]) + (
        " | ..." if len(cells) > 8 else ""
    )


def _refuse_open_quotes(path: str | Path, rows: list[tuple[int, list[str]]]) -> None:
    for line, cells in rows:
        for cell in cells:
            if cell.lstrip().startswith('"') and cell.count('"') % 2:
                raise FileFormatError(f"{path}, line {line}: a quote is opened and not closed: {cell.strip()[:40]!r}.")


def _workbook_table(path: str | Path, header: Sequence[str] | None) -> Table:
    """The one sheet of a workbook that holds cells."""
    sheets = {name: rows for name, rows in sheet_rows(path).items() if rows}
    if not sheets:
        raise FileFormatError(f"{path} is a workbook without any cell.")
    if len(sheets) > 1:
        raise FileFormatError(
            f"{path} is a workbook with {len(sheets)} sheets ({', '.join(sheets)}); save the one that is meant as CSV in UTF-8."
        )
    (rows,) = sheets.values()
    width = max(len(cells) for _, cells in rows)
    return _table(path, [(line, cells + [""] * (width - len(cells))) for line, cells in rows], "", header, False)
