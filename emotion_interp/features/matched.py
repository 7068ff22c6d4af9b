"""What a unit (a word, a text) is apart from its emotion: length, frequency, place; and neutral units matched on it.

Everything here is fixed before an activation is read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from emotion_interp.activations.columns import stimulus_tokens
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.frames import rows_where
from emotion_interp.features.block import NEUTRAL
from emotion_interp.subjects.tokens import span_tokens

if TYPE_CHECKING:
    from emotion_interp.activations import Position
    from emotion_interp.core.types import Stimulus
    from emotion_interp.subjects import Subject

MATCHED_ON = ("n_tokens", "frequency")


def log_frequency(text: str, language: str, whole: bool = True) -> float:
    """Zipf frequency (log10 per billion words) of a word, or the mean over the words of a text; NaN where unknown.

    Unknown is a language that wordfreq has no list of.

    Args:
        text: a word, or a text with `whole=False`.
        language: language code.
        whole: score `text` as one word.

    Raises:
        EmotionInterpError: the language needs a tokenizer that is not installed (jieba for Chinese).

    Source: Speer (2022), wordfreq 3.

    Example:
        >>> log_frequency("happiness", "en")
        4.44
    """
    import wordfreq
    from wordfreq.tokens import tokenize

    # asked for a language it does not have, wordfreq answers with the nearest one, English in the end
    if language.replace("_", "-").split("-")[0] not in wordfreq.available_languages():
        return float("nan")
    with _quiet("jieba"):
        try:
            if whole:
                return float(wordfreq.zipf_frequency(text, language))
            scores = [wordfreq.zipf_frequency(word, language) for word in tokenize(text, language)]
        except ImportError as error:
            raise EmotionInterpError(
                f"word frequencies of {language!r} need a tokenizer ({error}): pip install 'emotion-interp[zh]'."
            ) from error
    return float(np.mean(scores)) if scores else float("nan")


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Without a library's log lines below warnings."""

    def is_warning(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    # a filter, not a level: jieba sets its own level when it is imported
    logger = logging.getLogger(name)
    logger.addFilter(is_warning)
    try:
        yield
    finally:
        logger.removeFilter(is_warning)


def unit_covariates(
    subject: Subject,
    words: pd.DataFrame,
    stimuli: Sequence[Stimulus],
    units: np.ndarray,
    *,
    kind: str,
    position: Position,
    skip: int,
) -> pd.DataFrame:
    """The units with the columns n_tokens, frequency, position and length.

    n_tokens: tokens of the target under this subject's tokenizer (the word; of texts the whole text); frequency: Zipf
    frequency of the word, or its mean over the words of a text; position: index of the last token that is read, counted
    from 0 without BOS; length: tokens of the text. All are means over the unit's stimuli.

    Args:
        subject: whose tokenizer counts.
        words: units with columns unit, language, word.
        stimuli: the stimuli that are read.
        units: unit of each stimulus.
        kind: "words" for words in carriers, anything else for texts.
        position: which tokens are read, see `read_units`.
        skip: which tokens are read, see `read_units`.
    """
    tokens, picks = stimulus_tokens(subject, stimuli, position, skip)
    start = np.asarray([int(t.has_bos) for t in tokens])
    # of a text that is cut, what is read is the text
    of_texts = kind != "words"
    target = [
        len(t) - t.has_bos if of_texts else len(span_tokens(t, s.span)) for t, s in zip(tokens, stimuli, strict=True)
    ]
    n_units = len(words)
    sizes = np.bincount(units, minlength=n_units)

    def mean(values: object) -> np.ndarray:
        return np.bincount(units, weights=np.asarray(values, dtype=np.float64), minlength=n_units) / sizes

    first = {int(unit): stimulus for unit, stimulus in zip(units[::-1], list(stimuli)[::-1], strict=True)}
    frequency = []
    for unit in range(n_units):
        stimulus = first[unit]
        spoken = stimulus.text[slice(*stimulus.span)]
        frequency.append(log_frequency(spoken, stimulus.language, whole=kind == "words"))
    return words.assign(
        n_tokens=mean(target),
        frequency=frequency,
        position=mean([pick[-1] for pick in picks] - start),
        length=mean([len(t) for t in tokens] - start),
    )


def match_neutral(units: pd.DataFrame, side: str = "confirmation") -> pd.DataFrame:
    """Match every unit of an emotion with one neutral unit of its language, one-to-one, on length and log frequency.

    The assignment minimises the summed squared distance of the standardised covariates (optimal matching without
    replacement; Rosenbaum 1989, JASA 84, 1024-1032). Each emotion draws from all neutral units anew. Where an emotion
    has more units than there are neutral ones, the best-matched are kept. A covariate unknown for some unit of a
    language is left out there.

    Args:
        units: frame with columns unit, language, emotion, side, n_tokens, frequency.
        side: half of the split that both come from.

    Returns:
        Frame with columns language, emotion, unit, neutral; empty where there are no neutral units.
    """
    rows: list[tuple[object, ...]] = []
    side_units = rows_where(units, units["side"] == side)
    for language, frame in side_units.groupby("language", sort=True):
        known = [c for c in MATCHED_ON if np.isfinite(frame[c].to_numpy(dtype=np.float64)).all()]
        values = frame[known].to_numpy(dtype=np.float64)
        spread = values.std(0)
        values = (values - values.mean(0)) / np.where(spread > 0, spread, 1.0)
        neutral = np.flatnonzero(frame["emotion"] == NEUTRAL)
        unit = frame["unit"].to_numpy()
        if not len(neutral):
            continue
        for emotion in sorted(set(frame["emotion"]) - {NEUTRAL}):
            of_emotion = np.flatnonzero(frame["emotion"] == emotion)
            cost = (
                cdist(values[of_emotion], values[neutral], "sqeuclidean")
                if known
                else np.zeros((len(of_emotion), len(neutral)))
            )
            left, right = linear_sum_assignment(cost)
            rows += [
                (language, emotion, int(unit[of_emotion[a]]), int(unit[neutral[b]]))
                for a, b in zip(left, right, strict=True)
            ]
    return pd.DataFrame(rows, columns=["language", "emotion", "unit", "neutral"])
