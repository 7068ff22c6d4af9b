"""Do two languages use the same features? Overlap of their emotion features against chance at equal firing rates."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError, tell
from emotion_interp.core.result import Result
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site, sites_at
from emotion_interp.features.genres import genre_of
from emotion_interp.figures import series_curves
from emotion_interp.stats.corrections import holm

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from emotion_interp.bank.bank import FeatureBank

KINDS = ("selected", "nominal")


@dataclass(frozen=True, eq=False, repr=False)
class Universality(Result):
    """Overlap of two languages' emotion features, per emotion and site.

    frame: one row per layer (and site, where a layer has several) and emotion; layers_frame: one row per site, all emotions together;
    shared: (site, emotion) -> ids of the features chosen in both; genres: the kind of stimuli that each language's features
    were found on. Where they differ ("stories", "posts"), so do the languages' texts in more than language.

    Counts, `expected` and `jaccard` are over the features alive in both languages (`n_alive_both`);
    `n_first_silent`: chosen in the first language and never firing in the second (`n_second_silent` likewise);
    `p_holm` runs over the emotions of a layer. p is NaN where a language has no chosen feature to compare.
    `first_genre`, `second_genre`: what each language's features were found on.
    """

    first: str
    second: str
    frame: pd.DataFrame
    layers_frame: pd.DataFrame
    shared: dict[tuple[Site, str], np.ndarray]
    genres: tuple[str, str] = ("", "")

    COLUMNS = (
        *("layer", "site", "emotion", "first", "second", "n_both", "n_first_only", "n_second_only", "expected"),
        *("jaccard", "p_permutation", "p_holm"),
    )

    def by_layer(self) -> pd.DataFrame:
        """One row per layer: how many (feature, emotion) pairs the languages share, all emotions in one test.

        The null moves a feature's emotions together, since a feature may be chosen for several.
        """
        return self.layers_frame.copy()

    def shared_features(self, emotion: str, layer: int | Site | str) -> np.ndarray:
        """Ids of the features chosen for an emotion in both languages, sorted; layers as for `FeatureBank.site`.

        Raises:
            UnknownNameError: no such emotion, layer or site.
        """
        site, emotions = sites_at({k[0] for k in self.shared}, layer)[0], sorted({k[1] for k in self.shared})
        if emotion not in emotions:
            raise UnknownNameError("emotion", emotion, emotions)
        return self.shared[site, emotion].copy()

    def __repr__(self) -> str:
        both = int(self.frame["n_both"].to_numpy().sum())
        of = f", {self.genres[0]} against {self.genres[1]}" if len(set(self.genres)) > 1 else ""
        return f"Universality({self.first!r}, {self.second!r}{of}, {both} features shared over emotions and layers)"

    def plot(self) -> go.Figure:
        """How many (feature, emotion) pairs the languages share over the layers, beside what chance expects."""
        keys = [c for c in ("layer", "site") if c in self.layers_frame]
        values = {"n_both": "shared", "expected": "by chance"}
        rows = self.layers_frame.rename(columns=values).melt(keys, list(values.values()), "of", "pairs")
        texts = {"title": f"What {self.first} and {self.second} share", "y_title": "(feature, emotion) pairs"}
        return series_curves(rows, "pairs", ["of", *keys[1:]], **texts)


def _check(bank: FeatureBank, first: str, second: str, features: str) -> None:
    for language in (first, second):
        if language not in bank.languages:
            raise UnknownNameError("language", language, bank.languages)
    if first == second:
        raise EmotionInterpError(f"universality compares two languages; {first!r} was given twice.")
    if features not in KINDS:
        raise UnknownNameError("kind of features", features, KINDS)
    if bank.rates is None:
        raise EmotionInterpError(
            "this bank was found by an earlier version that kept no firing rates, which the null needs. "
            "Find the features again with find_features."
        )


@checked
def universality(
    bank: FeatureBank,
    first: str,
    second: str,
    n_permutations: int = 5000,
    seed: int = 0,
    bins: int = 10,
    features: str = "selected",
) -> Universality:
    """Are an emotion's features in one language those of the other, more often than firing rates alone explain?

    The population are the features alive in both languages: one that never fires could not have been selected. Null:
    the selection of each language is permuted among the features of the same firing-rate bin of that language (a
    frequent feature is selected more easily, in both languages); p = (b + 1) / (m + 1), one-sided. The hypergeometric
    p, which ignores rates, stands beside it.

    Args:
        bank: from `find_features` over both languages.
        first: languages.
        second: languages.
        n_permutations: size of the null sample.
        seed: of the permutations.
        bins: number of quantile bins of the firing rate; 1 gives the hypergeometric null.
        features: "selected", or "nominal": all with p <= .05 before correction. Many of those are chance, but chance
            does not repeat itself in the other language; where little is selected this has the power.

    Raises:
        UnknownNameError: a language that the bank lacks, or another kind of features.
        EmotionInterpError: the same language twice, fewer than one bin or permutation, or a bank of an earlier version
            that kept no firing rates.

    Example:
        >>> import emotion_interp as ei
        >>> ei.universality(bank, "en", "zh").by_layer()  # doctest: +SKIP
    """
    _check(bank, first, second, features)
    genres = genre_of(bank, first), genre_of(bank, second)
    if len(set(genres)) > 1:
        tell(
            f"the features of {first!r} were found on {genres[0]}, those of {second!r} on {genres[1]}: what they share or "
            "do not share may be due to the kind of text as well as to the language."
        )
    rows, layer_rows, shared = [], [], {}
    for site in bank.sites:
        rates = {lang: _rates(bank, site, lang) for lang in (first, second)}
        alive = np.intersect1d(rates[first].index, rates[second].index)
        first_bins, two = (
            rate_bins(rates[lang].loc[alive].to_numpy(dtype=np.float64), bins) for lang in (first, second)
        )
        head: dict[str, object] = {"first": first, "second": second, "layer": site.layer, "site": str(site)}
        of = {"first_genre": genres[0], "second_genre": genres[1]}
        # with one site at each layer the draws are named by the layer alone, as in every table that was ever kept
        named = [str(site)] if len(bank.sites) > len(bank.layers) else []
        names = (*sorted((first, second)), site.layer, *named)
        profiles = [np.zeros((len(alive), len(bank.emotions)), dtype=bool) for _ in range(2)]
        for i, emotion in enumerate(bank.emotions):
            chosen = [_chosen(bank, site, lang, emotion, features) for lang in (first, second)]
            for profile, ids in zip(profiles, chosen, strict=True):
                profile[:, i] = np.isin(alive, ids)
            a, b = profiles[0][:, i], profiles[1][:, i]
            row = overlap(a, b, first_bins, two, n_permutations, generator(seed, "universality", *names, emotion))
            silent = {
                "n_first_silent": len(chosen[0]) - int(a.sum()),
                "n_second_silent": len(chosen[1]) - int(b.sum()),
            }
            rows.append(head | {"emotion": emotion} | row | silent | of)
            shared[site, emotion] = alive[a & b]
        rng = generator(seed, "universality of a layer", *names)
        layer_rows.append(
            head | overlap_of_profiles(profiles[0], profiles[1], first_bins, two, n_permutations, rng) | of
        )
    frame = pd.DataFrame(rows)
    frame["p_holm"] = frame.groupby("site")["p_permutation"].transform(lambda p: holm(p.to_numpy()))
    return Universality(first, second, frame, pd.DataFrame(layer_rows), shared, genres)


def universality_all(
    bank: FeatureBank, n_permutations: int = 5000, seed: int = 0, bins: int = 10, features: str = "selected"
) -> dict[tuple[str, str], Universality]:
    """`universality` of every pair of the bank's languages.

    Raises:
        EmotionInterpError: the bank has one language only, or kept no firing rates.
    """
    if len(bank.languages) < 2:
        raise EmotionInterpError(
            f"universality compares languages; the bank has only {bank.languages[0]!r}. "
            "Find features over several: concept_set('en') | concept_set('zh')."
        )
    pairs = combinations(bank.languages, 2)
    return {pair: universality(bank, *pair, n_permutations, seed, bins, features) for pair in pairs}


def rate_bins(rates: np.ndarray, bins: int) -> np.ndarray:
    """Quantile bin of each firing rate, equal rates together: [feature], counted from 0 without gaps."""
    if not len(rates):
        return np.zeros(0, dtype=np.int64)
    inner = np.quantile(rates, np.arange(1, bins) / bins)
    return np.unique(np.searchsorted(np.unique(inner), rates, side="left"), return_inverse=True)[1]


def overlap(
    first: np.ndarray,
    second: np.ndarray,
    first_bins: np.ndarray,
    second_bins: np.ndarray,
    n_permutations: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Overlap of two selections and its p under permutation of each within its own bins.

    Args:
        first: whether a feature is selected [feature], boolean.
        second: whether a feature is selected [feature], boolean.
        first_bins: the firing-rate bin of each feature in each language [feature], from 0.
        second_bins: the firing-rate bin of each feature in each language [feature], from 0.
        n_permutations: size of the null sample.
        rng: generator.
    """
    counts, jaccard = _counts(first, second)
    both, n, n_first, n_second = counts["n_both"], len(first), int(first.sum()), int(second.sum())
    missing = dict.fromkeys(("p_permutation", "p_hypergeometric"), float("nan"))
    result = {**counts, "expected": 0.0, **missing, "jaccard": jaccard}
    if not n_first or not n_second:
        return result
    result["expected"] = _expected(first[:, None], second[:, None], first_bins, second_bins)
    cells = np.zeros((second_bins.max() + 1, first_bins.max() + 1), dtype=np.int64)
    np.add.at(cells, (second_bins, first_bins), 1)
    of_first, of_second = np.bincount(first_bins[first], minlength=cells.shape[1]), np.bincount(second_bins[second])
    # A permutation within bins matters only through how many of the second language's features land in each of the
    # first's bins (multivariate hypergeometric), and how many of these the first hits (hypergeometric): the same
    # distribution as shuffling the labels, without shuffling them.
    landed = np.zeros((n_permutations, cells.shape[1]), dtype=np.int64)
    for row, count in zip(cells, of_second, strict=False):
        if count:
            landed += rng.multivariate_hypergeometric(row, count, size=n_permutations)
    null = np.zeros(n_permutations, dtype=np.int64)
    for column in np.flatnonzero(of_first):
        landed_in = landed[:, column]
        null += rng.hypergeometric(landed_in, cells[:, column].sum() - landed_in, of_first[column])
    result["p_permutation"] = (int((null >= both).sum()) + 1) / (n_permutations + 1)
    result["p_hypergeometric"] = float(min(1.0, hypergeom.sf(both - 1, n, n_first, n_second)))
    return result


