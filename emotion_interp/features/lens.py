"""The logit lens: which tokens a feature's decoder row promotes and suppresses through the unembedding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emotion_interp.bank.bank import FeatureBank
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.result import Result
from emotion_interp.core.types import Site, sites_at

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects import Subject

_LOGITS_AT_ONCE = 16_000_000
"""Entries of one chunk of logits [row, vocabulary]; a vocabulary of 256k takes 62 rows at a time."""
_VOCAB_BLOCK = 16_384
"""Columns of the unembedding that are brought to float32 at a time: a copy of the whole would double a large model."""


@dataclass(frozen=True, eq=False, repr=False)
class TokenLens(Result):
    """Tokens that each feature promotes and suppresses (lists of strings, strongest first), one row per feature;
    `add_to(bank)` keeps them as the bank's table "tokens"."""

    frame: pd.DataFrame

    TABLE = "tokens"


@checked
def token_lens(
    subject: Subject, bank: FeatureBank, layers: Iterable[int] | None = None, *, n_tokens: int = 10
) -> TokenLens:
    """Top promoted and suppressed tokens of every selected or top feature: decoder row -> final norm -> unembedding.

    The norm's linear part alone is applied (its weight; for LayerNorm also the centring): its division by the stream's
    length depends on the token and changes no order. What later layers make of the row is not in it.

    Args:
        subject: the model with its SAEs.
        bank: its features.
        layers: default: all of the bank.
        n_tokens: tokens in each list.

    Returns:
        `.to_frame()`: layer, site, feature, promoted, suppressed; `.add_to(bank)`.

    Raises:
        EmotionInterpError: a bank of another subject, or `n_tokens` below 1.
        UnknownNameError: a layer that the bank does not have.

    Source: logit lens (nostalgebraist 2020), on SAE decoder rows as in Bloom & Lin 2024.

    Example:
        >>> token_lens(subject, bank).to_frame().loc[0, "promoted"]  # doctest: +SKIP
    """
    if n_tokens < 1:
        raise EmotionInterpError(f"n_tokens is at least 1, got {n_tokens!r}.")
    rows = []
    for site, features in chosen_features(subject, bank, layers).items():
        vectors = residual_rows(subject, site, features)
        for part, logits in lens_logits(subject, vectors):
            logits = logits[:, : len(subject.tokenizer)]
            size = min(n_tokens, logits.shape[1])
            promoted = logits.topk(size, dim=1).indices.tolist()
            suppressed = logits.topk(size, dim=1, largest=False).indices.tolist()
            for feature, up, down in zip(features[part], promoted, suppressed, strict=True):
                lists = ([token_text(subject.tokenizer, i) for i in ids] for ids in (up, down))
                rows.append((site.layer, str(site), int(feature), *lists))
    return TokenLens(pd.DataFrame(rows, columns=["layer", "site", "feature", "promoted", "suppressed"]))


def chosen_features(
    subject: Subject, bank: FeatureBank, layers: Iterable[int] | None = None, rows: pd.DataFrame | None = None
) -> dict[Site, np.ndarray]:
    """Ids of the selected and top features of each site (all emotions and languages), sorted; the bank must fit.

    Args:
        subject: the model.
        bank: its features.
        layers: default: all of the bank.
        rows: another choice: some rows of `bank.features`.

    Raises:
        EmotionInterpError, UnknownNameError: as `token_lens`.
    """
    require_same_subject(bank, subject)
    sites = bank.sites if layers is None else sorted({s for layer in layers for s in sites_at(bank.sites, layer)})
    frame = bank.features[bank.features["selected"] | bank.features["top"]] if rows is None else rows
    features_of = {s: np.unique(frame.loc[frame["site"] == str(s), "feature"].to_numpy(dtype=np.int64)) for s in sites}
    return {site: features for site, features in features_of.items() if len(features)}


