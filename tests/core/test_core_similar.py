"""Did you mean: by meaning or near spelling, never an opposite, and nothing where nothing is close."""

from __future__ import annotations

import pytest

import emotion_interp as ei
from emotion_interp.core import UnknownNameError
from emotion_interp.core.similar import similar

EMOTIONS = ei.concept_set("en").emotions


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        *(("happiness", "joy"), ("happy", "joy"), ("joyful", "joy"), ("scared", "fear"), ("terror", "fear")),
        *(("sad", "sadness"), ("unhappy", "sadness"), ("rage", "anger"), ("calmness", "calm"), ("喜悦", "joy")),
        *(
            ("jooy", "joy"),
            ("Joy ", "joy"),
            ("sadnes", "sadness"),
            ("suprise", "surprise"),
            ("compasion", "compassion"),
        ),
    ],
)
def test_an_emotion_is_suggested_by_what_the_word_means_or_a_slip(given, meant):
    assert similar(given, EMOTIONS, emotions=True) == meant


@pytest.mark.parametrize("given", ["hopeless", "fearless", "content", "hate", "dislike", "fair", "xyzzy", "", "12"])
def test_no_opposite_and_no_other_word_is_suggested(given):
    assert similar(given, EMOTIONS, emotions=True) is None


def test_a_word_whose_emotion_is_not_there_has_no_suggestion():
    assert similar("happiness", ["sadness", "fear"], emotions=True) is None
    assert similar("approval", ["disapproval", "anger"], emotions=True) is None


@pytest.mark.parametrize(
    ("given", "names", "meant"),
    [
        ("warrinner", ["builtin", "warriner"], "warriner"),
        ("scene", ["words", "scenes"], "scenes"),
        ("storys", ["stories", "goemotions"], "stories"),
        ("gpt2-smal-res-jb", ["gpt2-small-res-jb", "gpt2-small-res_scefr"], "gpt2-small-res-jb"),
        ("fr", ["en", "zh"], None),
        ("9", ["0", "1"], None),
        ("dis", ["disgust", "disappointment"], None),
    ],
)
def test_other_names_are_suggested_by_spelling(given, names, meant):
    assert similar(given, names) == meant


def test_errors_carry_the_suggestion(tiny_bank):
    with pytest.raises(UnknownNameError, match="Did you mean 'joy'"):
        tiny_bank.direction("happiness", 0, "en")
    with pytest.raises(UnknownNameError) as caught:
        tiny_bank.direction("hopeless", 0, "en")
    assert "Did you mean" not in str(caught.value)
