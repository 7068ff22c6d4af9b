"""What vectors promote: the logit lens of each, and the next tokens after each was added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import rankdata

from emotion_interp.core.types import Site
from emotion_interp.features.lens import lens_logits
from emotion_interp.judges.next_word import NextWords, next_token_logits
from emotion_interp.steering.interventions import RowInterventions

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject

LENS_TOKENS = 20
"""Tokens that stand for a feature in its output score, as in the authors' code."""


@dataclass(frozen=True, eq=False)
class OutputQuestion:
    """What is asked of every vector in one language."""

    prompts: list[str]
    words: NextWords

    @property
    def tokens(self) -> np.ndarray:
        """All tokens of all emotions, each once, sorted."""
        return np.unique([i for ids in self.words.token_ids.values() for i in ids])

    @property
    def own(self) -> np.ndarray:
        """[emotion, token]: whether the token is one of the emotion's."""
        return np.asarray([np.isin(self.tokens, self.words.token_ids[e]) for e in self.words.emotions])

    @property
    def contrast(self) -> np.ndarray:
        """[emotion, token]: weights of the emotion's mean less the mean of the other emotions' means; NaN without words."""
        own_tokens = self.own
        weights = np.full(own_tokens.shape, np.nan)
        for e, mine in enumerate(own_tokens):
            others = [theirs & ~mine for o, theirs in enumerate(own_tokens) if o != e and (theirs & ~mine).any()]
            if mine.any() and others:
                weights[e] = mine / mine.sum() - np.mean([o / o.sum() for o in others], axis=0)
        return weights


def direct_effects(
    subject: Subject, vectors: np.ndarray, n_features: int, question: OutputQuestion
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the logit lens: AUROC [vector, emotion], percentile [feature, emotion], the features' own tokens [feature, k]."""
    tokens, own_tokens = question.tokens, question.own
    index = torch.from_numpy(tokens)
    chosen, percentile, lens = [], [], []
    for part, logits in lens_logits(subject, torch.from_numpy(vectors)):
        at = logits[:, index.to(logits.device)]
        chosen.append(at.cpu().numpy())
        count = max(0, min(part.stop, n_features) - part.start)
        if count:
            written = logits[:count, : len(subject.tokenizer)]
            lens.append(written.topk(min(LENS_TOKENS, written.shape[1]), dim=1).indices.cpu().numpy())
            ordered = logits[:count].sort(dim=1).values
            below = torch.searchsorted(ordered, at[:count].contiguous()).cpu().numpy()
            percentile.append(below / max(1, logits.shape[1] - 1))
    ranks = rankdata(np.concatenate(chosen), axis=1)
    share = own_tokens / np.maximum(own_tokens.sum(1, keepdims=True), 1)
    own_n = own_tokens.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        auroc = (ranks @ share.T - (own_n + 1) / 2) / (len(tokens) - own_n)
        mean = np.concatenate(percentile) @ share.T
    nothing = (own_n == 0) | (own_n == len(tokens))
    auroc[:, nothing], mean[:, own_n == 0] = np.nan, np.nan
    return auroc, mean, np.concatenate(lens)


def measured_changes(
    subject: Subject, site: Site, question: OutputQuestion, vectors: np.ndarray, lens: np.ndarray, token_budget: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Adding each vector: mean change of log probability [vector, token]; output scores [feature], steered and not."""
    tokens, own_tokens = torch.from_numpy(question.tokens), torch.from_numpy(lens)
    # row 0 is the subject as it is
    rows = RowInterventions({site.point: np.concatenate([np.zeros((1, vectors.shape[1])), vectors]).astype(np.float32)})
    total = np.zeros((len(vectors) + 1, len(tokens)))
    score, before = np.zeros(len(lens)), np.zeros(len(lens))

    def on_logits(p: int, part: np.ndarray, logits: torch.Tensor) -> None:
        del p
        normal = logits.logsumexp(-1, keepdim=True)
        total[part] += (logits[:, tokens.to(logits.device)] - normal).double().cpu().numpy()
        mine = own_tokens.to(logits.device)
        if part[0] == 0:
            bare = logits[:1].expand(len(lens), -1)
            before[:] += _scores(bare, mine, normal[:1])
        steered = np.flatnonzero((part > 0) & (part <= len(lens)))
        if len(steered):
            vector = torch.from_numpy(steered).to(logits.device)
            feature = part[steered] - 1
            score[feature] += _scores(logits[vector], mine[torch.from_numpy(feature).to(mine.device)], normal[vector])

    next_token_logits(subject, question.prompts, rows, on_logits, token_budget=token_budget)
    n = len(question.prompts)
    return (total[1:] - total[:1]) / n, score / n, before / n


def _scores(logits: torch.Tensor, tokens: torch.Tensor, normal: torch.Tensor) -> np.ndarray:
    """(1 - best rank / vocabulary) * largest probability, over each row's own tokens; ranks count from 0."""
    best = logits.gather(1, tokens).max(1, keepdim=True).values
    rank = (logits > best).sum(1)
    chance = (best - normal)[:, 0].double().exp()
    return ((1 - rank.double() / logits.shape[1]) * chance).cpu().numpy()
