"""Regimes, stable windows and monotonicity against their definitions, read off tables by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.core import EmotionInterpError
from emotion_interp.experiments import dose_monotonicity, regime, stable_windows
from emotion_interp.experiments.windows import REGIMES, with_regimes
from emotion_interp.judges import is_coherent

ratio = st.floats(0.01, 20, allow_nan=False)


@given(ratio, ratio)
@settings(max_examples=25)
def test_surgical_is_exactly_intact_text_and_every_other_text_has_one_regime(perplexity, distinct):
    found = regime(perplexity, distinct)
    assert found in REGIMES and (found == "surgical") == is_coherent(perplexity, distinct)
    if found == "explosive":
        assert perplexity > 2 and distinct >= 0.8


@pytest.mark.parametrize(
    ("perplexity", "distinct", "expected"),
    [
        (0.5, 0.8, "surgical"),
        (2.0, 1.2, "surgical"),
        (0.49, 1.0, "repetitive"),
        (1.0, 0.79, "repetitive"),
        (5.0, 0.5, "repetitive"),
        (2.01, 0.9, "explosive"),
        (math.nan, 1.0, None),
        (1.0, math.nan, None),
    ],
)
def test_regimes_at_their_limits(perplexity, distinct, expected):
    assert regime(perplexity, distinct) == expected


def a_table(rows, **key):
    key = {"emotion": "joy", "layer": 1, "method": "dense", **key}
    columns = ["dose", "target", "perplexity_ratio", "distinct2_ratio", "over_random_lo"]
    frame = pd.DataFrame([{**key, **dict(zip(columns, row, strict=True))} for row in rows])
    return with_regimes(frame.assign(shift=frame["target"] - 0.1))


ROWS = [
    (0.1, 0.12, 1.0, 1.0, -0.01),
    (0.2, 0.20, 1.1, 1.0, 0.02),
    (0.3, 0.35, 1.3, 0.9, 0.10),
    (0.4, 0.30, 1.9, 0.9, 0.05),
    (0.5, 0.60, 2.4, 0.9, 0.30),
    (0.6, 0.20, 1.5, 1.0, 0.05),
]


def test_window_is_the_longest_run_of_working_doses_and_ends_where_text_breaks():
    table = a_table(ROWS)
    assert table["in_window"].tolist() == [False, True, True, True, False, True]
    row = stable_windows(table.sample(frac=1, random_state=0)).to_dict("records")
    assert row == [
        {
            "emotion": "joy",
            "layer": 1,
            "site": "",
            "method": "dense",
            "window_from": 0.2,
            "window_to": 0.4,
            "n_window": 3,
            "n_doses": 6,
            "best_dose": 0.3,
            "best_shift": pytest.approx(0.25),
            "breach": 0.5,
            "breach_regime": "explosive",
        }
    ]


def test_a_direction_that_never_works_has_no_window_and_no_breach():
    row = stable_windows(a_table([(d, 0.1, 1.0, 1.0, -0.1) for d in (0.1, 0.2)])).iloc[0]
    assert row["n_window"] == 0 and math.isnan(row["window_from"]) and math.isnan(row["breach"])
    assert row["breach_regime"] is None


def test_monotonicity_counts_only_doses_below_the_first_breach():
    row = dose_monotonicity(a_table(ROWS)).iloc[0]
    # ranks of .12 .20 .35 .30: one neighbouring pair is swapped, so rho = 1 - 6 * 2 / (4 * 15)
    assert row["n_doses"] == 4 and row["rho"] == pytest.approx(0.8) and row["breach"] == 0.5


def test_fewer_than_four_doses_below_the_breach_have_no_rho():
    broken = [*ROWS[:3], (0.35, 0.3, 0.2, 1.0, 0.1), *ROWS[3:]]
    row = dose_monotonicity(a_table(broken)).iloc[0]
    assert row["n_doses"] == 3 and math.isnan(row["rho"]) and row["breach"] == 0.35


def test_every_emotion_layer_and_method_is_read_alone_and_doses_below_zero_are_left_out():
    table = pd.concat(
        [
            a_table(ROWS),
            a_table([(d, -d, 1.0, 1.0, 0.1) for d in (0.1, 0.2, 0.3, 0.4)], emotion="fear"),
            a_table([(-0.5, 0.9, 9.0, 1.0, 0.1), *ROWS], layer=2),
        ]
    )
    found = dose_monotonicity(table).set_index(["emotion", "layer"])
    assert found.loc[("fear", 1), "rho"] == pytest.approx(-1.0) and math.isnan(found.loc[("fear", 1), "breach"])
    assert found.loc[("joy", 2), "rho"] == pytest.approx(0.8)
    assert len(stable_windows(table)) == 3


def test_a_grid_without_texts_is_refused():
    table = a_table([(0.1, 0.2, math.nan, math.nan, 0.1)])
    assert table["regime"].tolist() == [None] and table["in_window"].tolist() == [None]
    with pytest.raises(EmotionInterpError, match="give max_new_tokens"):
        stable_windows(table)
    with pytest.raises(EmotionInterpError, match="'regime'"):
        dose_monotonicity(table.drop(columns="regime"))


def test_a_cell_that_could_not_be_judged_is_in_no_window():
    assert a_table([(0.1, np.nan, 1.0, 1.0, np.nan)])["in_window"].tolist() == [None]


def test_a_cell_without_a_perplexity_is_left_out_and_does_not_stop_the_others():
    whole = dose_monotonicity(a_table(ROWS))
    broken = a_table(ROWS)
    broken.loc[broken["dose"] == 0.3, "regime"] = None
    found = dose_monotonicity(broken)
    assert found["n_doses"].tolist() == [whole["n_doses"].iloc[0] - 1] and stable_windows(broken)[
        "n_doses"
    ].tolist() == [5]
    with pytest.raises(EmotionInterpError, match="no text was written"):
        dose_monotonicity(broken.assign(regime=None))
