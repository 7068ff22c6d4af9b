"""The study folder: finished stages are content-addressed, so that a killed run resumes and repeats nothing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp.core.errors import EmotionInterpError, FileFormatError
from emotion_interp.core.files import (
    atomic_file,
    atomic_folder,
    read_signed_json,
    sha256_file,
    sha256_of,
    what_stands,
    write_signed_json,
)
from emotion_interp.core.leftovers import found_folder, sweep
from emotion_interp.core.parquet import read_parquet
from emotion_interp.study.lock import held

if TYPE_CHECKING:
    import pandas as pd


UNITS = "units"
"""Folder of the parts of a stage that is not finished."""


def is_study(record: object) -> bool:
    """Whether a JSON value is the record of a study, with what every stage needs."""
    return (
        isinstance(record, dict)
        and record.get("format") == "emotion_interp.study"
        and isinstance(record.get("stages"), dict)
        and all(map(_is_stage, record["stages"].values()))
    )


def _is_stage(entry: object) -> bool:
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
        if what_stands(self.path) in ("file", "other"):
            raise EmotionInterpError(f"{self.path} is a file; a study is written to a folder. Give another --out.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EmotionInterpError(
                f"cannot make the folder {self.path}: {error.strerror}. Give another --out."
            ) from error
        self.record: dict[str, Any] = self._read()

    def _read(self) -> dict[str, Any]:
        file = self.path / "study.json"
        if not os.path.lexists(file):
            return {"format": "emotion_interp.study", "stages": {}}
        record, _ = read_signed_json(file)
        if not is_study(record):
            raise FileFormatError(f"{file} is not a study of this project; give another --out.")
        return record

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no other run write here meanwhile; what killed runs left is swept, a bank they had moved aside put back.

        Raises:
            EmotionInterpError: another run holds the folder.
        """
        with held(self.path):
            sweep(self.path)
            self.record = self._read()
            yield

    def is_done(self, stage: str, key: object) -> bool:
        """Whether the stage was finished with the same key and its files are still what they were."""
        entry = self.record["stages"].get(stage)
        if not entry or entry["key"] != sha256_of(key) or not entry["files"]:
            return False
        return all(
            (self.path / name).is_file() and sha256_file(self.path / name) == digest
            for name, digest in entry["files"].items()
        )

    def run(self, stage: str, key: object, make: Callable[[], list[str]]) -> bool:
        """Run a stage unless it is done; `make` writes files and returns their names. Returns whether it ran."""
        if self.is_done(stage, key):
            return False
        began = time.monotonic()
        self.finish(stage, key, make(), began)
        return True

    def finish(self, stage: str, key: object, files: list[str], began: float, **facts: object) -> None:
        """Record a stage whose files are written."""
        self.record["stages"][stage] = {
            "key": sha256_of(key),
            "seconds": round(time.monotonic() - began, 2),
            "files": {name: sha256_file(self.path / name) for name in files},
            **facts,
        }
        self.save()

    def digests(self, *stages: str) -> dict[str, object]:
        """Digests of the files of finished stages: what a later stage's key has to say of what it was made from."""
        return {stage: self.record["stages"].get(stage, {}).get("files") for stage in stages}

    def unit(self, key: object, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A part of a stage that a killed run keeps: made once, kept under the hash of all that decides it.

        One that was damaged is made again. `clear_units` ends them with their stage.
        """

        folder = found_folder(self.path / UNITS / sha256_of(key)[:32])
        file, record = folder / "unit.parquet", folder / "unit.json"
        if record.is_file():
            try:
                if read_signed_json(record)[0] == {"key": sha256_of(key), "sha256": sha256_file(file)}:
                    return read_parquet(file)
            except (EmotionInterpError, OSError):
                # made again below
                pass
        with atomic_folder(folder) as place:
            make().to_parquet(place / file.name, index=False)
            write_signed_json(place / record.name, {"key": sha256_of(key), "sha256": sha256_file(place / file.name)})
        # read back also the first time, so that a run that was killed and one that was not go on with the same
        frame: pd.DataFrame = read_parquet(file)
        return frame

    def clear_units(self) -> None:
        """Delete the parts of stages that are finished."""
        shutil.rmtree(self.path / UNITS, ignore_errors=True)

    def note(self, **facts: object) -> None:
        """Keep facts about the study in its record; written only where they are new."""
        if any((self.record.get(name) or None) != (value or None) for name, value in facts.items()):
            self.record |= facts
            self.save()

    def save(self) -> None:
        write_signed_json(self.path / "study.json", self.record)

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
