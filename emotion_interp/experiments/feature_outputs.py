"""Output scores: what adding a feature makes the model say next, measured, and what its decoder row promotes directly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.bank.bank import FeatureBank
from emotion_interp.bank.files import KEYS
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError, UnsupportedError
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import WRITABLE_KINDS, Site
from emotion_interp.directions.outputs import OutputScores, label_outputs
from emotion_interp.features.lens import chosen_features, lens_logits
from emotion_interp.judges.next_word import NextWords, next_token_logits, next_words
from emotion_interp.judges.prompts import NEUTRAL_PROMPTS
from emotion_interp.steering.interventions import RowInterventions, check_dose

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from emotion_interp.subjects.subject import Subject

COLUMNS = (
    *KEYS,
    "label",
    "output_effect",
    "output_z",
    "output_p",
    "output_q",
    "output_score",
    "output_score_unsteered",
    "direct_auroc",
    "direct_percentile",
    "direct_z",
    "direct_p",
    "n_tokens",
)
NULLS = ("random", "decoder")
LENS_TOKENS = 20
"""Tokens that stand for a feature in its output score, as in the authors' code."""


@checked
def output_scores(
    subject: Subject,
    bank: FeatureBank,
    layers: Iterable[int] | None = None,
    languages: Iterable[str] | None = None,
    *,
    features: str = "selected",
    prompts: Mapping[str, Sequence[str]] | None = None,
    words: str | Mapping[str, Mapping[str, Sequence[str]]] = "held_out",
    dose: float = 0.5,
    n_random: int = 999,
    null: str = "random",
    max_q: float = 0.05,
    seed: int = 0,
    token_budget: int = 4096,
    progress: Callable[[int], None] | None = None,
) -> OutputScores:
    """What each emotion feature promotes: next-token changes when it is added, and its decoder row through the unembedding.

    Measured: `dose * scale * unit decoder row` is added at the feature's site at the last token of neutral prompts.
    `output_effect` is the mean change of the log probability of the emotion's single-token words, less the mean change
    of the other emotions' words, so that a feature that promotes feeling words of any kind scores 0. output_z and
    output_p compare it, one-sided, with the same of `n_random` other vectors of the same length.

    `output_score` is that of Arad, Mueller & Belinkov (2025), as their code computes it: the `LENS_TOKENS` tokens that the
    feature's own decoder row promotes most stand for the feature; S = (1 - best rank / vocabulary) * largest
    probability among them after the feature was added, whatever the emotion. Ours are the dose (they add ten times the
    largest activation of the last token), the mean over several prompts (they have one), and the same score of the
    unsteered model beside it; so are all other columns, the null and the labels.

    Args:
        subject: the model with its SAEs.
        bank: its features.
        layers, languages: default: all of the bank.
        features: "selected" (selected and top features) or "scored" (every row of `bank.features`).
        prompts: language -> neutral beginnings; default: the tuning half of `NEUTRAL_PROMPTS`, so that the test half
            can still judge what is steered with the features found here.
        words: "held_out" (words that no selection saw), "all" (all concept words), or language -> emotion -> words.
        dose: in units of the site's scale.
        n_random: vectors of the null; the smallest p is 1 / (n_random + 1), so that one effect alone among m rows needs
            m / max_q of them to be found. The thousands of rows of "scored" need more than the default.
        null: "random" directions, or "decoder" rows of other living features of the same SAE (stricter: those are
            directions that the model uses).
        max_q: false discovery rate of an output effect.
        seed: of the null.
        token_budget: tokens of one batch.
        progress: receives the number of interventions times prompts of each finished site and language.

    Returns:
        `.to_frame()`: one row per feature, emotion, layer and language with `COLUMNS`; label is input (selected by
        response, no output effect), output (output_q <= max_q, not selected), both, neither, or untested (the emotion
        has no single-token word: `n_tokens` 0). direct_auroc: AUROC of the emotion's words against the other emotions'
        under the row's logits; direct_percentile: their mean percentile in the whole vocabulary; direct_z and
        direct_p: of direct_auroc against the null.

    Raises:
        EmotionInterpError: a bank of another subject, no prompts or words, or too few vectors for the null.
        UnknownNameError: a layer, language, null or choice of features that does not exist.
        UnsupportedError: a site that cannot be written (z).

    Source: Arad, Mueller & Belinkov 2025, arXiv 2505.20063 (EMNLP 2025).

    Example:
        >>> scores = output_scores(subject, bank)  # doctest: +SKIP
        >>> bank = with_output_directions(subject, scores.add_to(bank))  # doctest: +SKIP
    """
    import pandas as pd

    if features not in ("selected", "scored"):
        raise UnknownNameError("choice of features", features, ("selected", "scored"))
    if null not in NULLS:
        raise UnknownNameError("null", null, NULLS)
    if n_random < 19:
        raise EmotionInterpError(f"n_random is at least 19, or no p can be at most .05; got {n_random!r}.")
    dose = check_dose(dose)
    chosen: Any = bank.features
    if features == "selected":
        chosen = chosen[chosen["selected"] | chosen["top"]]
    languages = list(bank.languages if languages is None else languages)
    sites = chosen_features(subject, bank, layers, chosen)
    for site in sites:
        if site.kind not in WRITABLE_KINDS:
            raise UnsupportedError(f"{site} can be read but not written, so what adding its features does is unknown.")
    asked = {}
    for language in languages:
        held = _words(bank, words, language)
        texts = NEUTRAL_PROMPTS[language].tune if prompts is None and language in NEUTRAL_PROMPTS else None
        texts = (prompts or {}).get(language) if texts is None else texts
        if not texts:
            raise EmotionInterpError(
                f"there are no neutral prompts for {language!r}; pass prompts={{{language!r}: [...]}}."
            )
        asked[language] = _Question(list(texts), next_words(subject, held, language))
    parts = []
    for site in sites:
        for language, question in asked.items():
            rows: Any = chosen[(chosen["site"] == str(site)) & (chosen["language"] == language)]
            if rows.empty:
                continue
            vectors = _null(subject, bank, site, language, null, n_random, seed)
            parts.append(_measure(subject, rows, site, question, dose * bank.scales[site], vectors, token_budget))
            if progress is not None:
                progress((len(rows) + n_random) * len(question.prompts))
    if not parts:
        raise EmotionInterpError(f"the bank has no such features in {', '.join(languages)}; nothing can be measured.")
    frame: Any = label_outputs(pd.concat(parts, ignore_index=True), max_q)
    settings = {"dose": dose, "n_random": n_random, "null": null, "max_q": max_q, "seed": seed, "features": features}
    settings["prompts"] = {language: question.prompts for language, question in asked.items()}
    return OutputScores(frame[list(COLUMNS)], settings)


