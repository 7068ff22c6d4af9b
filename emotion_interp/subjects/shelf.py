"""SAEs that wait on disk: at most so many are in memory, and the one not asked for longest goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emotion_interp.core.errors import FileFormatError, tell
from emotion_interp.core.memory import free_memory, gibibytes
from emotion_interp.core.types import Site
from emotion_interp.subjects.sae_reader import SaeReader

if TYPE_CHECKING:
    from sae_lens import SAE

    from emotion_interp.subjects.hooked import SaeSettings


SHARE = 0.6
"""Of the free memory that SAEs may take together before only some of them stay."""


@dataclass(frozen=True)
class SaeSource:
    """Where one SAE comes from.

    Attributes:
        load: makes it, in its inference form.
        config: SAELens' configuration of it, without weights; None: it is loaded once to look.
        site: where it reads, if its metadata does not say.
    """

    load: Callable[[], SAE]
    config: SaeSettings | None = None
    site: Site | None = None

    def site_for(self, config: SaeSettings) -> Site | None:
        """The site that a reader must be given."""
        metadata = config.metadata
        return None if "hook_name" in metadata and metadata.hook_name else self.site


class SaeShelf:
    """The SAEs in memory, at most `room` of them.

    An SAE that somebody holds on to stays in memory until it is let go there.

    Args:
        room: most SAEs at a time.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._held: OrderedDict[object, SAE] = OrderedDict()
        self._lock = threading.RLock()

    def fetch(self, key: object, load: Callable[[], SAE]) -> SAE:
        """The SAE of a key; loaded where it is not in memory, after another has made room for it."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            while len(self._held) >= self.room:
                self._held.popitem(last=False)
            self._held[key] = sae = load()
            return sae

    def __len__(self) -> int:
        return len(self._held)


class ShelvedReader(SaeReader):
    """A reader whose SAE is in memory only while a shelf holds it; else as `SaeReader`.

    What configurations do not say (finite weights, shapes, the signature) is looked at when it is first loaded.

    Args:
        source: where the SAE comes from.
        shelf: of the subject.

    Raises:
        UnsupportedError: as `SaeReader`.
    """

    def __init__(self, source: SaeSource, shelf: SaeShelf) -> None:
        self.shelf = shelf
        self._source, self._key = source, object()
        # shared by copies under another name
        self._facts: dict[str, Any] = {}
        if source.config is None:
            looked = _read(source)
            self._describe(looked.config, looked.site)
            self._note(looked.sae)
        else:
            self._describe(source.config, source.site_for(source.config))

    @property
    def sae(self) -> SAE:
        """The SAELens SAE, loaded if need be; let it go soon."""
        return self.shelf.fetch(self._key, self._load)

    def signature(self) -> list[float]:
        return self._noted()["signature"]

    def weights_dtype(self) -> str:
        return self._noted()["dtype"]

    def encoder_signature(self) -> dict[str, list[float]]:
        return self._noted()["encoder"]

    def _load(self) -> SAE:
        sae = self._source.load()
        if not self._facts:
            sae = self._usable(sae)
            if (int(sae.cfg.d_in), int(sae.cfg.d_sae)) != (self.d_in, self.d_sae):
                raise FileFormatError(
                    f"the SAE at {self.site} has {sae.cfg.d_sae} latents of {sae.cfg.d_in} dimensions, but its "
                    f"configuration said {self.d_sae} of {self.d_in}; its files do not belong together."
                )
            self._note(sae)
        return sae

    def _note(self, sae: SAE) -> None:
        one = SaeReader.__new__(SaeReader)
        one.config, one._sae = sae.cfg, sae
        self._facts.update(signature=one.signature(), encoder=one.encoder_signature(), dtype=one.weights_dtype())

    def _noted(self) -> dict[str, Any]:
        if not self._facts:
            _ = self.sae
        return self._facts


class SaeView(Mapping[Site, "SAE"]):
    """The SAELens SAEs by site; one that waits on disk is loaded as it is asked for.

    Args:
        readers: by site.
    """

    def __init__(self, readers: Mapping[Site, SaeReader]) -> None:
        self._readers = readers

    def __getitem__(self, site: Site) -> SAE:
        return self._readers[site].sae

    def __contains__(self, site: object) -> bool:
        return site in self._readers

    def __iter__(self) -> Iterator[Site]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __repr__(self) -> str:
        return f"SaeView({', '.join(map(str, self._readers))})"


def readers_of(sources: Sequence[SaeSource], resident: int | None = None, device: str = "cpu") -> list[SaeReader]:
    """A reader of each SAE: all in memory, or, asked for or where memory is short, with most of them on disk.

    Args:
        sources: where each SAE comes from.
        resident: SAEs in memory at a time; None: what fits.
        device: where they are to lie.

    Raises:
        UnsupportedError: an SAE that cannot be read.

    Warns:
        UserWarning: memory is short.
    """
    room = len(sources) if resident is None else resident
    readers = [_read(source) for source in sources[:1] if room >= len(sources)]
    if resident is None:
        room = _room([sae_bytes(s.config) if s.config else sae_bytes(readers[0].config) for s in sources], device)
    if room < len(sources):
        readers.clear()
        shelf = SaeShelf(room)
        return [ShelvedReader(source, shelf) for source in sources]
    return readers + [_read(source) for source in sources[1:]]


def sae_bytes(config: SaeSettings) -> int:
    """Bytes that an SAE of a configuration takes in memory."""
    import torch

    dtype = getattr(torch, str(config.dtype).removeprefix("torch."), torch.float32)
    return (2 * int(config.d_in) + 2) * int(config.d_sae) * dtype.itemsize


def _read(source: SaeSource) -> SaeReader:
    sae = source.load()
    return SaeReader(sae, source.site_for(sae.cfg))


def scarce(readers: Sequence[SaeReader]) -> bool:
    """Whether these SAEs cannot all be in memory at a time."""
    shelved = [reader for reader in readers if isinstance(reader, ShelvedReader)]
    return any(len(shelved) > reader.shelf.room for reader in shelved)


def in_turns(readers: Mapping[Site, SaeReader], sites: Sequence[Site]) -> list[list[Site]]:
    """The sites in groups whose SAEs may all be in memory at a time: one pass over the texts for each."""
    rooms = [reader.shelf.room for site in sites if isinstance(reader := readers.get(site), ShelvedReader)]
    size = min(rooms, default=max(1, len(sites)))
    return [list(sites[start : start + size]) for start in range(0, len(sites), size)]


def _room(sizes: Sequence[int], device: str) -> int:
    """How many of the SAEs fit into memory."""
    free = free_memory(device)
    if free is None or sum(sizes) <= SHARE * free:
        return len(sizes)
    room = max(1, int(SHARE * free / max(sizes)))
    tell(
        f"{len(sizes)} SAEs take {gibibytes(sum(sizes))} and {gibibytes(free)} are free: {room} of them stay in memory at "
        "a time (LoadOptions(resident=...) chooses)."
    )
    return room
