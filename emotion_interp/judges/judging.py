"""Judge many interventions on many prompts in few batches: by the next word, or by a classifier of the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.types import Site
from emotion_interp.judges.next_word import NextWords, next_word_probability
from emotion_interp.steering.context import steer_rows
from emotion_interp.steering.interventions import Positions, RowInterventions
from emotion_interp.subjects.generation import continuation_text, decode

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject


class TextJudge(Protocol):
    """A classifier of texts: `emotions` in order, and `predict_proba(texts)` -> [text, emotion]."""

    @property
    def emotions(self) -> Sequence[str]:
        """In the order of the columns."""
        ...

    def predict_proba(self, texts: Sequence[str], /) -> Any:
        """Probabilities [text, emotion]."""
        ...


class CoordinateJudge(Protocol):
    """A judge of coordinates: `predict(texts)` -> [text, 2], valence and arousal."""

    def predict(self, texts: Sequence[str], /) -> Any:
        """Valence and arousal [text, 2]."""
        ...


def judged_by(emotion: str, judge: str) -> str:
    """How the column of an emotion is called that a further judge answers."""
    return f"{emotion} by {judge}"


@dataclass(frozen=True, eq=False)
class JointJudge:
    """Several judges of the same texts; the columns of the first have the emotions' plain names."""

    judges: Mapping[str, TextJudge]

    @property
    def emotions(self) -> tuple[str, ...]:
        (_, first), *others = self.judges.items()
        return (*first.emotions, *(judged_by(e, name) for name, judge in others for e in judge.emotions))

    def predict_proba(self, texts: Sequence[str], /) -> np.ndarray:
        """[text, column], the judges side by side."""
        return np.concatenate([_answered(judge, texts) for judge in self.judges.values()], axis=1)


@dataclass(frozen=True, eq=False)
class Question:
    """What stays the same over all interventions whose texts are judged."""

    subject: Subject
    prompts: tuple[str, ...]
    judge: NextWords | TextJudge
    emotions: tuple[str, ...]
    positions: Positions
    max_new_tokens: int
    seed: int
    options: Mapping[str, object]
    samples: int = 1
    language: str = "en"

    @property
    def written_prompts(self) -> tuple[str, ...]:
        """The prompt of every text of one intervention: all prompts, once for each sample."""
        return self.prompts * self.samples

    @property
    def judges_texts(self) -> bool:
        return not isinstance(self.judge, NextWords)

    @property
    def judge_names(self) -> tuple[str, ...]:
        """Of several judges in order (the first that knows an emotion decides on it); else one empty name."""
        return tuple(self.judge.judges) if isinstance(self.judge, JointJudge) else ("",)

    @property
    def asked(self) -> tuple[str, ...]:
        """The emotions, each once, whoever judges them."""
        if not isinstance(self.judge, JointJudge):
            return self.emotions
        further = {judged_by(e, name) for name in self.judge_names[1:] for e in self.judge.judges[name].emotions}
        return tuple(e for e in self.emotions if e not in further)

    def column(self, emotion: str, judge: str) -> int | None:
        """Where a judge's answers for an emotion are; None for one of several judges that does not know it."""
        if isinstance(self.judge, JointJudge) and emotion not in self.judge.judges[judge].emotions:
            return None
        return self.emotions.index(emotion if judge == self.judge_names[0] else judged_by(emotion, judge))


@dataclass(frozen=True, eq=False)
class Continuations:
    """Texts of every intervention on every prompt: token ids and text [intervention][sample * prompt]."""

    tokens: list[list[list[int]]]
    texts: list[list[str]]


def at_length(site: Site, units: np.ndarray, length: float) -> RowInterventions:
    """Unit vectors [direction, d_model] at one length: one intervention each."""
    return RowInterventions({site: (length * units).astype(np.float32)})


def continue_all(question: Question, rows: RowInterventions) -> Continuations:
    """Continue every prompt under every intervention, all in one batched loop."""
    prompts = [t.row for t in question.subject.tokenize(question.written_prompts, whole=True)]
    n, count = len(prompts), rows.n_rows
    crossed = RowInterventions(rows.vectors, index=np.repeat(np.arange(count), n))
    with steer_rows(question.subject, crossed, question.positions):
        # a sample of a prompt draws the same numbers under every intervention, so that only the intervention differs
        decoded = decode(
            question.subject,
            prompts * count,
            question.max_new_tokens,
            seed=question.seed,
            streams=list(range(n)) * count,
            **{"fork": True, **question.options},
        )
    tokens = [decoded.tokens[i * n : (i + 1) * n] for i in range(count)]
    texts = [
        [
            question.written_prompts[p] + continuation_text(question.subject, prompts[p], new)
            for p, new in enumerate(row)
        ]
        for row in tokens
    ]
    return Continuations(tokens, texts)


def judged(question: Question, rows: RowInterventions, continuations: Continuations | None = None) -> np.ndarray:
    """Judged probability of each emotion, mean over samples: [intervention, prompt, emotion], float64."""
    if isinstance(question.judge, NextWords):
        return next_word_probability(
            question.subject, question.prompts, question.judge, rows, positions=question.positions
        )
    made = continuations if continuations is not None else continue_all(question, rows)
    flat = [text for row_texts in made.texts for text in row_texts]
    answer, names = _answered(question.judge, flat), list(question.judge.emotions)
    result = np.full((len(flat), len(question.emotions)), np.nan)
    for e, emotion in enumerate(question.emotions):
        if emotion in names:
            result[:, e] = answer[:, names.index(emotion)]
    return result.reshape(rows.n_rows, question.samples, len(question.prompts), len(question.emotions)).mean(1)


def _answered(judge: TextJudge, texts: Sequence[str]) -> np.ndarray:
    """A judge's answers, of the shape that they must have."""
    answer, expected = np.asarray(judge.predict_proba(texts), dtype=np.float64), (len(texts), len(judge.emotions))
    if answer.shape != expected:
        raise EmotionInterpError(f"the judge answers with shape {answer.shape}, expected {expected}.")
    return answer


def nothing(subject: Subject) -> RowInterventions:
    """One row that changes nothing."""
    return RowInterventions({Site(0): np.zeros((1, subject.d_model), dtype=np.float32)})
