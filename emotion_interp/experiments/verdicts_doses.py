"""The dose of a steering verdict, chosen once for all emotions on prompts that no verdict is on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.frames import rows_where
from emotion_interp.core.result import Result
from emotion_interp.core.types import Site
from emotion_interp.experiments.setting import Setting, simple_call
from emotion_interp.experiments.verdicts_aim import SIMPLE, Aim, Steered, aim, checked_length, steer_all
from emotion_interp.experiments.verdicts_nulls import shared_nulls
from emotion_interp.experiments.verdicts_texts import mean_answers, written
from emotion_interp.figures.dots import dot_rows
from emotion_interp.judges.coherence import STABLE_DISTINCT2, STABLE_PERPLEXITY

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

LEAST_NULL = 10
"""Null directions of which a spread is taken."""

MOST_COUNTED = 4.0
"""Standard deviations of which no more are counted, so that a few emotions do not choose for all."""


@dataclass(frozen=True, eq=False)
class VerdictDoses(Result):
    """What each dose does.

    Attributes:
        frame: dose, gain (standard deviations, mean over the emotions, 0 where the text is not intact), gain_all (all texts), intact (share of
            the emotions), perplexity_ratio, distinct_2 (medians), chosen.
        emotions: dose, emotion, gain, perplexity_ratio, distinct_2, intact.
    """

    COLUMNS: ClassVar[Sequence[str]] = (
        "dose",
        "gain",
        "gain_all",
        "intact",
        "perplexity_ratio",
        "distinct_2",
        "chosen",
    )

    frame: pd.DataFrame
    emotions: pd.DataFrame

    @property
    def dose(self) -> float:
        """The chosen dose."""
        rows = rows_where(self.frame, self.frame["chosen"])
        return float(rows["dose"].iloc[0])

    def plot(self) -> go.Figure:
        """The gain of each dose, on intact texts and on all."""
        labels = [
            f"dose {dose:g}{' (chosen)' if chosen else ''}"
            for dose, chosen in zip(self.frame["dose"], self.frame["chosen"])
        ]
        shown = self.frame.assign(name=labels).melt("name", ["gain", "gain_all"], "series", "value")
        shown["series"] = shown["series"].map({"gain": "0 where the text breaks", "gain_all": "all texts"})
        how = "Each dot: how far the judges hear the emotion rise, mean over the emotions."
        return dot_rows(shown, title="What each dose does", x_title="gain (standard deviations)", how_to_read=how)


@simple_call("prompts", "doses", "judges", "emotions", "layer", "method", **SIMPLE)
@checked
def verdict_doses(
    setting: Setting,
    doses: Sequence[float],
    emotions: Sequence[str] | None = None,
    layer: int | Site | str | None = None,
    method: str = "dense",
    *,
    folder: str | Path | None = None,
    n_null: int = 0,
) -> VerdictDoses:
    """Try doses on prompts that no verdict is on, and take the one with the largest gain on intact text.

    The gain of an emotion under a judge: its mean judged probability under its own direction minus that under the other
    emotions' directions (unsteered text, where it is the only one), in standard deviations over unsteered texts. Mean over
    judges that know it, then over emotions that all judges know; one whose text is not intact adds 0.

    With `n_null` the gain is what a verdict will ask for: the emotion's mean probability above that under isotropic directions of
    the same length, in standard deviations over these, by the judge that hears it least; beyond 4 no more is counted. So
    layers and kinds of direction can be compared, too, by the gain of their best dose.

    Args:
        setting: as for `steering_verdicts`, with other prompts.
        doses: above 0.
        emotions: default: all of the bank.
        layer: a layer or site; default: the bank's middle layer.
        method: of the bank's directions.
        folder: where texts are kept.
        n_null: isotropic directions that each dose is compared with, 0 or at least 10.

    Raises:
        EmotionInterpError: no doses, fewer than 10 null directions, or as `steering_verdicts`.

    Example:
        >>> prompts = NEUTRAL_PROMPTS["en"].tune[:8]  # doctest: +SKIP
        >>> verdict_doses(subject, bank, prompts, [0.3, 0.6, 1.0], judges, layer=9).dose  # doctest: +SKIP
    """
    import pandas as pd

    amounts = list(dict.fromkeys(float(d) for d in doses))
    if not amounts:
        raise EmotionInterpError("doses is a list of at least one number above 0, got none.")
    if n_null != 0 and n_null < LEAST_NULL:
        raise EmotionInterpError(f"n_null is 0 or a number of directions from {LEAST_NULL}, got {n_null!r}.")
    asked = aim(setting, emotions, layer, method)
    lengths = [checked_length(setting, asked.site, dose) for dose in amounts]
    units = (
        shared_nulls(setting, asked.site, int(n_null), ["isotropic"], None, folder)["isotropic"].units
        if n_null
        else None
    )
    records = []
    for dose, length in zip(amounts, lengths, strict=True):
        steered, chance = steer_all(asked, length, folder), None
        if units is not None:
            made = written(asked.question, asked.site, units, length, "isotropic", folder)
            chance = mean_answers(asked.judges, made, folder)
        records += [{"dose": dose, **record} for record in _gains(asked, steered, chance)]
    each = pd.DataFrame(records)
    finite = each[each["gain"].notna()]
    if finite.empty:
        raise EmotionInterpError("no emotion with a direction is known to a judge, so no dose can be chosen.")
    rows = []
    for dose, part in finite.groupby("dose", sort=False):
        row = {"dose": dose, "gain": float(part["gain"].where(part["intact"], 0.0).mean())}
        row |= {"gain_all": float(part["gain"].mean()), "intact": float(part["intact"].mean())}
        row |= {c: float(part[c].median()) for c in ("perplexity_ratio", "distinct_2")}
        rows.append(row)
    frame = pd.DataFrame(rows)
    best = int(frame["gain"].to_numpy(dtype=float).argmax())
    return VerdictDoses(frame.assign(chosen=np.arange(len(frame)) == best), each)


def _gains(asked: Aim, steered: Steered, chance: Mapping[str, np.ndarray] | None) -> list[dict[str, object]]:
    """Of each emotion; chance: judge -> mean probabilities under null directions [direction, emotion of the judge]."""
    has_direction = np.asarray([direction is not None for direction in asked.directions])
    known = [len(asked.knowing(e)) == len(asked.judges) for e in asked.emotions]
    low, high = STABLE_PERPLEXITY
    result = []
    for i, emotion in enumerate(asked.emotions):
        gains = []
        # where no emotion is known to all judges, those that know it count
        for judge in asked.knowing(emotion) if has_direction[i] and (known[i] or not any(known)) else ():
            e = list(asked.judges[judge].emotions).index(emotion)
            if chance is None:
                others = steered.own[judge][has_direction & (np.arange(len(has_direction)) != i), e]
                base = steered.base[judge][:, e]
                start, spread = (others if len(others) else base).mean(), base.std()
            else:
                start, spread = chance[judge][:, e].mean(), chance[judge][:, e].std(ddof=1)
            gains.append((float(steered.own[judge][i, e]) - float(start)) / max(float(spread), 1e-6))
        direction = steered.quality[i]
        intact = low <= direction["perplexity_ratio"] <= high and direction["distinct_2"] >= STABLE_DISTINCT2
        result.append(
            {"emotion": emotion, "gain": _together(gains, chance is not None)}
            | {c: direction[c] for c in ("perplexity_ratio", "distinct_2")}
            | {"intact": bool(intact)}
        )
    return result


def _together(gains: Sequence[float], by_least: bool) -> float:
    """Of all judges: their mean, or that of the one that hears least, by which a verdict goes; NaN where none knows it."""
    if not gains:
        return float("nan")
    return min(*gains, MOST_COUNTED) if by_least else float(np.mean(gains))
