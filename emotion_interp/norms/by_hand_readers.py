"""Readers of norms that users bring themselves, after the layouts their authors and users describe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_interp.core import FileFormatError
from emotion_interp.core.tables import read_table
from emotion_interp.norms.cells import numeric, pick

if TYPE_CHECKING:
    import pandas as pd

_DIMENSIONS = {"VAL": "valence", "AROU": "arousal", "DOM": "dominance"}
XU_AROUSAL = (0.0, 4.0)
XU_SCALE = (-3.0, 3.0)


def _by_name(
    path: Path,
    wanted: dict[str, tuple[str, ...]],
    optional: dict[str, tuple[str, ...]],
    bare: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Columns by any of their known names, whatever their case, spaces and underscores; `bare`: where there is no header."""
    table = read_table(path)
    if bare and len(table.columns) == len(bare) and all(map(_is_number, table.columns[1:])):
        table = read_table(path, header=bare)
    columns: dict[str, str] = {}
    for name, spellings in (wanted | optional).items():
        for spelling in spellings:
            matches = [c for c in table.columns if _plain(c) == _plain(spelling)]
            if len(matches) > 1:
                raise FileFormatError(
                    f"{path} has {len(matches)} columns for {name}: {', '.join(map(repr, matches))}. Keep one."
                )
            if matches:
                columns[matches[0]] = name
                break
        else:
            if name in wanted:
                raise FileFormatError(
                    f"{path} has no column for {name} ({' or '.join(map(repr, spellings))}). It has: "
                    f"{', '.join(table.columns)}."
                )
    return numeric(pick(table, columns, path), path)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def read_nrc_vad(paths: Sequence[Path]) -> pd.DataFrame:
    """NRC-VAD-Lexicon.txt (v1, 0 to 1; also without a header) and NRC-VAD-Lexicon-v2.1.txt (-1 to 1): tabs, no SD."""
    names = {"word": ("word", "term")} | {d: (d,) for d in _DIMENSIONS.values()}
    return _by_name(Path(paths[0]), names, {}, bare=tuple(names))


def read_anew(paths: Sequence[Path]) -> pd.DataFrame:
    """ANEW: Description, Word No., Valence Mean, Valence SD, and so on; raters are not counted."""
    names = {"word": ("Description", "Word")}
    names |= {d: (f"{d} Mean",) for d in _DIMENSIONS.values()}
    return _by_name(Path(paths[0]), names, {f"{d}_sd": (f"{d} SD",) for d in _DIMENSIONS.values()})


def read_cvaw(paths: Sequence[Path]) -> pd.DataFrame:
    """CVAW: No., Word, Valence_Mean, Valence_SD, Arousal_Mean, Arousal_SD; comma or tab."""
    names = {"word": ("Word",), "valence": ("Valence_Mean",), "arousal": ("Arousal_Mean",)}
    return _by_name(Path(paths[0]), names, {"valence_sd": ("Valence_SD",), "arousal_sd": ("Arousal_SD",)})


def read_cvaw3(paths: Sequence[Path]) -> pd.DataFrame:
    """CVAW 3: the columns of CVAW and Frequency, values padded with blanks; a word rated twice gets its mean ratings."""
    frame = read_cvaw(paths)
    how = {c: "mean" for c in frame.columns if c != "word"}
    return frame.groupby("word", sort=False, as_index=False).agg(how)


def read_glasgow(paths: Sequence[Path]) -> pd.DataFrame:
    """Glasgow norms: two header rows, the scale's name (AROU, VAL, DOM, ...) over M, SD and N."""
    path = Path(paths[0])
    cells = read_table(path, header=())
    if len(cells) < 3:
        raise FileFormatError(f"{path} needs two header rows and the words below; it has {len(cells)} rows.")
    names, above = [], ""
    for over, under in zip(cells.body[0][1], cells.body[1][1], strict=True):
        above = over.strip() or above
        names.append(f"{above} {under.strip()}".strip())
    body = replace(cells, columns=tuple(names), body=cells.body[2:])
    columns = {"Words" if "Words" in names else "word": "word"}
    for code, name in _DIMENSIONS.items():
        columns |= {f"{code} M": name, f"{code} SD": f"{name}_sd", f"{code} N": f"{name}_n"}
    return numeric(pick(body, columns, path), path)


def read_xu(paths: Sequence[Path]) -> pd.DataFrame:
    """Xu, Li & Chen (2022): valence from -3 to 3, arousal from 0 to 4, which is put on the scale of valence.

    Norms have one scale for all dimensions: arousal becomes 1.5 a - 3, its SD 1.5 SD. Correlations are untouched.
    """
    kinds = {"": ("{} mean", "mean {}", "{}"), "_sd": ("{} SD", "SD {}"), "_n": ("{} N", "N {}", "{} raters")}
    names = {"word": ("Word", "Words", "Item", "\u8bcd", "\u8bcd\u8bed")}
    optional = {}
    for dimension, short in (("valence", "val"), ("arousal", "aro")):
        for kind, patterns in kinds.items():
            spellings = tuple(p.format(d) for p in patterns for d in (dimension, short))
            (optional if kind else names)[dimension + kind] = spellings
    frame = _by_name(Path(paths[0]), names, optional)
    low, high = XU_AROUSAL
    outside = (frame["arousal"] < low) | (frame["arousal"] > high)
    if outside.any():
        row = int(outside.to_numpy().argmax())
        raise FileFormatError(
            f"{paths[0]}: the arousal of {frame['word'][row]!r} is {frame['arousal'][row]:g}; it lies from 0 to 4."
        )
    factor = (XU_SCALE[1] - XU_SCALE[0]) / (high - low)
    frame["arousal"] = XU_SCALE[0] + (frame["arousal"] - low) * factor
    if "arousal_sd" in frame:
        frame["arousal_sd"] *= factor
    return frame


BY_HAND_READERS: dict[str, Callable[[Sequence[Path]], pd.DataFrame]] = {
    "nrc-vad": read_nrc_vad,
    "anew": read_anew,
    "cvaw": read_cvaw,
    "cvaw3": read_cvaw3,
    "glasgow": read_glasgow,
    "xu": read_xu,
}
