"""Norms: human ratings of words, with what is known of their precision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emotion_interp.core import EmotionInterpError, FileFormatError, NotFiniteError, UnknownNameError
from emotion_interp.core.arguments import checked_methods
from emotion_interp.core.frames import rows_where
from emotion_interp.core.markup import fragment, frame_html
from emotion_interp.norms.matching import WordIndex, composed

if TYPE_CHECKING:
    import pandas as pd

DIMENSIONS = ("valence", "arousal", "dominance")
UNITS = ("word", "sentence")


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class Norms:
    """Human ratings of words: word -> valence, arousal, dominance, with SD and n where known.

    `table` has one row per word: `word`, `valence`, and where known `arousal`, `dominance`, `<dimension>_sd`,
    `<dimension>_n` (raters of that dimension), `n` (the fewest raters of any dimension) and `form` (the word that was
    really rated, where it is not `word`). Where whole sentences were rated, `unit` is "sentence", `word` the sentence,
    and `group` the document it stems from. `scale` holds the two ends of the rating scale. `sources` maps each file it
    was read from to its SHA-256.

    Raises:
        FileFormatError: columns missing, words empty or listed twice.
        NotFiniteError: a valence that is missing or infinite.
        EmotionInterpError: ratings outside the scale; an SD or a number of raters below 0 or infinite.

    Example:
        >>> import pandas as pd
        >>> norms = Norms("mine", "en", pd.DataFrame({"word": ["joy", "grief"], "valence": [8.2, 1.9]}), (1, 9))
        >>> norms.lookup(["Joy", "zebra"])["valence"].tolist()
        [8.2, nan]
    """

    name: str
    language: str
    table: pd.DataFrame
    scale: tuple[float, float]
    citation: str = ""
    licence: str = ""
    sources: dict[str, str] = field(default_factory=dict)
    unit: Literal["word", "sentence"] = "word"

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise UnknownNameError("unit of norms", self.unit, UNITS)
        low, high = (float(end) for end in self.scale)
        if not low < high:
            raise EmotionInterpError(f"a scale is (low, high) with low below high, got {self.scale}.")
        object.__setattr__(self, "scale", (low, high))
        object.__setattr__(self, "table", _checked(self.table, self.name, (low, high)))

    @property
    def words(self) -> list[str]:
        """The rated words, in the order of the table."""
        return self.table["word"].tolist()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Which of valence, arousal and dominance were rated."""
        return tuple(d for d in DIMENSIONS if d in self.table)

    @cached_property
    def reliability(self) -> dict[str, float]:
        """Dimension -> 1 - mean(SD^2 / n) / variance of the means, over the words whose SD and n are known.

        The share of the variance between words that is no sampling error of the raters. Dimensions without SD or n
        are left out.
        """
        values = {}
        for dimension in self.dimensions:
            if f"{dimension}_sd" not in self.table or f"{dimension}_n" not in self.table:
                continue
            means, deviations, raters = (
                self.table[c].to_numpy(float) for c in (dimension, f"{dimension}_sd", f"{dimension}_n")
            )
            known = np.isfinite(means) & np.isfinite(deviations) & (raters > 0)
            if known.sum() >= 3 and np.var(means[known], ddof=1) > 0:
                noise = np.mean(deviations[known] ** 2 / raters[known])
                values[dimension] = float(np.clip(1 - noise / np.var(means[known], ddof=1), 0, 1))
        return values

    @property
    def ceiling(self) -> dict[str, float]:
        """Dimension -> the highest r that any predictor can be expected to reach: the square root of the reliability."""
        return {dimension: float(np.sqrt(value)) for dimension, value in self.reliability.items()}

    @cached_property
    def _index(self) -> WordIndex:
        forms = self.table["form"].tolist() if "form" in self.table else []
        return WordIndex(self.words, forms, self.language)

    def _rows(self, words: Iterable[str]) -> list[tuple[int, str]]:
        if isinstance(words, str):
            raise EmotionInterpError(f"words are given as a list, got one string {words!r}. Write [{words!r}].")
        return self._index.find([str(w) for w in words])

    def lookup(self, words: Iterable[str]) -> pd.DataFrame:
        """The ratings of `words`, one row per word in the given order, NaN where there is none.

        Case does not matter, nor does Unicode composition. Chinese is compared across simplified and traditional script. In
        languages where an accent may be left out in writing (see `FOLDED`), a word without it finds the accented one when
        it is the only candidate, never the other way round. `matched` is the table's own spelling; `matched_by` says how it
        was found: "exact", "case", "script", "accents", "form" (the word that was really rated), or "" where it was not.

        Example:
            >>> load_norms("builtin").lookup(["JOY"])[["matched", "matched_by"]].values.tolist()  # doctest: +SKIP
            [['joy', 'case']]
        """
        words = words if isinstance(words, str) else list(words)
        places = self._rows(words)
        rows = np.array([row for row, _ in places], dtype=int)
        frame = self.table.reindex(np.where(rows < 0, len(self.table), rows)).reset_index(drop=True)
        frame = frame.rename(columns={"word": "matched"})
        frame.insert(0, "word", [str(w) for w in words])
        frame.insert(2, "matched_by", [how for _, how in places])
        return frame

    def match_report(self, words: Iterable[str]) -> pd.DataFrame:
        """How `words` were found: word, matched, matched_by; one row per word that is not in the table as it is written.

        Example:
            >>> load_norms("builtin").match_report(["joy", "JOY", "zebra"]).values.tolist()  # doctest: +SKIP
            [['JOY', 'joy', 'case'], ['zebra', nan, '']]
        """
        frame = rows_where(self.lookup(words), ["word", "matched", "matched_by"])
        return frame[frame["matched_by"] != "exact"].reset_index(drop=True)

    def matched(self, words: Iterable[str]) -> list[str]:
        """Those of `words` that have a rating."""
        words = words if isinstance(words, str) else list(words)
        return [w for w, (row, _) in zip(words, self._rows(words), strict=True) if row >= 0]

    def unmatched(self, words: Iterable[str]) -> list[str]:
        """Those of `words` that have no rating."""
        words = words if isinstance(words, str) else list(words)
        return [w for w, (row, _) in zip(words, self._rows(words), strict=True) if row < 0]

    def rescale(self, low: float, high: float) -> Norms:
        """The same ratings on the scale from `low` to `high` (linear; SDs shrink or grow with it)."""
        factor = (high - low) / (self.scale[1] - self.scale[0])
        table = self.table.copy()
        for dimension in self.dimensions:
            # clipped, because the ends may be missed by a rounding error
            table[dimension] = np.clip(low + (table[dimension] - self.scale[0]) * factor, low, high)
            if f"{dimension}_sd" in table:
                table[f"{dimension}_sd"] *= factor
        return replace(self, table=table, scale=(low, high))

    def subset(self, words: Iterable[str]) -> Norms:
        """Only the rows that `words` match; its reliability is that of these rows."""
        rows = sorted({row for row, _ in self._rows(words) if row >= 0})
        if not rows:
            raise EmotionInterpError(f"none of the words has a rating in the norms {self.name!r}.")
        return replace(self, table=self.table.iloc[rows].reset_index(drop=True))

    def to_frame(self) -> pd.DataFrame:
        """A copy of the table."""
        return self.table.copy()

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        ceilings = ", ".join(f"{d} {c:.3f}" for d, c in self.ceiling.items()) or "unknown"
        low, high = self.scale
        return f"Norms({self.name!r}, {self.language}, {len(self):,} {self.unit}s, scale {low:g} to {high:g}, ceiling {ceilings})"

    def _repr_html_(self) -> str:
        head = self.table.head(8)
        return fragment("<p>{}<br><small>{}</small></p>{}", repr(self), self.citation, frame_html(head))


