"""Neutral beginnings: an emotion word may follow, and no word of the concept sets is there
(four sentences of stories for choosing have one: dark, alone, lake, photograph). Written for this project."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from emotion_interp.core.errors import FileFormatError
from emotion_interp.core.reading import parse_toml, read_text

HALVES = ("tune", "test")


class PromptSplit(NamedTuple):
    """Prompts to choose layer and dose on, and others to report on."""

    tune: tuple[str, ...]
    test: tuple[str, ...]


def read_prompts(path: str | Path) -> dict[str, PromptSplit]:
    """Language -> prompts of a TOML file: a table for each language, with a list of texts for each half.

    Raises:
        FileFormatError: no such file, no TOML, another layout, an empty text, or one that is there twice.

    Example:
        >>> read_prompts("mine.toml")["en"].tune  # doctest: +SKIP
    """
    table = parse_toml(read_text(path), str(path))
    if not table:
        raise FileFormatError(f"{path} has no prompts; give a table for each language, such as [en].")
    return {language: _split(path, language, value) for language, value in table.items()}


def _split(path: str | Path, language: str, table: object) -> PromptSplit:
    if not isinstance(table, dict) or set(table) != set(HALVES):
        raise FileFormatError(f"{path}: [{language}] is a table with the lists tune and test, got {table!r:.80}.")
    for half in HALVES:
        if not isinstance(table[half], list) or not table[half]:
            raise FileFormatError(f"{path}: {half} of [{language}] is a list of texts, got {table[half]!r:.80}.")
    texts = [text for half in HALVES for text in table[half]]
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise FileFormatError(f"{path}: a prompt of [{language}] is a text that is not empty, got {text!r:.80}.")
        if texts.count(text) > 1:
            raise FileFormatError(f"{path}: {text!r} is twice in [{language}]; what is tuned on is not reported on.")
    return PromptSplit(*(tuple(table[half]) for half in HALVES))


_SHIPPED = Path(__file__).parent

NEUTRAL_PROMPTS: dict[str, PromptSplit] = read_prompts(_SHIPPED / "neutral.toml")
"""Language -> neutral prompts, halves for tuning and testing."""

STORY_PROMPTS: dict[str, PromptSplit] = read_prompts(_SHIPPED / "stories.toml")
"""Language -> first sentences of stories in which nothing is felt yet, for judges that read whole texts."""

FURTHER_PROMPTS: dict[str, PromptSplit] = read_prompts(_SHIPPED / "further.toml")
"""Language -> further neutral prompts, Chinese and Spanish, written after runs on the others had been looked at."""

LATER_PROMPTS: dict[str, PromptSplit] = read_prompts(_SHIPPED / "later.toml")
"""Language -> beginnings written after runs on all others had been looked at: English first sentences of stories, Chinese and
Spanish neutral prompts."""
