"""Layer and dose chosen on some prompts, reported on others: the honest steering test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Unpack

import numpy as np
import pandas as pd

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.options import merged
from emotion_interp.core.result import Result
from emotion_interp.core.types import Site
from emotion_interp.experiments.corrections import checked_correction, max_t_over, warn_if_none_can_pass
from emotion_interp.experiments.dose_response import DoseChoices, DoseOptions, DoseResponse, dose_response
from emotion_interp.experiments.grid import Evaluated, evaluate, make_cells
from emotion_interp.experiments.question import ask, check_kinds, make_nulls
from emotion_interp.experiments.setting import Setting, simple_call
from emotion_interp.figures.simple import interval_rows
from emotion_interp.judges.coherence import is_coherent
from emotion_interp.stats.corrections import holm

if TYPE_CHECKING:
    import plotly.graph_objects as go


DOSES, METHODS = (0.1, 0.2, 0.35, 0.5, 0.75), ("dense", "sae")
"""What is tried unless told otherwise."""


@dataclass(frozen=True, eq=False, repr=False)
class SteeringTest(Result):
    """A steering test.

    Attributes:
        table: one row per emotion and method, on the test prompts at the layer and dose fixed on the tuning prompts.
        tuning: the whole grid on the tuning prompts.
        confusion: what each direction does to every emotion on the test prompts.
        texts: steered and unsteered continuations of the test prompts.
        nulls: emotion, method, judge, kind, target: the judged probability under each random direction, of which p is made.
    """

    table: pd.DataFrame
    tuning: pd.DataFrame
    confusion: pd.DataFrame
    texts: pd.DataFrame
    nulls: pd.DataFrame

    ROWS = "table"

    def plot(self) -> go.Figure:
        """How far the judged probability of every emotion moved on the test prompts, with its interval."""
        names = {"shift": "value", "shift_lo": "lo", "shift_hi": "hi", "emotion": "name", "method": "series"}
        rows = self.table.drop(columns=["lo", "hi"]).rename(columns=names)
        return interval_rows(rows, title="Steering test", x_title="shift of the judged probability")


def best_site(tuning: pd.DataFrame | DoseResponse, margin: float = 1.0) -> pd.DataFrame:
    """For each emotion and method the layer and dose furthest beyond random directions among those that keep the text intact.

    Furthest is the largest z (standard deviations of random directions of the same norm), or the largest shift where
    the grid has no random directions.

    Text is intact with a perplexity ratio in [0.5, 2] and distinct-2 at least .8 of the unsteered text. Where the grid
    wrote no text, all cells count; where no cell is intact, the smallest dose is taken and `intact` says no.

    Args:
        tuning: a dose-response grid on prompts that are not reported on.
        margin: share of the limits that counts as intact here: at .9 perplexity ratios in [0.56, 1.8] and distinct-2 at
            least .89, so that what is chosen at the edge does not fall over it on other prompts.

    Raises:
        EmotionInterpError: a margin that is not above 0 and at most 1.

    Returns:
        columns emotion, method, layer, site, dose, tune_shift, tune_z, intact; an emotion that could not be judged is left out.
    """
    if not 0 < margin <= 1:
        raise EmotionInterpError(f"margin is a share of the limits, above 0 and at most 1; got {margin!r}.")
    frame = tuning.table if isinstance(tuning, DoseResponse) else tuning
    if "z" not in frame:
        frame = frame.assign(z=np.nan)
    chosen = []
    for (emotion, method), cells in frame[frame["shift"].notna()].groupby(["emotion", "method"], sort=False):
        wrote = bool(cells["perplexity_ratio"].notna().any())
        ratios = zip(cells["perplexity_ratio"], cells["distinct2_ratio"], strict=True)
        intact = (
            np.asarray([is_coherent(p, d, margin) for p, d in ratios]) if wrote else np.ones(len(cells), dtype=bool)
        )
        pool = cells[intact] if intact.any() else cells[cells["dose"].abs() == cells["dose"].abs().min()]
        best = pool.loc[pool["z" if pool["z"].notna().any() else "shift"].idxmax()]
        chosen.append(
            {
                "emotion": emotion,
                "method": method,
                "layer": int(best["layer"]),
                "site": best.get("site"),
                "dose": float(best["dose"]),
                "tune_shift": float(best["shift"]),
                "tune_z": float(best["z"]),
                "intact": bool(intact.any()) if wrote else None,
            }
        )
    columns = ["emotion", "method", "layer", "site", "dose", "tune_shift", "tune_z", "intact"]
    return pd.DataFrame(chosen, columns=columns)


@dataclass(frozen=True, kw_only=True)
class SteeringTestOptions(DoseOptions):
    """How a steering test chooses, and what its p-values are.

    Attributes:
        margin: of `best_site`.
        tuning: the grid on `tune_prompts`, where a run before has made it (`SteeringTest.tuning`); of it the rows with
            these emotions, layers, doses and methods are used.
        tune_random: random directions at each site and dose of that grid, for tune_z; they are isotropic. A text judge's
            rare emotions have heavy tails; 100 give a steadier choice there.
        correction: "holm", or "maxT" beside it: step-down max-T over the emotions (`max_t`), which passes with fewer random
            directions where the shifts are large.
    """

    margin: float = 1.0
    tuning: DoseResponse | pd.DataFrame | None = None
    tune_random: int = 24
    correction: str = "holm"


class SteeringTestChoices(DoseChoices, total=False):
    """`SteeringTestOptions` by keyword."""

    margin: float
    tuning: DoseResponse | pd.DataFrame | None
    tune_random: int
    correction: str


@simple_call(
    *("emotions", "tune_prompts", "test_prompts", "layers", "doses", "methods"), renamed={"prompts": "test_prompts"}
)
@checked
def steering_test(
    setting: Setting,
    emotions: Sequence[str],
    tune_prompts: Sequence[str],
    layers: Sequence[int | Site | str] | None = None,
    doses: Sequence[float] = DOSES,
    methods: Sequence[str] = METHODS,
    *,
    options: SteeringTestOptions | None = None,
    **choices: Unpack[SteeringTestChoices],
) -> SteeringTest:
    """Choose layer and dose of every emotion and method on `tune_prompts`; report on the setting's prompts.

    Also `steering_test(subject, bank, emotions, tune_prompts, test_prompts, ...)` with every field of a `Setting`, and
    options of `decode`, by keyword.

    Args:
        setting: subject, bank, the prompts that are reported on, judge and the rest.
        emotions: as in `dose_response`.
        tune_prompts: prompts for choosing; none of them may be among the setting's.
        layers: what is tried; layers may be sites or hook names.
        doses: what is tried; layers may be sites or hook names.
        methods: what is tried; layers may be sites or hook names.
        options: how it chooses, and which random directions count; or its fields by keyword.
        **choices: fields of `SteeringTestOptions`, by keyword.

    Returns:
        `.to_frame()`: one row per emotion and method with the columns of `dose_response`, tune_shift, tune_z, intact (on the
        tuning prompts), p_holm over all emotions of one method, chosen: the emotion's method with the largest
        tune_z among those that kept the text intact on the tuning prompts (among all, if none did), and p_holm_chosen
        over the emotions' chosen rows; with "maxT" also p_maxT and p_maxT_chosen, the largest over kinds and judges.

    Warns:
        UserWarning: so few random directions that Holm over the emotions cannot be below alpha.

    Raises:
        EmotionInterpError: prompts on both sides, nothing that can be judged, or a `tuning` that lacks what is asked for.
        UnknownNameError: another correction or kind.

    Example:
        >>> steering_test(subject, bank, ["joy"], *NEUTRAL_PROMPTS["en"]).to_frame()  # doctest: +SKIP
    """
    chosen = merged(SteeringTestOptions, options, choices)
    shared = sorted(set(tune_prompts) & set(setting.prompts))
    if shared:
        raise EmotionInterpError(f"a prompt is both for choosing and for reporting: {shared[0]!r}; keep them apart.")
    checked_correction(chosen.correction, chosen.n_random)
    check_kinds(chosen)
    tuning = chosen.tuning
    if tuning is None:
        few = DoseOptions(n_random=chosen.tune_random, null_folder=chosen.null_folder, alpha=None)
        trial = replace(setting, prompts=tune_prompts)
        tuning = dose_response(trial, emotions, doses, layers, list(methods), options=few)
    grid = _asked(tuning, emotions, layers, doses, methods)
    best = best_site(grid, chosen.margin)
    if best.empty:
        raise EmotionInterpError("no emotion could be judged on the tuning prompts; give other words or another judge.")
    question = ask(setting, emotions)
    if chosen.correction == "holm":
        warn_if_none_can_pass(chosen.n_random, len(set(best["emotion"])), chosen.alpha)
    cells = []
    by_layer = layers is None or all(isinstance(place, (int, np.integer)) for place in layers)
    for c in best.to_dict("records"):
        place = c["layer"] if by_layer else c["site"]
        cells += make_cells(setting.bank, [c["emotion"]], [place], [c["method"]], [c["dose"]], setting.language)
    nulls = make_nulls(setting, chosen, [c.direction.site for c in cells if c.direction])
    evaluated = evaluate(replace(question, nulls=nulls), cells, setting.bank.scales)
    table = _corrected(_with_choice(evaluated.table, grid, best), evaluated, chosen.correction, setting.seed)
    return SteeringTest(table, grid, evaluated.confusion, evaluated.texts, _null_frame(evaluated))


def _with_choice(table: pd.DataFrame, grid: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """The evaluated cells with what chose them, and an empty row for every emotion and method that nothing chose."""
    keys = ["emotion", "method"]
    table = table.merge(best[[*keys, "tune_shift", "tune_z", "intact"]], on=keys, how="left")
    missing = grid.drop_duplicates(keys)[[*keys, "note"]].merge(best[keys], how="left", indicator=True)
    missing = missing[missing["_merge"] == "left_only"].drop(columns="_merge")
    if len(missing):
        table = pd.concat([table, missing.reindex(columns=table.columns)], ignore_index=True)
    table["layer"] = table["layer"].astype("Int64")
    return table


def _corrected(table: pd.DataFrame, found: Evaluated, correction: str, seed: int) -> pd.DataFrame:
    """p over the emotions of one method, and over the emotions' chosen rows."""
    for method in table["method"].unique():
        rows = (table["method"] == method).to_numpy()
        table.loc[rows, "p_holm"] = holm(table.loc[rows, "p"].to_numpy(dtype=float))
    # one method for each emotion, fixed on the tuning prompts as well; one that broke the text there only if all did
    rank = table["tune_z"].where(table["tune_z"].notna(), table["tune_shift"])
    broken = table["intact"].eq(False)
    whole = (~broken & rank.notna()).groupby(table["emotion"]).transform("any")
    first = rank.mask(broken & whole).dropna().groupby(table["emotion"]).idxmax()
    table["chosen"] = table.index.isin(list(first))
    table["p_holm_chosen"] = holm(table["p"].where(table["chosen"]).to_numpy(dtype=float))
    if correction == "maxT":
        groups = {"p_maxT": table["method"], "p_maxT_chosen": table["chosen"].where(table["chosen"])}
        for name, members in groups.items():
            table[name] = _max_t_by(table, members, found, seed)
    return table


