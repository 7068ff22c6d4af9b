"""What an SAE's metadata says about its use (model, BOS, length of texts), held against the subject that reads with it."""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from emotion_interp.core.errors import tell
from emotion_interp.core.types import Site
from emotion_interp.subjects.named import MODELS
from emotion_interp.subjects.sae_releases import release_names, release_of
from emotion_interp.subjects.tuned import kind_of_name, recorded_name, sign_of

if TYPE_CHECKING:
    from emotion_interp.subjects.hooked import SaeFacts
    from emotion_interp.subjects.sae_reader import SaeReader
    from emotion_interp.subjects.subject import Subject

NEURONPEDIA = "https://www.neuronpedia.org"
_SAME = {"gpt2-small": "gpt2", "mistral-7b": "mistral-7b-v0.1"}
_LONG: weakref.WeakSet[object] = weakref.WeakSet()
"""Subjects about whose long texts one line was said."""


def metadata_of(reader: SaeReader) -> SaeFacts:
    """An SAE's metadata, without its weights where these wait on disk."""
    config = getattr(reader, "config", None)
    return (reader.sae.cfg if config is None else config).metadata


def neuronpedia_link(neuronpedia_id: str, feature: int | None = None) -> str:
    """Neuronpedia's page of an SAE, or of one of its features.

    Example:
        >>> neuronpedia_link("gpt2-small/8-res-jb", 1234)
        'https://www.neuronpedia.org/gpt2-small/8-res-jb/1234'
    """
    return f"{NEURONPEDIA}/{quote(neuronpedia_id)}" + ("" if feature is None else f"/{feature}")


def model_key(name: str) -> str:
    """A model's name without its owner and spelling, so that two names of one model are equal.

    Example:
        >>> model_key("meta-llama/Meta-Llama-3-8B-Instruct"), model_key("gpt2-small"), model_key("google/gemma-3-1b-pt")
        ('llama-3-8b-instruct', 'gpt2', 'gemma-3-1b')
    """
    key = name.strip().rstrip("/").rpartition("/")[2].lower().replace("_", "-")
    key = re.sub(r"-pt$", "", key.removeprefix("meta-")).removesuffix("-hf")
    return _SAME.get(key, key)


@cache
def _known_models() -> frozenset[str]:
    """Keys of the models that have releases or a short name."""
    named = [release_of(name).model for name in release_names()]
    return frozenset(map(model_key, [*named, *MODELS, *(model.hub for model in MODELS.values())]))


def tell_of_other_models(subject: Subject) -> None:
    """One line where SAEs were trained on another model than the subject, both being known.

    A folder may have any name; where it is none of a known model's, the subject's own files are asked.
    """
    config = getattr(getattr(subject.model, "original_model", None), "config", None)
    names = [subject.name, subject.provenance.get("source"), getattr(config, "_name_or_path", None)]
    given = [name for name in names if isinstance(name, str) and name]
    ours = set(map(model_key, given))
    if not ours & _known_models() and not any(map(_on_hub, given)):
        _tell_by_files(subject, ours)
        return
    others: dict[str, list[Site]] = {}
    for site, reader in subject.readers.items():
        theirs = _models_of(reader)
        if theirs and not ours & set(map(model_key, theirs)):
            others.setdefault(theirs[0], []).append(site)
    for model, sites in others.items():
        tell(
            f"{len(sites)} of {len(subject.readers)} SAEs ({sites[0]}, ...) were trained on {model}, and {subject.name} is another "
            "model of the same width: their features may mean something else here."
        )


def _tell_by_files(subject: Subject, ours: set[str]) -> None:
    """One line where SAEs of a base model read a tuned one or the reverse, or a base model's SAEs one made from another."""
    others: dict[tuple[str, str], list[Site]] = {}
    for site, reader in subject.readers.items():
        theirs = _models_of(reader)
        if not ours & set(map(model_key, theirs)) and (reason := _contradiction(subject, theirs)):
            others.setdefault((theirs[0], reason), []).append(site)
    for (model, reason), sites in others.items():
        tell(
            f"{len(sites)} of {len(subject.readers)} SAEs ({sites[0]}, ...) were trained on {model}, {reason}: their features may "
            "mean something else here."
        )


