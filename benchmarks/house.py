"""The package as a house: circles of imports between files, lines of each room, the largest room's share, climbs, names.

`python -m benchmarks.house` prints them; `tests/house/test_house_plan.py` holds them to their limits. `--before CHECKOUT` prints
how the lines of code grew since: in files of before, wherever these stand now, and in files that are new.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
import tomllib
from pathlib import Path

import networkx

from benchmarks import climbs

ROOT = Path(__file__).parents[1]
NAME = "emotion_interp"
STEERING = 1400
"""Most lines of the room that acts on a running model."""
ANYS = 4.9
"""Most annotations that say Any, per thousand lines; it may only fall."""
VAGUE = ("found", "here", "own", "one", "kept", "there")
"""Names that say where a thing came from and not what it holds."""
VAGUE_SHARE = 0.014
"""Largest share of all local names that may be vague; it may only fall."""
LONG = 60
"""Most lines of a function, its docstring not counted, unless a comment above it begins with `WHY_LONG`."""
WHY_LONG = "# Long: "
LARGEST = 0.12
"""Largest share of all lines that one room may have."""


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Dotted name -> file, of every file of the package."""
    found = {}
    for path in sorted((root / NAME).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(source: str) -> list[tuple[str, str | None]]:
    """(module, name or None) of every import, also inside functions, but for those that only a type checker runs."""
    found: list[tuple[str, str | None]] = []

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno}: imports are absolute in this package.")
            found.extend((node.module or "", alias.name) for alias in node.names)
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            children = list(node.orelse)
        for child in children:
            walk(child)

    walk(ast.parse(source))
    return found


def graph(files: dict[str, Path]) -> networkx.DiGraph:
    """An edge from each file to every file that it imports something of."""
    made = networkx.DiGraph()
    made.add_nodes_from(files)
    for name, path in files.items():
        for module, thing in imported(path.read_text(encoding="utf-8")):
            target = f"{module}.{thing}" if f"{module}.{thing}" in files else module
            if target in files and target != name:
                made.add_edge(name, target)
    return made


def circles(files: dict[str, Path]) -> list[list[str]]:
    """Groups of files each of which imports, over others of the group, itself."""
    return sorted(sorted(group) for group in networkx.strongly_connected_components(graph(files)) if len(group) > 1)


def order(root: Path = ROOT) -> list[str]:
    """The rooms from the top to the bottom, as the contract of the linter has them."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [layer.removeprefix(f"{NAME}.") for layer in layers]


def code_lines(source: str) -> int:
    """Lines with code: no docstrings, comments or empty lines."""
    kinds = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in kinds:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        # a text that stands alone is a docstring, also below a constant
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def anys(files: dict[str, Path]) -> float:
    """How often an annotation says Any, per thousand lines."""
    sources = [path.read_text(encoding="utf-8") for path in files.values()]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    said = sum(isinstance(node, ast.Name) and node.id == "Any" for node in nodes)
    return 1000 * said / sum(len(source.splitlines()) for source in sources)


def local_names(source: str) -> list[str]:
    """Every name that a function gives to something, once for each function; parameters are none."""
    names = []
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            given, inside = set(), list(ast.iter_child_nodes(function))
            while inside:
                node = inside.pop()
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    given.add(node.id)
                if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
                    inside += ast.iter_child_nodes(node)
            names += sorted(given)
    return names


def vague(files: dict[str, Path]) -> float:
    """The share of local names that are `VAGUE`."""
    names = [name for path in files.values() for name in local_names(path.read_text(encoding="utf-8"))]
    return sum(name in VAGUE for name in names) / len(names)


def too_long(source: str) -> list[str]:
    """Functions of more than `LONG` lines without a reason above them."""
    lines, names = source.splitlines(), []
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = function.body[0]
            explained = ast.get_docstring(function) is not None
            docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if explained else 0
            top = min(node.lineno for node in (function, *function.decorator_list))
            above = lines[top - 2].strip() if top > 1 else ""
            if (function.end_lineno or 0) - function.lineno + 1 - docstring > LONG and not above.startswith(WHY_LONG):
                names.append(function.name)
    return names


def rooms(files: dict[str, Path]) -> dict[str, tuple[int, int, int]]:
    """Room -> (files, all lines, lines of code); "" is what stands beside the rooms."""
    found: dict[str, tuple[int, int, int]] = {}
    for name, path in files.items():
        source = path.read_text(encoding="utf-8")
        inside = path.parent.name != NAME
        room = name.split(".")[1] if inside else ""
        count, lines, code = found.get(room, (0, 0, 0))
        found[room] = (count + 1, lines + len(source.splitlines()), code + code_lines(source))
    return found


def defined(source: str) -> set[str]:
    """Names of the functions and classes of a file; not of those within them."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.parse(source).body if isinstance(node, kinds)}


