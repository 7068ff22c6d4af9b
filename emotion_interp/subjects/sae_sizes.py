"""How large the SAEs of a release or folder are, without their weights."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.types import Site
from emotion_interp.subjects.architecture import Architecture
from emotion_interp.subjects.lookup import checked_release
from emotion_interp.subjects.sae_folders import SAELENS, sae_config, sae_places

WIDTHS = {
    "llama-3-8b-it-res-jh": 65_536,
    "gpt2-small-res-jb": 24_576,
    "gpt2-small-hook-z-kk": 24_576,
    "gpt2-small-mlp-tm": 24_576,
    "mistral-7b-res-wg": 65_536,
    "gemma-2b-res-jb": 16_384,
    "gemma-2b-it-res-jb": 16_384,
    "deepseek-r1-distill-llama-8b-qresearch": 65_536,
}
"""Latents of releases whose list does not say, from the configurations of their files."""
_LAYER = re.compile(r"(?:blocks\.|layer_|layers\.|layer|^l)(\d+)")
_KINDS = (
    ("attn-out", "attn_out"),
    ("lxa", "attn_out"),
    ("lxm", "mlp_out"),
    ("att", "z"),
    ("hook_z", "z"),
    ("mlp", "mlp_out"),
    ("resid_pre", "resid_pre"),
    ("resid_mid", "resid_mid"),
)


@dataclass(frozen=True)
class SaeSize:
    """One SAE: where it reads, and its shape.

    Attributes:
        layer: of its site.
        kind: of its site.
        d_in: dimensions it reads.
        d_sae: latents.
        sae_id: in the release, or the folder's name.
    """

    layer: int
    kind: str
    d_in: int
    d_sae: int
    sae_id: str

    @property
    def parameters(self) -> int:
        """Encoder, decoder, biases and thresholds."""
        return (2 * self.d_in + 2) * self.d_sae + self.d_in


def sae_sizes(saes: str | Path | None, model: Architecture, layers: Iterable[int] | None = None) -> list[SaeSize]:
    """One SAE for each layer of a release (the narrowest where it has several), or all of a folder.

    Args:
        saes: a release that SAELens knows, or a folder; None: none.
        model: which they read.
        layers: only these.

    Raises:
        UnknownNameError: a layer without an SAE.
        EmotionInterpError: neither the release's list nor a table here says how wide its SAEs are.
    """
    if saes is None:
        return []
    found = folder_sizes(Path(saes)) if Path(saes).is_dir() else _of_release(checked_release(str(saes)), model)
    if layers is not None:
        missing = sorted(set(layers) - {size.layer for size in found})
        if missing:
            raise UnknownNameError("SAE layer", missing[0], sorted({size.layer for size in found}))
        found = [size for size in found if size.layer in set(layers)]
    return sorted(found, key=lambda size: size.layer)


def folder_sizes(root: Path) -> list[SaeSize]:
    """Where each SAE of a folder reads, and its shape."""
    sizes = []
    for place in sae_places(root):
        # another layout says its shape in its weights alone
        config = sae_config(place.folder) if place.layout == SAELENS else place.load().cfg
        site = place.entry().site or Site.parse(config.metadata.hook_name)
        sizes.append(SaeSize(site.layer, site.kind, int(config.d_in), int(config.d_sae), place.folder.name))
    return sizes


def _of_release(release: str, model: Architecture) -> list[SaeSize]:
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    entry = get_pretrained_saes_directory()[release]
    narrowest: dict[int, SaeSize] = {}
    for sae_id in entry.saes_map:
        match = _LAYER.search(sae_id)
        if match is None:
            continue
        layer, name = int(match[1]), f"{release} {sae_id}".lower()
        kind = next((kind for word, kind in _KINDS if word in name), "resid_post")
        told = f"{sae_id} {(entry.neuronpedia_id or {}).get(sae_id) or ''} {release}"
        d_sae = WIDTHS.get(release) or _width(told, model)
        if d_sae is None:
            raise EmotionInterpError(
                f"how wide the SAEs of {release!r} are is said neither in its list nor here; download one and give its folder."
            )
        size = SaeSize(layer, kind, model.width(kind), d_sae, sae_id)
        if layer not in narrowest or d_sae < narrowest[layer].d_sae:
            narrowest[layer] = size
    return list(narrowest.values())


def _width(told: str, model: Architecture) -> int | None:
    """A width as ids name it: "16k" and "131k" are powers of two, "8x" is that many times the model's."""
    if match := re.search(r"2pow(\d+)", told):
        return 1 << int(match[1])
    if match := re.search(r"(?:width[_-](?=\d+m)|(?:width)?[-_/](?=\d+k))(\d+)(k|m)(?=$|[\s_/.-])", told):
        size = int(match[1]) * (1_000 if match[2] == "k" else 1_000_000)
        # the nearest power of two below 1.05 times the name: 16k is 16,384, 131k is 131,072, 1m is 1,048,576
        power = 1 << (int(size * 1.05).bit_length() - 1)
        return power if 0.93 <= size / power <= 1.07 else size
    if match := re.search(r"[-_](\d+)x(?=$|[\s_/.-])", told):
        return int(match[1]) * model.d_model
    return None
