"""The dial's grid: correlations, fluency and choice, recomputed from the texts it hands back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from emotion_interp.core import Direction, EmotionInterpError, Site
from emotion_interp.directions import dial
from emotion_interp.experiments import dial_grid, dial_test
from emotion_interp.experiments.dial_slopes import figures
from emotion_interp.steering import steer
from emotion_interp.subjects.generation import decode

EMOTIONS = ["joy", "calm", "sadness", "anger", "fear", "awe"]
NORMS = pd.DataFrame(
    {"word": EMOTIONS, "valence": [8, 7, 2, 2.5, 2.2, 6.0], "arousal": [6, 2, 3, 7, 7.5, 5.0]},
)
PROMPTS = ["The letter said", "He was", "The old man"]
SHORT = {"norms": NORMS, "valences": (-1, 1), "arousals": (-1, 0, 1), "n_samples": 2, "max_new_tokens": 4, "n_null": 0}


@dataclass
class Bank:
    emotions: tuple[str, ...] = tuple(EMOTIONS)
    layers: tuple[int, ...] = (0, 1)
    scales: dict[Site, float] = field(default_factory=lambda: {Site(0): 2.0, Site(1): 3.0})

    def direction(self, emotion, layer, language=None, method="dense"):
        seed = [EMOTIONS.index(emotion), layer, len(method)]
        return Direction(np.random.default_rng(seed).normal(size=16), layer, name=emotion, method=method)


class Letters:
    """Valence is the share of vowels, arousal the length."""

    def predict(self, texts):
        return np.asarray([[sum(c in "aeiou" for c in t) / (len(t) + 1), len(t)] for t in texts], dtype=float)


@pytest.mark.parametrize("name", ["gpt2", "hooked"])
def test_every_cell_is_the_dials_direction_at_dose_times_radius(subjects, name):
    subject, bank = subjects[name], Bank()
    grid = dial_grid(subject, bank, PROMPTS, Letters(), layer=1, dose=0.5, seed=3, **SHORT)
    assert len(grid.table) == 6 and len(grid.texts) == 6 * 3 * 2
    ids = [list(t.ids) for t in subject.tokenize(PROMPTS) for _ in range(2)]
    for valence, arousal in ((1, -1), (-1, 0)):
        direction = dial(bank, valence, arousal, 1, NORMS)
        with steer(subject, direction, 0.5 * np.hypot(valence, arousal), "from_last_prompt_token", scale=3.0):
            made = decode(subject, ids, 4, do_sample=True, seed=3, streams=range(6))
        here = grid.texts[(grid.texts["valence"] == valence) & (grid.texts["arousal"] == arousal)]
        expected = [subject.tokenizer.decode(t, skip_special_tokens=True).rstrip("\ufffd") for t in made.tokens]
        assert here["text"].tolist() == expected
        row = grid.table[(grid.table["valence"] == valence) & (grid.table["arousal"] == arousal)]
        assert np.allclose(row[["judged_valence", "judged_arousal"]], Letters().predict(expected).mean(0))


def test_the_fit_is_the_correlation_of_cell_means_and_the_unsteered_cell_has_ratio_one(subjects):
    grid = dial_grid(
        subjects["gpt2"], Bank(), PROMPTS, Letters(), layer=0, dose=2.0, **SHORT | {"valences": (-1, 0, 2)}
    )
    means = grid.texts.groupby(["valence", "arousal"])[["judged_valence", "judged_arousal"]].mean().reset_index()
    fit = grid.fit.iloc[0]
    assert fit["r_valence"] == pytest.approx(np.corrcoef(means["valence"], means["judged_valence"])[0, 1])
    assert fit["r_arousal"] == pytest.approx(np.corrcoef(means["arousal"], means["judged_arousal"])[0, 1])
    assert fit["cross_arousal"] == pytest.approx(np.corrcoef(means["valence"], means["judged_arousal"])[0, 1])
    centre = grid.table[(grid.table["valence"] == 0) & (grid.table["arousal"] == 0)].iloc[0]
    assert centre["perplexity_ratio"] == pytest.approx(1) and centre["distinct2_ratio"] == pytest.approx(1)
    assert grid.table["perplexity_ratio"].nunique() > 1
    kept = grid.table[grid.table["intact"]]
    if len(kept) > 2:
        expected = np.corrcoef(kept["valence"], kept["judged_valence"])[0, 1]
        assert fit["r_valence_intact"] == pytest.approx(expected)


def test_intervals_resample_prompts(rng=np.random.default_rng(5)):
    from emotion_interp.core.seeds import generator

    asked = np.asarray([(v, a) for v in (-1, 0, 1) for a in (-1, 1)], dtype=float)
    values = asked[:, None, None, :] * 0.3 + rng.normal(size=(6, 4, 3, 2))
    found = figures(asked, values, seed=7)
    picks = generator(7, "bootstrap over prompts", 4).integers(0, 4, size=(2000, 4))
    drawn = [np.corrcoef(asked[:, 0], values[:, p].mean((1, 2))[:, 0])[0, 1] for p in picks]
    assert np.allclose([found["valence_lo"], found["valence_hi"]], np.percentile(drawn, [2.5, 97.5]))
    assert found["r_valence"] == pytest.approx(np.corrcoef(asked[:, 0], values.mean((1, 2))[:, 0])[0, 1])
    assert found["cross_valence"] == pytest.approx(np.corrcoef(asked[:, 1], values.mean((1, 2))[:, 0])[0, 1])


def test_a_judge_that_never_changes_gives_no_correlation_and_no_warning(subjects):
    class Constant:
        def predict(self, texts):
            return np.full((len(texts), 2), 3.0)

    fit = dial_grid(subjects["gpt2"], Bank(), PROMPTS[:1], Constant(), layer=0, **SHORT).fit.iloc[0]
    assert np.isnan(fit["r_valence"]) and np.isnan(fit["arousal_lo"])


def test_layer_and_dose_are_chosen_on_the_tuning_prompts_and_reported_on_the_others(subjects):
    options = {k: v for k, v in SHORT.items() if k != "n_samples"}
    grid, tuning = dial_test(
        subjects["gpt2"], Bank(), PROMPTS[:2], PROMPTS[2:], Letters(), doses=(0.3, 1.0), methods=("dense",),
        least_intact=0.5, n_samples=2, **options,
    )  # fmt: skip
    assert len(tuning) == 4 and tuning["chosen"].sum() == 1
    pool = tuning[tuning["share_intact"] >= 0.5] if (tuning["share_intact"] >= 0.5).any() else tuning
    best = pool.loc[(pool["slope_valence"] + pool["slope_arousal"]).idxmax()]
    assert tuple(tuning[tuning["chosen"]].iloc[0][["layer", "dose"]]) == (best["layer"], best["dose"])
    assert set(grid.texts["prompt"]) == {PROMPTS[2]}
    assert (grid.fit.iloc[0]["layer"], grid.fit.iloc[0]["dose"]) == (best["layer"], best["dose"])
    assert grid.fit.iloc[0]["site"] == f"blocks.{best['layer']}.hook_resid_post"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": "one"}, "list of texts"),
        ({"prompts": []}, "list of at least one text"),
        ({"valences": (1, 1)}, "two different valences"),
        ({"n_samples": 0}, "n_samples is a number of at least 1"),
        ({"max_new_tokens": 1}, "max_new_tokens=1"),
        ({"judge": type("J", (), {"predict": lambda self, t: np.zeros(len(t))})()}, "answers with shape"),
    ],
)
def test_impossible_grids_are_refused(subjects, change, message):
    options = {"prompts": PROMPTS[:1], "judge": Letters(), **SHORT, **change}
    with pytest.raises(EmotionInterpError, match=message):
        dial_grid(subjects["gpt2"], Bank(), **options)
    with pytest.raises(EmotionInterpError, match="keep them apart"):
        dial_test(subjects["gpt2"], Bank(), PROMPTS, PROMPTS, Letters())
