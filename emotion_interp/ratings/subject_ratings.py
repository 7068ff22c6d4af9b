"""Predict human ratings of words from what a subject does when it reads them: reading, feature sets, prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Stimulus
from emotion_interp.ratings.baselines import baseline_ratings
from emotion_interp.ratings.predict import Ratings, WordActivations, joined, predict_from_activations
from emotion_interp.ratings.sets import bank_sets

if TYPE_CHECKING:
    from emotion_interp.activations import SiteReadings
    from emotion_interp.core.types import Site
    from emotion_interp.features import FeatureBank
    from emotion_interp.norms import Norms
    from emotion_interp.subjects import Subject


def predict_ratings(
    subject: Subject,
    norms: Norms,
    bank: FeatureBank | None = None,
    *,
    layers: Iterable[int] | None = None,
    carrier: str | None = None,
    carriers: int = 1,
    position: Literal["last", "span"] = "last",
    transfer: Sequence[Norms] = (),
    baselines: bool = True,
    max_words: int | None = None,
    folds: int = 10,
    seed: int = 0,
    batch_tokens: int = 2048,
    progress: Callable[[int], None] | None = None,
) -> Ratings:
    """Predict valence and arousal of words by nested cross-validated ridge, per layer and feature set.

    Feature sets: "all" living latents; "dense" residual stream; with a bank also "selected" (its emotion features of the
    norms' language) and "outside" (as many others, matched for firing rate), and with a bank of several languages
    "selected_<language>", "intersection", "union" and "outside_intersection". Baselines that read no context, the same
    at every layer: "static" (mean input embedding of the word's tokens) and "length" (characters, tokens).

    Args:
        subject: model; the SAEs decide which layers are read.
        norms: ratings of the words that are learnt.
        bank: emotion features of this subject.
        layers: default: every layer with an SAE.
        carrier: text with one {word} slot; default: the first carriers of the norms' language.
        carriers: how many of the language's carriers are read and averaged for each word.
        position: "last" token of the word, or the mean over its tokens ("span").
        transfer: norms of other languages, whose words are predicted by the fits of this one.
        baselines: add "static" and "length".
        max_words: read at most so many words of each norms (a seeded sample), None for all.
        folds: outer folds.
        seed: of the sample, the folds and the matching.
        batch_tokens: padded tokens of one forward pass.
        progress: receives the number of stimuli of each batch.

    Returns:
        Ratings, `.to_frame()` with r, rho, R2, MAE and r over the ceiling.

    Raises:
        EmotionInterpError: the subject has no SAE, the bank belongs to another subject, a word becomes no token, or
            the carriers are not there.
        UnknownNameError: another `position`.

    Example:
        >>> import emotion_interp as ei
        >>> ei.predict_ratings(ei.load_subject(), ei.load_norms("builtin")).to_frame()  # doctest: +SKIP
    """
    if position not in ("last", "span"):
        raise UnknownNameError("position", position, ("last", "span"))
    sites = subject.sites if layers is None else [subject.site(layer) for layer in layers]
    if bank is not None:
        from emotion_interp.features.bank import require_same_subject

        require_same_subject(bank, subject.name, subject.sites)
    if not any(site in subject.readers for site in sites):
        raise EmotionInterpError(
            f"{subject.name} has no SAE at the layers that were asked for; pass saes= to load_subject."
        )
    parts = []
    for table in (norms, *transfer):
        words = sampled_words(table, max_words, seed)
        readings = read_words(
            subject,
            words,
            table.language,
            sites,
            carrier,
            batch_tokens,
            progress,
            carriers=carriers,
            position=position,
        )
        features = {site.layer: r.features for site, r in readings.items() if r.features is not None}
        dense = {site.layer: r.dense for site, r in readings.items()}
        parts.append(WordActivations(features, words, table, table.language, dense=dense))
    own, *others = parts
    sets: dict[int, dict[str, Any]] = {}
    for layer, matrix in own.activations.items():
        rates = np.asarray((matrix != 0).mean(0)).ravel()
        sets[layer] = {"all": np.flatnonzero(rates > 0)}
        if bank is not None:
            sets[layer] |= bank_sets(bank, layer, norms.language, rates, seed)
    ratings = predict_from_activations(
        own.activations,
        own.words,
        norms,
        feature_sets=sets,
        language=norms.language,
        folds=folds,
        seed=seed,
        dense=own.dense,
        transfer=others,
    )
    if not baselines:
        return ratings
    return joined([ratings, *baseline_ratings(subject, parts, sorted(own.dense), folds, seed)])


def sampled_words(norms: Norms, max_words: int | None, seed: int) -> list[str]:
    """The norms' words, sorted; at most `max_words`, the same ones for the same seed."""
    words = sorted(set(norms.table["word"].dropna().astype(str)))
    if max_words is None or len(words) <= max_words:
        return words
    drawn = generator(seed, "rated words").choice(np.asarray(words, dtype=object), max_words, replace=False)
    return sorted(drawn)


def read_words(
    subject: Subject,
    words: list[str],
    language: str,
    sites: list[Site],
    carrier: str | None = None,
    batch_tokens: int = 2048,
    progress: Callable[[int], None] | None = None,
    *,
    carriers: int = 1,
    position: Literal["last", "span"] = "last",
) -> dict[Site, SiteReadings]:
    """Read words in one or several carriers, last token of each or the mean over its tokens: one unit per word."""
    from emotion_interp.activations import read_stimuli

    slots = _carriers(carrier, language, carriers)
    stimuli = [
        Stimulus(
            before + word + after, (len(before), len(before) + len(word)), "rated", word, "carrier", language, word
        )
        for word in words
        for before, after in slots
    ]
    return read_stimuli(
        subject,
        stimuli,
        np.repeat(np.arange(len(words)), len(slots)),
        sites=sites,
        position=position,
        batch_tokens=batch_tokens,
        progress=progress,
    )


def _carriers(carrier: str | None, language: str, count: int) -> list[tuple[str, str]]:
    """What stands before and after the word in each carrier."""
    if count < 1:
        raise EmotionInterpError(f"carriers is at least 1, got {count}.")
    if carrier is None:
        from emotion_interp.concepts import concept_set

        try:
            known = list(concept_set(language).templates().values())
        except UnknownNameError:
            known = ["{word}"]
    else:
        known = [carrier]
    if count > len(known):
        raise EmotionInterpError(
            f"{count} carriers were asked for, but {'one was given' if carrier else f'{language!r} has {len(known)}'}."
        )
    for text in known[:count]:
        if text.count("{word}") != 1:
            raise EmotionInterpError(f"a carrier has exactly one {{word}} slot, got {text!r}.")
    return [(before, after) for before, after in (text.split("{word}") for text in known[:count])]
