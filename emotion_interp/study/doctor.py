"""Is this installation, this machine and this model well? One line for each question, with what mends it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from huggingface_hub import constants
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from emotion_interp.study.doctor_model import of_model
from emotion_interp.study.findings import Examination, Finding
from emotion_interp.subjects.gguf import CACHE_VARIABLE, cache_folder
from emotion_interp.subjects.loading import bundled_folder

PACKAGES = ("emotion-interp", "torch", "transformer-lens", "sae-lens", "transformers", "numpy", "circuitsvis")
BAD_PAIRS = (
    (
        ("transformer-lens", ">=4"),
        ("sae-lens", "<7"),
        "SAELens 6 cannot be imported with TransformerLens 4",
        "pip install 'transformer-lens>=3.9,<4'",
    ),
    (
        ("transformer-lens", "<3.9"),
        ("transformer-lens", "<3.9"),
        "before 3.9 a bridge computes another model for some families",
        "pip install 'transformer-lens>=3.9,<4'",
    ),
    (
        ("sae-lens", "<6.54"),
        ("sae-lens", "<6.54"),
        "SAEs of before 6.54 are read otherwise",
        "pip install 'sae-lens>=6.54,<7'",
    ),
    (
        ("transformers", ">=5.24"),
        ("transformer-lens", "<4"),
        "the bridge ignores the KV cache of transformers 5.24: texts are written without it, which is slower",
        "pip install 'transformers<5.24'",
    ),
    (
        ("torch", "<2.4"),
        ("transformers", ">=5"),
        "transformers 5 needs a newer torch",
        "pip install 'torch>=2.4'",
    ),
)
"""(package, versions), (package, versions), what goes wrong, what mends it."""


def examine(
    model: str | None = None,
    saes: str | None = None,
    *,
    device: str = "auto",
    dtype: object = None,
    tell: Callable[[str], object] | None = None,
) -> Examination:
    """Ask everything, of the installation first and then of a model.

    Args:
        model: as of `load_subject`; None is the bundled subject.
        saes: its SAEs.
        device: where it is loaded.
        dtype: in which precision.
        tell: receives each line as it is known.

    Example:
        >>> examine().wrong  # doctest: +SKIP
        ()
    """
    found: list[Finding] = []
    for source in (_installation(), _machine(device, dtype), of_model(model, saes, device, dtype)):
        for finding in source:
            found.append(finding)
            if tell is not None:
                tell(str(finding))
    return Examination(tuple(found))


def _installed(name: str) -> Version | None:
    try:
        return Version(metadata.version(name))
    except (metadata.PackageNotFoundError, InvalidVersion):
        return None


def bad_pairs(versions: dict[str, Version | None]) -> list[tuple[str, str]]:
    """What goes wrong, and what mends it, of packages in these versions.

    Args:
        versions: by name; None for one that is missing.

    Example:
        >>> bad_pairs({"transformer-lens": Version("4.3"), "sae-lens": Version("6.54.12")})[0][1]
        "pip install 'transformer-lens>=3.9,<4'"
    """

    def has(name: str, wanted: str) -> bool:
        version = versions.get(name)
        return version is not None and SpecifierSet(wanted).contains(version, prereleases=True)

    return [(what, fix) for one, other, what, fix in BAD_PAIRS if has(*one) and has(*other)]


def _installation() -> Iterator[Finding]:
    good = sys.version_info[:2] in ((3, 11), (3, 12), (3, 13))
    yield Finding(
        "python",
        "fine" if good else "look",
        f"python {platform.python_version()}",
        "" if good else "3.11 to 3.13 are tested",
    )
    versions = {name: _installed(name) for name in (*PACKAGES, "accelerate")}
    for name in PACKAGES:
        version = versions[name]
        if version is None:
            yield Finding("package", "wrong", f"{name} is missing", f"pip install {name}")
        else:
            yield Finding("package", "fine", f"{name} {version}")
    pairs = bad_pairs(versions)
    for what, fix in pairs:
        yield Finding("versions", "wrong", what, fix)
    if not pairs:
        yield Finding("versions", "fine", "no pair that is known to be bad")
    there = (bundled_folder() / "model" / "model.safetensors").is_file()
    again = "pip install --force-reinstall emotion-interp"
    yield Finding(
        "bundled subject", "fine" if there else "wrong", "there" if there else "missing", "" if there else again
    )


def _machine(device: str, dtype: object) -> Iterator[Finding]:
    data = os.environ.get("EMOTION_INTERP_DATA")
    if data and not Path(data).is_dir():
        yield Finding("EMOTION_INTERP_DATA", "look", "names no folder", "set it to a folder with norms/ and labelled/")
    else:
        yield Finding("EMOTION_INTERP_DATA", "fine", "there" if data else "not set; the builtin norms are used")
    for name, folder, variable in (
        ("model cache", Path(constants.HF_HUB_CACHE), "HF_HOME"),
        ("own cache", cache_folder(), CACHE_VARIABLE),
    ):
        above = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
        if os.access(above, os.W_OK):
            yield Finding(name, "fine", "can be written")
        else:
            yield Finding(name, "look", f"{folder} cannot be written", f"set {variable} to a folder that can")
    offline = constants.HF_HUB_OFFLINE
    yield Finding(
        "hub",
        "look" if offline else "fine",
        "offline: only what is cached loads" if offline else "may be asked",
        "unset HF_HUB_OFFLINE to download" if offline else "",
    )
    import torch

    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    yield Finding(
        "threads", "fine", f"cores {os.cpu_count()}, torch uses {torch.get_num_threads()} (OMP_NUM_THREADS {threads})"
    )
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if cards:
        yield Finding("device", "fine", ", ".join(torch.cuda.get_device_name(i) for i in range(cards)))
    elif Path("/dev/nvidia0").exists():
        yield Finding("device", "wrong", "there is a card, but this torch cannot use it", "install torch for CUDA")
    elif device.startswith("cuda"):
        yield Finding("device", "wrong", f"{device} was asked for, and there is no card", "say --device cpu")
    else:
        yield Finding("device", "fine", "cpu")
    half = str(dtype).removeprefix("torch.") in ("bfloat16", "float16")
    if half and not cards and device in ("auto", "cpu"):
        yield Finding("dtype", "look", f"{dtype} on a CPU can be a hundred times slower", "say --dtype float32")
