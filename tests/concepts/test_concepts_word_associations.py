"""Word-association files in both layouts of the Small World of Words project, on small made-up tables."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.concepts import ConceptSet, concept_set
from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError

ANSWERS = [
    ("joy", "happy", "smile", "party"),
    ("joy", "happy", "Smile", "NA"),
    ("joy", "laughter", "happy", "heart"),
    ("joy", "smile", "heart", "No more responses"),
    ("love", "heart", "kiss", "smile"),
    ("love", "heart", "kiss", "rose"),
    ("love", "kiss", "NA", "NA"),
    ("table", "chair", "wood", "leg"),
]


def write_raw(path, answers=ANSWERS):
    lines = ['"","participantID","cue","R1","R2","R3"']
    lines += [f'"{i}","{i + 7}",' + ",".join(f'"{a}"' for a in row) for i, row in enumerate(answers)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_strengths(path, responses, answers=ANSWERS):
    counts, totals = Counter(), Counter()
    for cue, *given_answers in answers:
        for answer in given_answers[:1] if responses == "R1" else given_answers:
            if answer not in ("NA", "No more responses"):
                counts[cue, answer.lower()] += 1
                totals[cue] += 1
    lines = [f"cue\tresponse\t{responses}\tN\t{responses}.Strength"]
    lines += [f'"{c}"\t"{r}"\t{n}\t{totals[c]}\t{n / totals[c]}' for (c, r), n in counts.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


CUES = {"joy": ["joy"], "love": ["love"]}


def test_strengths_are_shares_of_all_answers_strongest_first(tmp_path):
    path = write_raw(tmp_path / "raw.csv")
    # joy has ten answers: happy 3, smile 3, heart 2, party 1, laughter 1; ties by spelling
    concepts = ConceptSet.from_word_associations(path, {"joy": "joy"}, "en", min_strength=0)
    assert concepts.words("joy") == ("happy", "smile", "heart", "laughter", "party")
    assert ConceptSet.from_word_associations(path, {"joy": "joy"}, min_strength=0.2).words("joy") == (
        "happy",
        "smile",
        "heart",
    )
    assert ConceptSet.from_word_associations(path, {"joy": "joy"}, min_strength=0.21).words("joy") == ("happy", "smile")


def test_first_answers_alone_can_be_counted(tmp_path):
    concepts = ConceptSet.from_word_associations(write_raw(tmp_path / "raw.csv"), CUES, responses="R1")
    assert concepts.words("joy") == ("happy", "laughter", "smile")
    assert concepts.words("love") == ("heart", "kiss")


@pytest.mark.parametrize("responses", ["R1", "R123"])
@pytest.mark.parametrize("overlap", ["drop", "keep", "strongest"])
@pytest.mark.parametrize("min_strength", [0.0, 0.1])
def test_both_layouts_give_the_same_set(tmp_path, responses, overlap, min_strength):
    raw = write_raw(tmp_path / "raw.csv")
    table = write_strengths(tmp_path / "strength.csv", responses)
    rules = {"responses": responses, "overlap": overlap, "min_strength": min_strength}
    assert ConceptSet.from_word_associations(raw, CUES, **rules) == ConceptSet.from_word_associations(
        table, CUES, **rules
    )


def test_overlap_rules(tmp_path):
    path = write_raw(tmp_path / "raw.csv")

    def words(overlap):
        concepts = ConceptSet.from_word_associations(path, CUES, overlap=overlap)
        return {e: set(concepts.words(e)) for e in concepts.emotions}, concepts

    # heart: joy 2/10, love 2/7; smile: joy 3/10, love 1/7
    assert words("drop")[0] == {"joy": {"happy", "laughter", "party"}, "love": {"kiss", "rose"}}
    assert words("strongest")[0] == {
        "joy": {"happy", "laughter", "party", "smile"},
        "love": {"kiss", "rose", "heart"},
    }
    kept, concepts = words("keep")
    assert kept["joy"] & kept["love"] == {"heart", "smile"}
    assert concepts.concept("joy").shared == ("heart", "smile") == concepts.concept("love").shared


def test_a_tie_for_the_strongest_belongs_to_nobody(tmp_path):
    rows = [("joy", "a", "b", "tie"), ("love", "c", "d", "tie")]
    concepts = ConceptSet.from_word_associations(write_raw(tmp_path / "raw.csv", rows), CUES, overlap="strongest")
    assert "tie" not in concepts.words("joy") + concepts.words("love")


def test_several_cues_are_pooled_over_all_their_answers(tmp_path):
    path = write_raw(tmp_path / "raw.csv")
    # joy and love together have 17 answers; kiss 3, laughter 1
    concepts = ConceptSet.from_word_associations(path, {"warm": ["joy", "LOVE"]}, min_strength=3 / 17)
    assert concepts.words("warm") == ("heart", "smile", "happy", "kiss")


def test_cues_default_to_the_shipped_labels(tmp_path):
    concepts = concept_set("zh")
    rows = [(concepts.label(e), f"{e}一", f"{e}二", f"{e}三") for e in concepts.emotions]
    found = ConceptSet.from_word_associations(write_raw(tmp_path / "zh.csv", rows), language="zh")
    assert found.emotions == concepts.emotions
    assert found.label("anger") == "愤怒"
    assert found.siblings("joy") == concepts.siblings("joy")
    assert found.templates() == concepts.templates()
    assert found.neutral() == ()
    with pytest.raises(EmotionInterpError, match="no labels are shipped for 'nl'"):
        ConceptSet.from_word_associations(tmp_path / "zh.csv", language="nl")


def test_missing_cues_are_all_named(tmp_path):
    with pytest.raises(EmotionInterpError, match="no answers to the cues 'awe', 'glee'"):
        ConceptSet.from_word_associations(write_raw(tmp_path / "raw.csv"), {"joy": ["joy", "glee"], "awe": "awe"})


def test_too_few_words_left_says_what_to_change(tmp_path):
    with pytest.raises(EmotionInterpError, match=r"fewer than two words are left for joy, love.*Lower min_strength"):
        ConceptSet.from_word_associations(write_raw(tmp_path / "raw.csv"), CUES, min_strength=0.9)


def test_foreign_tables_and_options_are_refused(tmp_path):
    table = write_strengths(tmp_path / "r1.csv", "R1")
    with pytest.raises(FileFormatError, match="Needed for responses='R123'"):
        ConceptSet.from_word_associations(table, CUES, responses="R123")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(FileFormatError, match="has the columns a, b"):
        ConceptSet.from_word_associations(tmp_path / "x.csv", CUES)
    (tmp_path / "y.tsv").write_text("cue\tresponse\tR1\tN\njoy\thappy\tmany\t4\n", encoding="utf-8")
    with pytest.raises(FileFormatError, match="line 2: R1 and N are counts, got 'many'"):
        ConceptSet.from_word_associations(tmp_path / "y.tsv", CUES, responses="R1")
    with pytest.raises(UnknownNameError):
        ConceptSet.from_word_associations(table, CUES, responses="R2")
    with pytest.raises(UnknownNameError):
        ConceptSet.from_word_associations(table, CUES, overlap="first")
    with pytest.raises(EmotionInterpError, match="from 0 to 1"):
        ConceptSet.from_word_associations(table, CUES, min_strength=5)


@settings(max_examples=25, deadline=None)
@given(
    answers=st.lists(
        st.tuples(st.sampled_from(["joy", "love"]), *[st.sampled_from(["a", "b", "c", "d", "NA"])] * 3), min_size=3
    ),
    min_strength=st.sampled_from([0.0, 0.1, 0.3]),
)
def test_any_raw_table_gives_the_words_a_plain_count_gives(tmp_path_factory, answers, min_strength):
    path = write_raw(tmp_path_factory.mktemp("swow") / "raw.csv", answers)
    expected = {}
    for cue in ("joy", "love"):
        given_answers = [a for c, *row in answers if c == cue for a in row if a != "NA"]
        counts = Counter(given_answers)
        expected[cue] = {w for w, n in counts.items() if n / len(given_answers) >= min_strength}
    try:
        concepts = ConceptSet.from_word_associations(path, CUES, min_strength=min_strength, overlap="keep")
    except EmotionInterpError:
        assert any(len(words) < 2 for words in expected.values())
        return
    assert {e: set(concepts.words(e)) for e in concepts.emotions} == expected
