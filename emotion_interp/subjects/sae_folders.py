"""SAEs in folders: what lies where, in which layout, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from safetensors import SafetensorError

from emotion_interp.core.errors import EmotionInterpError, FileFormatError
from emotion_interp.core.files import read_json
from emotion_interp.core.leftovers import found_folder, is_temporary
from emotion_interp.core.reading import regular_file, said
from emotion_interp.core.types import Site
from emotion_interp.subjects.load_options import OWN
from emotion_interp.subjects.plain_sae import load_plain_sae, plain_config
from emotion_interp.subjects.sae_choice import SaeEntry
from emotion_interp.subjects.sae_formats import dictionary_entry, dictionary_read, sparsify_entry, sparsify_read
from emotion_interp.subjects.sae_identity import width_name
from emotion_interp.subjects.sae_kinds import sae_lens_is_here
from emotion_interp.subjects.sae_raw import RawSae, as_saelens
from emotion_interp.subjects.sae_scopes import gemma_scope_entry, gemma_scope_read, openmoss_entry, openmoss_read

if TYPE_CHECKING:
    from sae_lens import SAE

    from emotion_interp.subjects.hooked import SaeSettings


SAELENS = "SAELens"
Entry = Callable[[Path, str], SaeEntry]
Read = Callable[[Path], RawSae]
FORMATS: dict[str, tuple[Entry, Read]] = {
    "dictionary_learning": (dictionary_entry, dictionary_read),
    "sparsify": (sparsify_entry, sparsify_read),
    "Gemma Scope": (gemma_scope_entry, gemma_scope_read),
    "OpenMOSS": (openmoss_entry, openmoss_read),
}
_FILES = (
    (SAELENS, ("cfg.json", "sae_weights.safetensors")),
    ("OpenMOSS", ("hyperparams.json", "checkpoints/final.safetensors")),
    ("OpenMOSS", ("config.json", "sae_weights.safetensors")),
    ("dictionary_learning", ("config.json", "ae.pt")),
    ("sparsify", ("cfg.json", "sae.safetensors")),
    ("Gemma Scope", ("params.npz",)),
    ("Gemma Scope", ("params.safetensors",)),
)
"""The files by which a layout is known, under the SAE's folder; the first that fits is taken."""
CONFIGURATIONS = ("cfg.json", "config.json", "hyperparams.json")
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError)


@dataclass(frozen=True)
class SaePlace:
    """One SAE in a folder."""

    folder: Path
    id: str
    """Its path under the folder that was named."""
    layout: str
    """`SAELENS`, or a key of `FORMATS`."""
    files: tuple[str, ...]
    """Under its folder."""

    def entry(self) -> SaeEntry:
        """What its configuration says of it.

        Raises:
            FileFormatError: its configuration is damaged.
            UnsupportedError: it reads what is no site here.
        """
        try:
            entry = _saelens_entry if self.layout == SAELENS else FORMATS[self.layout][0]
            return entry(self.folder, self.id)
        except EmotionInterpError:
            raise
        except _DAMAGED as error:
            raise FileFormatError(
                f"the configuration of {self.folder} is no {self.layout} SAE's ({said(error, 120)})."
            ) from error

    def load(self, device: str = "cpu", dtype: str = "float32") -> SAE:
        """The SAE as a SAELens object.

        Raises:
            FileFormatError: its files are damaged, or hold more than tensors.
            UnsupportedError: it cannot be read exactly; the line says why.
        """
        if self.layout == SAELENS:
            return load_sae(self.folder, device, dtype)
        try:
            return as_saelens(FORMATS[self.layout][1](self.folder), device, dtype)
        except EmotionInterpError:
            raise
        except _DAMAGED as error:
            raise FileFormatError(f"{self.folder} is no readable {self.layout} SAE ({said(error, 160)}).") from error


def sae_places(root: str | Path) -> list[SaePlace]:
    """The SAEs in a folder and below, in order of their paths.

    Raises:
        FileFormatError: there is none.
    """
    root = found_folder(root)
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    return places_among(names, root, str(root))


def places_among(names: Iterable[str], root: Path, shown: str) -> list[SaePlace]:
    """The SAEs that a listing of files holds.

    Args:
        names: paths under `root`, with slashes.
        root: the folder; need not hold them yet.
        shown: what error lines call it.

    Raises:
        FileFormatError: there is none.
    """
    known = {name for name in names if not any(is_temporary(part) for part in PurePosixPath(name).parts)}
    found: dict[str, SaePlace] = {}
    for layout, files in _FILES:
        for name in known:
            if name != files[-1] and not name.endswith(f"/{files[-1]}"):
                continue
            folder = name.removesuffix(files[-1]).removesuffix("/")
            inside = f"{folder}/" if folder else ""
            if folder not in found and all(inside + file in known for file in files):
                found[folder] = SaePlace(root / folder, folder or root.name, layout, files)
    if not found:
        raise FileFormatError(
            f"{shown} holds no SAE: a folder with cfg.json and sae_weights.safetensors is needed, or one in the layout of "
            f"{', '.join(FORMATS)}."
        )
    return [found[folder] for folder in sorted(found)]


def load_sae(folder: str | Path, device: str = "cpu", dtype: str = "float32") -> SAE:
    """One SAELens SAE from a folder, in float32 or another dtype; "own" is that of its file.

    Raises:
        FileFormatError: the folder is no SAELens SAE, or its files are damaged.
    """
    folder = _checked_sae(folder)
    with _readable(folder):
        if not sae_lens_is_here():
            # it reads as one
            return cast("SAE", load_plain_sae(folder, device, None if dtype == OWN else dtype))
        from sae_lens import SAE

        return SAE.load_from_disk(folder, device=device, dtype=None if dtype == OWN else dtype)


def sae_config(folder: str | Path, device: str = "cpu", dtype: str = "float32") -> SaeSettings:
    """SAELens' configuration of an SAE in a folder, whose weights are not read; arguments and errors as of `load_sae`."""
    folder = _checked_sae(folder)
    with _readable(folder):
        if not sae_lens_is_here():
            return plain_config(folder, None if dtype == OWN else dtype, device)
        from sae_lens import SAE
        from sae_lens.loading.pretrained_sae_loaders import get_sae_lens_config_from_disk, handle_config_defaulting

        told = handle_config_defaulting(
            get_sae_lens_config_from_disk(folder, device, None if dtype == OWN else {"dtype": dtype})
        )
        return SAE.get_sae_config_class_for_architecture(told["architecture"]).from_dict(told)


def _checked_sae(folder: str | Path) -> Path:
    folder = found_folder(folder)
    for name in ("cfg.json", "sae_weights.safetensors"):
        regular_file(folder / name, "an SAE is a folder with cfg.json and sae_weights.safetensors", largest=None)
    return folder


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except EmotionInterpError:
        raise
    except _DAMAGED as error:
        raise FileFormatError(
            f"{folder} is no readable SAELens SAE ({str(error).splitlines()[0] if str(error) else type(error).__name__}). "
            "It needs cfg.json and sae_weights.safetensors as SAE.save_model or save_inference_model write them."
        ) from error


def _saelens_entry(folder: Path, name: str) -> SaeEntry:
    config = read_json(folder / "cfg.json")
    facts = config.get("metadata") or config
    hook = facts.get("hook_name") or facts.get("hook_point")
    width = int(config.get("d_sae") or 0)
    site = Site.parse(hook) if isinstance(hook, str) else None
    k = config.get("k")
    return SaeEntry(name, site, width_name(width) if width else "", float(k) if isinstance(k, (int, float)) else None)