@dataclass(frozen=True, eq=False)
class _Question:
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
        own = self.own
        weights = np.full(own.shape, np.nan)
        for e, mine in enumerate(own):
            others = [theirs & ~mine for o, theirs in enumerate(own) if o != e and (theirs & ~mine).any()]
            if mine.any() and others:
                weights[e] = mine / mine.sum() - np.mean([o / o.sum() for o in others], axis=0)
        return weights


def _words(
    bank: FeatureBank, words: str | Mapping[str, Mapping[str, Sequence[str]]], language: str
) -> Mapping[str, Sequence[str]]:
    if language not in bank.languages:
        raise UnknownNameError("language", language, bank.languages)
    if not isinstance(words, str):
        return {e: words[language].get(e, ()) for e in bank.emotions}
    if words == "held_out":
        return {e: bank.held_out_words(e, language) for e in bank.emotions}
    if words == "all":
        return {e: list(bank.manifest["concept_words"][language].get(e, ())) for e in bank.emotions}
    raise UnknownNameError("choice of words", words, ("held_out", "all"))


def _null(
    subject: Subject, bank: FeatureBank, site: Site, language: str, null: str, n_random: int, seed: int
) -> np.ndarray:
    """Vectors of the null [vector, d_model]."""
    rng = generator(seed, "output null", null, site, language)
    reader = subject.readers[site]
    if null == "random":
        return rng.standard_normal((n_random, subject.d_model))
    here: Any = bank.features[bank.features["site"] == str(site)]
    taken = here.loc[here["selected"] | here["top"], "feature"].to_numpy()
    pool = np.arange(reader.d_sae)
    if bank.rates is not None and not bank.rates.empty:
        rates = bank.rows_at(bank.rates, site)
        pool = rates.loc[(rates["language"] == language) & (rates["feature"] < reader.d_sae), "feature"].to_numpy()
    pool = np.setdiff1d(pool, taken)
    if len(pool) < 19:
        raise EmotionInterpError(
            f"only {len(pool)} other living features at {site} in {language!r}; use null='random'."
        )
    ids = np.sort(rng.permutation(pool)[:n_random])
    return reader.decoder_rows(ids).double().cpu().numpy()


