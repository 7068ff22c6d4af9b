"""What SAELens' directory of releases says of each SAE, read from its list without loading it."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from emotion_interp.core.errors import FileFormatError, UnsupportedError
from emotion_interp.core.types import Site
from emotion_interp.subjects.sae_choice import LEVELS, SaeEntry
from emotion_interp.subjects.sae_identity import width_name
from emotion_interp.subjects.sae_reader import REFUSED

_KINDS = {"res": "resid_post", "resid_post": "resid_post", "mlp": "mlp_out", "mlp_out": "mlp_out", "att": "z"}
_KINDS |= {"attn_out": "z"}
"""Parts of the paths of Gemma Scope; its attention SAEs read the heads' outputs before they are mixed."""
_SCOPE = {"r": "resid_post", "a": "attn_out", "m": "mlp_out"}
_UNREADABLE = {
    "gemma_2_transcoder": "transcoder",
    "mwhanna_transcoder": "transcoder",
    "mntss_clt_layer_transcoder": "transcoder",
    "temporal": "temporal",
}
"""SAELens' loaders whose releases cannot be read, by the reason in `REFUSED`."""
_HUB_NAMES = {
    "gpt2-small": "gpt2",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
    "pythia-70m-deduped": "EleutherAI/pythia-70m-deduped",
    "gemma-2b": "google/gemma-2b",
    "gemma-2b-it": "google/gemma-2b-it",
}
"""TransformerLens' names in the list that are others on the hub; of the rest only the owner is missing."""
_OWNERS = {"gemma-": "google", "qwen": "Qwen"}


@dataclass(frozen=True)
class Release:
    """One release: where it lies, whose activations it reads, and what is in it."""

    name: str
    repo: str
    model: str
    """Name on the hub."""
    loader: str
    entries: tuple[SaeEntry, ...]

    @property
    def refusal(self) -> str:
        """Why none of its SAEs can be read; "" where they can."""
        word = _UNREADABLE.get(self.loader, "")
        if not word and "transcoder" in self.name:
            word = "transcoder"
        return REFUSED[word] if word else ""


@cache
def _blocks() -> dict[str, str]:
    """The text of each release in the list; the whole takes a second to parse, one release nothing."""
    spec = importlib.util.find_spec("sae_lens")
    folders = spec.submodule_search_locations if spec is not None else None
    listed = [Path(folder) / "pretrained_saes.yaml" for folder in folders or ()]
    text = "".join(file.read_text(encoding="utf-8") for file in listed if file.is_file())
    blocks = re.split(r"^(?=[^\s#])", text, flags=re.MULTILINE)
    return {block.partition(":")[0]: block for block in blocks if re.match(r"[^\s#:]+:", block)}


def release_names() -> tuple[str, ...]:
    """The SAE releases that SAELens knows."""
    return tuple(_blocks())


@cache
def release_of(name: str) -> Release:
    """One release of the list.

    Raises:
        FileFormatError: SAELens' list has no such release, or describes it in a way that is not understood.
    """
    try:
        described = yaml.load(_blocks()[name], Loader=_Loader)[name]
        repo, loader = str(described["repo_id"]), str(described.get("conversion_func") or "sae_lens")
        found = tuple(_entry(name, repo, loader, listed) for listed in described["saes"])
        return Release(name, repo, _hub_name(described, repo), loader, found)
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise FileFormatError(
            f"SAELens' list of releases does not describe {name!r} as expected ({type(error).__name__}: {error})."
        ) from None


_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def releases_of_repo(repo: str) -> tuple[str, ...]:
    """The releases that lie in a repository of the hub."""
    named = re.compile(rf"^  repo_id: ['\"]?{re.escape(repo)}['\"]?\s*$", re.MULTILINE)
    return tuple(name for name, block in _blocks().items() if named.search(block))


def require_readable(release: Release) -> None:
    """Refuse a release none of whose SAEs can be read, before anything is downloaded.

    Raises:
        UnsupportedError: with the reason.
    """
    if release.refusal:
        raise UnsupportedError(f"the SAE release {release.name!r} cannot be read here: {release.refusal}")


def _entry(release: str, repo: str, loader: str, listed: Mapping[str, str]) -> SaeEntry:
    name, path = str(listed["id"]), str(listed["path"])
    linked = listed.get("neuronpedia")
    site = _site(name, path, repo, loader)
    width = next((width for text in (name, linked or "", repo, release) if (width := width_in(text))), "")
    level = next((level for level in LEVELS if re.search(rf"_l0_{level}(?:_|$)", name)), "")
    numbered = re.search(r"average_l0_(\d+)", path) or re.search(r"_l0_(\d+)", name)
    l0 = float(numbered[1]) if numbered else float(listed.get("l0") or 0)
    return SaeEntry(name, site, width, l0 or None, level, path, linked)


def _site(name: str, path: str, repo: str, loader: str) -> Site | None:
    """Where an SAE reads, as its id and path say it; what the SAE's own configuration says is compared later."""
    if match := re.match(r"blocks\.(\d+)\.(?:attn\.)?hook_(resid_pre|resid_mid|resid_post|attn_out|mlp_out|z)", name):
        return Site(int(match[1]), match[2])
    if loader.startswith("llama_scope") and (match := re.match(r"l(\d+)([ram])_", name)):
        return Site(int(match[1]), _SCOPE[match[2]])
    match = re.search(r"layer_?(\d+)", name)
    if match is None:
        return None
    if loader == "gemma_2":
        return Site(int(match[1]), _KINDS[repo.rpartition("-")[2]])
    if loader == "gemma_3":
        folder = path.partition("/")[0].removesuffix("_all")
        return Site(int(match[1]), _KINDS[folder]) if folder in _KINDS else None
    return Site(int(match[1]))


def width_in(text: str) -> str:
    """The width that an id, a path or a release's name says, as `width_name` gives it; "" where it says none.

    Example:
        >>> width_in("layer_5/width_65k/average_l0_70"), width_in("width-2pow12"), width_in("res_fs768-jb")
        ('65k', '4k', '768')
    """
    if match := re.search(r"2pow(\d+)", text):
        return width_name(2 ** int(match[1]))
    if match := re.search(r"(?<![a-z0-9.])w?(\d{1,3}k|\dm)(?![a-z0-9])", text, re.IGNORECASE):
        return match[1].lower()
    if match := re.search(r"(?:hook_resid_pre_|res_fs)(\d{3,})", text):
        return width_name(int(match[1]))
    return ""


def _hub_name(described: dict[str, Any], repo: str) -> str:
    """The model's name on the hub: the list links some, and names others as TransformerLens does."""
    model = str(described["model"])
    # the list has the base model for the SAEs of some instruct models
    if "gemma-scope" in repo and "-it-" in repo and not model.endswith("-it"):
        model = f"{model.removesuffix('-pt')}-it"
    if "/" in model or model in _HUB_NAMES:
        return _HUB_NAMES.get(model, model)
    linked = str((described.get("links") or {}).get("model") or "").partition("huggingface.co/")[2]
    if linked.rpartition("/")[2].lower() == model.lower():
        return linked
    owner = next((owner for start, owner in _OWNERS.items() if model.startswith(start)), "")
    cased = (
        re.sub(r"\d+(?:\.\d+)?b$", lambda m: m[0].upper(), model).replace("qwen", "Qwen") if owner == "Qwen" else model
    )
    return f"{owner}/{cased}" if owner else cased
