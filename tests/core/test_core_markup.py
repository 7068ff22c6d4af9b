"""The one way by which names become HTML, labels and terminal text."""

from __future__ import annotations

import pandas as pd
import pytest

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.core.markup import clean, escaped, fragment, frame_html, joined, named, picture_label, summary_html

HOSTILE = "<img src=x onerror=alert(1)></script>\"'&\x1b[31m\x07\u202ejoy\u2066"


def test_controls_and_marks_that_reorder_go_and_spelling_stays():
    assert clean("joy\x00\x1b[2J\x9b\u202e\u2067\ufeff\ud800") == "joy[2J"
    for spelt in (
        "می\u200cخواهم",
        "👩\u200d👩\u200d👧",
        "क्\u200dष",
        "e\u0301",
        "שלום\u200f",
        "a\tb\nc",
        "ゆううつ",
        "🏴\U000e0067\U000e007f",
    ):
        assert clean(spelt) == spelt
    assert named("a\u202eb") == "a⟨U+202E⟩b"


def test_what_is_escaped_reads_as_the_text_does_in_an_element_and_in_an_attribute():
    text = str(escaped(HOSTILE))
    assert not set("<>\"'") & set(text) and "\x1b" not in text and "\u202e" not in text
    assert escaped(escaped("<b>")) == escaped("<b>")
    assert fragment('<p title="{}">{x}</p>', '"', x="<") == '<p title="&#34;">&lt;</p>'
    assert joined([fragment("<b>{}</b>", 1), "<i>"]) == "<b>1</b>&lt;i&gt;"


def test_a_picture_label_is_no_link_and_no_template():
    label = picture_label('<a href="javascript:alert(1)">joy</a> %{y} $x$')
    assert "<" not in label and "%{" not in label


@pytest.mark.parametrize("index", [False, True])
def test_every_text_of_a_table_is_escaped_names_of_columns_and_rows_too(index):
    frame = pd.DataFrame({HOSTILE: [1.23456, None], "lists": [[HOSTILE], {"a": HOSTILE}], "text": [HOSTILE, None]})
    frame.index = pd.Index([HOSTILE, "b"], name=HOSTILE)
    shown = frame_html(frame, digits=2, index=index)
    assert "<img" not in shown and "\x1b" not in shown and "\u202e" not in shown and "</script" not in shown
    assert "1.23" in shown and "1.2346" not in shown
    both = pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([(HOSTILE, "b")], names=[HOSTILE, None]))
    assert "<img" not in frame_html(both, index=True)
    twice = pd.DataFrame([[HOSTILE, "<b>"]], columns=["a", "a"])
    assert "<img" not in frame_html(twice) and "<b>" not in frame_html(twice)
    assert "<img" not in summary_html(HOSTILE, frame)


def test_a_long_table_is_cut_for_the_eye():
    shown = frame_html(pd.DataFrame({"a": range(10_000)}))
    assert len(shown) < 20_000 and "10000 rows" in shown


def test_an_error_carries_no_control_characters_to_the_terminal():
    for error in (EmotionInterpError(f"no {HOSTILE}"), UnknownNameError("emotion", HOSTILE, [HOSTILE])):
        assert "\x1b" not in str(error) and "\u202e" not in str(error) and "\x07" not in str(error)
