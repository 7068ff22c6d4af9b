"""Trained directions: vectors under which the subject would rather write an emotion's texts than the other emotions'."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import softplus

from emotion_interp.activations.shown import shown as as_shown
from emotion_interp.bank.added import with_added_directions
from emotion_interp.bank.bank import FeatureBank
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError, UnknownNameError, UnsupportedError
from emotion_interp.core.options import Options, merged
from emotion_interp.core.progress import Progress, ticking
from emotion_interp.core.result import Result
from emotion_interp.core.scopes import surely
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import WRITABLE_KINDS, Site, sites_at
from emotion_interp.features.retest import design_of
from emotion_interp.steering.hooks import Chosen, hooked
from emotion_interp.steering.interventions import check_dose, scale_of
from emotion_interp.subjects.columns import left_padded
from emotion_interp.subjects.plan import resting_mode
from emotion_interp.subjects.session import Session

if TYPE_CHECKING:
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.core.types import Stimulus
    from emotion_interp.subjects.subject import Subject

METHOD = "trained"
_LOGIT_CELLS = 64_000_000
"""Entries of the logits of one pass, with gradients: 256 MB."""
_LEAST = 8
"""Tokens after `skip` that a text needs."""
_HELD_OUT = 16
"""Held-out texts of each emotion that the directions are tested on."""


@dataclass(frozen=True, eq=False, repr=False)
class TrainedDirections(Result):
    """Directions trained on the likelihood of texts.

    Attributes:
        frame: one row per site, language and emotion; see `train_directions`.
        vectors: (site, language) -> unit vectors [emotion, d_model], rows of zeros where an emotion has no texts.
        settings: how they were trained.
    """

    frame: pd.DataFrame
    vectors: dict[tuple[Site, str], np.ndarray]
    settings: dict[str, object] = field(default_factory=dict)

    def add_to(self, bank: FeatureBank) -> FeatureBank:
        """A bank whose `direction(..., method="trained")` gives these directions; the bank itself stays as it is.

        Raises:
            EmotionInterpError: the bank has other emotions than those that were trained.
        """
        if self.settings.get("emotions") != bank.emotions:
            raise EmotionInterpError(
                f"these directions are of {self.settings.get('emotions')}, the bank's emotions are {bank.emotions}."
            )
        added = {(*key, METHOD): vectors for key, vectors in self.vectors.items()}
        return with_added_directions(bank, METHOD, added, {k: v for k, v in self.settings.items() if k != "emotions"})


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """How directions are trained.

    Attributes:
        stimuli: where the bank was found with a user's own texts or a corpus, those texts.
        dose: length of the vectors while they are trained, in units of the site's scale.
        steps: of Adam.
        texts_per_step: texts of each emotion in one step.
        n_tokens: texts are cut to so many tokens.
        skip: tokens before the vector is added.
        contrast: weight of the contrast, per nat.
        likelihood: weight of the likelihood, per nat a token.
        learning_rate: of Adam, for vectors of length 1.
        seed: of the draws.
    """

    stimuli: str | Sequence[Stimulus] | None = None
    dose: float = 0.45
    steps: int = 80
    texts_per_step: int = 3
    n_tokens: int = 64
    skip: int = 12
    contrast: float = 0.1
    likelihood: float = 0.3
    learning_rate: float = 0.02
    seed: int = 0


class TrainingChoices(TypedDict, total=False):
    """`TrainingOptions` by keyword."""

    stimuli: str | Sequence[Stimulus] | None
    dose: float
    steps: int
    texts_per_step: int
    n_tokens: int
    skip: int
    contrast: float
    likelihood: float
    learning_rate: float
    seed: int


@checked
def train_directions(
    subject: Subject,
    concepts: ConceptSet,
    bank: FeatureBank,
    layers: Iterable[int | Site | str] | None = None,
    languages: Iterable[str] | None = None,
    *,
    progress: Progress = None,
    options: TrainingOptions | None = None,
    **choices: Unpack[TrainingChoices],
) -> TrainedDirections:
    """Train, at each site, one vector for every emotion on the texts of the bank's discovery half.

    A text x of emotion e is scored by the log probability of its tokens after the first `skip`, while
    `dose * scale * unit vector` is added from token `skip` on: log p(x | v_e). Each step draws texts of all emotions and
    for each text another emotion o, and lowers by Adam

        softplus(-contrast * (log p(x | v_e) - log p(x | v_o))) - likelihood * log p(x | v_e) / tokens

    starting from the difference of means. All emotions are trained in one batch. At the end the mean over emotions is
    taken out: what all have in common says nothing of one. No judge and no steered text is ever looked at.

    Args:
        subject: the bank's subject.
        concepts: the concept set the bank was found with.
        bank: a `FeatureBank` found on texts.
        layers: default: all of the bank that can be written.
        languages: default: all of the bank that can be written.
        progress: receives the number of texts of each finished step.
        options: texts, length, steps and weights; or its fields by keyword.
        **choices: fields of `TrainingOptions`, by keyword.

    Returns:
        `.to_frame()`: layer, site, language, emotion, n_texts, n_heldout; on texts of the confirmation half (at most 16
        an emotion): gain (nats a token over the unsteered subject, under the emotion's own direction), preferred (share of
        texts that are likelier under their own direction than under that of another emotion drawn at random; .5 is
        chance), gain_dense and preferred_dense (the same of the difference of means), cosine_dense. `.add_to(bank)`:
        method "trained".

    Raises:
        EmotionInterpError: a bank of words, other texts than the bank's or too short ones, a bank of another subject, or
            fewer than two emotions.
        UnsupportedError: a site that cannot be written.
        NotFiniteError: the loss is not finite; take a smaller dose.

    Source: steering vectors trained on likelihood (Subramani et al. 2022, arXiv 2205.05124) and on preferences (BiPO, Cao
    et al. 2024, arXiv 2406.00045); the contrast between emotions is ours.

    Example:
        >>> stories = ei.corpus_stimuli("stories", split="subject")  # doctest: +SKIP
        >>> bank = ei.train_directions(subject, ei.concept_set("en"), bank, [2], stimuli=stories).add_to(bank)  # doctest: +SKIP
    """
    chosen = merged(TrainingOptions, options, choices)
    require_same_subject(bank, subject)
    skip, n_tokens = chosen.skip, chosen.n_tokens
    if not (skip >= 1 and n_tokens >= skip + _LEAST):
        raise EmotionInterpError(f"n_tokens is at least skip + {_LEAST}, skip at least 1; got {n_tokens=}, {skip=}.")
    asked = list(dict.fromkeys(bank.languages if languages is None else languages))
    for language in asked:
        if language not in bank.languages:
            raise UnknownNameError("language", language, bank.languages)
    named = list(bank.scales) if layers is None else [s for layer in layers for s in sites_at(bank.scales, layer)]
    sites = [s for s in named if s.kind in WRITABLE_KINDS]
    if not sites:
        raise UnsupportedError(
            f"{', '.join(map(str, named)) or 'nothing'} can be read but not written; name other layers."
        )
    frames, vectors = [], {}
    for language in asked:
        texts = _texts(subject, concepts, bank, language, chosen)
        for site in dict.fromkeys(sites):
            dense = np.asarray(bank.directions[site, language, "dense"], dtype=np.float64)
            emotions = [e for e in range(len(dense)) if dense[e].any() and texts[0][e] and texts[1][e]]
            if len(emotions) < 2:
                raise EmotionInterpError(f"fewer than two emotions have texts of both halves in {language!r}.")
            length = check_dose(chosen.dose) * scale_of(subject, site, bank.scales)
            random = generator(chosen.seed, site, language)
            training = _Training(subject, site, length, skip, [texts[0][e] for e in emotions], random)
            start = dense[emotions] / np.linalg.norm(dense[emotions], axis=1, keepdims=True)
            trained = training.train(start, chosen, progress)
            draw = generator(chosen.seed, "held-out texts", language)
            tested = [[texts[1][e][i] for i in draw.permutation(len(texts[1][e]))[:_HELD_OUT]] for e in emotions]
            rows = training.held_out(tested, trained, start)
            rows |= {"cosine_dense": (trained * start).sum(1), "n_texts": [len(texts[0][e]) for e in emotions]}
            names = [bank.emotions[e] for e in emotions]
            frames.append(
                pd.DataFrame({"layer": site.layer, "site": str(site), "language": language, "emotion": names, **rows})
            )
            every = np.zeros_like(dense)
            every[emotions] = trained
            vectors[site, language] = every.astype(np.float32)
    said = ("dose", "steps", "seed", "skip", "n_tokens", "contrast", "likelihood", "learning_rate")
    settings = {"emotions": bank.emotions, **{name: getattr(chosen, name) for name in said}}
    return TrainedDirections(pd.concat(frames, ignore_index=True), vectors, settings)


def _texts(
    subject: Subject, concepts: ConceptSet, bank: FeatureBank, language: str, asked: TrainingOptions
) -> tuple[list[list[tuple[int, ...]]], list[list[tuple[int, ...]]]]:
    """Token ids of every emotion's texts, [emotion][text], of the discovery half and of the confirmation half."""
    if bank.manifest["stimuli"] == "words" and asked.stimuli is None:
        raise EmotionInterpError("directions are trained on texts, and this bank was found on single words.")
    words, shown, units = design_of(concepts, bank, asked.stimuli)
    side = dict(zip(words["unit"], words["side"], strict=True))
    spoken = [(s, side[u]) for s, u in zip(shown, units, strict=True) if s.language == language]
    tokens = subject.tokenize_quietly(as_shown(subject, [s for s, _ in spoken])[0])
    halves: dict[str, list[list[tuple[int, ...]]]] = {
        k: [[] for _ in bank.emotions] for k in ("discovery", "confirmation")
    }
    for (stimulus, half), ids in zip(spoken, tokens, strict=True):
        if stimulus.emotion in bank.emotions and len(ids.ids) >= asked.skip + _LEAST:
            halves[half][bank.emotions.index(stimulus.emotion)].append(
                tuple(ids.ids[: min(asked.n_tokens, subject.context)])
            )
    return halves["discovery"], halves["confirmation"]


