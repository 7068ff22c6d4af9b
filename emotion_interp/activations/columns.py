"""Read chosen latents only, and remember which token each activation came from: for controls and transfer tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix, diags

from emotion_interp.activations.forward import Batch, forward_pass, real_tokens
from emotion_interp.activations.host import to_device, to_host
from emotion_interp.activations.options import ReadChoices, ReadOptions
from emotion_interp.activations.reading import SINK_FACTOR, SiteReadings, _pick
from emotion_interp.activations.shown import shown
from emotion_interp.activations.spill import SPILL_BYTES
from emotion_interp.activations.waiting import WaitingTokens
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError, UnsupportedError
from emotion_interp.core.options import merged
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.stats.firing import fires
from emotion_interp.subjects.shelf import scarce
from emotion_interp.subjects.subject import Subject
from emotion_interp.subjects.tokens import TokenizedText, tell_of_cuts

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects.sae_reader import SaeReader


@dataclass(frozen=True, eq=False)
class ColumnReadings:
    """Chosen latents of every site.

    sites: as `read_stimuli` gives them, but with entries in the chosen columns only and an empty `dense`;
    tokens: per site the summed activation of each (unit, token id, feature), columns unit, token, feature, total.
    """

    sites: dict[Site, SiteReadings]
    tokens: dict[Site, pd.DataFrame]


def stimulus_tokens(
    subject: Subject, stimuli: Sequence[Stimulus], position: str, skip: int
) -> tuple[list[TokenizedText], list[np.ndarray]]:
    """Token ids of each stimulus and the indices of those that are read.

    Raises:
        EmotionInterpError: a target that becomes no token, or lies beyond the context.
    """
    texts, spans = shown(subject, stimuli)
    tokens = subject.tokenize_quietly(texts)
    picks = [_pick(t, span, position, skip) for t, span in zip(tokens, spans, strict=True)]
    for stimulus, pick in zip(stimuli, picks, strict=True):
        if not len(pick):
            raise EmotionInterpError(
                f"the target of {stimulus.text[:60]!r} becomes no token, or lies (in part) beyond the context of "
                f"{subject.context} tokens."
            )
    return tokens, picks


# Long: one pass over the texts, and the sums that it fills site by site.
def read_columns(
    subject: Subject,
    stimuli: Sequence[Stimulus],
    units: Sequence[int] | np.ndarray,
    columns: Mapping[Site, Sequence[int] | np.ndarray],
    *,
    token_units: Collection[int] | None = None,
    options: ReadOptions | None = None,
    **choices: Unpack[ReadChoices],
) -> ColumnReadings:
    """Read some latents of each site in one pass, averaged by unit as `read_stimuli` does, and summed by token id.

    Args:
        subject: the model with its SAEs.
        stimuli: texts with their spans.
        units: unit index of each stimulus.
        columns: site -> ids of the latents to keep.
        token_units: units whose activations are also summed by token; default: all.
        options: as in `read_units`.
        **choices: fields of `ReadOptions`, by keyword.

    Raises:
        EmotionInterpError: nothing to read, or a target that becomes no token.
        NotFiniteError: NaN or infinite activations.
    """
    if not len(stimuli):
        raise EmotionInterpError("there is nothing to read: the list of stimuli is empty.")
    chosen_options = merged(ReadOptions, options, choices)
    position, skip = chosen_options.position or "last", chosen_options.skip or 0
    unit_of = np.asarray(units, dtype=np.int64)
    texts, picks = stimulus_tokens(subject, stimuli, position, skip)
    tell_of_cuts(sum(t.cut_at is not None for t in texts), len(texts), subject.context)
    n_units = int(unit_of.max()) + 1
    by_token = np.isin(np.arange(n_units), range(n_units) if token_units is None else [*token_units])
    wanted = {site: np.unique(np.asarray(ids, dtype=np.int64)) for site, ids in columns.items()}
    pooled: dict[Site, list[Any]] = {site: [] for site in wanted}
    summed: dict[Site, list[pd.DataFrame]] = {site: [] for site in wanted}
    norms: dict[Site, list[np.ndarray]] = {site: [] for site in wanted}
    readers = subject.readers
    waiting = {}
    if scarce([readers[site] for site in wanted if site in readers]):
        waiting = {site: WaitingTokens(SPILL_BYTES // len(wanted)) for site in wanted}

    def on_site(site: Site, activations: torch.Tensor, batch: Batch) -> None:
        device = activations.device
        (size,) = to_host(activations.float().norm(dim=-1))
        real = real_tokens(batch, activations.shape[1])
        if not np.isfinite(size[real]).all():
            raise NotFiniteError(
                f"NaN or infinite activations at {site}. In half precision this is an overflow: load the model in float32."
            )
        norms[site].append(size[real])
        chosen = [picks[r] for r in batch.rows]
        if position in ("span", "text"):
            limit = SINK_FACTOR * float(np.median(size[real]))
            ordinary = [pick[size[i, pick] <= limit] for i, pick in enumerate(chosen)]
            chosen = [k if len(k) else pick for k, pick in zip(ordinary, chosen, strict=True)]
        counts = np.asarray([len(c) for c in chosen])
        row, place = np.repeat(np.arange(len(chosen)), counts), np.concatenate(chosen)
        ids = np.concatenate([np.asarray(texts[r].ids)[c] for r, c in zip(batch.rows, chosen, strict=True)])
        read = activations[to_device(row, device), to_device(place, device)]
        if site in waiting:
            waiting[site].add(read, batch.rows, row, counts, ids)
        else:
            encode(site, read, batch.rows, row, counts, ids)

    def encode(
        site: Site, read: torch.Tensor, rows: np.ndarray, row: np.ndarray, counts: np.ndarray, ids: np.ndarray
    ) -> None:
        token, column, value = _nonzero(readers[site], read, wanted[site])
        stimulus, feature = rows[row[token]], wanted[site][column]
        mean = coo_matrix(
            (value / counts[row[token]], (row[token], column)), shape=(len(rows), len(wanted[site]))
        ).tocsr()
        mean.sum_duplicates()
        pooled[site].append((rows, mean))
        unit = unit_of[stimulus]
        frame = pd.DataFrame({"unit": unit, "token": ids[token], "feature": feature, "total": value})
        summed[site].append(_sum_by_token(frame[by_token[unit]]))

    passes = {"batch_tokens": chosen_options.batch_tokens, "progress": chosen_options.progress}
    forward_pass(subject, texts, list(wanted), on_site, **passes)
    for site, pieces in waiting.items():
        for read, (rows, row, counts, ids) in pieces:
            encode(site, read, rows, row, counts, ids)
    waiting.clear()
    n_stimuli = np.bincount(unit_of, minlength=n_units)
    sites = {}
    for site, parts in pooled.items():
        unit = np.concatenate([np.repeat(unit_of[rows], np.diff(m.indptr)) for rows, m in parts])
        column = wanted[site][np.concatenate([m.indices for _, m in parts]).astype(np.int64)]
        value = np.concatenate([m.data for _, m in parts])
        norm = np.concatenate(norms[site])
        sites[site] = _site_readings(site, (unit, column, value), n_stimuli, readers[site].d_sae, norm)
    return ColumnReadings(sites, {s: _sum_by_token(pd.concat(f, ignore_index=True)) for s, f in summed.items()})


def _site_readings(
    site: Site, cells: tuple[np.ndarray, np.ndarray, np.ndarray], n_stimuli: np.ndarray, width: int, norm: np.ndarray
) -> SiteReadings:
    """From cells (unit, column, value of one stimulus), and the norm of every real token."""
    unit, column, value = cells
    share = diags(1.0 / np.maximum(n_stimuli, 1))
    shape = (len(n_stimuli), width)
    features = (share @ coo_matrix((value, (unit, column)), shape=shape).tocsr()).astype(np.float32)
    fired = (share @ coo_matrix((fires(value).astype(float), (unit, column)), shape=shape).tocsr()).astype(np.float32)
    scale = float(np.median(norm[norm <= SINK_FACTOR * np.median(norm)]))
    dense = np.zeros((len(n_stimuli), 0), dtype=np.float32)
    return SiteReadings(site, features, fired, dense, scale, n_stimuli)


def _nonzero(reader: SaeReader, tokens: torch.Tensor, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Active chosen latents of the read tokens: (token index, index into `columns`, activation)."""
    # a bounded number of tokens at a time: never [all tokens, d_sae]
    chunk = max(1, 32_000_000 // reader.d_sae)
    parts = []
    for start in range(0, len(tokens), chunk):
        latents = _encode(reader, tokens[start : start + chunk], columns).float()
        token, column = latents.nonzero(as_tuple=True)
        rows, columns_there, value = to_host(token, column, latents[token, column])
        parts.append((rows + start, columns_there, value.astype(np.float64)))
    token, column, value = (np.concatenate(x) for x in zip(*parts, strict=True))
    return token, column, value


def _encode(reader: SaeReader, tokens: torch.Tensor, columns: np.ndarray) -> torch.Tensor:
    """Chosen latents: [token, d_in] -> [token, column]; encoded in part where that is exact and saves work."""
    import torch

    if 4 * len(columns) < reader.d_sae:
        try:
            return reader.encode_columns(tokens, columns)
        except UnsupportedError:
            # whether a latent is active depends on the others: all of them are needed
            pass
    latents = reader.encode(tokens)
    return latents[:, torch.from_numpy(columns).to(latents.device)]


def _sum_by_token(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.groupby(["unit", "token", "feature"], as_index=False, sort=True)["total"].sum()
