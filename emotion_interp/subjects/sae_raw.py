"""What a foreign file of an SAE holds, and the SAELens SAE made of it; nothing in a file is run."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from safetensors import SafetensorError

from emotion_interp.core.errors import FileFormatError
from emotion_interp.core.reading import regular_file, said
from emotion_interp.core.types import Site
from emotion_interp.subjects.plain_sae import PlainConfig, PlainMetadata, PlainSae
from emotion_interp.subjects.sae_kinds import sae_lens_is_here

if TYPE_CHECKING:
    import torch
    from sae_lens import SAE


Tensors = dict[str, "torch.Tensor"]


@dataclass(frozen=True)
class RawSae:
    """What a foreign folder holds, in SAELens' names and shapes."""

    architecture: str
    """"standard", "jumprelu", "topk" or "gated"."""
    tensors: Tensors
    site: Site
    subtracts_b_dec: bool
    """Whether the decoder's bias is taken from the input before it is encoded."""
    k: int | None = None
    normalize: str = "none"
    norm_factor: float | None = None
    """What the input is multiplied with; it is folded into the weights."""
    by_decoder_norm: bool = False
    """Whether latents are given in units of their decoder rows' lengths; folded as well."""
    metadata: Mapping[str, object] = field(default_factory=dict)


def as_saelens(raw: RawSae, device: str = "cpu", dtype: str = "float32") -> SAE:
    """The SAELens SAE that encodes as the library does which wrote the folder."""
    if not sae_lens_is_here():
        # it reads as one
        return cast("SAE", _as_plain(raw, device, dtype))
    from sae_lens.registry import get_sae_class
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.util import str_to_dtype

    sae_class, config_class = get_sae_class(raw.architecture)
    d_sae, d_in = raw.tensors["W_dec"].shape
    known = {name: value for name, value in raw.metadata.items() if value is not None}
    options: dict[str, Any] = {"normalize_activations": raw.normalize} | ({} if raw.k is None else {"k": raw.k})
    config = config_class(
        d_in=d_in,
        d_sae=d_sae,
        dtype="float32",
        device="cpu",
        apply_b_dec_to_input=raw.subtracts_b_dec,
        metadata=SAEMetadata(hook_name=raw.site.hook_name, **known),
        **options,
    )
    sae: Any = sae_class(config)
    sae.load_state_dict({name: tensor.detach().float().contiguous() for name, tensor in raw.tensors.items()})
    if raw.norm_factor is not None:
        sae.fold_activation_norm_scaling_factor(raw.norm_factor)
    if raw.by_decoder_norm:
        sae.fold_W_dec_norm()
    # `to` would leave the configuration with the old ones
    sae.cfg.device, sae.cfg.dtype = device, dtype
    return sae.to(device=device, dtype=str_to_dtype(dtype))


def holds_more(error: BaseException) -> bool:
    """Whether torch refused a file because it holds more than tensors; the error's module is not imported here."""
    return type(error).__name__ == "UnpicklingError"


def _as_plain(raw: RawSae, device: str, dtype: str) -> PlainSae:
    """As `as_saelens`, without SAELens."""
    import torch

    d_sae, d_in = raw.tensors["W_dec"].shape
    known = {name: value for name, value in raw.metadata.items() if value is not None}
    config = PlainConfig(
        d_in=int(d_in),
        d_sae=int(d_sae),
        kind=raw.architecture,
        apply_b_dec_to_input=raw.subtracts_b_dec,
        normalize_activations=raw.normalize,
        k=raw.k or 0,
        metadata=PlainMetadata(hook_name=raw.site.hook_name, **known),
    )
    sae = PlainSae(config, {name: tensor.detach().float().contiguous() for name, tensor in raw.tensors.items()})
    if raw.norm_factor is not None:
        sae.fold_activation_norm_scaling_factor(raw.norm_factor)
    if raw.by_decoder_norm:
        sae.fold_W_dec_norm()
    return sae.to(device=device, dtype=getattr(torch, dtype))


def torch_tensors(path: Path) -> Tensors:
    """The tensors of a torch file, and nothing else of it.

    Raises:
        FileFormatError: it is damaged, or holds more than tensors, which loading would run.
    """
    import torch

    regular_file(path, largest=None)
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if holds_more(error):
            raise FileFormatError(
                f"{path} is not loaded: it holds more than tensors, and loading it would run what it holds ({said(error, 120)})."
            ) from None
        if not isinstance(error, (OSError, RuntimeError, ValueError, LookupError, EOFError)):
            raise
        raise FileFormatError(f"{path} cannot be read as a torch file ({said(error, 120)}).") from error
    if not isinstance(saved, dict):
        raise FileFormatError(f"{path} holds a {type(saved).__name__}; named tensors are needed.")
    return {str(name): tensor for name, tensor in saved.items() if isinstance(tensor, torch.Tensor)}


def safe_tensors(path: Path) -> Tensors:
    """The tensors of a safetensors file.

    Raises:
        FileFormatError: it is damaged.
    """
    from safetensors.torch import load_file

    regular_file(path, largest=None)
    try:
        return dict(load_file(path))
    except (OSError, ValueError, SafetensorError) as error:
        raise FileFormatError(f"{path} cannot be read as safetensors ({said(error, 120)}).") from error


def array_tensors(path: Path) -> Tensors:
    """The arrays of an npz file as tensors.

    Raises:
        FileFormatError: it is damaged, or holds objects.
    """
    import torch

    regular_file(path, largest=None)
    try:
        with np.load(path, allow_pickle=False) as saved:
            return {name: torch.from_numpy(np.ascontiguousarray(saved[name])) for name in saved.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path} cannot be read as arrays ({said(error, 120)}).") from error


def only(tensors: Tensors, folder: Path, *names: str) -> Tensors:
    """Some tensors by name.

    Raises:
        FileFormatError: one is missing.
    """
    missing = [name for name in names if name not in tensors]
    if missing:
        raise FileFormatError(f"{folder} has no tensor {missing[0]!r}; it has {', '.join(sorted(tensors))}.")
    return {name: tensors[name] for name in names}


def part_of(config: object, name: str, folder: Path) -> dict[str, Any]:
    """A named part of a configuration.

    Raises:
        FileFormatError: there is none.
    """
    part = config.get(name) if isinstance(config, dict) else None
    if not isinstance(part, dict):
        raise FileFormatError(f"the configuration of {folder} has no part {name!r}; is it an SAE's?")
    return part
