"""Where training text comes from."""

from __future__ import annotations

import gzip
import json

import pytest

from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.training.texts import load_texts, texts_for_subject


def test_each_format_is_read_plain_and_gzipped(tmp_path):
    wanted = ["I wept, then laughed.", "她笑了"]
    contents = {
        "a.txt": "\n\n".join(wanted),
        "lines.txt": "\n".join(wanted) + "\n",
        "b.jsonl": "\n".join(json.dumps({"text": t}) for t in wanted) + "\n\n",
        "c.csv": 'id,text\n1,"I wept, then laughed."\n2,她笑了\n3,\n',
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        with gzip.open(tmp_path / f"{name}.gz", "wt", encoding="utf-8") as handle:
            handle.write(content)
        assert load_texts(tmp_path / name) == wanted
        assert load_texts(tmp_path / f"{name}.gz") == wanted
        assert load_texts(tmp_path / name, limit=1) == wanted[:1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.md", b"x", r"ends in '\.md'"),
        ("a.txt", b"  \n", "holds no text"),
        ("a.txt", b"\xff\xfe\x00", "UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"body": 1}', 'line 2: an object with a string "text"'),
        ("a.jsonl", b"{", "line 1: no JSON"),
        ("a.csv", b"body\nx\n", 'no column "text"; its columns are body'),
        ("a.txt.gz", b"not gzip", "not readable"),
    ],
)
def test_unreadable_text_files_are_refused_with_what_is_wrong(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        load_texts(tmp_path / name)


def test_missing_text_file_is_named(tmp_path):
    with pytest.raises(FileFormatError, match="does not exist"):
        load_texts(tmp_path / "none.txt")


def test_without_corpus_or_data_folder_the_error_names_both_ways_out(tiny_subject, monkeypatch):
    monkeypatch.delenv("EMOTION_INTERP_DATA", raising=False)
    with pytest.raises(EmotionInterpError, match=r"--corpus.*EMOTION_INTERP_DATA"):
        texts_for_subject(tiny_subject)


def test_missing_corpora_and_unknown_languages_are_named(tiny_subject, tmp_path):
    with pytest.raises(FileFormatError, match="emotion_stories"):
        texts_for_subject(tiny_subject, data=tmp_path, languages=["en"])
    with pytest.raises(UnknownNameError, match="Available: en, zh"):
        texts_for_subject(tiny_subject, data=tmp_path, languages=["fr"])


def test_evaluation_topics_of_the_stories_are_left_out(tiny_subject, tmp_path):
    rows = [{"text": f"story {i}", "topic_idx": i} for i in (0, 63, 64, 79)]
    (tmp_path / "stories.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert texts_for_subject(tiny_subject, tmp_path / "stories.jsonl") == (["story 0", "story 63"], None)


def test_a_tokenizer_that_does_not_know_the_script_gets_no_chinese_text(tiny_subject):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from emotion_interp.training.texts import _knows

    alphabet = {character: i for i, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    byte_tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    byte_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_tokenizer.decoder = decoders.ByteLevel()
    only_bytes = PreTrainedTokenizerFast(tokenizer_object=byte_tokenizer)
    assert _knows(only_bytes, "en") and not _knows(only_bytes, "zh")


def test_shared_corpora_give_unseen_held_out_texts(tiny_subject, shared_data):
    train, held_out = texts_for_subject(tiny_subject, data=shared_data, languages=["en"], limit=5000)
    assert len(train) == 5000 and held_out
    assert not set(train) & set(held_out)
