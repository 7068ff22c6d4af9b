"""A feature bank on disk: parquet tables, safetensors and a manifest with SHA-256; read back only where all of it agrees."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, FileFormatError, NotFiniteError
from emotion_interp.core.files import atomic_folder, read_json, require_place, sha256_file, write_json
from emotion_interp.core.types import Site

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.features.bank import FeatureBank

FORMAT_VERSION = 1
_FILES: tuple[str, ...] = (
    "features.parquet",
    "summary.parquet",
    "words.parquet",
    "activations.parquet",
    "directions.safetensors",
)
_RATES = "rates.parquet"
"""Optional: banks found before it was added lack it and still load."""
_COLUMNS = {
    "features.parquet": ("layer", "site", "language", "emotion", "feature", "p", "q", "auroc", "selected", "top"),
    "summary.parquet": ("layer", "language", "emotion", "feature", "auroc_heldout", "confirmed", "dense_auroc"),
    "words.parquet": ("unit", "language", "emotion", "word", "group", "side"),
    "activations.parquet": ("layer", "unit", "feature", "activation"),
    _RATES: ("layer", "language", "feature", "rate"),
}
KEYS = ("layer", "site", "language", "emotion", "feature")
"""What names a row of `features` and of the tables that are joined to it."""
EXTRA_TABLES: dict[str, tuple[str, ...]] = {
    "controls": KEYS,
    "outputs": KEYS,
    "transfer": (*KEYS, "tested_on", "auroc", "p_holm", "transfers"),
    "tokens": ("layer", "site", "feature", "promoted", "suppressed"),
    "examples": ("layer", "site", "feature", "rank", "activation"),
    "probes": ("layer", "site", "language", "emotion", "k", "features", "weights"),
}
"""Optional tables that later analyses add to a bank, with the columns each must have."""
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
        own = {*_FILES, _RATES, "manifest.json", *CARDS, *(f"{name}.parquet" for name in EXTRA_TABLES)}
        foreign = sorted(entry.name for entry in path.iterdir() if entry.name not in own)
        if foreign:
            raise EmotionInterpError(
                f"{path} holds {foreign[0]!r}, which is no part of a bank; saving replaces the whole folder. Name a new "
                "folder, such as one inside it."
            )


def write_bank(bank: FeatureBank, path: str | Path) -> Path:
    """Write a bank as a folder; see `FeatureBank.save`."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path = Path(path)
    require_bank_place(path)
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
        arrays = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in bank.directions.items()}
        metadata = {"scales": json.dumps(scales, sort_keys=True)}
        try:
            save_file(arrays, str(folder / "directions.safetensors"), metadata=metadata)
        except SafetensorError as error:
            # a full disk reaches Python as this, not as OSError
            raise EmotionInterpError(f"cannot write {path}: {error}. Choose a folder with space left.") from error
        manifest = {
            **bank.manifest,
            "format": "emotion_interp.feature_bank",
            "format_version": FORMAT_VERSION,
            "scales": scales,
            "files": {name: sha256_file(folder / name) for name in names},
        }
        write_json(folder / "manifest.json", manifest)
    return path


def read_bank(path: str | Path) -> dict[str, Any]:
    """The fields of a `FeatureBank` from its folder; see `FeatureBank.load`."""
    import pandas as pd
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(path)
    if not (path / "manifest.json").is_file():
        raise FileFormatError(
            f"there is no feature bank at {path}: a bank is a folder with a manifest.json, as bank.save(folder) or "
            "`emotion-interp features find --out FOLDER` writes it."
        )
    manifest = read_json(path / "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != "emotion_interp.feature_bank":
        raise FileFormatError(f"{path} is no feature bank: its manifest.json is of another kind.")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise FileFormatError(
            f"{path} has bank format {manifest.get('format_version')}; this version reads {FORMAT_VERSION}. Find the features again."
        )
    _check_hashes(path, manifest.get("files", {}))
    try:
        frames = [pd.read_parquet(path / name) for name in _FILES[:4]]
        rates = pd.read_parquet(path / _RATES) if _RATES in manifest["files"] else None
        extras = {
            n: pd.read_parquet(path / f"{n}.parquet") for n in EXTRA_TABLES if f"{n}.parquet" in manifest["files"]
        }
        directions = load_file(str(path / "directions.safetensors"))
    except (OSError, ValueError, SafetensorError) as error:
        raise FileFormatError(f"{path} cannot be read: {error}") from error
    named: dict[str, Any] = dict(zip(_FILES[:4], frames, strict=True))
    if rates is not None:
        named[_RATES] = rates
    for name, frame in named.items():
        check_columns(str(path / name), frame, _COLUMNS[name])
    for name, frame in extras.items():
        check_columns(str(path / f"{name}.parquet"), frame, EXTRA_TABLES[name])
    n_emotions = len(manifest.get("emotions", ()))
    for key, array in directions.items():
        if array.ndim != 2 or array.shape[0] != n_emotions:
            raise FileFormatError(
                f"{path}: {key} has shape {array.shape}, expected [{n_emotions} emotions, dimension]."
            )
        if not np.isfinite(array).all():
            raise NotFiniteError(f"{path}: {key} has NaN or infinite values.")
    scales = {Site.parse(k): float(v) for k, v in manifest["scales"].items()}
    features, summary, words, activations = frames
    return {
        "features": features,
        "summary": summary,
        "words": words,
        "activations": activations,
        "directions": directions,
        "scales": scales,
        "manifest": manifest,
        "rates": rates,
        "extras": extras,
    }


def check_columns(name: str, frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse a table that lacks columns (`FileFormatError`)."""
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise FileFormatError(f"{name} lacks the columns {missing}.")


def _check_hashes(path: Path, hashes: dict[str, str]) -> None:
    if set(hashes) - {_RATES, *(f"{name}.parquet" for name in EXTRA_TABLES)} != set(_FILES):
        raise FileFormatError(f"{path}: the manifest names the files {sorted(hashes)}, expected {sorted(_FILES)}.")
    for name, expected in hashes.items():
        if not (path / name).is_file():
            raise FileFormatError(f"{path / name} is missing.")
        if sha256_file(path / name) != expected:
            raise FileFormatError(
                f"{path / name} was changed after it was saved (its SHA-256 differs from the manifest)."
            )
