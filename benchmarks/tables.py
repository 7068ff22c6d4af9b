"""Markdown tables of docs/results, from frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


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


def write(path: Path, *parts: str) -> None:
    """Write the parts, a blank line apart, and print them."""
    text = "\n\n".join(part.strip() for part in parts) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(text, flush=True)
