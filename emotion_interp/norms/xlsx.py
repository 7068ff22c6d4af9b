"""Reading the cells of an Excel workbook with the standard library alone."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

from emotion_interp.core import FileFormatError

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def read_xlsx(path: str | Path) -> dict[str, list[dict[str, str]]]:
    """Cells of every sheet: sheet name -> rows, each a dict from the header of the first row to the cell's text.

    Empty cells are left out; cells under no header are ignored. Numbers come as the text that the file holds.

    Raises:
        FileFormatError: the file is missing or no workbook.

    Example:
        >>> read_xlsx("norms.xlsx")["Sheet1"][0]  # doctest: +SKIP
        {'Word': 'joy', 'Val_mean': '8.2'}
    """
    try:
        with zipfile.ZipFile(path) as archive:
            strings = _shared_strings(archive)
            return {name: _rows(archive.read(member), strings) for name, member in _sheets(archive)}
    except (OSError, KeyError, IndexError, ValueError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise FileFormatError(f"{path} is not a readable Excel workbook (.xlsx): {error}.") from error


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
    found = []
    for sheet in book.iter(f"{_MAIN}sheet"):
        target = targets[sheet.attrib[_RELATION]]
        found.append((sheet.attrib["name"], target.lstrip("/") if target.startswith("/") else f"xl/{target}"))
    return found


def _rows(xml: bytes, strings: list[str]) -> list[dict[str, str]]:
    header: dict[str, str] = {}
    rows: list[dict[str, str]] = []
    for row in ElementTree.fromstring(xml).iter(f"{_MAIN}row"):
        cells = {}
        for cell in row:
            column = re.sub(r"\d+$", "", cell.attrib.get("r", ""))
            value = cell.find(f"{_MAIN}v")
            if cell.attrib.get("t") == "inlineStr":
                cells[column] = _text(cell)
            elif value is not None and value.text is not None:
                cells[column] = strings[int(value.text)] if cell.attrib.get("t") == "s" else value.text
        if not header:
            header = cells
        elif cells:
            rows.append({header[c]: text for c, text in cells.items() if c in header})
    return rows
