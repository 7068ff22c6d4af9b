"""The lines of a researcher with a hub model run word for word, on a stand-in of the true names and layouts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import emotion_interp as ei
from tests.stand_ins import GEMMA, paper_hub

ROOT = Path(ei.__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "chat_models.md"
if not PAGE.is_file():
    pytest.skip("an installed package has no docs", allow_module_level=True)
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_lines_run_as_written(tmp_path):
    names: dict = {}
    with paper_hub(tmp_path, {GEMMA: 21}):
        exec(compile(BLOCKS[0], str(PAGE), "exec"), names)
    assert names["subject"].name == GEMMA and names["subject"].layers == [9, 20]
    assert isinstance(names["reply"], str) and names["trace"].layers == (9, 20)
    assert {"user", "assistant"} <= set(names["trace"].speakers)
    assert names["bank"].manifest["conversation"] == {"en": [["user", "{text}"]]}


def test_the_readme_says_the_same_lines():
    found = re.findall(
        r"```python\n(# needs: google/gemma-2-9b-it.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL
    )
    # once, word for word: without any the page would promise what nothing runs
    assert found == [BLOCKS[0]]


def test_the_lines_are_about_ten():
    lines = [line for line in BLOCKS[0].splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 12


def test_the_other_blocks_run():
    for block in BLOCKS[1:]:
        exec(compile(block, str(PAGE), "exec"), {})
