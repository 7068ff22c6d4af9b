"""Does a direction found in one language steer text of another?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import pandas as pd

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.options import merged
from emotion_interp.core.types import Site
from emotion_interp.experiments.setting import Setting, simple_call
from emotion_interp.experiments.steering_test import (
    DOSES,
    METHODS,
    SteeringTestChoices,
    SteeringTestOptions,
    steering_test,
)
from emotion_interp.judges.judging import TextJudge
from emotion_interp.judges.prompts import NEUTRAL_PROMPTS


@dataclass(frozen=True, kw_only=True)
class CrossOptions(SteeringTestOptions):
    """What is tried in every pair of languages.

    Attributes:
        layers: as in `steering_test`.
        doses: as in `steering_test`.
        methods: as in `steering_test`.
    """

    layers: Sequence[int | Site | str] | None = None
    doses: Sequence[float] = DOSES
    methods: Sequence[str] = METHODS


class CrossChoices(SteeringTestChoices, total=False):
    """`CrossOptions` by keyword."""

    layers: Sequence[int | Site | str] | None
    doses: Sequence[float]
    methods: Sequence[str]


@simple_call(
    *("emotions", "prompts", "judges", "languages"), takes=("words", "positions", "max_new_tokens", "samples", "seed")
)
@checked
def cross_language(
    setting: Setting,
    emotions: Sequence[str],
    prompts: Mapping[str, tuple[Sequence[str], Sequence[str]]] | None = None,
    judges: Mapping[str, TextJudge] | None = None,
    languages: Sequence[str] | None = None,
    *,
    options: CrossOptions | None = None,
    **choices: Unpack[CrossChoices],
) -> pd.DataFrame:
    """Steer text of each language with directions found in each, layer and dose chosen on other prompts of the text.

    Also `cross_language(subject, bank, emotions, ...)` with the fields of a `Setting` by keyword.

    Args:
        setting: subject, a bank of several languages, positions and the rest; its languages, prompts and judge are those
            of each pair in turn.
        emotions: those judged; an emotion that a language's judge does not know is left out there.
        prompts: language -> (tuning prompts, test prompts); default: `NEUTRAL_PROMPTS`.
        judges: text language -> judge of texts; default: the next-word judge with that language's words.
        languages: default: those of the bank that have prompts.
        options: what is tried, and the options of `steering_test`; or its fields by keyword.
        **choices: fields of `CrossOptions`, by keyword.

    Returns:
        the chosen rows of `steering_test`, one per emotion, direction language and text language, with the columns
        direction_language and text_language in front; p_holm_chosen over the emotions of one pair of languages.

    Raises:
        EmotionInterpError: fewer than two languages, or nothing that can be judged.
        UnknownNameError: a language without prompts.

    Example:
        >>> cross_language(subject, bank, ["joy", "fear"])  # doctest: +SKIP
    """
    chosen, bank = merged(CrossOptions, options, choices), setting.bank
    given: Mapping[str, object] = NEUTRAL_PROMPTS if prompts is None else prompts
    names = [x for x in bank.languages if x in given] if languages is None else list(languages)
    for name in names:
        if name not in given:
            raise UnknownNameError("language of the prompts", name, given)
    if len(names) < 2:
        raise EmotionInterpError(f"two languages are needed, got {names}; the bank has {list(bank.languages)}.")
    if setting.judge is not None:
        raise EmotionInterpError("every language has a judge of its own: give judges={language: judge}.")
    parts = []
    for spoken in names:
        judge = (judges or {}).get(spoken)
        known = [e for e in emotions if judge is None or e in judge.emotions]
        if not known:
            raise EmotionInterpError(f"the judge of {spoken!r} knows none of {list(emotions)}.")
        tune, test = given[spoken]
        for from_language in names:
            pair = replace(setting, prompts=test, judge=judge, language=from_language, text_language=spoken)
            result = steering_test(pair, known, tune, chosen.layers, chosen.doses, chosen.methods, options=chosen)
            frame = result.to_frame()
            rows = frame[frame["chosen"]].reset_index(drop=True)
            rows.insert(0, "direction_language", from_language)
            rows.insert(1, "text_language", spoken)
            parts.append(rows)
    return pd.concat(parts, ignore_index=True)
