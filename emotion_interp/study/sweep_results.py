"""What a sweep found: tidy tables, any measure over layers and models, the best site, and differences that are paired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from emotion_interp.bank import FeatureBank
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.files import sha256_file
from emotion_interp.core.parquet import read_parquet
from emotion_interp.core.result import Result
from emotion_interp.study.sweep_store import SweepFolder
from emotion_interp.study.sweep_tables import KEYS

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False, repr=False)
class SweepResults(Result):
    """The tables of a sweep in a folder; read when they are asked for.

    `features`, `summary`, `alignment`, `ratings` and `steering` are frames; every row says `subject`, `stimuli`,
    `position`, `seed`, `layer`, `depth` (1 is the last layer) and `reading`. `failed`: units that failed, and why.
    """

    path: Path
    digests: Mapping[str, str]
    failed: Mapping[str, str]

    def table(self, name: str) -> pd.DataFrame:
        """One table, checked against its digest.

        Args:
            name: "features", "summary", "alignment", "ratings", "steering" or "units".

        Raises:
            UnknownNameError: the sweep has no such table.
            FileFormatError: it was changed.
        """
        file = f"{name}.parquet"
        if file not in self.digests:
            raise UnknownNameError("table of the sweep", name, [n.removesuffix(".parquet") for n in self.digests])
        if not (self.path / file).is_file() or sha256_file(self.path / file) != self.digests[file]:
            raise FileFormatError(
                f"{self.path / file} was changed or is missing; run the sweep again, which writes it anew."
            )
        return read_parquet(self.path / file)

    @cached_property
    def features(self) -> pd.DataFrame:
        return self.table("features")

    @cached_property
    def summary(self) -> pd.DataFrame:
        return self.table("summary")

    @cached_property
    def alignment(self) -> pd.DataFrame:
        return self.table("alignment")

    @cached_property
    def ratings(self) -> pd.DataFrame:
        return self.table("ratings")

    @cached_property
    def steering(self) -> pd.DataFrame:
        return self.table("steering")

    def to_frame(self) -> pd.DataFrame:
        """The summary: one row per emotion, layer, site, language, position, seed and subject."""
        return self.summary.copy()

    def bank(
        self, subject: str, stimuli: str | None = None, position: str | None = None, seed: int | None = None
    ) -> FeatureBank:
        """The feature bank of a subject; what is not named must be one thing only.

        Raises:
            UnknownNameError: there is no such bank.
            EmotionInterpError: there are several.
        """
        units: Any = self.table("units")
        rows = units[units["stage"] == "features"]
        for name, value in zip(KEYS, (subject, stimuli, position, seed), strict=True):
            known = list(dict.fromkeys(rows[name].tolist()))
            if value is None and len(known) > 1:
                raise EmotionInterpError(f"there are several banks: give {name}= one of {', '.join(map(str, known))}.")
            if value is not None and value not in known:
                raise UnknownNameError(name, value, known)
            rows = rows if value is None else rows[rows[name] == value]
        return FeatureBank.load(SweepFolder(self.path).place(rows["unit"].iloc[0]) / "bank")

    def __repr__(self) -> str:
        tables = ", ".join(name.removesuffix(".parquet") for name in self.digests)
        return (
            f"SweepResults({str(self.path)!r}: {tables}{f'; {len(self.failed)} units failed' if self.failed else ''})"
        )


@checked
def load_sweep(path: str | Path) -> SweepResults:
    """The results of a sweep that has come to an end.

    Args:
        path: its folder.

    Raises:
        FileFormatError: no sweep lies there, or none of it is finished.

    Example:
        >>> import emotion_interp as ei
        >>> ei.load_sweep("runs/layers").summary  # doctest: +SKIP
    """
    record = SweepFolder(path).record()
    if not record:
        raise FileFormatError(f"{path} is no folder of a sweep; `emotion-interp sweep` makes one.")
    if not record.get("tables"):
        raise FileFormatError(
            f"the sweep in {path} has no tables yet; run it to its end (`emotion-interp status {path}`)."
        )
    return SweepResults(Path(path), record["tables"], record.get("failed", {}))
