"""Spaces against each other: brute force, invariance, calibration, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import spatial, stats

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.geometry import EmotionSpace, compare_spaces
from emotion_interp.stats.intervals import permutations


def space(seed: int, n: int = 9, d: int = 5) -> EmotionSpace:
    return EmotionSpace(np.random.default_rng(seed).normal(size=(n, d)), [f"e{i}" for i in range(n)])


def brute(x: np.ndarray, y: np.ndarray, k: int | None) -> tuple[float, float, float]:
    """CKA by its definition on centred data, RSA by scipy's distances, Procrustes by scipy."""
    x, y = x - x.mean(0), y - y.mean(0)
    cka = np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    rho = stats.spearmanr(spatial.distance.pdist(x, "cosine"), spatial.distance.pdist(y, "cosine"))[0]
    scores = []
    for values in (x, y):
        vectors = np.linalg.eigh(values.T @ values)[1][:, ::-1]
        scores.append(values @ vectors[:, :k])
    wide = max(s.shape[1] for s in scores)
    padded = [np.pad(s, ((0, 0), (0, wide - s.shape[1]))) for s in scores]
    return float(cka), float(rho), float(spatial.procrustes(*padded)[2])


@pytest.mark.parametrize("k", [None, 2])
def test_statistics_and_p_equal_a_brute_force_recomputation(k: int | None) -> None:
    one, two, m = space(0), EmotionSpace(space(0).vectors[:, :4] + 0.8 * space(1, d=4).vectors, space(0).emotions), 59
    pair = compare_spaces({"a": one, "b": two}, m, seed=3, n_components=k).pairs[0]
    observed = brute(one.vectors, two.vectors, k)
    np.testing.assert_allclose((pair.cka, pair.rsa_rho, pair.procrustes_disparity), observed, atol=1e-9)
    null = np.array([brute(one.vectors, two.vectors[order], k) for order in permutations(9, m, 3)])
    assert pair.cka_p == (np.sum(null[:, 0] >= observed[0] - 1e-9) + 1) / (m + 1)
    assert pair.rsa_p == (np.sum(null[:, 1] >= observed[1] - 1e-9) + 1) / (m + 1)
    assert pair.procrustes_p == (np.sum(null[:, 2] <= observed[2] + 1e-9) + 1) / (m + 1)
    assert 0.01 < pair.cka_p < 0.9


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3), st.integers(5, 12), st.integers(1, 9))
def test_rotation_scale_and_shift_change_nothing(seed: int, scale: float, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = space(seed, n, d), space(seed + 1, n, d + 2)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    turned = EmotionSpace(scale * one.vectors @ turn + rng.normal(size=d), one.emotions)
    table = compare_spaces({"one": one, "turned": turned, "other": other}, 19, seed).to_frame()
    same, first, second = (table.iloc[i] for i in range(3))
    assert same["cka"] == pytest.approx(1) and same["procrustes_disparity"] == pytest.approx(0, abs=1e-9)
    assert d < 2 or same["rsa_rho"] == pytest.approx(1)
    for column in ("cka", "procrustes_disparity"):
        assert first[column] == pytest.approx(second[column], abs=1e-9)
    assert 0 <= first["cka"] <= 1 and 0 <= first["procrustes_disparity"] <= 1


def test_order_of_emotions_and_of_spaces_does_not_matter() -> None:
    one, two = space(0), space(1)
    mixed = two.subset(reversed(two.emotions))
    a, b, c = (compare_spaces(dict(p), 9).pairs[0] for p in ((("x", one), ("y", two)), (("x", one), ("y", mixed)),
                                                             (("y", two), ("x", one))))  # fmt: skip
    assert a.cka == pytest.approx(b.cka) == pytest.approx(c.cka)
    assert a.procrustes_disparity == pytest.approx(b.procrustes_disparity) == pytest.approx(c.procrustes_disparity)
    assert a.rsa_rho == pytest.approx(b.rsa_rho) == pytest.approx(c.rsa_rho)


def test_only_shared_emotions_are_compared() -> None:
    one, two = space(0), space(0).subset([f"e{i}" for i in (8, 2, 3, 4, 5, 7)])
    pair = compare_spaces({"a": one, "b": two}, 19).pairs[0]
    assert pair.n_emotions == 6 and pair.cka == pytest.approx(1)


def test_unrelated_spaces_reach_p_below_5_percent_as_often_as_they_should() -> None:
    runs = 2000
    hits = np.zeros(3)
    for run in range(runs):
        pair = compare_spaces({"a": space(2 * run, 10, 6), "b": space(2 * run + 1, 10, 8)}, 99, seed=run).pairs[0]
        hits += np.array([pair.cka_p, pair.rsa_p, pair.procrustes_p]) <= 0.05
    assert (hits / runs > 0.035).all() and (hits / runs < 0.0675).all(), hits / runs


def test_matrix_holds_each_pair_twice_and_itself_on_the_diagonal() -> None:
    compared = compare_spaces({"a": space(0), "b": space(1), "c": space(2)}, 9)
    table = compared.to_frame()
    assert table[["first", "second"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    matrix = compared.matrix("cka")
    assert matrix.loc["c", "a"] == matrix.loc["a", "c"] == table["cka"][1] and (np.diag(matrix) == 1).all()
    assert (np.diag(compared.matrix("procrustes_disparity")) == 0).all()
    assert "cka" in compared._repr_html_() and "3 pairs" in repr(compared)
    with pytest.raises(UnknownNameError, match="rsa_rho"):
        compared.matrix("rsa")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spaces": {"a": space(0)}}, "at least two"),
        ({"spaces": {"a": space(0), "b": space(1).subset(["e0", "e1", "e2", "e3"])}}, "share 4"),
        ({"n_permutations": 0}, "n_permutations"),
        ({"n_components": 0}, "n_components"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(EmotionInterpError, match=message):
        compare_spaces(**({"spaces": {"a": space(0), "b": space(1)}} | arguments))
