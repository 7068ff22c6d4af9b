"""Labelled texts with a question behind them, what the stream holds there, and how the subject goes on when it is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from emotion_interp.activations.forward import Batch, forward_pass
from emotion_interp.concepts.model import NEUTRAL
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.core.languages import check_language
from emotion_interp.core.scopes import surely
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.judges.next_word import NextWords
from emotion_interp.stats.sparse import Matrix
from emotion_interp.steering.hooks import Chosen, hooked, unsteered
from emotion_interp.subjects.plan import evaluation_mode
from emotion_interp.subjects.session import Session
from emotion_interp.subjects.tokens import TokenizedText

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject

QUESTIONS: Mapping[str, str] = {
    "en": "\nThis text is about the feeling of",
    "zh": "\n这段文字表达的情感是",
    "es": "\nEste texto trata del sentimiento de",
}
"""What stands behind each text; the emotion's word would come next."""

WHERE = ("all", "text", "question")
"""Tokens that are changed: of text and question, of one of them; never BOS. "question" runs the text once for all changes."""

LEAST_TEXTS = 4
"""Texts of an emotion from which anything is measured."""

_LOGIT_CELLS = 32_000_000


@dataclass(frozen=True, eq=False)
class ShownTexts:
    """Texts of one language with the question behind them, as the subject reads them at one site.

    Attributes:
        tokens: ids of text and question, the text cut.
        labels: emotion of each text [text].
        n_question: tokens of the question.
        stream: activations of each text [token, d_model], BOS included.
        changed: which tokens of each text are changed [token].
    """

    tokens: tuple[TokenizedText, ...]
    labels: np.ndarray
    n_question: int
    stream: tuple[np.ndarray, ...]
    changed: tuple[np.ndarray, ...]

    def of(self, emotion: str) -> np.ndarray:
        """Numbers of an emotion's texts."""
        return np.flatnonzero(self.labels == emotion)

    def means(self, values: Sequence[Matrix], left_out: Sequence[str]) -> np.ndarray:
        """Mean of each token's values [text][token, column] over the texts of all other labels: [place, column].

        Place 0 stands for every token of a text, the next for each token of the question, which is the same in all texts.
        """
        columns = [i for i, label in enumerate(self.labels) if label not in left_out]
        if not columns:
            raise EmotionInterpError(f"there are no texts without {', '.join(left_out)} to take a mean of.")
        total, count = np.zeros((1 + self.n_question, values[0].shape[1])), 0
        for i in columns:
            first, last = int(self.tokens[i].has_bos), len(self.tokens[i]) - self.n_question
            total[0] += np.asarray(values[i][first:last].sum(0)).ravel()
            tail = values[i][last:]
            total[1:] += tail if isinstance(tail, np.ndarray) else tail.toarray()
            count += last - first
        return total / np.asarray([count, *[len(columns)] * self.n_question])[:, None]

    def places(self, text: int) -> np.ndarray:
        """The place in `means` of each token of a text: [token]."""
        positions = np.zeros(len(self.tokens[text]), dtype=np.int64)
        positions[len(positions) - self.n_question :] = np.arange(1, 1 + self.n_question)
        return positions


def chosen_texts(
    texts: Sequence[Stimulus] | Mapping[str, Any],
    language: str,
    emotions: Sequence[str],
    n_texts: int,
    seed: int,
) -> dict[str, list[str]]:
    """Emotion (or neutral) -> at most so many different texts of the language, drawn at random.

    Raises:
        EmotionInterpError: there are none, or they are plainly in another language.
    """
    texts_of: dict[str, list[str]] = {}
    if isinstance(texts, Mapping):
        if language not in texts:
            raise EmotionInterpError(f"there are no texts in {language!r}; texts has {list(texts)}.")
        given = texts[language]
        pairs = (
            [(stimulus.emotion, stimulus.text) for stimulus in given]
            if not isinstance(given, Mapping)
            else [(emotion, text) for emotion, several in given.items() for text in several]
        )
    else:
        pairs = [(stimulus.emotion, stimulus.text) for stimulus in texts if stimulus.language == language]
    for emotion, text in pairs:
        if emotion in emotions or emotion == NEUTRAL:
            texts_of.setdefault(emotion, []).append(text)
    if not texts_of:
        raise EmotionInterpError(f"there are no texts in {language!r} with an emotion of the bank.")
    drawn = {}
    for emotion, several in texts_of.items():
        unique = list(dict.fromkeys(several))
        random = generator(seed, "texts of causal universality", language, emotion)
        drawn[emotion] = [unique[i] for i in np.sort(random.permutation(len(unique))[:n_texts])]
    check_language([t for several in drawn.values() for t in several], language, "the texts", "give texts in {0!r}")
    return drawn


