"""Concept files: round trips, and clear words about broken ones."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.concepts import Concept, ConceptSet, ConceptWord, concept_set
from emotion_interp.concepts.model import LanguageConcepts, same_word
from emotion_interp.core import FileFormatError
from emotion_interp.core.spelling import stray_character

# a variation selector with no character before it is refused
NAME = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8).filter(
    lambda name: stray_character(name) is None
)


@st.composite
def concept_sets(draw):
    parts = []
    for language in draw(st.lists(NAME, min_size=1, max_size=2, unique=True)):
        pool = draw(st.lists(NAME, min_size=6, max_size=9, unique_by=same_word))
        entries = [ConceptWord(w, draw(NAME), draw(st.sampled_from([w, "lemma"]))) for w in pool]
        names = draw(st.lists(NAME.filter(lambda n: n != "neutral"), min_size=2, max_size=2, unique=True))
        first = Concept(names[0], draw(NAME), tuple(entries[:2]), siblings=(names[1],))
        second = Concept(names[1], draw(NAME), (*entries[2:4],))
        if draw(st.booleans()):
            first = Concept(first.emotion, first.label, (*first.words, entries[4]), first.siblings, (pool[4],))
            second = Concept(second.emotion, second.label, (*second.words, entries[4]), (), (pool[4],))
        neutral = tuple(entries[5:]) if len(entries) > 6 else ()
        text = draw(st.text(st.characters(exclude_categories=("Cs",)), max_size=9).filter(lambda t: "{" not in t))
        templates = ((draw(NAME), text + "{word}"),)
        parts.append(LanguageConcepts(language, (first, second), neutral, templates))
    return ConceptSet(tuple(parts))


@settings(max_examples=25, deadline=None)
@given(concept_sets())
def test_any_set_comes_back_from_toml_as_it_was(concepts):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.toml"
        concepts.to_toml(path)
        back = ConceptSet.from_toml(path)
    assert back == concepts
    assert back.sha256 == concepts.sha256


@pytest.mark.parametrize("languages", [("en",), ("zh",), ("en", "zh")])
def test_shipped_sets_come_back_from_toml_with_one_word_per_line(tmp_path, languages):
    concepts = (concept_set("en") | concept_set("zh")).subset(languages=languages)
    concepts.to_toml(tmp_path / "set.toml")
    assert ConceptSet.from_toml(tmp_path / "set.toml") == concepts
    lines = (tmp_path / "set.toml").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("  {w = ") for line in lines) == len(concepts.to_frame())


def test_shipped_sets_come_back_from_a_csv_of_their_frame(tmp_path):
    concepts = concept_set("en") | concept_set("zh")
    concepts.to_frame().to_csv(tmp_path / "set.csv", index=False)
    assert ConceptSet.from_csv(tmp_path / "set.csv") == concepts
    assert ConceptSet.from_csv(tmp_path / "set.csv", language="zh") == concept_set("zh")


def test_a_short_toml_takes_plain_words_and_the_shipped_templates(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('language = "en"\n[emotions.joy]\nwords = ["smile", {w = "party"}]\n', encoding="utf-8")
    concepts = ConceptSet.from_toml(path)
    assert concepts.words("joy") == ("smile", "party")
    assert [w.id for w in concepts.concept("joy").words] == ["joy.smile", "joy.party"]
    assert concepts.label("joy") == "joy"
    assert concepts.neutral() == ()
    assert concepts.templates() == concept_set("en").templates()
    path.write_text('language = "eo"\n[emotions.joy]\nwords = ["rido", "festo"]\n', encoding="utf-8")
    assert ConceptSet.from_toml(path).templates() == {"t0": "{word}"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("language = ", "not readable TOML"),
        ("[emotions.joy]\nwords = ['a', 'b']", "names no language"),
        ("language = 'en'", "no emotions"),
        ("language = 'en'\n[emotions.joy]\nlabel = 'joy'", "'joy' has no words"),
        ("language = 'en'\n[emotions.joy]\nwords = ['a']", "only 'a'"),
        ("language = 'en'\n[emotions.joy]\nwords = ['a', 'a']", "more than once: 'a'"),
        ("language = 'en'\n[emotions.joy]\nwords = ['a', ' b']", "' b' has stray whitespace"),
        ("language = 'en'\n[emotions.joy]\nwords = ['a', '']", "is empty"),
        ("language = 'en'\n[emotions.joy]\nwords = ['a', 3]", "a word of 'joy' is a table"),
        ("language = 'en'\n[emotions.joy]\nwords = ['a', {w = 3}]", "is text, got 3"),
        ("language = 'en'\n[emotions.joy]\nwords = ['a', {id = 'x'}]", "has no w"),
        ("language = 'en'\n[emotions.joy]\nwords = 'a'", "are a list"),
        ("language = 'en'\n[emotions.joy]\nwords = ['a', 'b']\nsiblings = ['awe']", "sibling of 'joy' 'awe'"),
        ("language = 'en'\n[emotions.joy]\nwords = ['a', 'b']\nsiblings = 'awe'", "list of names"),
        ("language = 'en'\n[emotions.joy]\nword = ['a', 'b']", "Did you mean 'words'"),
        ("language = 'en'\nemotions = []", "'emotions' are tables"),
        ("language = 'en'\n[templates]\nt0 = 'x'\n[emotions.joy]\nwords = ['a', 'b']", "exactly one {word} slot"),
        ("language = 'en'\ntemplates = 3\n[emotions.joy]\nwords = ['a', 'b']", "'templates' is a table"),
        ("language = 'en'\n[emotion.joy]\nwords = ['a', 'b']", "Did you mean 'emotions'"),
        ("language = 5\n[emotions.joy]\nwords = ['a', 'b']", "a language is text"),
        ("format = 2\nlanguage = 'en'", "format 2; this version reads format 1"),
        ("languages = 3", "'languages' holds tables"),
        ("language = 'en'\n[emotions.joy]\nwords = ['a', 'b']\n[emotions.awe]\nwords = ['c', 'a']", "several emotions"),
    ],
)
def test_broken_toml_is_refused_naming_file_and_fault(tmp_path, text, message):
    path = tmp_path / "broken.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"broken\.toml") as caught:
        ConceptSet.from_toml(path)
    assert message in str(caught.value)


def test_missing_and_undecodable_files_are_refused(tmp_path):
    for read in (ConceptSet.from_toml, ConceptSet.from_csv, ConceptSet.from_word_associations):
        with pytest.raises(FileFormatError, match="does not exist"):
            read(tmp_path / "none")
        (tmp_path / "latin").write_bytes(b"emotion,word,cue,R1,R2,R3\njoy,\xff\xfe,joy,\xff,a,b\n")
        with pytest.raises(FileFormatError, match=r"not (a )?readable"):
            read(tmp_path / "latin")
        with pytest.raises(FileFormatError, match=r"not (a )?readable"):
            read(tmp_path)


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_with_only_the_needed_columns(tmp_path, separator, encoding):
    rows = [
        "emotion,word",
        "joy,smile",
        "joy,party",
        "excitement,race",
        "excitement,jump",
        "neutral,chair",
        "neutral,door",
    ]
    (tmp_path / "set.csv").write_text("\n".join(r.replace(",", separator) for r in rows), encoding=encoding)
    concepts = ConceptSet.from_csv(tmp_path / "set.csv", language="en")
    assert concepts.words("joy") == ("smile", "party")
    assert concepts.neutral() == ("chair", "door")
    assert concepts.siblings("joy") == ("excitement",)
    assert ConceptSet.from_csv(tmp_path / "set.csv", language="en", siblings={}).siblings("joy") == ()
    assert ConceptSet.from_csv(tmp_path / "set.csv", language="en", templates={"x": "so {word}"}).templates() == {
        "x": "so {word}"
    }


@pytest.mark.parametrize(
    ("text", "language", "message"),
    [
        ("emotion,text\njoy,smile", "en", "no column word; its columns are emotion, text"),
        ("", "en", "no column emotion or word"),
        ("emotion,word\n", "en", "no rows"),
        ("emotion,word\njoy,smile\njoy,party", None, "line 2 names no language"),
        ("emotion,word\njoy,smile\njoy, party", "en", "line 3: the word ' party' has stray whitespace"),
        ("emotion,word\njoy,smile\njoy", "en", "line 3: the word is empty"),
        ("emotion,word\njoy,smile\njoy,smile", "en", "more than once"),
        ("emotion,word\njoy,smile\njoy,a\nawe,smile\nawe,b", "en", "several emotions"),
        ("emotion,word,language\njoy,smile,en\njoy,a,en", "zh", "unknown language of the table 'zh'"),
    ],
)
def test_broken_csv_is_refused_naming_file_and_fault(tmp_path, text, language, message):
    (tmp_path / "broken.csv").write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"broken\.csv") as caught:
        ConceptSet.from_csv(tmp_path / "broken.csv", language=language)
    assert message in str(caught.value)


def test_csv_words_of_two_emotions_pass_when_declared(tmp_path):
    (tmp_path / "set.csv").write_text("emotion,word\njoy,smile\njoy,a\nawe,smile\nawe,b", encoding="utf-8")
    concepts = ConceptSet.from_csv(tmp_path / "set.csv", language="en", shared=["smile"])
    assert concepts.concept("joy").shared == ("smile",) == concepts.concept("awe").shared


def test_a_language_with_a_stray_separator_is_refused_with_its_line(tmp_path):
    path = tmp_path / "set.csv"
    path.write_text('emotion,word,language\njoy,smile,en\njoy,party,"en,"\n', encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"line 3: 'en,' is no code of a language"):
        ConceptSet.from_csv(path)
