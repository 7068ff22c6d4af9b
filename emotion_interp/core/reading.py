"""The one way in for files of a user: regular files of a bearable size, decoded, parsed, with errors that name the place."""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import json
import os
import re
import stat
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

from emotion_interp.core.errors import EmotionInterpError, FileFormatError

LARGEST_FILE = 2 << 30
"""Bytes of a file that is read whole, and of what a packed one may unpack to."""

LARGEST_RECORD = 64 << 20
"""Bytes of a small structured file (JSON, TOML) and of one line of a text file."""

_PIECE = 1 << 20
"""Bytes that are read at a time."""

LONGEST_PATH, LONGEST_PART = 4096, 255
"""Bytes that file systems allow a path, and each name in it."""

FREE_UNPACKED = 64 << 20
LARGEST_RATIO = 200
"""A packed file may unpack to `FREE_UNPACKED` bytes; beyond that to at most so many times its size. Text packs 3 to 10 times."""

_MAGIC = (
    (b"PK\x03\x04", "a zip archive, as Excel workbooks (.xlsx), .npz and .skops files are"),
    (b"\x1f\x8b", "packed with gzip"),
    (b"PAR1", "a parquet file"),
    (b"\xd0\xcf\x11\xe0", "an old or encrypted Excel workbook"),
    (b"\x93NUMPY", "a numpy array (.npy)"),
    (b"GGUF", "a GGUF file"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3", "an SQLite database"),
)
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def said(text: object, longest: int = 240) -> str:
    """What a library says, or a file holds, as one line without control characters."""
    line = " ".join(str(text).split()) or type(text).__name__
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= longest else f"{line[:longest]}..."


def checked_name(name: object, what: str = "a path") -> str:
    """A name or path as text; refuses what no file system or hub can have: nothing, NUL and control characters."""
    text = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(text, str):
        raise EmotionInterpError(f"{what} is text, got {text!r}.")
    if not text.strip() or any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xDC80 for c in text):
        raise FileFormatError(f"{text!r} is no name of a file: {what} is text without control characters.")
    if len(os.fsencode(text)) > LONGEST_PATH or any(len(os.fsencode(part)) > LONGEST_PART for part in Path(text).parts):
        raise FileFormatError(f"{text[:60]!r}... is no name of a file: it is too long ({len(text):,} characters).")
    return text


def regular_file(path: str | Path, hint: str = "", largest: int | None = LARGEST_FILE) -> Path:
    """The path, if it is a regular file (or a link to one) of at most `largest` bytes.

    Raises:
        FileFormatError: missing (`hint` says what would be right), a folder, pipe, device, a loop of links, too large.
    """
    place = Path(checked_name(path))
    try:
        facts = place.stat()
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise FileFormatError(f"{path} does not exist{'; ' + hint if hint else ''}.") from None
        why = "links in a loop" if error.errno == errno.ELOOP else error.strerror or str(error)
        raise FileFormatError(f"{path} is not readable: {why}.") from None
    if not stat.S_ISREG(facts.st_mode):
        kind = next((name for is_one, name in _SPECIAL if is_one(facts.st_mode)), "something else")
        raise FileFormatError(f"{path} is not a readable file but {kind}; give a regular file.")
    if largest is not None and facts.st_size > largest:
        raise FileFormatError(
            f"{path} has {facts.st_size:,} bytes; at most {largest:,} are read. Give a smaller file or split it."
        )
    return place


def read_bytes(path: str | Path, hint: str = "", largest: int = LARGEST_FILE) -> bytes:
    """The content of a regular file."""
    place = regular_file(path, hint, largest)
    try:
        with place.open("rb") as handle:
            raw = handle.read(largest + 1)
    except OSError as error:
        raise FileFormatError(f"{path} is not readable: {error.strerror or error}.") from error
    if len(raw) > largest:
        raise FileFormatError(f"{path} gives more than {largest:,} bytes; give a regular file.")
    return raw


def is_workbook(path: str | Path) -> bool:
    """Whether a file begins as a zip archive does, which a workbook (.xlsx) is."""
    try:
        with regular_file(path).open("rb") as handle:
            return handle.read(4) == b"PK\x03\x04"
    except OSError:
        return False


class _Unpacked(io.RawIOBase):
    """A gzip stream that stops where text would have ended long ago."""

    def __init__(self, path: Path, packed: IO[bytes]) -> None:
        self.path, self.size = path, os.fstat(packed.fileno()).st_size
        self.stream = gzip.GzipFile(fileobj=packed)
        self.done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self.stream.read(len(buffer))
        except (OSError, EOFError, zlib.error) as error:
            raise FileFormatError(
                f"{self.path} is not readable, its gzip packing is damaged: {said(error)}."
            ) from error
        self.done += len(data)
        if self.done > max(FREE_UNPACKED, LARGEST_RATIO * self.size):
            raise FileFormatError(
                f"{self.path} unpacks to more than {self.done:,} bytes from {self.size:,}: more than {LARGEST_RATIO} times "
                "its size, which no text does. It is not read."
            )
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _stream(path: str | Path, hint: str) -> Iterator[IO[bytes]]:
    """Bytes of a file, unpacked where it is packed with gzip (by its first bytes, whatever its name)."""
    place = regular_file(path, hint, largest=None)
    try:
        with place.open("rb") as handle:
            packed = handle.read(2) == b"\x1f\x8b"
            handle.seek(0)
            if place.suffix == ".gz" and not packed:
                raise FileFormatError(f"{path} is not readable: its name says gzip, its content does not.")
            yield io.BufferedReader(_Unpacked(place, handle)) if packed else handle
    except FileFormatError:
        raise
    except OSError as error:
        raise FileFormatError(f"{path} is not readable: {error.strerror or error}.") from error


