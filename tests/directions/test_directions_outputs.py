"""Labels of output effects, and the steering direction made of the features that have one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emotion_interp as ei
from emotion_interp.bank.files import KEYS
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.directions.outputs import LABELS, OutputScores, label_outputs, with_output_directions


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.one_of(st.just(float("nan")), st.floats(0.001, 1))), min_size=1, max_size=40),
    st.sampled_from([0.01, 0.05, 0.2]),
)
def test_labels_follow_selection_and_benjamini_hochberg(rows, max_q):
    frame = label_outputs(pd.DataFrame(rows, columns=["selected", "output_p"]), max_q)
    p = frame["output_p"].to_numpy()
    tested = np.flatnonzero(np.isfinite(p))
    # step-up by hand: the largest i with p_(i) <= i / m * q, and everything at or below that p
    ordered = np.sort(p[tested])
    passing = [v for i, v in enumerate(ordered, 1) if v <= i / len(ordered) * max_q * (1 + 1e-12)]
    for row in frame.itertuples():
        if np.isnan(row.output_p):
            assert row.label == "untested" and np.isnan(row.output_q)
            continue
        effect = bool(passing) and row.output_p <= passing[-1]
        assert row.label == {(0, 0): "neither", (1, 0): "input", (0, 1): "output", (1, 1): "both"}[row.selected, effect]


def test_a_false_discovery_rate_is_a_share():
    with pytest.raises(EmotionInterpError, match="max_q"):
        label_outputs(pd.DataFrame({"selected": [True], "output_p": [0.5]}), 1.5)


@pytest.fixture(scope="module")
def with_outputs(tiny_bank):
    """Two output features of joy at layer 1, one row each of the other labels."""
    place = (1, str(tiny_bank.site(1)), "en", "joy")
    frame = pd.DataFrame([(*place, feature) for feature in (3, 7, 11, 20, 33)], columns=list(KEYS))
    frame["label"] = ["output", "both", "input", "neither", "untested"]
    frame["output_effect"] = [0.5, 2.0, 9.0, 9.0, np.nan]
    frame["output_score"] = [0.3, 0.1, 0.2, 0.2, 0.2]
    return tiny_bank.with_table("outputs", frame)


def test_the_direction_is_the_weighted_sum_of_unit_rows_of_output_features_alone(tiny_subject, with_outputs):
    bank = with_output_directions(tiny_subject, with_outputs)
    table = with_outputs.extras["outputs"]
    rows = tiny_subject.readers[bank.site(1)].sae.W_dec.detach().double().numpy()[table["feature"][:2]]
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    direction = bank.direction("joy", 1, "en", method="sae_output")
    assert np.allclose(direction.vector, 0.5 * units[0] + 2.0 * units[1], atol=1e-6)
    assert direction.method == "sae_output"
    by_score = with_output_directions(tiny_subject, with_outputs, weight="output_score")
    assert np.allclose(by_score.direction("joy", 1, "en", "sae_output").vector, 0.3 * units[0] + 0.1 * units[1])


def test_a_bank_with_output_directions_is_saved_and_loaded(tiny_subject, with_outputs, tmp_path):
    bank = with_output_directions(tiny_subject, with_outputs)
    loaded = ei.FeatureBank.load(bank.save(tmp_path / "bank"))
    again = loaded.direction("joy", 1, "en", method="sae_output").vector
    assert np.array_equal(again, bank.direction("joy", 1, "en", method="sae_output").vector)
    assert "sae_output" not in with_outputs.directions.methods


def test_an_emotion_without_output_features_is_refused_with_the_reason(tiny_subject, with_outputs):
    bank = with_output_directions(tiny_subject, with_outputs)
    for emotion, layer in (("fear", 1), ("joy", 0)):
        with pytest.raises(EmotionInterpError, match=f"no feature of {emotion!r} .* has an output effect"):
            bank.direction(emotion, layer, "en", method="sae_output")


def test_a_bank_whose_features_were_not_measured_says_what_to_do(tiny_subject, tiny_bank, with_outputs):
    for bank in (tiny_bank, with_outputs):
        with pytest.raises(EmotionInterpError, match="output_scores"):
            bank.direction("joy", 1, "en", method="sae_output")
    with pytest.raises(EmotionInterpError, match="no table 'outputs'"):
        with_output_directions(tiny_subject, tiny_bank)
    with pytest.raises(UnknownNameError, match="weight column"):
        with_output_directions(tiny_subject, with_outputs, weight="label")


def test_another_subject_is_refused(hooked_subject, with_outputs):
    with pytest.raises(EmotionInterpError, match="belongs to the subject"):
        with_output_directions(hooked_subject, with_outputs)


def test_counts_name_every_label_per_layer_and_language(with_outputs):
    counts = OutputScores(with_outputs.extras["outputs"], {}).counts()
    assert list(counts.columns) == list(LABELS)
    assert counts.loc[(1, "en")].tolist() == [1, 1, 1, 1, 1]
