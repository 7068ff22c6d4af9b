"""Atomic files: everything is written beside its place and renamed, so nothing half-written is ever seen."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp.core.errors import EmotionInterpError, FileFormatError
from emotion_interp.core.leftovers import OLD, followed, sweep, temporary_place
from emotion_interp.core.reading import LARGEST_RECORD, parse_json, read_text

if TYPE_CHECKING:
    import numpy as np

_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP)


def what_stands(path: Path) -> str | None:
    """What stands at a path, "folder", "file" or "other", links followed; None where nothing does.

    Asked once: `exists` and then `is_dir` may be answered of two things, where another process swaps it in between.

    Example:
        >>> what_stands(Path(os.sep)), what_stands(Path("no such file"))
        ('folder', None)
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno in _NOTHING:
            return None
        raise
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


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

    A link is followed: its target is replaced. What killed processes left of earlier writes is swept.

    Raises:
        EmotionInterpError: the file cannot be written (no permission, full disk, not a folder), or `path` is a device, a
            pipe or a circle of links.
    """
    path = _place(path)
    if what_stands(path) == "other":
        raise EmotionInterpError(f"{path} is no regular file (a device, pipe or socket); give the name of a file.")
    with _clear_os_errors(path), temporary_place(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, path.name)
        temporary.touch(mode=0o600, exist_ok=False)
        try:
            yield temporary
            # private until it is whole; then with the permissions an ordinary write would have
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; swap it into place on success, delete it on failure.

    A link is followed. A save that was killed between its two renames is undone first, here and by `found_folder`.

    Raises:
        EmotionInterpError: the folder cannot be written, or `path` is an existing file or a circle of links.
    """
    path = _place(path)
    if what_stands(path) in ("file", "other"):
        raise EmotionInterpError(f"{path} is a file; a folder is written here. Give another path or move the file.")
    with _clear_os_errors(path), temporary_place(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, path.name)
        temporary.mkdir(mode=0o700)
        try:
            yield temporary
            umask = _umask()
            temporary.chmod(0o777 & ~umask)
            for file in temporary.rglob("*"):
                if file.is_file():
                    # some writers make private files
                    file.chmod(0o666 & ~umask)
            _swap(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, path: Path) -> None:
    """Put a folder where another stands; of two processes that do so at once the later one wins."""
    while True:
        with temporary_place(path, OLD) as old:
            try:
                with suppress(FileNotFoundError):
                    os.replace(path, old)
                os.replace(new, path)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            finally:
                if old.exists() and not path.exists():
                    with suppress(OSError):
                        old.rename(path)
                shutil.rmtree(old, ignore_errors=True)


def _place(path: str | Path) -> Path:
    path = followed(path)
    if path.is_symlink():
        raise EmotionInterpError(f"{path} is a circle of links; give a path that leads somewhere.")
    return path


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


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


def write_json(path: str | Path, value: object) -> None:
    """Write JSON atomically, sorted and indented so that two runs can be compared with diff."""
    write_text(path, _json_text(value))


def read_json(path: str | Path) -> Any:
    """Read JSON, naming the file when it is missing or broken; NaN and infinite numbers are no JSON."""
    return parse_json(read_text(path, largest=LARGEST_RECORD), str(path))


DIGEST = "own_sha256"
"""The entry of a signed JSON file that holds the SHA-256 of its text with this entry empty."""


def write_signed_json(path: str | Path, value: dict[str, object]) -> None:
    """Write a JSON object atomically with the digest of its own text, so that any change of the file shows."""
    # keys that are no text sort in another order than the text they become
    plain = json.loads(json.dumps(value, allow_nan=False))
    write_json(path, {**plain, DIGEST: _own_digest(plain)})


def read_signed_json(path: str | Path) -> tuple[Any, bool]:
    """Read JSON that may be signed, without its digest, and whether it was.

    Raises:
        FileFormatError: it is missing, broken, or was changed after it was saved.
    """
    text = read_text(path, largest=LARGEST_RECORD)
    value = parse_json(text, str(path))
    if not isinstance(value, dict) or DIGEST not in value:
        return value, False
    plain = {k: v for k, v in value.items() if k != DIGEST}
    try:
        same = value[DIGEST] == _own_digest(plain) and text.replace("\r\n", "\n") == _json_text(value)
    except ValueError:
        # half of a surrogate pair has no bytes
        same = False
    if not same:
        raise FileFormatError(f"{path} was changed after it was saved (its SHA-256 differs from the one it carries).")
    return plain, True


def _own_digest(plain: dict[str, object]) -> str:
    return hashlib.sha256(_json_text({**plain, DIGEST: ""}).encode()).hexdigest()


def _json_text(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def sha256_of(value: object) -> str:
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


def kept_array(path: Path, shape: tuple[int, ...], what: str) -> np.ndarray:
    """An array that an earlier run kept.

    Raises:
        FileFormatError: it is damaged, or of another shape.
    """
    import numpy as np

    try:
        values: np.ndarray = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise FileFormatError(f"{path} holds no {what} ({error}); delete it.") from error
    if values.shape != shape:
        raise FileFormatError(f"{path} holds {what} of shape {values.shape}, expected {shape}; delete it.")
    return values
