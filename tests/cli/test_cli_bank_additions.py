"""Banks that were found with some emotions alone: the commands that add to them take the same concepts."""

from __future__ import annotations

import pytest

import emotion_interp as ei
from emotion_interp.cli.bank_additions import kinds_to_test


@pytest.fixture(scope="module")
def few(tmp_path_factory, bank_folder):
    """`tiny_bank`, which has four emotions of the shipped sets."""
    assert len(ei.FeatureBank.load(bank_folder).emotions) < len(ei.concept_set("en").emotions)
    return bank_folder


def test_confirm_takes_a_bank_of_some_emotions(shell, few, tmp_path):
    answer = shell("features", "confirm", few, "--out", tmp_path / "bank")
    assert answer.code == 0, answer.err
    assert "confirmed" in ei.FeatureBank.load(tmp_path / "bank").summary


def test_describe_fits_the_probes_of_the_emotions_of_the_bank(shell, few, subject_options, tmp_path):
    answer = shell("features", "describe", few, *subject_options[:-1], "--out", tmp_path / "bank")
    # the tiny model has no word as one token, which the scores of outputs after the probes need
    assert answer.code == 2 and "single token" in answer.err
    bank = ei.FeatureBank.load(tmp_path / "bank")
    assert set(bank.extras["probes"]["emotion"]) == set(bank.emotions)


@pytest.mark.parametrize(
    ("on", "found_on", "names"),
    [
        (None, "words", ["scenes"]),
        (None, "scenes", ["words"]),
        (None, "texts", ["words"]),
        ("a, b", "words", ["a", "b"]),
    ],
)
def test_a_bank_is_tested_on_stimuli_of_another_kind(on, found_on, names):
    assert kinds_to_test(on, found_on) == names


def test_describe_refuses_the_banks_own_kind_before_any_work(shell, few, tmp_path):
    answer = shell("features", "describe", few, "--on", "scenes,words", "--out", tmp_path / "bank")
    assert answer.code == 2 and "the bank was found on words" in answer.err and not (tmp_path / "bank").exists()
