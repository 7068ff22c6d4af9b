"""What is confirmed: by both held-out tests together, at the layer that was fixed on the discovery half."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.stats.corrections import holm

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank

COLUMNS = ("held_out_specificity", "rival", "p_specificity", "p_confirmed", "layer_fixed", "confirmed_uncorrected")
"""Of the summary; banks of earlier versions lack them, and their "confirmed" is Fisher's test alone, at every layer."""

ALPHA = 0.05


def decided(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary with both p-values: which features are confirmed, over all the layers it has."""
    return decide(summary, summary["selected"], fix_layers(summary), ["language", "site"])


def has_confirmation(bank: FeatureBank) -> bool:
    """Whether the bank's "confirmed" tests specificity too; in banks of earlier versions it is Fisher's test alone."""
    return set(COLUMNS) <= set(bank.summary.columns)


def fix_layers(frame: pd.DataFrame) -> pd.Series:
    """The one site of each language on which its claims stand, as True in its rows; known from the discovery half alone.

    The site where most emotions have a selected feature; of equals, the one with the larger median discovery AUROC of the
    top features; of equals again, the first.

    Args:
        frame: a bank's summary.
    """
    by_site = frame.groupby(["language", "layer", "site"], sort=True)
    score = by_site.agg(selected=("selected", "sum"), auroc=("auroc", "median")).reset_index()
    score = score.sort_values(["selected", "auroc"], ascending=False, kind="stable").drop_duplicates("language")
    best = dict(zip(score["language"], score["site"], strict=True))
    return pd.Series([best[la] == s for la, s in zip(frame["language"], frame["site"], strict=True)], frame.index)


def decide(frame: pd.DataFrame, tested: object, fixed: object, family: list[str]) -> pd.DataFrame:
    """A table with p_heldout and p_specificity, and what is confirmed by both together.

    Adds p_confirmed (the larger of the two, Holm over the emotions of a family), layer_fixed, confirmed (at the layer that
    was fixed beforehand) and confirmed_uncorrected (at each layer for itself: not corrected over layers).

    Args:
        frame: one row per emotion and whatever `family` names.
        tested: which rows may be confirmed [row].
        fixed: which rows belong to the layer fixed on the discovery half [row].
        family: columns whose values make a family.
    """
    joint = np.maximum(frame["p_heldout"].to_numpy(float), frame["p_specificity"].to_numpy(float))
    # what cannot be tested against any other emotion is not confirmed, and counts in the family all the same
    joint = np.where(np.asarray(tested, dtype=bool), np.nan_to_num(joint, nan=1.0), np.nan)
    frame = frame.assign(p_confirmed=joint, layer_fixed=np.asarray(fixed, dtype=bool))
    groups = frame.groupby(family)["p_confirmed"]
    frame["p_confirmed"] = groups.transform(lambda p: holm(p.to_numpy()))
    passed = (frame["p_confirmed"] < ALPHA).fillna(False).to_numpy(dtype=bool)
    return frame.assign(confirmed=passed & frame["layer_fixed"], confirmed_uncorrected=passed)
