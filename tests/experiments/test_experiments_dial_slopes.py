"""The dial's headline: slope with its unit and interval, and p against dials of shuffled ratings."""

from __future__ import annotations

import numpy as np
import pytest

from emotion_interp.core import EmotionInterpError
from emotion_interp.core.seeds import generator
from emotion_interp.experiments import dial_grid
from emotion_interp.experiments.dial_slopes import against_shuffled, figures, shuffled_ratings, slopes
from tests.experiments.test_experiments_dial_grid import EMOTIONS, NORMS, PROMPTS, SHORT, Bank, Letters

ASKED = np.asarray([(v, a) for v in (-2, 0, 2) for a in (-1, 0, 3)], dtype=float)


def test_a_slope_is_points_per_requested_standard_deviation_with_the_other_held():
    judged = np.column_stack([3 + 0.2 * ASKED[:, 0] - 0.7 * ASKED[:, 1], 2 - 0.1 * ASKED[:, 1]])
    assert np.allclose(slopes(ASKED, judged), [0.2, -0.1])
    several = np.random.default_rng(0).normal(size=(4, 9, 2))
    design = np.column_stack([np.ones(9), ASKED])
    expected = [[np.linalg.lstsq(design, one[:, k], rcond=None)[0][1 + k] for k in range(2)] for one in several]
    assert np.allclose(slopes(ASKED, several), expected)


def test_its_interval_resamples_prompts():
    values = ASKED[:, None, None, :] * 0.3 + np.random.default_rng(5).normal(size=(9, 4, 3, 2))
    found = figures(ASKED, values, seed=7)
    picks = generator(7, "bootstrap over prompts", 4).integers(0, 4, size=(2000, 4))
    drawn = np.asarray([slopes(ASKED, values[:, p].mean((1, 2))) for p in picks])
    for k, name in enumerate(("valence", "arousal")):
        assert found[f"slope_{name}"] == pytest.approx(slopes(ASKED, values.mean((1, 2)))[k])
        bounds = [found[f"slope_{name}_lo"], found[f"slope_{name}_hi"]]
        assert np.allclose(bounds, np.percentile(drawn[:, k], [2.5, 97.5]))


def test_shuffled_ratings_are_the_emotions_own_rows_in_another_order():
    frames = shuffled_ratings(EMOTIONS, NORMS, None, 30, seed=1)
    z = NORMS.set_index("word")[["valence", "arousal"]]
    z = (z - z.mean()) / z.std(ddof=0)
    orders = set()
    for frame in frames:
        assert frame["word"].tolist() == EMOTIONS
        rows = frame[["valence", "arousal"]].to_numpy()
        order = tuple(int(np.flatnonzero(np.isclose(z.to_numpy(), row).all(1))[0]) for row in rows)
        assert sorted(order) == list(range(6))
        orders.add(order)
    assert len(orders) > 25


def test_the_null_is_the_same_grid_under_dials_of_shuffled_ratings(subjects):
    subject, options = subjects["gpt2"], SHORT | {"n_null": 5}
    grid = dial_grid(subject, Bank(), PROMPTS, Letters(), layer=1, dose=0.5, seed=3, **options)
    fit, texts = grid.fit.iloc[0], grid.texts
    judged = ["judged_valence", "judged_arousal"]
    cells = np.asarray([(v, a) for v in (-1, 1) for a in (-1, 0, 1)], dtype=float)
    first = texts[texts["sample"] == 0].groupby(["valence", "arousal"], sort=True)[judged].mean().to_numpy()
    nulls = []
    for frame in shuffled_ratings(EMOTIONS, NORMS, None, 5, 3):
        again = SHORT | {"norms": frame, "n_samples": 1}
        nulls.append(dial_grid(subject, Bank(), PROMPTS, Letters(), layer=1, dose=0.5, seed=3, **again).table[judged])
    drawn = slopes(cells, np.asarray(nulls, dtype=float))
    for k, name in enumerate(("valence", "arousal")):
        assert fit[f"p_{name}"] == (1 + (drawn[:, k] >= slopes(cells, first)[k] - 1e-9).sum()) / 6
        bounds = fit[[f"slope_{name}_null_lo", f"slope_{name}_null_hi"]].astype(float)
        assert np.allclose(bounds, np.percentile(drawn[:, k], [2.5, 97.5]))
        r = [abs(np.corrcoef(cells[:, k], one[judged[k]])[0, 1]) for one in nulls]
        assert fit[f"r_{name}_null"] == pytest.approx(np.median(r))
    assert fit["n_null"] == 5


def test_r_is_far_from_nothing_without_an_effect_and_p_of_the_slope_is_not():
    """A null subject: whatever the ratings, the plane that is steered moves what is judged in some direction."""
    random, small, size = np.random.default_rng(3), np.zeros(2), []
    for _ in range(2000):
        dials = np.einsum("ck,dkj->dcj", ASKED, random.normal(size=(40, 2, 2))) + 0.1 * random.normal(size=(40, 9, 2))
        found = against_shuffled(ASKED, dials[0], dials[1:])
        small += [found[f"p_{name}"] <= 0.05 for name in ("valence", "arousal")]
        size.append(found["r_valence_null"])
    assert np.median(size) > 0.5
    assert (small / 2000 >= 0.035).all() and (small / 2000 <= 0.0675).all()


def test_without_null_dials_there_is_no_p_and_impossible_numbers_are_refused(subjects):
    fit = dial_grid(subjects["gpt2"], Bank(), PROMPTS[:1], Letters(), layer=0, **SHORT).fit.iloc[0]
    assert fit["n_null"] == 0 and np.isnan(fit["p_valence"]) and np.isfinite(fit["slope_valence"])
    for wrong in ({"n_null": -1}, {"null_samples": 0}, {"null_samples": 3}):
        with pytest.raises(EmotionInterpError, match="number of dials"):
            dial_grid(subjects["gpt2"], Bank(), PROMPTS[:1], Letters(), layer=0, **SHORT | wrong)
