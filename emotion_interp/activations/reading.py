"""Reduce what a pass sees to one sparse and one dense vector per unit (a word, a text) and site."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack, get_args

import numpy as np

from emotion_interp.activations.forward import Batch, forward_pass, real_tokens
from emotion_interp.activations.host import to_device, to_host
from emotion_interp.activations.options import ReadChoices, ReadOptions
from emotion_interp.activations.packed import PackedTexts
from emotion_interp.activations.shown import shown
from emotion_interp.activations.spill import SPILL_BYTES, DenseSums, SparseRows, Spool, let_go, streamed_median
from emotion_interp.activations.waiting import WaitingTokens
from emotion_interp.concepts import concept_set
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.core.options import merged
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.subjects.shelf import scarce
from emotion_interp.subjects.subject import Subject
from emotion_interp.subjects.tokens import TokenizedText, span_tokens
from emotion_interp.subjects.turns import TURN_POSITIONS, conversations

if TYPE_CHECKING:
    import torch

    from emotion_interp.stats.sparse import Sparse
    from emotion_interp.subjects.sae_reader import SaeReader

Position = Literal["last", "span", "text", "end"]
POSITIONS: tuple[str, ...] = (*get_args(Position), *TURN_POSITIONS)
_POOLED = ("span", "text", "system", "user_turn", "assistant_turn")
SINK_FACTOR = 8.0
"""A token whose norm is this many times the site's median is an attention sink and is left out of pooling and scale."""


@dataclass(frozen=True)
class SiteReadings:
    """What one site showed for each unit.

    features: mean pooled activation [unit, latent], sparse float32, None where the site has no SAE;
    fired: share of the unit's stimuli in which the latent was active [unit, latent], sparse;
    dense: mean activation [unit, d_model], float32; scale: median L2 norm over real tokens.
    What is larger than the memory budget of the pass lies in a temporary file and is read (only) as it is asked for.
    """

    site: Site
    features: Sparse | None
    fired: Sparse | None
    dense: np.ndarray
    scale: float
    n_stimuli: np.ndarray

    def rest(self) -> None:
        """Give back the memory of what lies in a temporary file, until it is asked for again."""
        for matrix in (self.features, self.fired):
            if matrix is not None:
                let_go(matrix.data, matrix.indices)
        let_go(self.dense)


class _PointSums:
    """Running sums of one hook point, and of each SAE that reads it.

    `later`: its tokens wait, and `encode` encodes them after the pass.
    """

    def __init__(self, subject: Subject, sites: Sequence[Site], n_units: int, limit: int, later: bool = False) -> None:
        self.waiting = WaitingTokens(limit) if later else None
        self.point = sites[0].point
        self.dense, self.norms = DenseSums(n_units, limit), Spool(np.float32, limit)
        self.latents: dict[Site, _LatentSums | None] = {}
        for site in sites:
            reader = subject.readers.get(site)
            self.latents[site] = None if reader is None else _LatentSums(reader, n_units, limit)

    def add(
        self, activations: torch.Tensor, batch: Batch, picks: Sequence[np.ndarray], units: np.ndarray, pool: bool
    ) -> None:
        width = activations.shape[1]
        (norms,) = to_host(activations.float().norm(dim=-1))
        real = real_tokens(batch, width)
        if not np.isfinite(norms[real]).all():
            raise NotFiniteError(
                f"NaN or infinite activations at {self.point}. In half precision this is an overflow: load the model in float32."
            )
        self.norms.append(norms[real])
        limit = SINK_FACTOR * float(np.median(norms[real]))
        rows, columns = [], []
        for i, pick in enumerate(picks):
            if pool:
                ordinary = pick[norms[i, pick] <= limit]
                pick = ordinary if len(ordinary) else pick
            rows.append(np.full(len(pick), i))
            columns.append(pick)
        row, column = np.concatenate(rows), np.concatenate(columns)
        tokens = activations[to_device(row, activations.device), to_device(column, activations.device)]
        sizes = np.bincount(row, minlength=len(picks)).astype(np.float64)
        pooled = _pool(tokens.float(), row, sizes)
        self.dense.add(units, *to_host(pooled))
        if self.waiting is not None:
            self.waiting.add(tokens, row, sizes, units)
            return
        for latents in self.latents.values():
            if latents is not None:
                latents.add(tokens, row, sizes, units)

    def encode(self) -> None:
        """Encode what waits, one SAE after the other."""
        if self.waiting is not None:
            for latents in self.latents.values():
                if latents is not None:
                    for tokens, (row, sizes, units) in self.waiting:
                        latents.add(tokens, row, sizes, units)
            self.waiting = None

    def results(self, n_stimuli: np.ndarray) -> dict[Site, SiteReadings]:
        dense = self.dense.means(n_stimuli)
        scale = float(streamed_median(self.norms, SINK_FACTOR * streamed_median(self.norms)))
        readings = {}
        for site, latents in self.latents.items():
            features, fired = (None, None) if latents is None else latents.means(n_stimuli)
            readings[site] = SiteReadings(site, features, fired, dense, scale, n_stimuli)
        return readings


