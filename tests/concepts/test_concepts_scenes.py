"""Scenes: complete, aligned, and never naming their emotion."""

import re

import pytest

import emotion_interp as ei
from emotion_interp.concepts import labelled_stimuli, scene_stimuli
from emotion_interp.core import EmotionInterpError, UnknownNameError


def test_every_emotion_has_sixteen_scenes_in_both_languages_and_there_are_sixty_neutral_ones():
    for language in ("en", "zh"):
        counts: dict[str, int] = {}
        for stimulus in scene_stimuli([language]):
            counts[stimulus.emotion] = counts.get(stimulus.emotion, 0) + 1
        assert counts.pop("neutral") == 60
        assert set(counts) == set(ei.concept_set(language).emotions)
        assert set(counts.values()) == {16}


def test_no_scene_names_its_emotion():
    for stimulus in scene_stimuli():
        if stimulus.emotion == "neutral":
            continue
        label = ei.concept_set(stimulus.language).label(stimulus.emotion)
        if stimulus.language == "en":
            assert not re.search(rf"\b{label}", stimulus.text, re.IGNORECASE), stimulus.text
        else:
            assert label not in stimulus.text, stimulus.text


def test_a_scene_and_its_translation_share_a_group_and_texts_are_unique():
    stimuli = scene_stimuli()
    groups = {lang: {s.group for s in stimuli if s.language == lang} for lang in ("en", "zh")}
    assert groups["en"] == groups["zh"]
    assert len({s.text for s in stimuli}) == len(stimuli)


def test_lengths_and_scripts():
    for stimulus in scene_stimuli():
        assert stimulus.text == stimulus.text.strip()
        if stimulus.language == "en":
            assert 20 <= len(stimulus.text.split()) <= 60
            assert stimulus.text.isascii() or re.fullmatch(r"[\x00-\u024f\u2010-\u201f\u2026]+", stimulus.text)
        else:
            assert 30 <= len(stimulus.text) <= 95


def test_unknown_languages_emotions_and_bad_labels_are_refused():
    with pytest.raises(UnknownNameError, match="language of the scenes"):
        scene_stimuli(["fr"])
    with pytest.raises(UnknownNameError, match="emotion"):
        scene_stimuli(["en"], ["joi"])
    with pytest.raises(EmotionInterpError, match="one label"):
        labelled_stimuli(["a"], [])
    with pytest.raises(EmotionInterpError, match="empty"):
        labelled_stimuli([" "], ["joy"])


def test_a_file_given_where_a_name_belongs_is_pointed_to_the_right_call(tmp_path):
    with pytest.raises(EmotionInterpError, match="from_toml"):
        ei.concept_set(tmp_path / "mine.toml")
    with pytest.raises(EmotionInterpError, match="path="):
        ei.load_norms("ratings.csv")


def test_punctuation_does_not_give_an_emotion_away():
    """Half-width commas in some emotions' Chinese scenes once made detectors of commas look like emotion features."""
    for stimulus in scene_stimuli():
        assert not set(stimulus.text) & set("!！"), stimulus.text
        if stimulus.language == "zh":
            assert not set(stimulus.text) & set(",;:?()"), stimulus.text
