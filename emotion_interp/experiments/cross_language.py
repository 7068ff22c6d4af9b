"""Does a direction found in one language steer text of another?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.experiments.steering_test import steering_test
from emotion_interp.judges.judging import TextJudge

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.subjects.subject import Subject


@checked
def cross_language(
    subject: Subject,
    bank: Any,
    emotions: Sequence[str],
    prompts: Mapping[str, tuple[Sequence[str], Sequence[str]]] | None = None,
    judges: Mapping[str, TextJudge] | None = None,
    languages: Sequence[str] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Steer text of each language with directions found in each, layer and dose chosen on other prompts of the text.

    Args:
        subject, bank: as in `steering_test`; the bank has several languages.
        emotions: those judged; an emotion that a language's judge does not know is left out there.
        prompts: language -> (tuning prompts, test prompts); default: `NEUTRAL_PROMPTS`.
        judges: text language -> judge of texts; default: the next-word judge with that language's words.
        languages: default: those of the bank that have prompts.
        **options: of `steering_test` (layers, doses, methods, n_random, seed, max_new_tokens, ...).

    Returns:
        the chosen rows of `steering_test`, one per emotion, direction language and text language, with the columns
        direction_language and text_language in front; p_holm_chosen over the emotions of one pair of languages.

    Raises:
        EmotionInterpError: fewer than two languages, or nothing that can be judged.
        UnknownNameError: a language without prompts.

    Example:
        >>> cross_language(subject, bank, ["joy", "fear"])  # doctest: +SKIP
    """
    import pandas as pd

    from emotion_interp.judges.prompts import NEUTRAL_PROMPTS

    given: Mapping[str, Any] = NEUTRAL_PROMPTS if prompts is None else prompts
    names = [x for x in bank.languages if x in given] if languages is None else list(languages)
    for name in names:
        if name not in given:
            raise UnknownNameError("language of the prompts", name, given)
    if len(names) < 2:
        raise EmotionInterpError(f"two languages are needed, got {names}; the bank has {list(bank.languages)}.")
    parts = []
    for spoken in names:
        judge = (judges or {}).get(spoken)
        known = [e for e in emotions if judge is None or e in judge.emotions]
        if not known:
            raise EmotionInterpError(f"the judge of {spoken!r} knows none of {list(emotions)}.")
        tune, test = given[spoken]
        for found in names:
            frame: Any = steering_test(
                subject, bank, known, tune, test, language=found, judge=judge, text_language=spoken, **options
            ).to_frame()
            chosen = frame[frame["chosen"]].reset_index(drop=True)
            chosen.insert(0, "direction_language", found)
            chosen.insert(1, "text_language", spoken)
            parts.append(chosen)
    return pd.concat(parts, ignore_index=True)
