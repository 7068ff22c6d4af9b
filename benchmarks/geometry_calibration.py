"""Are the p-values of `align` calibrated, and do its intervals cover the truth? `python -m benchmarks.geometry_calibration`

Null runs: random vectors with a falling spectrum against unrelated random ratings; the share of p < .05 of every test
belongs in 3.5 to 6.75%. Coverage: spaces from a population with a planted valence and arousal component.
Intervals over emotions: each space draws its emotions anew; the truth is the population's correlation of the planted
component, and its Spearman rho of distances. Intervals over words: the emotions stay, each vector is the mean of words
drawn around it; the truth is the value without word noise. Both belong in 92.5 to 97.5%. `picked`: how often the scan
picked the planted component; the intervals do not know of the choice, so coverage is given where it was right, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from emotion_interp.geometry import EmotionSpace, align, principal_components
from emotion_interp.geometry.rsa import human_dissimilarity, model_dissimilarity, ratings_z, spearman

SPECTRUM = np.array([8, 4, 1.5, 1.2, 1, 0.8, 0.6, 0.5, 0.4, 0.3])
WIDTH = 40


def null_runs(runs: int, n_emotions: int = 28, n_permutations: int = 999) -> pd.DataFrame:
    """Share of p < .05 of every test on spaces that have nothing to do with the ratings."""
    below: dict[str, int] = {}
    names = [f"e{i}" for i in range(n_emotions)]
    for run in range(runs):
        rng = np.random.default_rng([1, run])
        vectors = rng.normal(size=(n_emotions, WIDTH)) * np.geomspace(4, 0.5, WIDTH)
        ratings = pd.DataFrame(rng.uniform(1, 9, (n_emotions, 2)), index=names, columns=["valence", "arousal"])
        row = align(EmotionSpace(vectors, names), ratings, n_permutations, seed=run, n_bootstrap=0).row()
        for name, value in row.items():
            if name.endswith("_p"):
                below[name] = below.get(name, 0) + (value < 0.05)
    table = pd.DataFrame({"share": pd.Series(below) / runs})
    table["in 3.5-6.75%"] = table["share"].between(0.035, 0.0675)
    return table


def population(
    rng: np.random.Generator, n: int, strength: tuple[float, float], bimodal: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Ratings [emotion, 2] and vectors [emotion, 10]: component k correlates `strength[k]` with dimension k."""
    ratings, vectors = rng.normal(size=(n, 2)), rng.normal(size=(n, len(SPECTRUM)))
    if bimodal:
        ratings[:, 0] = (rng.choice([-1, 1], n) + 0.4 * ratings[:, 0]) / np.sqrt(1.16)
    for k, r in enumerate(strength):
        vectors[:, k] = r * ratings[:, k] + np.sqrt(1 - r**2) * vectors[:, k]
    return ratings, vectors * np.sqrt(SPECTRUM)


def rho_of(vectors: np.ndarray, ratings: np.ndarray) -> float:
    space = EmotionSpace(vectors, [str(i) for i in range(len(vectors))])
    return spearman(model_dissimilarity(space), human_dissimilarity(ratings_z(ratings)))


def over_emotions(
    run: int, n: int, strength: tuple[float, float], bimodal: bool, n_bootstrap: int
) -> tuple[Any, dict[str, float], np.ndarray]:
    rng = np.random.default_rng([2, run])
    ratings, vectors = population(rng, n, strength, bimodal)
    turn = np.linalg.qr(rng.normal(size=(WIDTH, len(SPECTRUM))))[0]
    space = EmotionSpace(vectors @ turn.T, [str(i) for i in range(n)])
    return _fit(space, ratings, run, n_bootstrap), {"valence": strength[0], "arousal": strength[1]}, turn.T[:2]


