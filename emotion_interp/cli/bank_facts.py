"""What a bank holds, as far as its manifest and one header say it: read without loading it."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

from emotion_interp.core.errors import EmotionInterpError, FileFormatError


@dataclass(frozen=True)
class BankFacts:
    """What a bank holds, from its manifest and the header of its directions: read without loading it."""

    subject: str
    emotions: tuple[str, ...]
    languages: tuple[str, ...]
    layers: tuple[int, ...]
    methods: tuple[str, ...]


def bank_facts(folder: Path) -> BankFacts:
    """The facts of a bank's folder.

    Raises:
        FileFormatError: it is no bank.
    """
    from emotion_interp.bank.files import manifest_file
    from emotion_interp.core.files import read_json
    from emotion_interp.core.leftovers import found_folder
    from emotion_interp.core.reading import checked_name
    from emotion_interp.core.types import Site

    # as it is loaded: put back first where a save was killed
    folder = found_folder(checked_name(folder, "a bank's folder"))
    manifest = read_json(manifest_file(folder))
    try:
        layers = sorted({Site.parse(name).layer for name in manifest["scales"]})
        known = (manifest["subject"], tuple(manifest["emotions"]), tuple(manifest["languages"]), tuple(layers))
        return BankFacts(*known, _methods(folder / "directions.safetensors"))
    except (KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(f"{folder} is no feature bank: its manifest has no {error}.") from None


def _methods(file: Path) -> tuple[str, ...]:
    """Methods of the directions, from the file's header alone; nothing where it cannot be read so."""
    from emotion_interp.bank.directions import DirectionKey

    try:
        with file.open("rb") as stream:
            header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
        names = [DirectionKey.parse(name) for name in header if name != "__metadata__"]
        return tuple(sorted({key.method for key in names} - {"means"}))
    except (EmotionInterpError, OSError, ValueError, struct.error, MemoryError):
        return ()
