"""Layer, dose and kind of direction chosen on some prompts and reported on others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from emotion_interp.core import EmotionInterpError
from emotion_interp.experiments import best_site, dose_response, steering_test
from emotion_interp.experiments.grid import holm
from tests.experiments.random_bank import PROMPTS, WORDS, Bank


def test_steering_test_reports_the_tuned_cell_on_other_prompts(subjects):
    subject, bank = subjects["gpt2"], Bank(lacking=(("anger", "sae"),))
    test_prompts = ["When he opened the door he", "The woman"]
    result = steering_test(
        subject, bank, list(WORDS), PROMPTS, test_prompts, doses=[0.2, 0.6], n_random=9, max_new_tokens=4, seed=1
    )
    frame = result.to_frame().set_index(["emotion", "method"])
    assert len(frame) == 6 and frame.loc[("anger", "sae"), "note"]
    choices = best_site(result.tuning).set_index(["emotion", "method"])
    for key, choice in choices.iterrows():
        row = frame.loc[key]
        assert (row["layer"], row["dose"], row["tune_shift"]) == (choice["layer"], choice["dose"], choice["tune_shift"])
        again = dose_response(
            subject, bank, [key[0]], [row["dose"]], test_prompts, [row["layer"]], key[1], n_random=9, seed=1
        ).table.iloc[0]
        assert row["target"] == pytest.approx(again["target"]) and row["p"] == again["p"]
    dense = frame.xs("dense", level="method")
    assert np.allclose(dense["p_holm"], holm(dense["p"].to_numpy()))
    with pytest.raises(EmotionInterpError, match="both for choosing"):
        steering_test(subject, bank, ["joy"], PROMPTS, PROMPTS[:1])


def test_the_best_site_is_the_largest_shift_among_intact_texts():
    frame = pd.DataFrame(
        {
            "emotion": ["joy"] * 4 + ["fear"] * 2 + ["awe"],
            "method": "dense",
            "layer": [1, 1, 2, 2, 1, 2, 1],
            "dose": [0.5, 1.0, 0.5, 1.0, 0.5, 1.0, 0.5],
            "shift": [0.1, 0.9, 0.2, 0.8, 0.1, 0.7, np.nan],
            "perplexity_ratio": [1.0, 2.5, 1.9, 1.0, 3.0, 9.0, 1.0],
            "distinct2_ratio": [1.0, 1.0, 0.8, 0.7, 1.0, 1.0, 1.0],
        }
    )
    best = best_site(frame).set_index("emotion")
    assert tuple(best.loc["joy", ["layer", "dose", "intact"]]) == (2, 0.5, True)
    assert tuple(best.loc["fear", ["layer", "dose", "intact"]]) == (1, 0.5, False)
    assert "awe" not in best.index
    # with random directions the site furthest beyond them wins, not the largest shift
    best = best_site(frame.assign(z=[3.0, 9.0, 2.0, 1.0, 1.0, 5.0, np.nan])).set_index("emotion")
    assert tuple(best.loc["joy", ["layer", "dose", "intact"]]) == (1, 0.5, True)


def test_a_margin_keeps_the_choice_away_from_the_edge_of_fluency():
    frame = pd.DataFrame(
        {
            "emotion": "joy",
            "method": "dense",
            "layer": 1,
            "dose": [0.4, 0.5, 0.6],
            "shift": [0.1, 0.2, 0.3],
            "perplexity_ratio": [1.4, 1.79, 1.95],
            "distinct2_ratio": 1.0,
        }
    )
    assert best_site(frame)["dose"].tolist() == [0.6]
    assert best_site(frame, margin=0.9)["dose"].tolist() == [0.5]
    assert best_site(frame.assign(distinct2_ratio=[1.0, 0.85, 1.0]), margin=0.9)["dose"].tolist() == [0.4]
    for wrong in (0, 1.2, float("nan")):
        with pytest.raises(EmotionInterpError, match="share of the limits"):
            best_site(frame, margin=wrong)


def test_a_tuning_grid_of_a_run_before_is_taken_for_what_the_test_asks_of_it(subjects):
    subject, bank = subjects["gpt2"], Bank()
    args = (subject, bank, list(WORDS), PROMPTS, ["The woman"])
    options = {"n_random": 9, "max_new_tokens": 4, "methods": ("dense",)}
    whole = steering_test(*args, doses=[0.2, 0.6], **options)
    fresh = steering_test(*args, doses=[0.2], **options)
    taken = steering_test(*args, doses=[0.2], tuning=whole.tuning, **options)
    assert set(taken.tuning["dose"]) == {0.2}
    columns = ["emotion", "layer", "dose", "target", "p", "tune_shift", "tune_z"]
    pd.testing.assert_frame_equal(taken.table[columns], fresh.table[columns])
    for lacking, match in (
        ({"doses": [0.2, 0.5]}, "no dose 0.5"),
        ({"doses": [0.2], "methods": ("dense", "sae")}, "no method 'sae'"),
        ({"doses": [0.2], "layers": [1, 7]}, "no layer 7"),
    ):
        with pytest.raises(EmotionInterpError, match=match):
            steering_test(*args, tuning=whole.tuning, **{**options, **lacking})
    with pytest.raises(EmotionInterpError, match="no emotion"):
        part = whole.tuning[whole.tuning["emotion"] != next(iter(WORDS))]
        steering_test(*args, doses=[0.2], tuning=part, **options)


def test_a_kind_of_direction_that_broke_the_text_while_choosing_is_chosen_only_where_all_did(subjects):
    subject, bank = subjects["gpt2"], Bank()
    args = (subject, bank, list(WORDS), PROMPTS, ["The woman"])
    options = {"n_random": 9, "max_new_tokens": 4, "methods": ("dense", "sae"), "doses": [0.2]}
    grid = steering_test(*args, **options).tuning
    one, other = list(WORDS)[:2]
    grid["perplexity_ratio"], grid["distinct2_ratio"] = 1.0, 1.0
    grid["z"] = np.where(grid["method"] == "dense", 9.0, 5.0)
    # dense is stronger everywhere; it breaks the text of one emotion, both kinds break that of another
    grid.loc[(grid["emotion"] == one) & (grid["method"] == "dense"), "perplexity_ratio"] = 3.0
    grid.loc[grid["emotion"] == other, "perplexity_ratio"] = 3.0
    table = steering_test(*args, tuning=grid, **options).table
    chosen = table[table["chosen"]].set_index("emotion")["method"]
    assert chosen[one] == "sae" and chosen[other] == "dense" and set(chosen.drop([one, other])) <= {"dense"}


def test_tune_random_sets_the_random_directions_of_the_choice_alone(subjects):
    subject, bank = subjects["gpt2"], Bank()
    args = (subject, bank, list(WORDS), PROMPTS, ["The woman"])
    options = {"n_random": 9, "max_new_tokens": 0, "methods": ("dense",), "doses": [0.2]}
    few, many = (steering_test(*args, tune_random=n, **options) for n in (8, 30))
    grid = dose_response(subject, bank, list(WORDS), [0.2], PROMPTS, None, ["dense"], n_random=30, max_new_tokens=0)
    assert many.tuning["z"].tolist() == pytest.approx(grid.table["z"].tolist()) != few.tuning["z"].tolist()
    assert many.table["p"].tolist() == few.table["p"].tolist()
