"""Emotion spaces from files: vectors that somebody else published, analysed without their model."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from safetensors import SafetensorError, safe_open

from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.reading import check_zip, checked_name, parse_json, regular_file, said
from emotion_interp.core.tables import read_table
from emotion_interp.geometry.file_layers import layer_numbers, one_layer, picked_layer

SUFFIXES = (".npz", ".safetensors", ".npy", ".csv")
NAMES = "emotions"


def read_vectors(
    path: str | Path, emotions: Iterable[str] | None, array: str | None, layer: int | None
) -> tuple[list[str] | None, np.ndarray, list[str] | None]:
    """The names that a file gives its rows, the rows [emotion, dimension], and the emotions asked for; see `load_space`.

    Raises:
        FileFormatError: the file is missing, broken, of another kind, or its layout is none of those.
        UnknownNameError: no such array or layer.
        EmotionInterpError: rows without names.
    """
    path = Path(checked_name(path))
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FileFormatError(f"{path} ends in {suffix!r}; emotion spaces are read from {', '.join(SUFFIXES)}.")
    regular_file(path, f"give a file that ends in {', '.join(SUFFIXES)}")
    wanted = None if emotions is None else [str(e) for e in _listed(emotions)]
    if suffix == ".csv":
        names, vectors = _read_csv(path, layer)
    else:
        arrays, stored = {".npz": _read_npz, ".npy": _read_npy, ".safetensors": _read_safetensors}[suffix](path)
        for name, values in arrays.items():
            if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
                raise FileFormatError(f"{path}: the array {name!r} holds {values.dtype}; vectors are real numbers.")
        numbers = layer_numbers(arrays)
        if array is not None:
            if array not in arrays:
                raise UnknownNameError(f"array of {path.name}", array, arrays)
            arrays = {array: arrays[array]}
        arrays = one_layer(path, arrays, stored or wanted, layer, numbers)
        names, vectors = _layout(path, arrays, stored)
    if names is None and wanted is None:
        raise EmotionInterpError(
            f"{path} does not say which emotion each of its {len(vectors)} rows is; give emotions=[...]."
        )
    return names, vectors, wanted


def _listed(emotions: Iterable[str]) -> Iterable[str]:
    if isinstance(emotions, str):
        raise EmotionInterpError(f"emotions are given as a list of names, got the string {emotions!r}.")
    return emotions


def _layout(path: Path, arrays: dict[str, np.ndarray], stored: list[str] | None) -> tuple[list[str] | None, np.ndarray]:
    """Names (None where the file has none) and matrix of a file with named arrays."""
    shapes = ", ".join(f"{name} {values.shape}" for name, values in list(arrays.items())[:12]) or "nothing"
    if len(arrays) == 1 and (matrix := next(iter(arrays.values()))).ndim == 2:
        return stored, matrix
    if len(arrays) > 1 and all(v.ndim == 1 for v in arrays.values()):
        if len({len(v) for v in arrays.values()}) > 1:
            raise FileFormatError(f"{path}: the vectors are not of one length ({shapes}).")
        if stored is not None and set(stored) != set(arrays):
            raise FileFormatError(f"{path}: its list of emotions names other vectors than it holds ({shapes}).")
        return list(arrays), np.stack(list(arrays.values()))
    raise FileFormatError(
        f"{path} holds {shapes}; one matrix [emotion, dimension] or one vector for each emotion is needed. Where there "
        f"are several matrices, name one with array=."
    )


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], list[str] | None]:
    try:
        with zipfile.ZipFile(check_zip(path)) as archive:
            arrays = {
                member.filename.removesuffix(".npy"): _array(archive.open(member), member.file_size)
                for member in archive.infolist()
            }
            if len(arrays) < len(archive.infolist()):
                raise ValueError("two of its arrays have one name")
    except FileFormatError as error:
        raise FileFormatError(f"{path} is not a readable .npz file without pickled objects: {error}") from error
    except _DAMAGE as error:
        raise FileFormatError(f"{path} is not a readable .npz file without pickled objects: {said(error)}.") from error
    stored = None
    if NAMES in arrays and arrays[NAMES].dtype.kind in "US":
        names = arrays.pop(NAMES)
        try:
            stored = [n.decode("utf-8") if isinstance(n, bytes) else str(n) for n in np.atleast_1d(names).tolist()]
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{path}: the entry {NAMES!r} is not UTF-8 text ({error}).") from error
    return arrays, stored


_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    AttributeError,
    TypeError,
    LookupError,
    SyntaxError,
    RuntimeError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise on damaged arrays."""


