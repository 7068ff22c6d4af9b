"""What features do: labels from measured effects, and the steering direction made of the features that do something."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.bank.bank import FeatureBank
from emotion_interp.bank.directions import Directions
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.result import Result
from emotion_interp.stats.corrections import benjamini_hochberg

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.subjects import Subject

LABELS = ("input", "output", "both", "neither", "untested")
"""input: selected by response, no output effect; output: promotes the emotion, not selected; both; neither; untested:
no word of the emotion is a single token, so that no effect could be measured."""
OUTPUT_METHOD = "sae_output"


@dataclass(frozen=True, eq=False, repr=False)
class OutputScores(Result):
    """What features promote; `add_to(bank)` keeps it as the bank's table "outputs", `settings` says how it was measured."""

    frame: pd.DataFrame
    settings: dict[str, object] = field()

    TABLE = "outputs"

    def counts(self) -> pd.DataFrame:
        """Features by label, per layer and language, and how many of them were selected by response."""
        shown = self.frame.groupby(["layer", "language", "label"]).size().unstack(fill_value=0)
        return shown.reindex(columns=list(LABELS), fill_value=0)


def label_outputs(frame: pd.DataFrame, max_q: float = 0.05) -> pd.DataFrame:
    """Add `output_q` (Benjamini-Hochberg over all rows that were measured) and `label` to rows with `output_p`.

    A feature has an output effect with output_q <= max_q; the threshold is ours. See `LABELS`.

    Args:
        frame: columns selected (bool) and output_p (NaN where nothing could be measured).
        max_q: false discovery rate.

    Raises:
        EmotionInterpError: `max_q` is not between 0 and 1.
    """
    if not 0 < max_q < 1:
        raise EmotionInterpError(f"max_q is a share between 0 and 1, got {max_q!r}.")
    p = frame["output_p"].to_numpy(dtype=np.float64)
    tested = np.isfinite(p)
    q = benjamini_hochberg(p)
    selected = frame["selected"].to_numpy(dtype=bool)
    promotes = np.nan_to_num(q, nan=1.0) <= max_q
    names = np.asarray(["neither", "input", "output", "both"], dtype=object)[selected + 2 * promotes]
    return frame.assign(output_q=q, label=np.where(tested, names, "untested"))


@checked
def with_output_directions(subject: Subject, bank: FeatureBank, weight: str = "output_effect") -> FeatureBank:
    """A bank whose `direction(..., method="sae_output")` steers by output features.

    The direction of an emotion is the sum of the unit decoder rows of its features with the label "output" or "both",
    each times its weight. Emotions without such a feature keep a row of zeros, which `direction` refuses.

    Args:
        subject: the bank's subject, which has the decoder rows.
        bank: with the table "outputs" (`output_scores(...).add_to(bank)`).
        weight: column of that table; negative and missing weights count as 0.

    Raises:
        EmotionInterpError: the bank has no table "outputs", or belongs to another subject.
        UnknownNameError: no such column.

    Example:
        >>> bank = with_output_directions(subject, output_scores(subject, bank).add_to(bank))  # doctest: +SKIP
        >>> steer(subject, bank.direction("joy", layer=2, method="sae_output"))  # doctest: +SKIP
    """
    if "outputs" not in bank.extras:
        raise EmotionInterpError(
            "the bank has no table 'outputs'; measure it first: bank = output_scores(subject, bank).add_to(bank)."
        )
    require_same_subject(bank, subject)
    table = bank.extras["outputs"]
    if weight not in table or table[weight].dtype.kind not in "fiu":
        raise UnknownNameError("weight column", weight, [c for c in table if table[c].dtype.kind == "f"])
    table = table[table["label"].isin(["output", "both"])]
    directions: dict[object, np.ndarray] = dict(bank.directions)
    for site in bank.sites:
        for language in bank.languages:
            vectors = np.zeros((len(bank.emotions), subject.readers[site].d_in), dtype=np.float32)
            chosen = table[(table["site"] == str(site)) & (table["language"] == language)]
            for emotion, rows in chosen.groupby("emotion"):
                weights = np.maximum(np.nan_to_num(rows[weight].to_numpy(dtype=np.float64)), 0.0)
                decoder = subject.readers[site].decoder_rows(rows["feature"].to_numpy()).double().cpu().numpy()
                units = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
                vectors[bank.emotions.index(str(emotion))] = weights @ units
            directions[site, language, OUTPUT_METHOD] = vectors
    return replace(bank, directions=Directions(directions, bank.emotions))
