"""Finding, downloading and loading norms."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import tell
from emotion_interp.core.files import sha256_file
from emotion_interp.core.languages import detect_language
from emotion_interp.core.plugins import plugged, plugins
from emotion_interp.core.reading import checked_name, regular_file
from emotion_interp.norms.entry import NormsEntry, NormsFile
from emotion_interp.norms.readers import READERS
from emotion_interp.norms.registry import REGISTRY
from emotion_interp.norms.table import Norms

DATA_VARIABLE = "EMOTION_INTERP_DATA"
"""Environment variable that names a folder with `norms/` in it."""


def cache_folder() -> Path:
    """Where `fetch_norms` puts its downloads."""
    import pooch

    return Path(pooch.os_cache("emotion_interp")) / "norms"


def _entry(name: str) -> NormsEntry:
    if name not in REGISTRY and ("." in str(name) or "/" in str(name)):
        raise EmotionInterpError(
            f"{str(name)!r} is no name of norms; read a file of your own with load_norms('csv', path=...)."
        )
    if name not in REGISTRY:
        raise UnknownNameError("norms", name, [*REGISTRY, *plugins("norms"), "csv"])
    return REGISTRY[name]


def _folders(entry: NormsEntry) -> list[Path]:
    if entry.name == "builtin":
        return [Path(__file__).parent]
    data = os.environ.get(DATA_VARIABLE)
    given = [Path(data) / "norms", Path(data) / "labelled" / (entry.folder or entry.name)] if data else []
    return [*given, cache_folder()]


def _find(entry: NormsEntry) -> list[Path] | None:
    for folder in _folders(entry):
        paths = [folder / file.name for file in entry.files]
        if all(p.is_file() for p in paths):
            return paths
    return None


def _given(entry: NormsEntry, path: str | Path) -> list[Path]:
    path = Path(checked_name(path))
    names = [file.name for file in entry.files]
    if path.is_dir():
        paths = [path / name for name in names]
    elif len(names) == 1:
        paths = [path]
    else:
        paths = [path.parent / name for name in names]
    missing = [str(p) for p in paths if not os.path.lexists(p)]
    if missing:
        raise FileFormatError(
            f"norms {entry.name!r}: {', '.join(missing)} does not exist. Give the folder that holds {', '.join(names)}."
        )
    return paths


@checked
def load_norms(
    name: str = "builtin",
    path: str | Path | None = None,
    *,
    language: str | None = None,
    scale: tuple[float, float] | None = None,
) -> Norms:
    """Human ratings of words, by registered name or from a CSV of your own.

    Args:
        name: a name of `norms_table()`, or "csv" for the file at `path` (comma, semicolon or tab, UTF-8 or UTF-16, or a
            workbook with one sheet; columns `word`, `valence`, and any of `arousal`, `dominance`, `<dimension>_sd`,
            `<dimension>_n`, `n`, `form`; decimal commas are read).
        path: the file, or the folder with the files. Default: `norms/` in the folder that EMOTION_INTERP_DATA names,
            else the download cache (`fetch_norms`).
        language: language code; default the registry's, for "csv" the one that its words read as.
        scale: ends of the rating scale; default the registry's, for "csv" the whole numbers around the ratings.

    Raises:
        UnknownNameError: no norms of that name.
        FileFormatError: the files are missing, broken, lack columns, or are not the registered ones (their SHA-256); what
            `path` names is read all the same, with a warning.
        EmotionInterpError: ratings outside the scale.

    Example:
        >>> norms = load_norms("builtin")
        >>> norms.lookup(["joy"])["valence"].item()
        8.21
    """
    if name == "csv":
        if path is None:
            raise EmotionInterpError("load_norms('csv') needs path=, the CSV file to read.")
        table = READERS["csv"]([Path(path)])
        if scale is None:
            columns = [c for c in ("valence", "arousal", "dominance") if c in table]
            values = table[columns].to_numpy(float)
            if not np.isfinite(values).any():
                raise FileFormatError(f"{path} holds no rating.")
            scale = (float(np.floor(np.nanmin(values))), float(np.ceil(np.nanmax(values))))
            scale = scale if scale[0] < scale[1] else (scale[0], scale[0] + 1)
        file = Path(path)
        return Norms(
            file.stem,
            language or _language_of(file, table["word"].astype(str).tolist()),
            table,
            scale,
            sources={file.name: sha256_file(file)},
        )
    norms = None if name in REGISTRY else plugged_norms(name)
    if norms is not None:
        if (path, language, scale) != (None, None, None):
            raise EmotionInterpError(
                f"the norms {name!r} are a plug-in's, and take neither path=, language= nor scale=."
            )
        return norms
    entry = _entry(name)
    paths = _find(entry) if path is None else _given(entry, path)
    if paths is None:
        raise FileFormatError(f"the norms {name!r} are not on this machine. {_by_hand(entry)}")
    sources = {p.name: sha256_file(regular_file(p)) for p in paths}
    changed = [p for p, file in zip(paths, entry.files, strict=True) if file.sha256 and sources[p.name] != file.sha256]
    if changed and path is None:
        again = f"delete it and call fetch_norms({name!r})" if entry.files[0].urls else "get it again from its authors"
        raise FileFormatError(
            f"{changed[0]} is not the registered file of the norms {name!r} (its SHA-256 differs): it is damaged or another "
            f"edition; {again}, or name it with path= to read it as it is."
        )
    table = READERS[entry.reader](paths)
    if changed:
        tell(
            f"{changed[0]} is not the registered file of the norms {name!r} (its SHA-256 differs): it may be damaged or "
            "another edition."
        )
    if language not in (None, entry.language):
        raise UnknownNameError(f"language of the norms {name}", language, [entry.language])
    scale = scale or entry.scale
    return Norms(name, entry.language, table, scale, entry.citation, entry.licence, sources, entry.unit)


def plugged_norms(name: str) -> Norms | None:
    """The norms of a plug-in, or None; what it makes instead is told in one line."""
    norms = plugged("norms", name)
    if norms is not None and not isinstance(norms, Norms):
        tell(f"the plug-in {name!r} makes a {type(norms).__name__}, where norms are wanted (emotion_interp.Norms).")
        return None
    return norms


def _language_of(file: Path, words: list[str]) -> str:
    detected = detect_language(" ".join(words))
    if detected is None:
        tell(f"the language of the words in {file.name} does not show; taken as 'en'. Give language=.")
    return detected or "en"


def _by_hand(entry: NormsEntry) -> str:
    source = entry.homepage or "its authors"
    files = "; ".join(f"{f.name} (from {f.urls[0] if f.urls else source})" for f in entry.files)
    either = f"Either fetch_norms({entry.name!r}), or put" if all(f.urls for f in entry.files) else "Put"
    return (
        f"{either} {files} into {cache_folder()} or into the folder norms/ under the "
        f"one that {DATA_VARIABLE} names, or give path=. Licence: {entry.licence}."
    )


@checked
def fetch_norms(name: str) -> list[Path]:
    """Download registered norms into the cache, checking SHA-256; files that are already right are kept.

    Returns the paths. The norms keep their own licence: see `norms_table()`.

    Args:
        name: of registered norms.

    Raises:
        UnknownNameError: no norms of that name.
        EmotionInterpError: a download failed or brought another file; the message says which file to put where.

    Example:
        >>> fetch_norms("warriner")  # doctest: +SKIP
    """
    entry = _entry(name)
    if name == "builtin":
        return _find(entry) or []
    return [_fetch(entry, file, cache_folder()) for file in entry.files]


def _fetch(entry: NormsEntry, file: NormsFile, folder: Path) -> Path:
    if not file.urls:
        raise EmotionInterpError(f"the norms {entry.name!r} have no public address to download from. {_by_hand(entry)}")
    import pooch

    pooch.get_logger().setLevel("WARNING")
    reasons = []
    for url in file.urls:
        try:
            got = pooch.retrieve(url, f"sha256:{file.sha256}", fname=file.name, path=folder)
        except (OSError, ValueError) as error:
            reasons.append(f"{url}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
        else:
            return Path(got)
    raise EmotionInterpError(
        f"{file.name} of the norms {entry.name!r} could not be downloaded ({' | '.join(reasons)}). Put the file by hand "
        f"at {folder / file.name}; its SHA-256 is {file.sha256}."
    )


@checked
def norms_table() -> pd.DataFrame:
    """The registry as a frame: name, language, unit, dimensions, n_words (or sentences), licence, files, where they are, citation, url (empty
    where there is no public file: then see `homepage`), sha256.

    Example:
        >>> norms_table()["name"].tolist()[:2]
        ['builtin', 'warriner']
    """
    rows = []
    for entry in REGISTRY.values():
        place = _find(entry)
        rows.append(
            {
                "name": entry.name,
                "language": entry.language,
                "unit": entry.unit,
                "dimensions": ", ".join(entry.dimensions),
                "n_words": entry.n_words,
                "licence": entry.licence,
                "files": ", ".join(f.name for f in entry.files),
                "found_in": str(place[0].parent) if place else "",
                "citation": entry.citation,
                "url": entry.files[0].urls[0] if entry.files[0].urls else "",
                "homepage": entry.homepage,
                "sha256": ", ".join(f.sha256 for f in entry.files),
            }
        )
    for name in plugins("norms"):
        norms = None if name in REGISTRY else plugged_norms(name)
        if norms is not None:
            rows.append(
                {
                    **dict.fromkeys(rows[0], ""),
                    "name": name,
                    "language": norms.language,
                    "unit": norms.unit,
                    "n_words": len(norms.table),
                    "dimensions": ", ".join(norms.dimensions),
                    "licence": norms.licence,
                    "citation": norms.citation,
                    "found_in": "a plug-in",
                }
            )
    return pd.DataFrame(rows)
