"""RSA against rsatoolbox (extra `rsa`), an independent implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from emotion_interp.geometry import EmotionSpace, align, compare_spaces

rsatoolbox = pytest.importorskip("rsatoolbox", reason="needs the extra rsa: pip install 'emotion-interp[rsa]'")

NAMES = [f"e{i}" for i in range(13)]


def rdm(vectors: np.ndarray, method: str) -> Any:
    """rsatoolbox's dissimilarities of patterns [emotion, dimension]."""
    return rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(vectors), method=method)


def cosine_rdm(vectors: np.ndarray) -> Any:
    """1 - cosine of vectors centred across emotions: rsatoolbox's correlation distance of patterns whose mean is zero."""
    centred = vectors - vectors.mean(axis=0)
    # a pattern beside its negative has mean 0, so that correlation is cosine
    return rdm(np.hstack([centred, -centred]), "correlation")


@pytest.mark.parametrize("seed", range(5))
def test_rho_of_align_is_that_of_rsatoolbox(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ratings, vectors = rng.uniform(1, 9, (13, 2)), rng.normal(size=(13, 7))
    vectors[:, :2] += 0.4 * ratings
    table = pd.DataFrame(ratings, index=NAMES, columns=["valence", "arousal"])
    found = align(EmotionSpace(vectors, NAMES), table, 9, n_bootstrap=0).rsa.rho
    z = (ratings - ratings.mean(axis=0)) / ratings.std(axis=0)
    expected = rsatoolbox.rdm.compare(cosine_rdm(vectors), rdm(z, "euclidean"), method="spearman")
    assert found == pytest.approx(float(np.ravel(expected)[0]), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_rho_of_compare_spaces_is_that_of_rsatoolbox(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(13, 5)), rng.normal(size=(13, 8))
    two[:, :5] += one
    pair = compare_spaces({"a": EmotionSpace(one, NAMES), "b": EmotionSpace(two, NAMES)}, 9).pairs[0]
    expected = rsatoolbox.rdm.compare(cosine_rdm(one), cosine_rdm(two), method="spearman")
    assert pair.rsa_rho == pytest.approx(float(np.ravel(expected)[0]), abs=1e-9)


def test_mantel_p_agrees_with_reordering_the_conditions_in_rsatoolbox() -> None:
    rng = np.random.default_rng(11)
    ratings, vectors = rng.uniform(1, 9, (13, 2)), rng.normal(size=(13, 7))
    vectors[:, :2] += 0.15 * ratings
    table = pd.DataFrame(ratings, index=NAMES, columns=["valence", "arousal"])
    fit = align(EmotionSpace(vectors, NAMES), table, 4999, n_bootstrap=0).rsa
    model, human = cosine_rdm(vectors), rdm(ratings / ratings.std(axis=0), "euclidean")
    square = human.get_matrices()[0]
    orders = [rng.permutation(13) for _ in range(400)]
    shuffled = rsatoolbox.rdm.RDMs(np.stack([square[np.ix_(o, o)] for o in orders]))
    null = np.ravel(rsatoolbox.rdm.compare(model, shuffled, method="spearman"))
    p = (np.sum(null >= fit.rho - 1e-12) + 1) / 401
    assert fit.p == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 400) + 0.01)
