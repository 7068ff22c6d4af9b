"""Choices of a function as one frozen object, or by single keywords: both are checked in the same way."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, dataclass
from typing import Any, TypedDict, Unpack

import pytest

from emotion_interp.core import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.core.arguments import ArgumentError, UnknownArgumentError, checked, parameters
from emotion_interp.core.options import Options, merged


@dataclass(frozen=True, kw_only=True)
class FitOptions(Options):
    """Choices of `fit`."""

    folds: int = 5
    level: float = 0.9
    emotions: Sequence[str] | None = None


class FitChoices(TypedDict, total=False):
    """The same."""

    folds: int
    level: float
    emotions: Sequence[str] | None


@checked
def fit(x: float, bank: Any = None, *, options: FitOptions | None = None, **choices: Unpack[FitChoices]) -> FitOptions:
    """What was chosen."""
    return merged(FitOptions, options, choices)


class Bank:
    """Has joy."""

    emotions, languages, layers = ["joy"], ["en"], (1,)

    def direction(self) -> None:
        """None."""


def test_choices_come_by_keyword_as_an_object_or_as_an_object_with_others_beside_it():
    assert fit(1.0) == FitOptions() == fit(1.0, options=None)
    assert fit(1.0, folds=3) == FitOptions(folds=3) == fit(1.0, options=FitOptions(folds=3))
    assert fit(1.0, options=FitOptions(folds=3), level=0.5) == FitOptions(folds=3, level=0.5)


def test_one_field_given_both_ways_is_refused_even_at_its_default():
    with pytest.raises(ArgumentError, match=r"folds: given in options and by keyword at once"):
        fit(1.0, options=FitOptions(folds=5), folds=3)
    again = fit(1.0, options=FitOptions(folds=3), level=0.5)
    with pytest.raises(ArgumentError, match="level: given in options"):
        fit(1.0, options=again, level=0.4)


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"fold": 3}, UnknownArgumentError, "fit has no argument 'fold'. Did you mean 'folds'"),
        ({"folds": 1}, ArgumentError, "fit: folds is a number of at least 2"),
        ({"folds": "3"}, ArgumentError, "fit: folds is a whole number, got '3'"),
        ({"level": float("nan")}, NotFiniteError, "fit: level is a finite number"),
        ({"emotions": "joy"}, ArgumentError, r"emotions is a list of texts or None, got 'joy'. Write \['joy'\]"),
        ({"options": {"folds": 3}}, ArgumentError, r"fit: options is a FitOptions or None"),
    ],
)
def test_choices_are_checked_as_parameters_are(choices, error, message):
    with pytest.raises(error, match=message) as caught:
        fit(1.0, **choices)
    assert isinstance(caught.value, EmotionInterpError) and "\n" not in str(caught.value)


def test_an_options_object_refuses_what_a_call_would():
    with pytest.raises(UnknownArgumentError, match="FitOptions has no argument 'fold'. Did you mean 'folds'"):
        FitOptions(fold=3)
    with pytest.raises(ArgumentError, match="FitOptions: folds is a number of at least 2"):
        FitOptions(folds=1)
    with pytest.raises(FrozenInstanceError):
        FitOptions().folds = 3


def test_emotions_among_the_choices_are_compared_with_the_bank_of_the_call():
    for given in ({"emotions": ["joyy"]}, {"options": FitOptions(emotions=["joyy"])}):
        with pytest.raises(UnknownNameError, match="unknown emotion 'joyy'. Did you mean 'joy'"):
            fit(1.0, Bank(), **given)


def test_options_survive_copies_and_pickles():
    options = FitOptions(folds=3)
    assert copy.deepcopy(options) == pickle.loads(pickle.dumps(options)) == options
    assert hash(options) == hash(FitOptions(folds=3))


def test_the_parameters_of_a_function_have_its_choices_among_them():
    assert list(parameters(fit)) == ["x", "bank", "options", "folds", "level", "emotions"]
    assert len(inspect.signature(fit).parameters) == 4
