"""Where SAEs come from: a release of SAELens' directory, a repository of the hub, or a folder; chosen before one is opened."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError, UnsupportedError, tell
from emotion_interp.core.leftovers import found_folder, sweep
from emotion_interp.core.progress import stream_of_news
from emotion_interp.core.reading import said
from emotion_interp.subjects.load_options import OWN
from emotion_interp.subjects.lookup import cache_only, checked_model_name, checked_release, reading_release
from emotion_interp.subjects.sae_choice import SaeChoice, SaeEntry, choose_saes
from emotion_interp.subjects.sae_folders import SAELENS, SaePlace, sae_config, sae_places
from emotion_interp.subjects.sae_hub import hub_places
from emotion_interp.subjects.sae_kinds import need_sae_lens
from emotion_interp.subjects.sae_raw import holds_more
from emotion_interp.subjects.sae_releases import Release, release_names, release_of, releases_of_repo, require_readable
from emotion_interp.subjects.shelf import SaeSource

if TYPE_CHECKING:
    from sae_lens import SAE


UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError),
    *(EOFError, AssertionError, NotImplementedError),
)
"""What the loaders raise at files that are missing, damaged or of another layout."""
_SAID: set[str] = set()
_PATCHING = threading.RLock()


@dataclass(frozen=True)
class ChosenSae:
    """One SAE that was chosen and is not loaded yet."""

    name: str
    """Of the release, repository or folder it is in."""
    entry: SaeEntry
    open: Callable[[str, str], SAE]
    """(device, dtype) -> the SAELens SAE as its files have it."""
    published: bool = True
    """Whether `name` is a release or a repository, which is worth keeping."""
    folder: Path | None = None
    """Of a SAELens SAE on disk, whose configuration can be read alone."""

    def load(self, device: str = "cpu", dtype: str = "float32") -> SAE:
        """The SAELens SAE, its release and id in its metadata.

        Warns:
            UserWarning: it reads another site than the release's list says.
        """
        sae = self.open(device, dtype)
        self.tell_of_itself(sae.cfg.metadata)
        return sae

    def tell_of_itself(self, metadata: Any) -> None:
        """Where it comes from and what it reads, into SAELens' metadata of it.

        Warns:
            UserWarning: it reads another site than the release's list says.
        """
        entry = self.entry
        if self.published:
            metadata.sae_release = self.name
        metadata.sae_id = entry.id
        if entry.neuronpedia_id:
            metadata.neuronpedia_id = entry.neuronpedia_id
        if "hook_name" not in metadata or not metadata.hook_name:
            if entry.site is not None:
                # some releases say it nowhere else
                metadata.hook_name = entry.site.hook_name
        elif entry.site is not None and metadata.hook_name != entry.site.hook_name:
            tell(
                f"the SAE {entry.id!r} is listed at {entry.site}, and its own configuration says {metadata.hook_name!r}: it is "
                "read there."
            )


def chosen_saes(
    saes: str | Path, layers: Iterable[int] | None = None, choose: SaeChoice | None = None
) -> list[ChosenSae]:
    """The SAEs that a name, a folder and a choice mean; none is loaded.

    Args:
        saes: a release of SAELens' directory, `user/repo` on the hub, or a folder.
        layers: only these; each must have an SAE.
        choose: which of several.

    Raises:
        UnknownNameError: no such release, layer, width or id.
        EmotionInterpError: several at one site that the choice does not tell apart.
        UnsupportedError: a release of which nothing can be read.
        FileFormatError: a folder without SAEs.
    """
    choice, text = choose or SaeChoice(), str(saes)
    if Path(text).is_dir():
        return _in_folder(Path(text), layers, choice)
    release = text
    if release not in release_names():
        named = releases_of_repo(text)
        if not named:
            places = hub_places(text, layers, choice)
            say_chosen(text, [place.entry() for place in places])
            return _placed(text, places, published=True)
        if len(named) > 1:
            raise EmotionInterpError(f"the repository {text!r} has several releases: {', '.join(named)}. Name one.")
        release = next(iter(named))
    described = release_of(release)
    require_readable(described)
    chosen = choose_saes(release, described.entries, layers, choice)
    if choice or len(chosen) < sum(e.site in {c.site for c in chosen} for e in described.entries):
        say_chosen(release, chosen)
    return [ChosenSae(release, entry, _loader(described, entry)) for entry in chosen]


def sae_source(chosen: ChosenSae, device: str = "cpu", dtype: str = "float32") -> SaeSource:
    """An SAE that was chosen, to be loaded when it is needed; of a SAELens folder the configuration alone is read now.

    Args:
        chosen: of `chosen_saes`.
        device: where it is to lie.
        dtype: its dtype, or "own": that of its file, of a SAELens folder (float32 of others).

    Raises:
        FileFormatError: the folder is no SAELens SAE.
    """
    config = None
    if chosen.folder is not None:
        config = sae_config(chosen.folder, device, dtype)
        chosen.tell_of_itself(config.metadata)
    elif dtype == OWN:
        dtype = "float32"
    return SaeSource(partial(chosen.load, device, dtype), config, chosen.entry.site)


def checked_saes(name: str) -> str:
    """A folder that exists, the name of a release, or a name that a repository of the hub can have.

    Raises:
        EmotionInterpError: none of them, or a release of which nothing can be read.
    """
    if "/" in name.strip("./~") and not Path(name).exists():
        return checked_model_name(name, "repository of SAEs")
    checked_release(name)
    if not Path(name).exists() and name in release_names():
        require_readable(release_of(name))
    return name


def say_chosen(name: str, chosen: list[SaeEntry]) -> None:
    """One line on standard error, once in a process, about what was chosen of a release."""
    shown = [
        f"{e.id} ({', '.join(x for x in (e.width, f'l0 {e.l0:g}' if e.l0 else '') if x)})".replace(" ()", "")
        for e in chosen
    ]
    if len(shown) > 4:
        shown = [*shown[:3], "...", shown[-1]]
    line = f"{name}: {len(chosen)} SAE{'s' * (len(chosen) != 1)}: {', '.join(shown)}"
    if line not in _SAID:
        _SAID.add(line)
        print(line, file=stream_of_news())


def _in_folder(folder: Path, layers: Iterable[int] | None, choice: SaeChoice) -> list[ChosenSae]:
    """All SAEs of a folder, several at a site too; or those that are chosen."""
    sweep(found_folder(folder))
    places, name = sae_places(folder), folder.resolve().name
    if choice:
        chosen = choose_saes(name, [place.entry() for place in places], layers, choice)
        say_chosen(name, chosen)
        places = [place for place in places if place.id in {entry.id for entry in chosen}]
    elif layers is not None:
        sites = [place.entry().site for place in places]
        wanted = set(layers)
        known = sorted({site.layer for site in sites if site is not None})
        missing = sorted(wanted - set(known))
        if missing and None not in sites:
            raise UnknownNameError("SAE layer", missing[0], known)
        places = [p for p, site in zip(places, sites, strict=True) if site is None or site.layer in wanted]
    return _placed(name, places, published=False)


def _placed(name: str, places: list[SaePlace], published: bool) -> list[ChosenSae]:
    # an SAE in a folder says itself where it reads
    return [
        ChosenSae(
            name, SaeEntry(place.id, None), place.load, published, place.folder if place.layout == SAELENS else None
        )
        for place in places
    ]


def _loader(release: Release, entry: SaeEntry) -> Callable[[str, str], SAE]:
    def load(device: str, dtype: str) -> SAE:
        need_sae_lens(f"the release {release.name!r} of SAELens' directory")
        from sae_lens import SAE

        if os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0").lower() in ("1", "y", "yes", "true"):
            raise UnsupportedError(
                "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD lets files of strangers run code when they are loaded; unset it."
            )

        def read() -> SAE:
            with _shapes_from_files():
                return SAE.from_pretrained(release.name, entry.id, device=device, dtype=dtype)

        try:
            try:
                with cache_only():
                    return read()
            except UNREADABLE:
                # whatever is wrong with the cached files, the hub's decide
                with reading_release(release.repo):
                    return read()
        except EmotionInterpError:
            raise
        except Exception as error:
            if holds_more(error):
                raise FileFormatError(
                    f"the SAE {entry.id!r} of release {release.name!r} is not loaded: its file holds more than tensors, and "
                    f"loading it would run what it holds ({said(error, 120)})."
                ) from None
            if not isinstance(error, UNREADABLE):
                raise
            raise EmotionInterpError(
                f"the SAE {entry.id!r} of release {release.name!r} can be neither downloaded nor read from the local cache: "
                f"{said(error)}"
            ) from error

    return load


@contextmanager
def _shapes_from_files() -> Iterator[None]:
    """Inside, SAELens reads the shapes of a file's tensors from the file, which it needs anyway, and not from the network.

    Its loader of Gemma Scope 2 asks the hub for them, also where the file is in the local cache.
    """
    from huggingface_hub import hf_hub_download
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from safetensors import safe_open

    def shapes(repo_id: str, filename: str) -> dict[str, list[int]]:
        with safe_open(hf_hub_download(repo_id, filename), framework="numpy") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118

    with _PATCHING:
        asking = loaders.get_safetensors_tensor_shapes
        loaders.get_safetensors_tensor_shapes = shapes
        try:
            yield
        finally:
            loaders.get_safetensors_tensor_shapes = asking
