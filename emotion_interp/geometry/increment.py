"""What a model's emotion space says about people beyond another space of the same emotions (the text's), and the reverse.

Partial RSA: Spearman's partial correlation of the model's and people's dissimilarities given the text's. Its null
reorders the emotions of what the text leaves over of people's dissimilarities (residual permutation: Legendre 2000,
J. Stat. Comput. Simul. 67, 37-73).

Incremental read-out: see `incremental_readout`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np
import pandas as pd

from emotion_interp.core import EmotionInterpError
from emotion_interp.core.arguments import checked
from emotion_interp.core.options import merged
from emotion_interp.core.result import Result
from emotion_interp.figures import interval_rows
from emotion_interp.geometry.coordinates import HumanCoordinates, as_norms, human_coordinates
from emotion_interp.geometry.gain import ReadoutGain, readout_gain
from emotion_interp.geometry.options import IncrementChoices, IncrementOptions
from emotion_interp.geometry.rsa import human_dissimilarity, model_dissimilarity, pairs, unit_ranks
from emotion_interp.geometry.space import EmotionSpace
from emotion_interp.stats.intervals import (
    NO_INTERVAL,
    Interval,
    bootstrap_counts,
    permutation_p,
    permutations,
    weighted_correlation,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from emotion_interp.norms import Norms

_CHUNK = 2_000_000
_LEAST = 1e-12


@dataclass(frozen=True)
class PartialRSA:
    """Spearman's partial rho of one space and people given another space, its 95% percentile interval over emotions
    (pairs of an emotion with itself are dropped) and its one-sided permutation p; `total` is the plain rho."""

    rho: float
    ci: Interval
    p: float
    total: float


@dataclass(frozen=True)
class Increment(Result):
    """A model's space beside the text's: `rsa` model given text, `text_rsa` text given model; `valence` and `arousal`
    (None where the norms have none): read-out from the text, the model, and both."""

    baseline: str
    rsa: PartialRSA
    text_rsa: PartialRSA
    valence: ReadoutGain
    arousal: ReadoutGain | None
    n_emotions: int
    n_permutations: int
    seed: int

    def row(self) -> dict[str, object]:
        """The numbers as one flat row."""
        row: dict[str, object] = {"baseline": self.baseline}
        for name, fit in (("rsa_given_text", self.rsa), ("text_rsa_given_model", self.text_rsa)):
            row |= {name: fit.rho, f"{name}_lo": fit.ci[0], f"{name}_hi": fit.ci[1], f"{name}_p": fit.p}
        for dimension, gain in (("valence", self.valence), ("arousal", self.arousal)):
            for name, value in asdict(gain or ReadoutGain()).items():
                parts = {f"{name}_lo": value[0], f"{name}_hi": value[1]} if isinstance(value, tuple) else {name: value}
                row |= {f"{dimension}_{k.replace('_ci', '')}": v for k, v in parts.items()}
        return row

    def columns(self) -> dict[str, object]:
        """The numbers as columns of an alignment's row, named after the baseline: rsa_given_text, text_rsa_given_model,
        valence_gain_over_text, text_valence_gain, ... each with _lo, _hi, _p."""
        of, record = self.baseline, {}
        for name, fit in ((f"rsa_given_{of}", self.rsa), (f"{of}_rsa_given_model", self.text_rsa)):
            record |= _spread(name, fit.rho, fit.ci, fit.p)
        for dimension, gain in (("valence", self.valence), ("arousal", self.arousal)):
            gain = gain or ReadoutGain()
            record |= _spread(f"{dimension}_gain_over_{of}", gain.gain, gain.gain_ci, gain.gain_p)
            record |= _spread(f"{of}_{dimension}_gain", gain.text_gain, gain.text_gain_ci, gain.text_gain_p)
        return record

    def to_frame(self) -> pd.DataFrame:
        """One row: baseline; rsa_given_text and text_rsa_given_model (with _lo, _hi, _p); for valence and arousal
        _text_r, _model_r, _both_r, _gain (both less text; _lo, _hi, _p) and _text_gain (both less model)."""
        return pd.DataFrame([self.row()])

    def __repr__(self) -> str:
        arousal = f", arousal {self.arousal.gain:+.2f} (p={self.arousal.gain_p:.3g})" if self.arousal else ""
        return (
            f"Increment(over {self.baseline!r}: partial RSA {self.rsa.rho:.2f} (p={self.rsa.p:.3g}), read-out valence "
            f"{self.valence.gain:+.2f} (p={self.valence.gain_p:.3g}){arousal})"
        )

    def plot(self) -> go.Figure:
        """What each of the two adds to the other, with intervals: of the distances (rho) and of the read-outs (r)."""
        parts = [("distances", self.rsa.rho, self.rsa.ci, self.text_rsa.rho, self.text_rsa.ci)]
        for name, gain in (("valence", self.valence), ("arousal", self.arousal)):
            parts += [(name, gain.gain, gain.gain_ci, gain.text_gain, gain.text_gain_ci)] if gain else []
        rows = [
            {"name": name, "series": series, "value": value, "lo": low, "hi": high}
            for name, shown, ci, other, other_ci in parts
            for series, value, (low, high) in (
                (f"the space beyond {self.baseline}", shown, ci),
                (f"{self.baseline} beyond the space", other, other_ci),
            )
        ]
        return interval_rows(pd.DataFrame(rows), title=f"Beyond {self.baseline}", x_title="rho, or gain of r")


def _spread(name: str, value: float, interval: Interval, p: float) -> dict[str, float]:
    return {name: value, f"{name}_lo": interval[0], f"{name}_hi": interval[1], f"{name}_p": p}


@checked
def text_increment(
    space: EmotionSpace,
    text: EmotionSpace,
    norms: Norms | pd.DataFrame,
    *,
    coordinates: str = "label",
    n_permutations: int = 999,
    seed: int = 0,
    options: IncrementOptions | None = None,
    **choices: Unpack[IncrementChoices],
) -> Increment:
    """What an emotion space says about valence and arousal beyond the text's space, and the text's beyond it.

    Args:
        space: the model's.
        text: the same emotions from the text alone (`text_baselines`), or any other space.
        norms: as in `align`.
        coordinates: as in `align`.
        n_permutations: of the nulls.
        seed: of the nulls and the intervals.
        options: labels and words as in `align`, resamples and folds.
        **choices: fields of `IncrementOptions`, by keyword.

    Raises:
        EmotionInterpError: fewer than 5 rated emotions in common, or settings out of range.

    Example:
        >>> gain = text_increment(spaces[site, "dense"], text_baselines(texts, labels)["text"], norms)  # doctest: +SKIP
        >>> gain.rsa.rho, gain.valence.gain  # doctest: +SKIP
    """
    chosen = merged(IncrementOptions, options, choices)
    shared = [e for e in space.emotions if e in set(text.emotions)]
    human = human_coordinates(shared, as_norms(norms, space.language), coordinates, chosen.labels, chosen.words)
    return increments([space], text, human, n_permutations, chosen.n_bootstrap, chosen.folds, seed)[0]


def increments(
    spaces: list[EmotionSpace],
    text: EmotionSpace,
    human: HumanCoordinates,
    n_permutations: int,
    n_bootstrap: int,
    folds: int,
    seed: int,
) -> list[Increment]:
    """`text_increment` of several spaces over one text, with the same permutations."""
    missing = [e for e in human.emotions if e not in text.emotions]
    if missing:
        raise EmotionInterpError(f"the text's space lacks {', '.join(missing)}; make both of the same stimuli.")
    text = text.subset(human.emotions)
    orders = permutations(len(human.emotions), n_permutations, seed)
    people = human_dissimilarity(human.z)
    text_rdm = model_dissimilarity(text)
    records = []
    for space in spaces:
        space = space.subset(human.emotions)
        other = model_dissimilarity(space)
        gains = {
            name: readout_gain(space, text, target, orders, n_bootstrap, folds, seed)
            for name, target in (("valence", human.valence), ("arousal", human.arousal))
            if target is not None
        }
        records.append(
            Increment(
                text.kind,
                partial_rsa(other, text_rdm, people, orders, n_bootstrap, seed),
                partial_rsa(text_rdm, other, people, orders, n_bootstrap, seed),
                gains["valence"],
                gains.get("arousal"),
                len(human.emotions),
                n_permutations,
                seed,
            )
        )
    return records


def partial_rsa(
    first: np.ndarray, given: np.ndarray, human: np.ndarray, orders: np.ndarray, n_bootstrap: int, seed: int
) -> PartialRSA:
    """Partial Spearman of dissimilarities `first` and `human` given `given`, each [pair]; `orders` [permutation, emotion]."""
    x, t, y = (unit_ranks(v) for v in (first, given, human))
    n = orders.shape[1]
    left_x, left_y = x - (x @ t) * t, y - (y @ t) * t
    lengths = np.linalg.norm(left_x), np.linalg.norm(left_y)
    if min(lengths) < 1e-6:
        # nothing is left over: the text says all of it
        return PartialRSA(0.0, NO_INTERVAL, 1.0, float(x @ y))
    left_x, left_y = left_x / lengths[0], left_y / lengths[1]
    rho = float(np.clip(left_x @ left_y, -1, 1))
    rows, two = pairs(n)
    square = np.zeros((n, n))
    square[rows, two] = square[two, rows] = left_y
    both = np.column_stack([left_x, t])
    null = np.empty(len(orders))
    step = max(1, _CHUNK // len(rows))
    for start in range(0, len(orders), step):
        block = orders[start : start + step]
        along, onto = (square.ravel()[block[:, rows] * n + block[:, two]] @ both).T
        # what is reordered leans on the text again by chance: that part is taken out, as it was of the observed one
        null[start : start + step] = along / np.sqrt(np.maximum(1 - onto**2, _LEAST))
    return PartialRSA(
        rho, _partial_interval(first, given, human, n, n_bootstrap, seed), permutation_p(rho, null), float(x @ y)
    )


def _partial_interval(
    first: np.ndarray, given: np.ndarray, human: np.ndarray, n: int, n_bootstrap: int, seed: int
) -> Interval:
    """95% percentile interval over emotions; ranks are those of each sample, pairs of one emotion are left out."""
    if n_bootstrap <= 0:
        return NO_INTERVAL
    rows, two = pairs(n)
    counts = bootstrap_counts(n, n_bootstrap, seed)
    values = []
    step = max(1, _CHUNK // len(rows))
    for start in range(0, n_bootstrap, step):
        block = counts[start : start + step]
        weights = block[:, rows] * block[:, two]
        x, t, y = (weighted_ranks(v, weights) for v in (first, given, human))
        xt, ty, xy = (weighted_correlation(weights, a, b) for a, b in ((x, t), (t, y), (x, y)))
        with np.errstate(invalid="ignore", divide="ignore"):
            values.append((xy - xt * ty) / np.sqrt((1 - xt**2) * (1 - ty**2)))
    boot = np.concatenate(values)
    boot = boot[np.isfinite(boot)]
    if len(boot) < 20:
        return NO_INTERVAL
    low, high = np.quantile(boot, [0.025, 0.975])
    return float(low), float(high)


def weighted_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mid-ranks of values [item] where each counts as often as its weight, [row, item] for weights [row, item]."""
    level, inverse = np.unique(np.round(values, 12), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.searchsorted(inverse[order], np.arange(len(level)))
    mass = np.add.reduceat(weights[:, order], starts, axis=1)
    middle = np.cumsum(mass, axis=1) - mass / 2
    return middle[:, inverse]
