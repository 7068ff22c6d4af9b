"""Every argument of every public function is refused by type and value before a model runs; new ones cannot be forgotten.

The functions and their parameters are listed by code. What is wrong for a parameter follows from its annotation and,
for names of things, from `NAMES`: a parameter that takes text and stands in neither `NAMES` nor `FREE` fails the test.
"""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core.annotations import BY_NAME, items_of, members, name_of
from emotion_interp.core.arguments import RANGES, parameters

FUNCTIONS = sorted(n for n in ei.__all__ if callable(getattr(ei, n)) and not inspect.isclass(getattr(ei, n)))
METHODS = [
    (name, method)
    for name in ei.__all__
    if inspect.isclass(getattr(ei, name))
    for method, member in vars(getattr(ei, name)).items()
    if not method.startswith("_") and hasattr(inspect.unwrap(getattr(member, "__func__", member)), "__code__")
]
FREE = {
    # any text is right, or only the files, folders and repositories of the call decide
    *("text", "texts", "carrier", "carriers", "tested_on", "name", "revision", "token", "title", "source", "data"),
    *(
        "out",
        "path",
        "destination",
        "null_folder",
        "corpus",
        "held_out",
        "responses_file",
        "folder",
        "name_or_path",
        "saes",
    ),
    *("prompts", "tune_prompts", "test_prompts", "prefixes", "device", "template", "templates", "labels", "array"),
    *(
        "unit_emotions",
        "hook_name",
        "kind_of_space",
        "found_on",
        "transfer",
        "text_language",
        "words",
        "cues",
        "siblings",
    ),
    *("shared_words", "model"),
}
"""Parameters whose texts are checked elsewhere, or cannot be wrong."""

EXTRA = ("judge", "judges", "max_new_tokens", "valence")
"""Given beside what is required: the default would be refused for reasons of its own."""
NO_NAME = {("cebra_space", "emotions"), ("cebra_space", "language"), ("labelled_stimuli", "emotions")} | {
    # labels of the user's own, and what only a file or a measured bank decides
    *(
        ("load_space", "emotions"),
        ("load_space", "kind"),
        ("load_space", "language"),
        ("with_output_directions", "weight"),
        ("labelled_stimuli", "language"),
        ("text_spaces", "emotions"),
        ("residual_geometry", "emotions"),
        ("residual_geometry", "language"),
        ("text_spaces", "language"),
        ("text_baselines", "emotions"),
        ("text_baselines", "language"),
    )
}

NAMES: dict[str, Any] = {
    **dict.fromkeys(("emotion", "target"), "joyy"),
    "model": "../no/such",
    "emotions": ["joyy"],
    "others": ["joyy"],
    **dict.fromkeys(("language", "first", "second"), "xx"),
    "languages": ["xx"],
    "layer": 99,
    "layers": [99],
    "site": 99,
    "sites": [99],
    "method": "magic",
    "methods": ["magic"],
    **dict.fromkeys(
        (
            "measure",
            "position",
            "positions",
            "rows",
            "null",
            "repo_type",
            "coordinates",
            "kind",
            "schedule",
            "stimuli",
            "norms",
        ),
        "typo",
    ),
    **dict.fromkeys(
        ("features", "weight", "table", "shared", "outside", "split", "judge", "responses", "overlap"), "typo"
    ),
    **dict.fromkeys(("names", "correction", "unit"), "typo"),
    "kinds": ["typo"],
    "sets": ["typo"],
    "side_effects": ["typo"],
    "size": "huge",
    "format": "typo",
    "counted": "typo",
    "engine": "typo",
}
"""Names that no object of the test has, by parameter."""


