"""Necessity: how much of an emotion goes when its features are ablated in emotional text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np
import pandas as pd

from emotion_interp.bank.bank import FeatureBank
from emotion_interp.core.arguments import check_argument, checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.options import Options, merged
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.experiments.matched_sets import LEAST_SETS, FiredOn, fired_on, fully_matched, overlap, rate_matched
from emotion_interp.experiments.setting import Setting, simple_call
from emotion_interp.judges.judging import TextJudge
from emotion_interp.judges.next_word import NextWords, next_words
from emotion_interp.steering.context import unsteered
from emotion_interp.steering.operations import ablate_rows
from emotion_interp.subjects.generation import continuation_text, decode

RESAMPLES = 2000

NULLS = ("matched", "scaled")
"""How random sets take away as much: by their choice, or by a factor."""

_LOGIT_CELLS = 32_000_000


@dataclass(frozen=True, kw_only=True)
class NecessityOptions(Options):
    """What is ablated, and against which random sets.

    Attributes:
        n_random: random sets; the smallest p is 1 / (n_random + 1).
        features: of `layer`, to ablate instead of the selected ones.
        words: for the next-word judge; default: the setting's words of the emotion, else the bank's held-out ones.
        null: "matched", "scaled", or both.
        tolerance: of "matched": .25 allows ratios from 1 / 1.25 to 1.25.
    """

    n_random: int = 199
    features: Sequence[int] | None = None
    words: Sequence[str] | None = None
    null: str | Sequence[str] = "matched"
    tolerance: float = 0.25


class NecessityChoices(TypedDict, total=False):
    """`NecessityOptions` by keyword."""

    n_random: int
    features: Sequence[int] | None
    words: Sequence[str] | None
    null: str | Sequence[str]
    tolerance: float


@simple_call(
    *("emotion", "texts", "judge", "layer", "language", "n_random"),
    takes=("judge", "language", "max_new_tokens", "seed"),
    judge="TextJudge | None",
    renamed={"prompts": "texts"},
)
@checked
def necessity(
    setting: Setting,
    emotion: str,
    layer: int | Site | str | None = None,
    *,
    options: NecessityOptions | None = None,
    **choices: Unpack[NecessityChoices],
) -> pd.DataFrame:
    """Judged drop when an emotion's selected features are ablated in emotional text, against random features.

    The features are set to 0 at every token of the text and of its continuation. Each random set has as many features, all
    of which fire on these texts, and takes away as much: the norm of sum_f act_f W_dec[f], mean over the texts' tokens.
    Under "matched" sets are sought whose mean firing rate and removed norm are both those of the features, within the
    tolerance; where there are fewer than 19 such sets there is no p, and `note` says so. Under "scaled" each feature
    stands for one with a like rate (of the 20 nearest), and what the set takes away is multiplied by a factor that makes
    its norm the same.

    Also `necessity(subject, bank, emotion, texts, ...)` with the fields of a `Setting`, and options of `decode`, by keyword.

    Args:
        setting: a subject with SAEs, a bank and the rest; its prompts are texts with this emotion, best broken off before it
            is named. A text judge sees the continuation alone; the next-word judge reads the probability of the
            emotion's words right after the text. Its positions do not count.
        emotion: whose features are ablated, and which the judge is asked for.
        layer: a layer or site; default: the one with most selected features.
        options: which features and random sets; or its fields by keyword.
        **choices: fields of `NecessityOptions`, by keyword.

    Returns:
        one row for each null: emotion, layer, site, language, n_features, n_texts; rate (share of the texts' tokens at which
        an ablated feature fires, mean over features); target (mean judged probability), target_ablated, drop = target -
        target_ablated, lo, hi (95% percentile bootstrap over texts), random_drop (mean), random_lo, random_hi (2.5 and
        97.5% of the random sets), p = (1 + b) / (n_random + 1), b the random sets that drop at least as far; n_random
        (sets there are); null; removed (norm of what the features take away), removed_null, removed_null_lo,
        removed_null_hi (median, smallest and largest of the random sets, before any factor), removed_ratio (their median
        over the features'), rate_null (median), factor (median; 1 under "matched"), overlap (share of its features that a
        random set has in common with another), note.

    Raises:
        EmotionInterpError: no texts, no selected feature, a text judge without new tokens, or one that does not know the
            emotion; a tolerance that is not above 0.
        UnknownNameError: another null.

    Example:
        >>> necessity(subject, bank, "fear", ["It was dark, and behind me somebody"])  # doctest: +SKIP
    """
    chosen, texts = merged(NecessityOptions, options, choices), list(setting.some_prompts())
    names = [chosen.null] if isinstance(chosen.null, str) else list(chosen.null)
    for name in names:
        if name not in NULLS:
            raise UnknownNameError("null of necessity", name, NULLS)
    if not names or not chosen.tolerance > 0:
        raise EmotionInterpError(
            f"give at least one null and a tolerance above 0; got {chosen.null!r} and {chosen.tolerance!r}."
        )
    if setting.samples != 1:
        raise EmotionInterpError(f"necessity continues each text once; give samples=1, not {setting.samples}.")
    judge = _judge(setting, emotion, chosen.words)
    site, features = _chosen(setting.bank, emotion, layer, setting.language, chosen.features)
    with unsteered():
        fired = fired_on(setting.subject, site, texts)
    drawn = [_drawn(name, fired, features, chosen, setting.seed) for name in names]
    sets = [[], features.tolist(), *(some.tolist() for random_sets in drawn for some in random_sets.sets)]
    strengths = np.concatenate([[1.0, 1.0], *(random_sets.factors for random_sets in drawn)])
    judged = _judged(setting, site, sets, strengths, judge, emotion)
    drop = judged[0] - judged[1]
    n = len(texts)
    picks = generator(setting.seed, "bootstrap over texts", n).integers(0, n, size=(RESAMPLES, n))
    low, high = np.percentile(drop[picks].mean(1), [2.5, 97.5])
    shared: dict[str, Any] = {
        "emotion": emotion,
        "layer": site.layer,
        "site": str(site),
        "language": setting.language,
    }
    shared |= {"n_features": len(features), "n_texts": n, "rate": float(fired.rates[features].mean())}
    shared |= {"target": float(judged[0].mean()), "target_ablated": float(judged[1].mean()), "drop": float(drop.mean())}
    shared |= {"lo": float(low), "hi": float(high)}
    rows, start = [], 2
    for random_sets in drawn:
        drops = (judged[0] - judged[start : start + len(random_sets.sets)]).mean(1)
        start += len(random_sets.sets)
        rows.append({**shared, **_compared(fired, features, random_sets, drops, shared["drop"], chosen)})
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class _RandomSets:
    """Random sets of one null [set, feature], and the factor of what each takes away [set]."""

    null: str
    sets: np.ndarray
    factors: np.ndarray


def _drawn(name: str, fired: FiredOn, features: np.ndarray, asked: NecessityOptions, seed: int) -> _RandomSets:
    if name == "matched":
        sets = fully_matched(fired, features, asked.n_random, seed, asked.tolerance)
        return _RandomSets(name, sets, np.ones(len(sets)))
    sets, amount = rate_matched(fired.rates, features, asked.n_random, seed), fired.removed(features)
    return _RandomSets(name, sets, np.asarray([amount / fired.removed(indices) for indices in sets]))


def _compared(
    fired: FiredOn, features: np.ndarray, drawn: _RandomSets, null: np.ndarray, drop: float, asked: NecessityOptions
) -> dict[str, object]:
    """The columns of one null; `null` are the drops under its sets."""
    nan, amount, sets = float("nan"), fired.removed(features), drawn.sets
    sizes = np.asarray([fired.removed(indices) for indices in sets])
    enough = len(sets) >= min(asked.n_random, LEAST_SETS) and len(sets) > 0
    low, high = np.percentile(null, [2.5, 97.5]) if len(null) else (nan, nan)
    note = ""
    if asked.n_random and not enough:
        note = (
            f"no match: {len(sets)} of {asked.n_random} random sets fire as often and take away as much (within "
            f"{asked.tolerance:.0%})"
        )
    return {
        "random_drop": float(null.mean()) if len(null) else nan,
        "random_lo": float(low),
        "random_hi": float(high),
        "p": float((1 + (null >= drop).sum()) / (len(null) + 1)) if enough else nan,
        "n_random": len(sets),
        "null": drawn.null,
        "removed": amount,
        "removed_null": float(np.median(sizes)) if len(sizes) else nan,
        "removed_null_lo": float(sizes.min()) if len(sizes) else nan,
        "removed_null_hi": float(sizes.max()) if len(sizes) else nan,
        "removed_ratio": float(np.median(sizes)) / amount if len(sizes) and amount > 0 else nan,
        "rate_null": float(np.median(fired.rates[sets].mean(1))) if len(sets) else nan,
        "factor": float(np.median(drawn.factors)) if len(drawn.factors) else nan,
        "overlap": overlap(sets),
        "note": note,
    }


def _chosen(
    bank: FeatureBank, emotion: str, layer: int | Site | str | None, language: str, features: Sequence[int] | None
) -> tuple[Site, np.ndarray]:
    """Where, and which features."""
    if features is not None:
        if layer is None or not len(features):
            raise EmotionInterpError("features need the layer whose SAE has them, and there is at least one.")
        return bank.site(layer), np.unique(np.asarray(features, dtype=np.int64))
    layers = list(bank.layers) if layer is None else [layer]
    features_of = {place: np.asarray(bank.selected_features(place, language, emotion)) for place in layers}
    best = max(features_of, key=lambda place: len(features_of[place]))
    if not len(features_of[best]):
        where = "any layer" if layer is None else f"layer {layer}"
        raise EmotionInterpError(
            f"no feature of {emotion!r} was selected in {language!r} at {where}; nothing to ablate."
        )
    return bank.site(best), features_of[best]


def _judge(setting: Setting, emotion: str, words: Sequence[str] | None) -> TextJudge | NextWords:
    """The judge of one emotion."""
    check_argument("necessity", "judge", setting.judge, "TextJudge | None")
    judge: Any = setting.judge
    if judge is None:
        known = words or (setting.words or {}).get(emotion) or setting.bank.held_out_words(emotion, setting.language)
        return next_words(setting.subject, {emotion: list(known)}, setting.language)
    if setting.max_new_tokens < 1:
        raise EmotionInterpError("a judge of texts needs texts: give max_new_tokens of at least 1.")
    if emotion not in judge.emotions:
        raise UnknownNameError("emotion of the judge", emotion, judge.emotions)
    return judge


def _judged(
    setting: Setting,
    site: Site,
    sets: Sequence[Sequence[int]],
    strengths: np.ndarray,
    judge: TextJudge | NextWords,
    emotion: str,
) -> np.ndarray:
    """Judged probability of the emotion after every text under every ablation: [set, text]."""
    subject, seed = setting.subject, setting.seed
    prompts = [t.row for t in subject.tokenize(setting.prompts, whole=True)]
    n = len(prompts)
    step = max(1, _LOGIT_CELLS // (n * int(subject.model.cfg.d_vocab)))
    result = np.zeros((len(sets), n))
    for start in range(0, len(sets), step):
        part = sets[start : start + step]
        rows = [row for row in part for _ in range(n)]
        streams = list(range(n)) * len(part)
        factors = np.repeat(strengths[start : start + step], n).tolist()
        with ablate_rows(subject, site, rows, "all", factors):
            if isinstance(judge, NextWords):
                ids = list(judge.token_ids[emotion])
                made = decode(subject, prompts * len(part), 1, streams=streams, seed=seed, return_logits=True)
                logits = np.stack([np.asarray(row[0], dtype=np.float64) for row in made.logits or []])
                # stable: the largest logit first taken away
                logits -= logits.max(1, keepdims=True)
                masses = np.exp(logits)
                values = masses[:, ids].sum(1) / masses.sum(1)
            else:
                new = setting.max_new_tokens
                made = decode(subject, prompts * len(part), new, streams=streams, seed=seed, **setting.generation)
                written = [continuation_text(subject, prompts[i % n], t) for i, t in enumerate(made.tokens)]
                column = list(judge.emotions).index(emotion)
                values = np.asarray(judge.predict_proba(written), dtype=np.float64)[:, column]
        result[start : start + len(part)] = values.reshape(len(part), n)
    return result
