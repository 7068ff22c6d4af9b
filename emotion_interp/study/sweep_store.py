"""The folder of a sweep: finished units under their hash, a journal of what was done, and one lock."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from emotion_interp.core.errors import EmotionInterpError, FileFormatError
from emotion_interp.core.files import (
    atomic_folder,
    read_signed_json,
    sha256_file,
    what_stands,
    write_signed_json,
)
from emotion_interp.core.leftovers import found_folder
from emotion_interp.core.leftovers import sweep as sweep_leftovers
from emotion_interp.study.lock import held, holder_of

RECORD, UNITS, JOURNAL = "sweep.json", "units", "journal.jsonl"
SOURCES: Mapping[str, tuple[str, str]] = {
    "features": ("features", "bank/features.parquet"),
    "summary": ("features", "bank/summary.parquet"),
    "alignment": ("alignment", "alignment.parquet"),
    "ratings": ("ratings", "ratings.parquet"),
    "steering": ("steering", "steering.parquet"),
}
"""Table -> stage whose units hold a part of it, and the file there."""


class SweepFolder:
    """Units and tables of one sweep.

    Raises:
        EmotionInterpError: the folder cannot be made, or is a file.
        FileFormatError: its sweep.json is of another kind.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if what_stands(self.path) in ("file", "other"):
            raise EmotionInterpError(f"{self.path} is a file; a sweep is written to a folder. Give another --out.")
        self._sound: set[str] = set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no other sweep write here meanwhile; what killed processes left is swept.

        Raises:
            EmotionInterpError: another sweep holds the folder, it cannot be made, or it holds something else.
        """
        try:
            (self.path / UNITS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EmotionInterpError(
                f"cannot make the folder {self.path}: {error.strerror}. Give another --out."
            ) from error
        if not self.record():
            self._check_free()
        with held(self.path):
            for folder in (self.path, self.path / UNITS):
                sweep_leftovers(folder)
            yield

    def _check_free(self) -> None:
        """Refuse a folder with tables that no sweep has written; they would be lost."""
        for name in (*(f"{table}.parquet" for table in SOURCES), "study.json"):
            if os.path.lexists(self.path / name):
                raise EmotionInterpError(
                    f"{self.path} has a {name} that is of no sweep (a bank, or a study of `run`); give another --out."
                )

    # -- the record ----------------------------------------------------------------------------------------------------
    def record(self) -> dict[str, Any]:
        """What the sweep is: its settings and the ids of its units; empty where there is none yet."""
        file = self.path / RECORD
        if not os.path.lexists(file):
            return {}
        record, _ = read_signed_json(file)
        if not isinstance(record, dict) or record.get("format") != "emotion_interp.sweep":
            raise FileFormatError(f"{file} is no sweep of this project; give another --out.")
        return record

    def write_record(self, **entries: object) -> None:
        write_signed_json(self.path / RECORD, {"format": "emotion_interp.sweep", **entries})

    # -- units ---------------------------------------------------------------------------------------------------------
    def place(self, unit: str) -> Path:
        """The folder of a finished unit."""
        return self.path / UNITS / unit

    def facts(self, unit: str) -> dict[str, Any] | None:
        """What is recorded of a finished unit; None where it is not there, or its record is damaged."""
        try:
            record, signed = read_signed_json(found_folder(self.place(unit)) / "unit.json")
        except (EmotionInterpError, OSError):
            return None
        sound = (
            signed and isinstance(record, dict) and record.get("unit") == unit and isinstance(record.get("files"), dict)
        )
        return record if sound else None

    def is_done(self, unit: str) -> bool:
        """Whether a unit is finished and each of its files is what it was; asked of the files once."""
        if unit in self._sound:
            return True
        facts = self.facts(unit)
        try:
            same = facts is not None and all(
                sha256_file(self.place(unit) / name) == digest for name, digest in facts["files"].items()
            )
        except OSError:
            same = False
        if same:
            self._sound.add(unit)
        return same

    def trust(self, unit: str) -> None:
        """Take a unit that was written just now for what it is, without reading it again."""
        self._sound.add(unit)

    def is_damaged(self, unit: str) -> bool:
        """Whether something lies in the place of a unit that is no finished unit."""
        return self.place(unit).exists() and not self.is_done(unit)

    @contextmanager
    def writing(self, unit: str, facts: Mapping[str, object]) -> Iterator[Path]:
        """A folder for the files of a unit; put into place, with their digests and the facts, when the block ends.

        Raises:
            EmotionInterpError: it cannot be written (a full disk).
        """
        with atomic_folder(self.place(unit)) as place:
            yield place
            files = {str(f.relative_to(place)): sha256_file(f) for f in sorted(place.rglob("*")) if f.is_file()}
            write_signed_json(place / "unit.json", {"unit": unit, "files": files, **facts})

    def drop(self, unit: str) -> None:
        """Delete what lies in a unit's place."""
        self._sound.discard(unit)
        shutil.rmtree(self.place(unit), ignore_errors=True)

    # -- the journal ---------------------------------------------------------------------------------------------------
    def note(self, event: str, **facts: object) -> None:
        """Add a line to the journal; one that does not get there (a full disk) costs nothing but the line."""
        line = json.dumps({"event": event, "at": round(time.time(), 3), **facts}, ensure_ascii=False)
        with suppress(OSError), (self.path / JOURNAL).open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")

    def journal(self) -> list[dict[str, Any]]:
        """The lines of the journal that are whole."""
        rows = []
        with suppress(OSError):
            for line in (self.path / JOURNAL).read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):
                    row = json.loads(line)
                    rows += [row] if isinstance(row, dict) else []
        return rows

    def holder(self) -> dict[str, object] | None:
        """Who holds the folder now: pid, host, since; None where nobody does."""
        return holder_of(self.path)
