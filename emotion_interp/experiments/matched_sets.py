"""Sets of SAE features that stand in for others: as often active, and as much taken out of the stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import vstack

from emotion_interp.activations.forward import Batch, forward_pass, real_tokens
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.stats.firing import firing_rates
from emotion_interp.stats.sparse import Sparse, by_columns, by_rows
from emotion_interp.steering.operations import writable_reader

if TYPE_CHECKING:
    import torch

    from emotion_interp.subjects.subject import Subject

NEIGHBOURS = 20
"""A feature's stand-in is drawn from so many features that are nearest to it."""

LEAST_SETS = 19
"""Random sets from which a p can be .05."""

_STEPS = 300
_TRIES = 40
_SEARCHES = 10
"""Swaps of one search; searches that may fail before any has succeeded; searches for each set at most."""

_NEAR_ENOUGH = 0.4
"""Share of the tolerance at which a search stops; what it ends with counts if it is within the tolerance."""

_MOST_LIVING = 4096
"""Other living features that sets are made of, at most (drawn at random): of 4,096 the inner products take 128 MB."""


@dataclass(frozen=True, eq=False)
class FiredOn:
    """What a site's features do on texts.

    Attributes:
        latents: activations [token, feature], sparse; tokens of all texts, without BOS.
        decoder: rows [feature, d_model].
    """

    latents: Sparse
    decoder: np.ndarray

    @property
    def rates(self) -> np.ndarray:
        """Share of the tokens at which each feature fires: [feature]."""
        return firing_rates(self.latents)

    def removed(self, features: Sequence[int] | np.ndarray) -> float:
        """Mean over tokens of the norm of what ablating the features takes out: |sum_f act_f W_dec[f]|."""
        ids = np.asarray(features, dtype=np.int64)
        return float(np.linalg.norm(self.latents[:, ids].toarray() @ self.decoder[ids], axis=1).mean())


def fired_on(subject: Subject, site: Site, texts: Sequence[str]) -> FiredOn:
    """Read texts once; activations of the site's SAE at every token without BOS."""
    reader = writable_reader(subject, site)
    parts: list[object] = []

    def on_site(place: Site, activations: torch.Tensor, batch: Batch) -> None:
        del place
        mask = real_tokens(batch, activations.shape[1])
        parts.append(by_rows(reader.encode(activations[mask]).double().cpu().numpy()))

    forward_pass(subject, subject.tokenize(list(texts)), [site], on_site)
    decoder = reader.decoder_rows(range(reader.d_sae)).double().cpu().numpy()
    return FiredOn(by_columns(vstack(parts, format="csc")), decoder)


def rate_matched(rates: np.ndarray, features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Living stand-ins with a like firing rate, none of them among the features, each once in a set: [set, feature].

    Raises:
        EmotionInterpError: too few other living features.
    """
    others = _living(rates, features)
    random = generator(seed, "rate-matched features", *map(int, features))
    # equal rates come in random order, or the lowest ids would always be taken
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


def fully_matched(fired: FiredOn, features: np.ndarray, count: int, seed: int, tolerance: float) -> np.ndarray:
    """Living stand-ins whose mean rate and removed norm are both those of the features, within a tolerance: [set, feature].

    Each search starts from stand-ins that are alike one by one, and swaps members at random as long as that brings the set
    nearer. No two sets are the same. Fewer than `count` come back, perhaps none, where the searches find no more.

    Args:
        fired: the features on the texts.
        features: the ones to stand in for.
        count: sets.
        seed: of the searches.
        tolerance: .25 allows ratios from 1 / 1.25 to 1.25.

    Raises:
        EmotionInterpError: too few other living features.
    """
    rates, random = fired.rates, generator(seed, "matched features", *map(int, features))
    others = _living(rates, features)
    others = np.sort(random.choice(others, size=min(len(others), _MOST_LIVING), replace=False))
    size, rate, norm = len(features), float(rates[features].mean()), fired.removed(features)
    if not rate > 0:
        return np.zeros((0, size), dtype=np.int64)
    active, rows = fired.latents[:, others].toarray(), fired.decoder[others]
    inner = rows @ rows.T
    alone = active.mean(0) * np.sqrt(np.diag(inner))
    own_alone = np.asarray(fired.latents[:, features].mean(0)).ravel() * np.linalg.norm(fired.decoder[features], axis=1)
    limit = np.log1p(tolerance)

    def distance(members: np.ndarray) -> float:
        some = active[:, members]
        taken = np.sqrt(np.maximum((some @ inner[np.ix_(members, members)] * some).sum(1), 0)).mean()
        return max(abs(np.log(max(taken, 1e-12) / norm)), abs(np.log(rates[others[members]].mean() / rate))) / limit

    sets: dict[tuple[int, ...], None] = {}
    for attempt in range(_SEARCHES * count):
        if len(sets) == count or (attempt == _TRIES and not sets):
            break
        members = _alike(random, np.log(alone), np.log(rates[others]), own_alone, rates[features])
        best = distance(members)
        for _ in range(_STEPS):
            if best <= _NEAR_ENOUGH:
                break
            swapped = members.copy()
            swapped[random.integers(size)] = random.integers(len(others))
            if len(set(swapped.tolist())) == size and (now := distance(swapped)) < best:
                members, best = swapped, now
        if best <= 1:
            sets[tuple(sorted(others[members].tolist()))] = None
    return np.asarray(list(sets), dtype=np.int64).reshape(len(sets), size)


def _alike(
    random: np.random.Generator, sizes: np.ndarray, rates: np.ndarray, own_sizes: np.ndarray, own_rates: np.ndarray
) -> np.ndarray:
    """For each feature one of the nearest others in log size and log rate, each once; a silent one takes any: [feature]."""
    free = np.ones(len(sizes), dtype=bool)
    result = np.zeros(len(own_rates), dtype=np.int64)
    for k in random.permutation(len(own_rates)):
        if own_rates[k] > 0:
            gaps = (sizes - np.log(own_sizes[k])) ** 2 + (rates - np.log(own_rates[k])) ** 2
        else:
            gaps = random.random(len(sizes))
        near = np.argsort(np.where(free, gaps, np.inf), kind="stable")[: min(NEIGHBOURS, int(free.sum()))]
        result[k] = near[int(random.integers(len(near)))]
        free[result[k]] = False
    return result


def overlap(sets: np.ndarray) -> float:
    """Mean share of its features that a set has in common with another one; NaN for fewer than two sets."""
    if len(sets) < 2:
        return float("nan")
    used, places = np.unique(sets, return_inverse=True)
    times = np.bincount(places.ravel(), minlength=len(used)).astype(np.float64)
    return float((times * (times - 1)).sum() / (len(sets) * (len(sets) - 1) * sets.shape[1]))


def _living(rates: np.ndarray, features: np.ndarray) -> np.ndarray:
    others = np.setdiff1d(np.flatnonzero(rates > 0), features)
    if len(others) < len(features):
        raise EmotionInterpError(
            f"{len(features)} features need as many others that fire on the texts to compare with, got {len(others)}."
        )
    return others
