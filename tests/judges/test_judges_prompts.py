"""Prompts are data: the shipped files say what they always said, and a faulty file is refused with its line."""

from __future__ import annotations

import pytest

from emotion_interp.core.errors import FileFormatError
from emotion_interp.core.files import sha256_of
from emotion_interp.judges.prompts import FURTHER_PROMPTS, LATER_PROMPTS, NEUTRAL_PROMPTS, STORY_PROMPTS, read_prompts


@pytest.mark.parametrize(
    ("prompts", "digest"),
    [
        (NEUTRAL_PROMPTS, "7fdbd9ccc15096cf980a105e1e4ef8a0439225837cf2dcdbd5331a437ea8834e"),
        (FURTHER_PROMPTS, "851b1eea12d101d71d15905ff4054e9e8b3e1dc1ee9d87ad795d05e188df240c"),
        (LATER_PROMPTS, "320426adf71f8ecf2469f1d3cad94e31c5c02660077854a1f4c602fb38bce164"),
        (STORY_PROMPTS, "e9273dcc2f9ffb32a3ad3714e608cc60ed15de3110745a14b6ba86855e44cfe1"),
    ],
)
def test_the_shipped_prompts_are_the_same_in_the_same_order(prompts, digest):
    assert sha256_of([[name, list(split.tune), list(split.test)] for name, split in prompts.items()]) == digest


def test_prompts_of_ones_own_are_read_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[es]\ntune = ["La carta decía"]\ntest = ["El mar", "La puerta"]\n', encoding="utf-8")
    assert read_prompts(path) == {"es": (("La carta decía",), ("El mar", "La puerta"))}
    assert read_prompts(path)["es"].test[1] == "La puerta"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no prompts"),
        ("[en\n", "not readable TOML"),
        ('en = "a"\n', r"\[en\] is a table"),
        ('[en]\ntune = ["a"]\n', r"\[en\] is a table with the lists tune and test"),
        ('[en]\ntune = ["a"]\ntest = ["b"]\nmore = ["c"]\n', "tune and test"),
        ('[en]\ntune = "a"\ntest = ["b"]\n', r"tune of \[en\] is a list of texts"),
        ('[en]\ntune = ["a"]\ntest = []\n', r"test of \[en\] is a list of texts"),
        ('[en]\ntune = ["a", 3]\ntest = ["b"]\n', "a text that is not empty, got 3"),
        ('[en]\ntune = ["a"]\ntest = ["b", " "]\n', "a text that is not empty"),
        ('[en]\ntune = ["a"]\ntest = ["b", "a"]\n', r"'a' is twice in \[en\]"),
    ],
)
def test_a_faulty_file_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match=said) as refused:
        read_prompts(path)
    assert "\n" not in str(refused.value) and str(path) in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match=r"none\.toml"):
        read_prompts(tmp_path / "none.toml")
