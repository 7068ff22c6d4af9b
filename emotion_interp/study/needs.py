"""What reading a model will take, before it is downloaded: parameters, memory, operations, hours on named cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, Unpack

from emotion_interp.core.arguments import checked, checked_methods
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.memory import free_memory, gibibytes
from emotion_interp.core.options import Options, merged
from emotion_interp.core.result import Result
from emotion_interp.subjects.architecture import Architecture, architecture_of
from emotion_interp.subjects.sae_sizes import SaeSize, sae_sizes

if TYPE_CHECKING:
    import pandas as pd

BYTES = {"float32": 4, "bfloat16": 2}
EFFICIENCY = 0.35
"""Share of a card's peak that reading short texts reaches; large matrices reach more, small models less."""
LOADING = 1.5e9
"""Bytes a second at which SAEs that wait on disk are read again."""
_BESIDE = 80 * 2**20
"""Bytes that loading any model leaves beside it: modules imported at first use, a tokenizer, the logits that are compared."""
_ENCODED = 32_000_000
"""Latents that are encoded at a time, as in `activations.reading`."""
CARDS: dict[str, tuple[int, float, float, float]] = {
    "T4": (16, 65e12, 8.1e12, 0.30e12),
    "L4": (24, 121e12, 30e12, 0.30e12),
    "RTX 3090": (24, 71e12, 35e12, 0.94e12),
    "RTX 4090": (24, 165e12, 82e12, 1.01e12),
    "L40S": (48, 362e12, 91e12, 0.86e12),
    "A100 40GB": (40, 312e12, 19.5e12, 1.56e12),
    "A100 80GB": (80, 312e12, 19.5e12, 2.04e12),
    "H100 80GB": (80, 989e12, 67e12, 3.35e12),
    "H200": (141, 989e12, 67e12, 4.80e12),
}
"""Gigabytes, dense operations a second in half precision and in float32, bytes a second.

Nominal: the peaks of the vendors' data sheets, without sparsity, as they are remembered; none of these cards was measured
here. `PlanOptions.cards` puts others in their place.
"""


