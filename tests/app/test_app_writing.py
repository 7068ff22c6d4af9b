"""Steered beside unsteered: what streams is what the package generates, one writing at a time, and it can be stopped."""

from __future__ import annotations

import contextlib
import io
import math
import threading
import time

import pytest

import emotion_interp as ei
from emotion_interp.app.asked import ReadFeature, ReadText, Write
from emotion_interp.app.snippets import Origin, card_code, reading_code, writing_code
from emotion_interp.app.writing import directions_of

SITE = "blocks.1.hook_resid_post"
ASKED = {
    "prompt": "She said",
    "emotions": ["joy"],
    "site": SITE,
    "method": "dense",
    "dose": 3.0,
    "max_new_tokens": 12,
    "seed": 5,
}
DRAWN = {"max_new_tokens": 12, "do_sample": True, "temperature": 0.8, "seed": 5}


def writers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "writing"]


def finished(seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while writers() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not writers()


@pytest.fixture
def passes(tiny_subject):
    """Makes the model slow, and counts its passes."""
    seen = []

    def slow(activations, hook=None):
        del activations, hook
        seen.append(1)
        time.sleep(0.05)

    point = tiny_subject.model.hook_dict["blocks.0.hook_resid_post"]
    point.add_hook(slow, is_permanent=True)
    yield seen
    point.remove_hooks(including_permanent=True)


LONG = ASKED | {"max_new_tokens": 50, "prompt": "joy", "seed": 3}


def test_both_texts_are_those_that_the_package_writes(live, tiny_subject, tiny_bank):
    events = list(live.events(ASKED))
    assert events[0][0] == "begun" and events[-1][0] == "done"
    assert {name for name, _ in events[1:-1]} == {"piece"}
    plain = tiny_subject.generate("She said", **DRAWN)
    with ei.steer(tiny_subject, tiny_bank.direction("joy", layer=SITE, method="dense"), dose=3.0):
        steered = tiny_subject.generate("She said", **DRAWN)
    assert events[-1][1]["texts"] == [plain, steered] and plain != steered
    for row, text in enumerate((plain, steered)):
        assert "She said" + "".join(e["text"] for name, e in events if name == "piece" and e["row"] == row) == text


def test_the_dose_is_shared_among_emotions_and_grows_with_the_distance_of_a_point(tiny_bank):
    directions, doses = directions_of(
        tiny_bank, Write(prompt="a", emotions=["joy", "fear"], site=SITE, method="dense", dose=0.6)
    )
    assert [d.name for d in directions] == ["joy", "fear"] and doses == [0.3, 0.3]


def test_a_point_is_steered_to_by_the_dial():
    subject = ei.load_subject()
    bank = ei.shipped_bank(subject)
    asked = Write(prompt="a", valence=-3.0, arousal=4.0, site="blocks.2.hook_resid_post", method="dense", dose=0.2)
    (made,), (dose,) = directions_of(bank, asked)
    wanted = ei.dial(bank, -3.0, 4.0, "blocks.2.hook_resid_post", method="dense")
    assert made.vector.tolist() == wanted.vector.tolist()
    assert math.isclose(dose, 1.0)


@pytest.mark.parametrize(
    "more", [{}, {"emotions": ["joy", "fear"], "dose": 2.0}, {"do_sample": False, "positions": "all"}]
)
def test_the_copied_code_writes_what_the_page_wrote(live, tiny_subject, tiny_bank, more):
    events = list(live.events(ASKED | more))
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(events[0][1]["python"], {"subject": tiny_subject, "bank": tiny_bank})
    assert said.getvalue() == "\n".join(events[-1][1]["texts"]) + "\n"


def test_copied_code_says_where_subject_and_bank_came_from(tiny_subject, tiny_bank):
    origin = Origin("ei.load_subject('tiny')", "ei.shipped_bank(subject)")
    asked = Write(prompt='He said "no"\n', valence=1.0, arousal=-1.0, site=SITE, language="en")
    for code in (
        writing_code(origin, asked, [0.5]),
        reading_code(origin, ReadText(text="'''\\", language="en"), SITE),
        card_code(origin, ReadFeature(site=SITE, feature=3)),
    ):
        compile(code, "copied", "exec")
        assert code.startswith(
            "import emotion_interp as ei\n\nsubject = ei.load_subject('tiny')\nbank = ei.shipped_bank(subject)\n"
        )
    assert "# subject" in card_code(Origin(), ReadFeature(site=SITE))
    # code of a reading runs on objects that are there
    names = {"subject": tiny_subject, "bank": tiny_bank}
    exec(reading_code(Origin(), ReadText(text="She felt joy.", language="en"), SITE), names)
    assert names["trace"].language == "en"


def test_a_whole_writing_takes_a_pass_for_each_token(live, passes):
    assert list(live.events(LONG))[-1][1]["stopped"] is False
    assert len(passes) >= 50


def test_a_browser_that_goes_away_ends_the_writing(live, passes):
    stream = live.events(LONG)
    assert [next(stream)[0] for _ in range(2)] == ["begun", "piece"]
    stream.close()
    assert finished() and len(passes) < 50


def test_a_new_writing_stops_the_one_before(live, passes):
    first = live.events(LONG)
    assert [next(first)[0] for _ in range(2)] == ["begun", "piece"]
    second = list(live.events(ASKED))
    assert list(first)[-1][1]["stopped"] is True
    assert second[-1][1]["stopped"] is False
    assert finished() and len(passes) < 100


def test_stop_ends_the_writing_and_says_so(live, passes):
    stream = live.events(LONG)
    assert [next(stream)[0] for _ in range(2)] == ["begun", "piece"]
    assert live.ask("stop", {}) == (200, {"stopped": True})
    name, value = list(stream)[-1]
    assert name == "done" and value["stopped"] is True and value["texts"][1].startswith("joy")
    assert finished() and len(passes) < 50
    assert live.ask("stop", {}) == (200, {"stopped": False})


def test_steering_leaves_the_subject_as_it_was(live, tiny_subject):
    before = tiny_subject.generate("She said", max_new_tokens=8)
    list(live.events(ASKED))
    assert tiny_subject.generate("She said", max_new_tokens=8) == before


def test_a_prompt_too_long_is_said_in_the_stream(live):
    name, value = list(live.events(ASKED | {"prompt": "joy " * 62}))[-1]
    assert name == "failed" and "context" in value["error"]
