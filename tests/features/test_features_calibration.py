"""The selection against planted truths, shuffled labels and its own repetition; `benchmarks.calibration` in short."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from benchmarks.calibration import (
    any_selected,
    compare_banks,
    count_planted,
    fired_by_level,
    planted_run,
    shuffle_emotions,
)
from benchmarks.planted import planted_readings, planted_subject
from emotion_interp.activations import read_stimuli
from emotion_interp.features.block import Block
from emotion_interp.features.design import design_stimuli

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def planted():
    """256 latents in as many dimensions: none leaks into another."""
    return planted_subject(256, 256, steps=60)


@pytest.fixture(scope="module")
def runs(planted, small_concepts):
    return [planted_run(planted, small_concepts, seed, "words") for seed in range(5)]


@pytest.fixture(scope="module")
def read(tiny_subject, small_concepts):
    design = design_stimuli(small_concepts, "words", 0)
    return design.words, read_stimuli(tiny_subject, design.stimuli, design.units)


def test_planted_features_are_recalled_the_stronger_the_better(runs):
    table = pd.DataFrame([count_planted(run) for run in runs]).mean().to_dict()
    assert table["recall strong"] >= 0.95
    assert table["recall medium"] >= 0.6
    assert table["recall strong"] >= table["recall medium"] >= table["recall weak"]


def test_background_latents_stay_within_the_false_discovery_rate(runs):
    assert np.mean([count_planted(run)["fdr_background"] for run in runs]) <= 0.05


def test_a_planted_feature_is_not_taken_for_another_emotions(runs):
    assert sum(count_planted(run)["false: other emotion's feature"] for run in runs) <= 2


def test_a_higher_specificity_lets_fewer_confounds_through(runs):
    low, high = (np.mean([count_planted(run, floor)["fdr"] for run in runs]) for floor in (0.5, 0.65))
    assert high <= low


def test_what_the_sae_reads_is_what_was_planted(planted, small_concepts):
    drawn = planted_readings(planted, small_concepts, 0)
    reading = drawn.readings[planted.sites[0]]
    assert reading.fired is not None
    for feature, role, own in zip(*(drawn.roles[c] for c in ("feature", "role", "emotions")), strict=True):
        here = drawn.words["emotion"].isin(own).to_numpy()
        rate = (reading.fired[here][:, [feature]].toarray() >= 0.5).mean()
        if role == "strong":
            assert rate > 0.6
        elif role == "lexical":
            language = drawn.words["language"].to_numpy()
            fires = (reading.fired[:, [feature]].toarray() >= 0.5).ravel()
            # a carrier in twenty hides what a word carries
            assert all(fires[language == lang].sum() <= 2 for lang in set(language))


def test_rates_are_counted_over_selected_and_over_planted_pairs():
    frame = pd.DataFrame(
        {
            "feature": [1, 2, 3, 4, 5],
            "selected": [True, True, True, True, False],
            "specificity": [0.9, 0.52, 0.7, 0.55, 0.9],
            "role": ["strong", "valence", "strong", "background", "weak"],
            "planted": [True, False, True, False, True],
        }
    )
    frame.attrs["sizes"] = {"strong": 4, "weak": 1}
    row = count_planted(frame)
    assert (row["recall strong"], row["recall weak"], row["recall"]) == (0.5, 0.0, 0.4)
    assert (row["fdr"], row["fdr_background"], row["false: valence"]) == (0.5, 0.25, 1.0)
    assert count_planted(frame, 0.6)["fdr"] == 0.0


@pytest.mark.parametrize("keep_neutral", [False, True])
def test_shuffling_moves_whole_groups_and_keeps_the_halves(read, keep_neutral):
    words, _ = read
    mixed = shuffle_emotions(words, np.random.default_rng(0), keep_neutral)
    pd.testing.assert_frame_equal(mixed.drop(columns="emotion"), words.drop(columns="emotion"))
    assert len(mixed[["group", "emotion"]].drop_duplicates()) == mixed["group"].nunique()
    first = [frame.drop_duplicates("group").groupby("side")["emotion"].value_counts() for frame in (words, mixed)]
    assert first[0].sort_index().equals(first[1].sort_index())
    assert (mixed["emotion"] != words["emotion"]).mean() > 0.1
    stays = (words["emotion"] == "neutral") == (mixed["emotion"] == "neutral")
    assert stays.all() == keep_neutral


def test_under_shuffled_labels_few_runs_report_a_feature(tiny_subject, small_concepts, read):
    """Of 30 runs at most 4: the 95% bound of a binomial at .05."""
    words, readings = read
    found = [
        any_selected(tiny_subject, small_concepts, shuffle_emotions(words, np.random.default_rng(s)), readings, "words")
        for s in range(30)
    ]
    assert sum(hit for hit, _ in found) <= 4


def test_firing_worked_out_once_gives_the_same_tests(read):
    words, readings = read
    emotions = sorted(set(words["emotion"]) - {"neutral"})
    for (site, language), leveled in fired_by_level(words, readings).items():
        plain = Block(site, language, readings[site], words, emotions, by_level=True)
        assert np.array_equal(Block(site, language, leveled, words, emotions).p, plain.p)


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
import emotion_interp as ei
from tests.conftest import make_gpt2, make_sae
from transformers import PreTrainedTokenizerFast
tokenizer = PreTrainedTokenizerFast.from_pretrained(sys.argv[1])
subject = ei.Subject(make_gpt2(tokenizer), saes=[make_sae(0), make_sae(1)], tokenizer=tokenizer, name="tiny")
concepts = (ei.concept_set("en") | ei.concept_set("zh")).subset(emotions=["anger", "fear", "joy", "sadness"])
ei.find_features(subject, concepts).save(sys.argv[2])
"""


def test_another_process_writes_the_same_bytes(tiny_subject, small_concepts, tokenizer_folder, tmp_path):
    import torch

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(tokenizer_folder), str(tmp_path / "other")]
    threads = torch.get_num_threads()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        torch.set_num_threads(1)
        ei.find_features(tiny_subject, small_concepts).save(tmp_path / "own")
    finally:
        torch.set_num_threads(threads)
    assert process.wait(300) == 0, process.stderr and process.stderr.read()
    for path in sorted((tmp_path / "own").iterdir()):
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes(), path.name


def test_one_thread_and_two_give_the_same_features_to_a_millionth(tiny_subject, small_concepts, tmp_path):
    import torch

    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            ei.find_features(tiny_subject, small_concepts).save(tmp_path / str(count))
    finally:
        torch.set_num_threads(threads)
    found = compare_banks(tmp_path / "1", tmp_path / "2")
    assert found["rows in one only"] == 0
    assert found["same selected set"] and found["same top features"]
    assert all(gap <= 1e-6 for gap in found["largest difference"].values())
    assert found["of held-out AUROC"] <= 1e-6