@pytest.fixture(scope="module")
def good(tiny_subject, tiny_bank, small_concepts, tmp_path_factory):
    """Something right for every required parameter, by name, or by "function.name" where it means another thing."""
    space = ei.emotion_space(tiny_bank, 0, kind="dense")
    columns = ["word", "feature_set", "train_language", "test_language", "dimension", "human", "predicted"]
    ratings = pd.DataFrame([["joy", "all", "en", "en", "valence", 1.0, 1.0]], columns=columns).assign(layer=0)
    return {
        "subject": tiny_subject,
        "bank": tiny_bank,
        "other": tiny_bank,
        "concepts": small_concepts,
        "norms": ei.load_norms("builtin"),
        "space": space,
        "spaces": {"a": space},
        "units": space,
        "unit_emotions": list(space.emotions),
        "ratings": ratings,
        "table": ratings,
        "frame": ratings,
        "layer": 0,
        "emotion": "joy",
        "emotions": ["joy", "fear"],
        "language": "en",
        "languages": ["en"],
        "first": "en",
        "second": "zh",
        "text": "She wept.",
        "text_increment.text": space,
        "texts": ["She wept."],
        "text_spaces.texts": ["She wept.", "He laughed."],
        "topics": [0, 1],
        "causal_universality.texts": ei.labelled_stimuli(["她哭了。", "他笑了。"], ["fear", "joy"], "zh"),
        "prompts": ["She said"],
        "tune_prompts": ["She said"],
        "test_prompts": ["He said"],
        "words": ["joy"],
        "doses": [0.5],
        "feature": 0,
        "direction": tiny_bank.direction("joy", 0, "en", "dense"),
        "choices": pd.DataFrame({"emotion": ["joy"], "layer": 0, "dose": 0.5, "method": "dense"}),
        "corpus": "stories",
        "effects": _effects(tiny_subject),
        "target": "joy",
        "path": tmp_path_factory.mktemp("place") / "nothing",
        "out": tmp_path_factory.mktemp("place") / "out",
        "source": "nobody/nothing",
        "destination": "nobody/nothing",
        "site": 0,
        "stimuli": ei.labelled_stimuli(["She wept.", "He laughed."], ["fear", "joy"]),
        "data": tmp_path_factory.mktemp("data"),
        "seed": 0,
        "low": 1.0,
        "high": 9.0,
        "hook_name": "blocks.0.hook_resid_post",
        "name": "controls",
        "judge": _Judge(),
        "judges": {"en": _Judge(), "zh": _Judge()},
        "setting": ei.Setting(tiny_subject, tiny_bank, ["He said"], _Judge(), max_new_tokens=2),
        **{f"{name}.setting": ei.Setting(tiny_subject, tiny_bank, ["He said"]) for name in ("dial_grid", "dial_test")},
        **{
            f"{name}.setting": ei.Setting(
                tiny_subject, tiny_bank, ["He said"], {"one": _Judge(), "two": _Judge()}, max_new_tokens=2
            )
            for name in ("steering_verdicts", "verdict_doses")
        },
        **{f"{name}.judges": {"one": _Judge(), "two": _Judge()} for name in ("steering_verdicts", "verdict_doses")},
        "cross_language.setting": ei.Setting(tiny_subject, tiny_bank),
        "max_new_tokens": 2,
        "valence": 1.0,
    }


class _Judge:
    """Of texts: every emotion is as likely."""

    emotions = ("joy", "fear")

    def predict_proba(self, texts):
        return np.full((len(texts), 2), 0.5)


def _effects(subject):
    from emotion_interp.directions.targeted import fit_effects

    vectors = np.eye(subject.d_model)
    return fit_effects(ei.Site(0), 0.5, vectors, vectors[:, :2], ["joy", "fear"])


@pytest.fixture
def passes(tiny_subject):
    """Counts forward passes."""
    count: list[int] = []
    handle = tiny_subject.model.register_forward_pre_hook(lambda *_: count.append(1))
    yield count
    handle.remove()


def wrong_types(parameter: inspect.Parameter) -> list[Any]:
    """Values that the annotation does not allow."""
    annotation = str(parameter.annotation)
    kinds = members(BY_NAME.get(parameter.name, "Any") if annotation == "Any" else annotation)
    names = {name_of(k) for k in kinds}
    if names & {"Any", "object", "", "Positions", "Schedule", "Halves"}:
        return []
    lists = [k for k in kinds if name_of(k) in ("Sequence", "Iterable", "list", "tuple")]
    values: list[Any] = [object(), b"bytes"]
    if not names & {"str", "Literal", "Path"}:
        values += ["text", ""]
    if not names & {"int", "float"}:
        values += [3, float("nan")]
    if "bool" not in names:
        values.append(True)
    if "None" not in names and parameter.default is not None:
        values.append(None)
    if not lists and not names & {"ndarray"}:
        values += [["joy"], [1, 2]]
    if lists and all(name_of(i) in ("str", "int", "float", "Site") for k in lists for i in items_of(k)):
        values += [[None], [object()]]
    if lists and not any(name_of(i) in ("str", "Site", "Any", "object", "Hashable", "None") for k in lists for i in items_of(k)):
        values.append(["x"])
    if not names & {"Mapping", "dict"}:
        values.append({"joy": 1})
    if "float" in names:
        values += [float("inf"), -float("inf"), float("nan")]
    if "int" in names and "float" not in names:
        values.append(0.5)
    return values


