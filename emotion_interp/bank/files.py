"""A feature bank on disk: parquet tables, safetensors and a manifest with SHA-256; read back only where all of it agrees."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from emotion_interp.bank.directions import Directions
from emotion_interp.bank.manifest import check_manifest
from emotion_interp.bank.schema import KEYS as KEYS
from emotion_interp.bank.schema import check_bank, check_scales, rows_of
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, tell
from emotion_interp.core.files import (
    atomic_folder,
    read_json,
    read_signed_json,
    require_place,
    sha256_file,
    write_signed_json,
)
from emotion_interp.core.leftovers import found_folder, is_temporary
from emotion_interp.core.parquet import read_parquet
from emotion_interp.core.reading import checked_name
from emotion_interp.core.types import Site

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank

_FORMAT = "emotion_interp.feature_bank"
FORMAT_VERSION = 2
"""2: the manifest carries its own SHA-256. Banks of format 1 load with a warning: their manifest vouches for nothing."""
_FILES: tuple[str, ...] = (
    "features.parquet",
    "summary.parquet",
    "words.parquet",
    "activations.parquet",
    "directions.safetensors",
)
_RATES = "rates.parquet"
"""Optional: banks found before it was added lack it and still load."""
EXTRA_TABLES = ("controls", "outputs", "transfer", "tokens", "examples", "probes", "readings", "text_space")
"""Optional tables that later analyses add to a bank; `schema.TABLES` says what each must be."""
CARDS = ("CARD.md", "README.md")
"""Names of a card beside a bank: in `saved_features/`, and where it was pushed."""
JOINED = ("controls", "outputs")
"""Extra tables whose columns `table()` shows beside the scores."""


def require_bank_place(path: str | Path) -> None:
    """Refuse a place where a bank cannot be written, or where it would replace something that is no bank.

    Raises:
        EmotionInterpError: a file, a folder that is not writable, or one that holds files of something else.
    """
    path = Path(path)
    require_place(path, folder=True)
    if path.is_dir():
        bank_files = {*_FILES, _RATES, "manifest.json", *CARDS, *(f"{name}.parquet" for name in EXTRA_TABLES)}
        names = [entry.name for entry in path.iterdir() if entry.name not in bank_files]
        # a card whose writing was killed goes with the folder
        foreign = sorted(name for name in names if not is_temporary(name))
        if foreign:
            raise EmotionInterpError(
                f"{path} holds {foreign[0]!r}, which is no part of a bank; saving replaces the whole folder. Name a new "
                "folder, such as one inside it."
            )


def write_bank(bank: FeatureBank, path: str | Path) -> Path:
    """Write a bank as a folder; see `FeatureBank.save`."""
    path = Path(path)
    require_bank_place(path)
    check_bank(f"the bank for {path}", {f.name: getattr(bank, f.name) for f in dataclasses.fields(bank)})
    with atomic_folder(path) as folder:
        frames = (bank.features, bank.summary, bank.words, bank.activations)
        for name, frame in zip(_FILES[:4], frames, strict=True):
            frame.to_parquet(folder / name, index=False)
        names = list(_FILES)
        if bank.rates is not None:
            bank.rates.to_parquet(folder / _RATES, index=False)
            names.append(_RATES)
        for name, frame in bank.extras.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False)
            names.append(f"{name}.parquet")
        scales = {str(s): v for s, v in bank.scales.items()}
        arrays = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in bank.directions.arrays().items()}
        # one entry: of several, safetensors writes another order each time
        metadata = {"scales": json.dumps(scales, sort_keys=True)}
        try:
            save_file(arrays, str(folder / "directions.safetensors"), metadata=metadata)
        except SafetensorError as error:
            # a full disk reaches Python as this, not as OSError
            raise EmotionInterpError(f"cannot write {path}: {error}. Choose a folder with space left.") from error
        manifest = {
            **bank.manifest,
            "format": _FORMAT,
            "format_version": FORMAT_VERSION,
            "scales": scales,
            "rows": rows_of(folder, names),
            "files": {name: sha256_file(folder / name) for name in names},
        }
        write_signed_json(folder / "manifest.json", manifest)
    return path


def read_bank(path: str | Path) -> dict[str, object]:
    """The fields of a `FeatureBank` from its folder; see `FeatureBank.load`."""
    path = found_folder(checked_name(path, "a bank's folder"))
    manifest = _read_manifest(path)
    _check_hashes(path, manifest.get("files", {}), manifest.get("rows"))
    frames = {name: read_parquet(path / name) for name in manifest["files"] if name.endswith(".parquet")}
    for name in ("activations.parquet", _RATES):
        if name in frames:
            frames[name] = with_sites(frames[name], map(Site.parse, manifest["scales"]))
    try:
        arrays = load_file(str(path / "directions.safetensors"))
        with safe_open(str(path / "directions.safetensors"), framework="np") as file:
            metadata = file.metadata()
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise FileFormatError(f"{path} cannot be read: {error}") from error
    check_scales(str(path), metadata, manifest)
    fields: dict[str, object] = {
        "features": frames["features.parquet"],
        "summary": frames["summary.parquet"],
        "words": frames["words.parquet"],
        "activations": frames["activations.parquet"],
        "directions": Directions.read(str(path), arrays, manifest["emotions"]),
        "scales": {Site.parse(k): float(v) for k, v in manifest["scales"].items()},
        "manifest": manifest,
        "rates": frames.get(_RATES),
        "extras": {n: frames[f"{n}.parquet"] for n in EXTRA_TABLES if f"{n}.parquet" in frames},
    }
    check_bank(str(path), fields)
    return fields


FrameOrNone = TypeVar("FrameOrNone", pd.DataFrame, pd.DataFrame | None)


def with_sites(frame: FrameOrNone, sites: Iterable[Site]) -> FrameOrNone:
    """A table with its column `site`; in banks of earlier versions the layer alone named it."""
    if frame is None or "site" in frame or "layer" not in frame:
        return frame
    names = {site.layer: str(site) for site in sites}
    frame = frame.copy()
    frame.insert(list(frame).index("layer") + 1, "site", frame["layer"].map(names))
    return frame


def manifest_file(path: Path) -> Path:
    """The manifest in a bank's folder.

    Raises:
        FileFormatError: there is none.
    """
    file = path / "manifest.json"
    if not file.is_file():
        raise FileFormatError(
            f"there is no feature bank at {path}: a bank is a folder with a manifest.json, as bank.save(folder) or "
            "`emotion-interp features find --out FOLDER` writes it."
        )
    return file


def _read_manifest(path: Path) -> dict[str, object]:
    file = manifest_file(path)
    manifest = read_json(file)
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise FileFormatError(f"{path} is no feature bank: its manifest.json is of another kind.")
    version = manifest.get("format_version")
    if version not in (1, FORMAT_VERSION) or isinstance(version, bool):
        raise FileFormatError(
            f"{path} has bank format {version!r}; this version reads 1 and {FORMAT_VERSION}. Find the features again."
        )
    manifest, signed = read_signed_json(file)
    if version == FORMAT_VERSION and not signed:
        raise FileFormatError(f"{file} was changed after it was saved (it lacks its own SHA-256).")
    if not signed:
        tell(
            f"{path} was saved by an earlier version: its manifest has no digest, so a changed one would not show. Where "
            "you trust it, load it and save it again."
        )
    check_manifest(str(file), manifest)
    return manifest


def _check_hashes(path: Path, hashes: dict[str, str], rows: dict[str, int] | None) -> None:
    if set(hashes) - {_RATES, *(f"{name}.parquet" for name in EXTRA_TABLES)} != set(_FILES):
        raise FileFormatError(f"{path}: the manifest names the files {sorted(hashes)}, expected {sorted(_FILES)}.")
    for name, expected in hashes.items():
        if not (path / name).is_file():
            raise FileFormatError(f"{path / name} is missing.")
        if sha256_file(path / name) != expected:
            raise FileFormatError(
                f"{path / name} was changed after it was saved (its SHA-256 differs from the manifest)."
            )
    try:
        present = rows_of(path, hashes)
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path} has a table that is no parquet file: {error}.") from None
    for name, count in present.items():
        if rows is not None and rows.get(name) != count:
            raise FileFormatError(f"{path / name} has {count} rows; the manifest says {rows.get(name)}.")
