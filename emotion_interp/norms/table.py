"""Norms: human ratings of words, with what is known of their precision."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emotion_interp.core import EmotionInterpError, FileFormatError, NotFiniteError, UnknownNameError
from emotion_interp.core.arguments import checked_methods

if TYPE_CHECKING:
    import pandas as pd

DIMENSIONS = ("valence", "arousal", "dominance")
UNITS = ("word", "sentence")
_KEYS = ("exact", "case", "script", "plain", "form")


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
        EmotionInterpError: ratings outside the scale.

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
        found = {}
        for dimension in self.dimensions:
            if f"{dimension}_sd" not in self.table or f"{dimension}_n" not in self.table:
                continue
            means, deviations, raters = (
                self.table[c].to_numpy(float) for c in (dimension, f"{dimension}_sd", f"{dimension}_n")
            )
            known = np.isfinite(means) & np.isfinite(deviations) & (raters > 0)
            if known.sum() >= 3 and np.var(means[known], ddof=1) > 0:
                noise = np.mean(deviations[known] ** 2 / raters[known])
                found[dimension] = float(np.clip(1 - noise / np.var(means[known], ddof=1), 0, 1))
        return found

    @property
    def ceiling(self) -> dict[str, float]:
        """Dimension -> the highest r that any predictor can be expected to reach: the square root of the reliability."""
        return {dimension: float(np.sqrt(value)) for dimension, value in self.reliability.items()}

    @cached_property
    def _index(self) -> dict[str, dict[str, int]]:
        index: dict[str, dict[str, int]] = {key: {} for key in _KEYS}
        plain: dict[str, set[int]] = {}
        forms = self.table["form"].tolist() if "form" in self.table else []
        scripts = _simplified(self.words) if self.language == "zh" else []
        for row, word in enumerate(self.words):
            index["exact"].setdefault(_composed(word), row)
            index["case"].setdefault(_composed(word).casefold(), row)
            if scripts:
                index["script"].setdefault(scripts[row], row)
            bare = _without_accents(_composed(word).casefold())
            plain.setdefault(bare, set()).add(row)
            if forms and isinstance(forms[row], str):
                index["form"].setdefault(_composed(forms[row]).casefold(), row)
        # an unaccented spelling stands for an accented word only when there is no second candidate
        index["plain"] = {bare: next(iter(rows)) for bare, rows in plain.items() if len(rows) == 1}
        return index

    def _rows(self, words: Iterable[str]) -> list[int]:
        if isinstance(words, str):
            raise EmotionInterpError(f"words are given as a list, got one string {words!r}. Write [{words!r}].")
        words = [str(w) for w in words]
        index = self._index
        scripts = _simplified(words) if self.language == "zh" else words
        found = []
        for word, script in zip(words, scripts, strict=True):
            composed = _composed(word)
            folded = composed.casefold()
            tries = [("exact", composed), ("case", folded), ("script", script)]
            # "ano" may stand for "anó"; "anó" never for "ano": an accent that was written was meant
            if _without_accents(folded) == folded:
                tries.append(("plain", folded))
            tries.append(("form", folded))
            found.append(next((index[key][text] for key, text in tries if text in index[key]), -1))
        return found

    def lookup(self, words: Iterable[str]) -> pd.DataFrame:
        """The ratings of `words`, one row per word in the given order, NaN where there is none.

        Case does not matter, nor does Unicode composition. Chinese is compared in simplified script. A word written
        without accents finds the accented one when it is the only candidate, never the other way round. `matched` is
        the table's own spelling.

        Example:
            >>> load_norms("builtin").lookup(["JOY"])["matched"].tolist()  # doctest: +SKIP
            ['joy']
        """
        words = words if isinstance(words, str) else list(words)
        rows = np.array(self._rows(words), dtype=int)
        frame = self.table.reindex(np.where(rows < 0, len(self.table), rows)).reset_index(drop=True)
        frame = frame.rename(columns={"word": "matched"})
        frame.insert(0, "word", [str(w) for w in words])
        return frame

    def matched(self, words: Iterable[str]) -> list[str]:
        """Those of `words` that have a rating."""
        words = words if isinstance(words, str) else list(words)
        return [w for w, row in zip(words, self._rows(words), strict=True) if row >= 0]

    def unmatched(self, words: Iterable[str]) -> list[str]:
        """Those of `words` that have no rating."""
        words = words if isinstance(words, str) else list(words)
        return [w for w, row in zip(words, self._rows(words), strict=True) if row < 0]

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
        rows = sorted({row for row in self._rows(words) if row >= 0})
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
        import html

        head: Any = self.table.head(8)
        return f"<p>{html.escape(repr(self))}<br><small>{html.escape(self.citation)}</small></p>{head.to_html(index=False)}"


def _composed(word: str) -> str:
    return unicodedata.normalize("NFC", word.strip())


def _without_accents(word: str) -> str:
    # ñ is a letter of its own, no accented n: año is not ano
    kept = []
    for letter in word:
        kept.append(letter if letter == "ñ" else unicodedata.normalize("NFD", letter)[0])
    return "".join(kept)


def _simplified(words: Iterable[str]) -> list[str]:
    import zhconv

    return [zhconv.convert(_composed(w).casefold(), "zh-hans") for w in words]


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
    doubled = table["word"].map(_composed).duplicated()
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
            table[f"{dimension}_n"] = table["n"].astype("float64")
    raters = [f"{d}_n" for d in DIMENSIONS if f"{d}_n" in table]
    if raters:
        table["n"] = table[raters].min(axis=1)
    return table
