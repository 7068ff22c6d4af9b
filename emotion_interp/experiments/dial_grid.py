"""Does the dial do what it is asked: judged points per requested standard deviation, against dials of shuffled ratings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from emotion_interp.core.arguments import check_argument, checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.markup import summary_html
from emotion_interp.core.options import Options, merged
from emotion_interp.core.result import Result
from emotion_interp.core.types import Direction, Site
from emotion_interp.directions.dial import DialOptions, dial
from emotion_interp.experiments.dial_slopes import against_shuffled, figures, shuffled_ratings
from emotion_interp.experiments.dial_texts import (
    fluency,
    judged_values,
    r_over_intact,
    text_frame,
    texts_of_cells,
)
from emotion_interp.experiments.setting import Setting, simple_call
from emotion_interp.figures import interval_rows
from emotion_interp.judges.judging import CoordinateJudge
from emotion_interp.judges.text_judges import load_judge
from emotion_interp.steering.interventions import check_dose
from emotion_interp.steering.interventions import row_interventions as prepared

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank

STEPS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Requested coordinates: standard deviations over the bank's emotions."""


@dataclass(frozen=True, eq=False, repr=False)
class DialGrid(Result):
    """A grid of requested coordinates and what came of them.

    Attributes:
        table: one row per cell: valence, arousal (requested), judged_valence, judged_arousal (mean over texts),
            perplexity_ratio, distinct2_ratio, intact, n_texts.
        fit: one row: layer, site, dose, method; slope_valence, slope_arousal (judged points per requested standard deviation)
            with lo and hi (95% percentile bootstrap over prompts); n_null, slope_*_null_lo and _hi (95% of dials of shuffled
            ratings), p_valence, p_arousal (share of those dials whose slope is at least as large, (1 + b) / (n_null + 1));
            r_valence, r_arousal over the cells, valence_lo and so on, r_*_null (median |r| of shuffled dials: any two
            directions give a plane in which r is far from 0, so r says less than it seems); cross_valence (r of requested
            arousal with judged valence), cross_arousal; share_intact (of the cells), r_valence_intact and r_arousal_intact
            (over those alone), n_cells, n_prompts, n_samples, max_new_tokens.
        texts: valence, arousal, prompt, sample, text (what was written after the prompt), judged_valence, judged_arousal.
    """

    table: pd.DataFrame
    fit: pd.DataFrame
    texts: pd.DataFrame

    ROWS = "fit"

    def plot(self) -> go.Figure:
        """Judged points per requested standard deviation, with the interval over prompts."""
        row: Any = self.fit.iloc[0]
        rows = []
        for name in ("valence", "arousal"):
            low, high = row[f"slope_{name}_lo"], row[f"slope_{name}_hi"]
            rows.append({"name": name, "series": "dial", "value": row[f"slope_{name}"], "lo": low, "hi": high})
        return interval_rows(pd.DataFrame(rows), title="What the dial moves", x_title="judged points per requested SD")

    def _repr_html_(self) -> str:
        return summary_html(self, self.view(), self.table, digits=3)


@dataclass(frozen=True, kw_only=True)
class DialGridOptions(Options):
    """Which coordinates are asked for, and against how many dials of shuffled ratings.

    Attributes:
        valences: requested, in standard deviations over the bank's emotions.
        arousals: requested, in standard deviations over the bank's emotions.
        norms: of the dial.
        n_null: dials of shuffled ratings, each a whole grid: the emotions have each other's ratings. 0: no p.
        null_samples: texts for each prompt and cell under those; p compares them with as many of the dial's own.
    """

    valences: Sequence[float] = STEPS
    arousals: Sequence[float] = STEPS
    norms: object = "builtin"
    n_null: int = 99
    null_samples: int = 1


class DialGridChoices(TypedDict, total=False):
    """`DialGridOptions` by keyword."""

    valences: Sequence[float]
    arousals: Sequence[float]
    norms: object
    n_null: int
    null_samples: int


_SIMPLE: dict[str, Any] = {
    "takes": ("judge", "language", "text_language", "positions", "max_new_tokens", "samples", "seed"),
    "judge": "CoordinateJudge | None",
    "generation": {"do_sample": True},
    "max_new_tokens": 40,
    "samples": 4,
}
"""How the dial is called without a setting."""


