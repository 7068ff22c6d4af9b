"""Layer and dose chosen on some prompts, reported on others: the honest steering test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.markup import frame_html
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.experiments.corrections import checked_correction, max_t_over, warn_if_none_can_pass
from emotion_interp.experiments.dose_response import DoseResponse, dose_response
from emotion_interp.experiments.grid import Evaluated, evaluate, make_cells
from emotion_interp.experiments.setting import check_kinds, make_nulls, make_setting
from emotion_interp.judges.coherence import is_coherent
from emotion_interp.judges.judging import TextJudge
from emotion_interp.stats.corrections import holm

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.directions.null_directions import NullTexts
    from emotion_interp.subjects.subject import Subject


@dataclass(frozen=True, eq=False)
class SteeringTest:
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

    def to_frame(self) -> pd.DataFrame:
        """The table, a copy."""
        return self.table.copy()

    def _repr_html_(self) -> str:
        return frame_html(self.table)


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
    import pandas as pd

    if not 0 < margin <= 1:
        raise EmotionInterpError(f"margin is a share of the limits, above 0 and at most 1; got {margin!r}.")
    frame: Any = tuning.table if isinstance(tuning, DoseResponse) else tuning
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


@checked
def steering_test(
    subject: Subject,
    bank: Any,
    emotions: Sequence[str],
    tune_prompts: Sequence[str],
    test_prompts: Sequence[str],
    layers: Sequence[int | Site | str] | None = None,
    doses: Sequence[float] = (0.1, 0.2, 0.35, 0.5, 0.75),
    methods: Sequence[str] = ("dense", "sae"),
    n_random: int = 199,
    seed: int = 0,
    language: str = "en",
    judge: TextJudge | Mapping[str, TextJudge] | None = None,
    words: Mapping[str, Sequence[str]] | None = None,
    max_new_tokens: int = 20,
    samples: int = 1,
    text_language: str | None = None,
    null_folder: str | Path | None = None,
    margin: float = 1.0,
    tuning: DoseResponse | pd.DataFrame | None = None,
    tune_random: int = 24,
    kinds: Sequence[str] = ("isotropic",),
    stimuli: NullTexts | Sequence[Stimulus] | None = None,
    correction: str = "holm",
    alpha: float | None = 0.05,
    **options: Any,
) -> SteeringTest:
    """Choose layer and dose of every emotion and method on `tune_prompts`; report on `test_prompts`.

    Args:
        subject, bank, emotions, language, judge, words, samples, text_language, null_folder, options: as in
            `dose_response`.
        tune_prompts: prompts for choosing; none of them may be among the test prompts.
        test_prompts: prompts for reporting.
        layers, doses, methods: what is tried; layers may be sites or hook names.
        n_random: random directions of each kind at the chosen site and dose; the smallest p is 1 / (n_random + 1), so Holm
            over 28 emotions needs 560.
        seed: of everything random.
        max_new_tokens: length of the texts that decide whether a cell is intact; 0 for none.
        margin: of `best_site`.
        tuning: the grid on `tune_prompts`, where a run before has made it (`SteeringTest.tuning`); of it the rows with
            these emotions, layers, doses and methods are used.
        tune_random: random directions at each site and dose of that grid, for tune_z. A text judge's rare emotions have
            heavy tails; 100 give a steadier choice there.
        kinds, stimuli: of random directions, as in `dose_response`; while choosing they are isotropic.
        correction: "holm", or "maxT" beside it: step-down max-T over the emotions (`max_t`), which passes with fewer random
            directions where the shifts are large.
        alpha: as in `dose_response`, for Holm.

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
    import pandas as pd

    shared = sorted(set(tune_prompts) & set(test_prompts))
    if shared:
        raise EmotionInterpError(f"a prompt is both for choosing and for reporting: {shared[0]!r}; keep them apart.")
    checked_correction(correction, n_random)
    check_kinds(n_random, kinds, stimuli)
    common: dict[str, Any] = {"words": words, "judge": judge, "max_new_tokens": max_new_tokens, "seed": seed, **options}
    common |= {"samples": samples, "text_language": text_language, "null_folder": null_folder}
    if tuning is None:
        tuning = dose_response(
            subject,
            bank,
            emotions,
            doses,
            tune_prompts,
            layers,
            list(methods),
            language,
            n_random=tune_random,
            alpha=None,
            **common,
        )
    grid = _asked(tuning, emotions, layers, doses, methods)
    choices = best_site(grid, margin)
    if choices.empty:
        raise EmotionInterpError("no emotion could be judged on the tuning prompts; give other words or another judge.")
    positions = options.pop("positions", "from_last_prompt_token")
    spoken = text_language or language
    setting = make_setting(
        subject, bank, emotions, test_prompts, spoken, judge, words, max_new_tokens, positions, seed, options, samples
    )
    if correction == "holm":
        warn_if_none_can_pass(n_random, len(set(choices["emotion"])), alpha)
    cells = []
    by_layer = layers is None or all(isinstance(place, (int, np.integer)) for place in layers)
    for c in choices.to_dict("records"):
        place = c["layer"] if by_layer else c["site"]
        cells += make_cells(bank, [c["emotion"]], [place], [c["method"]], [c["dose"]], language)
    nulls = make_nulls(subject, bank, n_random, kinds, stimuli, [c.direction.site for c in cells if c.direction])
    found = evaluate(replace(setting, null_folder=null_folder, nulls=nulls), cells, bank.scales)
    table = found.table.merge(
        choices[["emotion", "method", "tune_shift", "tune_z", "intact"]], on=["emotion", "method"], how="left"
    )
    missing: Any = grid.drop_duplicates(["emotion", "method"])[["emotion", "method", "note"]]
    missing = missing.merge(choices[["emotion", "method"]], how="left", indicator=True)
    missing = missing[missing["_merge"] == "left_only"].drop(columns="_merge")
    if len(missing):
        table = pd.concat([table, missing.reindex(columns=table.columns)], ignore_index=True)
    table["layer"] = table["layer"].astype("Int64")
    for method in table["method"].unique():
        rows = (table["method"] == method).to_numpy()
        table.loc[rows, "p_holm"] = holm(table.loc[rows, "p"].to_numpy(dtype=float))
    # one method for each emotion, fixed on the tuning prompts as well; one that broke the text there only if all did
    rank = table["tune_z"].where(table["tune_z"].notna(), table["tune_shift"])
    broken = table["intact"].eq(False)
    whole = (~broken & rank.notna()).groupby(table["emotion"]).transform("any")
    best: Any = rank.mask(broken & whole).dropna().groupby(table["emotion"]).idxmax()
    table["chosen"] = table.index.isin(list(best))
    table["p_holm_chosen"] = holm(table["p"].where(table["chosen"]).to_numpy(dtype=float))
    if correction == "maxT":
        for name, groups in {
            "p_maxT": table["method"],
            "p_maxT_chosen": table["chosen"].where(table["chosen"]),
        }.items():
            table[name] = _max_t_by(table, groups, found, seed)
    return SteeringTest(table, grid, found.confusion, found.texts, _null_frame(found))


