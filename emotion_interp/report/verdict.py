"""What the steering test says of each emotion, once for the headline, the sentences and the texts."""

from __future__ import annotations

import math

import pandas as pd

from emotion_interp.report.data import StudyData

ALPHA = 0.05
PASSES, BREAKS, NOTHING, UNTESTED = "passes", "breaks", "nothing", "untested"


def tested_rows(steering: pd.DataFrame) -> pd.DataFrame:
    """The rows that the verdict rests on: each emotion's chosen direction, layer and dose where these were fixed."""
    if steering["chosen"].notna().any():
        best = steering[steering["chosen"].astype("boolean").fillna(False).to_numpy(dtype=bool)]
        return best.assign(p_holm=best["p_holm_chosen"])
    return steering


def verdicts(rows: pd.DataFrame) -> dict[str, str]:
    """Per steered emotion: it is raised beyond random directions in fluent text, in broken text alone, or not at all.

    Args:
        rows: of the frame "steering", of one method or of `tested_rows`.
    """
    steered = rows[rows["dose"] != 0]
    ps = steered["p_holm"].where(steered["p_holm"].notna(), steered["p"])
    names = list(dict.fromkeys(steered["emotion"]))
    if not ps.notna().any():
        return dict.fromkeys(names, UNTESTED)
    raised = (ps < ALPHA) & (steered["target"] > steered["target_unsteered"].fillna(-math.inf))
    intact = steered["perplexity_ratio"].between(0.5, 2) & ~(steered["distinct2_ratio"] < 0.8)
    some, fluent = set(steered[raised]["emotion"]), set(steered[raised & intact]["emotion"])
    return {name: PASSES if name in fluent else BREAKS if name in some else NOTHING for name in names}


def emotion_verdicts(study: StudyData) -> dict[str, str]:
    """`verdicts` of the whole study; empty where nothing was steered."""
    return verdicts(tested_rows(study.frame("steering"))) if study.has("steering") else {}


def text_verdicts(study: StudyData) -> pd.DataFrame:
    """The steered texts with `verdict` of their emotion, and `agrees`: whether the text reads as its label says.

    `agrees` is missing where nobody read the text.
    """
    texts, of = study.frame("steered_text"), emotion_verdicts(study)
    was_read = texts["read_as"].notna()
    agrees = (texts["read_as"] == texts["emotion"]).astype("boolean").where(was_read)
    return texts.assign(verdict=[of.get(emotion, UNTESTED) for emotion in texts["emotion"]], agrees=agrees)
