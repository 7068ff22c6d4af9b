"""Neutral texts of a language: what an emotion's reading is measured against."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from emotion_interp.concepts.model import NEUTRAL
from emotion_interp.concepts.scenes import SCENE_LANGUAGES, scene_stimuli
from emotion_interp.core.arguments import checked


@cache
def _written() -> dict[str, list[str]]:
    return tomllib.loads(files("emotion_interp.concepts").joinpath("neutral.toml").read_text(encoding="utf-8"))


@checked
def neutral_texts(language: str) -> list[str]:
    """Shipped texts in which nobody feels anything in particular; none for a language that has none.

    English and Chinese have the 60 neutral scenes, Spanish 40 texts of its own.

    Args:
        language: "en", "zh", "es", or another, which has none.

    Example:
        >>> [len(neutral_texts(language)) for language in ("en", "zh", "es", "de")]
        [60, 60, 40, 0]
    """
    if language in SCENE_LANGUAGES:
        return [s.text for s in scene_stimuli([language], []) if s.emotion == NEUTRAL]
    return list(_written().get(language, ()))
