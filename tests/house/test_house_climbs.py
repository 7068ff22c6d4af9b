"""The path of a subject from an entry down through the rooms climbs back up at most twice, and the rule sees what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

import emotion_interp as ei

ROOT = Path(ei.__file__).parents[1]
ORDER = ["above", "middle", "below"]
OWN = ("experiments", "directions", "steering", "study")
"""Rooms none of whose functions takes a subject among many parameters."""


@pytest.fixture(scope="module")
def house():
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("an installed package has no plan beside it")
    from benchmarks import house

    return house


@pytest.fixture(scope="module")
def climbs(house):
    return house.climbs


@pytest.mark.parametrize("entry", [0, 1])
def test_the_path_of_the_subject_climbs_at_most_twice(house, climbs, entry):
    found = climbs.climbs(house.modules(ROOT), house.order(ROOT), climbs.ENTRIES[entry])
    assert len(found) <= climbs.MOST, found


@pytest.mark.parametrize("entry", [0, 1])
def test_no_function_of_the_steering_rooms_takes_the_subject_among_many(house, climbs, entry):
    found = climbs.loose(house.modules(ROOT), house.order(ROOT), climbs.ENTRIES[entry])
    assert [name for name in found if name.split(".")[1] in OWN] == []


def test_the_path_reaches_what_a_study_and_a_grid_run(house, climbs):
    """A measure that lost its way would count nothing."""
    for entry, reached in zip(
        climbs.ENTRIES,
        ("features.search.find_features", "judges.judging.judged"),
        strict=True,
    ):
        assert f"emotion_interp.{reached}" in climbs.path(house.modules(ROOT), house.order(ROOT), entry)
    assert "emotion_interp.steering.hooks.hooked.start" in climbs.path(
        house.modules(ROOT), house.order(ROOT), climbs.ENTRIES[0]
    )


def write(folder: Path, **sources: str) -> dict[str, Path]:
    found = {}
    for name, source in sources.items():
        module = f"emotion_interp.{name.replace('__', '.')}"
        found[module] = folder / f"{name}.py"
        found[module].write_text(source)
    return found


def test_a_function_that_carries_the_subject_down_is_a_climb(climbs, tmp_path):
    files = write(
        tmp_path,
        above__one="""
from functools import partial
from emotion_interp.below.two import call, keep

def entry(subject, names):
    def make():
        return subject.name
    call(make)
    call(lambda: names)
    call(lambda subject: subject)
    keep(partial(make, subject))
    kept = lambda: subject
    call(kept)
    own(lambda: subject)

def own(make):
    return make()
""",
        below__two="def call(make):\n    return make()\n\ndef keep(make):\n    return make\n",
    )
    found = climbs.climbs(files, ORDER, "emotion_interp.above.one.entry")
    assert [line.split(" hands ")[1].split(",")[0] for line in found] == [
        "make to call",
        "partial(make",
        "kept to call",
    ]


def test_an_object_handed_back_and_a_call_of_a_room_above_are_climbs(climbs, tmp_path):
    files = write(
        tmp_path,
        middle__one="""
from emotion_interp.below.two import Held, Made, make, plain

STAGES = (make, plain)

def entry(subject):
    from emotion_interp.above.three import up
    for stage in STAGES:
        stage(subject)
    up(subject)
    return Held(subject)
""",
        below__two="""
class Base:
    subject: Subject

class Held(Base):
    pass

class Made:
    subject: dict

def make(subject, a, b, c, d, e, f, g, h) -> Held:
    return Held()

def plain(subject) -> Made:
    return Made()
""",
        above__three="def up(subject):\n    return None\n",
    )
    entry = "emotion_interp.middle.one.entry"
    assert climbs.climbs(files, ORDER, entry) == [
        "emotion_interp.middle.one.entry calls emotion_interp.above.three.up, which is above",
        "emotion_interp.below.two.make returns Held, which holds the subject",
    ]
    assert climbs.loose(files, ORDER, entry) == ["emotion_interp.below.two.make"]
