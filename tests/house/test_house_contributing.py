"""What the pages for contributors say is so: their code runs, the picture is the code's, the hooks are the lint's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "contributing").glob("*.md"))
GROUPS = {"emotion_interp.norms", "emotion_interp.judges", "emotion_interp.directions"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_code_on_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = blocks(page, "python")
    assert code
    space = {"__name__": "page"}
    for block in code:
        exec(compile(block, page.name, "exec"), space)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_names_files_and_groups_that_exist(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:emotion_interp|tests)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
    for block in blocks(page, "toml"):
        assert set(tomllib.loads(block)["project"]["entry-points"]) <= GROUPS


def test_five_pages_and_every_one_is_linked():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert {p.stem for p in PAGES} == {"norms", "judges", "languages", "sae_families", "directions"}
    assert all(f"docs/contributing/{p.name}" in text for p in PAGES)


def test_the_picture_of_the_rooms_is_what_the_code_makes():
    from benchmarks.rooms import PICTURE, picture

    assert PICTURE.read_text(encoding="utf-8") == picture(), "run: python -m benchmarks.rooms"


def test_the_hooks_run_what_make_lint_runs():
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("lint: install\n")[1].split("\n\n")[0]
    asked = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()]
    hooks = re.findall(r"entry: (.*?), language", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [hook.removeprefix("env ") for hook in hooks] == asked


def test_ten_rules():
    rules = re.findall(r"^(\d+)\. ", (ROOT / "AGENTS.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rules == [str(n) for n in range(1, 11)]
