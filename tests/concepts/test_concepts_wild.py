"""Concept tables, word associations and labelled texts as people have them; copies of a text stand on one side."""

from __future__ import annotations

import warnings

import pytest

from emotion_interp.concepts import ConceptSet, concept_set, corpus_stimuli, labelled_stimuli
from emotion_interp.concepts.splits import copies_together, same_text
from emotion_interp.core import EmotionInterpError, FileFormatError, Stimulus


def write(folder, text: str, name: str = "own.csv", encoding: str = "utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


# -- word associations -------------------------------------------------------------------------------------------------
def test_strength_tables_without_quoting_keep_every_associate(tmp_path):
    rows = [
        'joy\t"happy\t30\t100\t.3',
        'joy\t5" nail\t20\t100\t.2',
        "joy\tsmile\t10\t100\t.1",
        'joy\tsun"\t5\t100\t.05',
    ]
    path = write(tmp_path, "cue\tresponse\tR123\tN\tR123.Strength\n" + "\n".join(rows) + "\n")
    concepts = ConceptSet.from_word_associations(path, {"joy": "joy"}, min_strength=0)
    assert concepts.words("joy") == ('"happy', '5" nail', "smile", 'sun"')


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_both_layouts_are_read_with_any_separator(tmp_path, separator, encoding):
    text = "cue,R1,R2,R3,\njoy,sun,smile,NA,\njoy,sun,NA,NA,\n"
    path = write(tmp_path, text.replace(",", separator), encoding=encoding)
    assert ConceptSet.from_word_associations(path, {"joy": "joy"}, min_strength=0).words("joy") == ("sun", "smile")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("joy\tsun\tmoon\t3\t10", "line 2: 5 cells where the header has 4"),
        ("joy\tsun\t3", "line 2: the N is empty"),
        ("joy\tsun\t30\t10", "line 2: R123 and N are counts"),
        ("joy\tsun\t-3\t10", "line 2: R123 and N are counts"),
        ("joy\tsun\t2.5\t10", "line 2: R123 and N are counts"),
        ("joy\tsun\tnan\t10", "line 2: R123 and N are counts"),
        ("joy\tsun\t3\tinf", "line 2: R123 and N are counts"),
    ],
)
def test_rows_of_associations_that_cannot_be_are_refused(tmp_path, row, message):
    path = write(tmp_path, f"cue\tresponse\tR123\tN\n{row}\n")
    with pytest.raises(FileFormatError, match=message):
        ConceptSet.from_word_associations(path, {"joy": "joy"})
    twice = write(tmp_path, "cue\tCue\tresponse\tR123\tN\njoy\tjoy\tsun\t1\t2\n")
    with pytest.raises(FileFormatError, match="2 columns for 'cue'"):
        ConceptSet.from_word_associations(twice, {"joy": "joy"})


# -- concept tables ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["emotion;word;\njoy;sun;\njoy;smile;\n", "Emotion,Word,\njoy,sun,\njoy,smile,\n"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_concept_tables_of_spreadsheets_are_read(tmp_path, text, encoding):
    assert ConceptSet.from_csv(write(tmp_path, text, encoding=encoding), "en").words("joy") == ("sun", "smile")


def test_concept_tables_that_would_shift_are_refused(tmp_path):
    for text, message in (
        ("emotion,word\njoy,sun, moon\njoy,smile\n", "line 2: 3 cells"),
        ("emotion,word,Word\njoy,sun,moon\njoy,smile,laugh\n", "2 columns for 'word'"),
    ):
        with pytest.raises(FileFormatError, match=message):
            ConceptSet.from_csv(write(tmp_path, text), "en")
    with pytest.raises(FileFormatError, match="nested too deeply"):
        ConceptSet.from_toml(write(tmp_path, "a = " + "[" * 100_000, "deep.toml"))


