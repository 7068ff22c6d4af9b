"""The README's first block of Python runs as it is written, in order, on the bundled subject; the others name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import emotion_interp as ei
from tests.house.test_house_names import check_python

README = Path(ei.__file__).parents[1] / "README.md"
if not README.is_file():
    pytest.skip("an installed package has no README", allow_module_level=True)
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_first_block_prints_what_stands_below_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[0], "README.md", "exec"), {})
    shown = re.search(r"```text\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert shown and capsys.readouterr().out.split() == shown[1].split()


def test_it_is_a_page_with_pictures_that_are_there():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert pictures and all((README.parent / p).is_file() for p in pictures)


def test_only_blocks_that_say_so_need_something_else():
    assert len(BLOCKS) >= 2
    assert all(block.startswith("# needs:") for block in BLOCKS[1:])


@pytest.mark.parametrize("block", BLOCKS)
def test_every_call_is_there_and_takes_these_arguments(block):
    check_python(block)
