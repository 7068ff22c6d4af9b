"""The subjects of a sweep: loaded with all their SAEs, and known again by a few sums of their weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.files import sha256_of
from emotion_interp.core.types import Site
from emotion_interp.study.sweep_file import SaeChoice, SubjectEntry
from emotion_interp.subjects.loading import BUNDLED, load_sae, load_subject, sae_folders
from emotion_interp.subjects.sae_reader import SaeReader, width_name
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


def _readers(source: str | SaeChoice, entry: SubjectEntry, device: str) -> list[SaeReader]:
    choice = SaeChoice(release=source) if isinstance(source, str) else source
    layers = entry.layers if choice.layers is None else choice.layers
    if Path(choice.release).is_dir():
        readers = [SaeReader(load_sae(folder, device)) for folder in sae_folders(choice.release)]
        readers = [r for r in readers if layers is None or r.site.layer in layers]
        kept = [r for r in readers if choice.width in (None, width_name(r.d_sae), str(r.d_sae))]
        if not kept:
            known = sorted({f"{r.site.layer} ({width_name(r.d_sae)})" for r in readers})
            raise UnknownNameError(f"SAE layer or width in {choice.release}", choice.width or layers, known)
        return kept
    return [_pretrained(choice.release, sae_id, device) for sae_id in _ids(choice, layers)]


def _pretrained(release: str, sae_id: str, device: str) -> SaeReader:
    from sae_lens import SAE

    try:
        sae = SAE.from_pretrained(release, sae_id, device=device)
    except (OSError, ValueError) as error:
        raise EmotionInterpError(
            f"the SAE {sae_id!r} of release {release!r} can be neither downloaded nor found in the local cache: {error}"
        ) from error
    named = "hook_name" in sae.cfg.metadata and sae.cfg.metadata.hook_name
    hook = re.match(r"blocks\.\d+\.(?:attn\.)?hook_\w+?(?=$|_\d)", sae_id)
    return SaeReader(sae, None if named or hook is None else Site.parse(hook[0]))


def _ids(choice: SaeChoice, layers: list[int] | None) -> list[str]:
    """One SAE of a release for each layer: of the width, with the nearest sparsity, else the first listed."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    best: dict[int, tuple[float, str]] = {}
    known = list(get_pretrained_saes_directory()[choice.release].saes_map)
    for sae_id in known:
        layer = re.search(r"(?:blocks\.|layer_|layers\.|layer)(\d+)", sae_id)
        sparsity = re.search(r"l0_(\d+(?:\.\d+)?)", sae_id)
        if layer is None or (layers is not None and int(layer[1]) not in layers):
            continue
        if choice.width and not re.search(rf"(?:^|[/_])(?:width_)?{re.escape(choice.width)}(?:$|[/_])", sae_id):
            continue
        off = abs(float(sparsity[1]) - choice.sparsity) if sparsity and choice.sparsity is not None else 0.0
        if off < best.get(int(layer[1]), (float("inf"), ""))[0]:
            best[int(layer[1])] = (off, sae_id)
    missing = sorted(set(layers or ()) - set(best))
    if missing or not best:
        raise UnknownNameError(f"SAE of {choice.release} at layer", missing[:1] or choice.width, known)
    return [sae_id for _, (_, sae_id) in sorted(best.items())]
