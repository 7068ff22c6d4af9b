"""CEBRA with whole emotions held out: what it recovers, what it must not, and what its networks saw."""

from __future__ import annotations

import builtins
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, UnsupportedError
from emotion_interp.geometry import CebraSpace, EmotionSpace, align, cebra_space

pytest.importorskip("cebra", reason="needs the extra cebra: pip install 'emotion-interp[cebra]'")

N, M = 15, 8
NAMES = [f"e{i}" for i in range(N)]
LABELS = np.repeat(NAMES, M).tolist()


def circle() -> tuple[np.ndarray, pd.DataFrame]:
    """Units [unit, 30] in clusters around a circle, and the circle's coordinates as ratings."""
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, N, endpoint=False)
    places = np.column_stack([np.cos(angles), np.sin(angles)])
    axes = np.linalg.qr(rng.normal(size=(30, 2)))[0]
    units = 3 * np.repeat(places @ axes.T, M, axis=0) + 0.3 * rng.normal(size=(N * M, 30))
    return units, pd.DataFrame(places, index=NAMES, columns=["valence", "arousal"])


@cache
def embedded(shuffled: bool = False, seed: int = 0) -> CebraSpace:
    units, _ = circle()
    labels = np.random.default_rng(5).permutation(LABELS).tolist() if shuffled else LABELS
    return cebra_space(units, labels, n_folds=3, iterations=150, batch_size=128, seed=seed, layer=3)


def test_a_circle_of_emotions_is_recovered_from_networks_that_never_saw_them() -> None:
    fit = align(embedded(), circle()[1], 199, n_bootstrap=0)
    assert fit.kind == "cebra" and fit.layer == 3
    assert fit.procrustes is not None and fit.circumplex is not None
    assert fit.procrustes.disparity < 0.3 and fit.procrustes.p == pytest.approx(0.005)
    assert fit.rsa.rho > 0.6 and fit.circumplex.r > 0.6


def test_shuffled_identities_give_no_alignment() -> None:
    fit = align(embedded(shuffled=True), circle()[1], 199, n_bootstrap=0)
    assert fit.procrustes is not None and fit.procrustes.disparity > 0.5
    assert fit.rsa.p > 0.05 and fit.procrustes.p > 0.05


def test_no_network_is_trained_on_the_emotions_it_embeds(monkeypatch: pytest.MonkeyPatch) -> None:
    import cebra

    seen: list[tuple[np.ndarray, np.ndarray]] = []
    fit = cebra.CEBRA.fit

    def spy(self: Any, values: np.ndarray, *labels: np.ndarray, **options: Any) -> Any:
        assert len(labels) == 1
        seen.append((values, labels[0]))
        return fit(self, values, *labels, **options)

    monkeypatch.setattr(cebra.CEBRA, "fit", spy)
    units, _ = circle()
    space = cebra_space(units, LABELS, n_folds=3, iterations=2, batch_size=16)
    assert len(seen) == len(space.folds) == 3
    for (values, labels), fold in zip(seen, space.folds, strict=True):
        assert not set(fold.trained) & set(fold.held_out) and set(fold.trained) | set(fold.held_out) == set(NAMES)
        assert {LABELS[i] for i in fold.trained_units} == set(fold.trained)
        assert {LABELS[i] for i in fold.held_out_units} == set(fold.held_out)
        assert len(values) == len(labels) == len(fold.trained_units)
        # whole numbers that name the emotion, nothing graded
        assert np.issubdtype(labels.dtype, np.integer)
        assert len(set(zip(labels.tolist(), (LABELS[i] for i in fold.trained_units), strict=True))) == len(fold.trained)
    assert sorted(e for fold in space.folds for e in fold.held_out) == sorted(NAMES)


def test_the_same_seed_gives_the_same_space_and_leaves_global_randomness_alone() -> None:
    import torch

    units, _ = circle()
    before = units.copy()
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.random.get_rng_state().clone()  # noqa: NPY002
    one, two = (cebra_space(units, LABELS, n_folds=3, iterations=5, seed=2) for _ in range(2))
    other = cebra_space(units, LABELS, n_folds=3, iterations=5, seed=3)
    np.testing.assert_array_equal(one.vectors, two.vectors)
    assert not np.allclose(one.vectors, other.vectors)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    np.testing.assert_array_equal(units, before)
    np.testing.assert_allclose(np.linalg.norm(one.units, axis=1), 1, atol=1e-5)
    scaled = cebra_space(1000 * units, LABELS, n_folds=3, iterations=5, seed=2)
    np.testing.assert_allclose(scaled.vectors, one.vectors, atol=1e-2)


def test_a_space_with_units_is_embedded_as_its_units_are() -> None:
    units, _ = circle()
    space = EmotionSpace.from_units(units, LABELS, layer=7, language="en")
    options: dict[str, Any] = {"n_folds": 3, "iterations": 3}
    found = ei.cebra_space(space, **options)
    assert (found.layer, found.language, found.kind) == (7, "en", "cebra")
    np.testing.assert_array_equal(found.vectors, cebra_space(units, LABELS, **options).vectors)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": EmotionSpace([[0.0], [1.0]], ["a", "b"])}, "carries no units"),
        ({"units": EmotionSpace.from_units([[0.0], [1.0]], ["a", "b"]), "emotions": ["a", "b"]}, "leave emotions= out"),
        ({"units": np.eye(4), "emotions": list("aabb")}, "at least 6 emotions"),
        ({"units": np.eye(7), "emotions": list("aabcdef")}, "at least 2 units; only one: b, c"),
        ({"n_folds": 2}, "n_folds is 3 to the number of emotions"),
        ({"dimensions": 1}, "dimensions is at least 2"),
        ({"iterations": 0}, "iterations is a number of at least 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    units, _ = circle()
    given = arguments if "units" in arguments else {"units": units, "emotions": LABELS} | arguments
    with pytest.raises(EmotionInterpError, match=message):
        cebra_space(**given)


def test_without_cebra_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "cebra":
            raise ImportError("no cebra")
        return plain(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnsupportedError, match=r"pip install 'emotion-interp\[cebra\]'"):
        cebra_space(circle()[0], LABELS)
