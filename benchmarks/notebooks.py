"""Run the notebooks and keep what they show: `python -m benchmarks.notebooks [NAME ...]`.

`python -m benchmarks.notebooks --html FOLDER [NAME ...]` writes what is kept as pages instead. Kept are outputs alone: no times, no bars, nothing on standard error (a warning stops the run and is to be dealt with in the code).
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "notebooks"
ENVIRONMENT = {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
"""A bar that is kept is a page of half-drawn bars."""


def executed(path: Path, timeout: int = 600) -> NotebookNode:
    """A notebook with what it shows today, run in its own folder."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(path.parent)}},
        ).execute()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def red(notebook: NotebookNode) -> list[str]:
    """What a notebook shows on red: warnings, and other lines on standard error."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [str(output.text) for output in outputs if output.output_type == "stream" and output.name == "stderr"]


def as_page(path: Path, folder: Path, *, dark: bool = False) -> Path:
    """A kept notebook as one page that asks nobody for anything: no MathJax, no require.js, pictures inside.

    A picture says its own name, as it does not where nbconvert writes it alone.
    """
    exporter = HTMLExporter(
        theme="dark" if dark else "light", mathjax_url="", require_js_url="", jquery_url="", embed_images=True
    )
    body, _ = exporter.from_filename(str(path))
    body = re.sub(r'<script[^>]+src=""[^>]*>\s*</script>', "", body)
    page = folder / f"{path.stem}.html"
    page.write_text(body, encoding="utf-8")
    return page


def main() -> None:
    if sys.argv[1:2] == ["--html"]:
        folder = Path(sys.argv[2])
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(FOLDER.glob("*.ipynb")):
            if len(sys.argv) < 4 or path.stem in sys.argv[3:]:
                print(as_page(path, folder))
        return
    wrong = 0
    for path in sorted(FOLDER.glob("*.ipynb")):
        if len(sys.argv) > 1 and path.stem not in sys.argv[1:]:
            continue
        began = time.monotonic()
        notebook = executed(path)
        for line in red(notebook):
            print(f"{path.stem}: {line}", file=sys.stderr)
        wrong += bool(red(notebook))
        if not red(notebook):
            nbformat.write(notebook, path)
            print(f"{path.stem}: {time.monotonic() - began:.0f} s, {path.stat().st_size / 1e3:.0f} kB", flush=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