def wrong_numbers(parameter: inspect.Parameter) -> list[Any]:
    kinds = members(str(parameter.annotation))
    if parameter.name not in RANGES or not ({name_of(k) for k in kinds} & {"int", "float"}):
        return []
    allowed = RANGES[parameter.name]
    return [v for v in (-1, 0, 2) if v not in allowed]


def call(function, given, parameter, value):
    """The call with everything right but one."""
    asked = parameters(function)
    own = function.__name__
    arguments = {
        n: given.get(f"{own}.{n}", given.get(n))
        for n, p in asked.items()
        if p.default is p.empty and n != parameter.name
    }
    if not {"layers", "layer"} & set(arguments) or "judge" in asked:
        arguments |= {n: given[n] for n in EXTRA if n in asked and n != parameter.name}
    if asked.get("judge") and "CoordinateJudge" in str(asked["judge"].annotation):
        arguments.pop("judge", None)
    with contextlib.ExitStack() as stack:
        result = function(**arguments, **{parameter.name: value})
        if hasattr(result, "__enter__"):
            stack.enter_context(result)
    return result


def forms(name):
    """A function, and the simple call of one that takes a setting: with subject and bank in its place."""
    function = getattr(ei, name)
    return [function, *([function.simple] if hasattr(function, "simple") else [])]


def cases():
    for name in FUNCTIONS:
        for form in forms(name):
            for parameter in parameters(form).values():
                yield form, parameter


def label(x):
    return x.name if isinstance(x, inspect.Parameter) else f"{x.__name__}{'' if hasattr(x, 'simple') else '_simple'}"


@pytest.mark.parametrize(("function", "parameter"), cases(), ids=label)
def test_an_argument_of_another_type_or_out_of_range_is_named_before_any_pass(function, parameter, good, passes):
    name = function.__name__
    for value in (*wrong_types(parameter), *wrong_numbers(parameter)):
        with pytest.raises(ei.EmotionInterpError) as caught:
            call(function, good, parameter, value)
        line = str(caught.value)
        assert "\n" not in line and parameter.name in line and name in line, (value, line)
    assert passes == []


@pytest.mark.parametrize(("function", "parameter"), cases(), ids=label)
def test_a_name_that_does_not_exist_is_refused_before_any_pass(function, parameter, good, passes):
    name = function.__name__
    names = {name_of(k) for k in members(str(parameter.annotation))}
    texts = names & {"str", "Literal", "Positions", "Schedule", "ReadAt", "SpaceKind"} or any(
        name_of(i) == "str" for k in members(str(parameter.annotation)) for i in items_of(k)
    )
    if parameter.name in FREE or (name, parameter.name) in NO_NAME or not texts:
        return
    assert parameter.name in NAMES, f"say in NAMES or FREE what is a wrong {parameter.name} of {name}"
    value = NAMES[parameter.name]
    with pytest.raises(ei.EmotionInterpError) as caught:
        call(function, good, parameter, value)
    line = str(caught.value)
    assert str(value[0] if isinstance(value, list) else value) in line and "\n" not in line, line
    assert passes == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_checks_its_arguments(name):
    function = getattr(ei, name)
    assert getattr(function, "__checked__", False)
    with pytest.raises(TypeError):
        function(no_such_argument_at_all=1)


@pytest.mark.parametrize(("owner", "method"), METHODS)
def test_every_public_method_checks_its_arguments(owner, method):
    member = inspect.getattr_static(getattr(ei, owner), method)
    asked = parameters(getattr(member, "__func__", member))
    assert not asked or getattr(getattr(member, "__func__", member), "__checked__", False)


def test_what_is_right_still_passes(good):
    bank = good["bank"]
    assert len(bank.table("joy", layer=np.int64(0), language="en"))
    assert ei.emotion_space(bank, np.int32(0), kind="dense").emotions
    assert bank.direction("joy", 0, "en", "dense").method == "dense"


@pytest.mark.parametrize("name", ["dose_response", "steering_controls", "steering_test", "random_directions"])
def test_random_directions_of_texts_without_texts_are_refused_before_any_pass(name, good, passes):
    function = getattr(ei, name)
    with pytest.raises(ei.EmotionInterpError, match="made of texts: give"):
        call(function, good, parameters(function)["kinds"], ["topics"])
    assert passes == []
