"""The one check of arguments: what an annotation and a parameter's name promise."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from emotion_interp.core import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.core.arguments import ArgumentError, check_fields, checked


@checked
def grid(
    emotions: Sequence[str],
    dose: float = 0.5,
    seed: int = 0,
    words: Mapping[str, Sequence[str]] | None = None,
    progress: Callable[[int], None] | None = None,
    doses: Sequence[float] = (0.1,),
    norms: Any = None,
) -> str:
    """A grid."""
    return "done"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"emotions": "joy"}, ArgumentError, r"grid: emotions is a list of texts, got 'joy'. Write \['joy'\]"),
        ({"emotions": [1]}, ArgumentError, "emotions is a list of texts"),
        ({"emotions": {"joy": 1}}, ArgumentError, "emotions is a list of texts, got the dict"),
        ({"dose": "0.5"}, ArgumentError, "dose is a number, got '0.5'"),
        ({"dose": True}, ArgumentError, "dose is a number, got True"),
        ({"dose": float("nan")}, NotFiniteError, "dose is a finite number"),
        ({"doses": [0.1, float("inf")]}, NotFiniteError, "doses is a finite number"),
        ({"doses": ["0.1"]}, ArgumentError, "doses is a list of numbers"),
        ({"seed": -1}, ArgumentError, "seed is a number of at least 0"),
        ({"seed": 1.5}, ArgumentError, "seed is a whole number"),
        ({"words": {"joy": "happy"}}, ArgumentError, "words is a dict"),
        ({"progress": 3}, ArgumentError, "progress is a function"),
        ({"emotion": "joy"}, TypeError, "grid has no argument 'emotion'. Did you mean 'emotions'"),
    ],
)
def test_what_is_wrong_is_named(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        grid(**({"emotions": ["joy"]} | arguments))
    assert isinstance(caught.value, EmotionInterpError)


def test_a_missing_argument_and_the_keyword_given_for_it_are_named():
    @checked
    def open_ended(emotions: Sequence[str], **options: Any) -> None:
        """Takes whatever."""

    with pytest.raises(EmotionInterpError, match="Write emotions= for emotion="):
        open_ended(emotion="joy")


@pytest.mark.parametrize(
    "arguments",
    [
        {"emotions": ("joy", "fear")},
        {"emotions": np.array(["joy"])},
        {"dose": 1},
        {"dose": np.float32(0.5)},
        {"dose": np.array(0.5)},
        {"seed": np.int64(3)},
        {"words": {"joy": ("happy",)}},
        {"doses": np.array([0.1, 0.2])},
        {"doses": range(3)},
    ],
)
def test_what_is_right_passes(arguments):
    assert grid(**({"emotions": ["joy"]} | arguments)) == "done"


def test_an_iterator_is_not_used_up():
    @checked
    def total(emotions: Iterable[str], bank: Any = None) -> list[str]:
        """All of them."""
        return list(emotions)

    assert total(reversed(["joy", "fear"])) == ["fear", "joy"]


def test_emotions_and_languages_are_compared_with_the_bank_of_the_call():
    class Bank:
        emotions, languages, layers = ["joy"], ["en"], (1,)

        def direction(self) -> None:
            """None."""

    @checked
    def ask(bank: Any, emotions: Sequence[str], language: str = "en") -> None:
        """Nothing."""

    ask(Bank(), ["joy"])
    with pytest.raises(UnknownNameError, match="unknown emotion 'joyy'. Did you mean 'joy'"):
        ask(Bank(), ["joyy"])
    with pytest.raises(UnknownNameError, match="unknown language 'fr'"):
        ask(Bank(), ["joy"], "fr")
    with pytest.raises(ArgumentError, match="bank is a FeatureBank, got 'x'. ei.FeatureBank.load"):
        ask("x", ["joy"])


def test_fields_of_a_dataclass_are_checked_as_well():
    @dataclass(frozen=True)
    class Settings:
        max_q: float = 0.05
        layers: tuple[int, ...] | None = None

        def __post_init__(self) -> None:
            check_fields(self)

    Settings(0.1, (1, 2))
    with pytest.raises(NotFiniteError, match="max_q"):
        Settings(float("nan"))
    with pytest.raises(ArgumentError, match="from 0 to 1"):
        Settings(1.5)
    with pytest.raises(ArgumentError, match="layers"):
        Settings(layers="12")


def test_the_signature_and_docstring_stay():
    assert list(inspect.signature(grid).parameters)[:2] == ["emotions", "dose"]
    assert grid.__doc__ == "A grid."
