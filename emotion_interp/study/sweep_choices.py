"""What is wrong in a sweep.toml beyond types and names: values that stand twice, and choices that do not go together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_interp.core.files import what_stands
from emotion_interp.study.sweep_lines import Place

if TYPE_CHECKING:
    from emotion_interp.study.sweep_file import SubjectEntry, SweepFile

STEERED = ("en", "zh")
"""Languages with neutral prompts and a bundled judge (`judges`, which is too heavy to be asked for a check)."""
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?", re.ASCII)
_DTYPES = ("float32", "bfloat16", "float16", "float64", "auto")


def wrong_choices(file: SweepFile, folder: Path) -> Iterator[tuple[Place, str]]:
    """Everything of this kind: the place and what is said of it."""
    yield from _twice((), file.model_dump())
    if file.out is not None and what_stands(folder / file.out) in ("file", "other"):
        yield ("out",), f"{file.out!r} is a file; a sweep is written to a folder."
    if "steering" in file.analyses:
        yield from _wrong_steering(file)
    for number, entry in enumerate(file.subjects):
        yield from ((("subjects", number, *place), message) for place, message in _wrong_entry(entry))


def _twice(place: Place, value: object) -> Iterator[tuple[Place, str]]:
    """Values that a list has more than once; read twice they would be counted twice."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _twice((*place, key), below)
    elif isinstance(value, (list, tuple)):
        simple = [item for item in value if isinstance(item, (str, int, float))]
        repeated = [item for item, count in Counter(simple).items() if count > 1]
        if repeated:
            yield place, f"{', '.join(map(repr, repeated[:5]))} stands in this list more than once."
        for number, item in enumerate(value):
            if isinstance(item, dict):
                yield from _twice((*place, number), item)


def _wrong_steering(file: SweepFile) -> Iterator[tuple[Place, str]]:
    names = {name.partition(":")[0] for name in file.languages}
    if not names & set(STEERED):
        yield ("analyses",), f"steering needs one of the languages {', '.join(STEERED)}, in which there are prompts."
    asked = file.steering.emotions
    if file.emotions is None:
        return
    if "emotions" in file.steering.model_fields_set:
        for emotion in asked:
            if emotion not in file.emotions:
                yield ("steering", "emotions"), f"{emotion!r} is none of the sweep's emotions."
    elif not set(asked) & set(file.emotions):
        yield ("analyses",), "steering has none of its emotions in this sweep; name some under [steering]."


def _wrong_entry(entry: SubjectEntry) -> Iterator[tuple[Place, str]]:
    if not entry.called.isprintable() or entry.called != entry.called.strip():
        yield ("name",), f"a name is printable text without space at its ends, got {entry.called!r:.80}."
    if _DEVICE.fullmatch(entry.device) is None:
        yield ("device",), f"a device is auto, cpu, cuda, cuda:1 or mps, got {entry.device!r:.80}."
    if entry.dtype is not None and entry.dtype not in _DTYPES:
        yield ("dtype",), f"a dtype is one of {', '.join(_DTYPES)}, got {entry.dtype!r:.80}."
    model = Path(entry.model)
    if "\0" not in entry.model and model.is_file() and not _is_gguf(model):
        yield ("model",), f"{entry.model} is no GGUF file; a model is one, a folder in Hugging Face layout, or a name."


def _is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            return handle.read(4) == b"GGUF"
    except OSError:
        return False
