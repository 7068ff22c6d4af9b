"""The text-only row of features and probes: how well TF-IDF (and a sentence encoder, where present) tells the same
emotions apart on the same split, without any model of language under study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.concepts.text_baseline import text_readings
from emotion_interp.core.errors import EmotionInterpError, tell
from emotion_interp.core.frames import rows_where
from emotion_interp.features.dense import contrasts
from emotion_interp.features.design import Design
from emotion_interp.features.probe_fits import balanced_weights, cross_validated_ridge
from emotion_interp.features.retest import design_of
from emotion_interp.stats.scores import composite_auroc, pairwise_auroc
from emotion_interp.stats.sparse import Matrix, by_rows, dense

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.core.types import Stimulus

NEUTRAL = "neutral"
TIED = 12
"""Decimals of a text's score; scores of texts with the same terms differ beyond that by rounding alone."""


def unit_texts(kind: str, words: pd.DataFrame, stimuli: Sequence[Stimulus], units: np.ndarray) -> list[str]:
    """The text of every unit of a design: the word itself of words in carriers, else its text."""
    if kind == "words":
        return words["word"].astype(str).tolist()
    texts = [""] * len(words)
    for stimulus, unit in zip(stimuli, units, strict=True):
        texts[int(unit)] = stimulus.text
    return texts


def text_scores(
    words: pd.DataFrame,
    texts: Sequence[str],
    emotions: Sequence[str],
    kind: str,
    seed: int = 0,
    *,
    probes: bool = False,
) -> pd.DataFrame:
    """Held-out AUROC of the texts alone, on the split of a bank: language, emotion, text_auroc (difference of means of
    TF-IDF), with `probes` text_probe_auroc (linear probe), and the same of "encoder" where one is present.

    Everything (terms and their weights, means, penalty) is learnt on the discovery half; the AUROC is the composite of
    the features' own table on the confirmation half.

    Args:
        words: units with language, emotion, group and side.
        texts: the text of each unit.
        emotions: the bank's emotions.
        kind: "words" (their letters are counted), or texts.
        seed: of the folds of the probe.
    """
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for language in words["language"].unique():
        spoken = rows_where(words, words["language"] == language)
        shown = [texts[int(i)] for i in spoken["unit"]]
        discovery, held = (np.flatnonzero(spoken["side"] == side) for side in ("discovery", "confirmation"))
        labels = spoken["emotion"].to_numpy()
        neutral = len(emotions) if (labels == NEUTRAL).any() else None
        n_classes = len(emotions) + (neutral is not None)
        index = {e: i for i, e in enumerate(emotions)} | {NEUTRAL: len(emotions)}
        codes = np.asarray([index[e] for e in labels])
        for name, values in text_readings(
            shown, str(language), "word" if kind == "words" else "text", discovery
        ).items():
            first, second = values[discovery], values[held]
            means = np.zeros((0, 0))
            if probes:
                first, second = compacted(first, second)
            else:
                means = contrasts(class_means(first, codes[discovery], n_classes), neutral)
            for i, emotion in enumerate(emotions):
                if not (codes[discovery] == i).any() or not (codes[held] == i).any():
                    continue
                if probes:
                    groups = spoken["group"].to_numpy()[discovery]
                    weights, _ = cross_validated_ridge(first, codes[discovery], i, neutral, n_classes, groups, seed)
                    scores = {
                        f"{name}_means_auroc": second @ _signed(first, codes[discovery], i, neutral),
                        f"{name}_probe_auroc": second @ weights,
                    }
                else:
                    scores = {f"{name}_auroc": np.asarray(second @ means[i])}
                row = rows.setdefault((str(language), emotion), {})
                for column, score in scores.items():
                    # texts that share no term with what was learnt are tied; the last bits of a sum are not to part them
                    pairwise = pairwise_auroc(np.round(score, TIED)[:, None], codes[held], i, n_classes)
                    row[column] = composite_auroc(pairwise, i, neutral)[0]
    return pd.DataFrame([{"language": k[0], "emotion": k[1]} | row for k, row in rows.items()])


