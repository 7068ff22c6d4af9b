"""Does "confirmed" keep its level? Features of nothing, of a mood, of a topic or an author; what it finds where something is.

`python -m benchmarks.calibration confirmed` (2,000 runs of each). One run: six emotions, one feature each, on held-out units;
p = the larger of Fisher's and the permutation p; Holm over the six.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

EMOTIONS = ("anger", "disgust", "fear", "joy", "love", "sadness")
NEGATIVE = (0, 1, 2, 5)
RUNS = 2000


@dataclass(frozen=True)
class Case:
    """Which emotions a feature of the emotion answers to, and what its units have in common besides.

    shared: per emotion those under which its feature fires; design: "words" (a group each), "topics" (crossed with the
    emotions) or "authors" (each of one emotion); common: spread of what the units of a group, and of a group's emotion, have
    in common.
    """

    name: str
    shared: tuple[tuple[int, ...], ...]
    design: str = "words"
    common: float = 0.0
    true: bool = False


PAIRS = tuple((i, i ^ 1) for i in range(6))
CASES = (
    Case("nothing (shuffled labels)", tuple(() for _ in EMOTIONS)),
    Case("one rival fires as much", PAIRS),
    Case("all negative emotions fire", tuple(NEGATIVE if i in NEGATIVE else (3, 4) for i in range(6))),
    Case("one rival, topics in common", PAIRS, "topics", 1.0),
    Case("one rival, authors in common", PAIRS, "authors", 1.0),
    Case("nothing, authors in common", tuple(() for _ in EMOTIONS), "authors", 1.0),
    Case("its emotion alone", tuple((i,) for i in range(6)), true=True),
    Case("its emotion alone, topics in common", tuple((i,) for i in range(6)), "topics", 1.0, true=True),
)


def units(design: str) -> tuple[np.ndarray, np.ndarray]:
    """Class and group of every unit: 20 units an emotion."""
    codes = np.repeat(np.arange(6), 20)
    if design == "words":
        return codes, np.arange(len(codes))
    if design == "topics":
        # ten topics, one to three texts of an emotion each
        sizes = np.resize([1, 2, 3, 2, 2], 10)
        return codes, np.tile(np.repeat(np.arange(10), sizes), 6)
    return codes, np.arange(len(codes)) // 4


def draw(case: Case, runs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Activations [unit, run x emotion], target of each column, class and group of each unit."""
    codes, groups = units(case.design)
    targets = np.tile(np.arange(6), runs)
    fires = np.array([[c in own for own in case.shared] for c in range(6)], dtype=float)
    level = rng.normal(size=(len(codes), len(targets))) + 1.6 * fires[codes][:, targets] - 1.0
    cell = np.unique(np.stack([groups, codes]), axis=1, return_inverse=True)[1].ravel()
    for of in (np.unique(groups, return_inverse=True)[1], cell):
        level += case.common * rng.normal(size=(of.max() + 1, len(targets)))[of]
    return np.maximum(level, 0.0), targets, codes, groups


def confirmed(case: Case, runs: int = RUNS, seed: int = 0) -> pd.DataFrame:
    """One row per run and emotion: p of both tests, and whether it is confirmed."""
    import pandas as pd

    from emotion_interp.bank.confirmation import decide
    from emotion_interp.features.specific import specificity_test
    from emotion_interp.stats.scores import fisher_enrichment

    values, targets, codes, groups = draw(case, runs, np.random.default_rng([seed, CASES.index(case)]))
    siblings: dict[str, set[int]] = {name: set() for name in EMOTIONS}
    smallest, p, _ = specificity_test(values, targets, codes, groups, EMOTIONS, siblings)
    fisher = fisher_enrichment(values > 0, codes, 6)[targets, np.arange(len(targets))]
    frame = pd.DataFrame(
        {
            "run": np.repeat(np.arange(runs), 6),
            "emotion": np.asarray(EMOTIONS)[targets],
            "held_out_specificity": smallest,
            "p_heldout": fisher,
            "p_specificity": p,
        }
    )
    return decide(frame, np.ones(len(frame), dtype=bool), np.ones(len(frame), dtype=bool), ["run"])


def rates(frame: Any) -> dict[str, float]:
    """Shares of features and of runs that pass."""
    return {
        "p_specificity < .05": float((frame["p_specificity"] < 0.05).mean()),
        "Fisher p < .05": float((frame["p_heldout"] < 0.05).mean()),
        "larger p < .05": float((frame[["p_heldout", "p_specificity"]].max(axis=1) < 0.05).mean()),
        "runs with a confirmed feature": float(frame.groupby("run")["confirmed"].any().mean()),
        "features confirmed": float(frame["confirmed"].mean()),
    }


def main(runs: int = RUNS) -> None:
    import pandas as pd

    table = pd.DataFrame([{"feature of": case.name, **rates(confirmed(case, runs))} for case in CASES])
    print(f"\n## Confirmation, {runs} runs of six features each\n\n{table.round(4).to_string(index=False)}")
