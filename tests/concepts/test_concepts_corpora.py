"""Labelled corpora and a user's CSV as stimuli."""

import gzip
import json
from collections import Counter

import pytest

from emotion_interp.concepts import corpus_stimuli, labelled_stimuli
from emotion_interp.concepts.corpora import STORY_NAMES
from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError


@pytest.fixture
def data(tmp_path):
    """A data folder in the layout of the public files."""
    folder = tmp_path / "data"
    (folder / "corpora").mkdir(parents=True)
    stories = [("happy", 72), ("happy", 5), ("scared", 79), ("scared", 65), ("sceptical", 73)]
    with gzip.open(folder / "corpora" / "emotion_stories.jsonl.gz", "wt", encoding="utf-8") as file:
        for emotion, topic in stories:
            file.write(json.dumps({"emotion": emotion, "topic_idx": topic, "text": f"{emotion} {topic}"}) + "\n")
    go = folder / "labelled" / "goemotions"
    go.mkdir(parents=True)
    (go / "labels.txt").write_text("joy\nannoyance\nneutral\ncuriosity\nfear\n", encoding="utf-8")
    lines = ["so glad\t0\ta", "so mad\t1\tb", "well\t2\tc", "why?\t3\td", "glad and mad\t0,1\te", "mad why\t1,3\tf"]
    (go / "test.tsv").write_text("\n".join(lines), encoding="utf-8")
    brighter = folder / "labelled" / "brighter" / "track_a" / "test"
    brighter.mkdir(parents=True)
    header = "id,text,anger,joy\n"
    (brighter / "esp.csv").write_text(header + "1,Qué bien,0,1\n2,Nada,0,0\n3,Ambas,1,1\n", encoding="utf-8")
    (brighter / "eng.csv").write_text(header + "1,What,,\n", encoding="utf-8")
    return folder


def pairs(stimuli):
    return [(s.text, s.emotion) for s in stimuli]


def test_stories_come_from_the_topics_of_their_split_and_stay_together(data):
    got = corpus_stimuli("stories", data=data)
    assert pairs(got) == [("happy 72", "joy"), ("scared 79", "fear")]
    assert [s.group for s in got] == ["topic 72", "topic 79"]
    assert pairs(corpus_stimuli("stories", split="train", data=data)) == [("scared 65", "fear")]


def test_texts_with_one_emotion_or_none_are_kept(data):
    assert pairs(corpus_stimuli("goemotions", data=data)) == [
        ("so glad", "joy"),
        ("so mad", "anger"),
        ("well", "neutral"),
        ("mad why", "anger"),
    ]
    got = corpus_stimuli("brighter", "es", data=data)
    assert pairs(got) == [("Qué bien", "joy"), ("Nada", "neutral")] and {s.language for s in got} == {"es"}


def test_splits_joined_by_a_plus_give_the_texts_of_each_and_keep_repeated_ones_together(data):
    (data / "labelled" / "goemotions" / "dev.tsv").write_text("so mad\t1\ta\nwell\t2\tb", encoding="utf-8")
    dev, test = (corpus_stimuli("goemotions", split=s, data=data) for s in ("dev", "test"))
    both = corpus_stimuli("goemotions", split="dev+test", data=data)
    assert pairs(both) == pairs(dev) + pairs(test) and len(both) == 6
    # "so mad" and "well" are in both, and stay on one side of a split
    assert len({s.group for s in both}) == 4
    assert pairs(corpus_stimuli("stories", split="train+test", data=data)) == [
        ("happy 72", "joy"),
        ("scared 79", "fear"),
        ("scared 65", "fear"),
    ]
    again = corpus_stimuli("goemotions", split="test+dev", data=data)
    by_text = {s.text: {t.group for t in again if t.text == s.text} for s in again}
    assert all(len(groups) == 1 for groups in by_text.values())
    with pytest.raises(UnknownNameError, match="'dve'"):
        corpus_stimuli("goemotions", split="dev+dve", data=data)


def test_the_shell_names_a_split_behind_a_colon(data, monkeypatch):
    from emotion_interp.cli.options import corpus_texts

    monkeypatch.setenv("EMOTION_INTERP_DATA", str(data))
    assert pairs(corpus_texts("stories", "en", 0, None)) == [("happy 5", "joy")]
    assert pairs(corpus_texts("stories:test", "en", 0, None)) == pairs(corpus_stimuli("stories"))
    assert pairs(corpus_texts("en=goemotions:test,es=brighter:test", "en,es", 0, None))[-1] == ("Nada", "neutral")
    for wrong, match in (
        ("goemotions:", "names no split"),
        ("en=stories,de=brighter", "named for 'de'"),
        ("zh=brighter", "no corpus is named for 'en'"),
    ):
        with pytest.raises(EmotionInterpError, match=match):
            corpus_texts(wrong, "en", 0, None)
    assert pairs(corpus_texts("es = brighter:test, en = stories", "en,es", 0, None))[0] == ("happy 5", "joy")
    own = data / "a:b=c.csv"
    own.write_text("text,emotion\nGood,joy\n", encoding="utf-8")
    assert pairs(corpus_texts(str(own), "en", 0, None)) == [("Good", "joy")]


