"""The next-word judge: how much probability the subject gives to an emotion's words right after a neutral prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, NotFiniteError
from emotion_interp.core.scopes import surely
from emotion_interp.steering.context import steer_rows
from emotion_interp.steering.interventions import Positions, RowInterventions
from emotion_interp.steering.positions import SPARING
from emotion_interp.subjects.plan import evaluation_mode
from emotion_interp.subjects.session import Session
from emotion_interp.subjects.turns import TokenRow

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects.subject import Subject

SPACELESS = ("zh", "ja", "th", "yue")
"""Languages that put no space before a word."""


@dataclass(frozen=True, eq=False)
class NextWords:
    """Emotions' words that are one token each under a tokenizer.

    Attributes:
        emotions: in order.
        words: emotion -> the words that count.
        token_ids: emotion -> their token ids, each once.
        left_out: emotion -> words of several tokens, which cannot be judged at one position.
    """

    emotions: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]
    token_ids: Mapping[str, tuple[int, ...]]
    left_out: Mapping[str, tuple[str, ...]]


def next_words(subject: Subject, words: Mapping[str, Sequence[str]], language: str = "en") -> NextWords:
    """Keep the words that are a single token, with a space before them where the language writes one.

    Raises:
        EmotionInterpError: no word of any emotion is a single token.
    """
    known: dict[str, tuple[str, ...]] = {}
    ids: dict[str, tuple[int, ...]] = {}
    left: dict[str, tuple[str, ...]] = {}
    space = "" if language in SPACELESS else " "
    for emotion, several in words.items():
        unique = list(dict.fromkeys(several))
        encoded = [subject.tokenizer(space + w, add_special_tokens=False)["input_ids"] for w in unique]
        # a SentencePiece tokenizer adds the space itself
        if space and any(len(e) > 1 for e in encoded):
            bare = [subject.tokenizer(w, add_special_tokens=False)["input_ids"] for w in unique]
            spaced = [_writes_space(subject, b) for b in bare]
            encoded = [b if s and len(b) == 1 else e for e, b, s in zip(encoded, bare, spaced, strict=True)]
        single = [(w, e[0]) for w, e in zip(unique, encoded, strict=True) if len(e) == 1]
        known[emotion] = tuple(w for w, _ in single)
        ids[emotion] = tuple(dict.fromkeys(i for _, i in single))
        left[emotion] = tuple(w for w in unique if w not in known[emotion])
    if not any(ids.values()):
        some = [w for several in words.values() for w in several][:5]
        raise EmotionInterpError(
            f"no word of any emotion is a single token of {subject.name} (for example {some}), so the next-word judge "
            "has nothing to count; give other words, or a judge of texts."
        )
    return NextWords(tuple(words), known, ids, left)


def _writes_space(subject: Subject, ids: Sequence[int]) -> bool:
    return len(ids) == 1 and str(subject.tokenizer.convert_ids_to_tokens(ids[0])).startswith("\u2581")


def next_word_probability(
    subject: Subject,
    prompts: Sequence[str],
    words: Mapping[str, Sequence[str]] | NextWords,
    interventions: RowInterventions | None = None,
    *,
    positions: Positions = "from_last_prompt_token",
    language: str = "en",
    token_budget: int = 4096,
) -> np.ndarray:
    """Probability mass of each emotion's single-token words as the next word after each prompt.

    Every intervention meets every prompt. With the default positions only the prompt's last token is steered, so the
    tokens before it are run once for all interventions.

    Args:
        subject: the model.
        prompts: texts.
        words: emotion -> words, or `next_words(...)` made before.
        interventions: one for each row; None for the subject as it is (one row).
        positions: where the vectors are added.
        language: of the words; decides on the space before them.
        token_budget: tokens of one batch.

    Returns:
        [intervention, prompt, emotion], float64; NaN for an emotion without single-token words.

    Raises:
        EmotionInterpError: no prompts, or no word is a single token.
        NotFiniteError: the model answers with NaN.

    Example:
        >>> next_word_probability(subject, ["She felt"], {"joy": ["happy", "glad"]}).shape  # doctest: +SKIP
        (1, 1, 1)
    """
    if isinstance(prompts, str) or not len(prompts):
        raise EmotionInterpError(f"prompts is a list of at least one text, got {prompts!r}.")
    judge = words if isinstance(words, NextWords) else next_words(subject, words, language)
    count = 1 if interventions is None else interventions.n_rows
    result = np.full((count, len(prompts), len(judge.emotions)), np.nan)

    def on_logits(p: int, part: np.ndarray, logits: torch.Tensor) -> None:
        normal = logits.logsumexp(-1, keepdim=True)
        for e, emotion in enumerate(judge.emotions):
            if judge.token_ids[emotion]:
                mass = (logits[:, list(judge.token_ids[emotion])] - normal).double().exp().sum(-1)
                result[part, p, e] = mass.cpu().numpy()

    next_token_logits(subject, prompts, interventions, on_logits, positions=positions, token_budget=token_budget)
    return result


def next_token_logits(
    subject: Subject,
    prompts: Sequence[str],
    interventions: RowInterventions | None,
    on_logits: Callable[[int, np.ndarray, torch.Tensor], None],
    *,
    positions: Positions = "from_last_prompt_token",
    token_budget: int = 4096,
) -> None:
    """Run every intervention on every prompt and hand over the logits of the next token, batch by batch.

    Args:
        subject: as in `next_word_probability`.
        prompts: as in `next_word_probability`.
        interventions: as in `next_word_probability`.
        positions: as in `next_word_probability`.
        token_budget: as in `next_word_probability`.
        on_logits: receives (number of the prompt, numbers of the interventions [row], logits [row, vocabulary] float32);
            the interventions of one prompt come in order.

    Raises:
        NotFiniteError: the model answers with NaN.
    """
    count = 1 if interventions is None else interventions.n_rows
    rows = interventions if interventions is not None else RowInterventions({})
    split = isinstance(positions, str) and positions in SPARING
    mode, steering = evaluation_mode(subject.model), steer_rows(subject, rows, positions)
    with surely(mode), mode, surely(steering), steering:
        for p, tokens in enumerate(subject.tokenize(prompts, whole=True)):
            ids = np.asarray(tokens.ids)
            head = len(ids) - 1 if split else 0
            for part, session in _sessions(subject, tokens.row, head, count, token_budget):
                logits = session.extend(np.repeat(ids[None, head:], len(part), 0)).float()
                if not bool(logits.logsumexp(-1).isfinite().all()):
                    raise NotFiniteError("the model's logits have NaN or infinite values; a smaller dose may help.")
                on_logits(p, part, logits)


def _sessions(
    subject: Subject, row: TokenRow, head: int, count: int, token_budget: int
) -> Iterator[tuple[np.ndarray, Session]]:
    """Sessions that have read the first `head` tokens, once for all parts of the interventions."""
    ids, has_bos = np.asarray(row), subject.has_bos([row])
    first = None
    if head:
        first = Session(subject, np.asarray([len(ids)]), np.zeros(1, dtype=int), has_bos, turns=[row.turns])
        first.extend(ids[None, :head])
    step = max(1, token_budget // max(1, len(ids)))
    for start in range(0, count, step):
        part = np.arange(start, min(start + step, count))
        lengths = np.full(len(part), len(ids))
        if first is not None:
            yield part, first.repeat(lengths, part)
        else:
            yield part, Session(subject, lengths, part, has_bos, use_cache=False, turns=[row.turns] * len(part))
