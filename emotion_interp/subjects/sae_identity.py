"""By what an SAE is known again: a few projections of its weights, and names for several that read one hook point."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.types import Site

if TYPE_CHECKING:
    from sae_lens import SAE


class _Reader(Protocol):
    """What a reader of an SAE says of itself."""

    site: Site

    @property
    def d_sae(self) -> int: ...
    @property
    def sae(self) -> SAE: ...


R = TypeVar("R", bound=_Reader)


def signature_of(sae: SAE) -> list[float]:
    """Cosines of eight decoder rows, spread over the dictionary, with one fixed vector: the same in any precision."""
    ids = np.linspace(0, int(sae.cfg.d_sae) - 1, 8).astype(int)
    rows = sae.W_dec.detach()[ids].double().cpu().numpy()
    fixed = np.cos(np.arange(1, rows.shape[1] + 1) ** 1.5)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(fixed)
    return np.divide(rows @ fixed, lengths, out=np.zeros(len(rows)), where=lengths > 0).tolist()


def encoder_signature_of(sae: SAE) -> dict[str, list[float]]:
    """As `signature_of` of what encodes: by parameter, projections of eight columns, or eight of the values."""
    d_in, d_sae = int(sae.cfg.d_in), int(sae.cfg.d_sae)
    ids = np.linspace(0, d_sae - 1, 8).astype(int)
    fixed = np.cos(np.arange(1, d_in + 1) ** 1.5)
    fixed /= np.linalg.norm(fixed)
    found = {}
    for name, tensor in sorted(sae.state_dict().items()):
        values = tensor.detach()
        if tuple(values.shape) == (d_in, d_sae):
            found[name] = (fixed @ values[:, ids].double().cpu().numpy()).tolist()
        elif tuple(values.shape) == (d_sae,):
            found[name] = values[ids].double().cpu().numpy().tolist()
        elif tuple(values.shape) == (d_in,):
            found[name] = values[np.linspace(0, d_in - 1, 8).astype(int)].double().cpu().numpy().tolist()
    return found


def same_encoder(one: Mapping[str, Sequence[float]], other: Mapping[str, Sequence[float]]) -> bool:
    """Whether two encoder signatures are of one SAE, read in whatever precision."""
    if set(one) != set(other):
        return False
    for name, values in one.items():
        a, b = np.asarray(values, dtype=np.float64), np.asarray(other[name], dtype=np.float64)
        if a.shape != b.shape or not np.allclose(a, b, rtol=0.02, atol=0.02 * float(np.abs(b).max(initial=0.0))):
            return False
    return True


def named_apart(readers: Sequence[R]) -> list[R]:
    """The readers, those that share a hook point named by their width ("16k"), equal widths by their weights as well.

    Names do not depend on the order, so that a bank's features mean the same in every session.

    Raises:
        EmotionInterpError: one SAE given twice, or two that were given one name.
    """
    points = Counter(reader.site.point for reader in readers)
    names = Counter((reader.site.point, width_name(reader.d_sae)) for reader in readers if not reader.site.sae)
    result, taken = [], set()
    for reader in readers:
        point = reader.site.point
        if points[point] > 1 and not reader.site.sae:
            name = width_name(reader.d_sae)
            if names[point, name] > 1:
                name += f"-{_weights_hash(reader.sae)[:6]}"
            reader = copy.copy(reader)
            reader.site = Site(point.layer, point.kind, name)
        if reader.site in taken:
            raise EmotionInterpError(
                f"two SAEs read {reader.site}, and they are the same or have one name; give each once."
            )
        taken.add(reader.site)
        result.append(reader)
    return result


def width_name(d_sae: int) -> str:
    """A width as published SAEs name it.

    Example:
        >>> [width_name(n) for n in (512, 16384, 65536, 1048576)]
        ['512', '16k', '65k', '1m']
    """
    for size, letter in ((1_000_000, "m"), (1_000, "k")):
        if d_sae >= size:
            return f"{d_sae // size}{letter}"
    return str(d_sae)


def _weights_hash(sae: SAE) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(sae.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
