"""Any measure of a sweep over models, layers and sites; the best site without double dipping; differences that are paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.result import Result
from emotion_interp.core.seeds import generator
from emotion_interp.figures import depth_curves
from emotion_interp.figures.layers import series_names
from emotion_interp.stats.intervals import bca_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLACE = ("subject", "stimuli", "position", "seed", "language", "site", "layer", "depth")
"""What tells the points of a curve apart."""
_SERIES = ("kind", "feature_set", "train_language", "test_language", "dimension", "method", "dose")
"""What else a table has several rows of at one place."""
HELD_OUT = {"auroc_heldout": "auroc", "coverage_heldout": "coverage", "held_out_specificity": "specificity"}
"""Measure of the confirmation half -> the same of the discovery half, on which a site may be chosen."""
TABLES = ("summary", "alignment", "ratings", "steering")


@dataclass(frozen=True, eq=False, repr=False)
class SweepCurve(Result):
    """One measure at every place: value with its interval lo, hi, and n (emotions behind it, 1 where the table has one value).

    Values with emotions behind them are means over emotions, their interval a bootstrap over emotions (BCa, 95%); others
    carry the interval that their analysis gave.
    """

    frame: pd.DataFrame
    measure: str

    COLUMNS = (
        "subject",
        "position",
        "seed",
        "language",
        "site",
        "depth",
        "kind",
        "feature_set",
        "value",
        "lo",
        "hi",
        "n",
    )
    SERIES = ("subject", "stimuli", "position", "language")

    def plot(self) -> go.Figure:
        """The measure over relative depth, a line for each model, language and whatever else there are several of."""
        plain = ("subject", "value", "lo", "hi", "n", "layer", "depth", "reading")
        names = ["subject", *(c for c in self.frame if c not in plain)]
        frame = self.frame.assign(**{c: self.frame[c].where(self.frame[c].notna(), "none") for c in names})
        series = series_names(frame, names, self.measure)
        return depth_curves(frame.assign(series=series), title=f"{self.measure} by depth", y_title=self.measure)

    def __repr__(self) -> str:
        return f"SweepCurve({self.measure!r}, {len(self.frame)} points)"


@dataclass(frozen=True, eq=False, repr=False)
class SweepDifference(Result):
    """First minus second over the same emotions: difference, lo, hi (paired bootstrap over emotions), p (two-sided), n."""

    frame: pd.DataFrame
    first: Mapping[str, object]
    second: Mapping[str, object]


def curve_of(table: pd.DataFrame, measure: str, n_bootstrap: int, seed: int) -> SweepCurve:
    """A measure of one table at every place, see `SweepCurve`."""
    if measure not in table or table[measure].dtype.kind not in "fiub":
        numbers = [c for c in table.columns if table[c].dtype.kind in "fiub" and c not in PLACE]
        raise UnknownNameError("measure", measure, numbers)
    keys = [c for c in (*PLACE, *_SERIES) if c in table]
    rows = []
    for place, part in table.groupby(keys, sort=False, dropna=False):
        values = part[measure].to_numpy(dtype=float)
        values = values[np.isfinite(values)]
        told = dict(zip(keys, place, strict=True))
        if "emotion" in table:
            low, high = _interval(values, n_bootstrap, seed)
            rows.append(
                told | {"value": values.mean() if len(values) else np.nan, "lo": low, "hi": high, "n": len(values)}
            )
        else:
            bounds = _bounds(table, measure)
            low, high = (float(part[c].iloc[0]) if c else np.nan for c in bounds)
            value = float(part[measure].iloc[0])
            rows.append(told | {"value": value, "lo": low, "hi": high, "n": 1})
    return SweepCurve(pd.DataFrame(rows), measure)


def _bounds(table: pd.DataFrame, measure: str) -> tuple[str, str]:
    """The columns of a measure's interval, or empty names."""
    stem = measure.removesuffix("_r").removesuffix("_rho")
    for name in (measure, stem):
        if {f"{name}_lo", f"{name}_hi"} <= set(table.columns):
            return f"{name}_lo", f"{name}_hi"
    return "", ""


