"""What a sweep found: tidy tables, any measure over layers and models, the best site, and differences that are paired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from emotion_interp.bank import FeatureBank
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.files import sha256_file
from emotion_interp.core.parquet import read_parquet
from emotion_interp.core.result import Result
from emotion_interp.study.sweep_measures import (
    TABLES,
    SweepCurve,
    SweepDifference,
    best_sites,
    chosen_rows,
    curve_of,
    difference_of,
)
from emotion_interp.study.sweep_store import SweepFolder
from emotion_interp.study.sweep_tables import KEYS

if TYPE_CHECKING:
    import plotly.graph_objects as go


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

    def plot(self) -> go.Figure:
        """The held-out AUROC over models, layers and sites; `measure(...)` draws any other number."""
        return self.measure().plot()

    def bank(
        self, subject: str, stimuli: str | None = None, position: str | None = None, seed: int | None = None
    ) -> FeatureBank:
        """The feature bank of a subject; what is not named must be one thing only.

        Raises:
            UnknownNameError: there is no such bank.
            EmotionInterpError: there are several.
        """
        units = self.table("units")
        rows = pd.DataFrame(units[units["stage"] == "features"])
        for name, value in zip(KEYS, (subject, stimuli, position, seed), strict=True):
            known = list(dict.fromkeys(rows[name].tolist()))
            if value is None and len(known) > 1:
                raise EmotionInterpError(f"there are several banks: give {name}= one of {', '.join(map(str, known))}.")
            if value is not None and value not in known:
                raise UnknownNameError(name, value, known)
            rows = rows if value is None else pd.DataFrame(rows[rows[name] == value])
        return FeatureBank.load(SweepFolder(self.path).place(rows["unit"].iloc[0]) / "bank")

    @checked
    def measure(
        self, measure: str = "auroc_heldout", *, n_bootstrap: int = 2000, seed: int = 0, **chosen: object
    ) -> SweepCurve:
        """Any number of any table over models, layers and sites, aligned by relative depth; `.plot()` draws it.

        Args:
            measure: a column of the summary ("auroc_heldout", "confirmed"), alignment ("rsa_rho", "valence_r"), ratings
                ("r") or steering; a table's name before it ("ratings.r") where several have it.
            n_bootstrap: of intervals over emotions.
            seed: of them.
            **chosen: values of columns that are kept, such as `language="en"` or `layer=[1, 2]`.

        Raises:
            UnknownNameError: no such measure, column or value.

        Example:
            >>> ei.load_sweep("runs/layers").measure("rsa_rho", kind="dense").plot()  # doctest: +SKIP
        """
        table, column = self._column(measure)
        return curve_of(chosen_rows(table, chosen), column, n_bootstrap, seed)

    @checked
    def best(
        self, measure: str = "auroc_heldout", *, n_bootstrap: int = 2000, seed: int = 0, **chosen: object
    ) -> pd.DataFrame:
        """The best site of each subject, language, position and seed: chosen on the discovery half, reported on the other.

        Args:
            measure: "auroc_heldout", "coverage_heldout" or "held_out_specificity".
            n_bootstrap: of the interval over emotions.
            seed: of it.
            **chosen: values of columns that are kept.

        Raises:
            UnknownNameError: another measure, which has no half to choose on; no such column or value.
        """
        return best_sites(chosen_rows(self.summary, chosen), measure, n_bootstrap, seed)

    @checked
    def difference(
        self,
        first: Mapping[str, object],
        second: Mapping[str, object],
        measure: str = "auroc_heldout",
        *,
        n_bootstrap: int = 2000,
        seed: int = 0,
    ) -> SweepDifference:
        """Whether two subjects, SAEs, layers or positions differ, by a bootstrap over the emotions that both have.

        Args:
            first: values of columns that choose its rows, such as {"subject": "a", "layer": 3}.
            second: the same of what it is compared with.
            measure: a number of the summary or steering, which have a row for each emotion.
            n_bootstrap: resamples, and random changes of sign for p.
            seed: of both.

        Raises:
            UnknownNameError: no such measure, column or value.
            EmotionInterpError: a measure without emotions, or fewer than three emotions in common.

        Example:
            >>> results.difference({"subject": "a"}, {"subject": "b"}).frame["difference"]  # doctest: +SKIP
        """
        table, column = self._column(measure)
        if "emotion" not in table:
            raise EmotionInterpError(
                f"{measure!r} has no row for each emotion, so nothing can be paired; use the summary's."
            )
        return difference_of(table, column, first, second, n_bootstrap, seed)

    def _column(self, measure: str) -> tuple[pd.DataFrame, str]:
        """The table that has a measure, and its column there."""
        name, _, column = measure.rpartition(".")
        there = [t for t in TABLES if f"{t}.parquet" in self.digests]
        if name:
            if name not in there:
                raise UnknownNameError("table of the sweep", name, there)
            return self.table(name), column
        for table in map(self.table, there):
            if column in table:
                return table, column
        known = [f"{t}.{c}" for t in there for c in self.table(t).select_dtypes("number").columns]
        raise UnknownNameError("measure", measure, known)

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
