"""Pictures that results of experiments make of their own rows."""

from __future__ import annotations

import pandas as pd

from emotion_interp.directions.outputs import LABELS, OutputScores
from emotion_interp.experiments.causal_universality import CausalUniversality
from emotion_interp.experiments.dial_grid import DialGrid


def test_causal_universality_shows_what_was_recovered_of_each_reliable_emotion():
    columns = ["emotion", "own", "ablate", "swap", "recovered", "lo", "hi", "p", "p_holm", "cosine", "note"]
    rows = [
        ["joy", 1, 0, 0.6, 0.6, 0.4, 0.8, 0.01, 0.02, 0.5, ""],
        ["fear", 0, 0, 0, None, None, None, None, None, 0.1, "weak"],
    ]
    frame = pd.DataFrame(rows, columns=columns)
    picture = CausalUniversality("en", "zh", frame, pd.DataFrame(), 100, 0).plot()
    assert list(picture.data[0].y) == ["joy"] and list(picture.data[0].x) == [0.6]


def test_output_scores_show_how_many_features_have_each_label():
    frame = pd.DataFrame({"layer": [0, 0, 1], "language": "en", "label": [LABELS[0], LABELS[0], LABELS[1]]})
    picture = OutputScores(frame, {}).plot()
    assert {trace.name: list(trace.y) for trace in picture.data}[LABELS[0]] == [2, 0]


def test_a_dial_grid_shows_both_slopes_with_their_intervals():
    row = {
        f"slope_{name}{end}": value
        for name in ("valence", "arousal")
        for end, value in (("", 0.2), ("_lo", 0.1), ("_hi", 0.4))
    }
    picture = DialGrid(pd.DataFrame(), pd.DataFrame([row]), pd.DataFrame()).plot()
    assert list(picture.data[0].y) == ["valence", "arousal"]
    assert [round(v, 6) for v in picture.data[0].error_x.array] == [0.2, 0.2]
