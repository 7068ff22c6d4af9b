"""What stays the same over all cells of a grid: checked once, before a model runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.languages import check_language
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.directions.null_directions import OF_TEXTS, NullTexts, checked_kinds, null_texts
from emotion_interp.judges.judging import JointJudge, Setting, TextJudge, judged_by
from emotion_interp.judges.next_word import NextWords, next_words
from emotion_interp.steering.interventions import Positions, check_positions
from emotion_interp.subjects.decoding import Decoding

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject


@dataclass(frozen=True, eq=False)
class Nulls:
    """Which random directions stand beside a figure.

    Attributes:
        count: of each kind.
        kinds: of `null_directions.KINDS`.
        texts: what the kinds "topics" and "shuffled" are made of.
        bank: its selected features of an emotion are no random decoder rows for that emotion.
    """

    count: int = 0
    kinds: tuple[str, ...] = ("isotropic",)
    texts: NullTexts | None = None
    bank: Any = None


@dataclass(frozen=True, eq=False)
class GridSetting(Setting):
    """A setting whose figures stand beside those of random directions.

    Attributes:
        null_folder: where the answers of random directions are kept and taken again.
        nulls: which random directions.
    """

    null_folder: str | Path | None = None
    nulls: Nulls = Nulls()


def make_nulls(
    subject: Subject,
    bank: Any,
    n_random: int,
    kinds: Sequence[str],
    stimuli: NullTexts | Sequence[Stimulus] | None,
    sites: Sequence[Site],
) -> Nulls:
    """Check which random directions are asked for, and read the texts they are made of, once for all sites."""
    if isinstance(n_random, bool) or not isinstance(n_random, (int, np.integer)) or n_random < 0:
        raise EmotionInterpError(f"n_random is a number of random directions from 0, got {n_random!r}.")
    asked, of_texts = check_kinds(n_random, kinds, stimuli)
    if stimuli is None or not of_texts:
        return Nulls(int(n_random), asked, None, bank)
    if not isinstance(stimuli, NullTexts):
        known = getattr(bank, "manifest", {})
        reading = {"position": known.get("position", "text"), "skip": int(known.get("skip", 8))}
        stimuli = null_texts(subject, stimuli, list(dict.fromkeys(sites)), **reading)
    return Nulls(int(n_random), asked, stimuli, bank)


def check_kinds(n_random: int, kinds: Sequence[str], stimuli: object) -> tuple[tuple[str, ...], bool]:
    """The kinds of random direction, and whether texts are read for them.

    Raises:
        UnknownNameError: a kind that is not there.
        EmotionInterpError: one that is made of texts, without any.
    """
    asked = checked_kinds(kinds)
    lacking = [kind for kind in asked if kind in OF_TEXTS] if n_random else []
    if lacking and stimuli is None:
        raise EmotionInterpError(
            f"random directions of the kind {lacking[0]!r} are made of texts: give stimuli=, labelled texts in groups such "
            "as corpus_stimuli('stories', split='subject'), or null_texts(...)."
        )
    return asked, bool(lacking)


def make_setting(
    subject: Subject,
    bank: Any,
    emotions: Sequence[str],
    prompts: Sequence[str],
    language: str,
    judge: TextJudge | Mapping[str, TextJudge] | None,
    words: Mapping[str, Sequence[str]] | None,
    max_new_tokens: int,
    positions: Positions,
    seed: int,
    options: Mapping[str, Any],
    samples: int = 1,
) -> GridSetting:
    """Check what a grid is made of, and choose its judge."""
    if isinstance(emotions, str) or isinstance(prompts, str) or not len(emotions) or not len(prompts):
        raise EmotionInterpError("emotions and prompts are lists of at least one text each.")
    check_positions(positions)
    check_language(
        prompts, language, "the prompts", "give language={0!r}, or text_language={0!r} for directions of another"
    )
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise EmotionInterpError(f"samples is a whole number from 1, got {samples!r}.")
    if samples > 1 and not options.get("do_sample"):
        raise EmotionInterpError(
            f"{samples} greedy texts of one prompt are all the same; give do_sample=True, or samples=1."
        )
    # an option that is none, or a prompt that does not fit, must not wait for the first text to be noticed
    Decoding(subject, [list(t.ids) for t in subject.tokenize(prompts, whole=True)], max_new_tokens, **options)
    names = tuple(dict.fromkeys(emotions))
    known = {*names, *getattr(bank, "emotions", ())}
    for emotion in words or ():
        if emotion not in known:
            raise UnknownNameError("emotion of the words", emotion, sorted(known))
    chosen: NextWords | TextJudge
    if judge is None:
        held = {e: (words or {}).get(e) or bank.held_out_words(e, language) for e in names}
        chosen = next_words(subject, held, language)
    else:
        if max_new_tokens < 1:
            raise EmotionInterpError("a judge of texts needs texts: give max_new_tokens of at least 1.")
        several = dict(judge) if isinstance(judge, Mapping) else {"": judge}
        if not several or not all(hasattr(one, "predict_proba") for one in several.values()):
            raise EmotionInterpError(f"judge is a classifier of texts, or a mapping name -> classifier; got {judge!r}.")
        known = list(dict.fromkeys(e for one in several.values() for e in one.emotions))
        if not set(names) & set(known):
            raise EmotionInterpError(f"the judge knows none of {list(names)}, only {known}.")
        chosen = JointJudge(several) if len(several) > 1 else next(iter(several.values()))
        further = [(name, one) for name, one in list(several.items())[1:]]
        names = (*names, *(judged_by(e, name) for name, one in further for e in names if e in one.emotions))
    return GridSetting(
        subject, tuple(prompts), chosen, names, positions, max_new_tokens, seed, dict(options), samples, language
    )
