"""Files of vectors by layer that carry no convention of their own: torch files, safetensors, npz; and the shape they become."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnsupportedError
from emotion_interp.core.reading import check_zip, said
from emotion_interp.core.types import Site

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class VectorFile:
    """What a file of vectors says.

    Attributes:
        vectors: block -> vector [d_model] that is added behind it; -1: in front of the first block.
        coefficient: what the file itself says they are multiplied by.
        name: what they are of.
        model: of which model, as the file says.
    """

    vectors: Mapping[int, np.ndarray]
    coefficient: float = 1.0
    name: str = ""
    model: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


class Numbering(NamedTuple):
    """How a file without a convention of its own counts its layers.

    `layers`: the numbers of the rows of a stacked array, or of a lone vector; None: as the file names them.
    """

    counted: str = "blocks"
    layers: tuple[int, ...] | None = None

    def block(self, number: int) -> int:
        """The block behind which the vector of a number is added."""
        return number - 1 if self.counted == "hidden_states" else number


# -- torch files ------------------------------------------------------------------------------------------------------
def write_steering_vectors(path: Path, content: VectorFile) -> None:
    """The fields of a `SteeringVector`, as tensors that torch reads without unpickling."""
    import torch

    layers = {block: torch.tensor(vector) for block, vector in sorted(content.vectors.items())}
    torch.save({"layer_activations": layers, "layer_type": "decoder_block"}, path)


def write_caa(path: Path, content: VectorFile) -> None:
    """One tensor, as contrastive activation addition keeps them."""
    import torch

    torch.save(torch.tensor(next(iter(content.vectors.values()))), path)


def read_torch(path: Path, numbering: Numbering) -> VectorFile:
    """A tensor, tensors by layer, or the fields of a `SteeringVector`; nothing else is unpickled."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # what a damaged archive leads the reader to is of every kind
    except Exception as error:
        raise FileFormatError(
            f"{path} is no torch file of tensors alone ({said(error, 100)}). Files that hold other objects would run "
            "code when they are read, so they are not; save the tensors by themselves."
        ) from error
    if isinstance(content, dict) and "layer_activations" in content:
        kind = content.get("layer_type", "decoder_block")
        if kind != "decoder_block":
            raise UnsupportedError(
                f"{path} is of the layer_type {said(kind)}; vectors are read where whole blocks end (decoder_block)."
            )
        content, numbering = content["layer_activations"], Numbering()
    if isinstance(content, torch.Tensor):
        return VectorFile(_stacked(path, _array(content), numbering))
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise FileFormatError(f"{path} holds a {type(content).__name__}; a tensor or tensors by layer are needed.")
    named = {str(key): _array(value) for key, value in content.items()}
    return VectorFile(_named(path, named, numbering))


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


# -- arrays by name ---------------------------------------------------------------------------------------------------
def _hook_names(content: VectorFile) -> dict[str, np.ndarray]:
    named = {}
    for block, vector in sorted(content.vectors.items()):
        site = Site(block) if block >= 0 else Site(0, "resid_pre")
        named[site.hook_name] = np.ascontiguousarray(vector, dtype=np.float32)
    return named


def write_safetensors(path: Path, content: VectorFile) -> None:
    """A tensor for each layer, named by its hook."""
    from safetensors.numpy import save_file

    save_file(_hook_names(content), path, metadata=dict(content.facts))


def read_safetensors(path: Path, numbering: Numbering) -> VectorFile:
    """Tensors named by hook or layer, or one stacked tensor."""
    from safetensors import SafetensorError, safe_open

    # of half-precision types numpy knows one only
    try:
        with safe_open(path, framework="pt") as handle:
            named = {name: _array(handle.get_tensor(name)) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise FileFormatError(f"{path} is no readable safetensors file ({said(error, 100)}).") from error
    return VectorFile(_named(path, named, numbering))


def write_npz(path: Path, content: VectorFile) -> None:
    """An array for each layer, named by its hook."""
    with path.open("wb") as handle:
        np.savez(handle, allow_pickle=False, **_hook_names(content))


def read_npz(path: Path, numbering: Numbering) -> VectorFile:
    """Arrays named by hook or layer, or one stacked array."""
    check_zip(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            named = {name: np.asarray(arrays[name], dtype=np.float32) for name in arrays.files}
    # a damaged archive leads its readers anywhere
    except Exception as error:
        raise FileFormatError(f"{path} is no readable .npz file of numbers ({said(error, 100)}).") from error
    return VectorFile(_named(path, named, numbering))


def _named(path: Path, named: Mapping[str, np.ndarray], numbering: Numbering) -> dict[int, np.ndarray]:
    """Vectors by block, of arrays that are named by hook or by number; one stacked array stands for its rows."""
    if len(named) == 1 and next(iter(named.values())).ndim == 2:
        return _stacked(path, next(iter(named.values())), numbering)
    vectors: dict[int, np.ndarray] = {}
    for name, vector in named.items():
        block = _block_of(path, name, numbering)
        if block in vectors:
            raise FileFormatError(f"{path} has two vectors behind block {block}; {said(name)} is one of them.")
        vectors[block] = vector
    return vectors


def _block_of(path: Path, name: str, numbering: Numbering) -> int:
    hook = re.search(r"blocks\.(\d+)\.(?:attn\.|mlp\.)?hook_(\w+)", name)
    if hook is not None:
        if hook[2] not in ("resid_pre", "resid_post"):
            raise UnsupportedError(f"{path} has {said(name)}; vectors of resid_pre and resid_post are read.")
        return int(hook[1]) - (hook[2] == "resid_pre")
    numbers = re.findall(r"\d+", name)
    if len(numbers) != 1:
        raise FileFormatError(
            f"{path} has an array named {said(name, 60)}, which says no layer; names such as 'layer.5' or "
            "'blocks.5.hook_resid_post' do."
        )
    return numbering.block(int(numbers[0]))


def _stacked(path: Path, array: np.ndarray, numbering: Numbering) -> dict[int, np.ndarray]:
    """Vectors by block, of one vector (its layer given, or in the file's name) or of rows for layers."""
    rows = np.atleast_2d(array)
    if rows.ndim != 2:
        raise FileFormatError(f"{path} holds an array {array.shape}; [d_model] or [layer, d_model] is needed.")
    numbers = numbering.layers
    if numbers is None and len(rows) > 1:
        numbers = tuple(range(len(rows)))
    if numbers is None:
        spelt = re.search(r"layer[_-]?(\d+)", path.stem, re.IGNORECASE)
        if spelt is None:
            raise EmotionInterpError(f"{path} holds one vector and says no layer; give layers=[13].")
        numbers = (int(spelt[1]),)
    if len(numbers) != len(rows):
        raise EmotionInterpError(f"{path} holds {len(rows)} vectors, but {len(numbers)} layers are given.")
    return {numbering.block(number): row for number, row in zip(numbers, rows, strict=True)}
