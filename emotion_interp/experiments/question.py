"""What a setting asks of every cell of a grid: the judge, the emotions, and the random directions beside each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.options import Options
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.directions.null_directions import OF_TEXTS, NullTexts, checked_kinds, null_texts
from emotion_interp.experiments.setting import Setting
from emotion_interp.judges.judging import JointJudge, Question, TextJudge, judged_by
from emotion_interp.judges.next_word import NextWords, next_words


@dataclass(frozen=True, eq=False)
class Nulls:
    """Which random directions stand beside a figure.

    Attributes:
        count: of each kind.
        kinds: of `null_directions.KINDS`.
        texts: what the kinds "topics" and "shuffled" are made of.
        bank: its selected features of an emotion are no random decoder rows for that emotion.
        folder: where the answers are kept and taken again.
    """

    count: int = 0
    kinds: tuple[str, ...] = ("isotropic",)
    texts: NullTexts | None = None
    bank: Any = None
    folder: str | Path | None = None


@dataclass(frozen=True, eq=False)
class GridQuestion(Question):
    """A question whose figures stand beside those of random directions.

    Attributes:
        nulls: which random directions.
    """

    nulls: Nulls = Nulls()


@dataclass(frozen=True, kw_only=True)
class NullOptions(Options):
    """Which random directions of the same length a figure has to beat.

    Attributes:
        n_random: of each kind; the smallest p is 1 / (n_random + 1), so Holm over k emotions at .05 needs at least 20 k.
        kinds: "isotropic", "decoder", "topics", "shuffled" (see `random_directions`); p is the largest over them. Decoder
            rows of the emotion's own selected features do not count against it.
        stimuli: labelled texts in groups, or `null_texts(...)`, for "topics" and "shuffled"; with some of the emotion "neutral"
            beside directions of "dense_clean", so that these kinds are cleaned likewise.
        null_folder: where the answers of random directions are kept and taken again, so that a killed run goes on (see
            `nulls.random_answers`).
    """

    n_random: int = 199
    kinds: Sequence[str] = ("isotropic",)
    stimuli: NullTexts | Sequence[Stimulus] | None = None
    null_folder: str | Path | None = None


class NullChoices(TypedDict, total=False):
    """`NullOptions` by keyword."""

    n_random: int
    kinds: Sequence[str]
    stimuli: NullTexts | Sequence[Stimulus] | None
    null_folder: str | Path | None


def make_nulls(setting: Setting, asked: NullOptions, sites: Sequence[Site]) -> Nulls:
    """The random directions of a figure; the texts they are made of are read once for all sites."""
    kinds, of_texts = check_kinds(asked)
    texts = asked.stimuli if of_texts else None
    if texts is not None and not isinstance(texts, NullTexts):
        known = getattr(setting.bank, "manifest", {})
        reading = {"position": known.get("position", "text"), "skip": int(known.get("skip", 8))}
        texts = null_texts(setting.subject, texts, list(dict.fromkeys(sites)), **reading)
    return Nulls(int(asked.n_random), kinds, texts, setting.bank, asked.null_folder)


def check_kinds(asked: NullOptions) -> tuple[tuple[str, ...], bool]:
    """The kinds of random direction, and whether texts are read for them.

    Raises:
        UnknownNameError: a kind that is not there.
        EmotionInterpError: one that is made of texts, without any.
    """
    kinds = checked_kinds(asked.kinds)
    lacking = [kind for kind in kinds if kind in OF_TEXTS] if asked.n_random else []
    if lacking and asked.stimuli is None:
        raise EmotionInterpError(
            f"random directions of the kind {lacking[0]!r} are made of texts: give stimuli=, labelled texts in groups such "
            "as corpus_stimuli('stories', split='subject'), or null_texts(...)."
        )
    return kinds, bool(lacking)


def ask(setting: Setting, emotions: Sequence[str]) -> GridQuestion:
    """What a setting asks about some emotions, with the judge that answers.

    Raises:
        EmotionInterpError: no emotions, no prompts, or a judge that knows none of them or has no texts to read.
        UnknownNameError: words of an emotion that is neither asked for nor the bank's.
    """
    prompts, names = setting.some_prompts(), tuple(dict.fromkeys(emotions))
    if not names:
        raise EmotionInterpError("emotions is a list of at least one text, got none.")
    known = {*names, *getattr(setting.bank, "emotions", ())}
    for emotion in setting.words or ():
        if emotion not in known:
            raise UnknownNameError("emotion of the words", emotion, sorted(known))
    chosen: NextWords | TextJudge
    if setting.judge is None:
        held = {e: (setting.words or {}).get(e) or setting.bank.held_out_words(e, setting.spoken) for e in names}
        chosen = next_words(setting.subject, held, setting.spoken)
    else:
        if setting.max_new_tokens < 1:
            raise EmotionInterpError("a judge of texts needs texts: give max_new_tokens of at least 1.")
        several: dict[str, Any] = dict(setting.judge) if isinstance(setting.judge, Mapping) else {"": setting.judge}
        if not several or not all(hasattr(judge, "predict_proba") for judge in several.values()):
            raise EmotionInterpError(
                f"judge is a classifier of texts, or a mapping name -> classifier; got {setting.judge!r}."
            )
        known = list(dict.fromkeys(e for judge in several.values() for e in judge.emotions))
        if not set(names) & set(known):
            raise EmotionInterpError(f"the judge knows none of {list(names)}, only {known}.")
        chosen = JointJudge(several) if len(several) > 1 else next(iter(several.values()))
        further = [(name, judge) for name, judge in list(several.items())[1:]]
        names = (*names, *(judged_by(e, name) for name, judge in further for e in names if e in judge.emotions))
    made = {"samples": setting.samples, "language": setting.spoken}
    return GridQuestion(
        setting.subject,
        prompts,
        chosen,
        names,
        setting.positions,
        setting.max_new_tokens,
        setting.seed,
        dict(setting.generation),
        **made,
    )