def _refuse_bytes(path: str | Path, raw: bytes, error: UnicodeDecodeError, before: int = 0) -> NoReturn:
    line = before + raw[: error.start].count(b"\n") + 1
    raise FileFormatError(
        f"{path} is not readable as UTF-8 text: line {line} has the byte {raw[error.start] if raw else 0:#04x}. Save it again "
        "as UTF-8."
    ) from error


def _encoding(start: bytes) -> str:
    for bom, encoding in _BOMS:
        if start.startswith(bom):
            return encoding
    sample = start[:512]
    # two bytes a letter without a mark at the start: every other byte of plain text is zero
    if len(sample) >= 4 and sample.count(b"\0") > 0.3 * len(sample):
        if not any(sample[0::2]) or sample[1::2].count(0) < sample[0::2].count(0):
            return "utf-16-be"
        return "utf-16-le"
    return "utf-8"


def decoded(path: str | Path, raw: bytes) -> str:
    """Bytes of a text file as text: UTF-8 with or without a mark, UTF-16 and UTF-32; refuses other files by their kind."""
    for magic, kind in _MAGIC:
        if raw.startswith(magic):
            raise FileFormatError(f"{path} is not readable as UTF-8 text: it is {kind}.")
    try:
        text = raw.decode(_encoding(raw))
    except UnicodeDecodeError as error:
        _refuse_bytes(path, raw, error)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise FileFormatError(f"{path} is not readable as UTF-8 text: line {line} has a NUL; the file is damaged.")
    return text


def _bytes_of(handle: IO[bytes], largest: int) -> bytes:
    """What a file holds, but no more than so many bytes; `read(largest)` would take room for all of them beforehand."""
    raw = bytearray()
    while piece := handle.read(min(_PIECE, largest - len(raw))):
        raw += piece
    return bytes(raw)


def read_text(path: str | Path, hint: str = "", largest: int = LARGEST_FILE) -> str:
    """The text of a file, unpacked where it is packed with gzip."""
    with _stream(path, hint) as handle:
        raw = _bytes_of(handle, largest + 1)
    if len(raw) > largest:
        raise FileFormatError(f"{path} holds more than {largest:,} bytes; split it.")
    return decoded(path, raw)


def text_lines(path: str | Path, hint: str = "") -> Iterator[tuple[int, str]]:
    """(number from 1, line) of a text file of any size, one after the other; unpacked where it is packed with gzip."""
    with _stream(path, hint) as handle:
        start = handle.peek(512)[:512] if isinstance(handle, io.BufferedReader) else b""
        encoding = _encoding(start)
        if encoding not in ("utf-8", "utf-8-sig"):
            yield from enumerate(decoded(path, _bytes_of(handle, LARGEST_FILE)).split("\n"), 1)
            return
        number = 0
        while raw := handle.readline(LARGEST_RECORD + 1):
            if len(raw) > LARGEST_RECORD:
                raise FileFormatError(f"{path}, line {number + 1}: longer than {LARGEST_RECORD:,} bytes.")
            if number == 0:
                raw = raw.removeprefix(codecs.BOM_UTF8)
                decoded(path, raw)
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                _refuse_bytes(path, raw, error, number)
            number += 1
            if "\0" in line:
                raise FileFormatError(f"{path} is not readable as UTF-8 text: line {number} has a NUL.")
            yield number, line


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def parse_json(text: str, place: str) -> Any:
    """JSON as the standard has it: no NaN or Infinity; whatever is wrong is a `FileFormatError` that begins with `place`."""
    try:
        return _json(text)
    except ValueError as error:
        raise FileFormatError(f"{place} is not readable JSON: {said(error)}.") from error


def json_line(path: str | Path, number: int, line: str, needed: str = "") -> Any:
    """One line of a .jsonl file; the error names it."""
    try:
        return _json(line)
    except ValueError as error:
        why = (
            f"{needed} is needed (no JSON: {said(error)})"
            if needed
            else f"no JSON ({said(error)}); one object per line is needed"
        )
        raise FileFormatError(f"{path}, line {number}: {why}.") from error


def _json(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
        if re.search(r"\\u[dD][89a-fA-F]", text):
            # half of a surrogate pair is no character, and fails when it is written
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("it spells half a character (\\ud...)") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


@contextmanager
def damage_named(path: str | Path) -> Iterator[None]:
    """Whatever a damaged file leads its readers to becomes a `FileFormatError` that names it; a missing file stays one."""
    try:
        yield
    except (EmotionInterpError, FileNotFoundError):
        raise
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RecursionError, zlib.error) as error:
        raise FileFormatError(
            f"{path} is damaged or of another kind: {said(error)} ({type(error).__name__})."
        ) from error


def parse_toml(text: str, place: str) -> dict[str, object]:
    """TOML; whatever is wrong is a `FileFormatError` that begins with `place`."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise FileFormatError(f"{place} is not readable TOML: it is nested too deeply.") from None
    except (ValueError, OverflowError) as error:
        raise FileFormatError(f"{place} is not readable TOML: {said(error)}.") from error


def check_zip(path: str | Path, largest: int = LARGEST_FILE) -> Path:
    """The path, if it is a zip archive that unpacks to a bearable size, by its own directory.

    Raises:
        FileFormatError: no regular file, no zip archive, a damaged one, or one that would fill the memory.
    """
    place = regular_file(path)
    size = place.stat().st_size
    try:
        with zipfile.ZipFile(place) as archive:
            members = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path} is no readable archive: {said(error)}.") from error
    total = sum(member.file_size for member in members)
    if total > largest or total > max(FREE_UNPACKED, LARGEST_RATIO * size):
        raise FileFormatError(f"{path} has {size:,} bytes and would unpack to {total:,}; it is not read.")
    return place
