"""Where people put each emotion: valence and arousal of its label, or of words that the subject was not shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.norms import Norms

COORDINATES = ("label", "words")
MIN_EMOTIONS = 5


@dataclass(frozen=True, eq=False)
class HumanCoordinates:
    """Ratings of the emotions that have one. Arrays are [emotion]; `*_se` is the standard error of the mean rating.

    `arousal` is None where the norms have valence alone (labMT, SEV, VADER); `*_se` is None where SD or n is unknown.
    """

    emotions: tuple[str, ...]
    words: tuple[str, ...]
    valence: np.ndarray
    arousal: np.ndarray | None
    valence_se: np.ndarray | None
    arousal_se: np.ndarray | None
    unmatched: tuple[str, ...]

    @property
    def z(self) -> np.ndarray:
        """z-scored ratings, [emotion, 2], or [emotion, 1] without arousal."""
        columns = [self.valence] if self.arousal is None else [self.valence, self.arousal]
        return np.column_stack([standardised(c) for c in columns])


def standardised(values: np.ndarray) -> np.ndarray:
    """z-scores (dividing by n)."""
    return (values - values.mean()) / values.std()


def as_norms(norms: object, language: str | None = None) -> Norms:
    """Norms as they are; a frame indexed or columned by emotion or word becomes norms."""
    if isinstance(norms, Norms):
        return norms

    if not isinstance(norms, pd.DataFrame):
        raise EmotionInterpError(
            f"norms are a Norms (load_norms) or a DataFrame with word, valence, arousal; got {type(norms).__name__}."
        )
    table: Any = norms
    if "word" not in table:
        table = table if "emotion" in table else table.rename_axis("emotion").reset_index()
        table = table.rename(columns={"emotion": "word"})
    columns = [c for c in ("valence", "arousal", "dominance") if c in table]
    if not {"word", "valence"} <= set(table):
        raise EmotionInterpError(f"the norms need the columns word (or emotion) and valence; they have {list(norms)}.")
    table = table[table["valence"].notna()]
    if not len(table):
        raise EmotionInterpError("the norms hold no valence at all.")
    values = table[columns].to_numpy(float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return Norms("custom", language or "en", table, (low, high if high > low else low + 1))


def human_coordinates(
    emotions: Sequence[str],
    norms: Norms,
    coordinates: str = "label",
    labels: Mapping[str, str] | None = None,
    words: Mapping[str, Iterable[str]] | None = None,
) -> HumanCoordinates:
    """Human valence and arousal of each emotion.

    "label": the rating of the emotion's name, or of `labels[emotion]`. "words": the mean over `words[emotion]`.

    Raises:
        UnknownNameError: `coordinates` is neither.
        EmotionInterpError: "words" without words; fewer than 5 rated emotions; ratings that are all the same.
    """
    if coordinates not in COORDINATES:
        raise UnknownNameError("coordinates", coordinates, COORDINATES)
    if coordinates == "words" and words is None:
        raise EmotionInterpError("coordinates='words' needs words=, emotion -> words that the subject was not shown.")
    labels = labels or {}
    asked = {e: list((words or {}).get(e, [])) if coordinates == "words" else [labels.get(e, e)] for e in emotions}
    with_arousal = "arousal" in norms.dimensions
    columns = ["valence", "arousal"] if with_arousal else ["valence"]
    flat = norms.lookup([word for its_words in asked.values() for word in its_words])
    rated = flat[columns].notna().all(axis=1).to_numpy()
    names = (flat["form"].fillna(flat["matched"]) if "form" in flat else flat["matched"]).to_numpy()
    numbers = [(flat[c].to_numpy(float), _error_variance(flat, c)) for c in columns]
    means, rows, shown, start = [], [], [], 0
    for emotion, its_words in asked.items():
        keep = start + np.flatnonzero(rated[start : start + len(its_words)])
        start += len(its_words)
        if len(keep):
            means.append(emotion)
            # the error of a mean of words: their error variances add up, over the square of their number
            rows.append([v for m, var in numbers for v in (m[keep].mean(), np.sqrt(var[keep].sum()) / len(keep))])
            shown.append(", ".join(map(str, names[keep])))
    unmatched = tuple(e for e in emotions if e not in set(means))
    if len(means) < MIN_EMOTIONS:
        without = f" Without one: {', '.join(unmatched)}. Give labels={{emotion: rated word}}." if unmatched else ""
        raise EmotionInterpError(
            f"only {len(means)} of {len(emotions)} emotions have a rating in the norms {norms.name!r}; at least "
            f"{MIN_EMOTIONS} are needed.{without or ' Take more emotions.'}"
        )
    values = np.array(rows, dtype=np.float64)
    for place, column in enumerate(columns):
        if np.ptp(values[:, 2 * place]) == 0:
            raise EmotionInterpError(f"all emotions have the same human {column}; nothing can be correlated with it.")
    errors = [v if np.isfinite(v).all() else None for v in values.T[1::2]]
    return HumanCoordinates(
        tuple(means),
        tuple(shown),
        values[:, 0],
        values[:, 2] if with_arousal else None,
        errors[0],
        errors[1] if with_arousal else None,
        unmatched,
    )


def _error_variance(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Squared standard error of each mean rating, SD^2 / n (NaN where unknown)."""
    if f"{column}_sd" not in frame or f"{column}_n" not in frame:
        return np.full(len(frame), np.nan)
    return frame[f"{column}_sd"].to_numpy(float) ** 2 / frame[f"{column}_n"].to_numpy(float)
