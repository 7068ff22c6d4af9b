"""Atomic files: everything is written beside its place and renamed, so nothing half-written is ever seen."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emotion_interp.core.errors import EmotionInterpError, FileFormatError


@contextmanager
def _clear_os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmotionInterpError(
            f"cannot write {path}: {error.strerror or error}. Choose a folder that exists, is writable and has space left."
        ) from error


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` on success, delete it on failure.

    Raises:
        EmotionInterpError: the file cannot be written (no permission, full disk, not a folder).
    """
    path = Path(path)
    with _clear_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".tmp{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            # mkstemp makes files private; give them the permissions an ordinary write would have
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; swap it into place on success, delete it on failure.

    Raises:
        EmotionInterpError: the folder cannot be written, or `path` is an existing file.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise EmotionInterpError(f"{path} is a file; a folder is written here. Give another path or move the file.")
    with _clear_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield temporary
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o777 & ~umask)
            for file in temporary.rglob("*"):
                if file.is_file():
                    # some writers make private files
                    file.chmod(0o666 & ~umask)
            old = None
            if path.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
                os.replace(path, old / path.name)
            os.replace(temporary, path)
            if old is not None:
                shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def require_place(path: str | Path, folder: bool = False) -> None:
    """Refuse a place that cannot be written, before hours of work: creates nothing.

    Raises:
        EmotionInterpError: a file where a folder is wanted or the reverse, or a parent that is no writable folder.
    """
    path = Path(path)
    if path.exists() and path.is_dir() != folder:
        kinds = ("a file", "a folder") if folder else ("a folder", "a file")
        raise EmotionInterpError(f"{path} is {kinds[0]}; {kinds[1]} is written here. Give another path.")
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        why = "you may not write there" if parent.is_dir() else "that is no folder"
        raise EmotionInterpError(f"cannot write {path} below {parent}: {why}. Choose a folder that is writable.")


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically, sorted and indented so that two runs can be compared with diff."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON, naming the file when it is missing or broken; NaN and infinite numbers are no JSON."""
    from emotion_interp.core.reading import LARGEST_RECORD, parse_json, read_text

    return parse_json(read_text(path, largest=LARGEST_RECORD), str(path))


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def sha256_of(value: Any) -> str:
    """Hex SHA-256 of a JSON-able value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def require_working_directory() -> None:
    """Refuse to go on in a folder that has been deleted, where torch's libraries end the process.

    Raises:
        FileFormatError: the working directory is gone.
    """
    try:
        Path.cwd()
    except OSError:
        raise FileFormatError(
            "the working directory has been deleted; change to a folder that exists (cd ~ in the shell, os.chdir in Python)."
        ) from None
