"""What the lanes of the Makefile showed, from what each left in its environment: `python -m benchmarks.lanes`.

`make test-latest`, `make test-tl4` and `make test-unbounded` each leave pytest's report in their environment. The rows of
docs/results/lanes.md are made from those that are there; a lane whose environment is gone keeps its row, and a kept row its notes.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results" / "lanes.md"
LANES = {"test-tl4": ".venv-tl4", "test-latest": ".venv-latest", "test-unbounded": ".venv-unbounded"}
SHOWN = (
    "torch",
    "transformers",
    "tokenizers",
    "transformer-lens",
    "sae-lens",
    "numpy",
    "peft",
    "bitsandbytes",
    "torchao",
)
COLUMNS = ("lane", "day", "passed", "failed", "skipped", "versions", "other than constraints.txt", "skipped for")
TEXT = """# The lanes beside `make test`

Made by `python -m benchmarks.lanes` from what each lane left: `make test-tl4` (TransformerLens 4 without SAELens: files of tests
that import SAELens at their top are not collected there), `make test-latest` (the newest of everything within the bounds of
`pyproject.toml`, without `constraints.txt`), `make test-unbounded` (the newest transformers, beyond our bound as well).

"""


def key_of(package: str) -> str:
    return package.lower().replace("_", "-")


def row(name: str, environment: Path) -> str:
    """A lane's line of the table: its counts, versions and reasons."""
    suite = ET.parse(environment / "tests.xml").getroot().find("testsuite")
    if suite is None:
        raise SystemExit(f"{environment / 'tests.xml'} is no report of pytest.")
    found = {kind: int(suite.get(kind, 0)) for kind in ("tests", "failures", "errors", "skipped")}
    failed = found["failures"] + found["errors"]
    site = next(environment.glob("lib/python*/site-packages"))
    have = {key_of(d.name): d.version for d in distributions(path=[str(site)])}
    versions = [f"{name} {have[name]}" for name in SHOWN if name in have]
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    given = {name: have[key_of(name)].partition("+")[0] for name in pinned if key_of(name) in have}
    others = [f"{name} {version}" for name, version in given.items() if version != pinned[name]]
    versions.insert(0, f"Python {site.parent.name.removeprefix('python')}")
    reasons = Counter(" ".join(str(skip.get("message")).split()) for skip in suite.iter("skipped"))
    why = "; ".join(f"{reason.replace('|', '/')} ({count})" for reason, count in sorted(reasons.items()))
    passed = found["tests"] - failed - found["skipped"]
    shown = (", ".join(versions), ", ".join(others) or "-", why)
    cells = (f"`{name}`", str(suite.get("timestamp"))[:10], passed, failed, found["skipped"], *shown)
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    kept = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.is_file() else []
    rows = []
    for name, folder in LANES.items():
        if (ROOT / folder / "tests.xml").is_file():
            rows.append(row(name, ROOT / folder))
        else:
            rows += [line for line in kept if line.startswith(f"| `{name}` |")]
    head = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    notes = [line for line in kept if line.startswith("[") and line.partition(" ")[0] in "".join(rows)]
    below = "".join(f"\n{note}\n" for note in notes)
    PAGE.write_text(TEXT + "\n".join([*head, *rows]) + "\n" + below, encoding="utf-8")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
