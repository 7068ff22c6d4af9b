"""What a steering verdict is on: directions at one site, the judges of their texts, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.types import Direction, Site
from emotion_interp.experiments.setting import Setting
from emotion_interp.experiments.verdicts_texts import answers, mean_answers, quality, with_budget, written
from emotion_interp.judges.judging import JointJudge, Question, TextJudge
from emotion_interp.steering.interventions import check_dose, scale_at, scale_of

if TYPE_CHECKING:
    import pandas as pd

BASE_SAMPLES = 8
"""Unsteered texts of each prompt where texts are drawn: every emotion's perplexity is divided by theirs."""

SIMPLE: dict[str, Any] = {
    "takes": ("judge", "language", "text_language", "positions", "max_new_tokens", "samples", "seed"),
    "judge": "Mapping[str, TextJudge] | None",
    "renamed": {"judge": "judges"},
    "generation": {"do_sample": True, "top_k": 50},
}
"""How verdicts are asked for without a setting."""


@dataclass(frozen=True, eq=False)
class Aim:
    """What is steered, and who judges.

    Attributes:
        question: of the texts of each direction.
        judges: by name.
        emotions: each once.
        directions: of each emotion; None where the bank has none.
        notes: of each emotion, why it has none.
        site: of all of them.
    """

    question: Question
    judges: Mapping[str, TextJudge]
    emotions: tuple[str, ...]
    directions: tuple[Direction | None, ...]
    notes: tuple[str, ...]
    site: Site
    bank: Any = None

    def knowing(self, emotion: str) -> list[str]:
        """The judges that know an emotion."""
        return [name for name, judge in self.judges.items() if emotion in judge.emotions]

    @property
    def units(self) -> np.ndarray:
        """[emotion, d_model], each of length one; zero where there is none."""
        nothing = np.zeros(self.question.subject.d_model)
        return np.stack([nothing if direction is None else direction.unit for direction in self.directions])


@dataclass(frozen=True, eq=False)
class Steered:
    """What came of the emotions' directions.

    Attributes:
        own: judge -> mean probability [emotion's direction, emotion of the judge].
        base: judge -> probability of each unsteered text [text, emotion of the judge].
        quality: of each emotion's texts, as `quality` has it.
        texts: emotion, prompt, text.
    """

    own: Mapping[str, np.ndarray]
    base: Mapping[str, np.ndarray]
    quality: Sequence[Mapping[str, float]]
    texts: pd.DataFrame = field(repr=False)


def aim(setting: Setting, emotions: Sequence[str] | None, layer: int | Site | str | None, method: str) -> Aim:
    """Directions and judges, checked before a text is written.

    Raises:
        EmotionInterpError: no mapping of judges, none of which knows an emotion, no texts, or no direction at all.
        UnknownNameError: an emotion or layer that the bank does not have.
    """
    from emotion_interp.bank.same_subject import require_same_subject

    judges, bank = setting.judge, setting.bank
    if not isinstance(judges, Mapping) or not judges or not all(hasattr(j, "predict_proba") for j in judges.values()):
        raise EmotionInterpError(
            "judges is a mapping name -> classifier of texts, two of them or more, such as {'encoder': "
            f"load_judge('encoder'), 'stories': load_judge('stories')}}; got {judges!r}."
        )
    if setting.max_new_tokens < 1:
        raise EmotionInterpError("a judge of texts needs texts: give max_new_tokens of at least 1.")
    prompts = setting.some_prompts()
    require_same_subject(bank, setting.subject)
    names = tuple(dict.fromkeys(bank.emotions if emotions is None else emotions))
    for emotion in names:
        if emotion not in bank.emotions:
            raise UnknownNameError("emotion", emotion, bank.emotions)
    known = {e for judge in judges.values() for e in judge.emotions}
    if not known & set(names):
        raise EmotionInterpError(f"the judges know none of {list(names)}, only {sorted(known)}.")
    site = bank.site(bank.layers[len(bank.layers) // 2] if layer is None else layer)
    directions: list[Direction | None] = []
    notes: list[str] = []
    failure: EmotionInterpError | None = None
    for emotion in names:
        try:
            directions.append(bank.direction(emotion, layer=site, language=setting.language, method=method))
            notes.append("")
        except EmotionInterpError as error:
            failure = error
            directions.append(None)
            notes.append(str(error))
    if failure is not None and all(direction is None for direction in directions):
        raise failure
    question = Question(
        setting.subject,
        prompts,
        JointJudge(judges),
        names,
        setting.positions,
        setting.max_new_tokens,
        setting.seed,
        dict(setting.generation),
        setting.samples,
        setting.spoken,
    )
    return Aim(with_budget(question), dict(judges), names, tuple(directions), tuple(notes), site, bank)


def checked_length(setting: Setting, site: Site, dose: object) -> float:
    """What a dose at a site adds.

    Raises:
        EmotionInterpError: it is not above 0.
    """
    amount = check_dose(dose)
    if amount <= 0:
        raise EmotionInterpError(f"a verdict is on a dose above 0, got {dose!r}.")
    return amount * float(scale_at(setting.bank.scales, site) or scale_of(setting.subject, site))


def steer_all(asked: Aim, length: float, folder: str | Path | None) -> Steered:
    """The emotions' texts and unsteered ones, judged."""
    import pandas as pd

    question, units = asked.question, asked.units
    more = max(question.samples, BASE_SAMPLES) if question.options.get("do_sample") else question.samples
    wide = replace(question, samples=more)
    base = written(wide, asked.site, np.zeros((1, units.shape[1])), length, "unsteered", folder)
    made = written(question, asked.site, units, length, "emotions", folder)
    means = mean_answers(asked.judges, made, folder)
    first = answers(asked.judges, base)
    pairs = [("", wide, base.texts[0])]
    pairs += [
        (e, question, texts) for e, texts, d in zip(asked.emotions, made.texts, asked.directions, strict=True) if d
    ]
    records = [
        {"emotion": e, "prompt": p, "text": t}
        for e, q, texts in pairs
        for p, t in zip(q.written_prompts, texts, strict=True)
    ]
    texts = pd.DataFrame(records, columns=["emotion", "prompt", "text"])
    return Steered(means, {judge: v[0] for judge, v in first.items()}, quality(question, base, made), texts)
