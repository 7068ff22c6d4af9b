"""A picture of the rooms: what each is for, and which rooms it imports from. `python -m benchmarks.rooms` writes docs/rooms.svg."""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path
from textwrap import wrap

from benchmarks.house import NAME, ROOT, imported, modules, order

PICTURE = ROOT / "docs" / "rooms.svg"
STEP, WIDTH, LEFT, NAMES = 34, 1000, 190, 12


def uses(root: Path = ROOT) -> dict[str, set[str]]:
    """Room -> the rooms below it that one of its files imports something from."""
    rooms = order(root)
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for name, path in modules(root).items():
        room = name.split(".")[1] if "." in name else ""
        for module, _ in imported(path.read_text(encoding="utf-8")):
            parts = module.split(".")
            if room in found and parts[0] == NAME and len(parts) > 1 and parts[1] in found and parts[1] != room:
                found[room].add(parts[1])
    return found


def purpose(room: str, root: Path = ROOT) -> str:
    """The first line of the room's docstring."""
    source = (root / NAME / room / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]


def picture(root: Path = ROOT) -> str:
    """The picture as SVG: rooms from the top to the bottom, a dot where a row's room imports from a column's room."""
    rooms, below = order(root), uses(root)
    pitch = 13
    text = LEFT + pitch * len(rooms) + 10
    top = 100
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + STEP * len(rooms)}" font-family="sans-serif">',
        "<title>The rooms: each imports only from those below it</title>",
        f'<rect width="{WIDTH}" height="{top + STEP * len(rooms)}" fill="#ffffff"/>',
    ]
    for column, room in enumerate(rooms):
        x = LEFT + pitch * column
        lines.append(
            f'<text x="{x}" y="{top - 12}" font-size="11" fill="#555555" transform="rotate(-70 {x} {top - 12})">{room}</text>'
        )
    for row, room in enumerate(rooms):
        y = top + STEP * row
        lines.append(f'<rect x="{NAMES}" y="{y}" width="{LEFT - 30}" height="{STEP - 6}" rx="5" fill="#e8eef7"/>')
        lines.append(f'<text x="{NAMES + 12}" y="{y + 19}" font-size="15" fill="#1b2a41">{room}</text>')
        for column, other in enumerate(rooms):
            if other in below[room]:
                lines.append(f'<circle cx="{LEFT + pitch * column}" cy="{y + 14}" r="4" fill="#3b6ea5"/>')
        said = wrap(purpose(room, root).replace("`", ""), 80)
        for line, part in enumerate(said):
            at = y + 19 + 14 * line - 7 * (len(said) - 1)
            lines.append(f'<text x="{text}" y="{at}" font-size="12" fill="#333333">{escape(part)}</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    print(PICTURE.relative_to(ROOT))
