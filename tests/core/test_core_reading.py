"""The one way in for files: regular files of a bearable size; damaged ones, bombs and special files are refused in one line."""

from __future__ import annotations

import gzip
import os
import threading
import tracemalloc
import zipfile

import numpy as np
import pytest

from emotion_interp.concepts import ConceptSet, corpus_stimuli
from emotion_interp.core import EmotionInterpError, FileFormatError
from emotion_interp.core.files import read_json
from emotion_interp.core.parquet import read_parquet
from emotion_interp.core.reading import checked_name, parse_json, parse_toml, read_text, regular_file, text_lines
from emotion_interp.core.workbooks import read_xlsx
from emotion_interp.geometry import load_space
from emotion_interp.judges import load_judge
from emotion_interp.norms import load_norms
from emotion_interp.training.texts import load_texts

READERS = {
    "norms": lambda path: load_norms("csv", path),
    "registered norms": lambda path: load_norms("warriner", path),
    "workbook norms": lambda path: load_norms("hinojosa2016", path),
    "concepts": lambda path: ConceptSet.from_csv(path, "en"),
    "toml": ConceptSet.from_toml,
    "associations": ConceptSet.from_word_associations,
    "corpus": lambda path: corpus_stimuli(path, "en"),
    "texts": load_texts,
    "space": load_space,
    "judge": load_judge,
    "json": read_json,
    "parquet": read_parquet,
}
ENDINGS = {"texts": ".jsonl", "space": ".npz", "judge": ".skops"}


def refusal(read, path) -> str:
    with pytest.raises(EmotionInterpError) as caught:
        read(path)
    text = str(caught.value)
    assert len(text.splitlines()) == 1 and path.name in text, text
    return text


@pytest.mark.parametrize("kind", READERS)
def test_pipes_devices_folders_and_circles_of_links_are_no_files(tmp_path, kind):
    read, ending = READERS[kind], ENDINGS.get(kind, ".csv")
    pipe, device, circle, folder = (tmp_path / f"{name}{ending}" for name in ("pipe", "device", "circle", "folder"))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    circle.symlink_to(circle.name)
    folder.mkdir()
    # a reader that opened the pipe would wait for ever: it runs beside, so that the test ends
    for path in (pipe, device, circle, folder):
        if path is folder and "norms" in kind and kind != "norms":
            # the folder that holds the files
            continue
        done = []
        thread = threading.Thread(target=lambda path=path, done=done: done.append(refusal(read, path)), daemon=True)
        thread.start()
        thread.join(20)
        assert done, (kind, path.name)


DAMAGE = {
    "half.gz": gzip.compress(b'{"text": "a", "emotion": "joy"}\n' * 500)[:60],
    "half.xlsx": b"PK\x03\x04 and no more",
    "zeros": bytes(300),
    "latin.csv": "word,valence,text,emotion,cue\ncafé,8,café,joy,café\n".encode("latin-1"),
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "empty": b"",
    "old.xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(200),
    "nul.csv": b"word,valence,text,emotion\njoy,8,a\0b,joy\n",
    "parquet": b"PAR1" + bytes(100) + b"PAR1",
    "half16.csv": "word,valence".encode("utf-16")[:-1],
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_and_foreign_files_are_refused_in_one_line(tmp_path, kind, damage):
    path = tmp_path / f"{damage}{ENDINGS.get(kind, '.csv')}"
    path.write_bytes(DAMAGE[damage])
    refusal(READERS[kind], path)


def test_what_unpacks_without_end_is_not_read(tmp_path):
    bomb = tmp_path / "bomb.jsonl.gz"
    # gzip allows several streams behind each other
    bomb.write_bytes(gzip.compress(bytes(1 << 24), 9) * 8)
    for read in (load_texts, lambda path: list(text_lines(path)), read_text):
        assert "times its size" in refusal(read, bomb)
    book = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", bytes(1 << 27))
    for read in (READERS["norms"], READERS["workbook norms"], READERS["concepts"], READERS["corpus"], read_xlsx):
        assert "would unpack to 134,217,728" in refusal(read, book)
    for name, read in (("bomb.npz", load_space), ("bomb.skops", load_judge)):
        (tmp_path / name).write_bytes(book.read_bytes())
        assert "would unpack" in refusal(read, tmp_path / name)


def test_an_array_that_claims_more_than_it_holds_is_not_made_room_for(tmp_path):
    import io

    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    header = buffer.getvalue()
    (tmp_path / "wide.npy").write_bytes(header + bytes(80))
    with zipfile.ZipFile(tmp_path / "wide.npz", "w") as archive:
        archive.writestr("joy.npy", header + bytes(80))
    for name in ("wide.npy", "wide.npz"):
        assert "needs 8,000,000,000,000 bytes" in refusal(lambda path: load_space(path, ["joy"]), tmp_path / name)


def test_a_parquet_file_is_measured_before_it_is_read(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"x": np.zeros(200_000), "name": ["joy"] * 200_000}), path)
    assert read_parquet(path)["name"].tolist()[:2] == ["joy", "joy"] and read_parquet(path)["x"].sum() == 0
    assert "rows" in refusal(lambda p: read_parquet(p, most_rows=1000), path)
    # a long text that repeats is small in the file, and its footer says so
    pq.write_table(pa.table({"name": ["x" * 100_000] * 1_000}), path)
    assert path.stat().st_size < 1_000_000
    assert "unpacks to more than" in refusal(lambda p: read_parquet(p, largest=10**7), path)


