"""Every token of one text: for traces and token views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emotion_interp.activations.forward import Batch, forward_pass
from emotion_interp.core.types import Site
from emotion_interp.subjects.subject import Subject
from emotion_interp.subjects.tokens import TokenizedText

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TokenReadings:
    """Activations of every token of one text (BOS left out): dense [token, d_model], latents [token, latent] or None.

    `speakers`: whose turn each token belongs to, where the text is a conversation.
    """

    text: str
    offsets: tuple[tuple[int, int], ...]
    dense: dict[Site, torch.Tensor]
    latents: dict[Site, torch.Tensor]
    speakers: tuple[str, ...] = ()


def read_tokens(subject: Subject, text: str, sites: Sequence[Site] | None = None) -> TokenReadings:
    """Read one text token by token at some sites (default: all with an SAE)."""
    sites = list(subject.sites if sites is None else sites)
    tokens: TokenizedText = subject.tokenize([text])[0]
    first = int(tokens.has_bos)
    dense: dict[Site, torch.Tensor] = {}
    latents: dict[Site, torch.Tensor] = {}
    readers = subject.readers

    def on_point(point: Site, activations: torch.Tensor, batch: Batch) -> None:
        del batch
        rows = activations[0, first:]
        values = rows.float().cpu()
        for site in sites:
            if site.point == point:
                dense[site] = values
                if site in readers:
                    latents[site] = readers[site].encode(rows).float().cpu()

    forward_pass(subject, [tokens], [site.point for site in sites], on_point)
    speakers = () if tokens.turns is None else tuple(tokens.turns.speakers(len(tokens))[first:])
    return TokenReadings(text, tokens.offsets[first:], dense, latents, speakers)
