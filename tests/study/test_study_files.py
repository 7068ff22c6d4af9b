"""The files of a study and of the public corpora, damaged: one line that names the file, never a raw error."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from emotion_interp.core import FileFormatError
from emotion_interp.study.stages import read_stories
from emotion_interp.study.store import StudyFolder, is_study
from emotion_interp.training.texts import load_texts

WHOLE = {
    "format": "emotion_interp.study",
    "stages": {"ratings": {"key": "k", "seconds": 1.5, "files": {"a/b.parquet": "0"}}},
}


def changed(**changes):
    return {**WHOLE, "stages": {"ratings": {**WHOLE["stages"]["ratings"], **changes}}}


@pytest.mark.parametrize(
    "record",
    [
        3,
        [],
        None,
        {},
        {**WHOLE, "format": "other"},
        {**WHOLE, "stages": []},
        {**WHOLE, "stages": {"ratings": 5}},
        {**WHOLE, "stages": {"ratings": {}}},
        changed(key=5),
        changed(seconds="long"),
        changed(seconds=True),
        changed(files=["a.parquet"]),
        changed(files={"../a.parquet": "0"}),
        changed(files={"/etc/passwd": "0"}),
        changed(files={"a.parquet": 5}),
    ],
)
def test_a_malformed_study_is_refused_in_one_line(tmp_path, record):
    (tmp_path / "study.json").write_text(json.dumps(record))
    assert is_study(WHOLE) and not is_study(record)
    with pytest.raises(FileFormatError, match=r"study\.json") as caught:
        StudyFolder(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', "[" * 100_000, "\0", "\ufeff{"])
def test_a_study_that_is_no_json_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(FileFormatError, match=r"study\.json") as caught:
        StudyFolder(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_table_of_a_study_that_is_damaged_is_named(tmp_path):
    folder = StudyFolder(tmp_path)
    frame = pd.DataFrame({"emotion": ["joy", "awe"], "r": [0.5, np.nan], "n": [1, 2]})
    folder.write_frame("a.parquet", frame)
    pd.testing.assert_frame_equal(folder.read_frame("a.parquet"), frame)
    assert folder.read_frame("none.parquet") is None
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    with pytest.raises(FileFormatError, match=r"a\.parquet cannot be read .* Delete it"):
        folder.read_frame("a.parquet")


def test_the_topic_of_a_story_in_a_table_counts_as_that_of_a_line(tmp_path):
    rows = [(3, "mine"), (70, "kept for judges"), ("", "of no topic")]
    (tmp_path / "a.csv").write_text("topic_idx,text\n" + "".join(f"{t},{x}\n" for t, x in rows))
    from emotion_interp.training.texts import texts_for_subject

    assert texts_for_subject(None, tmp_path / "a.csv").train == ["mine", "of no topic"]
    (tmp_path / "a.csv").write_text("topic_idx,text\nmany,x\n")
    with pytest.raises(FileFormatError, match="topic_idx is the whole number"):
        texts_for_subject(None, tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[" * 100_000, "line 2"),
        ('{"text": "a", "emotion": null}', "line 2"),
        ('{"text": 5, "emotion": "joy"}', "line 2"),
        ('{"text": "a", "emotion": "joy", "topic_idx": 1.5}', "line 2"),
        ('{"text": "a", "emotion": "joy", "topic_idx": NaN}', "line 2"),
        ('{"text": " ", "emotion": "joy"}', "line 2"),
    ],
)
def test_stories_of_another_kind_are_refused_with_their_line(tmp_path, line, message):
    (tmp_path / "s.jsonl").write_text('{"text": "a", "emotion": "joy", "topic_idx": 1}\n' + line + "\n")
    with pytest.raises(FileFormatError, match=message) as caught:
        read_stories(tmp_path / "s.jsonl")
    assert len(str(caught.value).splitlines()) == 1


def test_public_corpora_that_are_damaged_are_named(tmp_path):
    import gzip

    from emotion_interp.training import corpus

    def read(path, source, raw):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        with pytest.raises(FileFormatError, match=path.name) as caught:
            list(source(tmp_path))
        assert len(str(caught.value).splitlines()) == 1

    whole = gzip.compress(b'{"topic_idx": 1, "text": "a"}\n' * 200)
    for raw in (b"none", whole[:-20], gzip.compress(b"{"), gzip.compress(b"[1]"), gzip.compress(b"[" * 100_000)):
        read(tmp_path / "corpora/emotion_stories.jsonl.gz", corpus._stories, raw)
    for raw in (b"{", b"[3]", b'[{"text": "a"}]', b"\xff", b'[{"content": null}]'):
        read(tmp_path / "labelled/smp2020/virus_train.json", corpus._chinese_posts, raw)
    with pytest.raises(FileFormatError, match="does not exist"):
        load_texts(tmp_path / "none.csv")
