"""`make bench`: every benchmark in a process of its own, the tables kept in benchmarks/results.md.

`python -m benchmarks [--peers PYTHON] [--only reading,discovery]`; each is also a command of its own, `python -m benchmarks.reading`.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).parent / "results.md"
BENCHMARKS = {
    "reading": "Reading all layers",
    "discovery": "Discovery over wide SAEs",
    "memory": "Peak memory at 1, 4 and 16 times the stimuli",
    "steering_speed": "Steering",
    "ratings_speed": "Ratings of the whole of Warriner",
    "permutations": "10,000 permutations for 12 layers",
    "scaling": "Search over 1.2 to 100 thousand texts",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default=None, help="interpreter with steering-vectors and repeng")
    parser.add_argument("--only", default=",".join(BENCHMARKS))
    given = parser.parse_args()
    parts = [
        "# Benchmarks",
        "",
        f"`make bench`, one run: {platform.machine()}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}, "
        f"torch {metadata.version('torch')}, Python {platform.python_version()}. Ratios within one table come from one run.",
    ]
    for name in given.only.split(","):
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        if name == "reading" and given.peers:
            command += ["--peers", given.peers]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
        table = done.stdout.strip()
        if not table.startswith(("|", "#")) and "\n|" not in table:
            table = f"```\n{table}\n```"
        failed = f"\n\n(left with exit code {done.returncode})" if done.returncode else ""
        parts += ["", f"## {BENCHMARKS[name]} (`python -m benchmarks.{name}`)", "", table + failed]
        RESULTS.write_text("\n".join([*parts, ""]), encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
