"""The valence/arousal dial: steering to coordinates rather than to a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from emotion_interp.bank.bank import FeatureBank
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError
from emotion_interp.core.options import Options, merged
from emotion_interp.core.types import Direction, Site
from emotion_interp.geometry.coordinates import as_norms, human_coordinates
from emotion_interp.norms import load_norms

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.norms import Norms


@dataclass(frozen=True, kw_only=True)
class DialOptions(Options):
    """Whose directions the dial turns, and how they are read.

    Attributes:
        language: of the directions.
        method: kind of direction; emotions without one are left out.
        ridge: penalty, in units of the mean squared length of a centred direction, or of a z-score.
        labels: emotion -> rated word; default: the emotion's name.
    """

    language: str = "en"
    method: str = "dense"
    ridge: float = 1.0
    labels: Mapping[str, str] | None = None


class DialChoices(TypedDict, total=False):
    """`DialOptions` by keyword."""

    language: str
    method: str
    ridge: float
    labels: Mapping[str, str] | None


@checked
def dial(
    bank: Any,
    valence: float = 0.0,
    arousal: float = 0.0,
    layer: int | Site | str | None = None,
    norms: str | Norms | pd.DataFrame = "builtin",
    *,
    options: DialOptions | None = None,
    **choices: Unpack[DialChoices],
) -> Direction:
    """The direction whose predicted human valence and arousal are as asked.

    Two ridge regressions over the bank's emotions: of unit directions on z-scored ratings, which gives a valence axis
    and an arousal axis; and of z-scored ratings on unit directions, which reads coordinates off a direction. The
    answer is the mixture of the two axes at which the second reads (valence, arousal), so that asking for valence alone
    brings no arousal along, as far as the regression can tell.

    Steering takes a direction at unit length: the coordinates say which way, `dose` how far. For a grid of
    coordinates multiply the dose by `provenance["radius"]`.

    Args:
        bank: a `FeatureBank`, or anything with `emotions`, `layers` and `direction(...)`.
        valence: in standard deviations over the bank's emotions, from their mean; not both 0.
        arousal: in standard deviations over the bank's emotions, from their mean; not both 0.
        layer: a layer or site; default: the middle of the bank's layers.
        norms: name for `load_norms`, norms, or a frame with word, valence, arousal.
        options: whose directions, and how they are read; or its fields by keyword.
        **choices: fields of `DialOptions`, by keyword.

    Returns:
        Direction [d_model] with provenance: valence, arousal, radius (sqrt(valence^2 + arousal^2)), emotions, norms,
        weights (of the unit directions), r_valence and r_arousal (in-sample fit of the read-out).

    Raises:
        EmotionInterpError: nothing asked for, norms without arousal, or fewer than 5 rated emotions with a direction.

    Example:
        >>> ei.dial(bank, valence=1, arousal=-1, layer=2)  # doctest: +SKIP
        Direction('valence +1, arousal -1', blocks.2.hook_resid_post, d_model=256, method='dial')
    """
    chosen = merged(DialOptions, options, choices)
    asked = np.asarray([valence, arousal], dtype=np.float64)
    if not np.isfinite(asked).all():
        raise NotFiniteError(f"valence and arousal are finite numbers, got {valence!r} and {arousal!r}.")
    if not asked.any():
        raise EmotionInterpError(
            "valence 0 and arousal 0 is where the emotions' mean already lies; ask for another place."
        )
    if not chosen.ridge > 0:
        raise EmotionInterpError(f"ridge is a number above 0, got {chosen.ridge!r}.")
    place = list(bank.layers)[len(bank.layers) // 2] if layer is None else layer
    directions = _directions(bank, place, chosen.language, chosen.method)
    if isinstance(norms, str):
        norms = load_norms(norms)
    table = as_norms(norms)
    human = human_coordinates(list(directions), table, labels=chosen.labels)
    if human.arousal is None:
        raise EmotionInterpError(f"the norms {table.name!r} have no arousal; the dial needs both dimensions.")
    units = np.stack([directions[e].unit for e in human.emotions]).astype(np.float64)
    weights, predicted = _weights(units, human.z, asked, chosen.ridge)
    fit = [float(np.corrcoef(predicted[:, k], human.z[:, k])[0, 1]) for k in range(2)]
    first = directions[human.emotions[0]]
    provenance = {
        "valence": float(valence),
        "arousal": float(arousal),
        "radius": float(np.hypot(*asked)),
        "norms": table.name,
        "method": chosen.method,
        "emotions": list(human.emotions),
        "weights": dict(zip(human.emotions, weights.tolist(), strict=True)),
        "r_valence": fit[0],
        "r_arousal": fit[1],
    }
    if "scale" in first.provenance:
        # of the bank's site: a dose of the dial then means what a dose of the bank's directions means
        provenance["scale"] = first.provenance["scale"]
    name = f"valence {valence:+g}, arousal {arousal:+g}"
    return Direction(weights @ units, first.layer, first.kind, name, chosen.language, "dial", provenance)


def _directions(bank: FeatureBank, layer: int | Site | str, language: str, method: str) -> dict[str, Direction]:
    directions: dict[str, Direction] = {}
    failure: EmotionInterpError | None = None
    for emotion in bank.emotions:
        try:
            directions[emotion] = bank.direction(emotion, layer=layer, language=language, method=method)
        except EmotionInterpError as error:
            failure = error
    if failure is not None and not directions:
        raise failure
    return directions


def _weights(units: np.ndarray, ratings: np.ndarray, asked: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the emotions' directions (they sum to 0), and the coordinates read off every emotion.

    Args:
        units: [emotion, d_model]; ratings: z-scored [emotion, 2]; asked: [2].
    """
    centred = units - units.mean(0)
    penalty = ridge * float((centred**2).sum(1).mean())
    # read-out [2, d_model], in its dual form, since there are fewer emotions than dimensions
    gram = centred @ centred.T
    readout = np.linalg.solve(gram + penalty * np.eye(len(units)), ratings).T @ centred
    # axes [2, d_model] = mixing [2, emotion] @ centred
    mixing = np.linalg.solve(ratings.T @ ratings + ridge * np.eye(2), ratings.T)
    seen = readout @ (mixing @ centred).T
    if np.linalg.cond(seen) > 1e8:
        raise EmotionInterpError("the directions do not tell valence from arousal at this layer; try another one.")
    weights = np.linalg.solve(seen, asked) @ mixing
    return weights - weights.mean(), centred @ readout.T
