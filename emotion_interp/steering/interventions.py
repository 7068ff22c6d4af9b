"""What is added to a subject, where, and at which token positions; nothing here touches a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from emotion_interp.activations import site_scale
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError, UnknownNameError, UnsupportedError
from emotion_interp.core.types import WRITABLE_KINDS, Direction, Site
from emotion_interp.steering.positions import POSITIONS, Positions, RowPositions, check_positions, select

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject

__all__ = [
    "POSITIONS",
    "Positions",
    "RowInterventions",
    "RowPositions",
    "check_direction",
    "check_dose",
    "check_positions",
    "row_interventions",
    "scale_at",
    "scale_of",
    "select",
]


@dataclass(frozen=True, eq=False)
class RowInterventions:
    """One vector for every row of a batch at each site, at full length (dose and scale applied).

    Attributes:
        vectors: site -> [row, d_model] float32; a row of zeros is left alone.
        shared: the single row holds for every row of a batch, however many.
        index: [batch row], which vector each row of the batch takes; default: its own number.
    """

    vectors: Mapping[Site, np.ndarray]
    shared: bool = False
    index: np.ndarray | None = None

    def __post_init__(self) -> None:
        counts = {len(v) for v in self.vectors.values()}
        if len(counts) > 1 or (self.shared and counts - {1}):
            raise EmotionInterpError(f"every site needs a vector for the same rows, got {sorted(counts)} rows.")
        for site, vector in self.vectors.items():
            if vector.ndim != 2:
                raise EmotionInterpError(f"vectors at {site} are [row, d_model], got shape {vector.shape}.")
            if not np.isfinite(vector).all():
                raise NotFiniteError(f"the vectors at {site} have NaN or infinite entries.")

    @property
    def n_rows(self) -> int:
        """How many vectors there are at each site."""
        return max((len(v) for v in self.vectors.values()), default=0)


def scale_at(scales: Mapping[Site, float], site: Site) -> float | None:
    """The scale of a site, also where it is kept under one of the SAEs that read its hook point; None if it is missing."""
    if site in scales:
        return scales[site]
    return next((value for known, value in scales.items() if known.point == site.point), None)


def scale_of(subject: Subject, site: Site, scale: float | Mapping[Site, float] | None = None) -> float:
    """The scale of a site: given, or the subject's own, measured once where it is missing.

    Raises:
        EmotionInterpError: the scale is not a positive number, or a mapping lacks the site.
    """
    if scale is None:
        value = scale_at(getattr(subject, "scales", {}), site)
        if value is None:
            value = site_scale(subject, site)
    elif isinstance(scale, Mapping):
        value = scale_at(scale, site)
        if value is None:
            raise UnknownNameError("site of the scales", site, scale)
    else:
        value = scale
    if isinstance(value, bool) or not math.isfinite(float(value)) or float(value) <= 0:
        raise EmotionInterpError(f"the scale of {site} is a positive number, got {value!r}.")
    return float(value)


def check_dose(dose: Any) -> float:
    """The dose as a float; `NotFiniteError` for NaN and infinity, `EmotionInterpError` for what is no number."""
    try:
        value = float(dose)
    except (TypeError, ValueError):
        raise EmotionInterpError(f"a dose is a number in units of the site's scale, got {dose!r}.") from None
    if isinstance(dose, bool):
        raise EmotionInterpError(f"a dose is a number in units of the site's scale, got {dose!r}.")
    if not math.isfinite(value):
        raise NotFiniteError(f"a dose is a finite number in units of the site's scale, got {dose!r}.")
    return value


def check_direction(subject: Subject, direction: Direction) -> None:
    """Refuse a direction that does not fit the subject.

    Raises:
        UnsupportedError: its kind of site cannot be written.
        UnknownNameError: the subject has no such layer.
        EmotionInterpError: it is no `Direction`, or has another width.
    """
    if not isinstance(direction, Direction):
        raise EmotionInterpError(
            f"expected a Direction, got {type(direction).__name__}; wrap a vector as Direction(vector, layer=5)."
        )
    if direction.kind not in WRITABLE_KINDS:
        raise UnsupportedError(
            f"{direction.site} cannot be written; a direction is added at one of {', '.join(WRITABLE_KINDS)}."
        )
    subject.site(direction.site)
    if direction.vector.size != subject.d_model:
        raise EmotionInterpError(
            f"the direction {direction.name!r} has {direction.vector.size} dimensions, but {subject.name} has "
            f"{subject.d_model}. It belongs to another model."
        )


def row_interventions(
    subject: Subject,
    rows: Sequence[Direction | Sequence[Direction] | None],
    doses: Sequence[float] | float,
    scale: float | Mapping[Site, float] | None = None,
    shared: bool = False,
) -> RowInterventions:
    """`dose * scale(site) * unit direction` for every row: a direction, several (added up), or None for none.

    The scale is the one given; else the one a bank's direction carries; else the subject's own.

    Raises:
        EmotionInterpError: rows and doses differ in number, or a direction or dose does not fit.
    """
    amounts = [doses] * len(rows) if np.ndim(doses) == 0 else list(doses)  # type: ignore[arg-type]
    if len(amounts) != len(rows):
        raise EmotionInterpError(f"{len(rows)} rows need {len(rows)} doses, got {len(amounts)}.")
    vectors: dict[Site, np.ndarray] = {}
    scales: dict[Site, float] = {}
    for i, (row, amount) in enumerate(zip(rows, amounts, strict=True)):
        dose = check_dose(amount)
        several = () if row is None else tuple(row) if isinstance(row, (list, tuple)) else (cast("Direction", row),)
        for direction in several:
            check_direction(subject, direction)
            site = direction.site
            if site not in vectors:
                vectors[site] = np.zeros((len(rows), subject.d_model), dtype=np.float32)
            # the scale of the tables that a bank's directions were judged with
            size = direction.provenance.get("scale") if scale is None else scale
            if size is None and site not in scales:
                scales[site] = scale_of(subject, site)
            vectors[site][i] += (
                dose * (scales[site] if size is None else scale_of(subject, site, size)) * direction.unit
            )
    return RowInterventions(vectors, shared)
