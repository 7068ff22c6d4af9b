"""Necessity: how much of an emotion goes when its features are ablated in emotional text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.languages import check_language
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.experiments.matched_sets import LEAST_SETS, FiredOn, fired_on, fully_matched, overlap, rate_matched
from emotion_interp.judges.judging import TextJudge
from emotion_interp.judges.next_word import NextWords, next_words
from emotion_interp.steering.context import unsteered
from emotion_interp.steering.operations import ablate_rows
from emotion_interp.subjects.decoding import Decoding
from emotion_interp.subjects.generation import continuation_text, decode

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.subjects.subject import Subject

RESAMPLES = 2000

NULLS = ("matched", "scaled")
"""How random sets take away as much: by their choice, or by a factor."""

_LOGIT_CELLS = 32_000_000


@checked
def necessity(
    subject: Subject,
    bank: Any,
    emotion: str,
    texts: Sequence[str],
    judge: TextJudge | None = None,
    layer: int | Site | str | None = None,
    language: str = "en",
    n_random: int = 199,
    max_new_tokens: int = 20,
    seed: int = 0,
    words: Sequence[str] | None = None,
    features: Sequence[int] | None = None,
    null: str | Sequence[str] = "matched",
    tolerance: float = 0.25,
    **options: Any,
) -> pd.DataFrame:
    """Judged drop when an emotion's selected features are ablated in emotional text, against random features.

    The features are set to 0 at every token of the text and of its continuation. Each random set has as many features, all
    of which fire on these texts, and takes away as much: the norm of sum_f act_f W_dec[f], mean over the texts' tokens.
    Under "matched" sets are sought whose mean firing rate and removed norm are both those of the features, within the
    tolerance; where there are fewer than 19 such sets there is no p, and `note` says so. Under "scaled" each feature
    stands for one with a like rate (of the 20 nearest), and what the set takes away is multiplied by a factor that makes
    its norm the same.

    Args:
        subject: a subject with SAEs.
        bank: a `FeatureBank`.
        emotion: whose features are ablated, and which the judge is asked for.
        texts: texts with this emotion, best broken off before it is named.
        judge: a classifier, which sees the continuation alone; default: the next-word judge, the probability of the
            emotion's words right after the text.
        layer: a layer or site; default: the one with most selected features.
        language: of features and words.
        n_random: random sets; the smallest p is 1 / (n_random + 1).
        max_new_tokens: of the continuation, for a text judge.
        seed: of random sets, bootstrap and sampling.
        words: for the next-word judge; default: the bank's held-out words.
        features: of `layer`, to ablate instead of the selected ones.
        null: "matched", "scaled", or both.
        tolerance: of "matched": .25 allows ratios from 1 / 1.25 to 1.25.
        **options: of `decode` (`do_sample`, `temperature`, ...).

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
    import pandas as pd

    if isinstance(texts, str) or not len(texts):
        raise EmotionInterpError(f"texts is a list of at least one text, got {texts!r}.")
    check_language(texts, language, "the texts", "give language={0!r}")
    if n_random < 0:
        raise EmotionInterpError(f"n_random is a number of random sets from 0, got {n_random!r}.")
    if judge is not None and max_new_tokens < 1:
        raise EmotionInterpError("a judge of texts needs texts: give max_new_tokens of at least 1.")
    names = [null] if isinstance(null, str) else list(null)
    for name in names:
        if name not in NULLS:
            raise UnknownNameError("null of necessity", name, NULLS)
    if not names or not (isinstance(tolerance, (int, float)) and tolerance > 0 and np.isfinite(tolerance)):
        raise EmotionInterpError(f"give at least one null and a tolerance above 0; got {null!r} and {tolerance!r}.")
    # an option that is none must not wait for the first text to be noticed
    Decoding(subject, [list(t.ids) for t in subject.tokenize(texts, whole=True)], max_new_tokens, **options)
    site, chosen = _chosen(bank, emotion, layer, language, features)
    asked: TextJudge | NextWords
    if judge is None:
        asked = next_words(subject, {emotion: list(words or bank.held_out_words(emotion, language))}, language)
    elif emotion not in judge.emotions:
        raise UnknownNameError("emotion of the judge", emotion, judge.emotions)
    else:
        asked = judge
    with unsteered():
        fired = fired_on(subject, site, texts)
    drawn = {name: _drawn(name, fired, chosen, n_random, seed, tolerance) for name in names}
    sets = [[], chosen.tolist(), *(one.tolist() for some, _ in drawn.values() for one in some)]
    strengths = np.concatenate([[1.0, 1.0], *(factors for _, factors in drawn.values())])
    judged = _judged(subject, site, sets, strengths, list(texts), asked, emotion, max_new_tokens, seed, options)
    own = judged[0] - judged[1]
    picks = generator(seed, "bootstrap over texts", len(texts)).integers(0, len(texts), size=(RESAMPLES, len(texts)))
    low, high = np.percentile(own[picks].mean(1), [2.5, 97.5])
    shared: dict[str, Any] = {"emotion": emotion, "layer": site.layer, "site": str(site), "language": language}
    shared |= {"n_features": len(chosen), "n_texts": len(texts), "rate": float(fired.rates[chosen].mean())}
    shared |= {"target": float(judged[0].mean()), "target_ablated": float(judged[1].mean()), "drop": float(own.mean())}
    shared |= {"lo": float(low), "hi": float(high)}
    rows, start = [], 2
    for name, (some, factors) in drawn.items():
        drops = (judged[0] - judged[start : start + len(some)]).mean(1)
        start += len(some)
        rows.append(
            {**shared, **_compared(fired, chosen, name, some, factors, drops, shared["drop"], n_random, tolerance)}
        )
    return pd.DataFrame(rows)


