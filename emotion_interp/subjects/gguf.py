"""GGUF files as a way in: dequantised once by transformers into a cache folder of plain float32, named by the file's SHA-256."""

from __future__ import annotations

import math
import mmap
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, FileFormatError
from emotion_interp.core.files import atomic_folder, read_json, sha256_file, write_json
from emotion_interp.subjects.lean import ends, give_back, lean_tokenizer

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

CACHE_VARIABLE = "EMOTION_INTERP_CACHE"
RECORD = "gguf.json"
_MAGIC = b"GGUF"
_BLOCK = 2**18
"""Quantised bytes that are dequantised at a time."""
_GUARD = threading.Lock()
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


def cache_folder() -> Path:
    """Where dequantised weights are kept: `EMOTION_INTERP_CACHE`, else the user's cache folder."""
    import pooch

    return Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("emotion_interp"))


def is_gguf(path: str | Path) -> bool:
    """Whether a path names a GGUF file, by its ending or its first bytes."""
    path = Path(path)
    if path.suffix.lower() == ".gguf":
        return True
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        return handle.read(4) == _MAGIC


def dequantised(path: str | Path, cache: str | Path | None = None) -> Path:
    """The folder with a GGUF file's weights in float32, made at the first call and found at the next.

    Args:
        path: a GGUF file of any architecture that transformers dequantises.
        cache: parent of the folder; default: `cache_folder()`.

    Returns:
        A folder in Hugging Face layout (config, safetensors, tokenizer) with `gguf.json`, its origin.

    Raises:
        FileFormatError: no such file, one part of several, not GGUF, damaged, or of an unknown architecture.
        EmotionInterpError: the package `gguf` is missing, or the cache cannot be written.

    Example:
        >>> dequantised("gemma-3-270m-q4_k_m.gguf")  # doctest: +SKIP
    """
    path = Path(path)
    check_gguf(path)
    return converted(path, sha256_file(path), cache)


def check_gguf(path: Path) -> None:
    """Refuse what is no whole GGUF file, before anything heavy is loaded."""
    if not path.is_file():
        raise FileFormatError(f"{path} is no file; a GGUF file is needed.")
    with path.open("rb") as handle:
        magic = handle.read(4)
    if magic != _MAGIC:
        raise FileFormatError(f"{path} is no GGUF file: it begins with {magic!r}, not {_MAGIC!r}.")
    if part := _PART.search(path.name):
        raise FileFormatError(
            f"{path} is part {int(part[1])} of {int(part[2])}; join the parts with `llama-gguf-split --merge` and give the whole file."
        )
    if find_spec("gguf") is None:
        raise EmotionInterpError(f"reading {path.name} needs the package gguf: pip install 'emotion-interp[gguf]'.")


def converted(path: Path, digest: str, cache: str | Path | None = None) -> Path:
    """The folder of a checked GGUF file whose SHA-256 is known."""
    folder = known(digest, cache)
    if folder is None:
        folder = _place(digest, cache)
        _convert(path, digest, folder)
        give_back()
    return folder


def known(digest: str, cache: str | Path | None = None) -> Path | None:
    """The folder of a GGUF file that was dequantised before, by the file's SHA-256; None where it is missing or damaged."""
    folder = _place(digest, cache)
    try:
        record = read_json(folder / RECORD)
        if record["gguf_sha256"] == digest and (folder / "model.safetensors").stat().st_size == record["bytes"]:
            return folder
    except (FileFormatError, KeyError, TypeError, OSError):
        return None
    return None


def provenance(folder: Path) -> dict[str, object]:
    """What `gguf.json` says of the weights of a folder; empty where it did not come from a GGUF file."""
    return read_json(folder / RECORD) if (folder / RECORD).is_file() else {}


def _place(digest: str, cache: str | Path | None) -> Path:
    return Path(cache or cache_folder()) / "gguf" / digest[:16]


class _Fresh(np.ndarray):
    """Values just made, that nobody else holds: the copy that transformers takes of every tensor is these themselves."""

    def __array_function__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: Iterable[object],
        kwargs: Mapping[str, object],
    ) -> object:
        if (
            func is np.copy
            and not kwargs
            and len(tuple(args)) == 1
            and self.flags.c_contiguous
            and self.flags.writeable
        ):
            return self.view(np.ndarray)
        return super().__array_function__(func, types, args, kwargs)