def over_words(
    run: int, n: int, strength: tuple[float, float], n_words: int, noise: float, n_bootstrap: int
) -> tuple[Any, dict[str, float], np.ndarray]:
    """`noise`: variance of words within an emotion over the variance between emotions."""
    rng = np.random.default_rng([3, run])
    ratings, vectors = population(rng, n, strength, False)
    true = vectors @ np.linalg.qr(rng.normal(size=(WIDTH, len(SPECTRUM))))[0].T
    names = [str(i) for i in range(n)]
    spread = np.sqrt(noise * SPECTRUM.sum() / WIDTH)
    units = np.repeat(true, n_words, axis=0) + spread * rng.normal(size=(n * n_words, WIDTH))
    components = principal_components(EmotionSpace(true, names))
    r = np.corrcoef(np.column_stack([components.unit_scores[:, :2], ratings]).T)
    truth = {"valence": r[0, 2], "arousal": r[1, 3], "rsa": rho_of(true, ratings)}
    space = EmotionSpace.from_units(units, np.repeat(names, n_words).tolist())
    return _fit(space, ratings, run, n_bootstrap), truth, components.loadings[:2]


def _fit(space: EmotionSpace, ratings: np.ndarray, run: int, n_bootstrap: int) -> tuple[Any, np.ndarray]:
    table = pd.DataFrame(ratings, index=list(space.emotions), columns=["valence", "arousal"])
    fit = align(space, table, 1, seed=run, n_bootstrap=n_bootstrap)
    return fit, principal_components(space).loadings


def coverage(simulate: Callable[[int], Any], runs: int, which: str, rho: float | None = None) -> pd.DataFrame:
    """Share of intervals `which` ("ci_emotions", "ci_words") that hold the truth."""
    held: dict[str, list[bool]] = {"valence": [], "arousal": [], "rsa": []}
    right: dict[str, list[bool]] = {name: [] for name in held}
    misses: dict[str, list[int]] = {name: [] for name in held}
    for run in range(runs):
        (fit, loadings), truth, axes = simulate(run)
        truth = truth if rho is None else truth | {"rsa": rho}
        for place, name in enumerate(held):
            part = getattr(fit, name)
            low, high = getattr(part, which)
            value = truth[name]
            if name != "rsa":
                right[name].append(part.pc == place + 1)
                # the sign of a component is arbitrary
                value *= np.sign(loadings[part.pc - 1] @ axes[place]) or 1.0
            else:
                right[name].append(True)
            held[name].append(bool(low <= value <= high))
            misses[name].append(int(low > value) - int(high < value))
    rows = []
    for name in held:
        kept = np.array(right[name])
        share = float(np.array(held[name])[kept].mean())
        rows.append(
            {
                "interval": f"{which} of {name}",
                "picked": kept.mean(),
                "coverage": share,
                "whatever was picked": float(np.mean(held[name])),
                "in 92.5-97.5%": 0.925 <= share <= 0.975,
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--null-runs", type=int, default=2000)
    parser.add_argument("--spaces", type=int, default=500)
    parser.add_argument("--bootstrap", type=int, default=500)
    asked = parser.parse_args()

    def show(title: str, table: pd.DataFrame) -> None:
        sys.stdout.write(f"\n{title}\n{table.to_string(float_format=lambda v: f'{v:.4f}')}\n")
        sys.stdout.flush()

    if asked.null_runs:
        show(f"p < .05 in {asked.null_runs} null runs", null_runs(asked.null_runs))
    if not asked.spaces:
        return
    for n, strength, bimodal in ((28, (0.8, 0.7), False), (28, (0.8, 0.7), True), (60, (0.6, 0.5), False)):
        rng = np.random.default_rng(0)
        rho = float(np.mean([rho_of(*population(rng, 1000, strength, bimodal)[::-1]) for _ in range(10)]))
        table = coverage(
            lambda run, n=n, s=strength, b=bimodal: over_emotions(run, n, s, b, asked.bootstrap),
            asked.spaces,
            "ci_emotions",
            rho,
        )
        kind = "two-peaked" if bimodal else "normal"
        show(f"{asked.spaces} spaces of {n} emotions, planted r {strength}, rho {rho:.3f}, {kind} valence", table)
    for n_words, noise in ((12, 1.0), (12, 4.0)):
        table = coverage(
            lambda run, m=n_words, v=noise: over_words(run, 28, (0.8, 0.7), m, v, asked.bootstrap),
            asked.spaces,
            "ci_words",
        )
        show(f"{asked.spaces} spaces of 28 emotions x {n_words} words, variance within / between {noise}", table)


if __name__ == "__main__":
    main()
