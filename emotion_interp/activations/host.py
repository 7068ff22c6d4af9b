"""From a card to the host and back with as few waits as can be: pinned memory, and one wait for several tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def to_host(*tensors: torch.Tensor) -> list[np.ndarray]:
    """Tensors as arrays; from a card all copies are started, then waited for once.

    Args:
        *tensors: of types that numpy has.
    """
    import torch

    if not any(t.is_cuda for t in tensors):
        return [t.detach().cpu().numpy() for t in tensors]
    copies = []
    for tensor in tensors:
        pinned = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=True)
        copies.append(pinned.copy_(tensor.detach(), non_blocking=True))
    for device in {t.device for t in tensors if t.is_cuda}:
        torch.cuda.current_stream(device).synchronize()
    # pageable copies: pinned memory is scarce, and the arrays may be kept
    return [np.array(copy.numpy()) for copy in copies]


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array as a tensor on a device; to a card without waiting for it."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
