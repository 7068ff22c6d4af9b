"""Taking away: a direction projected out of the stream, and other features ablated in every row of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError, UnsupportedError
from emotion_interp.core.types import Direction, Site
from emotion_interp.steering.hooks import Change, Chosen, hooked, replacement
from emotion_interp.steering.interventions import check_direction
from emotion_interp.steering.positions import Positions, check_positions
from emotion_interp.steering.schedules import Schedule

if TYPE_CHECKING:
    from emotion_interp.subjects.sae_reader import SaeReader
    from emotion_interp.subjects.subject import Subject


def project_out(
    subject: Subject,
    direction: Direction | Sequence[Direction],
    positions: Positions = "all",
    schedule: Schedule = None,
) -> hooked:
    """Remove what the stream has along a direction: `x - (x . u) u`; of several at one site, their whole span.

    Args:
        subject: the model.
        direction: one, or several (also at different sites).
        positions: as in `steer`.
        schedule: as in `steer`; the share of it that is removed.

    Raises:
        EmotionInterpError: no direction, or one that does not fit.
        UnsupportedError: `resid_mid`, which is written as an addition at `attn_out` and cannot be replaced.

    Source: directional ablation (Arditi et al. 2024, arXiv 2406.11717).

    Example:
        >>> with project_out(subject, bank.direction("joy", layer=5)):  # doctest: +SKIP
        ...     subject.generate("The letter said")
    """
    several = list(direction) if isinstance(direction, (list, tuple)) else [cast("Direction", direction)]
    if not several:
        raise EmotionInterpError("project_out needs at least one direction, got an empty list.")
    check_positions(positions)
    by_site: dict[Site, list[np.ndarray]] = {}
    for each in several:
        check_direction(subject, each)
        if each.kind == "resid_mid":
            raise UnsupportedError(
                f"{each.site} is written as an addition at attn_out; project out at resid_pre or resid_post."
            )
        by_site.setdefault(each.site, []).append(each.unit.astype(np.float64))
    changes = {site: _projection(_basis(np.stack(units))) for site, units in by_site.items()}
    return hooked(subject, changes, positions, schedule)


def _basis(units: np.ndarray) -> np.ndarray:
    """Orthonormal rows that span the given ones: [rank, d_model]."""
    _, sizes, rows = np.linalg.svd(units, full_matrices=False)
    return rows[sizes > 1e-6 * sizes[0]]


def _projection(basis: np.ndarray) -> Change:
    def delta(picked: torch.Tensor, chosen: Chosen) -> torch.Tensor:
        del chosen
        # in float32 even on a half-precision stream: what is left along u should be rounding of the result only
        wide = picked.to(torch.promote_types(picked.dtype, torch.float32))
        rows = torch.from_numpy(basis).to(wide)
        return -(wide @ rows.T) @ rows

    return replacement(delta)


def ablate_rows(
    subject: Subject,
    site: Site | int,
    features: Sequence[Sequence[int]],
    positions: Positions = "all",
    strength: float | Sequence[float] = 1.0,
) -> hooked:
    """Set SAE features to 0, each row of a batch its own: `x - f * W_dec[f]`, without the reconstruction error.

    Args:
        subject: a subject with an SAE at `site`.
        site: the site, or a layer.
        features: [batch row], feature ids; an empty list leaves a row alone.
        positions: as in `steer`.
        strength: what is taken away is multiplied by it; one for all rows, or one for each.

    Raises:
        EmotionInterpError: strengths are no finite numbers, or not as many as rows.
        UnknownNameError: no SAE there, or a feature the SAE does not have.
        UnsupportedError: an SAE that rescales its input per token, or of a site that cannot be replaced.

    Example:
        >>> with ablate_rows(subject, 5, [[17, 230], []]):  # doctest: +SKIP
        ...     subject.generate(["The letter said"] * 2)
    """
    check_positions(positions)
    reader = writable_reader(subject, site)
    for row in features:
        wrong = [f for f in row if not 0 <= int(f) < reader.d_sae]
        if wrong:
            raise UnknownNameError(f"feature of the SAE at {reader.site}", wrong[0], range(reader.d_sae))
    factors = np.asarray(strength, dtype=np.float64)
    if not np.isfinite(factors).all() or factors.shape not in ((), (len(features),)):
        raise EmotionInterpError(
            f"strength is a finite number, or one for each of {len(features)} rows; got {strength!r}."
        )
    used = np.unique(np.asarray([f for row in features for f in row], dtype=np.int64))
    if not used.size:
        return hooked(subject, {}, positions)
    off = np.asarray([np.isin(used, np.asarray(row, dtype=np.int64)) for row in features])
    off = off * (factors[:, None] if factors.ndim else factors)
    return hooked(subject, {reader.site: _ablation(reader, used, off)}, positions)


def _ablation(reader: SaeReader, used: np.ndarray, off: np.ndarray) -> Change:
    decoder = reader.decoder_rows(used)

    def delta(picked: torch.Tensor, chosen: Chosen) -> torch.Tensor:
        batch = chosen.plan.rows
        if batch.max() >= len(off):
            raise EmotionInterpError(f"the batch has a row {int(batch.max())}, but features for {len(off)} rows.")
        latents = encoded(reader, picked, used)
        return -(latents * torch.from_numpy(off[chosen.token_rows]).to(latents)) @ decoder

    return replacement(delta)


def encoded(reader: SaeReader, activations: torch.Tensor, features: np.ndarray) -> torch.Tensor:
    """Activations of some latents: [token, d_in] -> [token, feature]; only they are computed where that is exact."""
    try:
        return reader.encode_columns(activations, features)
    except UnsupportedError:
        return reader.encode(activations)[:, features]


def writable_reader(subject: Subject, site: Site | int) -> SaeReader:
    """The SAE at a site whose features can be written.

    Raises:
        UnknownNameError, UnsupportedError: as `ablate_rows`.
    """
    place = subject.site(site)
    if place not in subject.readers:
        raise UnknownNameError("site with an SAE", place, subject.readers)
    reader = subject.readers[place]
    # resid_mid is written as an addition at attn_out, where the SAE would read something else
    if place.kind in ("z", "resid_mid"):
        raise UnsupportedError(f"{place} can be read but not replaced; use an SAE of another site.")
    if str(reader.sae.cfg.normalize_activations) not in ("none", "None", "expected_average_only_in"):
        raise UnsupportedError(
            f"the SAE at {place} rescales every input ({reader.sae.cfg.normalize_activations}), so a feature has no "
            "fixed size in the stream; only SAEs without such a rescaling can be changed."
        )
    return reader