class _LatentSums:
    """Running sums of one SAE's pooled latents."""

    def __init__(self, reader: SaeReader, n_units: int, limit: int) -> None:
        self.reader = reader
        self.rows = SparseRows(n_units, reader.d_sae, limit)

    def add(self, tokens: torch.Tensor, row: np.ndarray, sizes: np.ndarray, units: np.ndarray) -> None:
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
            stimulus, latent, values = to_host(*index, pooled[index])
            self.rows.add(units[first:last], stimulus, latent, values)
            first = last

    def means(self, n_stimuli: np.ndarray) -> tuple[Sparse, Sparse]:
        """Mean activation and share of stimuli in which a latent was active: [unit, latent] each."""
        return self.rows.means(n_stimuli)


def _pool(values: torch.Tensor, row: np.ndarray, sizes: np.ndarray) -> torch.Tensor:
    """Mean over the tokens of each stimulus: [token, d] -> [stimulus, d]."""
    import torch

    if len(row) == len(sizes):
        return values
    total = torch.zeros((len(sizes), values.shape[1]), dtype=values.dtype, device=values.device)
    total.index_add_(0, to_device(row, values.device), values)
    return total / to_device(np.maximum(sizes, 1), values.device).to(values.dtype)[:, None]


def _pick(tokens: TokenizedText, span: tuple[int, int] | None, position: str, skip: int) -> np.ndarray:
    """Token indices that are read."""
    first = int(tokens.has_bos)
    if position == "end":
        return np.asarray([len(tokens) - 1])
    if position == "text":
        start = min(first + skip, len(tokens) - 1)
        return np.arange(start, len(tokens))
    if position in TURN_POSITIONS:
        (turns,) = conversations(position, 1, [tokens.turns])
        spans = turns.spans(position)
        # one token before or behind a turn is read where the conversation is now
        spans = spans[-1:] if position in ("assistant_start", "end_of_user") else spans
        picks = [np.arange(max(a, first), min(b, len(tokens))) for a, b in spans]
        return np.concatenate([*picks, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    if span is None:
        raise EmotionInterpError(
            f"position {position!r} needs the target's character span; texts have none. Use 'text' or 'end'."
        )
    hits = span_tokens(tokens, span)
    return hits[-1:] if position == "last" else hits


def picker(
    subject: Subject, texts: Sequence[str], spans: Sequence[tuple[int, int]] | None, position: str, skip: int
) -> Callable[[int, TokenizedText], np.ndarray]:
    """Which tokens of each text are read: (number, text) -> their places; a target that has none is refused."""
    context = subject.context

    def pick(number: int, text: TokenizedText) -> np.ndarray:
        picked = _pick(text, None if spans is None else spans[number], position, skip)
        if not len(picked):
            raise EmotionInterpError(
                f"the target of {texts[number][:60]!r} becomes no token, or lies (in part) beyond the context of "
                f"{context} tokens."
                if position not in TURN_POSITIONS
                else f"{texts[number][-60:]!r} has no token at {position!r}, or it lies beyond the context of {context} tokens."
            )
        return picked

    return pick


def read_units(
    subject: Subject,
    texts: Sequence[str],
    units: Sequence[int] | np.ndarray,
    *,
    spans: Sequence[tuple[int, int]] | None = None,
    sites: Sequence[Site] | None = None,
    spill_bytes: int = SPILL_BYTES,
    options: ReadOptions | None = None,
    **choices: Unpack[ReadChoices],
) -> dict[Site, SiteReadings]:
    """Read texts in one pass at all sites and average them by unit; pooling comes after encoding.

    Args:
        subject: the model with its SAEs.
        texts: one text per stimulus.
        units: unit index of each stimulus (templates of one word share a unit).
        spans: character span of each target; needed for positions "last" and "span".
        sites: default: every site with an SAE.
        spill_bytes: readings kept in memory; what is more waits in temporary files and changes no number.
        options: which tokens are read (default: the "last" of the span; 0 left out), and how the pass is made.
        **choices: fields of `ReadOptions`, by keyword.

    Raises:
        EmotionInterpError: a target that becomes no token, or lies beyond the context; no room in the temporary folder.
        NotFiniteError: NaN or infinite activations.
    """
    chosen = merged(ReadOptions, options, choices)
    position, skip = chosen.position or "last", chosen.skip or 0
    if position not in POSITIONS:
        raise UnknownNameError("position", position, POSITIONS)
    sites = list(subject.sites if sites is None else sites)
    if not sites:
        raise EmotionInterpError(f"{subject.name} has no SAE and no sites were named; pass saes= or sites=.")
    if not len(texts):
        raise EmotionInterpError("there is nothing to read: the list of texts is empty.")
    unit_of = np.asarray(units, dtype=np.int64)

    tokens = PackedTexts(subject, texts, picker(subject, texts, spans, position, skip))
    n_units = int(unit_of.max()) + 1
    # several SAEs may read one hook point: it is read once
    points: dict[Site, list[Site]] = {}
    for site in dict.fromkeys(sites):
        points.setdefault(site.point, []).append(site)
    # each hook point holds dense sums, their means and norms; each SAE holds rows and two results
    limit = spill_bytes // (3 * len(points) + 3 * len(set(sites)))
    later = scarce([subject.readers[site] for site in set(sites) if site in subject.readers])
    sums = {point: _PointSums(subject, members, n_units, limit, later) for point, members in points.items()}

    def on_site(site: Site, activations: torch.Tensor, batch: Batch) -> None:
        sums[site].add(
            activations, batch, [tokens.picks(r) for r in batch.rows], unit_of[batch.rows], position in _POOLED
        )

    forward_pass(subject, tokens, list(points), on_site, batch_tokens=chosen.batch_tokens, progress=chosen.progress)
    n_stimuli = np.bincount(unit_of, minlength=n_units)
    readings: dict[Site, SiteReadings] = {}
    for total in sums.values():
        total.encode()
        readings |= total.results(n_stimuli)
    return {site: readings[site] for site in dict.fromkeys(sites)}


def read_stimuli(
    subject: Subject, stimuli: Sequence[Stimulus], units: Sequence[int] | np.ndarray, **options: Any
) -> dict[Site, SiteReadings]:
    """`read_units` for stimuli, whose spans and conversations they carry."""
    texts, spans = shown(subject, stimuli)
    return read_units(subject, texts, units, spans=spans, **options)


def site_scale(subject: Subject, site: Site) -> float:
    """Median L2 norm of a site's activations over real tokens (no BOS, no sinks) of the neutral calibration set.

    Kept in `subject.scales` once measured.
    """
    site = site.point
    if site not in subject.scales:
        concepts = concept_set("en")
        carrier = next(iter(concepts.templates("en")))
        stimuli = [s for s in concepts.stimuli(templates=[carrier]) if s.emotion == "neutral"]
        readings = read_stimuli(subject, stimuli, np.zeros(len(stimuli), dtype=int), sites=[site])
        subject.scales[site] = readings[site].scale
    return subject.scales[site]
