"""Kills around every rename: what was saved is found, what was left is swept, links are followed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from emotion_interp.core import EmotionInterpError
from emotion_interp.core.files import atomic_file, atomic_folder, read_json, what_stands, write_json, write_text
from emotion_interp.core.leftovers import found_folder, is_alive, is_temporary, sweep, temporary_place


class Killed(BaseException):
    pass


def save(target: Path, text: str) -> None:
    with atomic_folder(target) as folder:
        (folder / "x").write_text(text)


def killed_at(target: Path, rename: int) -> None:
    """A process of its own saves "new" over a folder and is killed by SIGKILL right before its n-th rename."""
    program = f"""
import os, signal
from pathlib import Path
from emotion_interp.core import files
count, replace = 0, os.replace
def counted(*args):
    global count
    count += 1
    if count == {rename}:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*args)
os.replace = counted
with files.atomic_folder({str(target)!r}) as folder:
    (folder / "x").write_text("new")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9


@pytest.mark.parametrize(("rename", "expected"), [(1, "old"), (2, "old"), (3, "new")])
def test_a_kill_before_each_rename_leaves_a_folder_that_is_found_and_can_be_saved_again(tmp_path, rename, expected):
    target = tmp_path / "bank"
    save(target, "old")
    killed_at(target, rename)
    assert target.exists() == (rename != 2)
    assert (found_folder(target) / "x").read_text() == expected
    save(target, "next")
    assert (target / "x").read_text() == "next"
    assert [p.name for p in tmp_path.iterdir()] == ["bank"]


@pytest.mark.parametrize("rename", [1, 2])
@pytest.mark.parametrize("again", [False, True], ids=["once", "and the way back too"])
def test_a_rename_that_raises_leaves_the_old_folder(tmp_path, monkeypatch, rename, again):
    target, count, replace = tmp_path / "bank", 0, os.replace
    save(target, "old")

    def failing(*args):
        nonlocal count
        count += 1
        if count == rename:
            raise Killed
        replace(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing)
        if again:
            patch.setattr(Path, "rename", lambda *args: (_ for _ in ()).throw(OSError(5, "broken")))
            patch.setattr("shutil.rmtree", lambda *args, **kwargs: None)
        with pytest.raises(Killed):
            save(target, "new")
    assert (found_folder(target) / "x").read_text() == "old"
    save(target, "next")
    assert [p.name for p in tmp_path.iterdir()] == ["bank"]


def test_a_bank_that_was_killed_between_its_renames_is_loaded_by_its_name(tiny_bank, tmp_path):
    import emotion_interp as ei

    folder = tiny_bank.save(tmp_path / "bank")
    folder.rename(tmp_path / ".bank.old-000000-1-1-01234567")
    os.utime(tmp_path / ".bank.old-000000-1-1-01234567")
    # this host, and a process that is dead
    with temporary_place(folder, "old") as mine:
        dead = mine.name.replace(f"-{os.getpid()}-", "-99999999-")
    (tmp_path / ".bank.old-000000-1-1-01234567").rename(tmp_path / dead)
    assert len(ei.FeatureBank.load(folder).features) == len(tiny_bank.features)
    assert [p.name for p in tmp_path.iterdir()] == ["bank"]


def test_what_an_earlier_version_moved_aside_is_found_too(tmp_path):
    (tmp_path / ".bank.old.k3j5h6g7" / "bank").mkdir(parents=True)
    (tmp_path / ".bank.old.k3j5h6g7" / "bank" / "x").write_text("old")
    assert (found_folder(tmp_path / "bank") / "x").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["bank"]


def test_a_place_that_may_not_be_written_gives_what_was_moved_aside(tmp_path, monkeypatch):
    (tmp_path / ".bank.old.k3j5h6g7" / "bank").mkdir(parents=True)
    (tmp_path / ".bank.old.k3j5h6g7" / "bank" / "x").write_text("old")
    refuse = lambda *args, **kwargs: (_ for _ in ()).throw(PermissionError(13, "no"))  # noqa: E731
    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr("shutil.rmtree", lambda *args, **kwargs: None)
    assert (found_folder(tmp_path / "bank") / "x").read_text() == "old"


