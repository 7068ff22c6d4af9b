"""How good SAEs are, on text that they never saw: by group of texts (language, words in carriers), as they will be used.

Explained variance is given plainly and after standardising each coordinate: where a few coordinates of the stream hold most
of its variance, the plain figure says little about the rest. What counts for the model is the loss: cross-entropy recovered
when the reconstruction takes the place of the stream, against zeros in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch

from emotion_interp.activations.forward import Batch, forward_pass
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.result import Result
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.figures import series_curves
from emotion_interp.stats.firing import fires
from emotion_interp.subjects.plan import evaluation_mode
from emotion_interp.subjects.subject import Subject, TokenizedText
from emotion_interp.training.sae_activations import read_windows, sink_limits, text_windows, without_sinks

if TYPE_CHECKING:
    from sae_lens import SAE


TARGETS = {"ev_standardized": 0.75, "l0": 64.0, "silent_share": 0.10, "ce_recovered": 0.90}
"""What an SAE needs before its features are read as the model's: least, most, most, least."""

_ENCODE_TOKENS = 2048
_BATCH_TOKENS = 2048


@dataclass(frozen=True, repr=False)
class SaeQuality(Result):
    """Figures of every SAE on every group of texts: one row for each site and group.

    Columns ev, ev_standardized, l0, silent_share, ce, ce_spliced, ce_zero, ce_recovered, tokens; silent_share is that of the
    SAE over all groups together; the cross-entropies are in nats, NaN for groups of words.

    Example:
        >>> sae_quality(subject, {"en": english, "en words": words}, words=["en words"]).to_frame()  # doctest: +SKIP
    """

    frame: pd.DataFrame

    SERIES = ("group",)

    def plot(self) -> go.Figure:
        """Standardised explained variance over the layers, a line for each group of texts."""
        texts = {"title": "SAEs on unseen text by layer", "y_title": "standardised explained variance"}
        return series_curves(self.frame, "ev_standardized", ("group", "site"), **texts)

    def shortfalls(self) -> list[str]:
        """One line for each figure outside `TARGETS`."""
        lines = []
        for row in self.frame.to_dict("records"):
            place = f"{row['site']}, {row['group']}"
            if row["ev_standardized"] < TARGETS["ev_standardized"]:
                lines.append(
                    f"{place}: standardised explained variance {row['ev_standardized']:.2f}, wanted .75 or more"
                )
            if row["l0"] > TARGETS["l0"]:
                lines.append(f"{place}: L0 {row['l0']:.1f}, wanted at most 64")
            if row["ce_recovered"] < TARGETS["ce_recovered"]:
                lines.append(f"{place}: cross-entropy recovered {row['ce_recovered']:.2f}, wanted .90 or more")
        silent = dict(zip(self.frame["site"], self.frame["silent_share"], strict=True))
        for site, share in silent.items():
            if share > TARGETS["silent_share"]:
                lines.append(f"{site}: {share:.0%} of the latents silent, wanted at most 10%")
        return lines


def sae_quality(
    subject: Subject,
    groups: Mapping[str, Sequence[str]],
    *,
    words: Sequence[str] = (),
    tokens: int = 20_000,
    context: int = 128,
    loss_tokens: int = 4_000,
    seed: int = 0,
) -> SaeQuality:
    """Explained variance, L0, silent latents and cross-entropy recovered of a subject's SAEs, for each group of texts.

    Args:
        subject: with SAEs on the residual stream.
        groups: texts by name, none of which the SAEs were trained on.
        words: names of the groups whose last token alone is read (words at the end of a carrier); they have no loss.
        tokens: at most so many are read in each group; BOS, position 0 and attention sinks are left out.
        context: tokens per window of text.
        loss_tokens: at most so many for the cross-entropies; BOS and sinks keep their own activations in the splice.
        seed: which texts, where there are more.

    Raises:
        EmotionInterpError: no SAE, an empty group, an unknown name in `words`.
    """
    sites = subject.sae_sites()
    for name in words:
        if name not in groups:
            raise EmotionInterpError(f"words names {name!r}, which is none of the groups {', '.join(groups)}.")
    fired = {site: torch.zeros(subject.saes[site].cfg.d_sae, dtype=torch.bool) for site in sites}
    rows: list[dict[str, object]] = []
    limits: dict[Site, float] = {}
    # texts first: what counts as a sink is learnt from running text
    for name in sorted(groups, key=lambda group: group in words):
        texts = [text for text in groups[name] if text.strip()]
        if not texts:
            raise EmotionInterpError(f"the group {name!r} holds no text.")
        texts = [texts[i] for i in generator(seed, name).permutation(len(texts))]
        windows: list[TokenizedText] = []
        if name in words:
            activations = last_token_activations(subject, texts[:tokens], sites)
        else:
            windows = text_windows(subject, texts, context, tokens)
            activations = read_windows(subject, windows, sites)
        limits = limits or sink_limits(activations)
        activations = without_sinks(activations, limits)
        losses = {} if name in words else _losses(subject, windows, sites, limits, loss_tokens)
        for site in sites:
            figures = _figures(subject.saes[site], activations[site], fired[site])
            rows.append({"site": str(site), "layer": site.layer, "group": name, **figures, **losses.get(site, {})})
    frame = pd.DataFrame(rows)
    silent = {str(site): 1.0 - float(on.double().mean()) for site, on in fired.items()}
    frame.insert(6, "silent_share", [silent[site] for site in frame["site"]])
    for column in ("ce", "ce_spliced", "ce_zero", "ce_recovered"):
        if column not in frame:
            frame[column] = np.nan
    return SaeQuality(frame.sort_values(["layer", "site"], kind="stable").reset_index(drop=True))


