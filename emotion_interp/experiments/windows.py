"""Where steering works and the text survives: regimes, stable windows, and how steadily the effect grows with the dose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.judges.coherence import STABLE_DISTINCT2, STABLE_PERPLEXITY

REGIMES = ("surgical", "repetitive", "explosive")
"""What a dose does to the text; see `regime`."""

LEAST_DOSES = 4
"""Doses below the first breach that a rank correlation needs."""

_GROUP = ["emotion", "layer", "site", "method"]


def regime(perplexity_ratio: float, distinct2_ratio: float) -> str | None:
    """What became of the text, whatever the effect; the names follow the field, the limits are ours.

    "repetitive": distinct-2 below .8 of the unsteered text's, or the perplexity below half of it (a loop is easily
    foretold); else "explosive": perplexity above twice the unsteered text's; else "surgical": the text is intact.

    Args:
        perplexity_ratio: under the unsteered subject, against unsteered text.
        distinct2_ratio: against unsteered text.

    Returns:
        None where nothing was written (a ratio is NaN).

    Example:
        >>> regime(1.4, 0.95), regime(0.3, 0.9), regime(0.9, 0.4), regime(7.0, 1.0)
        ('surgical', 'repetitive', 'repetitive', 'explosive')
    """
    if np.isnan(perplexity_ratio) or np.isnan(distinct2_ratio):
        return None
    low, high = STABLE_PERPLEXITY
    if distinct2_ratio < STABLE_DISTINCT2 or perplexity_ratio < low:
        return "repetitive"
    return "explosive" if perplexity_ratio > high else "surgical"


def with_regimes(table: pd.DataFrame) -> pd.DataFrame:
    """A dose-response table with the columns regime and in_window.

    in_window: the text is intact and the lower interval of (target - random directions) is above 0; None where no text
    was written or nothing was judged.
    """
    ratios = zip(table["perplexity_ratio"].astype(float), table["distinct2_ratio"].astype(float), strict=True)
    regimes = [regime(p, d) for p, d in ratios]
    lows = table["over_random_lo"].to_numpy(dtype=float)
    inside = [
        None if r is None or np.isnan(low) else bool(r == "surgical" and low > 0)
        for r, low in zip(regimes, lows, strict=True)
    ]
    result = table.copy()
    result["regime"] = np.asarray(regimes, dtype=object)
    result["in_window"] = np.asarray(inside, dtype=object)
    return result


@checked
def stable_windows(table: object) -> pd.DataFrame:
    """The stable window of each emotion, layer and kind of direction: neighbouring doses that work on intact text.

    Args:
        table: a dose-response grid (`DoseResponse` or its table), with texts written and random directions.

    Returns:
        columns emotion, layer, site, method; window_from, window_to (doses; of several runs of neighbouring doses the longest,
        then the one with the larger shift; NaN without one), n_window, n_doses; best_dose, best_shift (largest shift in
        the window); breach (smallest dose whose text is not intact; NaN for none), breach_regime.

    Raises:
        EmotionInterpError: no texts were written, or columns are missing.

    Example:
        >>> stable_windows(dose_response(subject, bank, emotions, doses, prompts, max_new_tokens=30))  # doctest: +SKIP
    """
    frame = _written(table)
    records = []
    for key, cells in frame.groupby(_GROUP, sort=False):
        doses, inside = cells["dose"].to_numpy(dtype=float), cells["in_window"].eq(True).to_numpy()
        shifts = cells["shift"].to_numpy(dtype=float)
        runs = [run for run in np.split(np.arange(len(doses)), np.flatnonzero(np.diff(inside)) + 1) if inside[run[0]]]
        run = max(runs, key=lambda r: (len(r), shifts[r].max()), default=np.zeros(0, dtype=int))
        best = run[shifts[run].argmax()] if len(run) else None
        broken = np.flatnonzero(cells["regime"].ne("surgical").to_numpy())
        records.append(
            {
                **dict(zip(_GROUP, key, strict=True)),  # type: ignore[call-overload]
                "window_from": doses[run[0]] if len(run) else np.nan,
                "window_to": doses[run[-1]] if len(run) else np.nan,
                "n_window": len(run),
                "n_doses": len(doses),
                "best_dose": np.nan if best is None else doses[best],
                "best_shift": np.nan if best is None else shifts[best],
                "breach": doses[broken[0]] if len(broken) else np.nan,
                "breach_regime": cells["regime"].iloc[broken[0]] if len(broken) else None,
            }
        )
    return pd.DataFrame(records)


@checked
def dose_monotonicity(table: object) -> pd.DataFrame:
    """Spearman of dose against target probability over all doses below the first breach.

    Args:
        table: a dose-response grid (`DoseResponse` or its table), with texts written.

    Returns:
        columns emotion, layer, site, method, n_doses (below the first dose whose text is not intact), rho (NaN with fewer than
        four doses, or a target that does not change), breach.

    Raises:
        EmotionInterpError: no texts were written, or columns are missing.

    Example:
        >>> dose_monotonicity(grid)["rho"].mean()  # doctest: +SKIP
    """
    frame = _written(table)
    records = []
    for key, cells in frame.groupby(_GROUP, sort=False):
        broken = np.flatnonzero(cells["regime"].ne("surgical").to_numpy())
        count = int(broken[0]) if len(broken) else len(cells)
        below = cells.iloc[:count]
        usable = count >= LEAST_DOSES and below["target"].nunique() > 1
        correlation: Any = spearmanr(below["dose"], below["target"]) if usable else None
        rho = float(correlation.statistic) if usable else float("nan")
        breach = float(cells["dose"].iloc[count]) if len(broken) else float("nan")
        records.append({**dict(zip(_GROUP, key, strict=True)), "n_doses": count, "rho": rho, "breach": breach})  # type: ignore[call-overload]
    return pd.DataFrame(records)


def _written(table: Any) -> pd.DataFrame:
    """Judged rows at doses above 0, by dose."""
    frame = table.to_frame() if hasattr(table, "to_frame") else table
    needed = [*_GROUP, "dose", "target", "shift", "regime", "in_window"]
    if "site" not in frame and "layer" in frame:
        # a table of before there were sites
        frame = frame.assign(site="")
    missing = [c for c in needed if c not in frame]
    if missing:
        raise EmotionInterpError(f"the table has no column {missing[0]!r}; give what dose_response returns.")
    written = frame[(frame["dose"] > 0) & frame["target"].notna()]
    # a cell whose every text ended at once has no perplexity, and says nothing of the doses around it
    written = written[written["regime"].notna()]
    if not len(written):
        raise EmotionInterpError("no text was written, so nobody knows where it breaks; give max_new_tokens.")
    return written.sort_values([*_GROUP, "dose"], kind="stable")