def _measure(
    subject: Subject, rows: Any, site: Site, question: _Question, length: float, null: np.ndarray, token_budget: int
) -> pd.DataFrame:
    """All columns but q and label for the rows of one site and language."""
    ids = np.unique(rows["feature"].to_numpy(dtype=np.int64))
    decoder = subject.readers[site].decoder_rows(ids).double().cpu().numpy()
    vectors = np.concatenate([decoder, null])
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    direct, percentile, lens = _direct(subject, vectors, len(ids), question)
    changes, score, before = _changes(subject, site, question, vectors * length, lens, token_budget)
    effect = changes @ np.nan_to_num(question.contrast).T
    effect[:, np.isnan(question.contrast).any(1)] = np.nan
    at = np.searchsorted(ids, rows["feature"].to_numpy())
    emotion = np.asarray([question.words.emotions.index(e) for e in rows["emotion"]])
    z, p = _against(effect, len(ids))
    direct_z, direct_p = _against(direct, len(ids))
    return rows[[*KEYS, "selected"]].assign(
        output_effect=effect[at, emotion],
        output_z=z[at, emotion],
        output_p=p[at, emotion],
        output_score=score[at],
        output_score_unsteered=before[at],
        direct_auroc=direct[at, emotion],
        direct_percentile=percentile[at, emotion],
        direct_z=direct_z[at, emotion],
        direct_p=direct_p[at, emotion],
        n_tokens=question.own.sum(1)[emotion],
    )


def _against(values: np.ndarray, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """z and one-sided p of the first rows against the rest: [feature, emotion]."""
    mine, null = values[:n_features], values[n_features:]
    spread = null.std(0, ddof=1)
    z = (mine - null.mean(0)) / np.where(spread > 0, spread, np.nan)
    # a vector changes each emotion's words by its own amount, so every emotion has its own null
    exceeding = len(null) - np.stack(
        [np.searchsorted(np.sort(n), m, side="left") for n, m in zip(null.T, mine.T, strict=True)], 1
    )
    return z, np.where(np.isnan(mine), np.nan, (1 + exceeding) / (len(null) + 1))


def _direct(
    subject: Subject, vectors: np.ndarray, n_features: int, question: _Question
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the logit lens: AUROC [vector, emotion], percentile [feature, emotion], the features' own tokens [feature, k]."""
    import torch
    from scipy.stats import rankdata

    tokens, own = question.tokens, question.own
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
    share = own / np.maximum(own.sum(1, keepdims=True), 1)
    own_n = own.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        auroc = (ranks @ share.T - (own_n + 1) / 2) / (len(tokens) - own_n)
        mean = np.concatenate(percentile) @ share.T
    nothing = (own_n == 0) | (own_n == len(tokens))
    auroc[:, nothing], mean[:, own_n == 0] = np.nan, np.nan
    return auroc, mean, np.concatenate(lens)


def _changes(
    subject: Subject, site: Site, question: _Question, vectors: np.ndarray, lens: np.ndarray, token_budget: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Adding each vector: mean change of log probability [vector, token]; output scores [feature], steered and not."""
    import torch

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
            here = torch.from_numpy(steered).to(logits.device)
            feature = part[steered] - 1
            score[feature] += _scores(logits[here], mine[torch.from_numpy(feature).to(mine.device)], normal[here])

    next_token_logits(subject, question.prompts, rows, on_logits, token_budget=token_budget)
    n = len(question.prompts)
    return (total[1:] - total[:1]) / n, score / n, before / n


def _scores(logits: torch.Tensor, tokens: torch.Tensor, normal: torch.Tensor) -> np.ndarray:
    """(1 - best rank / vocabulary) * largest probability, over each row's own tokens; ranks count from 0."""
    best = logits.gather(1, tokens).max(1, keepdim=True).values
    rank = (logits > best).sum(1)
    chance = (best - normal)[:, 0].double().exp()
    return ((1 - rank.double() / logits.shape[1]) * chance).cpu().numpy()