def show(
    subject: Subject, site: Site, texts: Mapping[str, Sequence[str]], question: str, n_tokens: int, where: str = "all"
) -> ShownTexts:
    """Read every text, cut after so many tokens, with the question behind it, in one pass up to the site.

    Raises:
        UnknownNameError: `where` is none of `WHERE`.
        EmotionInterpError: a question without tokens, or one that leaves no room in the context.
    """
    if where not in WHERE:
        raise UnknownNameError("positions of causal_universality", where, WHERE)
    asked = subject.tokenizer(question, add_special_tokens=False)["input_ids"]
    room = subject.context - len(asked)
    if not asked or room < 2:
        raise EmotionInterpError(
            f"the question {question!r} becomes {len(asked)} tokens; it needs at least one, and room for a text before "
            f"it in the context of {subject.context}."
        )
    labels, flat = zip(*((emotion, text) for emotion, several in texts.items() for text in several), strict=True)
    tokens = []
    for tokenized in subject.tokenize_quietly(list(flat)):
        length = min(n_tokens + int(tokenized.has_bos), room)
        tokens.append(
            TokenizedText(
                (*tokenized.ids[:length], *asked),
                (*tokenized.offsets[:length], *[(0, 0)] * len(asked)),
                tokenized.has_bos,
            )
        )
    stream = [np.zeros((0, 0), dtype=np.float32)] * len(tokens)

    def on_site(place: Site, activations: torch.Tensor, batch: Batch) -> None:
        del place
        for row, text in enumerate(batch.rows):
            stream[text] = activations[row, : batch.lengths[row]].float().cpu().numpy()

    with unsteered():
        forward_pass(subject, tokens, [site], on_site)
    changed = []
    for tokenized in tokens:
        position, start = np.arange(len(tokenized)), len(tokenized) - len(asked)
        mask = position >= int(tokenized.has_bos)
        changed.append(mask & (position < start if where == "text" else position >= start) if where != "all" else mask)
    return ShownTexts(tuple(tokens), np.asarray(labels), len(asked), tuple(stream), tuple(changed))


Delta = Callable[[int, np.ndarray], np.ndarray]
"""(text, numbers of the changes [row]) -> what is added to the stream [row, token, d_model]."""


def word_scores(
    subject: Subject,
    site: Site,
    shown: ShownTexts,
    texts: Sequence[int] | np.ndarray,
    count: int,
    delta: Delta,
    judge: NextWords,
    token_budget: int = 4096,
) -> np.ndarray:
    """Log probability of each emotion's words right after the question under each change: [change, text, emotion].

    NaN for an emotion without words of one token.

    Raises:
        NotFiniteError: the model answers with NaN.
    """
    result = np.full((count, len(texts), len(judge.emotions)), np.nan)
    step_cells = max(1, _LOGIT_CELLS // int(subject.model.cfg.d_vocab))
    running = _Running()
    mode, steering = evaluation_mode(subject.model), hooked(subject, {site: running.change}, "all_with_bos")
    with unsteered(), surely(mode), mode, surely(steering), steering:
        for t, text in enumerate(texts):
            ids, changed = np.asarray(shown.tokens[text].ids), shown.changed[text]
            # what stands before the first changed token is the same under every change
            head = int(np.argmax(changed))
            has_bos = np.asarray([shown.tokens[text].has_bos])
            first = None
            if head > 1:
                running.delta = np.zeros((1, len(ids), 1), dtype=np.float32)
                first = Session(subject, np.asarray([len(ids)]), np.zeros(1, dtype=int), has_bos)
                first.extend(ids[None, :head])
            step = min(step_cells, max(1, token_budget // len(ids)))
            for start in range(0, count, step):
                part = np.arange(start, min(start + step, count))
                running.delta = delta(int(text), part) * changed[None, :, None]
                lengths, rows = np.full(len(part), len(ids)), np.arange(len(part))
                if first is None:
                    session, rest = Session(subject, lengths, rows, has_bos, use_cache=False), ids
                else:
                    session, rest = first.repeat(lengths, rows), ids[head:]
                logits = session.extend(np.repeat(rest[None], len(part), 0)).float()
                normal = logits.logsumexp(-1)
                if not bool(normal.isfinite().all()):
                    raise NotFiniteError("the model's logits have NaN or infinite values under a change of the stream.")
                for e, emotion in enumerate(judge.emotions):
                    if judge.token_ids[emotion]:
                        of_emotion = logits[:, list(judge.token_ids[emotion])].logsumexp(-1)
                        result[part, t, e] = (of_emotion - normal).double().cpu().numpy()
    return result


class _Running:
    """The change of the text that runs now."""

    delta: np.ndarray

    def change(self, activations: torch.Tensor, chosen: Chosen) -> torch.Tensor:
        rows, positions = chosen.plan.rows, chosen.plan.positions[0]
        added = torch.from_numpy(np.ascontiguousarray(self.delta[rows][:, positions], dtype=np.float32))
        return (activations + added.to(activations.device)).to(activations.dtype)