def class_means(values: Matrix, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Mean row of each class [class, column]; NaN for one without rows. Sparse rows stay so: texts are many."""
    counts = np.bincount(codes, minlength=n_classes)
    sums = dense(by_rows((np.ones(len(codes)), (codes, np.arange(len(codes)))), (n_classes, len(codes))) @ values)
    with np.errstate(invalid="ignore"):
        return sums / counts[:, None]


def _signed(values: np.ndarray, codes: np.ndarray, target: int, neutral: int | None) -> np.ndarray:
    """Difference of weighted means, as of the dense baseline of `sparse_probes`."""
    sample = balanced_weights(codes, target, neutral)
    return np.where(codes == target, sample, -sample) @ values


def compacted(first: Matrix, second: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Both halves in a basis of the first one's rows: same inner products with everything learnt on the first, in at most
    as many dimensions as it has rows."""
    if first.shape[1] <= first.shape[0]:
        return dense(first), dense(second)
    kernel, cross = dense(first @ first.T), dense(second @ first.T)
    values, vectors = np.linalg.eigh(kernel)
    nonzero = values > values[-1] * 1e-10
    roots, vectors = np.sqrt(values[nonzero]), vectors[:, nonzero]
    return vectors * roots, cross @ (vectors / roots)


def text_space_table(words: pd.DataFrame, texts: Sequence[str]) -> pd.DataFrame:
    """The emotion spaces of texts alone, of both halves, as a table that a bank keeps: language, baseline, emotion, vector.

    The vectors are turned into as few dimensions as there are emotions: all that geometry looks at (inner products of the
    centred vectors) stays the same, and no word of the texts can be read from them.
    """
    rows = []
    for language in words["language"].unique():
        spoken = rows_where(words, (words["language"] == language) & (words["emotion"] != NEUTRAL))
        labels = spoken["emotion"].to_numpy()
        emotions = list(dict.fromkeys(labels))
        if len(emotions) < 2:
            continue
        for name, values in text_readings([texts[int(i)] for i in spoken["unit"]], str(language)).items():
            means = np.stack([np.asarray(values[labels == e].mean(axis=0)).ravel() for e in emotions])
            left, singular, _ = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
            nonzero = singular > singular[0] * 1e-9
            for emotion, vector in zip(emotions, left[:, nonzero] * singular[nonzero], strict=True):
                row = {"language": str(language), "baseline": name, "emotion": emotion, "vector": vector.tolist()}
                rows.append(row)
    return pd.DataFrame(rows, columns=["language", "baseline", "emotion", "vector"])


def with_text_scores(bank: FeatureBank, design: Design) -> FeatureBank:
    """The bank with the text-only figures beside each emotion's top feature (`summary`: text_auroc, and encoder_auroc
    where an encoder is present), and, if it was found on texts, their emotion spaces (the table "text_space")."""
    kind = design.kind
    texts = unit_texts(kind, design.words, design.stimuli, design.units)
    try:
        return _with_text_scores(bank, design.words, texts, kind)
    except EmotionInterpError as error:
        tell(f"no text-only row stands beside these features: {error}")
        return bank


def _with_text_scores(bank: FeatureBank, words: pd.DataFrame, texts: Sequence[str], kind: str) -> FeatureBank:
    scores = text_scores(words, texts, bank.emotions, kind, int(bank.manifest["seed"]))
    old = bank.summary
    old = old.drop(columns=[c for c in old if c in set(scores) - {"language", "emotion"}])
    bank = replace(bank, summary=old.merge(scores, on=["language", "emotion"], how="left"))
    return bank if kind == "words" else bank.with_table("text_space", text_space_table(words, texts))


def add_text_scores(bank: FeatureBank, concepts: ConceptSet, stimuli: Sequence[Stimulus] | None = None) -> FeatureBank:
    """`with_text_scores` for a bank at hand: the stimuli it was found on are made (or, if they are texts of your own,
    given) again.

    Raises:
        EmotionInterpError: the concepts or texts are not those of the bank, or texts are not given.

    Example:
        >>> bank = add_text_scores(bank, concepts, stimuli)  # doctest: +SKIP
        >>> bank.summary[["emotion", "auroc_heldout", "dense_auroc", "text_auroc"]]  # doctest: +SKIP
    """
    words, shown, units = design_of(concepts, bank, stimuli)
    usable_words = words["language"].isin(bank.languages) & words["emotion"].isin([*bank.emotions, NEUTRAL])
    places = np.flatnonzero(usable_words.to_numpy())
    scored_words = words.iloc[places].reset_index(drop=True)
    renamed = {int(u): i for i, u in enumerate(scored_words["unit"])}
    inside = [i for i, u in enumerate(units) if int(u) in renamed]
    scored_words["unit"] = np.arange(len(scored_words))
    kind = str(bank.manifest["stimuli"])
    again = Design(kind, scored_words, [shown[i] for i in inside], np.asarray([renamed[int(units[i])] for i in inside]))
    return with_text_scores(bank, again)


def beside_texts(
    baselines: pd.DataFrame, words: pd.DataFrame, texts: Sequence[str], emotions: Sequence[str], kind: str, seed: int
) -> pd.DataFrame:
    """The dense baselines of probes with the columns of `text_scores`; without them, and a warning, where texts share no term."""
    try:
        alone = text_scores(words, texts, emotions, kind, seed, probes=True)
    except EmotionInterpError as error:
        tell(f"no text-only row stands beside these probes: {error}")
        return baselines
    return baselines.merge(alone, on=["language", "emotion"], how="left")
