"""Reduce what a pass sees to one sparse and one dense vector per unit (a word, a text) and site."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emotion_interp.activations.forward import Batch, forward_pass, real_tokens
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.subjects.subject import Subject, TokenizedText, span_tokens

if TYPE_CHECKING:
    import torch
    from scipy.sparse import csr_matrix

Position = Literal["last", "span", "text", "end"]
SINK_FACTOR = 8.0
"""A token whose norm is this many times the site's median is an attention sink and is left out of pooling and scale."""

_MERGE_AT = 8_000_000


@dataclass(frozen=True)
class SiteReadings:
    """What one site showed for each unit.

    features: mean pooled activation [unit, latent], sparse float32, None where the site has no SAE;
    fired: share of the unit's stimuli in which the latent was active [unit, latent], sparse;
    dense: mean activation [unit, d_model], float32; scale: median L2 norm over real tokens.
    """

    site: Site
    features: csr_matrix | None
    fired: csr_matrix | None
    dense: np.ndarray
    scale: float
    n_stimuli: np.ndarray


class _SparseSum:
    """Sum of many small sparse matrices; merged now and then so that memory follows the result, not the stimuli."""

    def __init__(self, shape: tuple[int, int]) -> None:
        from scipy.sparse import csr_matrix

        self.shape, self.parts, self.waiting = shape, [], 0
        self.total = csr_matrix(shape, dtype=np.float64)

    def add(self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
        self.parts.append((rows, columns, values))
        self.waiting += len(values)
        if self.waiting > _MERGE_AT:
            self.merge()

    def merge(self) -> csr_matrix:
        from scipy.sparse import coo_matrix

        if self.parts:
            rows, columns, values = (np.concatenate(x) for x in zip(*self.parts, strict=True))
            self.total = self.total + coo_matrix((values, (rows, columns)), shape=self.shape).tocsr()
            self.parts, self.waiting = [], 0
        return self.total


class _SiteSums:
    """Running sums of one site."""

    def __init__(self, subject: Subject, site: Site, n_units: int) -> None:
        self.site, self.reader = site, subject.readers.get(site)
        self.dense: np.ndarray | None = None
        self.norms: list[np.ndarray] = []
        self.n_units = n_units
        if self.reader is not None:
            shape = (n_units, self.reader.d_sae)
            self.sum, self.count = _SparseSum(shape), _SparseSum(shape)

    def add(
        self, activations: torch.Tensor, batch: Batch, picks: Sequence[np.ndarray], units: np.ndarray, pool: bool
    ) -> None:
        import torch

        width = activations.shape[1]
        norms = activations.float().norm(dim=-1).cpu().numpy()
        real = real_tokens(batch, width)
        if not np.isfinite(norms[real]).all():
            raise NotFiniteError(
                f"NaN or infinite activations at {self.site}. In half precision this is an overflow: load the model in float32."
            )
        self.norms.append(norms[real])
        limit = SINK_FACTOR * float(np.median(norms[real]))
        rows, columns = [], []
        for i, pick in enumerate(picks):
            if pool:
                kept = pick[norms[i, pick] <= limit]
                pick = kept if len(kept) else pick
            rows.append(np.full(len(pick), i))
            columns.append(pick)
        row, column = np.concatenate(rows), np.concatenate(columns)
        tokens = activations[
            torch.from_numpy(row).to(activations.device), torch.from_numpy(column).to(activations.device)
        ]
        sizes = np.bincount(row, minlength=len(picks)).astype(np.float64)
        pooled = _pool(tokens.float(), row, sizes)
        if self.dense is None:
            self.dense = np.zeros((self.n_units, pooled.shape[1]))
        np.add.at(self.dense, units, pooled.cpu().numpy().astype(np.float64))
        if self.reader is not None:
            self._add_features(tokens, row, sizes, units)

    def _add_features(self, tokens: torch.Tensor, row: np.ndarray, sizes: np.ndarray, units: np.ndarray) -> None:
        assert self.reader is not None
        # encode a bounded number of tokens at a time, whole stimuli together: never [all tokens, d_sae]
        chunk = max(1, 32_000_000 // self.reader.d_sae)
        ends = np.cumsum(sizes).astype(np.int64)
        first = 0
        while first < len(sizes):
            start = int(ends[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(ends, start + chunk, side="right")))
            stop = int(ends[last - 1])
            latents = self.reader.encode(tokens[start:stop]).float()
            pooled = _pool(latents, row[start:stop] - first, sizes[first:last])
            index = pooled.nonzero(as_tuple=True)
            values = pooled[index].cpu().numpy().astype(np.float64)
            stimulus, latent = index[0].cpu().numpy(), index[1].cpu().numpy()
            self.sum.add(units[first:last][stimulus], latent, values)
            self.count.add(units[first:last][stimulus], latent, np.ones(len(values)))
            first = last

    def result(self, n_stimuli: np.ndarray) -> SiteReadings:
        from scipy.sparse import diags

        assert self.dense is not None
        weights = 1.0 / np.maximum(n_stimuli, 1)
        features = fired = None
        if self.reader is not None:
            scaling: Any = diags(weights)
            features = (scaling @ self.sum.merge()).tocsr().astype(np.float32)
            fired = (scaling @ self.count.merge()).tocsr().astype(np.float32)
        norms = np.concatenate(self.norms)
        norms = norms[norms <= SINK_FACTOR * np.median(norms)]
        dense = (self.dense * weights[:, None]).astype(np.float32)
        return SiteReadings(self.site, features, fired, dense, float(np.median(norms)), n_stimuli)


def _pool(values: torch.Tensor, row: np.ndarray, sizes: np.ndarray) -> torch.Tensor:
    """Mean over the tokens of each stimulus: [token, d] -> [stimulus, d]."""
    import torch

    if len(row) == len(sizes):
        return values
    total = torch.zeros((len(sizes), values.shape[1]), dtype=values.dtype, device=values.device)
    total.index_add_(0, torch.from_numpy(row).to(values.device), values)
    return total / torch.from_numpy(np.maximum(sizes, 1)).to(values.device, values.dtype)[:, None]


def _pick(tokens: TokenizedText, span: tuple[int, int] | None, position: Position, skip: int) -> np.ndarray:
    """Token indices that are read."""
    first = int(tokens.has_bos)
    if position == "end":
        return np.asarray([len(tokens) - 1])
    if position == "text":
        start = min(first + skip, len(tokens) - 1)
        return np.arange(start, len(tokens))
    if span is None:
        raise EmotionInterpError(
            f"position {position!r} needs the target's character span; texts have none. Use 'text' or 'end'."
        )
    hits = span_tokens(tokens, span)
    return hits[-1:] if position == "last" else hits


def read_units(
    subject: Subject,
    texts: Sequence[str],
    units: Sequence[int] | np.ndarray,
    *,
    spans: Sequence[tuple[int, int]] | None = None,
    sites: Sequence[Site] | None = None,
    position: Position = "last",
    skip: int = 0,
    batch_tokens: int = 2048,
    progress: Callable[[int], None] | None = None,
) -> dict[Site, SiteReadings]:
    """Read texts in one pass at all sites and average them by unit; pooling comes after encoding.

    Args:
        subject: the model with its SAEs.
        texts: one text per stimulus.
        units: unit index of each stimulus (templates of one word share a unit).
        spans: character span of each target; needed for positions "last" and "span".
        sites: default: every site with an SAE.
        position: "last" token of the span, mean of the "span", mean of the "text" after `skip` tokens, "end" token.
        skip: tokens left out at the start under "text".
        batch_tokens: padded tokens of one forward pass.
        progress: receives the number of texts of each batch.

    Raises:
        EmotionInterpError: a target that becomes no token, or lies beyond the context.
        NotFiniteError: NaN or infinite activations.
    """
    if position not in ("last", "span", "text", "end"):
        raise EmotionInterpError(f"unknown position {position!r}; use 'last', 'span', 'text' or 'end'.")
    sites = list(subject.sites if sites is None else sites)
    if not sites:
        raise EmotionInterpError(f"{subject.name} has no SAE and no sites were named; pass saes= or sites=.")
    if not len(texts):
        raise EmotionInterpError("there is nothing to read: the list of texts is empty.")
    unit_of = np.asarray(units, dtype=np.int64)
    tokens = subject.tokenize(texts)
    picks = []
    for i, text in enumerate(tokens):
        pick = _pick(text, None if spans is None else spans[i], position, skip)
        if not len(pick):
            raise EmotionInterpError(
                f"the target of {texts[i][:60]!r} becomes no token (or lies beyond the context of {subject.context} tokens)."
            )
        picks.append(pick)
    n_units = int(unit_of.max()) + 1
    sums = {site: _SiteSums(subject, site, n_units) for site in sites}

    def on_site(site: Site, activations: Any, batch: Batch) -> None:
        sums[site].add(
            activations, batch, [picks[r] for r in batch.rows], unit_of[batch.rows], position in ("span", "text")
        )

    forward_pass(subject, tokens, sites, on_site, batch_tokens=batch_tokens, progress=progress)
    n_stimuli = np.bincount(unit_of, minlength=n_units)
    return {site: total.result(n_stimuli) for site, total in sums.items()}


def read_stimuli(
    subject: Subject, stimuli: Sequence[Stimulus], units: Sequence[int] | np.ndarray, **options: Any
) -> dict[Site, SiteReadings]:
    """`read_units` for stimuli, whose spans they carry."""
    return read_units(subject, [s.text for s in stimuli], units, spans=[s.span for s in stimuli], **options)


def site_scale(subject: Subject, site: Site) -> float:
    """Median L2 norm of a site's activations over real tokens (no BOS, no sinks) of the neutral calibration set.

    Kept in `subject.scales` once measured.
    """
    if site not in subject.scales:
        from emotion_interp.concepts import concept_set

        concepts = concept_set("en")
        carrier = next(iter(concepts.templates("en")))
        stimuli = [s for s in concepts.stimuli(templates=[carrier]) if s.emotion == "neutral"]
        readings = read_stimuli(subject, stimuli, np.zeros(len(stimuli), dtype=int), sites=[site])
        subject.scales[site] = readings[site].scale
    return subject.scales[site]