def test_what_a_living_process_writes_is_never_swept(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with temporary_place(tmp_path / "a.json") as mine:
            mine.write_text("being written")
            ticks = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
            born = mine.name.split("-")[3]
            theirs = tmp_path / mine.name.replace(f"-{os.getpid()}-{born}-", f"-{other.pid}-{ticks}-")
            theirs.write_text("being written")
            again = tmp_path / mine.name.replace(f"-{os.getpid()}-{born}-", f"-{other.pid}-{int(ticks) - 1}-")
            again.write_text("of an earlier process of that number")
            write_json(tmp_path / "a.json", {})
            sweep(tmp_path)
            assert mine.exists() and theirs.exists() and not again.exists()
        assert is_alive(other.pid)
    finally:
        other.kill()
        other.wait()
    assert not is_alive(other.pid)
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_a_living_process_is_replacing_is_waited_for(tmp_path):
    target = tmp_path / "bank"
    save(target, "new")
    with temporary_place(target, "old") as aside:
        target.rename(aside)

        def put() -> None:
            time.sleep(0.2)
            aside.rename(target)

        thread = threading.Thread(target=put)
        thread.start()
        assert (found_folder(target) / "x").read_text() == "new"
        thread.join()


def test_two_that_save_at_once_both_finish_and_one_of_them_stands(tmp_path):
    target, failed = tmp_path / "bank", []

    def many(text: str) -> None:
        for _ in range(30):
            try:
                save(target, text)
            except EmotionInterpError as error:
                failed.append(error)

    threads = [threading.Thread(target=many, args=(text,)) for text in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert (target / "x").read_text() in "abc"
    assert [p.name for p in tmp_path.iterdir()] == ["bank"]


def test_a_folder_that_another_swaps_away_meanwhile_is_not_taken_for_a_file(tmp_path, monkeypatch):
    target, exists = tmp_path / "bank", Path.exists
    save(target, "old")

    def gone_after_the_answer(self, **how):
        answer = exists(self, **how)
        if self == target and answer:
            target.rename(tmp_path / "elsewhere")
        return answer

    monkeypatch.setattr(Path, "exists", gone_after_the_answer)
    save(target, "new")
    assert what_stands(tmp_path) == "folder" and what_stands(tmp_path / "none") is None
    (tmp_path / "file").write_text("x")
    assert what_stands(tmp_path / "file") == "file" and what_stands(tmp_path / "file" / "below") is None
    with pytest.raises(EmotionInterpError, match="is a file; a folder is written here"):
        save(tmp_path / "file", "new")


def test_a_folder_of_the_users_with_a_similar_name_is_never_touched(tmp_path):
    mine = [".bank.settings", ".bank.old", ".bank.old.notes", ".a.json.swp", ".bank.new-thing", ".bank.old-k-1-1-x"]
    for name in mine:
        (tmp_path / name).mkdir()
    save(tmp_path / "bank", "x")
    sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*mine, "bank"])
    assert not any(is_temporary(name) for name in mine)


def test_a_link_is_followed_and_stays_a_link(tmp_path):
    real = tmp_path / "disk" / "bank"
    save(real, "old")
    (tmp_path / "bank").symlink_to(real)
    save(tmp_path / "bank", "new")
    assert (tmp_path / "bank").is_symlink() and (real / "x").read_text() == "new"
    (tmp_path / "a.txt").symlink_to(tmp_path / "disk" / "a.txt")
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").is_symlink() and (tmp_path / "disk" / "a.txt").read_text() == "text"
    killed_at(tmp_path / "bank", 2)
    assert (found_folder(tmp_path / "bank") / "x").read_text() == "new"


def test_circles_of_links_and_special_files_are_refused_in_one_line(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(EmotionInterpError, match="circle of links"):
        save(tmp_path / "a", "x")
    with pytest.raises(EmotionInterpError, match="circle of links"):
        write_text(tmp_path / "a", "x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EmotionInterpError, match="no regular file"), atomic_file(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()


def test_json_that_is_none_is_one_line(tmp_path):
    for text in ('{"a": NaN}', '{"a": -Infinity}', "[" * 100_000, "9" * 5000, '"\\ud800'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(EmotionInterpError, match="not readable JSON"):
            read_json(tmp_path / "a.json")