@dataclass
class _Training:
    """One site and language: texts [emotion][text] of token ids, and vectors at one length."""

    subject: Subject
    site: Site
    length: float
    skip: int
    texts: list[list[tuple[int, ...]]]
    random: np.random.Generator

    def train(self, start: np.ndarray, asked: TrainingOptions, progress: Progress) -> np.ndarray:
        """Unit vectors [emotion, d_model], float64."""
        count = len(self.texts)
        vectors = torch.tensor(start, dtype=torch.float32, device=self.subject.device, requires_grad=True)
        adam = torch.optim.Adam([vectors], lr=asked.learning_rate)
        with ticking(progress, asked.steps * count * asked.texts_per_step, "training directions") as tick:
            self._steps(vectors, adam, asked, tick)
        units = vectors.detach().double().cpu().numpy()
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        units -= units.mean(0)
        return units / np.linalg.norm(units, axis=1, keepdims=True)

    def _steps(
        self, vectors: torch.Tensor, adam: torch.optim.Optimizer, asked: TrainingOptions, tick: Callable[[int], None]
    ) -> None:
        count = len(self.texts)
        for _ in range(asked.steps):
            targets = np.repeat(np.arange(count), asked.texts_per_step)
            rows = [self.texts[e][self.random.integers(len(self.texts[e]))] for e in targets]
            # another emotion than the text's own
            other = (targets + self.random.integers(1, count, size=len(targets))) % count
            vectors.grad = torch.zeros_like(vectors)
            for part in self._parts(rows, 2):
                # notebooks of TransformerLens often switch gradients off for good
                with torch.enable_grad():
                    units = vectors / vectors.norm(dim=1, keepdim=True)
                    chosen = units[torch.from_numpy(np.concatenate([targets[part], other[part]])).to(units.device)]
                    mine, theirs, n = self._pair([rows[i] for i in part], chosen)
                    loss = (softplus(asked.contrast * (theirs - mine)) - asked.likelihood * mine / n).sum() / len(rows)
                if not bool(torch.isfinite(loss)):
                    raise NotFiniteError(f"the likelihood at {self.site} is not finite; a smaller dose may help.")
                # only the vectors' gradient: the subject's parameters keep theirs as they were
                vectors.grad += torch.autograd.grad(loss, vectors)[0]
            adam.step()
            tick(len(rows))

    def held_out(self, texts: list[list[tuple[int, ...]]], found: np.ndarray, dense: np.ndarray) -> dict[str, object]:
        """gain, preferred and the same of the dense directions, per emotion."""
        targets = np.concatenate([np.full(len(ids), e) for e, ids in enumerate(texts)])
        other = (targets + self.random.integers(1, len(texts), size=len(targets))) % len(texts)
        rows = [row for ids in texts for row in ids]
        results: dict[str, object] = {"n_heldout": [len(ids) for ids in texts]}
        with torch.no_grad():
            for name, units in (("", found), ("_dense", dense)):
                table = torch.tensor(units, dtype=torch.float32, device=self.subject.device)
                gains, wins = np.zeros(len(rows)), np.zeros(len(rows))
                for part in self._parts(rows, 2):
                    chosen = table[torch.from_numpy(np.concatenate([targets[part], other[part]])).to(table.device)]
                    some = [rows[i] for i in part]
                    mine, theirs, n = self._pair(some, chosen)
                    bare, _ = self._log_probabilities(some, None)
                    gains[part] = ((mine - bare) / n).double().cpu().numpy()
                    wins[part] = ((mine > theirs).double() + 0.5 * (mine == theirs).double()).cpu().numpy()
                for key, values in (("gain", gains), ("preferred", wins)):
                    results[key + name] = [values[targets == e].mean() for e in range(len(texts))]
        return results

    def _parts(self, rows: list[tuple[int, ...]], copies: int) -> list[np.ndarray]:
        """Numbers of the rows of each pass, so that the logits of `copies` of them fit the budget."""
        cells = max(map(len, rows)) * int(self.subject.model.cfg.d_vocab) * copies
        step = max(1, _LOGIT_CELLS // cells)
        return [np.arange(first, min(first + step, len(rows))) for first in range(0, len(rows), step)]

    def _pair(
        self, rows: list[tuple[int, ...]], vectors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log probability of every text under the first and under the second of its two vectors, and its tokens."""
        values, n = self._log_probabilities([*rows, *rows], vectors)
        return values[: len(rows)], values[len(rows) :], n[: len(rows)]

    def _log_probabilities(
        self, rows: list[tuple[int, ...]], vectors: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log probability of the tokens past `skip`, summed, and their number: [row] each; vectors are [row, d_model]."""
        ids, real = left_padded(rows)
        lengths = np.asarray([len(row) for row in rows])
        bos = self.subject.has_bos(rows)
        session = Session(self.subject, lengths, np.arange(len(rows)), bos, use_cache=False)
        changes = {} if vectors is None else {self.site.point: _addition(vectors * self.length)}
        mode, steering = resting_mode(self.subject.model), hooked(self.subject, changes, self.skip)
        with surely(mode), mode, surely(steering), steering:
            logits = session.extend(ids, real, last_only=False)[:, :-1].float()
        target = torch.from_numpy(ids[:, 1:]).to(logits.device)[..., None]
        scores = logits.gather(-1, target)[..., 0] - logits.logsumexp(-1)
        # steering at position p changes what is expected at p + 1
        scored = torch.from_numpy(session.positions[:, 1:] > self.skip).to(logits.device)
        return torch.where(scored, scores, 0.0).sum(1), scored.sum(1)


def _addition(vectors: torch.Tensor) -> Callable[[torch.Tensor, Chosen], torch.Tensor]:
    """Adds each row's own vector [row, d_model], through which gradients flow."""

    def change(activations: torch.Tensor, chosen: Chosen) -> torch.Tensor:
        moved = vectors[torch.from_numpy(chosen.plan.rows).to(vectors.device)][:, None, :]
        factor = chosen.factor(moved)
        return activations + (moved if factor is None else moved * factor).to(activations.dtype)

    return change