# -- labelled texts ----------------------------------------------------------------------------------------------------
def test_a_comma_in_a_text_without_quotes_is_never_taken_for_a_label(tmp_path):
    for text, message in (
        ("text,emotion\nI am well, thanks,joy\n", "line 2: 3 cells"),
        (
            "text,emotion,group\nfine,joy,a\nI am well, thanks,joy\n",
            "line 3: the emotion ' thanks' begins",
        ),
        ("emotion,text,group\njoy,Hello, world\nfear,x,g\n", "line 2: the group ' world' begins"),
        ("text,emotion,language\na,joy,en\nb,fear,\n", "line 3: the language is empty"),
        ("text,emotion,text\na,joy,b\n", "2 columns for 'text'"),
    ):
        with pytest.raises(FileFormatError, match=message):
            corpus_stimuli(write(tmp_path, text), "en")


def test_an_empty_group_is_nobodys(tmp_path):
    got = corpus_stimuli(write(tmp_path, "text,emotion,group\na,joy,\nb,joy, \nc,fear,\nd,fear,x\ne,joy,x\n"), "en")
    groups = [s.group for s in got]
    assert len(set(groups[:3])) == 3 and groups[3] == groups[4] == "x" and "x" not in groups[:3]
    own = labelled_stimuli(["a", "b", "c", "d"], ["joy"] * 4, groups=[None, float("nan"), "", "g"])
    assert len({s.group for s in own}) == 4


COPIES = ["So glad!", "so  glad", "SO GLAD...", "\uff33\uff4f glad", "\u201cSo glad\u201d", "so-glad"]


def test_near_copies_of_a_text_stand_on_one_side(tmp_path):
    assert len({same_text(text) for text in COPIES}) == 1
    assert same_text("\u5feb\u6a02\uff01") == same_text("\u5feb\u6a02") != same_text("\u60b2\u50b7")
    assert (
        len({same_text(t) for t in ("so glad", "so glad 2", "so mad", "!", "?", "\U0001f600", "se\u00f1al", "senal")})
        == 8
    )
    texts = [*COPIES, "other", "more"]
    for groups in (None, [f"g{k}" for k in range(8)]):
        got = labelled_stimuli(texts, ["joy"] * 8, groups=groups)
        assert len({s.group for s in got[:6]}) == 1 and len({s.group for s in got}) == 3
    # groups that share a copy are one, also by way of a third
    assert copies_together(["a", "b", "B!", "c", "C", "d"], ["x", "x", "y", "y", "z", "w"]) == ["x"] * 5 + ["w"]
    path = write(tmp_path, "text,emotion\n" + "\n".join(f'"{t}",joy' for t in texts) + "\n")
    assert len({s.group for s in corpus_stimuli(path, "en")}) == 3


def test_features_split_texts_of_ones_own_with_their_copies_together():
    from emotion_interp.features.design import design_stimuli

    def texts(group):
        return [
            Stimulus(text, (0, len(text)), emotion, f"t{k} {emotion}", "text", "en", group(k))
            for emotion in ("joy", "fear")
            for k, text in enumerate(f"{emotion} {'Text ' if k % 2 else 'text'}{k // 2}" for k in range(20))
        ]

    for group in (lambda k: f"g{k}", lambda k: ""):
        words = design_stimuli(concept_set("en"), texts(group), 0).words
        pairs = words.groupby(["emotion", words["word"].str.extract(r"t(\d+)")[0].astype(int) // 2])["side"].nunique()
        assert (pairs == 1).all() and set(words["side"]) == {"discovery", "confirmation"}


def test_damaged_public_files_are_named(tmp_path):
    folder = tmp_path / "labelled" / "goemotions"
    folder.mkdir(parents=True)
    (folder / "labels.txt").write_text("joy\nneutral\n")
    write(folder, "good\t0\ta\nno label\n", "test.tsv")
    with pytest.raises(FileFormatError, match=r"test\.tsv, line 2"):
        corpus_stimuli("goemotions", data=tmp_path)
    write(folder, "good\t7\ta\n", "test.tsv")
    with pytest.raises(FileFormatError, match=r"test\.tsv, line 1"):
        corpus_stimuli("goemotions", data=tmp_path)
    (tmp_path / "corpora").mkdir()
    stories = tmp_path / "corpora" / "emotion_stories.jsonl.gz"
    stories.write_bytes(b"no gzip")
    with pytest.raises(FileFormatError, match="gzip"):
        corpus_stimuli("stories", data=tmp_path)
    with warnings.catch_warnings(), pytest.raises(EmotionInterpError, match="strings|list of texts"):
        labelled_stimuli(["a", None], ["joy", "fear"])
