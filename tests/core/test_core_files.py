"""Atomic files: whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from emotion_interp.core import EmotionInterpError, FileFormatError
from emotion_interp.core.files import atomic_file, atomic_folder, read_json, sha256_of, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_folder_leaves_the_old_folder_and_nothing_else(tmp_path):
    target = tmp_path / "bank"
    target.mkdir()
    (target / "x").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(target) as temporary:
        (temporary / "x").write_text("half")
        raise RuntimeError
    assert (target / "x").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["bank"]


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    target = tmp_path / "bank"
    target.mkdir()
    (target / "stale").write_text("old")
    with atomic_folder(target) as temporary:
        (temporary / "x").write_text("new")
    assert [p.name for p in target.iterdir()] == ["x"]
    assert [p.name for p in tmp_path.iterdir()] == ["bank"]


def test_a_full_disk_gives_one_clear_error_and_leaves_nothing(tmp_path):
    with pytest.raises(EmotionInterpError, match="No space left"), atomic_file(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_a_folder_is_not_written_over_a_file(tmp_path):
    (tmp_path / "bank").write_text("mine")
    with pytest.raises(EmotionInterpError, match="is a file"), atomic_folder(tmp_path / "bank"):
        pass
    assert (tmp_path / "bank").read_text() == "mine"


def test_a_place_without_permission_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(EmotionInterpError, match="cannot write"), atomic_file(blocked / "below" / "a.txt"):
        pass


def test_broken_json_names_its_file(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(FileFormatError, match=r"a\.json"):
        read_json(tmp_path / "a.json")
    with pytest.raises(FileFormatError, match="does not exist"):
        read_json(tmp_path / "b.json")


def test_json_round_trip_and_hash_ignore_key_order(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    assert read_json(Path(tmp_path / "a.json")) == {"a": "é", "b": 1}
    assert sha256_of({"b": 1, "a": 2}) == sha256_of({"a": 2, "b": 1})
