"""How read-outs are made: from labelled texts with folds held out, and from what a bank holds of its words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import vstack

from emotion_interp.concepts.model import NEUTRAL
from emotion_interp.core.types import Site
from emotion_interp.features.genres import genre_of
from emotion_interp.features.readout import (
    FOLDS,
    KINDS,
    SHRINKAGE,
    Readout,
    feature_areas,
    fitted_on_texts,
    fitted_on_word_features,
    fitted_on_word_vectors,
    neutral_levels,
    top_shares,
    unmeasured,
)
from emotion_interp.features.text_states import TextStates, logged
from emotion_interp.stats.discriminant import calibrated

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank

LEAST_RATE = 0.02
"""A feature that fires on fewer of the texts is in no set."""
ROWS_AT_ONCE = 4096
"""Decoder rows in memory: of a wide SAE thousands fire, each as long as the stream is wide."""


@dataclass(frozen=True)
class Plan:
    """What a read-out is of; k: features an emotion of each score; decoder_rows: of the site's SAE by feature ids, for "features"."""

    site: Site
    language: str
    kind: str
    source: str
    emotions: tuple[str, ...]
    k: int
    decoder_rows: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled texts: their states, and the emotion of each by its place in the plan."""

    states: TextStates
    codes: np.ndarray

    def rows(self, chosen: np.ndarray) -> Examples:
        """Some of them."""
        return Examples(self.states.rows(chosen), self.codes[chosen])


def fit_on_texts(plan: Plan, parts: Sequence[Examples], neutral: TextStates) -> Readout:
    """A read-out fitted on all of some texts; its levels are not measured.

    Args:
        plan: what it is of.
        parts: the texts by source; each source counts the same, however many texts it has.
        neutral: tokens of neutral text, which set the unit of the values.
    """
    codes = np.concatenate([part.codes for part in parts])
    share = np.concatenate([np.full(len(part.codes), 1 / len(part.codes)) for part in parts])
    fit = _from_stream if plan.kind == "dense" else _from_features
    made = fit(plan, parts, codes, neutral, share)
    return unmeasured(plan.site, plan.language, plan.kind, plan.source, plan.emotions, **made)


def _from_stream(
    plan: Plan, parts: Sequence[Examples], codes: np.ndarray, neutral: TextStates, share: np.ndarray
) -> dict[str, np.ndarray]:
    whole = np.concatenate([part.states.dense for part in parts])
    weights, bias = fitted_on_texts(whole, codes, len(plan.emotions), neutral.dense, share)
    return {"features": np.zeros(0, dtype=int), "weights": weights, "bias": bias}


def _from_features(
    plan: Plan, parts: Sequence[Examples], codes: np.ndarray, neutral: TextStates, share: np.ndarray
) -> dict[str, np.ndarray]:
    """The mean of two scores: by the k features an emotion that tell it best, and by the k that write it most.

    The first is a discriminant of the activations side by side with what they write, so that features with like decoder
    rows share a weight. The second is one of what those features write whose decoder rows lie most along the emotions'
    read-out of the stream.
    """
    active: list[Any] = [part.states.latents > 0 for part in parts]
    fires = np.stack([np.asarray(cells.mean(0)).ravel() for cells in active]).max(0)
    # where nothing fires any features will do: they read nothing
    alive = np.flatnonzero(fires >= min(LEAST_RATE, fires.max())) if fires.any() else np.arange(min(plan.k, len(fires)))
    n = len(plan.emotions)
    texts: Any = vstack([part.states.latents[:, alive] for part in parts], format="csr")
    tokens: Any = neutral.latents[:, alive]

    areas = [feature_areas(part.states.latents[:, alive].toarray(), part.codes, n) for part in parts]
    tell = np.unique(np.argsort(-np.mean(areas, axis=0), axis=1, kind="stable")[:, : plan.k])
    rows = _unit_rows(plan, alive[tell])
    states, background = (np.hstack([x[:, tell].toarray(), x[:, tell] @ rows]) for x in (texts, tokens))
    weights, bias = fitted_on_texts(states, codes, n, background, share, SHRINKAGE["features"])
    told = weights[:, : len(tell)] + weights[:, len(tell) :] @ rows.T

    along = _strengths(plan, alive, _from_stream(plan, parts, codes, neutral, share)["weights"])
    write = np.unique(np.argsort(-along, axis=1, kind="stable")[:, : plan.k])
    rows = _unit_rows(plan, alive[write])
    weights, more = fitted_on_texts(texts[:, write] @ rows, codes, n, tokens[:, write] @ rows, share)
    features, weights = _side_by_side((tell, told), (write, weights @ rows.T))
    spread = float((tokens[:, features] @ weights.T).std(0).mean()) or 1.0
    return {"features": alive[features], "weights": weights / spread, "bias": (bias + more) / 2 / spread}


def _unit_rows(plan: Plan, features: np.ndarray) -> np.ndarray:
    """Decoder rows at length one [feature, d_model], float64."""
    rows = np.asarray(plan.decoder_rows(features), dtype=np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


def _strengths(plan: Plan, features: np.ndarray, along: np.ndarray) -> np.ndarray:
    """How far each feature's unit decoder row lies along some vectors [vector, feature]; never all rows at once."""
    blocks = [features[start : start + ROWS_AT_ONCE] for start in range(0, len(features), ROWS_AT_ONCE)]
    return np.hstack([np.zeros((len(along), 0)), *(along @ _unit_rows(plan, block).T for block in blocks)])