@simple_call("prompts", "judge", "layer", "dose", renamed={"samples": "n_samples"}, **_SIMPLE)
@checked
def dial_grid(
    setting: Setting,
    layer: int | Site | str | None = None,
    dose: float = 0.25,
    method: str = "dense",
    *,
    options: DialGridOptions | None = None,
    **choices: Unpack[DialGridChoices],
) -> DialGrid:
    """Steer to every pair of coordinates, sample texts, and regress what the judge reads on what was asked.

    A cell is steered by `dose * radius` site scales along `dial(...)`'s unit direction, radius being the distance of
    the coordinates from (0, 0), which is unsteered text. The judge reads the continuation alone. A prompt's sample draws
    the same random numbers in every cell.

    Also `dial_grid(subject, bank, prompts, ...)` with the fields of a `Setting` by keyword; then `n_samples` (of a
    setting: `samples`) is 4, `max_new_tokens` 40, and texts are sampled at temperature 1, unless told otherwise.

    Args:
        setting: subject, bank as for `dial`, prompts (other ones than those on which layer and dose were chosen,
            `dial_test`) and the rest; default of its judge here: `load_judge("emobank_comments")`, which has read no story.
        layer: a layer or site; default: the middle of the bank's layers.
        dose: of one standard deviation, in units of the site's scale.
        method: of the dial.
        options: which coordinates and null dials; or its fields by keyword.
        **choices: fields of `DialGridOptions`, by keyword.

    Raises:
        EmotionInterpError: no prompts, fewer than two values on either side, or a judge that answers in another shape.

    Example:
        >>> dial_grid(subject, bank, NEUTRAL_PROMPTS["en"].test, layer=2).to_frame()  # doctest: +SKIP
    """
    chosen, bank, subject = merged(DialGridOptions, options, choices), setting.bank, setting.subject
    judge, amount = _checked(setting, chosen), check_dose(dose)
    place = list(bank.layers)[len(bank.layers) // 2] if layer is None else layer
    cells = list(product(chosen.valences, chosen.arousals))
    aim = _Aim(bank, cells, place, setting.language, method)
    directions = aim.directions(chosen.norms)
    doses = [0.0 if d is None else amount * float(d.provenance["radius"]) for d in directions]
    # the unsteered row comes last, and is the baseline of fluency
    scales = getattr(bank, "scales", None)
    tokens, texts = texts_of_cells(setting, prepared(subject, [*directions, None], [*doses, 0.0], scales))
    values = judged_values(judge, texts[:-1]).reshape(len(cells), len(setting.prompts), setting.samples, 2)
    asked = np.asarray(cells, dtype=np.float64)
    nulls, few = [], replace(setting, samples=chosen.null_samples)
    emotions = list(bank.emotions)
    for frame in shuffled_ratings(emotions, chosen.norms, None, chosen.n_null, setting.seed) if chosen.n_null else []:
        _, bare = texts_of_cells(few, prepared(subject, aim.directions(frame), doses, scales))
        nulls.append(judged_values(judge, bare).reshape(len(cells), -1, 2).mean(1))
    table = pd.DataFrame(cells, columns=["valence", "arousal"])
    table[["judged_valence", "judged_arousal"]] = values.mean((1, 2))
    table = pd.concat([table, fluency(setting, tokens)], axis=1)
    table["n_texts"] = len(setting.prompts) * setting.samples
    first = next(d for d in directions if d is not None)
    site = bank.site(place) if hasattr(bank, "site") else first.site
    fit = {"layer": first.layer, "site": str(site), "dose": amount, "method": method}
    fit |= figures(asked, values, setting.seed)
    baseline = values[:, :, : chosen.null_samples].mean((1, 2))
    fit |= against_shuffled(asked, baseline, np.asarray(nulls).reshape(len(nulls), len(cells), 2))
    fit |= {"share_intact": float(table["intact"].to_numpy().mean()), **r_over_intact(table)}
    fit |= {"n_cells": len(cells), "n_prompts": len(setting.prompts), "n_samples": setting.samples}
    fit |= {"max_new_tokens": setting.max_new_tokens}
    return DialGrid(table, pd.DataFrame([fit]), text_frame(setting, cells, texts, values))


@dataclass(frozen=True, kw_only=True)
class DialTestOptions(DialGridOptions):
    """The choices of `dial_grid`, and how layer, dose and method are chosen.

    Attributes:
        least_intact: share of a grid's cells whose text must stay intact.
        tune_samples: texts for each prompt and cell when choosing; then there are no null dials.
    """

    least_intact: float = 0.8
    tune_samples: int = 1


class DialTestChoices(DialGridChoices, total=False):
    """`DialTestOptions` by keyword."""

    least_intact: float
    tune_samples: int


@simple_call(
    *("tune_prompts", "test_prompts", "judge", "layers", "doses", "methods"),
    renamed={"prompts": "test_prompts", "samples": "n_samples"},
    **_SIMPLE,
)
@checked
def dial_test(
    setting: Setting,
    tune_prompts: Sequence[str],
    layers: Sequence[int | Site | str] | None = None,
    doses: Sequence[float] = (0.1, 0.2, 0.3),
    methods: Sequence[str] = ("dense", "dense_clean", "sae"),
    *,
    options: DialTestOptions | None = None,
    **choices: Unpack[DialTestChoices],
) -> tuple[DialGrid, pd.DataFrame]:
    """Choose layer, dose and kind of direction on `tune_prompts`; the grid on the setting's prompts.

    Chosen is the highest slope_valence + slope_arousal among grids with at least `least_intact` of their cells intact
    (perplexity ratio in [0.5, 2], distinct-2 at least .8 of unsteered text); where there is none, the one with most.

    Also `dial_test(subject, bank, tune_prompts, test_prompts, ...)`, as for `dial_grid`.

    Args:
        setting: as in `dial_grid`.
        tune_prompts: none of them may be among the setting's prompts.
        layers: default: all layers of the bank.
        doses: strengths that are tried.
        methods: kinds of direction that are tried.
        options: how it chooses, and the options of `dial_grid`; or its fields by keyword.
        **choices: fields of `DialTestOptions`, by keyword.

    Returns:
        the grid on the test prompts, and a frame with one fit for each setting on the tuning prompts (column chosen).

    Raises:
        EmotionInterpError: a prompt on both sides, or nothing to try.

    Example:
        >>> grid, tuning = dial_test(subject, bank, *NEUTRAL_PROMPTS["en"])  # doctest: +SKIP
    """
    chosen = merged(DialTestOptions, options, choices)
    shared = sorted(set(tune_prompts) & set(setting.prompts))
    if shared:
        raise EmotionInterpError(f"a prompt is both for choosing and for reporting: {shared[0]!r}; keep them apart.")
    tried = list(product(setting.bank.layers if layers is None else layers, doses, methods))
    if not tried:
        raise EmotionInterpError("dial_test needs at least one layer, one dose and one method.")
    trial = replace(setting, prompts=tune_prompts, samples=chosen.tune_samples)
    few = replace(chosen, n_null=0, null_samples=1)
    tuning = pd.concat([dial_grid(trial, *trial_place, options=few).fit for trial_place in tried], ignore_index=True)
    score = (tuning["slope_valence"] + tuning["slope_arousal"]).fillna(-np.inf)
    intact = tuning["share_intact"] >= chosen.least_intact
    if not bool(intact.any()):
        intact = tuning["share_intact"] == tuning["share_intact"].max()
    best = int(score.where(intact, -np.inf).to_numpy().argmax())
    tuning["chosen"] = np.arange(len(tuning)) == best
    return dial_grid(setting, *tried[best], options=chosen), tuning


@dataclass(frozen=True, eq=False)
class _Aim:
    """Cells of requested coordinates, and whose directions reach them."""

    bank: FeatureBank
    cells: list[tuple[float, float]]
    place: int | Site | str
    language: str
    method: str

    def directions(self, norms: Any) -> list[Direction | None]:
        """The dial's direction of each cell under some norms; None for the centre."""
        whose = DialOptions(language=self.language, method=self.method)
        return [
            dial(self.bank, v, a, self.place, norms, options=whose) if (v, a) != (0, 0) else None for v, a in self.cells
        ]


def _checked(setting: Setting, chosen: DialGridOptions) -> CoordinateJudge:
    """The judge, after everything that a grid of coordinates needs."""
    _prompts, samples, tokens = setting.some_prompts(), setting.samples, setting.max_new_tokens
    check_argument("dial_grid", "judge", setting.judge, "CoordinateJudge | None")
    if len(set(chosen.valences)) < 2 or len(set(chosen.arousals)) < 2:
        raise EmotionInterpError("a correlation needs at least two different valences and two arousals.")
    if tokens < 2:
        raise EmotionInterpError(f"each cell needs a text of two tokens at least, got max_new_tokens={tokens}.")
    if chosen.n_null < 0 or not 1 <= chosen.null_samples <= samples:
        raise EmotionInterpError(
            f"n_null is a number of dials from 0, null_samples one from 1 to n_samples={samples}; got {chosen.n_null!r} "
            f"and {chosen.null_samples!r}."
        )
    judge: Any = load_judge("emobank_comments") if setting.judge is None else setting.judge
    return judge
