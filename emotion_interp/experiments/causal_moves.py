"""What is put in place of a language's own component: at every token, for directions and for feature sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import vstack

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.experiments.causal_texts import ShownTexts
from emotion_interp.experiments.matched_sets import rate_matched
from emotion_interp.stats.firing import firing_rates
from emotion_interp.stats.sparse import Sparse, by_columns, by_rows
from emotion_interp.subjects.sae_reader import SaeReader

NULL_FEATURES = 8
"""Features of a random direction where the emotion has none selected."""


@dataclass(frozen=True, eq=False)
class Latents:
    """Activations of a site's SAE on shown texts.

    Attributes:
        values: of each text, sparse [token, feature].
        decoder: rows [feature, d_model].
        rates: share of the tokens, without BOS, at which each feature fires [feature].
    """

    values: tuple[Sparse, ...]
    decoder: np.ndarray
    rates: np.ndarray


def latents_of(reader: SaeReader, shown: ShownTexts) -> Latents:
    """Encode what was read."""
    device = reader.decoder_rows([0]).device
    values = tuple(by_rows(reader.encode(torch.from_numpy(x).to(device)).double().cpu().numpy()) for x in shown.stream)
    real = by_columns(vstack([v[int(t.has_bos) :] for v, t in zip(values, shown.tokens, strict=True)], format="csc"))
    decoder = reader.decoder_rows(range(reader.d_sae)).double().cpu().numpy()
    return Latents(values, decoder, firing_rates(real))


class DirectionMoves:
    """The component along the text's own direction, written along others: `a (v - u)`, a the distance from the mean.

    Row vectors are of length one; a row of zeros takes the component away, the own direction leaves the stream as it is.
    """

    def __init__(self, shown: ShownTexts, own: np.ndarray, left_out: Sequence[str]) -> None:
        self.own = own.astype(np.float64)
        means = shown.means(shown.stream, left_out) @ self.own
        self.sizes = [x @ self.own - means[shown.places(i)] for i, x in enumerate(shown.stream)]
        self.vectors = np.zeros((0, len(own)))

    def set_rows(self, vectors: np.ndarray) -> int:
        self.vectors = np.asarray(vectors, dtype=np.float64)
        return len(self.vectors)

    def delta(self, text: int, rows: np.ndarray) -> np.ndarray:
        return self.sizes[text][None, :, None] * (self.vectors[rows] - self.own)[:, None, :]


class FeatureMoves:
    """What the text's own features add to their mean, replaced by what other sets add: `sum (act - mean) W_dec`.

    A row is a set and the factor of what it writes; an empty set takes the own features' part away.
    """

    def __init__(self, shown: ShownTexts, latents: Latents, own: np.ndarray, left_out: Sequence[str]) -> None:
        self.shown, self.latents = shown, latents
        self.means = shown.means(latents.values, left_out)
        self.own = own
        self.rows: list[tuple[np.ndarray, float]] = []

    def set_rows(self, rows: Sequence[tuple[np.ndarray, float]]) -> int:
        self.rows = list(rows)
        return len(self.rows)

    def part(self, text: int, features: np.ndarray) -> np.ndarray:
        """What a set adds at each token of a text: [token, d_model]."""
        ids = np.asarray(features, dtype=np.int64)
        values = self.latents.values[text][:, ids].toarray() - self.means[self.shown.places(text)][:, ids]
        return values @ self.latents.decoder[ids]

    def delta(self, text: int, rows: np.ndarray) -> np.ndarray:
        own_part = self.part(text, self.own)
        # the own set itself leaves the stream exactly as it is
        same = [len(s) == len(self.own) and f == 1 and np.array_equal(s, self.own) for s, f in self.rows]
        return np.stack(
            [
                np.zeros_like(own_part) if same[r] else self.rows[r][1] * self.part(text, self.rows[r][0]) - own_part
                for r in rows
            ]
        )

    def size(self, features: np.ndarray, texts: np.ndarray) -> float:
        """Mean norm of what a set adds, over the changed tokens of some texts."""
        norms = [np.linalg.norm(self.part(int(i), features)[self.shown.changed[i]], axis=1) for i in texts]
        return float(np.concatenate(norms).mean())

    def cosine(self, first: np.ndarray, second: np.ndarray, texts: np.ndarray) -> float:
        """Cosine of what two sets add, over all changed tokens of some texts at once."""
        first_move, two = (
            np.concatenate([self.part(int(i), ids)[self.shown.changed[i]] for i in texts]) for ids in (first, second)
        )
        return float((first_move * two).sum() / max(np.linalg.norm(first_move) * np.linalg.norm(two), 1e-300))


def random_sets(latents: Latents, features: np.ndarray, own: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Living sets that fire as often as the features on these texts, none of them among either set: [set, feature].

    Raises:
        EmotionInterpError: too few other living features.
    """
    rates = latents.rates.copy()
    rates[np.setdiff1d(own, features)] = 0
    return rate_matched(rates, features, count, seed)


def random_rows(
    latents: Latents, features: np.ndarray, own: np.ndarray, count: int, seed: int, site: Site
) -> np.ndarray:
    """Unit sums of the decoder rows of random features that fire as often as these: [direction, d_model].

    Without features to match any that fire on the texts will do.
    """
    if not len(features):
        living = np.flatnonzero(latents.rates > 0)
        if len(living) < 2 * NULL_FEATURES:
            raise EmotionInterpError(f"only {len(living)} features of the SAE at {site} fire on the texts.")
        random = generator(seed, "random features", str(site))
        sets = np.stack([random.permutation(living)[:NULL_FEATURES] for _ in range(count)]) if count else None
    else:
        sets = random_sets(latents, features, own, count, seed)
    if sets is None or not len(sets):
        return np.zeros((0, latents.decoder.shape[1]))
    rows = latents.decoder / np.maximum(np.linalg.norm(latents.decoder, axis=1, keepdims=True), 1e-12)
    sums = rows[sets].sum(1)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)
