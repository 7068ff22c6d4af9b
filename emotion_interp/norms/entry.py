"""What is known of a set of norms before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NormsFile:
    """One published file: its name, its SHA-256, and the addresses to try in turn.

    A file that its authors hand out by hand has no address and, where it could not be seen, no hash.
    """

    name: str
    sha256: str
    urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class NormsEntry:
    """One registered set of norms.

    `homepage`: where its authors hand it out, for those that cannot be downloaded. `unit`: what was rated. `folder`:
    where under `labelled/` of the data folder its files lie (default: the name).
    """

    name: str
    language: str
    dimensions: tuple[str, ...]
    n_words: int
    scale: tuple[float, float]
    reader: str
    files: tuple[NormsFile, ...]
    licence: str
    citation: str
    homepage: str = ""
    unit: Literal["word", "sentence"] = "word"
    folder: str = ""
