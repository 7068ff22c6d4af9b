"""Emotion spaces from files: vectors that somebody else published, analysed without their model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.arguments import checked
from emotion_interp.geometry.space import EmotionSpace

SUFFIXES = (".npz", ".safetensors", ".npy", ".csv")
NAMES = "emotions"


@checked
def load_space(
    path: str | Path,
    emotions: Iterable[str] | None = None,
    *,
    array: str | None = None,
    layer: int | None = None,
    kind: str = "custom",
    language: str | None = None,
) -> EmotionSpace:
    """An emotion space [emotion, dimension] from a .npz, .safetensors, .npy or .csv file.

    Layouts: one matrix [emotion, dimension], its rows named by an entry `emotions` (a string array in .npz, a JSON list
    in the metadata of .safetensors) or by the argument; or one vector per emotion under its name. A .csv has a header,
    one row per emotion, its name in the column `emotion` (or else the first) and numbers in the others.

    Args:
        path: the file.
        emotions: the names of the rows, where the file does not give them; else which emotions to take, in this order.
        array: the matrix to take where a file holds several.
        layer, kind, language: noted in the space.

    Raises:
        FileFormatError: the file is missing, broken, of another kind, or its layout is none of these.
        UnknownNameError: no such array or emotion.
        EmotionInterpError: rows without names; shapes that disagree; NaN or infinite entries.

    Example:
        >>> load_space("vectors.npz", layer=12)  # doctest: +SKIP
        EmotionSpace(26 emotions x 768 dimensions, layer=12, kind='custom')
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FileFormatError(f"{path} ends in {suffix!r}; emotion spaces are read from {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist; give a file that ends in {', '.join(SUFFIXES)}.")
    wanted = None if emotions is None else [str(e) for e in _listed(emotions)]
    if suffix == ".csv":
        names, vectors = _read_csv(path)
    else:
        arrays, stored = {".npz": _read_npz, ".npy": _read_npy, ".safetensors": _read_safetensors}[suffix](path)
        names, vectors = _layout(path, arrays, stored, array)
    if names is None:
        if wanted is None:
            raise EmotionInterpError(
                f"{path} does not say which emotion each of its {len(vectors)} rows is; give emotions=[...]."
            )
        return EmotionSpace(vectors, wanted, layer, kind, language)
    space = EmotionSpace(vectors, names, layer, kind, language)
    return space if wanted is None else space.subset(wanted)


def _listed(emotions: Iterable[str]) -> Iterable[str]:
    if isinstance(emotions, str):
        raise EmotionInterpError(f"emotions are given as a list of names, got the string {emotions!r}.")
    return emotions


def _layout(
    path: Path, arrays: dict[str, np.ndarray], stored: list[str] | None, array: str | None
) -> tuple[list[str] | None, np.ndarray]:
    """Names (None where the file has none) and matrix of a file with named arrays."""
    for name, values in arrays.items():
        if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
            raise FileFormatError(f"{path}: the array {name!r} holds {values.dtype}; vectors are real numbers.")
    if array is not None:
        if array not in arrays:
            raise UnknownNameError(f"array of {path.name}", array, arrays)
        arrays = {array: arrays[array]}
    shapes = ", ".join(f"{name} {values.shape}" for name, values in arrays.items()) or "nothing"
    if len(arrays) == 1 and (matrix := next(iter(arrays.values()))).ndim == 2:
        return stored, matrix
    if len(arrays) > 1 and all(v.ndim == 1 for v in arrays.values()):
        if len({len(v) for v in arrays.values()}) > 1:
            raise FileFormatError(f"{path}: the vectors are not of one length ({shapes}).")
        return list(arrays), np.stack(list(arrays.values()))
    raise FileFormatError(
        f"{path} holds {shapes}; one matrix [emotion, dimension] or one vector for each emotion is needed. Where there "
        f"are several matrices, name one with array=."
    )


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], list[str] | None]:
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path} is not a readable .npz file without pickled objects: {error}.") from error
    stored = None
    if NAMES in arrays and arrays[NAMES].dtype.kind in "US":
        names = arrays.pop(NAMES)
        stored = [n.decode("utf-8") if isinstance(n, bytes) else str(n) for n in np.atleast_1d(names).tolist()]
    return arrays, stored


def _read_npy(path: Path) -> tuple[dict[str, np.ndarray], list[str] | None]:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileFormatError(f"{path} is not a readable .npy file without pickled objects: {error}.") from error
    if not isinstance(values, np.ndarray):
        raise FileFormatError(f"{path} is an archive of arrays; rename it to .npz.")
    return {path.stem: values}, None


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], list[str] | None]:
    from safetensors import SafetensorError, safe_open

    try:
        # read through torch: numpy has no bfloat16
        with safe_open(str(path), framework="pt") as file:
            arrays = {name: file.get_tensor(name).double().numpy() for name in file.keys()}  # noqa: SIM118
            text = (file.metadata() or {}).get(NAMES)
    except (OSError, SafetensorError) as error:
        raise FileFormatError(f"{path} is not a readable .safetensors file: {error}.") from error
    if text is None:
        return arrays, None
    try:
        names = json.loads(text)
    except ValueError:
        names = [part.strip() for part in text.split(",")]
    if not isinstance(names, list):
        raise FileFormatError(f"{path}: the metadata entry {NAMES!r} is a list of names, got {text[:60]!r}.")
    return arrays, [str(n) for n in names]


def _read_csv(path: Path) -> tuple[list[str] | None, np.ndarray]:
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path} is not a readable CSV file in UTF-8: {error}.") from error
    numbers: Any = frame.apply(pd.to_numeric, errors="coerce")
    named = "emotion" if "emotion" in frame else next(iter(frame.columns), None)
    names = None
    if named is not None and (named == "emotion" or numbers[named].isna().any()):
        names = frame[named].str.strip().tolist()
        frame, numbers = frame.drop(columns=named), numbers.drop(columns=named)
    if not numbers.size:
        raise FileFormatError(f"{path} has no numbers; one row per emotion and one column per dimension are needed.")
    wrong = numbers.isna().to_numpy() & (frame.map(str.strip).map(str.lower) != "nan").to_numpy()
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise FileFormatError(
            f"{path}, row {row + 2}, column {frame.columns[column]!r}: a number is needed, got "
            f"{frame.iloc[row, column]!r}."
        )
    return names, numbers.to_numpy(float)