def overlap_of_profiles(
    first: np.ndarray,
    second: np.ndarray,
    first_bins: np.ndarray,
    second_bins: np.ndarray,
    n_permutations: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Shared (feature, emotion) pairs, and p when whole features change places within their bins.

    Args:
        first: whether a feature is selected for an emotion [feature, emotion], boolean.
        second: whether a feature is selected for an emotion [feature, emotion], boolean.
        first_bins: as in `overlap`.
        second_bins: as in `overlap`.
        n_permutations: as in `overlap`.
        rng: as in `overlap`.
    """
    counts, jaccard = _counts(first, second)
    expected = _expected(first, second, first_bins, second_bins)
    result = {**counts, "expected": expected, "p_permutation": float("nan"), "jaccard": jaccard}
    if not first.any() or not second.any():
        return result
    # emotions that two features have in common, which is all that a change of places can alter
    common = first.astype(np.float32) @ second.astype(np.float32).T
    at_least = 0
    for start in range(0, n_permutations, 250):
        size = min(250, n_permutations - start)
        places = [_shuffled(bins, size, rng) for bins in (first_bins, second_bins)]
        at_least += int((common[places[0], places[1]].sum(1) >= counts["n_both"]).sum())
    result["p_permutation"] = (at_least + 1) / (n_permutations + 1)
    return result


def _counts(first: np.ndarray, second: np.ndarray) -> tuple[dict[str, int], float]:
    """How many are chosen in both or in one, and the Jaccard index (NaN where none is)."""
    both, n_first, n_second = int((first & second).sum()), int(first.sum()), int(second.sum())
    union = n_first + n_second - both
    counts = {
        "n_both": both,
        "n_first_only": n_first - both,
        "n_second_only": n_second - both,
        "n_alive_both": len(first),
    }
    return counts, both / union if union else float("nan")


def _shuffled(bins: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Permutations of the features that keep every one in its bin: [permutation, feature]."""
    places = np.tile(np.arange(len(bins)), (size, 1))
    for b in np.unique(bins):
        members = np.flatnonzero(bins == b)
        places[:, members] = rng.permuted(places[:, members], axis=1)
    return places


def _expected(first: np.ndarray, second: np.ndarray, first_bins: np.ndarray, second_bins: np.ndarray) -> float:
    """Mean of the null: each feature is drawn at its bin's share, independently in the two languages."""
    shares = []
    for chosen, bins in ((first, first_bins), (second, second_bins)):
        if not len(bins):
            return 0.0
        totals = np.zeros((bins.max() + 1, chosen.shape[1]))
        np.add.at(totals, bins, chosen.astype(np.float64))
        shares.append((totals / np.bincount(bins)[:, None])[bins])
    return float((shares[0] * shares[1]).sum())


def _chosen(bank: FeatureBank, site: Site, language: str, emotion: str, features: str) -> np.ndarray:
    if features == "selected":
        return bank.selected_features(site, language, emotion)
    frame = bank.table(emotion, site, language)
    return np.unique(frame[frame["p"] <= 0.05]["feature"].to_numpy(dtype=np.int64))


def _rates(bank: FeatureBank, site: Site, language: str) -> pd.Series:
    """Firing rate by feature id of the living features."""
    assert bank.rates is not None
    at_site = bank.rows_at(bank.rates, site)
    return at_site[at_site["language"] == language].set_index("feature")["rate"]