def growth(before: dict[str, Path], now: dict[str, Path]) -> dict[str, tuple[int, int, int]]:
    """Room -> (lines of code before, now in files of before, now in new files).

    A file is of before where at least half of what it defines was defined anywhere then: it may have moved or been split.
    """
    known = set().union(*(defined(path.read_text(encoding="utf-8")) for path in before.values()))
    sums: dict[str, list[int]] = {}
    for files, is_now in ((before, False), (now, True)):
        for name, path in files.items():
            source = path.read_text(encoding="utf-8")
            names = defined(source)
            is_new = is_now and bool(names) and len(names & known) < len(names) / 2
            room = name.split(".")[1] if path.parent.name != NAME else ""
            sums.setdefault(room, [0, 0, 0])[is_now + is_new] += code_lines(source)
    return {room: (then, old, new) for room, (then, old, new) in sums.items()}


def print_growth(before: Path, now: Path) -> None:
    """A table of `growth`."""
    found = growth(modules(before), modules(now))
    known = [*order(now), ""]
    print("| room | code before | now, in files of before | in new files | grown by |\n|---|---|---|---|---|")
    for room in sorted(found, key=lambda room: known.index(room) if room in known else len(known)):
        then, old, new = found[room]
        print(f"| {room or '(beside the rooms)'} | {then:,} | {old:,} | {new:,} | {old + new - then:+,} |")
    then, old, new = (sum(counts) for counts in zip(*found.values(), strict=True))
    print(f"| all | {then:,} | {old:,} | {new:,} | {old + new - then:+,} |")


def main() -> None:
    """Print the figures of the house."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="A checkout; default: this one.")
    parser.add_argument("--before", type=Path, help="An earlier checkout, to which the lines of code are compared.")
    given = parser.parse_args()
    root = given.root
    if given.before is not None:
        print_growth(given.before, root)
        return
    files = modules(root)
    found = rooms(files)
    total = sum(lines for _, lines, _ in found.values())
    print("| room | files | lines | code | share of lines |\n|---|---|---|---|---|")
    for room in sorted(found, key=[*order(root), ""].index):
        count, lines, code = found[room]
        print(f"| {room or '(beside the rooms)'} | {count} | {lines:,} | {code:,} | {lines / total:.1%} |")
    code = sum(code for _, _, code in found.values())
    print(f"| all | {len(files)} | {total:,} | {code:,} | |\n")
    largest = max(found, key=lambda room: found[room][1])
    print(f"largest room: {largest}, {found[largest][1] / total:.1%} of the lines (at most {LARGEST:.0%})")
    print(f"steering: {found['steering'][1]:,} lines (at most {STEERING:,})")
    print(f"longest file: {max(len(p.read_text(encoding='utf-8').splitlines()) for p in files.values())} lines")
    for entry in climbs.ENTRIES:
        up, many = climbs.climbs(files, order(root), entry), climbs.loose(files, order(root), entry)
        name = entry.rpartition(".")[2]
        print(f"the subject's path through {name}: climbs {len(up)} times (at most {climbs.MOST})")
        for line in [*up, *(f"{function} takes it among more than {climbs.LOOSE} parameters" for function in many)]:
            print(f"  {line}")
    print(f"Any: {anys(files):.1f} per thousand lines (at most {ANYS})")
    print(f"{', '.join(VAGUE)}: {vague(files):.2%} of local names (at most {VAGUE_SHARE:.1%})")
    for name, path in files.items():
        for function in too_long(path.read_text(encoding="utf-8")):
            print(f"more than {LONG} lines without a reason: {name}.{function}")
    loops = circles(files)
    print(f"circles of imports between files: {len(loops)}")
    for loop in loops:
        print(f"  {', '.join(loop)}")


if __name__ == "__main__":
    main()
