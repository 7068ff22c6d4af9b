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
from emotion_interp.steering.context import unsteered
from emotion_interp.steering.judging import TextJudge
from emotion_interp.steering.next_word import NextWords, next_words
from emotion_interp.steering.operations import ablate_rows, writable_reader
from emotion_interp.subjects.decoding import Decoding
from emotion_interp.subjects.generation import continuation_text, decode

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.subjects.subject import Subject

RESAMPLES = 2000
NEIGHBOURS = 20
"""A feature's stand-in is drawn from so many features with the nearest firing rate."""

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
    **options: Any,
) -> pd.DataFrame:
    """Judged drop when an emotion's selected features are ablated in emotional text, against random features.

    The features are set to 0 at every token of the text and of its continuation. Each random set has as many features;
    each of them is drawn from the 20 others whose firing rate in these texts is nearest to that of the one it stands for.

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
        **options: of `decode` (`do_sample`, `temperature`, ...).

    Returns:
        one row: emotion, layer, site, language, n_features, n_texts; rate (share of the texts' tokens at which an ablated
        feature fires, mean over features); target (mean judged probability), target_ablated, drop = target -
        target_ablated, lo, hi (95% percentile bootstrap over texts), random_drop (mean), random_lo, random_hi (2.5 and
        97.5% of the random sets), p = (1 + b) / (n_random + 1), b the random sets that drop at least as far; n_random.

    Raises:
        EmotionInterpError: no texts, no selected feature, a text judge without new tokens, or one that does not know the
            emotion.

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
        rates = firing_rates(subject, site, texts)
    stand_ins = rate_matched(rates, chosen, n_random, seed)
    sets = [[], chosen.tolist(), *stand_ins.tolist()]
    judged = _judged(subject, site, sets, list(texts), asked, emotion, max_new_tokens, seed, options)
    drops = judged[0] - judged[1:]
    picks = generator(seed, "bootstrap over texts", len(texts)).integers(0, len(texts), size=(RESAMPLES, len(texts)))
    drop, null = float(drops[0].mean()), drops[1:].mean(1)
    low, high = np.percentile(drops[0][picks].mean(1), [2.5, 97.5])
    random_low, random_high = np.percentile(null, [2.5, 97.5]) if null.size else (np.nan, np.nan)
    row: Mapping[str, Any] = {
        "emotion": emotion,
        "layer": site.layer,
        "site": str(site),
        "language": language,
        "n_features": len(chosen),
        "n_texts": len(texts),
        "rate": float(rates[chosen].mean()),
        "target": float(judged[0].mean()),
        "target_ablated": float(judged[1].mean()),
        "drop": drop,
        "lo": float(low),
        "hi": float(high),
        "random_drop": float(null.mean()) if null.size else float("nan"),
        "random_lo": float(random_low),
        "random_hi": float(random_high),
        "p": float((1 + (null >= drop).sum()) / (null.size + 1)) if null.size else float("nan"),
        "n_random": n_random,
    }
    return pd.DataFrame([row])


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


def firing_rates(subject: Subject, site: Site, texts: Sequence[str]) -> np.ndarray:
    """Share of the texts' tokens (without BOS) at which each feature of the site's SAE fires: [feature]."""
    from emotion_interp.activations.forward import Batch, forward_pass, real_tokens

    reader = writable_reader(subject, site)
    fired, seen = np.zeros(reader.d_sae), 0

    def on_site(place: Site, activations: Any, batch: Batch) -> None:
        nonlocal seen
        del place
        mask = real_tokens(batch, activations.shape[1])
        latents = reader.encode(activations[mask])
        fired[:] += (latents > 0).sum(0).cpu().numpy()
        seen += len(latents)

    forward_pass(subject, subject.tokenize(list(texts)), [site], on_site)
    return fired / max(seen, 1)


def rate_matched(rates: np.ndarray, features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Random stand-ins for features, none of them among the features, each once in a set: [set, feature].

    Raises:
        EmotionInterpError: too few other features.
    """
    others = np.setdiff1d(np.arange(len(rates)), features)
    if len(others) < len(features):
        raise EmotionInterpError(f"{len(features)} features need as many others to compare with, got {len(others)}.")
    random = generator(seed, "rate-matched features", *map(int, features))
    # equal rates (many features never fire) come in random order, or the lowest ids would always be taken
    result = np.zeros((count, len(features)), dtype=np.int64)
    for i in range(count):
        taken: set[int] = set()
        for k, feature in enumerate(features):
            shuffled = random.permutation(others)
            near = shuffled[np.argsort(np.abs(rates[shuffled] - rates[feature]), kind="stable")]
            free = [f for f in near[: NEIGHBOURS + len(taken)].tolist() if f not in taken][:NEIGHBOURS]
            result[i, k] = free[int(random.integers(len(free)))]
            taken.add(int(result[i, k]))
    return result


def _judged(
    subject: Subject,
    site: Site,
    sets: Sequence[Sequence[int]],
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
        with ablate_rows(subject, site, rows, "all"):
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
