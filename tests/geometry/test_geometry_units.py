"""Units of real subjects, and word coordinates of a study."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.geometry import text_spaces
from emotion_interp.study.settings import StudySettings
from emotion_interp.study.stages import alignment_frames

WORDS = ("joy", "fear", "anger", "sadness", "pride", "calm")


def texts() -> tuple[list[str], list[str]]:
    return [f"{w} and the sea were {w} again and then {i} " * 4 for w in WORDS for i in range(3)], np.repeat(
        WORDS, 3
    ).tolist()


def test_kept_units_are_texts_whose_means_are_the_same_space(tiny_subject: Any) -> None:
    words, labels = texts()
    plain = text_spaces(tiny_subject, words, labels, skip=2)
    kept = text_spaces(tiny_subject, words, labels, skip=2, keep_units=True)
    assert plain.keys() == kept.keys()
    for key, space in plain.items():
        assert space.units is None and kept[key].units.shape == (18, space.vectors.shape[1])
        assert kept[key].emotions == space.emotions and kept[key].unit_emotions == tuple(labels)
        np.testing.assert_allclose(kept[key].vectors, space.vectors, atol=1e-5)


def test_feature_spaces_of_a_bank_carry_their_words(tiny_bank: Any) -> None:
    # the tiny bank selected nothing; its top features are there with their activations
    bank = replace(tiny_bank, features=tiny_bank.features.assign(selected=tiny_bank.features["top"]))
    space = ei.emotion_space(bank, 1)
    words = bank.unit_activations(1, bank.languages[0])[0]
    assert set(space.unit_emotions or ()) == set(space.emotions)
    assert space.units.shape == (words["emotion"].isin(space.emotions).sum(), space.vectors.shape[1])


def test_a_study_rates_emotions_by_concept_words_that_were_not_shown(tiny_subject: Any, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(
        "".join(json.dumps({"text": t, "emotion": e}) + "\n" for t, e in zip(*texts(), strict=True)), "utf-8"
    )
    norms, concepts = ei.load_norms("builtin"), ei.concept_set("en")
    settings = StudySettings(stimuli="stories", corpus=str(path), n_permutations=9, coordinates="words")
    points = alignment_frames(tiny_subject, None, norms, settings, concepts=concepts)["points"]
    rated = norms.lookup(list(concepts.words("joy")))["valence"].dropna()
    shown = points[points["emotion"] == "joy"]["word"].iloc[0].split(", ")
    assert len(shown) == len(rated) > 1
    with pytest.raises(EmotionInterpError, match="needs the concept sets"):
        alignment_frames(tiny_subject, None, norms, settings)


def test_word_coordinates_are_refused_where_the_words_are_the_stimuli() -> None:
    with pytest.raises(EmotionInterpError, match="shows them all"):
        StudySettings(coordinates="words")
    with pytest.raises(UnknownNameError, match="coordinates"):
        StudySettings(coordinates="colour")
