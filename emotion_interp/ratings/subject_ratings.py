"""Predict human ratings of words from what a subject does when it reads them: reading, feature sets, prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Stimulus
from emotion_interp.ratings.matched import matched_outside
from emotion_interp.ratings.predict import Ratings, predict_from_activations

if TYPE_CHECKING:
    from emotion_interp.activations import SiteReadings
    from emotion_interp.core.types import Site
    from emotion_interp.features import FeatureBank
    from emotion_interp.norms import Norms
    from emotion_interp.subjects import Subject

MIN_FEATURES = 2


def predict_ratings(
    subject: Subject,
    norms: Norms,
    bank: FeatureBank | None = None,
    *,
    layers: Iterable[int] | None = None,
    carrier: str | None = None,
    max_words: int | None = None,
    folds: int = 10,
    seed: int = 0,
    batch_tokens: int = 2048,
    progress: Callable[[int], None] | None = None,
) -> Ratings:
    """Predict valence and arousal of words by nested cross-validated ridge, per layer and feature set.

    Feature sets: "all" living latents; "dense" residual stream; with a bank also "selected" (its emotion features of the
    norms' language) and "outside" (as many others, matched for firing rate).

    Args:
        subject: model; the SAEs decide which layers are read.
        norms: ratings; words that become no token are left out.
        bank: emotion features of this subject.
        layers: default: every layer with an SAE.
        carrier: text with one {word} slot; default: the first carrier of the norms' language.
        max_words: read at most so many words (a seeded sample), None for all.
        folds: outer folds.
        seed: of the sample, the folds and the matching.
        batch_tokens: padded tokens of one forward pass.
        progress: receives the number of words of each batch.

    Returns:
        Ratings, `.to_frame()` with r, rho, R2, MAE and r over the ceiling.

    Raises:
        EmotionInterpError: the subject has no SAE, or the bank belongs to another subject.

    Example:
        >>> import emotion_interp as ei
        >>> ei.predict_ratings(ei.load_subject(), ei.load_norms("builtin")).to_frame()  # doctest: +SKIP
    """
    words = sorted(set(norms.table["word"].dropna().astype(str)))
    if max_words is not None and len(words) > max_words:
        words = sorted(generator(seed, "rated words").choice(np.asarray(words, dtype=object), max_words, replace=False))
    sites = subject.sites if layers is None else [subject.site(layer) for layer in layers]
    if bank is not None:
        from emotion_interp.features.bank import require_same_subject

        require_same_subject(bank, subject.name, subject.sites)
    readings = read_words(subject, words, norms.language, sites, carrier, batch_tokens, progress)
    activations: dict[int, Any] = {}
    dense: dict[int, np.ndarray] = {}
    sets: dict[int, dict[str, Any]] = {}
    for site, reading in readings.items():
        dense[site.layer] = reading.dense
        if reading.features is None:
            continue
        activations[site.layer] = reading.features
        fires: Any = reading.features != 0
        rates = np.asarray(fires.mean(0)).ravel()
        sets[site.layer] = {"all": np.flatnonzero(rates > 0)}
        if bank is not None and norms.language in bank.languages and site.layer in bank.layers:
            selected = bank.selected_features(site.layer, norms.language)
            selected = selected[rates[selected] > 0]
            if len(selected) >= MIN_FEATURES:
                sets[site.layer]["selected"] = selected
                sets[site.layer]["outside"] = matched_outside(rates, selected, seed)
    if not activations:
        raise EmotionInterpError(
            f"{subject.name} has no SAE at the layers that were asked for; pass saes= to load_subject."
        )
    return predict_from_activations(
        activations, words, norms, feature_sets=sets, language=norms.language, folds=folds, seed=seed, dense=dense
    )


def read_words(
    subject: Subject,
    words: list[str],
    language: str,
    sites: list[Site],
    carrier: str | None = None,
    batch_tokens: int = 2048,
    progress: Callable[[int], None] | None = None,
) -> dict[Site, SiteReadings]:
    """Read words in one carrier, last token of each: one unit per word."""
    from emotion_interp.activations import read_stimuli

    before, after = _carrier(carrier, language)
    stimuli = [
        Stimulus(
            before + word + after, (len(before), len(before) + len(word)), "rated", word, "carrier", language, word
        )
        for word in words
    ]
    return read_stimuli(
        subject, stimuli, np.arange(len(words)), sites=sites, batch_tokens=batch_tokens, progress=progress
    )


def _carrier(carrier: str | None, language: str) -> tuple[str, str]:
    if carrier is None:
        from emotion_interp.concepts import concept_set
        from emotion_interp.core.errors import UnknownNameError

        try:
            carrier = next(iter(concept_set(language).templates().values()))
        except UnknownNameError:
            carrier = "{word}"
    if carrier.count("{word}") != 1:
        raise EmotionInterpError(f"a carrier has exactly one {{word}} slot, got {carrier!r}.")
    before, after = carrier.split("{word}")
    return before, after