def last_token_activations(subject: Subject, texts: Sequence[str], sites: Sequence[Site]) -> dict[Site, torch.Tensor]:
    """The stream at the last token of each text: site -> [text, d_model], float32."""
    tokens = subject.tokenize(texts)
    activations_of: dict[Site, torch.Tensor] = {}

    def on_site(site: Site, activations: torch.Tensor, batch: Batch) -> None:
        last = torch.as_tensor(batch.lengths - 1, device=activations.device)
        rows = activations[torch.arange(len(last), device=activations.device), last].float()
        if site not in activations_of:
            activations_of[site] = torch.zeros(len(tokens), rows.shape[1], device=rows.device)
        activations_of[site][torch.as_tensor(batch.rows, device=rows.device)] = rows

    forward_pass(subject, tokens, sites, on_site, batch_tokens=_BATCH_TOKENS)
    return activations_of


def _figures(sae: SAE, activations: torch.Tensor, fired: torch.Tensor) -> dict[str, object]:
    """Explained variance (plain and standardised), L0 and tokens; latents that fire are marked in `fired`."""
    mean = activations.double().mean(0)
    variance = (activations.double() - mean).square().sum(0)
    error = torch.zeros_like(variance)
    active = 0
    with torch.no_grad():
        for x in activations.split(_ENCODE_TOKENS):
            latents = sae.encode(x)
            error += (x - sae.decode(latents)).double().square().sum(0)
            active += int(fires(latents).sum())
            fired |= fires(latents).any(0).cpu()
    living = variance > 0
    if not bool(living.any()):
        raise EmotionInterpError("the activations of a group show no variance; give more texts.")
    return {
        "ev": 1.0 - float(error.sum() / variance.sum()),
        "ev_standardized": 1.0 - float((error[living] / variance[living]).mean()),
        "l0": active / len(activations),
        "tokens": len(activations),
    }


def _losses(
    subject: Subject,
    windows: Sequence[TokenizedText],
    sites: Sequence[Site],
    limits: Mapping[Site, float],
    loss_tokens: int,
) -> dict[Site, dict[str, float]]:
    """Mean cross-entropy of the next token: untouched, with each SAE's reconstruction in place, with zeros in place."""
    chosen: list[TokenizedText] = []
    for window in windows:
        if len(window) > 2 and sum(map(len, chosen)) < loss_tokens:
            chosen.append(window)
    if not chosen:
        return {}
    plain = _cross_entropy(subject, chosen, [])
    losses = {}
    for site in sites:
        spliced = _cross_entropy(subject, chosen, [(site.hook_name, _splice(subject.saes[site], limits[site]))])
        zero = _cross_entropy(subject, chosen, [(site.hook_name, _splice(None, limits[site]))])
        recovered = (zero - spliced) / (zero - plain) if zero > plain else float("nan")
        losses[site] = {"ce": plain, "ce_spliced": spliced, "ce_zero": zero, "ce_recovered": recovered}
    return losses


def _splice(sae: SAE | None, limit: float) -> object:
    """A hook that puts an SAE's reconstruction, or zeros, in place of every token but position 0 and sinks."""

    def hook_fn(activations: torch.Tensor, hook: object) -> torch.Tensor:
        del hook
        values = activations.float()
        new = torch.zeros_like(values) if sae is None else sae.decode(sae.encode(values))
        keep = values.norm(dim=-1, keepdim=True) > limit
        keep[:, 0] = True
        return torch.where(keep, values, new).to(activations.dtype)

    return hook_fn


def _cross_entropy(subject: Subject, windows: Sequence[TokenizedText], hooks: list[object]) -> float:
    total, count = 0.0, 0
    with torch.no_grad(), evaluation_mode(subject.model), subject.model.hooks(fwd_hooks=hooks):
        # one window at a time: the logits of a batch over a large vocabulary do not fit a cache
        for window in windows:
            ids = torch.tensor([window.ids], device=subject.device)
            logits = subject.model(ids, return_type="logits")[0, :-1].float()
            loss = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum")
            total, count = total + float(loss), count + len(window) - 1
    return total / count
