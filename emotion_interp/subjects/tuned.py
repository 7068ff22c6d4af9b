"""Base model or one tuned for conversations: what a name says, and what a subject's own files say where its name is any."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.subjects.chat import rendered

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject

Kind = Literal["base", "tuned"]
_TUNED = re.compile(r"-(?:instruct|chat)\b|^gemma\b.*-it\b")
"""Gemma alone says "it" for it; elsewhere that may be Italian."""
_BASE = re.compile(
    r"gpt2(?:-(?:small|medium|large|xl))?|pythia-[\d.]+[mb](?:-deduped)?|gemma-(?:\d+-)?\d+[mb](?:-pt)?"
    r"|(?:meta-)?llama-[\d.]+-\d+b(?:-hf)?|qwen(?:1\.5|2|2\.5)-[\d.]+b|qwen\d.*-base|mistral-7b(?:-v[\d.]+)?|smollm2?-[\d.]+[mb]"
)
"""Names of base models. That without a suffix is the tuned one from Qwen3 on."""
_ENDS_OF_TEXT = {"s", "eos", "endoftext", "endofsentence"}


class Sign(NamedTuple):
    """What a subject is, and by what that is known."""

    kind: Kind
    by: str


def kind_of_name(name: str) -> Kind | None:
    """What a model's name says; None where it says nothing.

    Example:
        >>> kind_of_name("google/gemma-2-2b-it"), kind_of_name("gemma-2-2b"), kind_of_name("my-model")
        ('tuned', 'base', None)
    """
    key = name.strip().rstrip("/").rpartition("/")[2].lower().replace("_", "-")
    if _TUNED.search(key):
        return "tuned"
    return "base" if _BASE.fullmatch(key) else None


def recorded_name(subject: Subject) -> str | None:
    """The name that the config.json of a subject's folder gives it, or gives the model that it was made from."""
    folder = _folder(subject)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8")) if folder else {}
    except (OSError, ValueError):
        return None
    name = config.get("_name_or_path") if isinstance(config, dict) else None
    return name if isinstance(name, str) and name else None


def sign_of(subject: Subject) -> Sign | None:
    """What a subject's files say of it; None where they leave it open.

    A template says little, as some base models bring one: that generation ends where the template closes a turn says more.
    None at all is what base models have, if none was lost on the way.
    """
    recorded = recorded_name(subject)
    if recorded and kind_of_name(recorded) == "tuned":
        return Sign("tuned", f"its config.json names {recorded}")
    if getattr(subject.tokenizer, "chat_template", None):
        return Sign("tuned", "it ends where its chat template closes a turn") if _ends_with_turns(subject) else None
    folder = _folder(subject)
    # transformers reads no template from a GGUF file, and one for images and text may lie beside the tokenizer
    if "gguf" in subject.provenance or (folder and any(folder.glob("chat_template*"))):
        return None
    return Sign("base", "its tokenizer has no chat template")


def _folder(subject: Subject) -> Path | None:
    config = getattr(getattr(subject.model, "original_model", None), "config", None)
    place = getattr(config, "_name_or_path", None)
    return Path(place) if isinstance(place, str) and place and Path(place).is_dir() else None


def _ends_with_turns(subject: Subject) -> bool:
    """Whether the model's own settings end a text at a mark of the template's, which is not any text's end."""
    settings = getattr(getattr(subject.model, "original_model", None), "generation_config", None)
    try:
        closing = rendered(subject.tokenizer, [{"role": "user", "content": "a"}], subject.name).turns.end_ids
    except EmotionInterpError:
        return False
    ends = {subject.tokenizer.eos_token_id, *_ids(getattr(settings, "eos_token_id", None))}
    marks = subject.tokenizer.convert_ids_to_tokens([i for i in closing if i in ends])
    return any(re.sub(r"[^a-z]", "", mark.lower()) not in _ENDS_OF_TEXT for mark in marks)


def _ids(value: Any) -> list[int]:
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]
