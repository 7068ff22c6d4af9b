"""The study folder: finished stages are content-addressed, so that a killed run resumes and repeats nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp.core.errors import EmotionInterpError, FileFormatError
from emotion_interp.core.files import atomic_file, read_json, sha256_file, sha256_of, write_json
from emotion_interp.core.parquet import read_parquet

if TYPE_CHECKING:
    import pandas as pd


def is_study(record: Any) -> bool:
    """Whether a JSON value is the record of a study, with what every stage needs."""
    return (
        isinstance(record, dict)
        and record.get("format") == "emotion_interp.study"
        and isinstance(record.get("stages"), dict)
        and all(map(_is_stage, record["stages"].values()))
    )


def _is_stage(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("key"), str) or not isinstance(entry.get("files"), dict):
        return False
    seconds = entry.get("seconds")
    paths = [Path(name) for name in entry["files"]]
    plain = all(not p.is_absolute() and p.parts and ".." not in p.parts for p in paths)
    plain = plain and all(isinstance(digest, str) for digest in entry["files"].values())
    return plain and isinstance(seconds, (int, float)) and not isinstance(seconds, bool)


class StudyFolder:
    """Frames and stage records of one study in a folder.

    Raises:
        EmotionInterpError: the folder cannot be made or written.
        FileFormatError: its study.json is of another kind.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise EmotionInterpError(f"{self.path} is a file; a study is written to a folder. Give another --out.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EmotionInterpError(
                f"cannot make the folder {self.path}: {error.strerror}. Give another --out."
            ) from error
        record = self.path / "study.json"
        self.record: dict[str, Any] = (
            read_json(record) if os.path.lexists(record) else {"format": "emotion_interp.study", "stages": {}}
        )
        if not is_study(self.record):
            raise FileFormatError(f"{record} is not a study of this project, or it is damaged; give another --out.")

    def is_done(self, stage: str, key: Any) -> bool:
        """Whether the stage was finished with the same key and its files are still what they were."""
        entry = self.record["stages"].get(stage)
        if not entry or entry["key"] != sha256_of(key):
            return False
        return all(
            (self.path / name).is_file() and sha256_file(self.path / name) == digest
            for name, digest in entry["files"].items()
        )

    def run(self, stage: str, key: Any, make: Callable[[], list[str]]) -> bool:
        """Run a stage unless it is done; `make` writes files and returns their names. Returns whether it ran."""
        if self.is_done(stage, key):
            return False
        began = time.monotonic()
        files = make()
        self.record["stages"][stage] = {
            "key": sha256_of(key),
            "seconds": round(time.monotonic() - began, 2),
            "files": {name: sha256_file(self.path / name) for name in files},
        }
        self.save()
        return True

    def note(self, **facts: Any) -> None:
        """Keep facts about the study in its record; written only where they are new."""
        if any((self.record.get(name) or None) != (value or None) for name, value in facts.items()):
            self.record |= facts
            self.save()

    def save(self) -> None:
        write_json(self.path / "study.json", self.record)

    def write_frame(self, name: str, frame: pd.DataFrame) -> str:
        """Write a table atomically; returns its file name."""
        with atomic_file(self.path / name) as temporary:
            frame.to_parquet(temporary, index=False)
        return name

    def read_frame(self, name: str) -> pd.DataFrame | None:
        """A table of the study, or None where its stage did not run."""
        path = self.path / name
        if not path.exists():
            return None
        try:
            return read_parquet(path)
        except FileFormatError as error:
            raise FileFormatError(f"{error} Delete it and run again.") from error