def _max_t_by(table: pd.DataFrame, groups: pd.Series, found: Evaluated, seed: int) -> np.ndarray:
    """max-T over the emotions of each group; the first rows of the table are the evaluated cells."""
    result = np.full(len(table), np.nan)
    for places in table.iloc[: len(found.nulls)].groupby(groups.iloc[: len(found.nulls)]).indices.values():
        rows = [table.iloc[i] for i in places]
        targets = [
            {judge: float(row[f"target_{judge}"] if judge else row["target"]) for judge, _ in found.nulls[i]}
            for i, row in zip(places, rows, strict=True)
        ]
        known = [{k: v for k, v in found.nulls[i].items() if len(v)} for i in places]
        result[places] = max_t_over(targets, known, seed)
    return result


def _null_frame(found: Evaluated) -> pd.DataFrame:
    columns = ["emotion", "method", "judge", "kind", "target"]
    parts = [
        pd.DataFrame({"emotion": e, "method": m, "judge": judge, "kind": kind, "target": values}, columns=columns)
        for e, m, null in zip(found.table["emotion"], found.table["method"], found.nulls, strict=True)
        for (judge, kind), values in null.items()
        if len(values)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _asked(
    tuning: object,
    emotions: Sequence[str],
    layers: Sequence[object] | None,
    doses: Sequence[float],
    methods: Sequence[str],
) -> pd.DataFrame:
    """Those rows of a tuning grid that a test asks for."""
    frame = tuning.table if isinstance(tuning, DoseResponse) else tuning
    chosen = frame[frame["emotion"].isin(emotions) & frame["method"].isin(methods)]
    same = np.isclose(chosen["dose"].to_numpy(float)[:, None], np.asarray(doses, dtype=float))
    chosen = chosen[same.any(1)]
    asked: dict[str, tuple[object, object]] = {
        "emotion": (emotions, chosen["emotion"]),
        "method": (methods, chosen["method"]),
    }
    asked["dose"] = ([d for d, present in zip(doses, same.any(0), strict=True) if not present], ())
    if layers is not None:
        # a hook may have several names, and the grid has one
        named = [Site.parse(x) if isinstance(x, str) else x for x in layers]
        places = {int(x) if isinstance(x, (int, np.integer)) else str(x) for x in named}
        chosen = chosen[chosen["layer"].isin(places) | chosen["site"].isin(places)]
        asked["layer"] = (places, {*chosen["layer"], *chosen["site"]})
    for what, (wanted, present) in asked.items():
        lacking = [x for x in wanted if x not in set(present)]
        if lacking:
            raise EmotionInterpError(
                f"the tuning grid has no {what} {lacking[0]!r}; make it with all that is asked for."
            )
    return chosen.reset_index(drop=True)
