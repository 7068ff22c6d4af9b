"""A null where a text belongs is refused with its line, and a text that reads "null" or "NA" is a text."""

from __future__ import annotations

import gzip
import json

import pytest

from emotion_interp.concepts.corpora import read_brighter, read_stories
from emotion_interp.core.errors import FileFormatError
from emotion_interp.judges.data import _smp
from emotion_interp.norms.sentences import read_dimabsa
from emotion_interp.study.stages import _story
from emotion_interp.training.texts import load_texts

LINE = {"topic_idx": 3, "text": "She laughed.", "emotion": "joy"}


@pytest.mark.parametrize("wrong", [None, 7, ["a"]])
def test_a_null_story_is_refused_with_its_line(tmp_path, wrong):
    for key in ("text", "emotion"):
        with pytest.raises(FileFormatError, match=r"s\.jsonl, line 9: the text is (null|7|\['a'\])"):
            _story(tmp_path / "s.jsonl", 9, json.dumps(LINE | {key: wrong}))
    path = tmp_path / "stories.jsonl.gz"
    names = ("happy", "joy", "joyful", "sad", "afraid")
    rows = [LINE | {"emotion": name} for name in names] + [LINE | {"emotion": name, "text": wrong} for name in names]
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(map(json.dumps, rows)))
    with pytest.raises(FileFormatError, match=r"line \d+: the text is"):
        list(read_stories(path))


def test_a_null_post_and_a_null_review_are_refused_with_their_place(tmp_path):
    (tmp_path / "smp2020").mkdir()
    posts = [{"content": "a", "label": "happy"}, {"content": None, "label": "happy"}]
    (tmp_path / "smp2020" / "x.json").write_text(json.dumps(posts), encoding="utf-8")
    with pytest.raises(FileFormatError, match="post 2: the text is null"):
        list(_smp(tmp_path, "x"))
    path = tmp_path / "r.jsonl"
    review = {"ID": "R1:S1", "Text": None, "Aspect_VA": [{"VA": "5.0#5.0"}]}
    path.write_text("\n".join(json.dumps(r) for r in (review | {"Text": "good"}, review)), encoding="utf-8")
    with pytest.raises(FileFormatError, match="line 2: the text is null"):
        read_dimabsa([path])


def test_a_text_that_reads_null_is_a_text_and_an_empty_one_is_refused(tmp_path):
    folder = tmp_path / "brighter" / "track_a" / "train"
    folder.mkdir(parents=True)
    (folder / "eng.csv").write_text("id,text,joy\n1,null,1\n2,NA,0\n3,None,1\n", encoding="utf-8")
    assert [t.text for t in read_brighter(tmp_path, "train", "eng")] == ["null", "NA", "None"]
    (folder / "eng.csv").write_text("id,text,joy\n1,good,1\n2,,0\n", encoding="utf-8")
    with pytest.raises(FileFormatError, match="line 3: the text is empty"):
        list(read_brighter(tmp_path, "train", "eng"))


def test_training_texts_refuse_null(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a long text"}\n{"text": null}\n', encoding="utf-8")
    with pytest.raises(FileFormatError, match="line 2"):
        load_texts(path)
