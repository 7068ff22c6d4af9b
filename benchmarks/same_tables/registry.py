"""Which tables there are, and how one is computed without stopping the others."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.same_tables.compare import Verdict, compare_tables
from benchmarks.same_tables.store import plain, read_manifest, read_table, write_manifest, write_table

Parts = Iterator[tuple[str, Any]]
"""(name of a table, its value or a function that makes it)."""
MAKERS: dict[str, Callable[[], Parts]] = {}


def table(maker: Callable[[], Parts]) -> Callable[[], Parts]:
    """Register a generator of tables under its own name."""
    MAKERS[maker.__name__] = maker
    return maker


@dataclass
class Kept:
    """What a run made: maker -> its tables, its seconds, and what stopped it or one of its tables."""

    tables: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def keep(
    folder: Path,
    facts: Mapping[str, Any],
    pattern: str = "*",
    makers: Mapping[str, Callable[[], Parts]] | None = None,
    say: Callable[[str], None] = print,
) -> Kept:
    """Compute the tables whose maker fits the pattern and write them to a folder, with a manifest of `facts`."""
    kept = Kept()
    for name, maker in (MAKERS if makers is None else makers).items():
        if not fnmatchcase(name, pattern):
            continue
        start = time.perf_counter()
        kept.tables[name] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _run(folder, name, maker, kept)
        kept.seconds[name] = round(time.perf_counter() - start, 2)
        stopped = [f"; missing: {where}: {why}" for where, why in kept.errors.items() if where.split(".")[0] == name]
        say(f"{name}: {len(kept.tables[name])} tables, {kept.seconds[name]:.1f} s{''.join(stopped)}")
    content: dict[str, Any] = {"tables": kept.tables, "seconds": kept.seconds, "errors": kept.errors}
    if pattern != "*" and (folder / "manifest.json").is_file():
        content = _merged(read_manifest(folder), content)
    write_manifest(folder, {**facts, **content})
    return kept


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What a folder held before, but for the makers that ran again."""
    errors = {name: why for name, why in old["errors"].items() if name.split(".")[0] not in new["tables"]}
    merged = {name: {**old[name], **new[name]} for name in ("tables", "seconds")}
    return {**merged, "errors": {**errors, **new["errors"]}}


def _run(folder: Path, name: str, maker: Callable[[], Parts], kept: Kept) -> None:
    # whatever a table raises is its own finding; the others are still wanted
    try:
        for part, value in maker():
            full = f"{name}.{part}"
            try:
                frame: pd.DataFrame = plain(value() if callable(value) else value)
                write_table(folder, full, frame)
            except Exception as error:
                kept.errors[full] = _one_line(error)
            else:
                kept.tables[name].append(full)
    except Exception as error:
        kept.errors[name] = _one_line(error)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def verdicts(before: Path, after: Path, pattern: str = "*") -> dict[str, Verdict]:
    """What became of every table of a kept folder, and of what it could not make."""
    old, new = read_manifest(before), read_manifest(after)
    found: dict[str, Verdict] = {}
    for maker, tables in old["tables"].items():
        if not fnmatchcase(maker, pattern):
            continue
        for name in tables:
            if name in new["tables"].get(maker, ()):
                found[name] = compare_tables(read_table(before, name), read_table(after, name))
            else:
                why = new["errors"].get(name) or new["errors"].get(maker) or "it was not made"
                found[name] = Verdict(False, f"missing: {why}")
    for name, why in old["errors"].items():
        if fnmatchcase(name.split(".")[0], pattern):
            found[name] = Verdict(False, f"missing: already in the kept folder ({why})")
    return found
