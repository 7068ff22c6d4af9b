"""From a built wheel in an empty environment to a coloured sentence in a notebook: `python -m benchmarks.first_sentence`.

Builds the wheel, makes an environment, installs the wheel with `constraints.txt` and a kernel, and runs a notebook of a few lines
away from the repository. Prints the lines, the seconds of the notebook's run (kernel's start and all imports within) and whether the
sentence came out coloured; writes docs/results/first_sentence.md. `--keep FOLDER` keeps the environment, and takes one that is there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results" / "first_sentence.md"
LINES = (
    "import emotion_interp as ei",
    "subject = ei.load_subject()",
    "bank = ei.shipped_bank(subject)",
    'ei.emotion_trace(subject, "She opened the letter and began to weep.", bank)',
)
MOST_LINES, MOST_SECONDS = 5, 30.0
RUN = """
import json, sys, time
import nbformat
from nbclient import NotebookClient
cell = nbformat.v4.new_code_cell(sys.argv[1])
book = nbformat.v4.new_notebook(cells=[cell])
began = time.monotonic()
NotebookClient(book, timeout=600, kernel_name="python3").execute()
seconds = time.monotonic() - began
shown = "".join(o.get("data", {}).get("text/html", "") for o in cell.outputs)
red = [o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stderr"]
print(json.dumps({"seconds": seconds, "html": shown, "red": red}))
"""


def python_of(folder: Path) -> Path:
    """An environment with the wheel in it; made where there is none."""
    python = folder / "bin" / "python"
    pip = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-c",
        str(ROOT / "constraints.txt"),
    ]
    if not python.is_file():
        venv.create(folder, with_pip=True)
        wheels = folder / "wheels"
        build = [str(python), "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(wheels), str(ROOT)]
        subprocess.run(build, check=True)
        subprocess.run([*pip, str(next(wheels.glob("*.whl"))), "ipykernel", "nbclient"], check=True)
    return python


def measure(python: Path) -> dict[str, object]:
    """The notebook's run in an empty folder, on one thread, with no network in the hub's way."""
    with tempfile.TemporaryDirectory() as empty:
        plain = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "EMOTION_INTERP_DATA")}
        environment = {**plain, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        command = [str(python), "-c", RUN, "\n".join(LINES)]
        ran = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(ran.stderr[-3000:])
    return json.loads(ran.stdout.splitlines()[-1])


def page(seconds: list[float], coloured: bool, load: float) -> str:
    """The kept page."""
    runs = ", ".join(f"{s:.1f}" for s in seconds)
    verdict = "within" if len(LINES) <= MOST_LINES and max(seconds) <= MOST_SECONDS and coloured else "not within"
    code = "\n".join([LINES[0], "", *LINES[1:]])  # a formatter of code in pages wants the empty line
    return (
        "# From a wheel to a coloured sentence\n\n"
        "Made by `python -m benchmarks.first_sentence`: the wheel is built and installed with `constraints.txt` into an empty "
        "environment, and a notebook of these lines is run in an empty folder, on one thread.\n\n"
        f"```python\n{code}\n```\n\n"
        "| lines | seconds of each run, kernel's start within | coloured | asked for | |\n|---|---|---|---|---|\n"
        f"| {len(LINES)} | {runs} | {'yes' if coloured else 'no'} | at most {MOST_LINES} lines, {MOST_SECONDS:.0f} s | {verdict} |\n\n"
        f"Load of the machine while it ran: {load:.1f} on {os.cpu_count()} cores. The first run also writes Python's compiled files.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        python = python_of(given.keep or Path(own) / "env")
        results = [measure(python) for _ in range(given.runs)]
    seconds = [float(str(result["seconds"])) for result in results]
    coloured = all("--v" in str(r["html"]) or "background" in str(r["html"]) for r in results)
    for line in LINES:
        print(line)
    print(
        f"{len(LINES)} lines, {', '.join(f'{s:.1f}' for s in seconds)} s, coloured: {coloured}, red: {results[0]['red']}"
    )
    PAGE.write_text(page(seconds, coloured, os.getloadavg()[0]), encoding="utf-8")


if __name__ == "__main__":
    main()