def _contradiction(subject: Subject, theirs: Sequence[str]) -> str:
    """What a subject's files say against its being the model that SAEs were trained on; "" where they leave it open."""
    kinds = set(map(kind_of_name, theirs))
    if kinds == {"base"}:
        recorded = recorded_name(subject)
        # a tuned model may have been made from any; a base model was made from none
        if recorded and kind_of_name(recorded) and model_key(recorded) not in map(model_key, theirs):
            return f"and the config.json of {subject.name} names {recorded}"
        if (sign := sign_of(subject)) and sign.kind == "tuned":
            return f"a base model, and {subject.name} is probably one tuned for conversations ({sign.by})"
    if kinds == {"tuned"} and (sign := sign_of(subject)) and sign.kind == "base":
        return f"which was tuned for conversations, and {subject.name} is probably a base model ({sign.by})"
    return ""


def _on_hub(name: str) -> bool:
    """Whether a name is a repository's, OWNER/NAME."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None and not Path(name).exists()


def _models_of(reader: SaeReader) -> list[str]:
    metadata, names = metadata_of(reader), []
    if "model_name" in metadata and isinstance(metadata.model_name, str):
        names.append(metadata.model_name)
    if "sae_release" in metadata and metadata.sae_release in release_names():
        # a few releases name the base model, and were trained on one that was tuned from it
        names.append(release_of(metadata.sae_release).model)
    return names


def tell_of_other_places(readers: Iterable[SaeReader]) -> None:
    """One line where SAEs are put at another hook than the one that their metadata says they were trained at.

    Args:
        readers: of SAEs that the caller has placed.
    """
    moved = []
    for reader in readers:
        metadata = metadata_of(reader)
        hook = metadata.hook_name if "hook_name" in metadata else None
        # a block's end is the next block's beginning
        before = Site(reader.site.layer - 1) if reader.site.kind == "resid_pre" and reader.site.layer else reader.site
        after = Site(reader.site.layer + 1, "resid_pre") if reader.site.kind == "resid_post" else reader.site
        if isinstance(hook, str) and hook and hook not in {s.hook_name for s in (reader.site, before, after)}:
            moved.append((reader.site, hook))
    if moved:
        site, hook = moved[0]
        tell(
            f"{len(moved)} SAEs are put where they were not trained: that at {site} was trained at {hook}. What they read there "
            "means nothing, unless you know it to be the same activations."
        )


def tell_of_context(subject: Subject) -> None:
    """One line where SAEs were trained on texts longer than the subject takes: it is hardly the model they were made for."""
    sizes = _context_sizes(subject, subject.readers)
    longest = max(sizes, default=0)
    if longest > subject.context:
        tell(
            f"SAEs were trained on texts of {longest} tokens, and {subject.name} takes {subject.context} at most: they are "
            "probably another model's."
        )


def tell_of_long_texts(subject: Subject, lengths: Iterable[int], sites: Sequence[Site]) -> None:
    """One line, once a subject, where texts are longer than those the SAEs that read them were trained on."""
    if subject in _LONG or not (sizes := _context_sizes(subject, sites)):
        return
    most = min(sizes)
    long = [length for length in lengths if length > most]
    if long:
        _LONG.add(subject)
        tell(
            f"{len(long)} texts have up to {max(long)} tokens, and the SAEs here were trained on texts of {most}: what they show "
            "beyond that position was not trained."
        )


def _context_sizes(subject: Subject, sites: Iterable[Site]) -> list[int]:
    """Tokens of the texts that the SAEs at some sites were trained on, where they say so."""
    points = {site.point for site in sites}
    found = [metadata_of(reader) for site, reader in subject.readers.items() if site.point in points]
    sizes = [metadata.context_size for metadata in found if "context_size" in metadata]
    return [size for size in sizes if isinstance(size, int) and not isinstance(size, bool) and size > 1]
