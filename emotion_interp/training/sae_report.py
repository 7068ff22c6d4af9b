"""What a finished SAE training shows: figures on held-out text, the threshold, the result object."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import torch

from emotion_interp.core.errors import EmotionInterpError, FileFormatError
from emotion_interp.core.files import read_signed_json
from emotion_interp.core.reading import said
from emotion_interp.core.result import Result
from emotion_interp.figures import series_curves
from emotion_interp.stats.firing import fires
from emotion_interp.subjects.loading import load_sae

if TYPE_CHECKING:
    from sae_lens import SAE


TRAINING_FILE = "training.json"
FORMAT = 2
"""2: the record carries its own SHA-256. Records of format 1 are read as they are."""
TARGETS = {"explained_variance": 0.75, "l0": (2 / 3, 4 / 3), "silent_share": 0.2}
"""A usable SAE: least explained variance, L0 as shares of k, most silent latents."""

_ENCODE_TOKENS = 2048


@dataclass(frozen=True)
class SaeFigures:
    """One trained SAE on held-out real tokens without BOS and sinks, after conversion to JumpReLU in half precision.

    explained_variance: 1 - sum (x - reconstruction)^2 / sum (x - mean)^2 over tokens and dimensions, mean per dimension.
    l0: mean active latents per token. silent_share: share of latents that never fire on the held-out tokens.
    tokens: trained on. held_out_tokens: measured on. seconds: wall time of the whole run (all layers train together).
    """

    layer: int
    d_sae: int
    k: float
    explained_variance: float
    l0: float
    silent_share: float
    tokens: int
    seconds: float
    held_out_tokens: int
    recalibrated: bool


@dataclass(frozen=True, repr=False)
class SaeTrainingResult(Result):
    """Trained SAEs: their folder and their figures.

    Example:
        >>> result = train_saes(subject, texts, "runs/saes")  # doctest: +SKIP
        >>> result.to_frame()[["layer", "explained_variance", "l0", "silent_share"]]  # doctest: +SKIP
    """

    folder: Path
    model_name: str
    recipe: dict[str, object]
    figures: tuple[SaeFigures, ...]

    ROWS = "figures"

    def plot(self) -> go.Figure:
        """Explained variance over the layers."""
        texts = {"title": "Trained SAEs by layer", "y_title": "explained variance"}
        return series_curves(self.to_frame(), "explained_variance", (), **texts)

    def saes(self, device: str = "cpu") -> list[object]:
        """The SAELens SAEs, in order of layer."""
        return [load_quietly(layer_folder(self.folder, row.layer), device) for row in self.figures]

    def shortfalls(self) -> list[str]:
        """One line for each figure outside `TARGETS`; empty when every SAE is usable."""
        lines = []
        low, high = TARGETS["l0"]
        for row in self.figures:
            if row.explained_variance < TARGETS["explained_variance"]:
                lines.append(f"layer {row.layer}: explained variance {row.explained_variance:.2f}, wanted .75 or more")
            if not low * row.k <= row.l0 <= high * row.k:
                lines.append(f"layer {row.layer}: L0 {row.l0:.1f}, wanted {low * row.k:.0f}-{high * row.k:.0f}")
            if row.silent_share > TARGETS["silent_share"]:
                lines.append(f"layer {row.layer}: {row.silent_share:.0%} of the latents silent, wanted at most 20%")
        return lines

    @classmethod
    def load(cls, folder: str | Path) -> SaeTrainingResult:
        """Read a finished run.

        Raises:
            FileFormatError: the folder holds no finished run, or its file is damaged.
        """
        folder = Path(folder)
        file = folder / TRAINING_FILE
        record, signed = read_signed_json(file)
        try:
            if record["format"] not in (1, FORMAT) or (record["format"] == FORMAT and not signed):
                raise FileFormatError(f"{file} was changed after it was saved, or is of another version.")
            figures = tuple(_checked(SaeFigures(**row)) for row in record["figures"])
            name, recipe = record["model_name"], record["recipe"]
        except (KeyError, TypeError) as error:
            raise FileFormatError(f"{file} is no record of an SAE training: {said(error)}.") from error
        if not isinstance(name, str) or not isinstance(recipe, dict):
            raise FileFormatError(
                f"{file} is no record of an SAE training: the name of its model or its recipe is of another type."
            )
        return cls(folder, name, recipe, figures)


def _checked(row: SaeFigures) -> SaeFigures:
    """Figures as they were declared; `TypeError` for others."""
    for field in fields(SaeFigures):
        value = getattr(row, field.name)
        kinds: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,)}
        kind = str(field.type)
        wrong = not isinstance(value, kinds[kind]) or (kind != "bool" and isinstance(value, bool))
        if wrong or not math.isfinite(value) or (value < 0 and field.name != "explained_variance"):
            raise TypeError(f"{field.name} is {value!r}")
    return row


def layer_folder(out: Path, layer: int) -> Path:
    """Where the SAE of a layer lies."""
    return out / f"layer_{layer}"


def load_quietly(folder: Path, device: str) -> SAE:
    """`load_sae` without SAELens' advice on how to load the model, which is here already."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*model_from_pretrained_kwargs")
        return load_sae(folder, device)


