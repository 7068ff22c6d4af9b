"""The paper's pattern as a test: does a subject's emotion space predict ratings the way the paper says?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.core.arguments import checked
from emotion_interp.core.markup import summary_html
from emotion_interp.core.seeds import generator
from emotion_interp.ratings.predict import Ratings
from emotion_interp.ratings.series import Series, all_series, bootstrap_means
from emotion_interp.ratings.sets import CONTROLS

if TYPE_CHECKING:
    import pandas as pd

CLAIMS = {
    "a": "shared ~ all",
    "b": "shared > outside",
    "c": "valence > arousal",
    "d": "within > across",
}
HOLDS, FAILS, OPEN, UNTESTED = "holds", "does not hold", "undecided", "not tested"
MIN_WORDS = 20


@dataclass(frozen=True)
class PatternClaim:
    """One comparison behind a claim: `effect` = `first_r` - `second_r`, with its bootstrap interval over words.

    `paired`: both correlations are over the same words, resampled together. Numbers are NaN where nothing was tested.
    """

    claim: str
    statement: str
    language: str
    dimension: str
    first: str
    second: str
    first_r: float
    second_r: float
    effect: float
    low: float
    high: float
    verdict: str
    n_words: int
    n_layers: int
    paired: bool


@dataclass(frozen=True, eq=False, repr=False)
class PaperPattern:
    """The four claims, comparison by comparison; settings that repeat it."""

    comparisons: tuple[PatternClaim, ...]
    equivalence: float
    level: float
    layer: int | None
    n_bootstrap: int
    seed: int

    @property
    def verdicts(self) -> dict[str, str]:
        """Claim ("a" to "d") -> "holds" (every comparison does), "does not hold" (some comparison's interval excludes
        it), "undecided", or "not tested"."""
        found = {}
        for claim in CLAIMS:
            its = [c.verdict for c in self.comparisons if c.claim == claim and c.verdict != UNTESTED]
            if not its:
                found[claim] = UNTESTED
            elif FAILS in its:
                found[claim] = FAILS
            else:
                found[claim] = HOLDS if set(its) == {HOLDS} else OPEN
        return found

    def to_frame(self) -> pd.DataFrame:
        """One row per comparison: claim, statement, language, dimension, first, second, first_r, second_r, effect, low,
        high, verdict, n_words, n_layers, paired."""
        import pandas as pd

        return pd.DataFrame([vars(c) for c in self.comparisons])

    def __repr__(self) -> str:
        return f"PaperPattern({'; '.join(f'({k}) {CLAIMS[k]}: {v}' for k, v in self.verdicts.items())})"

    def _repr_html_(self) -> str:
        return summary_html(self, self.to_frame(), digits=3)


@checked
def paper_pattern(
    ratings: Ratings | pd.DataFrame | Sequence[Ratings],
    *,
    shared: str = "intersection",
    outside: str | None = None,
    layer: int | None = None,
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

    Args:
        ratings: `predict_ratings(...)`, several of them (one for each language learnt, with `transfer` for (d)), or
            their `predictions` as a frame.
        shared: the feature set of the emotion space ("intersection"; "selected" where a bank has one language).
        outside: its control; default the one of `bank_sets`, else "outside".
        layer: one layer, fixed beforehand; default: the mean r over all layers, so that none is picked.
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
    layers = sorted({s.layer for s in series})
    if layer is not None and layer not in layers:
        raise UnknownNameError("layer", layer, layers)
    known = sorted({s.feature_set for s in series} | {*CONTROLS, *CONTROLS.values()})
    for name in (shared, outside):
        if name not in (None, *known):
            raise UnknownNameError("feature set", name, known)
    series = [s for s in series if layer in (None, s.layer)]
    outside = outside or CONTROLS.get(shared, "outside")
    test = _Test(series, shared, equivalence, level, n_bootstrap, seed)
    tests = sorted({s.test for s in series})
    trained = sorted({s.train for s in series})
    dimensions = [d for d in ("valence", "arousal") if any(s.dimension == d for s in series)]
    found = []
    for claim, other in (("a", "all"), ("b", outside)):
        found += [
            test.compare(claim, code, d, (shared, code, d), (other, code, d))
            for code in tests
            for d in dimensions
            if code in trained
        ]
    for code in (c for c in tests if c in trained):
        found.append(test.compare("c", code, "both", (shared, code, "valence"), (shared, code, "arousal")))
    for code in tests:
        for source in (c for c in trained if c != code):
            found += [test.across(code, source, d) for d in dimensions]
    missing = [claim for claim in CLAIMS if claim not in {c.claim for c in found}]
    found += [test.untested(claim, "", "", "", "") for claim in missing]
    return PaperPattern(
        tuple(sorted(found, key=lambda c: c.claim)), float(equivalence), float(level), layer, n_bootstrap, seed
    )


class _Test:
    """Means of r over layers, their bootstrap, and the verdicts."""

    def __init__(
        self, series: list[Series], shared: str, equivalence: float, level: float, n_bootstrap: int, seed: int
    ) -> None:
        self.series, self.shared, self.equivalence = series, shared, equivalence
        self.tails = [(1 - level) / 2, (1 + level) / 2]
        self.n_bootstrap, self.seed = n_bootstrap, seed

    def _pick(self, feature_set: str, train: str, test: str, dimension: str) -> dict[int, Series]:
        wanted = (feature_set, train, test, dimension)
        return {s.layer: s for s in self.series if (s.feature_set, s.train, s.test, s.dimension) == wanted}

    def compare(self, claim: str, code: str, shown: str, first: tuple[str, str, str], second: Any) -> PatternClaim:
        """Two series on the words of language `code`; each is (feature set, training language, dimension)."""
        one, two = (self._pick(name, train, code, dimension) for name, train, dimension in (first, second))
        labels = ["/".join((name, f"{train} to {code}", dimension)) for name, train, dimension in (first, second)]
        common = sorted(set(one) & set(two))
        # a set is no evidence against itself
        if not common or first == second:
            return self.untested(claim, code, shown, *labels)
        words = sorted(set.intersection(*(set(side[k].index) for side in (one, two) for k in common)))
        _enough(words, code)
        groups = [[side[k].on(words) for k in common] for side in (one, two)]
        observed, boot = bootstrap_means(groups, self.n_bootstrap, generator(self.seed, "pattern", code, len(words)))
        return self._row(claim, code, shown, labels, observed, boot, len(words), len(common), True)

    def across(self, code: str, source: str, dimension: str) -> PatternClaim:
        """(d): the words of `code`, predicted from `code` itself and from `source`; where nobody learnt `code`, the
        words of `source` predicted from `source` instead, which are other words."""
        if self._pick(self.shared, code, code, dimension):
            own, other = (self.shared, code, dimension), (self.shared, source, dimension)
            return self.compare("d", code, dimension, own, other)
        one, two = (self._pick(self.shared, source, test, dimension) for test in (source, code))
        labels = [f"{self.shared}/{source} to {test}/{dimension}" for test in (source, code)]
        common = sorted(set(one) & set(two))
        if not common:
            return self.untested("d", code, dimension, *labels)
        observed, boots, sizes = [], [], []
        for side, test in ((one, source), (two, code)):
            words = sorted(set.intersection(*(set(side[k].index) for k in common)))
            _enough(words, test)
            rng = generator(self.seed, "pattern", test, len(words))
            value, boot = bootstrap_means([[side[k].on(words) for k in common]], self.n_bootstrap, rng)
            observed.append(value[0])
            boots.append(boot[:, 0])
            sizes.append(len(words))
        both = np.column_stack(boots)
        return self._row("d", code, dimension, labels, np.array(observed), both, min(sizes), len(common), False)

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


def _enough(words: Sequence[str], code: str) -> None:
    if len(words) < MIN_WORDS:
        raise EmotionInterpError(
            f"the sides of a comparison share {len(words)} words of {code!r}; at least {MIN_WORDS} are needed."
        )
