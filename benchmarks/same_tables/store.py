"""Any result as a plain table, and folders of such tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

LIBRARIES = (
    "torch",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-learn",
    "transformers",
    "transformer-lens",
    "sae-lens",
)
WIDTH = 5
"""Digits of a column's number, so that the columns of an array sort as they stand."""


def plain(value: Any) -> pd.DataFrame:
    """A frame, array, result, dataclass, mapping, list or text as one frame: columns by name, cells numbers or texts."""
    frame = _frame(value)
    if not isinstance(frame.index, pd.RangeIndex):
        names = [name or f"index_{i}" for i, name in enumerate(frame.index.names)]
        frame = frame.set_axis(frame.index.set_names(names), axis=0).reset_index()
    names = [c if isinstance(c, str) else f"{c:0{WIDTH}d}" if isinstance(c, int) else str(c) for c in frame.columns]
    frame = frame.set_axis(names, axis=1)
    return pd.DataFrame({name: _column(frame[name]) for name in sorted(names)}, index=pd.RangeIndex(len(frame)))


def _frame(value: Any) -> pd.DataFrame:
    if isinstance(value, pd.DataFrame):
        return value
    if isinstance(value, pd.Series):
        return value.to_frame("value")
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        if value.ndim < 2:
            return pd.DataFrame({"value": np.atleast_1d(value)})
        return pd.DataFrame(value.reshape(-1, value.shape[-1]))
    if hasattr(value, "to_frame"):
        return value.to_frame()
    if hasattr(value, "vector"):
        return _frame(np.asarray(value.vector))
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        return pd.DataFrame(value)
    if isinstance(value, str):
        return pd.DataFrame({"line": value.splitlines()})
    rows = list(leaves(value))
    # "path" makes a table that is compared by name: see `compare_tables`
    numbers = [float(v) if isinstance(v, (bool, int, float, np.number)) else np.nan for _, v in rows]
    texts = [None if isinstance(v, (bool, int, float, np.number)) else _text(v) for _, v in rows]
    return pd.DataFrame({"path": [path for path, _ in rows], "number": numbers, "text": texts})


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and text within mappings, lists, arrays and dataclasses, with where it stands."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, pd.DataFrame):
        value = value.to_dict("list")
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from leaves(value[key], f"{path}/{key}")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}/{i}")
    else:
        yield path, value


def _column(column: Any) -> Any:
    """Numbers as they are, anything else as texts."""
    if isinstance(column, pd.DataFrame):
        raise ValueError(f"two columns are called {column.columns[0]!r}")
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column.to_numpy()
    return pd.array([_text(v) for v in column], dtype=pd.StringDtype("python"))


def _text(value: Any) -> str | None:
    """A cell as text; floats with every digit."""
    if isinstance(value, str):
        # no file of texts holds half of a surrogate pair
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, np.generic):
        return _text(value.item())
    if isinstance(value, np.ndarray):
        return _text(value.tolist())
    if isinstance(value, (list, tuple)):
        return json.dumps([_text(v) for v in value], ensure_ascii=False)
    if isinstance(value, (set, frozenset)):
        return _text(sorted(value, key=str))
    if isinstance(value, Mapping):
        return json.dumps({str(k): _text(v) for k, v in sorted(value.items(), key=str)}, ensure_ascii=False)
    return repr(value) if isinstance(value, float) else str(value)


def write_table(folder: Path, name: str, frame: pd.DataFrame) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder / f"{name}.parquet", index=False)


def read_table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"{name}.parquet")


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def versions() -> dict[str, str]:
    """Of the libraries on which the last bits depend."""
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = "none"
    return installed
