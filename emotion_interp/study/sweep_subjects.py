"""The subjects of a sweep: loaded with all their SAEs, and known again by a few sums of their weights."""

from __future__ import annotations

from typing import Any

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.files import sha256_of
from emotion_interp.core.types import Site
from emotion_interp.study.sweep_file import SaeEntry, SubjectEntry
from emotion_interp.subjects.loading import BUNDLED, load_subject
from emotion_interp.subjects.sae_choice import SaeChoice
from emotion_interp.subjects.sae_reader import SaeReader
from emotion_interp.subjects.sae_sources import chosen_saes
from emotion_interp.subjects.subject import Subject

_SAMPLED = 4096
"""Entries of each tensor that its sums are taken over."""


def load_entry(entry: SubjectEntry) -> Subject:
    """A subject of a sweep.toml with the SAEs of all its releases and folders.

    Raises:
        EmotionInterpError: model or SAEs cannot be found or read.
    """
    model = None if entry.model == BUNDLED else entry.model
    sources = entry.sources
    if not sources or (len(sources) == 1 and isinstance(sources[0], str)):
        saes: Any = sources[0] if sources else None
        return load_subject(model, saes=saes, layers=entry.layers, device=entry.device, dtype=entry.dtype)
    bare = load_subject(model, saes=[], device=entry.device, dtype=entry.dtype)
    readers = [reader for source in sources for reader in _readers(source, entry, str(bare.device))]
    return Subject(bare.model, readers, bare.tokenizer, bare.name, bare.provenance)


def sites_of(entry: SubjectEntry, subject: Subject) -> list[Site]:
    """The sites of a subject that a sweep reads.

    Raises:
        EmotionInterpError: it has no SAE of these kinds.
    """
    sites = [site for site in subject.sites if entry.kinds is None or site.kind in entry.kinds]
    if not sites:
        raise EmotionInterpError(f"{entry.called} has no SAE at the kinds {entry.kinds}; its sites: {subject.sites}.")
    return sites


def fingerprint(subject: Subject) -> str:
    """Hash of a subject's weights and SAEs: name, shape and sums over a sample of every tensor."""
    tensors = [("model", name, tensor) for name, tensor in subject.model.state_dict().items()]
    for site, reader in subject.readers.items():
        tensors += [(str(site), name, tensor) for name, tensor in reader.sae.state_dict().items()]
    parts: list[Any] = []
    for place, name, tensor in tensors:
        if hasattr(tensor, "is_floating_point") and tensor.is_floating_point() and tensor.numel():
            flat = tensor.detach().reshape(-1)
            values = flat[:: max(1, flat.numel() // _SAMPLED)].double().cpu()
            parts.append([place, name, list(tensor.shape), float(values.sum()), float(values.abs().sum())])
    return sha256_of(sorted(parts, key=lambda part: part[:2]))


def _readers(source: str | SaeEntry, entry: SubjectEntry, device: str) -> list[SaeReader]:
    asked = SaeEntry(release=source) if isinstance(source, str) else source
    layers = entry.layers if asked.layers is None else asked.layers
    choice = SaeChoice(width=asked.width, l0=asked.sparsity)
    return [SaeReader(one.load(device)) for one in chosen_saes(asked.release, layers, choice)]
