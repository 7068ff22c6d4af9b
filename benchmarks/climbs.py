"""The path of a subject from an entry function down through the rooms, read from the source: where it climbs back up.

Followed are all functions that the entry can reach by name: calls, functions named in a declared list, and the methods of
classes that are made on the way. A climb is one of

- a call of a room above;
- a function, lambda or `partial` that carries the subject and is handed to another file, which calls it from below;
- a function that is given the subject and returns an object that holds it, for its caller to carry on with.

A class that is made where it is used is none. Beside the climbs stand the functions on the way that are given the subject
among more than `LOOSE` parameters. `python -m benchmarks.house` prints both for `ENTRIES`, and
`tests/house/test_house_climbs.py` holds the climbs to `MOST`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ENTRIES = ("emotion_interp.study.run.run_study", "emotion_interp.experiments.dose_response.dose_response")
MOST = 2
"""Climbs of one entry."""
LOOSE = 8
"""Parameters beside which a subject may be given."""
CARRIERS = {"subject", "setting", "question", "run"}
"""Names of what is, or holds, the subject."""
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign


@dataclass
class Source:
    """One file: its definitions ("Class.method" too), and what its imports mean: local name -> dotted name."""

    name: str
    tree: ast.Module
    known: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                self.imports |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
            elif isinstance(node, ast.Import):
                self.imports |= {a.asname or a.name: a.name for a in node.names}
        for node in self.tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                self.known[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.known[node.targets[0].id] = node
            if isinstance(node, ast.ClassDef):
                self.known |= {f"{node.name}.{m.name}": m for m in node.body if isinstance(m, ast.FunctionDef)}


def climbs(files: dict[str, Path], order: list[str], entry: str) -> list[str]:
    """What climbs on the way down from an entry, one line each."""
    return [line for line, _ in _walked(files, order, entry)[0] if line]


def loose(files: dict[str, Path], order: list[str], entry: str) -> list[str]:
    """Functions on the way down that are given the subject among more than `LOOSE` parameters."""
    return [name for line, name in _walked(files, order, entry)[0] if not line]


def path(files: dict[str, Path], order: list[str], entry: str) -> set[str]:
    """Every function, class and constant on the way down."""
    return {".".join(place) for place in _walked(files, order, entry)[1]}


def _walked(files: dict[str, Path], order: list[str], entry: str) -> tuple[list[tuple[str, str]], set[tuple[str, str]]]:
    """(what climbs, function), or ("", function) where the subject is one of many; and all that was passed."""
    sources = {name: Source(name, ast.parse(path.read_text(encoding="utf-8"))) for name, path in files.items()}
    holders = {f"{s.name}.{c}" for s in sources.values() for c in s.known if _holds(sources, s, c)}
    found: dict[tuple[str, str], None] = {}
    waiting, done = [_resolved(sources, entry)], set[tuple[str, str]]()
    while waiting:
        place = waiting.pop()
        if place is None or place in done:
            continue
        done.add(place)
        source, name = sources[place[0]], place[1]
        node, here = source.known[name], ".".join(place)
        if isinstance(node, ast.ClassDef):
            waiting += [(source.name, k) for k in source.known if k.startswith(f"{name}.")]
            continue
        for target in _named(sources, source, node, name.partition(".")[0]):
            waiting.append(target)
            if _room(order, target[0]) < _room(order, source.name):
                found[f"{here} calls {'.'.join(target)}, which is above", here] = None
        if isinstance(node, ast.FunctionDef):
            found |= dict.fromkeys((f"{here} {what}", here) for what in _of_function(sources, source, node, holders))
            if CARRIERS & set(_given(node)) and len(_given(node)) > LOOSE:
                found["", here] = None
    return list(found), done


def _holds(sources: dict[str, Source], source: Source, name: str) -> bool:
    """Whether a class has a subject: by a field of its own, or of a class it is made on."""
    node = source.known[name]
    if not isinstance(node, ast.ClassDef):
        return False
    fields = [f for f in node.body if isinstance(f, ast.AnnAssign) and ast.unparse(f.target) in CARRIERS]
    if any(ast.unparse(f.annotation).strip("'") in ("Subject", "Setting", "Run") for f in fields):
        return True
    bases = (_resolved(sources, source.imports.get(b, f"{source.name}.{b}")) for b in map(ast.unparse, node.bases))
    return any(base is not None and _holds(sources, sources[base[0]], base[1]) for base in bases)


def _room(order: list[str], module: str) -> int:
    room = module.split(".")[1] if "." in module else ""
    return order.index(room) if room in order else len(order)


def _resolved(sources: dict[str, Source], dotted: str) -> tuple[str, str] | None:
    """File and name of a definition, also where a room's `__init__` passes it on."""
    module, _, name = dotted.rpartition(".")
    while module in sources and name not in sources[module].known:
        if name not in sources[module].imports:
            return None
        module, _, name = sources[module].imports[name].rpartition(".")
    return (module, name) if module in sources else None


