"""Keep every table that a seed fixes, and compare: no number may change when code moves.

`python -m benchmarks.same_tables keep FOLDER` before the change; after it `python -m benchmarks.same_tables compare FOLDER`,
or `compare FOLDER --against FOLDER2` where the tables were kept again. One line per table, with exit code 1 if one differs or
is missing. `--only PATTERN` takes some of the makers (`list` names them); of a folder that is
there it replaces those. `EMOTION_INTERP_DATA` adds tables of larger norms
and corpora. Models this small are read with one thread, which is set here: sums of several threads have other last bits.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

for _name, _value in {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}.items():
    os.environ[_name] = _value
os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("COLUMNS", "200")

from benchmarks.same_tables import reading, shell, spaces, steering, training  # noqa: E402, F401
from benchmarks.same_tables.registry import MAKERS, Kept, keep, verdicts  # noqa: E402
from benchmarks.same_tables.store import read_manifest, versions  # noqa: E402


def facts() -> dict[str, Any]:
    """What a kept folder says of where it comes from."""
    asked = ["git", "rev-parse", "HEAD"]
    root = Path(__file__).parents[2]
    commit = subprocess.run(asked, capture_output=True, text=True, cwd=root, check=False).stdout.strip()
    python = ".".join(map(str, sys.version_info[:3]))
    return {"commit": commit, "python": python, "versions": versions(), "data": "EMOTION_INTERP_DATA" in os.environ}


def run(folder: Path, only: str) -> Kept:
    start = time.perf_counter()
    kept = keep(folder, facts(), only, say=lambda line: print(line, flush=True))
    count = sum(map(len, kept.tables.values()))
    print(f"{count} tables kept, {len(kept.errors)} missing, {time.perf_counter() - start:.0f} s")
    return kept


def report(before: Path, after: Path, only: str) -> int:
    """Print what became of every table; 1 if a number changed or a table is missing."""
    old, new = read_manifest(before), read_manifest(after)
    changed = [
        f"{k} {v} -> {new['versions'].get(k)}" for k, v in old["versions"].items() if new["versions"].get(k) != v
    ]
    if changed:
        print(f"other versions, so other last bits may be theirs: {', '.join(changed)}")
    found = verdicts(before, after, only)
    for name, verdict in found.items():
        print(f"{name}: {verdict.text}")
    counts = Counter(v.text.split(":")[0].split(" (")[0] for v in found.values())
    print(f"{len(found)} tables: " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    return 0 if found and all(v.same for v in found.values()) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("keep", "compare", "list"))
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--against", type=Path, help="folder of a second `keep`; default: computed now")
    parser.add_argument("--only", default="*", help="pattern of makers, e.g. 'steering_*'")
    given = parser.parse_args()
    if given.what == "list":
        print("\n".join(MAKERS))
        return 0
    if given.folder is None:
        parser.error("which folder?")
    if given.what == "keep":
        return 1 if run(given.folder, given.only).errors else 0
    if not (given.folder / "manifest.json").is_file():
        parser.error(f"{given.folder} holds no kept tables; make them with `keep`")
    if given.against is not None:
        return report(given.folder, given.against, given.only)
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), given.only)
        return report(given.folder, Path(folder), given.only)


if __name__ == "__main__":
    sys.exit(main())
