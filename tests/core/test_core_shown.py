"""What a public function gives back shows itself: a picture where there is one to draw, and always more than a bare repr."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core.result import Result
from emotion_interp.experiments.verdicts import SteeringVerdicts
from emotion_interp.experiments.verdicts_doses import VerdictDoses

WITHOUT_PICTURE = {
    "TokenLens": "lists of tokens",
    "ExportedDirection": "a file and what other programs need to load it",
    "Parity": "differences that should be 0, program by program",
    "TrainedDirections": "vectors; what they do is drawn by the experiments that steer with them",
    "Examination": "findings of the doctor, in words",
    "ReadingPlan": "a list of what would be read, before anything is",
    "SweepDifference": "a number with its interval",
    "SweepEstimate": "what a sweep would cost, before it runs",
    "SweepStatus": "which units are done",
}
"""Results that are lists, words or single numbers, each with the reason."""
PLAIN = {"hooked", "Path", "str", "list", "dict", "tuple", "DataFrame", "NoneType"}


def results() -> Iterator[type[Result]]:
    for module in pkgutil.walk_packages(ei.__path__, "emotion_interp."):
        if module.name.rpartition(".")[2] not in ("__main__", "parity_script"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                assert not str(error.name).startswith("emotion_interp"), error
    waiting = list(Result.__subclasses__())
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith("emotion_interp."):
            yield kind


def given_back() -> dict[str, type]:
    """The classes that public functions say they give back."""
    stub = (Path(ei.__file__).parent / "__init__.pyi").read_text(encoding="utf-8")
    kinds: dict[str, type] = {}
    for name in re.findall(r"^from \.[\w.]+ import \w+ as (\w+)", stub, re.MULTILINE):
        function = inspect.unwrap(getattr(ei, name))
        if not inspect.isfunction(function):
            continue
        said = re.findall(r"\w+", str(function.__annotations__.get("return", "")).replace("pd.", ""))
        for part in said:
            kind = getattr(ei, part, None) or getattr(inspect.getmodule(function), part, None)
            if inspect.isclass(kind) and part not in PLAIN and kind.__module__.startswith("emotion_interp"):
                kinds[part] = kind
    return kinds


def test_every_result_has_a_picture_or_a_reason_for_none() -> None:
    bare = {kind.__name__ for kind in results() if kind.plot is Result.plot}
    assert bare == set(WITHOUT_PICTURE)


def test_everything_given_back_shows_itself_in_a_notebook() -> None:
    kinds = given_back()
    assert {"FeatureBank", "Alignment", "Subject", "SteeringVerdicts", "Transfer"} <= set(kinds)
    # a stimulus is always one of a list
    bare = {name for name, kind in kinds.items() if not callable(getattr(kind, "_repr_html_", None))}
    assert bare <= {"Stimulus"}


@pytest.fixture
def verdicts() -> SteeringVerdicts:
    frame = pd.DataFrame({"emotion": ["joy", "fear"], "p_holm": [0.01, 0.4], "passes": [True, False]})
    frame = frame.assign(target_stories=[0.6, 0.2], unsteered_stories=[0.1, 0.15])
    nulls = pd.DataFrame({"judge": "stories", "kind": "isotropic", "direction": range(20)})
    nulls = nulls.assign(joy=np.linspace(0.05, 0.2, 20), fear=np.linspace(0.1, 0.2, 20))
    return SteeringVerdicts(frame, nulls, pd.DataFrame())


def test_verdicts_draw_what_steering_adds_beside_what_null_directions_do(verdicts: SteeringVerdicts) -> None:
    drawn = verdicts.plot()
    assert list(drawn.data[0].x) == pytest.approx([0.5, 0.05])
    band = next(shape for shape in drawn.layout.shapes if shape.type == "rect")
    assert 0.05 < band.x1 < 0.11


def test_doses_draw_both_gains() -> None:
    frame = pd.DataFrame({"dose": [0.1, 0.4], "gain": [0.2, 0.0], "gain_all": [0.2, 0.5], "chosen": [True, False]})
    drawn = VerdictDoses(frame, pd.DataFrame()).plot()
    assert [list(line.x) for line in drawn.data] == [[0.2, 0.0], [0.2, 0.5]]
