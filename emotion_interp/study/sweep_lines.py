"""On which line of a TOML file a key stands: `tomllib` reads values alone, and an error has to name its place."""

from __future__ import annotations

import re
from collections.abc import Sequence

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_TABLE = re.compile(rf"^\s*(\[\[?)\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*\]\]?\s*(?:#.*)?$")
_ENTRY = re.compile(rf"^\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")
_PART = re.compile(_KEY)

Place = tuple[str | int, ...]
"""Keys and list indices that lead to a value."""


def key_lines(text: str) -> dict[Place, int]:
    """The line, counted from 1, of every table and key of a TOML text that `tomllib` can read.

    Keys inside inline tables are not listed; `line_of` gives the line of what holds them.

    Example:
        >>> key_lines('a = 1\\n[[subjects]]\\nmodel = "x"')
        {('a',): 1, ('subjects', 0): 2, ('subjects', 0, 'model'): 3}
    """
    found: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    depth, quote = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if not depth and not quote:
            match = _TABLE.match(line)
            if match:
                table = _names(match[2], counts)
                if match[1] == "[[":
                    counts[table] = counts.get(table, -1) + 1
                    table = (*table, counts[table])
                found.setdefault(table, number)
                continue
            entry = _ENTRY.match(line)
            if entry:
                found.setdefault((*table, *(_bare(part) for part in _PART.findall(entry[1]))), number)
        depth, quote = _after(line, depth, quote)
    return found


def line_of(lines: dict[Place, int], place: Sequence[str | int]) -> int:
    """The line of a value, or of the nearest table or key that holds it; 1 where nothing does."""
    for end in range(len(place), 0, -1):
        if tuple(place[:end]) in lines:
            return lines[tuple(place[:end])]
    return 1


def _names(text: str, counts: dict[Place, int]) -> Place:
    """The path of a table's header; below an array of tables it is that of the last one."""
    path: Place = ()
    parts = [_bare(part) for part in _PART.findall(text)]
    for number, part in enumerate(parts):
        path = (*path, part)
        if number < len(parts) - 1 and path in counts:
            path = (*path, counts[path])
    return path


def _bare(key: str) -> str:
    return key[1:-1] if key[:1] in "\"'" else key


def _after(line: str, depth: int, quote: str) -> tuple[int, str]:
    """How many brackets, and which quote of several lines, are open at the end of a line."""
    i = 0
    while i < len(line):
        if quote:
            if line[i] == "\\" and quote[0] == '"':
                i += 2
            elif line.startswith(quote, i):
                i += len(quote)
                quote = ""
            else:
                i += 1
            continue
        sign = line[i]
        if sign == "#":
            break
        if sign in "\"'":
            quote = sign * 3 if line.startswith(sign * 3, i) else sign
            i += len(quote)
            continue
        depth += (sign in "[{") - (sign in "]}")
        i += 1
    # a quote of one line ends with it; TOML allows no other
    return depth, quote if len(quote) == 3 else ""
