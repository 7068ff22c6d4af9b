"""Several positions of the same texts from one pass, with what is needed to join the parts of a reading exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.activations.forward import Batch, forward_pass
from emotion_interp.activations.options import ReadOptions
from emotion_interp.activations.packed import PackedTexts
from emotion_interp.activations.reading import POSITIONS, SiteReadings, _PointSums, picker
from emotion_interp.activations.spill import SPILL_BYTES
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.types import Site

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects.subject import Subject

SKIP = 8
"""Tokens left out at the start of a text, as `find_features` does."""
Pass = Callable[..., object]
"""The plain pass over texts, or one that hands the same activations on in another way."""


@dataclass(frozen=True, eq=False)
class SeveralReadings:
    """What one pass showed at several positions.

    Attributes:
        readings: position -> site -> readings, as `read_units` gives them.
        norms: hook point -> L2 norm of every real token, float32, in the order of the pass.
        token_units: unit of each of those tokens.
        n_tokens: tokens of the texts, BOS included.
    """

    readings: dict[str, dict[Site, SiteReadings]]
    norms: dict[Site, np.ndarray]
    token_units: np.ndarray
    n_tokens: int


def read_several(
    subject: Subject,
    texts: Sequence[str],
    units: Sequence[int] | np.ndarray,
    spans: Sequence[tuple[int, int]] | None,
    sites: Sequence[Site],
    positions: Sequence[str],
    *,
    run: Pass = forward_pass,
    options: ReadOptions | None = None,
) -> SeveralReadings:
    """Read texts once and pool them at several positions, averaged by unit.

    Args:
        subject: the model with its SAEs.
        texts: one text per stimulus.
        units: unit index of each stimulus.
        spans: character span of each target; needed for "last" and "span".
        sites: where to read; those with an SAE are encoded.
        positions: any of "last", "span", "text", "end".
        run: the pass.
        options: tokens left out at the start of a "text" (default 8), padded tokens of one forward pass, and the progress.

    Raises:
        UnknownNameError: another position.
        EmotionInterpError: nothing to read, or a target that becomes no token.
        NotFiniteError: NaN or infinite activations.
    """
    how = options or ReadOptions()
    skip = SKIP if how.skip is None else how.skip
    for position in positions:
        if position not in POSITIONS:
            raise UnknownNameError("position", position, POSITIONS)
    if not len(texts) or not sites:
        raise EmotionInterpError("there is nothing to read: no texts, or no sites.")
    unit_of = np.asarray(units, dtype=np.int64)
    n_units = int(unit_of.max()) + 1
    packed = {p: PackedTexts(subject, texts, picker(subject, texts, spans, p, skip)) for p in positions}
    points: dict[Site, list[Site]] = {}
    for site in dict.fromkeys(sites):
        points.setdefault(site.point, []).append(site)
    limit = SPILL_BYTES // (3 * len(positions) * (len(points) + len(set(sites))))
    sums = {p: {at: _PointSums(subject, own, n_units, limit) for at, own in points.items()} for p in positions}
    first = next(iter(points))
    token_units: list[np.ndarray] = []

    def on_site(site: Site, activations: torch.Tensor, batch: Batch) -> None:
        if site == first:
            token_units.append(np.repeat(unit_of[batch.rows], batch.lengths - batch.has_bos))
        for position, total in sums.items():
            picks = [packed[position].picks(row) for row in batch.rows]
            total[site].add(activations, batch, picks, unit_of[batch.rows], position in ("span", "text"))

    tokens = packed[positions[0]]
    run(subject, tokens, list(points), on_site, batch_tokens=how.batch_tokens, progress=how.progress)
    n_stimuli = np.bincount(unit_of, minlength=n_units)
    norms = {at: total.norms.array() for at, total in sums[positions[0]].items()}
    readings = {
        position: {site: found for at in total.values() for site, found in at.results(n_stimuli).items()}
        for position, total in sums.items()
    }
    return SeveralReadings(readings, norms, np.concatenate(token_units), sum(len(t) for t in tokens))
