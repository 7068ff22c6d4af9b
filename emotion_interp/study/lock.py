"""One run at a time in a study folder: a lock that names its holder and ends with its process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from emotion_interp.core.errors import EmotionInterpError, tell

LOCK = ".lock"
"""Name of the lock in the folder; it holds who has it, and is gone when nobody has."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder while a run writes it.

    The system ends the lock with its process, so one that was left by a kill is taken without a word.

    Raises:
        EmotionInterpError: another run holds it; who, where and since when.
    """
    handle = _taken(folder / LOCK, folder)
    try:
        yield
    finally:
        if handle is not None:
            # gone before it is free: whoever opened it meanwhile finds that it is another file, and asks again
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink()
            handle.close()


def holder_of(folder: Path) -> dict[str, object] | None:
    """Who holds a folder now (process, host, since, command; empty where the lock does not say); None where nobody does.

    The clock has no say in it: a lock is held while its process lives, whatever time it is.
    """
    try:
        import fcntl

        with (folder / LOCK).open(encoding="utf-8") as handle:
            try:
                # shared and given back at once
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = handle.read()
            else:
                return None
    except (ImportError, OSError):
        return None
    try:
        holder = json.loads(text)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _taken(path: Path, folder: Path) -> IO[str] | None:
    try:
        import fcntl
    except ImportError:
        # Windows has other locks; two runs in one folder are then the user's care
        return None
    while True:
        try:
            handle = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise EmotionInterpError(f"cannot write in {folder}: {error.strerror}. Give another --out.") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle.fileno()).st_ino == path.stat().st_ino:
                break
        except BlockingIOError:
            handle.seek(0)
            text = handle.read()
            handle.close()
            raise EmotionInterpError(
                f"{folder} is being written by another run{_said(text)}. Wait until it has ended, or give another --out."
            ) from None
        except FileNotFoundError:
            # its holder took it away meanwhile
            pass
        except OSError as error:
            handle.close()
            tell(f"{folder} cannot be locked ({error.strerror}); let no other run write there.")
            return None
        handle.close()
    # on a full disk it is held without a name
    with contextlib.suppress(OSError):
        handle.seek(0)
        handle.truncate()
        handle.write(json.dumps(_holder()))
        handle.flush()
    return handle


def _holder() -> dict[str, object]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": " ".join(sys.argv)[:200]}


def _said(text: str) -> str:
    try:
        holder = json.loads(text)
        return f" (process {holder['pid']} on {holder['host']}, since {holder['since']}: {holder['command']})"
    except (ValueError, TypeError, KeyError):
        return ""
