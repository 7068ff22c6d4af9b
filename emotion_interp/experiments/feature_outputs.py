"""Output scores: what adding a feature makes the model say next, measured, and what its decoder row promotes directly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np
import pandas as pd

from emotion_interp.bank.bank import FeatureBank
from emotion_interp.bank.files import KEYS
from emotion_interp.core.arguments import check_argument, checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError, UnsupportedError
from emotion_interp.core.frames import rows_where
from emotion_interp.core.options import Options, merged
from emotion_interp.core.progress import Progress, ticking
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import WRITABLE_KINDS, Site
from emotion_interp.directions.outputs import OutputScores, label_outputs
from emotion_interp.experiments.output_measures import OutputQuestion, direct_effects, measured_changes
from emotion_interp.experiments.setting import Setting, simple_call
from emotion_interp.features.lens import chosen_features
from emotion_interp.judges.next_word import next_words
from emotion_interp.judges.prompts import NEUTRAL_PROMPTS
from emotion_interp.steering.interventions import check_dose

if TYPE_CHECKING:
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


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Options):
    """Which features are added, with what, and against which null.

    Attributes:
        features: "selected" (selected and top features) or "scored" (every row of `bank.features`).
        prompts: language -> neutral beginnings; default: the setting's in their language, else the tuning half of
            `NEUTRAL_PROMPTS`, so that the test half can still judge what is steered with the features found here.
        words: "held_out" (words that no selection saw), "all" (all concept words), or language -> emotion -> words.
        dose: in units of the site's scale.
        n_random: vectors of the null; the smallest p is 1 / (n_random + 1), so that one effect alone among m rows needs
            m / max_q of them to be found. The thousands of rows of "scored" need more than the default.
        null: "random" directions, or "decoder" rows of other living features of the same SAE (stricter: those are
            directions that the model uses).
        max_q: false discovery rate of an output effect.
        token_budget: tokens of one batch.
    """

    features: str = "selected"
    prompts: Mapping[str, Sequence[str]] | None = None
    words: str | Mapping[str, Mapping[str, Sequence[str]]] = "held_out"
    dose: float = 0.5
    n_random: int = 999
    null: str = "random"
    max_q: float = 0.05
    token_budget: int = 4096


class OutputChoices(TypedDict, total=False):
    """`OutputOptions` by keyword."""

    features: str
    prompts: Mapping[str, Sequence[str]] | None
    words: str | Mapping[str, Mapping[str, Sequence[str]]]
    dose: float
    n_random: int
    null: str
    max_q: float
    token_budget: int


@simple_call("layers", "languages", takes=("seed",), generation=None)
@checked
def output_scores(
    setting: Setting,
    layers: Iterable[int] | None = None,
    languages: Iterable[str] | None = None,
    *,
    progress: Progress = None,
    options: OutputOptions | None = None,
    **choices: Unpack[OutputChoices],
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

    Also `output_scores(subject, bank, ...)` with the seed and every option by keyword.

    Args:
        setting: the model with its SAEs, a `FeatureBank`, and the seed of the null; nothing else of it counts but prompts.
        layers: default: all of the bank.
        languages: default: all of the bank.
        progress: receives the number of interventions times prompts of each finished site and language.
        options: what is added, and the null; or its fields by keyword.
        **choices: fields of `OutputOptions`, by keyword.

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
    asked, bank, subject = merged(OutputOptions, options, choices), setting.bank, setting.subject
    check_argument("output_scores", "bank", bank, "FeatureBank")
    if asked.features not in ("selected", "scored"):
        raise UnknownNameError("choice of features", asked.features, ("selected", "scored"))
    if asked.null not in NULLS:
        raise UnknownNameError("null", asked.null, NULLS)
    if asked.n_random < 19:
        raise EmotionInterpError(f"n_random is at least 19, or no p can be at most .05; got {asked.n_random!r}.")
    dose, chosen = check_dose(asked.dose), bank.features
    if asked.features == "selected":
        chosen = chosen[chosen["selected"] | chosen["top"]]
    languages = list(bank.languages if languages is None else languages)
    sites = chosen_features(subject, bank, layers, chosen)
    for site in sites:
        if site.kind not in WRITABLE_KINDS:
            raise UnsupportedError(f"{site} can be read but not written, so what adding its features does is unknown.")
    questions = {language: _question(setting, language, asked) for language in languages}
    parts = []
    pairs = [(site, language, question) for site in sites for language, question in questions.items()]
    rows_of = [
        rows_where(chosen, (chosen["site"] == str(site)) & (chosen["language"] == language))
        for site, language, _ in pairs
    ]
    amounts = [
        (len(r) + asked.n_random) * len(p[2].prompts) if len(r) else 0 for p, r in zip(pairs, rows_of, strict=True)
    ]
    with ticking(progress, sum(amounts), "adding features", "prompt") as tick:
        for (site, language, question), rows, amount in zip(pairs, rows_of, amounts, strict=True):
            if not amount:
                continue
            vectors = _null(setting, site, language, asked)
            length = dose * bank.scales[site]
            parts.append(_measure(subject, rows, site, question, length, vectors, asked.token_budget))
            tick(amount)
    if not parts:
        raise EmotionInterpError(f"the bank has no such features in {', '.join(languages)}; nothing can be measured.")
    frame = label_outputs(pd.concat(parts, ignore_index=True), asked.max_q)
    settings = {"dose": dose, "n_random": asked.n_random, "null": asked.null, "max_q": asked.max_q}
    settings |= {"seed": setting.seed, "features": asked.features}
    settings["prompts"] = {language: question.prompts for language, question in questions.items()}
    return OutputScores(frame[list(COLUMNS)], settings)


def _question(setting: Setting, language: str, asked: OutputOptions) -> OutputQuestion:
    """Prompts and words of one language."""
    held = _words(setting.bank, asked.words, language)
    given = {setting.spoken: setting.prompts} if asked.prompts is None and setting.prompts else asked.prompts or {}
    texts = NEUTRAL_PROMPTS[language].tune if not given and language in NEUTRAL_PROMPTS else given.get(language)
    if not texts:
        raise EmotionInterpError(
            f"there are no neutral prompts for {language!r}; pass prompts={{{language!r}: [...]}}."
        )
    return OutputQuestion(list(texts), next_words(setting.subject, held, language))


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


def _null(setting: Setting, site: Site, language: str, asked: OutputOptions) -> np.ndarray:
    """Vectors of the null [vector, d_model]."""
    subject, bank, n_random = setting.subject, setting.bank, asked.n_random
    rng = generator(setting.seed, "output null", asked.null, site, language)
    reader = subject.readers[site]
    if asked.null == "random":
        return rng.standard_normal((n_random, subject.d_model))
    at_site = rows_where(bank.features, bank.features["site"] == str(site))
    taken = at_site.loc[at_site["selected"] | at_site["top"], "feature"].to_numpy()
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
    subject: Subject,
    rows: pd.DataFrame,
    site: Site,
    question: OutputQuestion,
    length: float,
    null: np.ndarray,
    token_budget: int,
) -> pd.DataFrame:
    """All columns but q and label for the rows of one site and language."""
    ids = np.unique(rows["feature"].to_numpy(dtype=np.int64))
    decoder = subject.readers[site].decoder_rows(ids).double().cpu().numpy()
    vectors = np.concatenate([decoder, null])
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    direct, percentile, lens = direct_effects(subject, vectors, len(ids), question)
    changes, score, before = measured_changes(subject, site, question, vectors * length, lens, token_budget)
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
