"""Joiners, marks and scripts that run to the left are spelling; control and invisible characters are not."""

from __future__ import annotations

import pytest

import emotion_interp as ei
from emotion_interp.concepts.model import ConceptWord
from emotion_interp.core import EmotionInterpError
from emotion_interp.core.errors import FileFormatError
from emotion_interp.core.spelling import as_text, clings, stray_character
from emotion_interp.report.tokens import display_units

SPELLING = {
    "Persian non-joiner": "دل\u200cشکسته",
    "Persian verb": "می\u200cخواهم",
    "Hindi conjunct": "क्\u200dष",
    "Malayalam chillu at the end": "അവന്\u200d",
    "family": "👨\u200d👩\u200d👧",
    "heart on fire": "❤\ufe0f\u200d🔥",
    "astronaut": "👩🏽\u200d🚀",
    "keycap": "1\ufe0f\u20e3",
    "flag": "🇬🇧",
    "flag of tags": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "a newer emoji": "\U0001fae8",
    "Hebrew with points": "שִׂמְחָה",
    "Arabic with marks": "حُزْن",
    "decomposed": "joie de\u0301bordante",
    "ideographic variant": "葛\U000e0100",
    "Vietnamese": "hạnh phu\u0301c",
}
JUNK = {
    "zero-width space": "joy\u200b",
    "byte-order mark": "\ufeffjoy",
    "soft hyphen": "hap\u00adpy",
    "mark of direction": "joy\u200f",
    "override": "joy\u202e",
    "isolate": "\u2066joy",
    "bell": "joy\x07",
    "null": "jo\x00y",
    "escape": "\x1b[31mjoy",
    "delete": "joy\x7f",
    "joiner at the start": "\u200djoy",
    "joiner at the end": "joy\u200d",
    "non-joiner twice": "a\u200c\u200cb",
    "a joiner alone": "\u200c",
    "variation selector alone": "\ufe0f",
    "variation selector twice": "❤\ufe0f\ufe0f",
    "filler": "\u3164",
    "empty Braille": "joy\u2800",
    "tag without a flag": "joy\U000e0067",
    "private use": "joy\ue000",
}


@pytest.mark.parametrize("word", SPELLING.values(), ids=SPELLING)
def test_what_is_spelling_is_accepted_as_a_concept_word_and_as_a_stimulus(word, tmp_path):
    assert stray_character(word) is None
    assert ConceptWord(word, "joy.x").word == word
    path = tmp_path / "own.csv"
    path.write_text(f"emotion,word\njoy,{word}\njoy,glad\nfear,scared\nfear,afraid\n", encoding="utf-8")
    concepts = ei.ConceptSet.from_csv(path, language="en")
    texts = [s for s in concepts.stimuli() if s.word == word]
    assert texts and all(s.text[s.span[0] : s.span[1]] == word for s in texts)


@pytest.mark.parametrize("word", JUNK.values(), ids=JUNK)
def test_control_and_invisible_characters_are_refused_and_named(word):
    with pytest.raises(EmotionInterpError, match="control or invisible"):
        ConceptWord(word, "joy.x")


def test_stray_whitespace_is_still_refused():
    for word in (" joy", "joy ", "of  course", "a\u00a0b", "a\tb"):
        with pytest.raises(EmotionInterpError, match="whitespace"):
            ConceptWord(word, "joy.x")


@pytest.mark.parametrize("word", SPELLING.values(), ids=SPELLING)
def test_norms_find_a_word_with_joiners_and_marks(word):
    import pandas as pd

    table = pd.DataFrame({"word": [word, "sad"], "valence": [8.0, 2.0], "arousal": [5.0, 4.0]})
    norms = ei.Norms("own", "en", table, (1.0, 9.0))
    assert norms.matched([word, "x"]) == [word]


@pytest.mark.parametrize(
    "name", ["heart on fire", "astronaut", "family", "flag", "Persian verb", "Hebrew with points", "decomposed"]
)
def test_a_token_view_shows_marks_and_joiners_with_what_they_belong_to(name):
    """Tokens of one character each, as a byte-level tokenizer gives them: no unit begins with half a sign."""
    word = SPELLING[name]
    text = f"a {word} b"
    units = display_units(text, [(i, i + 1) for i in range(len(text))])
    assert "".join(text[a:b] for a, b, _ in units) == text
    assert sorted(i for _, _, members in units for i in members) == list(range(len(text)))
    assert not any(clings(text, start) for start, _, _ in units)
    if name in ("heart on fire", "astronaut", "family", "flag"):
        assert [text[a:b] for a, b, _ in units] == ["a", " ", word, " ", "b"]


def test_a_trace_of_emoji_and_persian_covers_the_text(tiny_subject, tiny_bank):
    text = "دل\u200cشکسته ❤\ufe0f\u200d🔥 joy"
    assert "".join(ei.emotion_trace(tiny_subject, text, tiny_bank, language="en").tokens) == text


@pytest.mark.parametrize("value", [None, 3, ["a"], float("nan"), True])
def test_null_is_no_text(value):
    with pytest.raises(FileFormatError, match=r"x\.jsonl, line 3: the text is"):
        as_text(value, "x.jsonl, line 3")
    with pytest.raises(FileFormatError, match="is empty"):
        as_text("  ", "x.jsonl, line 3")
