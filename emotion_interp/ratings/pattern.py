"""The paper's pattern as a test: does a subject's emotion space predict ratings the way the paper says?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import tell
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site, sites_at
from emotion_interp.ratings.pattern_results import (
    BASELINES,
    BELOW,
    CLAIMS,
    FAILS,
    HOLDS,
    LEVELS,
    MIN_DRAWS,
    MIN_WORDS,
    OPEN,
    UNTESTED,
    PaperPattern,
    PatternClaim,
)
from emotion_interp.ratings.predict import Ratings
from emotion_interp.ratings.redraw import RedrawnSeries
from emotion_interp.ratings.series import Series, all_draws, all_series, bootstrap_draws, bootstrap_means
from emotion_interp.ratings.sets import CONTROLS

if TYPE_CHECKING:
    import pandas as pd


@checked
def paper_pattern(
    ratings: Ratings | pd.DataFrame | Sequence[Ratings],
    *,
    shared: str = "intersection",
    outside: str | None = None,
    layer: int | Site | str | None = None,
    equivalence: float = 0.05,
    n_bootstrap: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> PaperPattern:
    """Test the paper's pattern in predicted word ratings; "does not hold" is as good an answer as "holds".

    With r the correlation of predicted and human ratings: (a) features shared by the languages predict as well as all
    features, within `equivalence`; (b) better than as many features outside; (c) valence better than arousal; (d) a
    language's own words better than another language's. (c) and (d) are asked of the shared features. Each comparison
    is a difference of r with a percentile bootstrap interval over words: (a) holds where the interval lies inside the
    equivalence bound and does not where it lies outside; (b), (c) and (d) hold above 0 and do not below. An interval
    that lies astride decides nothing. Arousal norms are less reliable than valence norms, which alone favours (c).

    One outside set is one draw: where the ratings hold redrawn sets (`predict_ratings(outside_draws=200)`, the default
    there), `second_r` of (b) is the mean over them and the interval covers words and draws. And a set that beats other
    features may still know less than the words do: what holds, holds "below the text baseline" unless the lower end of the
    shared features' r less that of static embedding, and less that of word length, is above 0.

    Args:
        ratings: `predict_ratings(...)`, several of them (one for each language learnt, with `transfer` for (d)), or
            their `predictions` as a frame.
        shared: the feature set of the emotion space ("intersection"; "selected" where a bank has one language).
        outside: its control; default the one of `bank_sets`, else "outside".
        layer: one layer (all its sites), hook name or site, fixed beforehand; default: the mean r over all sites, so that
            none is picked.
        equivalence: largest |difference in r| that counts as none.
        n_bootstrap: resamples of the words, the same for both sides of a comparison.
        level: of the intervals.
        seed: of the resamples.

    Raises:
        EmotionInterpError: no predictions in it, settings out of range, fewer than 20 words.
        UnknownNameError: no such layer.

    Example:
        >>> paper_pattern([english, chinese]).verdicts  # doctest: +SKIP
        {'a': 'holds', 'b': 'holds', 'c': 'undecided', 'd': 'does not hold'}
    """
    if not equivalence > 0 or not 0 < level < 1 or n_bootstrap < 1:
        raise EmotionInterpError(
            f"equivalence is above 0, level between 0 and 1, n_bootstrap at least 1; got {equivalence}, {level} and "
            f"{n_bootstrap}."
        )
    series = all_series(ratings)
    sites = {s.site for s in series} if layer is None else set(sites_at({s.site for s in series}, layer))
    known = sorted({s.feature_set for s in series} | {*CONTROLS, *CONTROLS.values()})
    for name in (shared, outside):
        if name not in (None, *known):
            raise UnknownNameError("feature set", name, known)
    series = [s for s in series if s.site in sites]
    outside = outside or CONTROLS.get(shared, "outside")
    draws = all_draws(ratings)
    _warn(series, draws, outside)
    test = _Test(series, draws, shared, equivalence, level, n_bootstrap, seed)
    tests = sorted({s.test for s in series})
    trained = sorted({s.train for s in series})
    dimensions = [d for d in ("valence", "arousal") if any(s.dimension == d for s in series)]
    claims = []
    for claim, other in (("a", "all"), ("b", outside)):
        claims += [
            test.compare(claim, code, d, (shared, code, d), (other, code, d))
            for code in tests
            for d in dimensions
            if code in trained
        ]
    for code in (c for c in tests if c in trained):
        claims.append(test.compare("c", code, "both", (shared, code, "valence"), (shared, code, "arousal")))
    for code in tests:
        for source in (c for c in trained if c != code):
            claims += [test.across(code, source, d) for d in dimensions]
    missing = [claim for claim in CLAIMS if claim not in {c.claim for c in claims}]
    claims += [test.untested(claim, "", "", "", "") for claim in missing]
    return PaperPattern(
        tuple(sorted(claims, key=lambda c: c.claim)), float(equivalence), float(level), layer, n_bootstrap, seed
    )


class _Test:
    """Means of r over layers, their bootstrap, and the verdicts."""

    def __init__(
        self,
        series: list[Series],
        draws: Mapping[tuple[int | Site | str, ...], RedrawnSeries],
        shared: str,
        equivalence: float,
        level: float,
        n_bootstrap: int,
        seed: int,
    ) -> None:
        self.series, self.draws, self.shared, self.equivalence = series, draws, shared, equivalence
        self.tails = [(1 - level) / 2, (1 + level) / 2]
        self.n_bootstrap, self.seed = n_bootstrap, seed

    def _pick(self, feature_set: str, train: str, test: str, dimension: str) -> dict[Site, Series]:
        wanted = (feature_set, train, test, dimension)
        return {s.site: s for s in self.series if (s.feature_set, s.train, s.test, s.dimension) == wanted}

    def compare(
        self, claim: str, code: str, shown: str, first: tuple[str, str, str], second: tuple[str, str, str]
    ) -> PatternClaim:
        """Two series on the words of language `code`; each is (feature set, training language, dimension)."""
        first_series, two = (self._pick(name, train, code, dimension) for name, train, dimension in (first, second))
        labels = ["/".join((name, f"{train} to {code}", dimension)) for name, train, dimension in (first, second)]
        common = sorted(set(first_series) & set(two))
        # a set is no evidence against itself
        if not common or first == second:
            return self.untested(claim, code, shown, *labels)
        words = sorted(set.intersection(*(set(side[k].index) for side in (first_series, two) for k in common)))
        _enough(words, code)
        groups = [[side[k].on(words) for k in common] for side in (first_series, two)]
        observed, boot = bootstrap_means(groups, self.n_bootstrap, self._rng(code, words))
        redrawn = [self.draws.get((k, *second[:2], code, second[2])) for k in common] if claim == "b" else []
        n_draws = 0
        if redrawn and all(first_series is not None for first_series in redrawn):
            predicted = [first_series.on(words) for first_series in redrawn if first_series is not None]
            n_draws = len(predicted[0])
            observed[1], boot[:, 1] = bootstrap_draws(groups[1], predicted, self.n_bootstrap, self._rng(code, words))
        row = self._row(claim, code, shown, labels, observed, boot, len(words), len(common), True)
        return self._levels(replace(row, n_draws=n_draws), first, first_series, common, words, code)

    def _rng(self, code: str, words: Sequence[str]) -> np.random.Generator:
        """The same resamples of the words for every side of every comparison."""
        return generator(self.seed, "pattern", code, len(words))

    def _levels(
        self,
        row: PatternClaim,
        first: tuple[str, str, str],
        one: Mapping[Site, Series],
        common: Sequence[Site],
        words: Sequence[str],
        code: str,
    ) -> PatternClaim:
        """The row with what the words alone predict, and its verdict in that light."""
        levels: dict[str, object] = {}
        lowest = []
        for name in LEVELS:
            beside = self._pick(name, first[1], code, first[2])
            if not set(common) <= set(beside) or any(set(words) - set(beside[k].index) for k in common):
                continue
            groups = [[side[k].on(words) for k in common] for side in (one, beside)]
            observed, boot = bootstrap_means(groups, self.n_bootstrap, self._rng(code, words))
            levels[f"{name}_r"] = float(observed[1])
            if name in BASELINES:
                lowest.append(float(np.quantile(boot[:, 0] - boot[:, 1], self.tails[0])))
        if lowest:
            levels["above_low"] = min(lowest)
            if row.verdict == HOLDS and min(lowest) <= 0:
                levels["verdict"] = BELOW
        return replace(row, **levels)

    def across(self, code: str, source: str, dimension: str) -> PatternClaim:
        """(d): the words of `code`, predicted from `code` itself and from `source`; where nobody learnt `code`, the
        words of `source` predicted from `source` instead, which are other words."""
        if self._pick(self.shared, code, code, dimension):
            within_key, other = (self.shared, code, dimension), (self.shared, source, dimension)
            return self.compare("d", code, dimension, within_key, other)
        within, two = (self._pick(self.shared, source, test, dimension) for test in (source, code))
        labels = [f"{self.shared}/{source} to {test}/{dimension}" for test in (source, code)]
        common = sorted(set(within) & set(two))
        if not common:
            return self.untested("d", code, dimension, *labels)
        observed, boots, sizes = [], [], []
        for side, test in ((within, source), (two, code)):
            words = sorted(set.intersection(*(set(side[k].index) for k in common)))
            _enough(words, test)
            rng = generator(self.seed, "pattern", test, len(words))
            value, boot = bootstrap_means([[side[k].on(words) for k in common]], self.n_bootstrap, rng)
            observed.append(value[0])
            boots.append(boot[:, 0])
            sizes.append(len(words))
        both = np.column_stack(boots)
        row = self._row("d", code, dimension, labels, np.array(observed), both, min(sizes), len(common), False)
        words = sorted(set.intersection(*(set(within[k].index) for k in common)))
        return self._levels(row, (self.shared, source, dimension), within, common, words, source)

    def _row(
        self,
        claim: str,
        code: str,
        shown: str,
        labels: Sequence[str],
        observed: np.ndarray,
        boot: np.ndarray,
        n_words: int,
        n_layers: int,
        paired: bool,
    ) -> PatternClaim:
        low, high = np.quantile(boot[:, 0] - boot[:, 1], self.tails)
        effect = float(observed[0] - observed[1])
        verdict = self._verdict(claim, low, high)
        return PatternClaim(
            claim,
            CLAIMS[claim],
            code,
            shown,
            labels[0],
            labels[1],
            float(observed[0]),
            float(observed[1]),
            effect,
            float(low),
            float(high),
            verdict,
            n_words,
            n_layers,
            paired,
        )

    def _verdict(self, claim: str, low: float, high: float) -> str:
        if claim == "a":
            bound = self.equivalence
            if -bound < low and high < bound:
                return HOLDS
            return FAILS if low >= bound or high <= -bound else OPEN
        if low > 0:
            return HOLDS
        return FAILS if high < 0 else OPEN

    def untested(self, claim: str, code: str, shown: str, first: str, second: str) -> PatternClaim:
        """A comparison whose rows are missing."""
        nan = float("nan")
        return PatternClaim(
            claim, CLAIMS[claim], code, shown, first, second, nan, nan, nan, nan, nan, UNTESTED, 0, 0, False
        )


def _warn(series: Sequence[Series], draws: Mapping[tuple[int | Site | str, ...], RedrawnSeries], outside: str) -> None:
    names = {s.feature_set for s in series}
    drawn = [len(redrawn.predicted) for key, redrawn in draws.items() if key[1] == outside]
    if outside in names and min(drawn, default=1) < MIN_DRAWS:
        tell(
            f"the outside set {outside!r} was drawn {min(drawn, default=1)} time(s): another draw may say otherwise. Give "
            f"ratings of predict_ratings(outside_draws={MIN_DRAWS})."
        )
    if missing := [name for name in BASELINES if name not in names]:
        tell(
            f"the ratings hold no {' and no '.join(missing)} row, so 'holds' is not held against the words alone. Give "
            "ratings of predict_ratings(baselines=True)."
        )


def _enough(words: Sequence[str], code: str) -> None:
    if len(words) < MIN_WORDS:
        raise EmotionInterpError(
            f"the sides of a comparison share {len(words)} words of {code!r}; at least {MIN_WORDS} are needed."
        )
