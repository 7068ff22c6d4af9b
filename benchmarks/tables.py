"""Markdown tables of docs/results, from frames, under the command that made them."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_PLACES = ("--write", "--out", "--cache")


def markdown(frame: Any, digits: Mapping[str, int] | int = 3) -> str:
    """A frame as a table; numbers with so many digits, what is missing as a dash."""
    names = list(frame.columns)
    places = {c: digits if isinstance(digits, int) else digits.get(c, 3) for c in names}
    lines = ["| " + " | ".join(_escaped(name) for name in names) + " |", "|" + "---|" * len(names)]
    for record in frame.to_dict("records"):
        lines.append("| " + " | ".join(_cell(record[c], places[c]) for c in names) + " |")
    return "\n".join(lines)


def _cell(value: Any, places: int) -> str:
    if value is None or value != value:
        return "-"
    if isinstance(value, float):
        return f"{value:.{places}f}"
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return "yes" if value else "no"
    return _escaped(value)


def _escaped(value: Any) -> str:
    """A bar within a cell would end it."""
    return str(value).replace("|", r"\|")


def command(arguments: Sequence[str]) -> str:
    """How a benchmark was started: its file, then its options but for those that say where something is kept.

    A path of one machine stands as its option's name in capitals.
    """
    name, *rest = arguments
    words, left_out = ["python", "-m", f"benchmarks.{Path(name).stem}"], False
    option = ""
    for word in rest:
        if word.startswith("--"):
            option = word.split("=", 1)[0]
            left_out = option in _PLACES
        if not left_out:
            shown = re.sub(r"(?<![^=,])/[^\s,]+", option.lstrip("-").upper() or "PATH", word)
            words.append(shlex.quote(shown))
    return " ".join(words)


def write(path: Path, *parts: str) -> None:
    """Write the parts, a blank line apart, and print them; where they name this benchmark alone, its options are added."""
    text = "\n\n".join(part.strip() for part in parts) + "\n"
    text = text.replace(f"`{command(sys.argv[:1])}`", f"`{command(sys.argv)}`", 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(text, flush=True)
