"""Where a hub name is to be found: in the local cache first, then, asked once and briefly, on the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.subjects.sae_releases import release_names

if TYPE_CHECKING:
    import torch


PATIENCE = 4.0
"""Seconds that the hub has to answer whether a name exists."""
_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)?", re.ASCII)


def checked_model_name(name: str, what: str = "model") -> str:
    """A folder that exists, or a text that can be a hub name.

    Raises:
        EmotionInterpError: it is neither.

    Example:
        >>> checked_model_name("gpt2")
        'gpt2'
    """
    if "\0" in name or not name.strip():
        raise EmotionInterpError(f"{name!r} is no name of a {what}; give a folder or a hub name such as 'gpt2'.")
    if Path(name).exists():
        return name
    if Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or "\\" in name:
        raise EmotionInterpError(f"the folder {name!r} of a {what} does not exist.")
    if not _NAME.fullmatch(name) or ".." in name or "--" in name or len(name) > 96:
        raise EmotionInterpError(
            f"{name!r} is no name of a {what}: there is no such folder, and a hub name is NAME or OWNER/NAME of letters, "
            "digits, '-', '_' and '.'."
        )
    return name


def located(name: str, what: str = "model", file: str = "config.json", revision: str | None = None) -> dict[str, Any]:
    """Options of `from_pretrained` for a checked name: `local_files_only` where the local cache has the model.

    Raises:
        EmotionInterpError: a folder or name of nothing, or the name is neither in the local cache nor on the hub.
    """
    if Path(checked_model_name(name, what)).exists():
        return {}
    if isinstance(try_to_load_from_cache(name, file, revision=revision), str):
        return {"local_files_only": True}
    require_on_hub(name, what)
    return {}


def config_of(name: str) -> dict[str, Any]:
    """The config.json of a folder or of a cached hub model; empty where there is none, or the text model's of several."""
    file = Path(name) / "config.json"
    if not Path(name).exists():
        file = try_to_load_from_cache(name, "config.json")
    try:
        config = json.loads(Path(file).read_text(encoding="utf-8")) if isinstance(file, (str, Path)) else {}
    except (OSError, ValueError):
        return {}
    return config.get("text_config", config) if isinstance(config, dict) else {}


def require_on_hub(name: str, what: str = "model") -> None:
    """Ask the hub once whether it has a repository, and do not wait long.

    Raises:
        EmotionInterpError: it has not, or does not answer; the line names the local cache as well.
    """
    absent = (
        f"no {what} can be loaded from {name!r}: it is no folder, not in the local cache ({constants.HF_HUB_CACHE})"
    )
    right = "Give a folder, a hub name that is cached or can be downloaded, or nothing for the bundled subject."
    if constants.HF_HUB_OFFLINE:
        raise EmotionInterpError(f"{absent}, and the hub is not asked (HF_HUB_OFFLINE is set). {right}")
    try:
        HfApi().model_info(name, timeout=PATIENCE)
    except RepositoryNotFoundError:
        raise EmotionInterpError(f"{absent}, and not on {constants.ENDPOINT} or not yours to see. {right}") from None
    except HfHubHTTPError:
        # it answers, if only that it is busy: the download itself decides
        return
    except Exception as error:
        # whichever library of the hub's client speaks to the network
        if not is_network_error(error):
            raise
        raise EmotionInterpError(f"{absent}, and {constants.ENDPOINT} cannot be reached. {right}") from None


def is_network_error(error: BaseException) -> bool:
    """Whether an error is the network's: an OSError, or one of the libraries that the hub's client uses."""
    modules = {base.__module__.split(".")[0] for base in type(error).__mro__}
    return isinstance(error, OSError) or bool(modules & {"httpx", "httpx2", "httpcore", "requests", "urllib3"})


def checked_release(name: str) -> str:
    """A folder that exists, or the name of a SAE release.

    Raises:
        EmotionInterpError: neither.
    """
    if "\0" in name or not name.strip():
        raise EmotionInterpError(f"{name!r} is no name of a SAE release; `emotion-interp models` lists them.")
    known = release_names()
    if not Path(name).exists() and known and name not in known:
        raise UnknownNameError("SAE release or folder", name, known)
    return name


def checked_device(device: str, dtype: object) -> tuple[str, torch.dtype | str | None]:
    """A torch device ("auto": CUDA where there is one) and a dtype, which may be named.

    Raises:
        EmotionInterpError: torch knows no such device or dtype.
    """
    import torch

    if isinstance(dtype, str) and dtype != "auto":
        dtype = getattr(torch, dtype, dtype)
    if dtype not in (None, "auto") and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise EmotionInterpError(
            f"dtype is a torch type of floats, such as 'float32' or torch.bfloat16; got {dtype!r}."
        )
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu", dtype
    try:
        torch.empty(0, device=torch.device(device))
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0][:120]
        raise EmotionInterpError(
            f"the device {device!r} cannot be used ({first}). Say 'auto', 'cpu' or 'cuda'."
        ) from None
    return device, dtype


@contextmanager
def reading_release(repository: str) -> Iterator[None]:
    """Inside, a release is read: from the cache alone where the hub cannot be reached, refused where neither has it."""
    cached = (Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}").is_dir()
    try:
        require_on_hub(repository, "repository of SAEs")
    except EmotionInterpError:
        if not cached:
            raise
        with cache_only():
            yield
    else:
        yield


@contextmanager
def cache_only() -> Iterator[None]:
    """Inside, the hub's client reads its cache and asks nobody."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
