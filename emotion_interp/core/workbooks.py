"""Reading the cells of an Excel workbook with the standard library alone."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

from emotion_interp.core.errors import FileFormatError
from emotion_interp.core.reading import check_zip, said

LARGEST_WORKBOOK = 256 << 20
"""Bytes that a workbook may unpack to; the tree of its cells takes about ten times as much."""

LAST_COLUMN = 16_384
"""Columns that a sheet of Excel can have."""

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def read_xlsx(path: str | Path) -> dict[str, list[dict[str, str]]]:
    """Cells of every sheet: sheet name -> rows, each a dict from the header of the first row to the cell's text.

    Empty cells are left out; cells under no header are ignored. Numbers come as the text that the file holds.

    Raises:
        FileFormatError: the file is missing, no workbook, or unpacks to an unbearable size.

    Example:
        >>> read_xlsx("norms.xlsx")["Sheet1"][0]  # doctest: +SKIP
        {'Word': 'joy', 'Val_mean': '8.2'}
    """
    result = {}
    for name, rows in sheet_rows(path).items():
        header = rows[0][1] if rows else []
        twice = sorted({h for h in header if h and header.count(h) > 1})
        if twice:
            raise FileFormatError(
                f"{path}: the sheet {name!r} has several columns called {', '.join(map(repr, twice))}."
            )
        result[name] = [
            {header[k]: text for k, text in enumerate(cells) if text and k < len(header) and header[k]}
            for _, cells in rows[1:]
        ]
    return result


def sheet_rows(path: str | Path) -> dict[str, list[tuple[int, list[str]]]]:
    """Sheet name -> (row number, cells from column A on) of each row with a cell; empty cells are ""."""
    check_zip(path, LARGEST_WORKBOOK)
    try:
        with zipfile.ZipFile(path) as archive:
            strings = _shared_strings(archive)
            return {name: _rows(archive.read(member), strings) for name, member in _sheets(archive)}
    except (
        OSError,
        EOFError,
        KeyError,
        IndexError,
        ValueError,
        RecursionError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
        ElementTree.ParseError,
    ) as error:
        raise FileFormatError(f"{path} is not a readable Excel workbook (.xlsx): {said(error)}.") from error


def _text(element: ElementTree.Element) -> str:
    # runs of formatted text are pieces of one string; phonetic guides (rPh) are not part of it
    guides = {id(t) for guide in element.iter(f"{_MAIN}rPh") for t in guide.iter(f"{_MAIN}t")}
    return "".join(t.text or "" for t in element.iter(f"{_MAIN}t") if id(t) not in guides)


def _shared_strings(archive: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    root = ElementTree.fromstring(archive.read("xl/sharedStrings.xml"))
    return [_text(item) for item in root.iter(f"{_MAIN}si")]


def _sheets(archive: zipfile.ZipFile) -> list[tuple[str, str]]:
    relations = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    targets = {r.attrib["Id"]: r.attrib["Target"] for r in relations}
    book = ElementTree.fromstring(archive.read("xl/workbook.xml"))
    sheets = []
    for sheet in book.iter(f"{_MAIN}sheet"):
        target = targets[sheet.attrib[_RELATION]]
        sheets.append((sheet.attrib["name"], target.lstrip("/") if target.startswith("/") else f"xl/{target}"))
    return sheets


def _column(reference: str) -> int:
    """'C7' -> 2."""
    number = 0
    letters = re.match(r"[A-Z]+", reference)
    for letter in letters[0] if letters else "":
        number = number * 26 + ord(letter) - 64
    if number > LAST_COLUMN:
        raise ValueError(f"the cell {reference} lies beyond column {LAST_COLUMN}")
    return number - 1


def _rows(xml: bytes, strings: list[str]) -> list[tuple[int, list[str]]]:
    rows: list[tuple[int, list[str]]] = []
    number = 0
    for row in ElementTree.fromstring(xml).iter(f"{_MAIN}row"):
        number = int(row.attrib.get("r", number + 1))
        cells: list[str] = []
        for cell in row:
            kind, value = cell.attrib.get("t"), cell.find(f"{_MAIN}v")
            if kind == "inlineStr":
                text = _text(cell)
            elif value is None or value.text is None:
                continue
            elif kind == "s":
                text = strings[int(value.text)]
            else:
                # Excel makes the word "true" a truth value
                text = {"1": "TRUE", "0": "FALSE"}.get(value.text, value.text) if kind == "b" else value.text
            place = _column(cell.attrib.get("r", ""))
            place = len(cells) if place < 0 else place
            cells += [""] * (place + 1 - len(cells))
            cells[place] = text
        if any(text.strip() for text in cells):
            rows.append((number, cells))
    return rows
