"""Seconds for 10,000 permutations of every test of `align`, 12 layers of 768 dimensions. `python -m benchmarks.permutations`

The target is 20 s on two cores for all tests together (CEBRA aside); set OMP_NUM_THREADS=1 to measure on one. The
bootstrap intervals are timed apart: they are no permutations.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from emotion_interp.geometry import EmotionSpace, align_layers, principal_components, rsa
from emotion_interp.geometry.circumplex import circumplex_fit
from emotion_interp.geometry.pc_scan import scan
from emotion_interp.geometry.procrustes import cross_products, procrustes_fit, unit_configuration
from emotion_interp.geometry.readout import leave_one_out_operator, readout_fit
from emotion_interp.stats.intervals import permutations

LAYERS, WIDTH, N_PERMUTATIONS = 12, 768, 10_000


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(n_emotions: int) -> dict[str, float]:
    """Seconds of each test over all layers, and of `align_layers` as a whole without and with intervals."""
    rng = np.random.default_rng(0)
    names = [f"e{i}" for i in range(n_emotions)]
    ratings = pd.DataFrame(rng.uniform(1, 9, (n_emotions, 2)), index=names, columns=["valence", "arousal"])
    spaces = [EmotionSpace(rng.normal(size=(n_emotions, WIDTH)), names, layer=layer) for layer in range(LAYERS)]
    orders = permutations(n_emotions, N_PERMUTATIONS, 0)
    values = ratings.to_numpy()
    z = rsa.ratings_z(values)
    components = [principal_components(space) for space in spaces]
    configurations = [unit_configuration(c.scores[:, :2]) for c in components]
    itself, human = np.arange(n_emotions)[None], unit_configuration(z)

    def products(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return cross_products(plane, human, itself), cross_products(plane, human, orders)

    whole = [products(plane) for plane in configurations]
    models = np.stack([rsa.model_dissimilarity(space) for space in spaces])
    tests = {
        "PC scan": lambda: [scan(c, column, orders) for c in components for column in values.T],
        "RSA (Mantel)": lambda: rsa.mantel_null(models, rsa.human_dissimilarity(z), orders),
        "Procrustes": lambda: [procrustes_fit(*products(plane)) for plane in configurations],
        "circumplex": lambda: [
            circumplex_fit(c.scores[:, :2], z, orders, *pair) for c, pair in zip(components, whole, strict=True)
        ],
        "ridge read-out": lambda: [readout_fit(leave_one_out_operator(s), *values.T, orders) for s in spaces],
        "align_layers, every test": lambda: align_layers(spaces, ratings, N_PERMUTATIONS, n_bootstrap=0),
        "align_layers, with intervals": lambda: align_layers(spaces, ratings, N_PERMUTATIONS, n_bootstrap=2000),
    }
    return {name: seconds(work) for name, work in tests.items()}


def main() -> None:
    align_layers([EmotionSpace(np.eye(6), list("abcdef"))], _warm_up(), 9)
    table = pd.DataFrame({f"{n} emotions": measure(n) for n in (28, 126)})
    table.index.name = f"{N_PERMUTATIONS:,} permutations, {LAYERS} layers x {WIDTH}"
    sys.stdout.write(table.to_string(float_format=lambda v: f"{v:.2f}") + "\n")


def _warm_up() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.random((6, 2)), index=list("abcdef"), columns=["valence", "arousal"])


if __name__ == "__main__":
    main()