def _array(handle: IO[bytes], size: int) -> np.ndarray:
    """An array in numpy's format, if it has as many bytes as its header says: else it would fill the memory."""
    with handle:
        version = np.lib.format.read_magic(handle)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in header:
            raise ValueError(f"numpy format {version}")
        shape, fortran, dtype = header[version](handle)
        if dtype.hasobject:
            raise ValueError("it holds pickled objects")
        needed = math.prod(shape) * dtype.itemsize
        if any(n < 0 for n in shape) or needed != size - handle.tell():
            raise ValueError(f"an array of shape {shape} needs {needed:,} bytes, the file has {size - handle.tell():,}")
        raw = handle.read(needed)
        if len(raw) < needed:
            raise ValueError("it ends before its arrays do")
    values = np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
    return values.astype(dtype.newbyteorder("="))


def _read_npy(path: Path) -> tuple[dict[str, np.ndarray], list[str] | None]:
    try:
        with path.open("rb") as handle:
            if handle.read(2) == b"PK":
                raise FileFormatError(f"{path} is an archive of arrays; rename it to .npz.")
            handle.seek(0)
            return {path.stem: _array(handle, path.stat().st_size)}, None
    except FileFormatError:
        raise
    except _DAMAGE as error:
        raise FileFormatError(f"{path} is not a readable .npy file without pickled objects: {said(error)}.") from error


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], list[str] | None]:
    try:
        # read through torch: numpy has no bfloat16
        with safe_open(str(path), framework="pt") as file:
            arrays = {name: file.get_tensor(name).double().numpy() for name in file.keys()}  # noqa: SIM118
            text = (file.metadata() or {}).get(NAMES)
    except (OSError, RuntimeError, ValueError, TypeError, SafetensorError) as error:
        raise FileFormatError(f"{path} is not a readable .safetensors file: {said(error)}.") from error
    if text is None:
        return arrays, None
    names = [part.strip() for part in text.split(",")]
    if text.lstrip().startswith(("[", "{", '"')):
        names = parse_json(text, f"{path}: the metadata entry {NAMES!r}")
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise FileFormatError(f"{path}: the metadata entry {NAMES!r} is a list of names, got {text[:60]!r}.")
    return arrays, names


def _read_csv(path: Path, layer: int | None) -> tuple[list[str] | None, np.ndarray]:
    table = read_table(path)
    if len(set(table.columns)) < len(table.columns):
        twice = sorted({c for c in table.columns if table.columns.count(c) > 1})
        raise FileFormatError(f"{path} has several columns called {', '.join(map(repr, twice))}; name each by itself.")
    named, of_layer = table.find("emotion"), table.find("layer")
    frame = table.frame().fillna("").map(str.strip)
    if of_layer is not None:
        numbers = sorted({_layer_number(path, line, cell) for line, cell in frame[of_layer].items()})
        chosen = picked_layer(path, numbers, layer)
        frame = frame[frame[of_layer].map(float) == chosen].drop(columns=of_layer)
    if table.columns and not table.columns[0]:
        # a row's number, as pandas writes it, or the names
        counted = frame.iloc[:, 0].tolist() == [str(k) for k in range(len(frame))]
        if counted or named is not None:
            frame = frame.drop(columns="")
    if named is None and len(frame.columns) and not frame.iloc[:, 0].map(_is_number).all():
        named = frame.columns[0]
    names = None
    if named is not None:
        names = frame[named].tolist()
        frame = frame.drop(columns=named)
    if not frame.size:
        raise FileFormatError(f"{path} has no numbers; one row per emotion and one column per dimension are needed.")
    if table.separator == ";" or (table.separator == "\t" and not frame.map(lambda c: "." in c).to_numpy().any()):
        frame = frame.map(lambda cell: cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell)
    for line, cells in zip(frame.index, frame.to_numpy(), strict=True):
        for column, cell in zip(frame.columns, cells, strict=True):
            if not _is_number(cell):
                raise FileFormatError(f"{path}, row {line}, column {column!r}: a number is needed, got {cell!r}.")
    return names, frame.to_numpy(float)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace("_", "x"))
    except ValueError:
        return False
    return True


def _layer_number(path: Path, line: object, cell: str) -> int:
    if not cell.isdigit():
        raise FileFormatError(f"{path}, row {line}, column 'layer': a whole number is needed, got {cell!r}.")
    return int(cell)