@dataclass(frozen=True, kw_only=True)
class PlanOptions(Options):
    """The reading that is planned.

    Attributes:
        texts: how many; the default is about that of 28 emotions' words in carriers, in two languages.
        length: tokens of each.
        read: tokens of each that SAEs encode; 1 for words, about the length for whole texts.
        batch_tokens: of one forward pass.
        calibrate: measure some blocks of the model's shape, with random weights, on this machine; seconds to minutes.
        resident: SAEs in memory at a time, beside all of them.
        efficiency: share of a card's peak that the reading reaches.
        cards: cards of your own, or other figures of one that is listed: name -> (gigabytes, TFLOP/s in half precision,
            TFLOP/s in float32, gigabytes a second). The listed figures are nominal: peaks of data sheets.

    Raises:
        EmotionInterpError: a figure that is not above zero, or not four of them.
    """

    NONE_TOO: ClassVar[tuple[str, ...]] = ()

    texts: int = 10_000
    length: int = 10
    read: int = 1
    batch_tokens: int = 2048
    calibrate: bool = False
    resident: int = 2
    efficiency: float = EFFICIENCY
    cards: Mapping[str, Sequence[float]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.efficiency <= 1:
            raise EmotionInterpError(
                f"efficiency is a share of the peak, above 0 and at most 1; got {self.efficiency!r}."
            )
        for name, figures in (self.cards or {}).items():
            if len(figures) != 4 or not all(0 < figure < float("inf") for figure in figures):
                raise EmotionInterpError(
                    f"a card has four figures above zero: gigabytes, TFLOP/s in half precision and in float32, gigabytes a "
                    f"second, such as (80, 989, 67, 3350); {name!r} has {tuple(figures)!r}."
                )

    @property
    def known_cards(self) -> dict[str, tuple[float, float, float, float]]:
        """All cards, in units of bytes and operations, by their memory."""
        asked = {
            n: (g, half * 1e12, full * 1e12, speed * 1e9) for n, (g, half, full, speed) in (self.cards or {}).items()
        }
        return dict(sorted((CARDS | asked).items(), key=lambda item: item[1][0]))


class PlanChoices(TypedDict, total=False):
    """`PlanOptions`, by keyword."""

    texts: int
    length: int
    read: int
    batch_tokens: int
    calibrate: bool
    resident: int
    efficiency: float
    cards: Mapping[str, Sequence[float]] | None


@checked_methods
@dataclass(frozen=True, eq=False)
class ReadingPlan(Result):
    """What reading takes; `.cards` has the hours.

    Attributes:
        frame: one row for each dtype and number of SAEs in memory: GiB of weights, SAEs and working memory (activations
            of a batch, latents), their sum, and the cards that hold it.
        cards: one row for each card and dtype: whether all fits, or fits with `resident` SAEs, and hours.
        architecture: sizes of the model.
        saes: sizes of its SAEs.
        tokens: that are run.
        flops: operations of the whole reading.
        seconds_here: on this machine, where it was calibrated.
    """

    frame: pd.DataFrame
    cards: pd.DataFrame
    architecture: Architecture
    saes: tuple[SaeSize, ...]
    tokens: int
    flops: float
    seconds_here: float | None = None

    def bytes_needed(self, dtype: str = "float32", resident: int | None = None) -> int:
        """Bytes of weights, SAEs and working memory.

        Args:
            dtype: of the model; SAEs are float32.
            resident: SAEs in memory; None: all.

        Raises:
            UnknownNameError: a dtype or number that was not planned.
        """
        number = len(self.saes) if resident is None else min(resident, len(self.saes))
        rows = self.frame[(self.frame["dtype"] == dtype) & (self.frame["saes_in_memory"] == number)]
        if rows.empty:
            asked = f"{dtype} with {number} SAEs"
            raise UnknownNameError(
                "plan", asked, [f"{r.dtype} with {r.saes_in_memory} SAEs" for r in _rows(self.frame)]
            )
        return int(rows["total_gib"].iloc[0] * 2**30)

    def __repr__(self) -> str:
        a = self.architecture
        return (
            f"ReadingPlan({a.name!r}, {a.parameters / 1e9:.2f} B parameters, {len(self.saes)} SAEs, "
            f"{self.flops / 1e12:,.1f} TFLOP)"
        )


def _rows(frame: pd.DataFrame) -> Iterable[Any]:
    return frame.itertuples(index=False)


@checked
def plan(
    model: str | Path | None = None,
    saes: str | Path | None = None,
    layers: Iterable[int] | None = None,
    *,
    options: PlanOptions | None = None,
    **choices: Unpack[PlanChoices],
) -> ReadingPlan:
    """Say what reading a model with its SAEs takes, from configurations alone: no weights, no network.

    Sizes come from the model's configuration (a folder, the local cache), else from TransformerLens' table or a small one
    here; widths of SAEs from SAELens' list. Working memory and hours are estimates: hours are operations over 35% of a
    card's nominal peak (`cards`, `efficiency` put others in their place), at least its bandwidth's time for the weights of each batch, and what re-reading SAEs from disk takes.

    Args:
        model: as of `load_subject`; None is the bundled subject.
        saes: a release of SAELens, or a folder.
        layers: only the SAEs of these layers; without SAEs, the last of them is read last.
        options: the texts, and whether to measure on this machine.
        **choices: fields of `PlanOptions`, by keyword.

    Raises:
        EmotionInterpError: nothing here knows the sizes of the model or of the SAEs.
        UnknownNameError: no such release, or a layer without an SAE.

    Example:
        >>> plan().architecture.parameters
        6297088
    """
    import pandas as pd

    how = merged(PlanOptions, options, choices)
    wanted = None if layers is None else sorted(set(layers))
    shape = architecture_of(model)
    for layer in wanted or ():
        if not 0 <= layer < shape.n_layers:
            raise UnknownNameError("layer", layer, range(shape.n_layers))
    sizes = tuple(sae_sizes(saes, shape, wanted))
    for size in sizes:
        if size.layer >= shape.n_layers or size.d_in != shape.width(size.kind):
            raise UnknownNameError(
                "SAE of this model",
                f"{size.sae_id} (layer {size.layer}, {size.d_in} dimensions)",
                [f"layers 0 to {shape.n_layers - 1} of {shape.d_model} dimensions"],
            )
    last = max((s.layer for s in sizes), default=wanted[-1] if wanted else shape.n_layers - 1)
    tokens, read = how.texts * how.length, how.texts * how.read
    flops = tokens * shape.reading_flops(last, how.length) + read * sum(2.0 * s.d_in * s.d_sae for s in sizes)
    rows: list[dict[str, object]] = []
    for dtype, width in BYTES.items():
        for number in sorted({len(sizes), min(how.resident, len(sizes))}, reverse=True):
            parts = _bytes(shape, sizes, number, width, how)
            total = sum(parts)
            holding = [name for name, card in how.known_cards.items() if total <= 0.92 * card[0] * 1e9]
            gib = [round(part / 2**30, 3) for part in (*parts, total)]
            names = ("weights_gib", "saes_gib", "working_gib", "total_gib")
            fits = holding[0] if holding else "none listed"
            rows.append({"dtype": dtype, "saes_in_memory": number, **dict(zip(names, gib, strict=True)), "from": fits})
    seconds = None
    if how.calibrate:
        from emotion_interp.study.calibration import seconds_of

        seconds = seconds_of(model, shape, sizes, last, how.texts, how.length, how.read)
    return ReadingPlan(
        pd.DataFrame(rows), pd.DataFrame(_hours(shape, sizes, rows, flops, how)), shape, sizes, tokens, flops, seconds
    )


def _bytes(
    shape: Architecture, sizes: tuple[SaeSize, ...], number: int, width: int, how: PlanOptions
) -> tuple[float, float, float]:
    """Bytes of weights, of the SAEs in memory, and of a batch's activations and latents."""
    largest = sorted((4.0 * s.parameters for s in sizes), reverse=True)[:number]
    batch = max(how.batch_tokens, how.length)
    streams = batch * (6 * shape.d_model + 3 * shape.d_mlp + 4 * shape.n_heads * shape.d_head) * width
    # attention of every head, and its softmax in float32
    scores = batch * how.length * shape.n_heads * (width + 4)
    encoded = min(_ENCODED, batch * how.read // how.length * max((s.d_sae for s in sizes), default=0))
    weights = float(shape.held_parameters * width)
    return weights, float(sum(largest)), float(_BESIDE + streams + scores + 3 * 4 * encoded)


def _hours(
    shape: Architecture, sizes: tuple[SaeSize, ...], rows: list[dict[str, Any]], flops: float, how: PlanOptions
) -> list[dict[str, object]]:
    found = []
    needed = {(row["dtype"], row["saes_in_memory"]): row["total_gib"] * 2**30 for row in rows}
    few = min(how.resident, len(sizes))
    n_batches = max(1.0, how.texts * how.length / how.batch_tokens)
    for name, (memory, half, full, bandwidth) in how.known_cards.items():
        for dtype, rate in (("bfloat16", half), ("float32", full)):
            room = 0.92 * memory * 1e9
            number = next((n for n in (len(sizes), few) if needed[dtype, n] <= room), None)
            # a pass cannot be faster than the weights come from memory
            seconds = max(flops / (how.efficiency * rate), n_batches * shape.parameters * BYTES[dtype] / bandwidth)
            if number is not None and number < len(sizes):
                # once to encode, once for the decoder rows
                seconds += 2 * sum(4.0 * s.parameters for s in sizes) / LOADING
            found.append(
                {
                    "card": name,
                    "gb": memory,
                    "dtype": dtype,
                    "fits": number is not None,
                    "saes_in_memory": number,
                    "hours": None if number is None else round(seconds / 3600, 4),
                }
            )
    return found


def room_here(planned: ReadingPlan, dtype: str = "float32", device: str = "cpu") -> tuple[bool, str]:
    """Whether what is planned fits into the memory that is free now, and a line that says so.

    Args:
        planned: of `plan`.
        dtype: of the model.
        device: where.
    """
    free = free_memory(device)
    if free is None:
        return True, f"how much memory is free on {device} is not known"
    every = planned.bytes_needed(dtype)
    if every <= free:
        return True, f"{gibibytes(every)} needed, {gibibytes(free)} free"
    numbers = [int(n) for n in planned.frame["saes_in_memory"]]
    fewer = planned.bytes_needed(dtype, min(numbers))
    if fewer <= free:
        return True, (
            f"{gibibytes(every)} needed with all SAEs in memory, {gibibytes(fewer)} with {min(numbers)}, "
            f"{gibibytes(free)} free: SAEs will be read in turns"
        )
    return False, f"{gibibytes(fewer)} needed, {gibibytes(free)} free"