def residual_rows(subject: Subject, site: Site, features: Sequence[int] | np.ndarray) -> torch.Tensor:
    """Decoder rows as they stand in the residual stream: [feature, d_model] float32; a head's output goes through W_O."""
    rows = subject.readers[site].decoder_rows(features).float()
    if site.kind == "z":
        weight = subject.model.blocks[site.layer].attn.W_O.detach()
        return rows.to(weight.device) @ weight.float().flatten(0, -2)
    return rows


def lens_logits(subject: Subject, rows: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Vectors of the residual stream through the final norm's linear part and the unembedding, chunk by chunk.

    Args:
        subject: the model.
        rows: [row, d_model].

    Yields:
        (slice of the rows, their logits [row, vocabulary] float32), up to a positive factor and the model's own bias.
    """
    import torch

    with torch.no_grad():
        weight, centres = final_norm(subject)
        unembedding = _unembedding(subject)
        rows = rows.detach().to(unembedding.device, torch.float32)
        if centres:
            rows = rows - rows.mean(-1, keepdim=True)
        rows = rows * weight.to(rows)
        size = max(1, _LOGITS_AT_ONCE // unembedding.shape[1])
        for start in range(0, len(rows), size):
            part = slice(start, min(start + size, len(rows)))
            blocks = [rows[part] @ block.float() for block in unembedding.split(_VOCAB_BLOCK, dim=1)]
            yield part, torch.cat(blocks, dim=1)


def final_norm(subject: Subject) -> tuple[torch.Tensor, bool]:
    """The final norm's linear part: its weight [d_model] float32, and whether it centres its input.

    Found by probing the module, so that it holds for LayerNorm, RMSNorm, norms that store weight - 1 (Gemma), norms
    whose weight is folded into the unembedding, and no norm at all, on either backend.
    """
    import torch

    norm = getattr(subject.model, "ln_final", None)
    if norm is None:
        return torch.ones(subject.d_model), False
    device, dtype = subject.device, subject.dtype
    probe = torch.ones(subject.d_model)
    probe[1::2] = -1.0
    if subject.d_model % 2:
        # mean 0 and no zero entry also at an odd width
        probe[-3:] = torch.tensor([1.0, 1.0, -2.0])
    probe = probe / probe.pow(2).mean().sqrt()

    def through(x: torch.Tensor) -> torch.Tensor:
        return norm(x.to(device, dtype)[None, None])[0, 0].float().cpu()

    with torch.no_grad():
        up, down, shifted = through(probe), through(-probe), through(probe + 4.0)
    # the odd part leaves the bias out; a centring norm does not see a shift
    weight = (up - down) / 2 / probe
    return weight, bool((shifted - up).abs().mean() < 0.05 * (up - down).abs().mean())


def _unembedding(subject: Subject) -> torch.Tensor:
    weight = getattr(subject.model, "W_U", None)
    if weight is None:
        weight = getattr(getattr(subject.model, "unembed", None), "W_U", None)
    if weight is None:
        raise EmotionInterpError(
            f"{subject.name} has no unembedding matrix W_U [d_model, vocabulary]; no lens is possible."
        )
    return weight.detach()


def token_text(tokenizer: Any, token: int) -> str:
    """One token as it reads, its leading space kept; bytes that are no whole character as "<0xE7>".

    Example:
        >>> token_text(subject.tokenizer, 1203)  # doctest: +SKIP
        ' joy'
    """
    piece = tokenizer.convert_ids_to_tokens(int(token))
    if piece is None:
        return ""
    piece = piece.decode("utf-8", "replace") if isinstance(piece, bytes) else str(piece)
    if "\u2581" in piece or re.fullmatch("<0x[0-9A-F]{2}>", piece):
        # decoding one SentencePiece token would drop its space; its bytes are written out already
        return piece.replace("\u2581", " ")
    text = tokenizer.decode([int(token)], clean_up_tokenization_spaces=False)
    if "\ufffd" not in text:
        return text
    table = _byte_letters()
    if all(letter in table for letter in piece):
        return "".join(f"<0x{table[letter]:02X}>" for letter in piece)
    return piece


@cache
def _byte_letters() -> dict[str, int]:
    """The letters that byte-level BPE writes bytes with."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {letter: byte for byte, letter in bytes_to_unicode().items()}