def _named(sources: dict[str, Source], source: Source, node: ast.AST, owner: str) -> Iterator[tuple[str, str]]:
    """The definitions that a piece of code names, but for those of annotations."""
    told = {id(n) for x in ast.walk(node) for a in _annotations(x) for n in ast.walk(a)}
    for one in ast.walk(node):
        if id(one) in told:
            continue
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load):
            known = f"{source.name}.{one.id}" if one.id in source.known else source.imports.get(one.id, "")
        elif isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name):
            base = one.value.id
            known = f"{source.name}.{owner}.{one.attr}" if base == "self" else f"{source.imports.get(base)}.{one.attr}"
            if base == "self":
                if f"{owner}.{one.attr}" in source.known:
                    yield source.name, f"{owner}.{one.attr}"
                continue
        else:
            continue
        target = _resolved(sources, known)
        if target is not None:
            yield target


def _annotations(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.FunctionDef):
        return [node.returns] if node.returns else []
    annotation = getattr(node, "annotation", None)
    return [annotation] if isinstance(node, (ast.arg, ast.AnnAssign)) and annotation else []


def _of_function(sources: dict[str, Source], source: Source, node: ast.FunctionDef, holders: set[str]) -> Iterator[str]:
    """The climbs of one function."""
    returns = ast.unparse(node.returns) if node.returns else ""
    if CARRIERS & set(_given(node)) and returns.isidentifier():
        returned = _resolved(sources, source.imports.get(returns, f"{source.name}.{returns}"))
        if returned is not None and ".".join(returned) in holders:
            yield f"returns {returned[1]}, which holds the subject"
    carrying = {n.name for n in ast.walk(node) if isinstance(n, ast.FunctionDef) and n is not node and _carries(n)}
    for one in ast.walk(node):
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name) and _is_carrying(one.value, carrying):
            carrying.add(one.targets[0].id)
    for call in ast.walk(node):
        if not isinstance(call, ast.Call) or ast.unparse(call.func) in ("partial", "functools.partial"):
            continue
        called = ast.unparse(call.func)
        own = called in source.known or (called.startswith("self.") and called.count(".") == 1)
        for argument in (*call.args, *(k.value for k in call.keywords)):
            if not own and _is_carrying(argument, carrying):
                yield f"hands {ast.unparse(argument)[:60]} to {called}, which calls it from below"


def _given(node: ast.FunctionDef) -> list[str]:
    return [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]


def _carries(node: ast.AST) -> bool:
    """Whether code names the subject of the function around it."""
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in CARRIERS]
    made = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    made |= {a.arg for a in ast.walk(node) if isinstance(a, ast.arg)}
    return any(n.id not in made for n in names)


def _is_carrying(node: ast.AST, known: set[str]) -> bool:
    """A function made on the spot that has the subject with it; a `partial` of whatever it is handed may have."""
    if isinstance(node, ast.Lambda):
        return _carries(node)
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("partial", "functools.partial"):
        return _carries(node) or any(isinstance(a, ast.Starred) for a in node.args)
    return isinstance(node, ast.Name) and node.id in known