def _max_t_by(table: Any, groups: Any, found: Evaluated, seed: int) -> np.ndarray:
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
    import pandas as pd

    columns = ["emotion", "method", "judge", "kind", "target"]
    parts = [
        pd.DataFrame({"emotion": e, "method": m, "judge": judge, "kind": kind, "target": values}, columns=columns)
        for e, m, one in zip(found.table["emotion"], found.table["method"], found.nulls, strict=True)
        for (judge, kind), values in one.items()
        if len(values)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _asked(
    tuning: Any, emotions: Sequence[str], layers: Sequence[Any] | None, doses: Sequence[float], methods: Sequence[str]
) -> pd.DataFrame:
    """Those rows of a tuning grid that a test asks for."""
    frame: Any = tuning.table if isinstance(tuning, DoseResponse) else tuning
    kept = frame[frame["emotion"].isin(emotions) & frame["method"].isin(methods)]
    same: Any = np.isclose(kept["dose"].to_numpy(float)[:, None], np.asarray(doses, dtype=float))
    kept = kept[same.any(1)]
    asked: dict[str, tuple[Any, Any]] = {"emotion": (emotions, kept["emotion"]), "method": (methods, kept["method"])}
    asked["dose"] = ([d for d, there in zip(doses, same.any(0), strict=True) if not there], ())
    if layers is not None:
        # a hook may have several names, and the grid has one
        named = [Site.parse(x) if isinstance(x, str) else x for x in layers]
        places = {int(x) if isinstance(x, (int, np.integer)) else str(x) for x in named}
        kept = kept[kept["layer"].isin(places) | kept["site"].isin(places)]
        asked["layer"] = (places, {*kept["layer"], *kept["site"]})
    for what, (wanted, there) in asked.items():
        lacking = [x for x in wanted if x not in set(there)]
        if lacking:
            raise EmotionInterpError(
                f"the tuning grid has no {what} {lacking[0]!r}; make it with all that is asked for."
            )
    return kept.reset_index(drop=True)