def _let_go(data: np.ndarray) -> None:
    """Give the pages of a mapped file back that were read."""
    base: object = data
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


@contextmanager
def _sparingly() -> Iterator[None]:
    """Inside, a tensor is dequantised some rows at a time, once, and what was read of the file is let go of.

    Whole, a tensor takes temporaries of several times its size, and then a copy; a large vocabulary takes as much as a
    small model, and has been read when the first tensor is asked for.
    """
    import gguf

    whole, reader = gguf.dequantize, gguf.GGUFReader
    opened: list[gguf.GGUFReader] = []

    class Noted(reader):
        def __init__(self, path: str | Path) -> None:
            opened.clear()
            give_back()
            super().__init__(path)
            opened.append(self)

    def piece(data: np.ndarray, qtype: gguf.GGMLQuantizationType) -> np.ndarray:
        values = whole(data, qtype)
        _let_go(data)
        return values

    def dequantize(data: np.ndarray, qtype: gguf.GGMLQuantizationType) -> np.ndarray:
        if opened:
            fields = opened.pop().fields
            for name in [name for name in fields if name.startswith("tokenizer.")]:
                del fields[name]
            give_back()
        if data.ndim != 2 or data.nbytes <= _BLOCK:
            return piece(data, qtype)
        step = max(1, _BLOCK // max(1, data.nbytes // len(data)))
        first = piece(data[:step], qtype)
        rows = np.empty((len(data), first.shape[1]), dtype=first.dtype)
        rows[:step] = first
        for start in range(step, len(data), step):
            rows[start : start + step] = piece(data[start : start + step], qtype)
        return rows.view(_Fresh)

    with _GUARD:
        gguf.dequantize, gguf.GGUFReader = dequantize, Noted
        try:
            yield
        finally:
            gguf.dequantize, gguf.GGUFReader = whole, reader


def _convert(path: Path, digest: str, folder: Path) -> None:
    from safetensors.torch import save_file

    with atomic_folder(folder) as temporary:
        # first, and gone before the weights come: of a large vocabulary it is as large as a small model
        _read(path, lambda: _keep_tokenizer(path, temporary))
        give_back()
        model = _read(path, lambda: _model(path))
        tensors = _each_once(model.state_dict())
        if unfilled := [name for name, tensor in tensors.items() if not all(map(math.isfinite, ends(tensor)))]:
            raise FileFormatError(f"{path} gives values that are not finite in {unfilled[0]}; the file is damaged.")
        save_file(tensors, temporary / "model.safetensors", metadata={"format": "pt"})
        settings = model.config.to_dict()
        for name in ("quantization_config", "_name_or_path"):
            settings.pop(name, None)
        settings |= {"architectures": [type(model).__name__], "dtype": "float32"}
        type(model.config).from_dict(settings).save_pretrained(temporary)
        if model.can_generate():
            model.generation_config.save_pretrained(temporary)
        record = {
            "gguf": path.name,
            "gguf_sha256": digest,
            "bytes": (temporary / "model.safetensors").stat().st_size,
            "sha256": sha256_file(temporary / "model.safetensors"),
            "versions": {name: version(name) for name in ("gguf", "transformers")},
        }
        write_json(temporary / RECORD, record)


def _read(path: Path, reading: Callable[[], T]) -> T:
    """What a reader of transformers makes of the file; whatever a damaged one leads it to is one line."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return reading()
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FileFormatError(
            f"{path} cannot be read as a GGUF model ({first}). It must be whole, and of an architecture that transformers dequantises."
        ) from error


def _keep_tokenizer(path: Path, folder: Path) -> None:
    from transformers import AutoTokenizer

    lean_tokenizer(AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)).save_pretrained(folder)


def _model(path: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    with _sparingly():
        return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)


def _each_once(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tied weights are one tensor under two names, and safetensors keeps each once."""
    tensors: dict[str, torch.Tensor] = {}
    pointers: set[int] = set()
    for name, tensor in state.items():
        if tensor.data_ptr() not in pointers or tensor.numel() == 0:
            pointers.add(tensor.data_ptr())
            tensors[name] = tensor.contiguous()
    return tensors