class HeldOutSums:
    """Running sums of one SAE over held-out activations, in float64; [tokens, d_sae] is never kept.

    Args:
        sae: the SAE in its inference form.
        shift: a vector near the mean [d_model]; subtracting it first keeps the variance exact under a large mean.
    """

    def __init__(self, sae: SAE, shift: torch.Tensor) -> None:
        self.sae, self.shift = sae, shift.double()
        self.tokens, self.error, self.square, self.active = 0, 0.0, 0.0, 0
        self.total = torch.zeros_like(self.shift)
        self.fired = torch.zeros(sae.cfg.d_sae, dtype=torch.bool, device=shift.device)

    def add(self, activations: torch.Tensor) -> None:
        """Add activations [token, d_model]."""
        with torch.no_grad():
            for x in activations.split(_ENCODE_TOKENS):
                latents = self.sae.encode(x)
                self.error += float((x - self.sae.decode(latents)).double().square().sum())
                shifted = x.double() - self.shift
                self.total += shifted.sum(0)
                self.square += float(shifted.square().sum())
                on = fires(latents)
                self.active += int(on.sum())
                self.fired |= on.any(0)
                self.tokens += len(x)

    def figures(self) -> dict[str, object]:
        """explained_variance, l0, silent_share, held_out_tokens.

        Raises:
            EmotionInterpError: fewer than two tokens, or activations that never vary.
        """
        variance = self.square - float(self.total.square().sum()) / max(1, self.tokens)
        if self.tokens < 2 or variance <= 0:
            raise EmotionInterpError(f"{self.tokens} held-out tokens show no variance; give more held-out text.")
        return {
            "explained_variance": 1.0 - self.error / variance,
            "l0": self.active / self.tokens,
            "silent_share": 1.0 - float(self.fired.double().mean()),
            "held_out_tokens": self.tokens,
        }


def pre_activations(sae: Any, activations: torch.Tensor) -> torch.Tensor:
    """What a JumpReLU SAE compares with its threshold: [token, d_model] -> [token, d_sae]."""
    return sae.process_sae_in(activations) @ sae.W_enc + sae.b_enc


def mean_l0(sae: SAE, activations: torch.Tensor) -> float:
    """Mean number of active latents per token."""
    with torch.no_grad():
        counts: Iterable[int] = (int(fires(sae.encode(x)).sum()) for x in activations.split(_ENCODE_TOKENS))
        return sum(counts) / len(activations)


def threshold_for(sae: object, activations: torch.Tensor, k: float, units: torch.Tensor | None = None) -> float:
    """The one threshold that leaves k active latents per token on these activations (BatchTopK's rule on all of them).

    With `units` [d_sae] each latent is compared with the threshold times its unit.
    """
    wanted = max(1, round(k * len(activations)))
    largest: list[torch.Tensor] = []
    with torch.no_grad():
        for x in activations.split(_ENCODE_TOKENS):
            values = pre_activations(sae, x).relu()
            values = (values if units is None else values / units.to(values.device)).flatten()
            # no part of the tokens can plausibly hold more than eight times its share of the largest values
            largest.append(values.topk(min(values.numel(), int(8 * k * len(x)) + 1), sorted=False).values)
        values = torch.cat(largest)
        values = values.topk(min(values.numel(), wanted + 1)).values
    # halfway to the next value: `>` then holds for exactly the wanted number
    return float((values[-1] + values[-2]) / 2) if len(values) > 1 else 0.0