def _drawn(
    name: str, fired: FiredOn, chosen: np.ndarray, count: int, seed: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Random sets [set, feature] and the factor of what each takes away [set]."""
    if name == "matched":
        sets = fully_matched(fired, chosen, count, seed, tolerance)
        return sets, np.ones(len(sets))
    sets, own = rate_matched(fired.rates, chosen, count, seed), fired.removed(chosen)
    return sets, np.asarray([own / fired.removed(one) for one in sets])


def _compared(
    fired: FiredOn,
    chosen: np.ndarray,
    name: str,
    sets: np.ndarray,
    factors: np.ndarray,
    null: np.ndarray,
    drop: float,
    asked: int,
    tolerance: float,
) -> dict[str, Any]:
    """The columns of one null."""
    nan, own = float("nan"), fired.removed(chosen)
    sizes = np.asarray([fired.removed(one) for one in sets])
    enough = len(sets) >= min(asked, LEAST_SETS) and len(sets) > 0
    low, high = np.percentile(null, [2.5, 97.5]) if len(null) else (nan, nan)
    note = ""
    if asked and not enough:
        note = (
            f"no match: {len(sets)} of {asked} random sets fire as often and take away as much (within {tolerance:.0%})"
        )
    return {
        "random_drop": float(null.mean()) if len(null) else nan,
        "random_lo": float(low),
        "random_hi": float(high),
        "p": float((1 + (null >= drop).sum()) / (len(null) + 1)) if enough else nan,
        "n_random": len(sets),
        "null": name,
        "removed": own,
        "removed_null": float(np.median(sizes)) if len(sizes) else nan,
        "removed_null_lo": float(sizes.min()) if len(sizes) else nan,
        "removed_null_hi": float(sizes.max()) if len(sizes) else nan,
        "removed_ratio": float(np.median(sizes)) / own if len(sizes) and own > 0 else nan,
        "rate_null": float(np.median(fired.rates[sets].mean(1))) if len(sets) else nan,
        "factor": float(np.median(factors)) if len(factors) else nan,
        "overlap": overlap(sets),
        "note": note,
    }


def _chosen(
    bank: Any, emotion: str, layer: int | Site | str | None, language: str, features: Sequence[int] | None
) -> tuple[Site, np.ndarray]:
    """Where, and which features."""
    if features is not None:
        if layer is None or not len(features):
            raise EmotionInterpError("features need the layer whose SAE has them, and there is at least one.")
        return bank.site(layer), np.unique(np.asarray(features, dtype=np.int64))
    layers = list(bank.layers) if layer is None else [layer]
    found = {place: np.asarray(bank.selected_features(place, language, emotion)) for place in layers}
    best = max(found, key=lambda place: len(found[place]))
    if not len(found[best]):
        where = "any layer" if layer is None else f"layer {layer}"
        raise EmotionInterpError(
            f"no feature of {emotion!r} was selected in {language!r} at {where}; nothing to ablate."
        )
    return bank.site(best), found[best]


def _judged(
    subject: Subject,
    site: Site,
    sets: Sequence[Sequence[int]],
    strengths: np.ndarray,
    texts: list[str],
    judge: TextJudge | NextWords,
    emotion: str,
    new: int,
    seed: int,
    options: Mapping[str, Any],
) -> np.ndarray:
    """Judged probability of the emotion after every text under every ablation: [set, text]."""
    prompts = [list(t.ids) for t in subject.tokenize(texts, whole=True)]
    n = len(prompts)
    step = max(1, _LOGIT_CELLS // (n * int(subject.model.cfg.d_vocab)))
    result = np.zeros((len(sets), n))
    for start in range(0, len(sets), step):
        part = sets[start : start + step]
        rows = [one for one in part for _ in range(n)]
        streams = list(range(n)) * len(part)
        factors = np.repeat(strengths[start : start + step], n).tolist()
        with ablate_rows(subject, site, rows, "all", factors):
            if isinstance(judge, NextWords):
                ids = list(judge.token_ids[emotion])
                made = decode(subject, prompts * len(part), 1, streams=streams, seed=seed, return_logits=True)
                logits = np.stack([np.asarray(one[0], dtype=np.float64) for one in made.logits or []])
                # stable: the largest logit first taken away
                logits -= logits.max(1, keepdims=True)
                masses = np.exp(logits)
                values = masses[:, ids].sum(1) / masses.sum(1)
            else:
                made = decode(subject, prompts * len(part), new, streams=streams, seed=seed, **options)
                written = [continuation_text(subject, prompts[i % n], t) for i, t in enumerate(made.tokens)]
                column = list(judge.emotions).index(emotion)
                values = np.asarray(judge.predict_proba(written), dtype=np.float64)[:, column]
        result[start : start + len(part)] = values.reshape(len(part), n)
    return result