def _checked(table: Any, name: str, scale: tuple[float, float]) -> pd.DataFrame:
    """A clean copy of the table, or the reason why it cannot be norms."""
    missing = [c for c in ("word", "valence") if c not in table]
    if missing:
        raise FileFormatError(
            f"norms {name!r} lack the column(s) {', '.join(missing)}; they have {', '.join(map(str, table.columns))}."
        )
    table = table.reset_index(drop=True).copy()
    if table["word"].isna().any() or (table["word"].astype(str).str.strip() == "").any():
        raise FileFormatError(f"norms {name!r} have rows without a word; give every rating its word.")
    table["word"] = table["word"].astype(str)
    doubled = table["word"].map(composed).duplicated()
    if doubled.any():
        shown = ", ".join(map(repr, table["word"][doubled].head(5)))
        raise FileFormatError(f"norms {name!r} list {int(doubled.sum())} word(s) twice ({shown}); each may occur once.")
    low, high = scale
    for dimension in (d for d in DIMENSIONS if d in table):
        try:
            values = table[dimension].to_numpy(float)
        except (ValueError, TypeError) as error:
            raise FileFormatError(
                f"norms {name!r}: the {dimension} column holds something that is no number: {error}."
            ) from None
        if dimension == "valence" and not np.isfinite(values).all():
            word = table["word"][int(np.argmin(np.isfinite(values)))]
            raise NotFiniteError(f"norms {name!r}: the valence of {word!r} is missing or infinite.")
        outside = (values < low - 1e-9) | (values > high + 1e-9)
        if outside.any():
            row = int(np.argmax(outside))
            raise EmotionInterpError(
                f"norms {name!r}: the {dimension} of {table['word'][row]!r} is {values[row]:g}, outside the scale "
                f"{low:g} to {high:g}. Give the right scale=(low, high)."
            )
        table[dimension] = values
        if "n" in table and f"{dimension}_n" not in table:
            _check_counted(table, "n", name)
            table[f"{dimension}_n"] = table["n"].astype("float64")
    for column in (f"{d}{kind}" for d in DIMENSIONS for kind in ("_sd", "_n") if f"{d}{kind}" in table):
        _check_counted(table, column, name)
    raters = [f"{d}_n" for d in DIMENSIONS if f"{d}_n" in table]
    if raters:
        table["n"] = table[raters].min(axis=1)
    return table


def _check_counted(table: pd.DataFrame, column: str, name: str) -> None:
    """An SD or a number of raters is missing, or a finite number that is not negative."""
    try:
        values = table[column].to_numpy(float)
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"norms {name!r}: {column} holds something that is no number: {error}.") from None
    wrong = (values < 0) | np.isinf(values)
    if wrong.any():
        row = int(np.argmax(wrong))
        what = "a standard deviation" if column.endswith("_sd") else "a number of raters"
        raise EmotionInterpError(
            f"norms {name!r}: {column} of {table['word'][row]!r} is {values[row]:g}; {what} is finite and not below 0."
        )