def _interval(values: np.ndarray, n_bootstrap: int, seed: int) -> tuple[float, float]:
    """BCa interval of a mean over emotions."""
    if len(values) < 3:
        return float("nan"), float("nan")
    low, high = bca_interval(lambda counts: counts @ values / counts.sum(1), len(values), n_bootstrap, seed)
    return float(low), float(high)


def best_sites(summary: pd.DataFrame, measure: str, n_bootstrap: int, seed: int) -> pd.DataFrame:
    """For each subject, language, position and seed the site that is best on the discovery half, and what the confirmation
    half says of it there; the site itself is chosen on words that the reported figure never saw.

    Raises:
        UnknownNameError: a measure that is not of the confirmation half.
    """
    if measure not in HELD_OUT:
        raise UnknownNameError("held-out measure", measure, HELD_OUT)
    keys = [c for c in ("subject", "stimuli", "position", "seed", "language") if c in summary]
    rows = []
    for place, part in summary.groupby(keys, sort=False):
        means = part.groupby("site", sort=False)[HELD_OUT[measure]].mean()
        site = str(means.idxmax())
        own = part[part["site"] == site]
        values = own[measure].dropna().to_numpy(dtype=float)
        low, high = _interval(values, n_bootstrap, seed)
        told = dict(zip(keys, place, strict=True)) | {"site": site, "layer": own["layer"].iloc[0]}
        told |= {"depth": own["depth"].iloc[0], "n_sites": len(means), HELD_OUT[measure]: float(means.max())}
        rows.append(told | {measure: values.mean() if len(values) else np.nan, "lo": low, "hi": high, "n": len(values)})
    return pd.DataFrame(rows)


def difference_of(
    table: pd.DataFrame,
    measure: str,
    first: Mapping[str, object],
    second: Mapping[str, object],
    n_bootstrap: int,
    seed: int,
) -> SweepDifference:
    """A measure of one choice of rows minus that of another, paired by emotion and language; see `SweepDifference`.

    Raises:
        UnknownNameError: a column or value that is not there.
        EmotionInterpError: fewer than three emotions in common.
    """
    parts = [_per_emotion(table, measure, chosen) for chosen in (first, second)]
    both = pd.concat(parts, axis=1, join="inner", keys=["first", "second"]).dropna()
    # one emotion in two languages is one emotion: the bootstrap draws emotions
    both = both.groupby(level="emotion").mean()
    if len(both) < 3:
        raise EmotionInterpError(
            f"{len(both)} emotions are in both {dict(first)} and {dict(second)}; three are needed."
        )
    gaps = (both["first"] - both["second"]).to_numpy(dtype=float)
    low, high = _interval(gaps, n_bootstrap, seed)
    # signs turned at random: where nothing differs, first and second may be exchanged for any emotion
    signs = generator(seed, "signs", len(gaps)).choice([-1.0, 1.0], size=(n_bootstrap, len(gaps)))
    beyond = np.abs(signs @ gaps) >= abs(gaps.sum()) - 1e-12
    row = {"measure": measure, "first": both["first"].mean(), "second": both["second"].mean()}
    row |= {
        "difference": gaps.mean(),
        "lo": low,
        "hi": high,
        "p": (beyond.sum() + 1) / (n_bootstrap + 1),
        "n": len(gaps),
    }
    return SweepDifference(pd.DataFrame([row]), dict(first), dict(second))


def _per_emotion(table: pd.DataFrame, measure: str, chosen: Mapping[str, object]) -> pd.Series:
    """The measure by emotion and language, averaged over whatever the choice leaves open."""
    return pd.Series(chosen_rows(table, chosen).groupby(["emotion", "language"])[measure].mean())


def chosen_rows(table: pd.DataFrame, chosen: Mapping[str, object]) -> pd.DataFrame:
    """The rows with some values in some columns (one value, or several in a list).

    Raises:
        UnknownNameError: there is no such column or value.
    """
    rows = table
    for column, value in chosen.items():
        if column not in table:
            raise UnknownNameError("column", column, list(table.columns))
        wanted: Sequence[object] = list(value) if isinstance(value, (list, tuple, set)) else [value]
        known = table[column].unique().tolist()
        for one in wanted:
            if one not in known:
                raise UnknownNameError(column, one, known)
        rows = rows[rows[column].isin(wanted)]
    return rows