def _side_by_side(*scores: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The features of two scores and the weights of their mean [emotion, feature]; each comes with its features, ascending."""
    features = np.unique(np.concatenate([own for own, _ in scores]))
    mean = np.zeros((len(scores[0][1]), len(features)))
    for own, weights in scores:
        mean[:, np.searchsorted(features, own)] += weights / len(scores)
    return features, mean


def held_out_values(
    plan: Plan, examples: Examples, fold: np.ndarray, neutral: TextStates, more: Examples | None = None
) -> np.ndarray:
    """Values of each text by the read-out of the other folds [text, emotion]; NaN where those lack an emotion.

    Args:
        plan: what the read-outs are of.
        examples: the texts.
        fold: of each text.
        neutral: tokens of neutral text.
        more: examples that every fold is fitted on, too.
    """
    held = np.full((len(examples.codes), len(plan.emotions)), np.nan)
    for number in range(FOLDS):
        test = fold == number
        rest = [examples.rows(~test), *([] if more is None else [more])]
        if test.any() and len(np.unique(np.concatenate([part.codes for part in rest]))) == len(plan.emotions):
            readout = fit_on_texts(plan, rest, neutral)
            held[test] = readout.values(examples.states.dense[test], examples.states.latents[test])
    return held


def trained(
    plan: Plan, examples: Examples, fold: np.ndarray | None, neutral: TextStates, more: Examples | None = None
) -> Readout:
    """The read-out of all texts, with its levels on neutral text and the shares right on folds held out.

    Args:
        plan: what it is of.
        examples: the texts.
        fold: of each text; None: nothing is tried on them, since they are of another language.
        neutral: tokens of neutral text.
        more: examples that every fold is fitted on, too.
    """
    readout = measured(fit_on_texts(plan, [examples, *([] if more is None else [more])], neutral), neutral)
    if fold is None:
        return readout
    held = held_out_values(plan, examples, fold, neutral, more)
    tried = np.isfinite(held).all(1)
    if not tried.any():
        return readout
    top1, top3 = top_shares(held[tried], examples.codes[tried])
    return replace(readout, top1=top1, top3=top3, n_texts=int(tried.sum()))


def measured(readout: Readout, neutral: TextStates) -> Readout:
    """With its levels on neutral text."""
    levels = neutral_levels(readout.values(neutral.dense, neutral.latents))
    return replace(readout, levels=levels, mean_levels=levels)


def measured_together(readouts: Sequence[Readout], neutral: Mapping[Site, TextStates]) -> list[Readout]:
    """Read-outs of one language and kind with the levels of their mean over the layers."""
    values = [r.values(neutral[r.site].dense, neutral[r.site].latents) for r in readouts]
    # sinks differ from layer to layer: then the tokens of the layers are not the same
    if len({len(v) for v in values}) > 1:
        return [replace(r, mean_levels=np.mean([q.levels for q in readouts], axis=0)) for r in readouts]
    levels = neutral_levels(np.mean(values, axis=0))
    return [replace(r, mean_levels=levels) for r in readouts]


def from_bank(bank: FeatureBank, plan: Plan, neutral: TextStates) -> list[Readout]:
    """Read-outs of one site from what a bank holds: its directions, and the activations of its features on its units.

    "dense": the differences of means, the correlations of neutral tokens taken out. "features": the mean of two scores,
    linear discriminants of the bank's units by the features whose activations it keeps, and the k features an emotion
    that write it most (`_writers`) by what they write together. All calibrated on neutral tokens, each emotion for
    itself. An emotion without a unit in this language reads 0.

    Args:
        bank: found on words or texts.
        plan: site, language, k and decoder rows; the emotions are the bank's, both kinds are made.
        neutral: tokens of neutral text.
    """
    emotions, site, language = tuple(bank.emotions), plan.site, plan.language
    method = "means" if (site, language, "means") in bank.directions else "dense"
    vectors = bank.directions[site, language, method] / bank.scales[site]
    weights, bias = fitted_on_word_vectors(vectors, neutral.dense)
    fits = {"dense": {"features": np.zeros(0, dtype=int), "weights": weights, "bias": bias}}
    features, weights = _side_by_side(_told_by_units(bank, plan, neutral), _writers(vectors, plan, neutral))
    weights, bias = calibrated(weights, neutral.latents[:, features].toarray())
    fits["features"] = {"features": features, "weights": weights, "bias": bias}
    source = genre_of(bank, language)
    return [measured(unmeasured(site, language, k, source, emotions, **fits[k]), neutral) for k in KINDS]


def _told_by_units(bank: FeatureBank, plan: Plan, neutral: TextStates) -> tuple[np.ndarray, np.ndarray]:
    """The features whose activations a bank keeps, and the weights of a discriminant of its units by them [emotion, feature]."""
    units, activations = bank.unit_activations(plan.site, plan.language)
    features = np.unique(activations.indices)
    weights = np.zeros((len(bank.emotions), len(features)))
    if len(features):
        index = {e: i for i, e in enumerate(bank.emotions)} | {NEUTRAL: len(bank.emotions)}
        codes = units["emotion"].map(index).to_numpy()
        present = np.unique(codes)
        n_emotions = int((present < len(bank.emotions)).sum())
        states = logged(activations[:, features].toarray())
        background = neutral.latents[:, features].toarray()
        fitted, _ = fitted_on_word_features(
            states, np.searchsorted(present, codes), len(present), n_emotions, background
        )
        weights[present[:n_emotions]] = fitted
    return features, weights


def _writers(vectors: np.ndarray, plan: Plan, neutral: TextStates) -> tuple[np.ndarray, np.ndarray]:
    """The k features an emotion that write most along its direction, and the weights of what all of them write [emotion, feature].

    What the features that fire on neutral text write there (the sum of their unit decoder rows by log(1 + activation)) is
    the background; along a direction whose correlations with it are taken out a decoder row counts by its product.
    """
    alive = np.unique(neutral.latents.indices)
    background = np.zeros(neutral.dense.shape)
    for start in range(0, len(alive), ROWS_AT_ONCE):
        block = alive[start : start + ROWS_AT_ONCE]
        background += neutral.latents[:, block] @ _unit_rows(plan, block)
    along, _ = fitted_on_word_vectors(vectors, background)
    strengths = _strengths(plan, alive, along[(vectors != 0).any(1)])
    best = np.unique(np.argsort(-strengths, axis=1, kind="stable")[:, : plan.k])
    rows = _unit_rows(plan, alive[best])
    weights, _ = fitted_on_word_vectors(vectors, neutral.latents[:, alive[best]] @ rows)
    return alive[best], weights @ rows.T
