"""Frames for pictures and readers: what the figures room expects, made from a bank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.bank.confirmation import has_confirmation
from emotion_interp.bank.schema import KEYS, TABLES
from emotion_interp.core.arguments import check_argument
from emotion_interp.core.errors import UnknownNameError
from emotion_interp.core.result import chosen_columns
from emotion_interp.stats.scores import composite_auroc, pairwise_auroc

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.core.types import Site


_SHORT = (
    *("layer", "site", "language", "emotion", "feature", "auroc", "specificity", "coverage", "q", "selected"),
    *("lexical", "label"),
)
GROUPS: dict[str, tuple[str, ...]] = {
    **{name: tuple(c for c in TABLES[name].columns if c not in KEYS) for name in ("controls", "outputs")},
    "scores": tuple(c for c in TABLES["features"].columns if c not in KEYS),
    "confirmation": (
        *("auroc_heldout", "lo", "hi", "shrinkage", "p_heldout", "rival", "held_out_specificity", "p_specificity"),
        *("p_confirmed", "layer_fixed", "confirmed", "confirmed_uncorrected"),
    ),
    "text": ("auroc_heldout", "text_auroc", "encoder_auroc", "dense_auroc", "dense_clean_auroc"),
}
"""Columns of a bank's table by what they say; the last two are known of top features alone."""


def grouped_columns(bank: FeatureBank, frame: pd.DataFrame, columns: str | Sequence[str]) -> pd.DataFrame:
    """A bank's table with the columns of one group beside those that name a row; "short"; or a list of columns.

    Raises:
        UnknownNameError: no such group or column.
    """
    if columns == "short":
        return chosen_columns(frame, None, _SHORT)
    names = columns
    if isinstance(columns, str):
        if columns not in GROUPS:
            raise UnknownNameError("group of columns", columns, ("all", "short", *GROUPS))
        extra = bank.extras.get(columns)
        names = [*KEYS, *(GROUPS[columns] if extra is None else [c for c in extra if c not in KEYS])]
        names = [c for c in names if c in frame or c in bank.summary]
    known = [c for c in bank.summary if c in names and c not in frame]
    if known:
        frame = frame.merge(bank.summary[[*KEYS, *known]], on=list(KEYS), how="left", validate="one_to_one")
    return chosen_columns(frame, names)


def heatmap_frame(bank: FeatureBank, layer: int | Site | str, language: str) -> pd.DataFrame:
    """AUROC of each emotion's top feature for every emotion, each against all the others, on all stimuli."""
    site = bank.site(layer)
    words, matrix = bank.unit_activations(site, language)
    summary = bank.summary
    at_site = bank.rows_at(summary, site)
    tops = at_site[at_site["language"] == language]["feature"].unique()
    names = [*bank.emotions, "neutral"]
    codes = np.asarray([names.index(e) for e in words["emotion"]])
    values = matrix[:, tops].toarray().astype(np.float64)
    neutral = len(names) - 1 if (codes == len(names) - 1).any() else None
    rows = []
    for i, emotion in enumerate(bank.emotions):
        scores = composite_auroc(pairwise_auroc(values, codes, i, len(names)), i, neutral)
        rows += [(site.layer, str(site), language, emotion, int(f), s) for f, s in zip(tops, scores, strict=True)]
    return pd.DataFrame(rows, columns=["layer", "site", "language", "emotion", "feature", "value"])


def summary_by_layer(bank: FeatureBank) -> pd.DataFrame:
    """Per layer, site and language: selected and confirmed emotions, median held-out AUROC with a bootstrap interval, dense and (where the bank knows it) the texts alone beside it.

    `confirmed` counts at the layer that was fixed on the discovery half (`layer_fixed`), so it is 0 at all others;
    `confirmed_uncorrected` counts at every layer for itself and is not corrected over layers. A bank of an earlier version
    has neither column, and its `confirmed` is Fisher's test alone at every layer (see `with_confirmation`). The interval
    resamples emotions (percentile, 2,000 resamples, fixed seed).
    """
    rng = np.random.default_rng(0)
    rows = []
    keys = ["layer", "site", "language"]
    groups = bank.summary.groupby(keys, sort=True)
    for key, group in groups:
        held = group["auroc_heldout"].to_numpy(dtype=np.float64)
        resampled = np.median(rng.choice(held, (2000, len(held))), axis=1)
        low, high = np.percentile(resampled, [2.5, 97.5])
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "emotions": len(group),
                "selected": int(group["selected"].sum()),
                "confirmed": int(group["confirmed"].sum()),
                **(_both_tests(group) if has_confirmation(bank) else {}),
                "median_auroc_heldout": float(np.median(held)),
                "lo": float(low),
                "hi": float(high),
                "median_shrinkage": float(group["shrinkage"].median()),
                "median_dense_auroc": float(group["dense_auroc"].median()),
                "median_dense_clean_auroc": float(group["dense_clean_auroc"].median()),
                **{f"median_{c}": float(group[c].median()) for c in ("text_auroc", "encoder_auroc") if c in group},
            }
        )
    return pd.DataFrame(rows)


def _both_tests(group: pd.DataFrame) -> dict[str, object]:
    return {
        "confirmed_uncorrected": int(group["confirmed_uncorrected"].sum()),
        "layer_fixed": bool(group["layer_fixed"].all()),
        "median_held_out_specificity": float(group["held_out_specificity"].median()),
    }


def confirmed_counts(bank: FeatureBank) -> tuple[str, pd.DataFrame]:
    """Emotions whose top feature passes, per layer and language, and in words what that says of them."""
    both = has_confirmation(bank)
    summary = bank.summary
    counts = (
        summary.groupby(["layer", "site", "language"])["confirmed_uncorrected" if both else "confirmed"].sum().unstack()
    )
    if not both:
        return "emotions with a feature confirmed by an earlier rule (Fisher's test alone, at every layer)", counts
    fixed = summary[summary["layer_fixed"]].groupby(["language", "site"])["confirmed"].sum()
    said = ", ".join(f"{language} {n} at {site}" for (language, site), n in fixed.items())
    what = "emotions whose top feature passes both held-out tests, at each layer for itself (not corrected over layers)"
    return f"{what}; confirmed: {said}", counts


def rows_that_pass(frame: pd.DataFrame, condition: str, value: object) -> pd.Series:
    """Rows of a table that fulfil one condition of `FeatureBank.table`."""
    for prefix, compare in (("min_", "ge"), ("max_", "le")):
        column = condition.removeprefix(prefix)
        if condition not in frame and column != condition and column in frame:
            check_argument("FeatureBank.table", condition, value, "float")
            return getattr(frame[column], compare)(value)
    if condition not in frame:
        raise UnknownNameError("column", condition, sorted(frame.columns))
    kind = frame[condition].dtype.kind
    check_argument("FeatureBank.table", condition, value, {"b": "bool", "f": "float", "i": "int"}.get(kind, "Any"))
    return frame[condition].eq(value)
