"""What a killed process leaves: its temporary files are swept, a folder caught between two renames is put back."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

NEW, OLD = "new", "old"
"""Written beside its place; moved aside from its place."""
ABROAD_SECONDS = {NEW: 86_400.0, OLD: 60.0}
"""Age at which the traces of a process on another host, which cannot be asked for, count as left."""
PATIENCE = 2.0
"""Seconds to wait for a folder that a living process is about to put into place."""

_NAME = re.compile(
    r"^\.(?P<name>.+)\.(?P<role>new|old)-(?P<host>[0-9a-f]{6})-(?P<pid>\d+)-(?P<born>\d+)-(?P<key>[0-9a-f]{8})(?:\.[^.]*)?$"
)
_EARLIER = re.compile(r"^\.(?P<name>.+)\.(?:[a-z0-9_]{8}\.tmp(?:\..*)?|old\.[a-z0-9_]{8})$")
"""As earlier versions named them, without their process."""
_ACTIVE: set[str] = set()
"""Keys of what this process is writing now."""


@contextlib.contextmanager
def temporary_place(path: Path, role: str = NEW) -> Iterator[Path]:
    """A name beside `path` that says whose it is; nothing is made there, and nobody sweeps it meanwhile."""
    key = secrets.token_hex(4)
    suffix = path.suffix if role == NEW else ""
    name = f".{path.name}.{role}-{_host()}-{os.getpid()}-{_born(os.getpid())}-{key}{suffix}"
    _ACTIVE.add(key)
    try:
        yield path.with_name(name)
    finally:
        _ACTIVE.discard(key)


def is_temporary(name: str) -> bool:
    """Whether a file name is one that this package writes under before it renames."""
    return bool(_NAME.match(name) or _EARLIER.match(name))


def sweep(folder: Path, name: str | None = None) -> None:
    """Put back what a killed process had moved aside in a folder, and delete what else it left; of all names, or of one.

    What a living process writes is never touched. Nothing is raised: a folder that may not be written stays as it is.
    """
    left = _left_in(folder, name)
    for entry, of in left:
        target = folder / of
        if not os.path.lexists(target):
            # left by the second rename that never came: the newest is what stood there
            content = _content(entry, of)
            if content is not None:
                with contextlib.suppress(OSError):
                    content.rename(target)
    for entry, _ in left:
        with contextlib.suppress(OSError):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def found_folder(path: str | Path) -> Path:
    """A saved folder, through links, put back first where a save was killed between its two renames.

    Where it may not be put back (a read-only place), the folder that was moved aside is given instead.
    """
    path = followed(path)
    until = time.monotonic() + PATIENCE
    while not path.exists():
        sweep(path.parent, path.name)
        if path.exists():
            break
        for entry, of in _left_in(path.parent, path.name):
            content = _content(entry, of)
            if content is not None:
                return content
        if not _being_replaced(path) or time.monotonic() > until:
            break
        time.sleep(0.02)
    return path


def followed(path: str | Path) -> Path:
    """The place that a path names: a link's target, else the path as it is."""
    path = Path(path)
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def is_alive(pid: int, born: int = 0) -> bool:
    """Whether a process of this host runs (and is the one that was born then, where that is known)."""
    if os.name == "nt":
        # signal 0 ends a process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # it runs under another user
        pass
    now = _born(pid)
    return not (born and now and born != now)


def _left_in(folder: Path, name: str | None) -> list[tuple[Path, str]]:
    """Entries that nobody is writing any more, with the name each belongs to: what was moved aside first, newest first."""
    left = []
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return []
    for entry in entries:
        match = _NAME.match(entry.name) or _EARLIER.match(entry.name)
        if match is None or (name is not None and match["name"] != name):
            continue
        try:
            changed = entry.stat(follow_symlinks=False).st_ctime
        except OSError:
            continue
        role = match["role"] if "role" in match.re.groupindex else OLD if _is_earlier_old(entry.name) else NEW
        if _is_left(match, role, time.time() - changed):
            left.append((role != OLD, -changed, Path(entry.path), match["name"]))
    return [(path, of) for _, _, path, of in sorted(left)]


def _is_left(match: re.Match[str], role: str, age: float) -> bool:
    if "pid" not in match.re.groupindex:
        return role == OLD or age > 3600
    if match["host"] != _host():
        return age > ABROAD_SECONDS[role]
    pid, born = int(match["pid"]), int(match["born"])
    if pid == os.getpid() and (not born or born == _born(pid)):
        return match["key"] not in _ACTIVE
    return not is_alive(pid, born)


def _is_earlier_old(name: str) -> bool:
    return re.search(r"\.old\.[a-z0-9_]{8}$", name) is not None


def _content(entry: Path, of: str) -> Path | None:
    """What was moved aside there, or None where an entry is what was about to be put into place."""
    match = _NAME.match(entry.name)
    if match is not None:
        return entry if match["role"] == OLD else None
    return entry / of if _is_earlier_old(entry.name) and (entry / of).is_dir() else None


def _being_replaced(path: Path) -> bool:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return False
    matches = [_NAME.match(name) for name in names]
    return any(m is not None and m["name"] == path.name and m["role"] == OLD for m in matches)


@functools.cache
def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def _born(pid: int) -> int:
    """When a process began, in its system's ticks; 0 where that is not known. Process numbers are used again."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
