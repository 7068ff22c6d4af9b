"""Readers of norms that users bring themselves, after the layouts their authors and users describe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp.core import FileFormatError
from emotion_interp.norms.cells import numeric, pick, read_csv

if TYPE_CHECKING:
    import pandas as pd

_DIMENSIONS = {"VAL": "valence", "AROU": "arousal", "DOM": "dominance"}
XU_AROUSAL = (0.0, 4.0)
XU_SCALE = (-3.0, 3.0)


def _table(path: Path, **options: Any) -> pd.DataFrame:
    """Comma or tab separated, as the first line shows; column names stripped."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            first = file.readline()
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}.") from error
    tabs = "\t" in first
    frame = read_csv(path, separator="\t" if tabs else ",", quoted=not tabs, **options)
    frame.columns = [str(c).strip() for c in frame.columns]
    return frame


def _by_name(path: Path, wanted: dict[str, tuple[str, ...]], optional: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """Columns by any of their known names, whatever their case, spaces and underscores."""
    frame = _table(path)
    plain = {_plain(str(c)): str(c) for c in reversed(list(frame.columns))}
    columns: dict[str, str] = {}
    for name, spellings in (wanted | optional).items():
        found = next((plain[_plain(s)] for s in spellings if _plain(s) in plain), None)
        if found is not None:
            columns[found] = name
        elif name in wanted:
            raise FileFormatError(
                f"{path} has no column for {name} ({' or '.join(map(repr, spellings))}). It has: "
                f"{', '.join(map(str, frame.columns))}."
            )
    return numeric(pick(frame, columns, path), path)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def read_nrc_vad(paths: Sequence[Path]) -> pd.DataFrame:
    """NRC-VAD-Lexicon.txt (v1, 0 to 1) and NRC-VAD-Lexicon-v2.1.txt (-1 to 1): tabs, no SD."""
    return _by_name(
        Path(paths[0]),
        {"word": ("word", "term"), "valence": ("valence",), "arousal": ("arousal",), "dominance": ("dominance",)},
        {},
    )


def read_anew(paths: Sequence[Path]) -> pd.DataFrame:
    """ANEW: Description, Word No., Valence Mean, Valence SD, and so on; raters are not counted."""
    names = {"word": ("Description", "Word")}
    names |= {d: (f"{d} Mean",) for d in _DIMENSIONS.values()}
    return _by_name(Path(paths[0]), names, {f"{d}_sd": (f"{d} SD",) for d in _DIMENSIONS.values()})


def read_cvaw(paths: Sequence[Path]) -> pd.DataFrame:
    """CVAW: No., Word, Valence_Mean, Valence_SD, Arousal_Mean, Arousal_SD; comma or tab."""
    names = {"word": ("Word",), "valence": ("Valence_Mean",), "arousal": ("Arousal_Mean",)}
    return _by_name(Path(paths[0]), names, {"valence_sd": ("Valence_SD",), "arousal_sd": ("Arousal_SD",)})


def read_glasgow(paths: Sequence[Path]) -> pd.DataFrame:
    """Glasgow norms: two header rows, the scale's name (AROU, VAL, DOM, ...) over M, SD and N."""
    path = Path(paths[0])
    frame = _table(path, header=None)
    if len(frame) < 3:
        raise FileFormatError(f"{path} needs two header rows and the words below; it has {len(frame)} rows.")
    names, above = [], ""
    for over, under in zip(frame.iloc[0], frame.iloc[1], strict=True):
        above = over.strip() if isinstance(over, str) else above
        names.append(f"{above} {under.strip()}" if isinstance(under, str) else above)
    body: Any = frame.iloc[2:].reset_index(drop=True)
    body.columns = names
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
    frame: Any = _by_name(Path(paths[0]), names, optional)
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
    "glasgow": read_glasgow,
    "xu": read_xu,
}
