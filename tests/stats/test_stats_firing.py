"""When a feature fires."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix

from emotion_interp.stats.firing import fires, fires_on_units, firing_rates

VALUES = np.array([[0.0, 2.0, -1.0], [1.0, 3.0, 0.0], [0.0, 0.5, 0.0], [0.0, 4.0, 0.0]])


def test_a_feature_fires_where_it_is_above_zero_whatever_holds_it():
    wanted = VALUES > 0
    assert np.array_equal(fires(VALUES), wanted)
    assert np.array_equal(fires(csr_matrix(VALUES)).toarray(), wanted)
    assert np.array_equal(fires(torch.from_numpy(VALUES)).numpy(), wanted)
    for held in (VALUES, csr_matrix(VALUES)):
        assert firing_rates(held).tolist() == [0.25, 1.0, 0.0]


def test_a_word_fires_from_half_of_its_carriers_a_text_above_the_upper_quartile():
    shares = csr_matrix([[0.0, 0.49, 0.5, 1.0]])
    assert fires_on_units(shares, shares, np.arange(1), words=True).toarray().tolist() == [[False, False, True, True]]
    found = fires_on_units(csr_matrix(VALUES), None, np.arange(4), words=False).toarray()
    level = np.maximum(0.0, np.quantile(VALUES, 0.75, axis=0))
    assert np.array_equal(found, level < VALUES)
