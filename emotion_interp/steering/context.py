"""Interventions on a running subject: context managers that add hooks and take away only their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.types import Direction, Site
from emotion_interp.steering.hooks import Change, Chosen, hooked, replacement, unsteered
from emotion_interp.steering.interventions import RowInterventions, row_interventions
from emotion_interp.steering.operations import encoded, writable_reader
from emotion_interp.steering.positions import Positions, RowPositions, check_positions
from emotion_interp.steering.schedules import Schedule

if TYPE_CHECKING:
    from emotion_interp.subjects.sae_reader import SaeReader
    from emotion_interp.subjects.subject import Subject


@checked
def steer(
    subject: Subject,
    direction: Direction | Sequence[Direction],
    dose: float | Sequence[float] = 0.5,
    positions: Positions = "generated",
    scale: float | Mapping[Site, float] | None = None,
    schedule: Schedule = None,
) -> hooked:
    """Add `dose * scale(site) * unit direction` at each direction's site while the context is open.

    Args:
        subject: the model.
        direction: one direction, or several (also at different sites; they add up).
        dose: strength in units of the site's scale; one for all, or one for each direction.
        positions: "generated" (past the prompt), "from_last_prompt_token" (also the first new token is steered),
            "prompt", "all", "all_with_bos", an index k (from k on), `slice(start, stop)`, `slice(start, None, n)` (every
            n-th), a list of indices, or a function: see `select`.
        scale: a number or a mapping from `Site`; default: the scale that a bank's direction carries, so that a dose means
            the same as in the bank's tables; else the subject's own.
        schedule: how the dose goes on from the first steered token: "decay" (halves every 8 tokens), "ramp" (whole from
            the 8th on), `decay(half_life)`, `ramp(tokens)`, or a function from the number of tokens since the start
            (an array, 0 at the first steered token) to the dose's multiplier; None: constant.

    In a call of the bare model everything counts as prompt, until it is called with a KV cache.

    What is steered belongs to the thread or asyncio task that opened the block: others use the same subject meanwhile and
    are not steered, or steer it their own way. Tasks made inside the block and `asyncio.to_thread` take it along until it
    closes; a bare thread, a `ThreadPoolExecutor` and `loop.run_in_executor` do not: open the block in there, or give them
    `contextvars.copy_context().run`. A text or stream that was begun inside and goes on after the block has closed is
    refused.

    Raises:
        EmotionInterpError: direction, dose, scale or positions do not fit, before any hook is added.

    Source: activation addition (Turner et al. 2023, arXiv 2308.10248).

    Example:
        >>> with steer(subject, bank.direction("joy", layer=5), dose=0.5):  # doctest: +SKIP
        ...     subject.generate("The letter said")
    """
    several = list(direction) if isinstance(direction, (list, tuple)) else [cast("Direction", direction)]
    amounts: list[Any] = [dose] * len(several) if np.ndim(dose) == 0 else list(dose)  # type: ignore[arg-type]
    if not several:
        raise EmotionInterpError("steer needs at least one direction, got an empty list.")
    if len(amounts) != len(several):
        raise EmotionInterpError(f"{len(several)} directions need one dose or as many doses, got {len(amounts)}.")
    with unsteered():
        each = [row_interventions(subject, [d], [a], scale) for d, a in zip(several, amounts, strict=True)]
    vectors: dict[Site, np.ndarray] = {}
    for position in each:
        for site, vector in position.vectors.items():
            vectors[site] = vectors[site] + vector if site in vectors else vector
    return steer_rows(subject, RowInterventions(vectors, shared=True), positions, schedule)


def batch_steer(
    subject: Subject,
    directions: Sequence[Direction | Sequence[Direction] | None],
    doses: float | Sequence[float] = 0.5,
    positions: Positions | Sequence[Positions] = "generated",
    scale: float | Mapping[Site, float] | None = None,
    schedule: Schedule = None,
) -> hooked:
    """Steer every row of a batch its own way: a direction, several, or None for an unsteered row.

    The rows are those of the list given to `generate` or `decode`, in that order. Positions may be `RowPositions`, or a
    list with a name, slice, function or list for each row (a list of whole numbers means those indices in every row).

    Raises:
        EmotionInterpError: rows and doses differ in number, something does not fit, or a batch has more rows.

    Example:
        >>> with batch_steer(subject, [joy, None, fear], [0.5, 0.0, 0.8]):  # doctest: +SKIP
        ...     subject.generate(["The letter said"] * 3)
    """
    with unsteered():
        rows = row_interventions(subject, directions, doses, scale)
    each: Any = positions
    if isinstance(positions, (list, tuple)) and not all(isinstance(p, (int, np.integer)) for p in positions):
        if len(positions) != len(directions):
            raise EmotionInterpError(f"{len(directions)} rows need {len(directions)} positions, got {len(positions)}.")
        each = RowPositions(positions)
    return steer_rows(subject, rows, each, schedule)


def steer_rows(
    subject: Subject, rows: RowInterventions, positions: Positions = "generated", schedule: Schedule = None
) -> hooked:
    """Add prepared vectors, one for each row (or one shared by all), at their sites."""
    check_positions(positions)
    changes = {site: _addition(site, vectors, rows) for site, vectors in rows.vectors.items()}
    return hooked(subject, changes, positions, schedule)


OPERATIONS = {
    "add": "add",
    "clamp": "clamp",
    "delta_clamp": "clamp",
    "clamp_active": "clamp_active",
    "conditional_clamp": "clamp_active",
    "ablate": "ablate",
}
"""Names of SAE operations and what each means."""


def sae_operation(
    subject: Subject,
    site: Site | int,
    features: int | Sequence[int],
    op: str = "add",
    value: float | Sequence[float] = 0.0,
    positions: Positions = "generated",
    threshold: float = 0.0,
    schedule: Schedule = None,
) -> hooked:
    """Change SAE features by `delta_f * W_dec[f]`, so that the SAE's reconstruction error never enters.

    Args:
        subject: a subject with an SAE at `site`.
        site: the site, or a layer (its SAE).
        features: one feature index or several.
        op: "add" (value is added), "clamp" or "delta_clamp" (set to value; one and the same here, as no clamp goes
            through the reconstruction), "clamp_active" or "conditional_clamp" (set to value only where the feature
            fires), "ablate" (set to 0).
        value: in units of the feature's activation; one, or one for each feature. Not used by "ablate".
        positions: as in `steer`.
        threshold: a conditional clamp acts where the feature's activation is above it.
        schedule: as in `steer`; multiplies the change of the features.

    Raises:
        UnknownNameError: no SAE there, an unknown op, or a feature the SAE does not have.
        UnsupportedError: an SAE that rescales its input per token, or reads where nothing can be written.

    Example:
        >>> with sae_operation(subject, 5, [17, 230], "ablate", positions="all"):  # doctest: +SKIP
        ...     subject.generate("The letter said")
    """
    check_positions(positions)
    if op not in OPERATIONS:
        raise UnknownNameError("SAE operation", op, OPERATIONS)
    if isinstance(threshold, bool) or not np.isfinite(threshold) or threshold < 0:
        raise EmotionInterpError(f"the threshold of a conditional clamp is a finite number from 0, got {threshold!r}.")
    reader = writable_reader(subject, site)
    place = reader.site
    index = np.atleast_1d(np.asarray(features))
    if index.size == 0 or index.dtype.kind not in "iu":
        raise EmotionInterpError(f"features are whole numbers, at least one, got {features!r}.")
    wrong = index[(index < 0) | (index >= reader.d_sae)]
    if wrong.size:
        raise UnknownNameError(f"feature of the SAE at {place}", int(wrong[0]), range(reader.d_sae))
    values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if values.size not in (1, index.size) or not np.isfinite(values).all():
        raise EmotionInterpError(f"value is a finite number, or one for each of {index.size} features, got {value!r}.")
    amounts = np.broadcast_to(values, index.shape)
    change = replacement(_feature_delta(reader, index, OPERATIONS[op], amounts, float(threshold)))
    return hooked(subject, {place: change}, positions, schedule)


def _feature_delta(
    reader: SaeReader, index: np.ndarray, op: str, amounts: np.ndarray, threshold: float
) -> Callable[[torch.Tensor, Chosen], torch.Tensor]:
    rows = reader.decoder_rows(index)
    target = rows.new_tensor(amounts.tolist())

    def delta(picked: torch.Tensor, chosen: Chosen) -> torch.Tensor:
        del chosen
        if op == "add":
            return (target @ rows).expand(len(picked), -1)
        now = encoded(reader, picked, index)
        change = (0.0 if op == "ablate" else target) - now
        if op == "clamp_active":
            change = change * (now > threshold)
        return change @ rows

    return delta


def _addition(site: Site, vectors: np.ndarray, rows: RowInterventions) -> Change:
    index = np.arange(len(vectors)) if rows.index is None else rows.index
    table = _RowVectors(site, vectors, None if rows.shared else index)

    def change(activations: torch.Tensor, chosen: Chosen) -> torch.Tensor:
        vector, factor = table.of(activations, chosen), chosen.factor(activations)
        return activations + vector if factor is None else activations.addcmul(vector, factor)

    return change


class _RowVectors:
    """The vectors of the rows of a pass, in the type and place of its activations."""

    def __init__(self, site: Site, vectors: np.ndarray, index: np.ndarray | None) -> None:
        self.site, self.vectors, self.index = site, vectors, index
        self._kept: dict[tuple[object, object], torch.Tensor] = {}
        # the rows of a batch stay the same from token to token; one tuple, since threads may share it
        self._last: tuple[object, object, torch.Tensor | None] = (None, None, None)

    def of(self, activations: torch.Tensor, chosen: Chosen) -> torch.Tensor:
        """[1, d_model] where all rows share one, else [row, 1, d_model]."""
        key = (activations.device, activations.dtype)
        if key not in self._kept:
            # in the activation's own type: a float32 vector on a bfloat16 stream would change the model's type
            self._kept[key] = torch.from_numpy(np.ascontiguousarray(self.vectors)).to(*key)
        if self.index is None:
            return self._kept[key]
        batch = chosen.plan.rows
        last_batch, last_key, vectors = self._last
        if vectors is None or last_batch is not batch or last_key != key:
            if batch.max() >= len(self.index):
                raise EmotionInterpError(
                    f"the batch has a row {int(batch.max())}, but {self.site} has interventions for {len(self.index)} rows."
                )
            vectors = self._kept[key][torch.from_numpy(self.index[batch]).to(activations.device)][:, None]
            self._last = batch, key, vectors
        return vectors