def test_the_folder_comes_from_the_environment(data, monkeypatch):
    monkeypatch.setenv("EMOTION_INTERP_DATA", str(data))
    assert len(corpus_stimuli("stories")) == 2
    monkeypatch.delenv("EMOTION_INTERP_DATA")
    with pytest.raises(EmotionInterpError, match="EMOTION_INTERP_DATA"):
        corpus_stimuli("stories")


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("storys",), UnknownNameError, "Did you mean 'stories'"),
        (("stories", "zh"), UnknownNameError, "language of stories"),
        (("brighter", "fr"), UnknownNameError, "language of brighter"),
        (("brighter", "en"), FileFormatError, "no 'en' text"),
        (("brighter",), EmotionInterpError, "several languages; give language= one of"),
        (("brighter", "zh"), FileFormatError, "does not exist"),
    ],
)
def test_what_is_not_there_is_named(data, arguments, error, match):
    with pytest.raises(error, match=match):
        corpus_stimuli(*arguments, data=data)


def test_unknown_splits_and_limits_are_refused(data):
    with pytest.raises(UnknownNameError, match="split of stories"):
        corpus_stimuli("stories", split="dev", data=data)
    with pytest.raises(EmotionInterpError, match="at least 1"):
        corpus_stimuli("stories", limit=0, data=data)


def test_a_csv_of_ones_own_is_read_by_language_and_group(tmp_path):
    path = tmp_path / "own.csv"
    rows = ['"Well, fine",joy,en,a', "Nada,neutral,es,b", "NA,fear,en,a"]
    path.write_text("text,emotion,language,group\n" + "\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(EmotionInterpError, match="texts in en, es; give language= one of them"):
        corpus_stimuli(path)
    got = corpus_stimuli(path, "en")
    assert pairs(got) == [("Well, fine", "joy"), ("NA", "fear")] and {s.group for s in got} == {"a"}
    assert pairs(corpus_stimuli(str(path), "es")) == [("Nada", "neutral")]
    with pytest.raises(UnknownNameError, match="language in own.csv"):
        corpus_stimuli(path, "zh")
    plain = tmp_path / "plain.tsv"
    plain.write_text("emotion\ttext\njoy\tGood\nfear\tBad\n", encoding="utf-8")
    got = corpus_stimuli(plain, "es")
    assert [s.language for s in got] == ["es", "es"] and len({s.group for s in got}) == 2


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("text,label\na,joy\n", "lacks the column.* emotion"),
        ("text,emotion\na,joy\n ,fear\n", "line 3"),
        (None, "does not exist"),
    ],
)
def test_a_broken_csv_is_refused(tmp_path, content, match):
    path = tmp_path / "own.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(FileFormatError, match=match):
        corpus_stimuli(path)


def test_a_limit_draws_per_emotion_by_seed_and_keeps_the_order(tmp_path):
    path = tmp_path / "own.csv"
    lines = [f"text {i:03d},{'joy' if i % 3 else 'fear'}" for i in range(90)]
    path.write_text("text,emotion\n" + "\n".join(lines), encoding="utf-8")
    with pytest.raises(EmotionInterpError, match="does not show; give language="):
        corpus_stimuli(path)
    one = corpus_stimuli(path, "en", limit=10)
    assert Counter(s.emotion for s in one) == {"joy": 10, "fear": 10}
    assert pairs(one) == pairs(corpus_stimuli(path, "en", limit=10)) == sorted(pairs(one))
    assert pairs(one) != pairs(corpus_stimuli(path, "en", limit=10, seed=1))
    path.write_text("text,emotion\n" + "\n".join(line for line in lines if "fear" in line), encoding="utf-8")
    assert pairs(corpus_stimuli(path, "en", limit=10)) == [p for p in pairs(one) if p[1] == "fear"]


def test_the_public_files_are_read(shared_data):
    stories = corpus_stimuli("stories", data=shared_data)
    assert set(STORY_NAMES) == {s.emotion for s in stories}
    assert {s.group for s in stories} == {f"topic {n}" for n in range(72, 80)}
    counts = Counter(s.emotion for s in corpus_stimuli("goemotions", limit=30, data=shared_data))
    assert counts["neutral"] == counts["joy"] == 30
    for language in ("zh", "es"):
        assert {"anger", "joy"} <= {s.emotion for s in corpus_stimuli("brighter", language, data=shared_data)}


def test_an_unknown_corpus_is_named_before_any_data_folder_is_asked_for(monkeypatch):
    monkeypatch.delenv("EMOTION_INTERP_DATA", raising=False)
    with pytest.raises(UnknownNameError, match="nosuch"):
        corpus_stimuli("nosuch")


def test_labelled_texts_are_in_the_language_they_read_as():
    chinese = labelled_stimuli(["她哭了。", "他笑了。"], ["sadness", "joy"])
    assert {s.language for s in chinese} == {"zh"}
    spanish = labelled_stimuli(
        ["Ella lloraba sin parar toda la noche.", "Todos se reían con ganas."], ["sadness", "joy"]
    )
    assert {s.language for s in spanish} == {"es"}
    with pytest.warns(UserWarning, match="does not show, and they are taken as English"):
        unclear = labelled_stimuli(["zzgh 12", "brrm 7"], ["sadness", "joy"])
    assert {s.language for s in unclear} == {"en"}
