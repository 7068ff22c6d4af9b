"""What texts show token by token, reduced as the readings of emotions need it: one mean per text, and the tokens themselves where asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix, vstack

from emotion_interp.activations import forward_pass
from emotion_interp.activations.forward import real_tokens
from emotion_interp.activations.reading import SINK_FACTOR
from emotion_interp.core.progress import Progress
from emotion_interp.core.types import Site

if TYPE_CHECKING:
    import torch

    from emotion_interp.activations.forward import Batch
    from emotion_interp.subjects import Subject

_LATENTS_AT_ONCE = 32_000_000


@dataclass(frozen=True, eq=False)
class TextStates:
    """Texts at one site, BOS, padding and attention sinks left out.

    dense: activations over the site's scale [row, d_model]; latents: log(1 + activation) of the SAE, sparse [row, latent];
    rows are texts (means over their tokens) or tokens. Means are taken after the logarithm, so that what is linear in
    a token is linear in a text.
    """

    dense: np.ndarray
    latents: csr_matrix

    def rows(self, chosen: np.ndarray) -> TextStates:
        """Some rows, by a mask or their places."""
        return TextStates(self.dense[chosen], self.latents[chosen])


def logged(latents: np.ndarray) -> np.ndarray:
    """log(1 + activation): a feature that fires twice as strongly does not count twice.

    Example:
        >>> logged(np.array([0.0, -1.0, np.e - 1.0])).tolist()
        [0.0, 0.0, 1.0]
    """
    return np.log1p(np.maximum(latents, 0.0))


def text_states(
    subject: Subject,
    texts: Sequence[str],
    scales: Mapping[Site, float],
    *,
    tokens: bool = False,
    batch_tokens: int = 2048,
    progress: Progress = None,
) -> dict[Site, TextStates]:
    """Read texts once at all sites.

    Args:
        subject: the model with an SAE at each site.
        texts: what is read; beyond the context they are cut.
        scales: of each site that is read.
        tokens: one row a token instead of one a text.
        batch_tokens: padded tokens of one pass.
        progress: receives the number of texts of each batch; False: silence; default: a bar after a second.
    """
    encoded = subject.tokenize_quietly(list(texts))
    sums = {site: _Rows(subject, site, scale, tokens) for site, scale in scales.items()}
    points: dict[Site, list[_Rows]] = {}
    for site, rows in sums.items():
        points.setdefault(site.point, []).append(rows)

    def on_point(point: Site, activations: torch.Tensor, batch: Batch) -> None:
        for rows in points[point]:
            rows.add(activations, batch)

    forward_pass(subject, encoded, list(points), on_point, batch_tokens=batch_tokens, progress=progress)
    return {site: rows.result() for site, rows in sums.items()}


class _Rows:
    """One site's rows, in the order of the batches until `result` puts them in that of the texts."""

    def __init__(self, subject: Subject, site: Site, scale: float, tokens: bool) -> None:
        self.reader, self.scale, self.tokens = subject.readers[site], scale, tokens
        self.order: list[np.ndarray] = []
        self.dense: list[np.ndarray] = []
        self.latents: list[csr_matrix] = []

    def add(self, activations: torch.Tensor, batch: Batch) -> None:
        chunk = max(1, _LATENTS_AT_ONCE // (self.reader.d_sae * activations.shape[1]))
        real = real_tokens(batch, activations.shape[1])
        for start in range(0, len(batch.rows), chunk):
            rows = slice(start, start + chunk)
            self._add(activations[rows], real[rows], batch.rows[rows])

    def _add(self, activations: torch.Tensor, real: np.ndarray, texts: np.ndarray) -> None:
        import torch

        norms = activations.float().norm(dim=-1).cpu().numpy()
        usable = real & (norms <= SINK_FACTOR * self.scale)
        # a text of sinks alone is read as it is
        usable |= real & ~usable.any(1, keepdims=True)
        chosen = activations[torch.from_numpy(usable).to(activations.device)]
        latents = logged(self.reader.encode(chosen).float().cpu().numpy())
        dense = chosen.float().cpu().numpy() / self.scale
        owner = np.repeat(np.arange(len(texts)), usable.sum(1))
        if self.tokens:
            self.order.append(texts[owner])
        else:
            share = csr_matrix((1.0 / usable.sum(1)[owner], (owner, np.arange(len(owner)))), (len(texts), len(owner)))
            dense, latents = share @ dense, share @ latents
            self.order.append(texts)
        self.dense.append(dense.astype(np.float32))
        self.latents.append(csr_matrix(latents.astype(np.float32)))

    def result(self) -> TextStates:
        order = np.argsort(np.concatenate(self.order), kind="stable")
        return TextStates(np.concatenate(self.dense)[order], csr_matrix(vstack(self.latents).tocsr()[order]))
