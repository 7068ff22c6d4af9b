"""Claims of the paper's pattern, comparison by comparison, and their verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emotion_interp.core.result import Result
from emotion_interp.figures import interval_rows

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from emotion_interp.core.types import Site

CLAIMS = {
    "a": "shared ~ all",
    "b": "shared > outside",
    "c": "valence > arousal",
    "d": "within > across",
}
HOLDS, FAILS, OPEN, UNTESTED = "holds", "does not hold", "undecided", "not tested"
BELOW = "holds, below the text baseline"
"""The comparison holds, but the set does not predict better than the words' static embedding and their mere length do."""
BASELINES = ("static", "length")
LEVELS = (*BASELINES, "frequency")
MIN_WORDS = 20
MIN_DRAWS = 200


@dataclass(frozen=True)
class PatternClaim:
    """One comparison behind a claim: `effect` = `first_r` - `second_r`, with its bootstrap interval over words, and over
    draws where the second is an outside set that was drawn `n_draws` times.

    `paired`: both correlations are over the same words, resampled together. `static_r`, `length_r`, `frequency_r`: what
    the words alone predict there; `above_low`: lower end of the interval of `first_r` less the better of static embedding
    and length. Numbers are NaN where nothing was tested, or the ratings hold no such row.
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
    n_draws: int = 0
    static_r: float = float("nan")
    length_r: float = float("nan")
    frequency_r: float = float("nan")
    above_low: float = float("nan")


@dataclass(frozen=True, eq=False, repr=False)
class PaperPattern(Result):
    """The four claims, comparison by comparison (the rows are `PatternClaim`); settings that repeat it."""

    comparisons: tuple[PatternClaim, ...]
    equivalence: float
    level: float
    layer: int | Site | str | None
    n_bootstrap: int
    seed: int

    COLUMNS = ("claim", "statement", "language", "dimension", "first", "second", "effect", "low", "high", "verdict")
    ROWS = "comparisons"

    @property
    def verdicts(self) -> dict[str, str]:
        """Claim ("a" to "d") -> "holds" (every comparison does), "holds, below the text baseline" (every one does, but the
        set of some is no better than static embedding and word length), "does not hold" (some comparison's interval
        excludes it), "undecided", or "not tested"."""
        answers = {}
        for claim in CLAIMS:
            its = [c.verdict for c in self.comparisons if c.claim == claim and c.verdict != UNTESTED]
            if not its:
                answers[claim] = UNTESTED
            elif FAILS in its:
                answers[claim] = FAILS
            else:
                answers[claim] = OPEN if set(its) - {HOLDS, BELOW} else BELOW if BELOW in its else HOLDS
        return answers

    def plot(self) -> go.Figure:
        """The effect of every comparison with its interval."""
        rows = self.to_frame().rename(columns={"effect": "value", "low": "lo", "high": "hi"})
        rows["name"] = rows["statement"] + ": " + rows["first"] + " - " + rows["second"] + ", " + rows["language"]
        return interval_rows(
            rows.assign(series=rows["verdict"]), title="The paper's pattern", x_title="difference of r"
        )

    def __repr__(self) -> str:
        return f"PaperPattern({'; '.join(f'({k}) {CLAIMS[k]}: {v}' for k, v in self.verdicts.items())})"