def test_json_and_toml_that_no_program_should_write_are_refused():
    deep = "[" * 200_000 + "]" * 200_000
    for text, why in (
        (deep, "nested too deeply"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ('{"a": 1e999}', "too large"),
        ('"\\ud800"', "half a character"),
        ("9" * 5000, "not readable JSON"),
        ("{'a': 1}", "not readable JSON"),
    ):
        with pytest.raises(FileFormatError, match=why):
            parse_json(text, "x.json")
    for text in ("a = " + deep, "a = [1", "a = 1979-99-99", "a.b = 1\na = 2"):
        with pytest.raises(FileFormatError, match=r"x\.toml is not readable TOML"):
            parse_toml(text, "x.toml")


def test_names_that_no_file_can_have_are_refused(tmp_path):
    from emotion_interp.subjects import load_subject

    for name in ("a\0b", "", "  ", "a\nb", "x" * 5000, "y" * 300):
        with pytest.raises(FileFormatError, match="no name of a file"):
            checked_name(name)
        with pytest.raises(EmotionInterpError):
            load_norms("csv", name)
    for name in ("a\0b", "../../../no/such/model", "x" * 5000):
        for load in (load_subject, load_judge):
            with pytest.raises(EmotionInterpError) as caught:
                load(name)
            assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(EmotionInterpError, match="text, got 3"):
        checked_name(3)


def test_a_file_behind_a_link_is_read_and_its_size_is_looked_at_first(tmp_path):
    (tmp_path / "a.txt").write_text("abc")
    (tmp_path / "b.txt").symlink_to("a.txt")
    assert read_text(tmp_path / "b.txt") == "abc"
    with pytest.raises(FileFormatError, match="at most 2 are read"):
        regular_file(tmp_path / "b.txt", largest=2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("packed", [False, True])
def test_encodings_with_and_without_a_mark_are_read(tmp_path, encoding, packed):
    text = "Señor, 快樂\nand more\n"
    raw = text.encode(encoding)
    path = tmp_path / "t.txt"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert read_text(path) == text
    assert [line.rstrip("\n") for _, line in text_lines(path)][:2] == text.splitlines()


def test_a_wrong_byte_is_named_with_its_line(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes(b"good\ngood\nbad \xe9\n")
    for read in (read_text, lambda p: list(text_lines(p))):
        with pytest.raises(FileFormatError, match="line 3 has the byte 0xe9"):
            read(path)


def test_no_place_of_a_bank_ends_in_a_raw_error(monkeypatch, tmp_path):
    from emotion_interp.bank import FeatureBank
    from emotion_interp.bank.sharing import pull_bank

    monkeypatch.chdir(tmp_path)
    for name in ("a\0b", "../x", "x/../y", "n" * 300, "p/" * 3000, "~nouser/x", "", "a\nb", "http://x/y"):
        for load in (pull_bank, FeatureBank.load):
            if load is pull_bank and name == "x/../y":
                # a name that the hub may be asked for
                continue
            with pytest.raises(EmotionInterpError) as caught:
                load(name)
            assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("packed", [False, True])
def test_a_small_file_takes_no_room_for_the_largest_that_is_allowed(tmp_path, packed):
    path = tmp_path / ("small.txt.gz" if packed else "small.txt")
    (gzip.open if packed else open)(path, "wb").write(b"sea\n" * 1000)
    tracemalloc.start()
    try:
        assert read_text(path) == "sea\n" * 1000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20
    # in several pieces, and no byte more than is allowed
    long = tmp_path / "long.txt"
    long.write_bytes(bytes(range(32, 127)) * 40_000)
    assert read_text(long).encode() == long.read_bytes()
    with pytest.raises(FileFormatError, match="more than 3,799,999 bytes"):
        read_text(long, largest=3_799_999)
