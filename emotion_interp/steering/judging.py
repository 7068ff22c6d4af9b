"""Judge many interventions on many prompts in few batches: by the next word, or by a classifier of the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.steering.context import steer_rows
from emotion_interp.steering.interventions import Positions, RowInterventions
from emotion_interp.steering.next_word import NextWords, next_word_probability
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


@dataclass(frozen=True, eq=False)
class Setting:
    """What stays the same over all cells of a grid."""

    subject: Subject
    prompts: tuple[str, ...]
    judge: NextWords | TextJudge
    emotions: tuple[str, ...]
    positions: Positions
    max_new_tokens: int
    seed: int
    options: Mapping[str, Any]
    samples: int = 1
    language: str = "en"
    null_folder: str | Path | None = None

    @property
    def written_prompts(self) -> tuple[str, ...]:
        """The prompt of every text of one intervention: all prompts, once for each sample."""
        return self.prompts * self.samples

    @property
    def judges_texts(self) -> bool:
        return not isinstance(self.judge, NextWords)


@dataclass(frozen=True, eq=False)
class Continuations:
    """Texts of every intervention on every prompt: token ids and text [intervention][sample * prompt]."""

    tokens: list[list[list[int]]]
    texts: list[list[str]]


def random_directions(site: Site, count: int, d_model: int, scale: float, dose: float, seed: int) -> RowInterventions:
    """Isotropic directions of the length `dose * scale`; the same unit vectors at every dose: [direction, d_model]."""
    vectors = generator(seed, "random directions", site.hook_name).normal(size=(count, d_model))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return RowInterventions({site: (dose * scale * vectors).astype(np.float32)})


def continue_all(setting: Setting, rows: RowInterventions) -> Continuations:
    """Continue every prompt under every intervention, all in one batched loop."""
    prompts = [list(t.ids) for t in setting.subject.tokenize(setting.written_prompts, whole=True)]
    n, count = len(prompts), rows.n_rows
    crossed = RowInterventions(rows.vectors, index=np.repeat(np.arange(count), n))
    with steer_rows(setting.subject, crossed, setting.positions):
        # a sample of a prompt draws the same numbers under every intervention, so that only the intervention differs
        decoded = decode(
            setting.subject,
            prompts * count,
            setting.max_new_tokens,
            seed=setting.seed,
            streams=list(range(n)) * count,
            **setting.options,
        )
    tokens = [decoded.tokens[i * n : (i + 1) * n] for i in range(count)]
    texts = [
        [setting.written_prompts[p] + continuation_text(setting.subject, prompts[p], new) for p, new in enumerate(one)]
        for one in tokens
    ]
    return Continuations(tokens, texts)


def judged(setting: Setting, rows: RowInterventions, continuations: Continuations | None = None) -> np.ndarray:
    """Judged probability of each emotion, mean over samples: [intervention, prompt, emotion], float64."""
    if isinstance(setting.judge, NextWords):
        return next_word_probability(setting.subject, setting.prompts, setting.judge, rows, positions=setting.positions)
    made = continuations if continuations is not None else continue_all(setting, rows)
    flat = [text for one in made.texts for text in one]
    answer = np.asarray(setting.judge.predict_proba(flat), dtype=np.float64)
    names = list(setting.judge.emotions)
    if answer.shape != (len(flat), len(names)):
        raise EmotionInterpError(f"the judge answers with shape {answer.shape}, expected {(len(flat), len(names))}.")
    result = np.full((len(flat), len(setting.emotions)), np.nan)
    for e, emotion in enumerate(setting.emotions):
        if emotion in names:
            result[:, e] = answer[:, names.index(emotion)]
    return result.reshape(rows.n_rows, setting.samples, len(setting.prompts), len(setting.emotions)).mean(1)


def nothing(subject: Subject) -> RowInterventions:
    """One row that changes nothing."""
    return RowInterventions({Site(0): np.zeros((1, subject.d_model), dtype=np.float32)})
