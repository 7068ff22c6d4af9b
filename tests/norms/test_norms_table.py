"""Norms: reliability, lookup, rescaling, and what the table refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.core import EmotionInterpError, FileFormatError, NotFiniteError
from emotion_interp.norms import Norms


def frame(words: list[str], valence: list[float], **more: object) -> pd.DataFrame:
    return pd.DataFrame({"word": words, "valence": valence, **more})


def test_reliability_and_ceiling_follow_the_definition() -> None:
    rng = np.random.default_rng(0)
    means, deviations, raters = rng.uniform(2, 8, 50), rng.uniform(1, 2, 50), rng.integers(10, 30, 50)
    norms = Norms(
        "x",
        "en",
        frame([f"w{i}" for i in range(50)], means, valence_sd=deviations, valence_n=raters.astype(float)),
        (1, 9),
    )
    expected = 1 - np.mean(deviations**2 / raters) / np.var(means, ddof=1)
    assert norms.reliability == {"valence": pytest.approx(expected)}
    assert norms.ceiling["valence"] == pytest.approx(np.sqrt(expected))


def test_reliability_recovers_the_simulated_share_of_true_variance() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(5, 1.0, 4000)
    ratings = true[:, None] + rng.normal(0, 2.0, (4000, 20))
    means, deviations = ratings.mean(axis=1), ratings.std(axis=1, ddof=1)
    norms = Norms("x", "en", frame([str(i) for i in range(4000)], means, valence_sd=deviations, n=20.0), (-20, 30))
    assert norms.ceiling["valence"] == pytest.approx(np.corrcoef(true, means)[0, 1], abs=0.01)


def test_reliability_is_left_out_where_sd_or_n_is_unknown() -> None:
    norms = Norms("x", "en", frame(["a", "b", "c"], [1, 5, 9], valence_sd=[1.0, 1.0, 1.0]), (1, 9))
    assert norms.reliability == {} and norms.ceiling == {}


def test_lookup_is_aligned_and_nan_where_missing() -> None:
    norms = Norms("x", "en", frame(["joy", "fear"], [8, 2]), (1, 9))
    found = norms.lookup(["fear", "zebra", "JOY", "fear"])
    np.testing.assert_array_equal(found["valence"], [2, np.nan, 8, 2])
    assert found["word"].tolist() == ["fear", "zebra", "JOY", "fear"]
    assert norms.matched(["fear", "zebra"]) == ["fear"] and norms.unmatched(["fear", "zebra"]) == ["zebra"]


def test_lookup_prefers_the_exact_case() -> None:
    norms = Norms("x", "en", frame(["aids", "AIDS"], [6, 2]), (1, 9))
    assert norms.lookup(["AIDS", "aids", "Aids"])["valence"].tolist() == [2, 6, 6]


def test_lookup_of_chinese_reads_both_scripts() -> None:
    norms = Norms("x", "zh", frame(["愤怒", "快樂"], [2, 8]), (1, 9))
    assert norms.lookup(["憤怒", "愤怒", "快乐"])["valence"].tolist() == [2, 2, 8]


def test_lookup_of_accents_is_one_way_and_unambiguous() -> None:
    norms = Norms("x", "es", frame(["alegría", "papa", "año", "sí", "si"], [8, 5, 6, 7, 4]), (1, 9))
    found = norms.lookup(["alegria", "ALEGRI\u0301A", "papá", "ano", "si", "sí"])["valence"]
    np.testing.assert_array_equal(found, [8, 8, np.nan, np.nan, 4, 7])


def test_lookup_finds_the_form_that_was_rated() -> None:
    norms = Norms("x", "en", frame(["relieved"], [7], form=["relief"]), (1, 9))
    assert norms.lookup(["relief", "relieved"])["valence"].tolist() == [7, 7]


def test_lookup_refuses_a_bare_string() -> None:
    with pytest.raises(EmotionInterpError, match="list of texts"):
        Norms("x", "en", frame(["joy"], [8]), (1, 9)).lookup("joy")


@settings(max_examples=25, deadline=None)
@given(
    low=st.floats(-10, 10),
    width=st.floats(0.5, 20),
    values=st.lists(st.floats(1, 9), min_size=3, max_size=8, unique=True),
)
def test_rescale_is_linear_and_reversible(low: float, width: float, values: list[float]) -> None:
    norms = Norms("x", "en", frame([f"w{i}" for i in range(len(values))], values, valence_sd=1.5, n=20.0), (1, 9))
    scaled = norms.rescale(low, low + width)
    expected = low + (np.array(values) - 1) / 8 * width
    np.testing.assert_allclose(scaled.table["valence"], expected, atol=1e-9)
    np.testing.assert_allclose(scaled.table["valence_sd"], 1.5 * width / 8)
    np.testing.assert_allclose(scaled.rescale(1, 9).table["valence"], values, atol=1e-6)
    assert norms.table["valence"].tolist() == values


def test_rescale_keeps_the_reliability() -> None:
    norms = Norms("x", "en", frame(list("abcd"), [1, 4, 6, 9], valence_sd=1.5, n=20.0), (1, 9))
    assert norms.rescale(-1, 1).reliability == pytest.approx(norms.reliability)


def test_subset_keeps_only_matching_rows() -> None:
    norms = Norms("x", "en", frame(["joy", "fear", "awe"], [8, 2, 7]), (1, 9))
    assert norms.subset(["AWE", "joy", "zebra"]).words == ["joy", "awe"]
    with pytest.raises(EmotionInterpError, match="none of the words"):
        norms.subset(["zebra"])


def test_the_users_frame_is_not_changed() -> None:
    table = frame(["joy", "fear", "awe"], [8, 2, 7], n=20)
    before = table.copy()
    norms = Norms("x", "en", table, (1, 9))
    norms.table.loc[0, "valence"] = 1.0
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (pd.DataFrame({"word": ["joy"]}), FileFormatError, "lack the column"),
        (frame(["joy", "joy"], [8, 7]), FileFormatError, "twice"),
        (frame(["cafe\u0301", "café"], [8, 7]), FileFormatError, "twice"),
        (frame(["joy", " "], [8, 7]), FileFormatError, "without a word"),
        (frame(["joy", "fear"], [8, float("nan")]), NotFiniteError, "fear"),
        (frame(["joy", "fear"], [8, 11]), EmotionInterpError, "outside the scale"),
        (frame(["joy", "fear"], [8, "high"]), FileFormatError, "no number"),
    ],
)
def test_broken_tables_are_refused(table: pd.DataFrame, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Norms("x", "en", table, (1, 9))


def test_a_scale_upside_down_is_refused() -> None:
    with pytest.raises(EmotionInterpError, match="low below high"):
        Norms("x", "en", frame(["joy"], [8]), (9, 1))


def test_display_shows_the_ceiling_and_escapes_the_name() -> None:
    norms = Norms("<b>", "en", frame(list("abcd"), [1, 4, 6, 9], valence_sd=1.5, n=20.0), (1, 9))
    assert "valence 0.9" in repr(norms) and "<b>" not in norms._repr_html_()
    assert len(norms) == 4 and norms.to_frame() is not norms.table
