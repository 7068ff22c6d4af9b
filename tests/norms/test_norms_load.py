"""Loading norms: the built-in table, the registry, the readers and downloads."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.files import sha256_file
from emotion_interp.core.workbooks import read_xlsx
from emotion_interp.norms import REGISTRY, NormsEntry, NormsFile, fetch_norms, load, load_norms, norms_table
from emotion_interp.norms.readers import READERS

LABELS = [
    "anger",
    "disgust",
    "fear",
    "joy",
    "sadness",
    "surprise",
    "admiration",
    "amusement",
    "anxiety",
    "awe",
    "boredom",
    "calm",
    "compassion",
    "contempt",
    "desire",
    "disappointment",
    "embarrassment",
    "envy",
    "excitement",
    "gratitude",
    "guilt",
    "hope",
    "loneliness",
    "love",
    "nostalgia",
    "pride",
    "relief",
    "shame",
]

DATA = os.environ.get("EMOTION_INTERP_DATA")
needs_data = pytest.mark.skipif(
    not DATA or not (Path(DATA) / "norms").is_dir(), reason="EMOTION_INTERP_DATA names no folder with norms/"
)


def test_builtin_has_every_label_and_stays_small() -> None:
    norms = load_norms("builtin")
    assert norms.unmatched(LABELS) == []
    assert 150 <= len(norms) <= 200
    assert norms.dimensions == ("valence", "arousal") and set(norms.ceiling) == {"valence", "arousal"}
    assert "Warriner" in norms.citation


def test_builtin_orders_emotions_as_people_do() -> None:
    table = load_norms("builtin").lookup(["joy", "grief", "excitement", "calm"])
    joy, grief, _, _ = table["valence"]
    _, _, excitement, calm = table["arousal"]
    assert joy > 7 > 3 > grief and excitement > calm + 2


@needs_data
def test_builtin_figures_are_those_of_warriner() -> None:
    builtin, warriner = load_norms("builtin").table, load_norms("warriner")
    rated = warriner.lookup(builtin["form"])
    for column in ("valence", "valence_sd", "valence_n", "arousal", "arousal_sd", "arousal_n"):
        np.testing.assert_allclose(builtin[column], rated[column])


@needs_data
@pytest.mark.parametrize("name", [n for n, e in REGISTRY.items() if e.files[0].urls and n != "emobank"])
def test_registered_norms_load_complete_with_the_registered_hash(name: str) -> None:
    entry, norms = REGISTRY[name], load_norms(name)
    assert len(norms) == entry.n_words and norms.dimensions == entry.dimensions and norms.scale == entry.scale
    assert norms.sources == {f.name: f.sha256 for f in entry.files}
    assert all(0.5 < norms.reliability[d] < 1 for d in entry.dimensions)


@needs_data
def test_warriner_reliability_is_the_published_one() -> None:
    reliability = load_norms("warriner").reliability
    assert reliability["valence"] == pytest.approx(0.912, abs=5e-4)
    assert reliability["arousal"] == pytest.approx(0.690, abs=5e-4)


@needs_data
def test_words_that_look_like_missing_values_stay_words() -> None:
    assert np.isfinite(load_norms("warriner").lookup(["null"])["valence"].iloc[0])


@needs_data
def test_norms_of_one_language_agree_with_each_other() -> None:
    for first, second in (
        ("warriner", "labmt-en"),
        ("stadthagen2017", "labmt-es"),
        ("hinojosa2016", "labmt-es"),
        ("sev", "labmt-zh"),
    ):
        one = load_norms(first)
        other = load_norms(second).lookup(one.words)["valence"].to_numpy()
        both = np.isfinite(other)
        assert both.sum() > 100
        assert np.corrcoef(one.table["valence"][both], other[both])[0, 1] > 0.8


@needs_data
def test_labmt_path_may_be_the_folder_or_one_of_the_files() -> None:
    folder = Path(str(DATA)) / "norms"
    by_folder, by_file = load_norms("labmt-es", folder), load_norms("labmt-es", folder / "labMTwords-spanish.csv")
    assert by_folder.table.equals(by_file.table)


def test_unknown_norms_are_named_with_a_hint() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'warriner'"):
        load_norms("wariner")


def test_missing_norms_say_where_to_put_which_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMOTION_INTERP_DATA", str(tmp_path))
    monkeypatch.setattr(load, "cache_folder", lambda: tmp_path / "cache")
    with pytest.raises(FileFormatError, match="Ratings_Warriner_et_al.csv"):
        load_norms("warriner")
    with pytest.raises(FileFormatError, match="does not exist"):
        load_norms("warriner", tmp_path)


def test_table_lists_every_registered_set_with_hash_and_licence() -> None:
    table = norms_table()
    assert table["name"].tolist() == list(REGISTRY)
    assert (table["licence"] != "").all() and (table["citation"] != "").all()
    downloads = [f for e in REGISTRY.values() for f in e.files if e.name != "builtin"]
    assert all(len(f.sha256) == 64 and f.urls[0].startswith("https://") for f in downloads if f.urls)
    assert all(e.homepage for e in REGISTRY.values() if e.name != "builtin" and not all(f.urls for f in e.files))
    assert {e.reader for e in REGISTRY.values()} <= set(READERS)


def test_own_csv_is_read_with_scale_and_language(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("Word,Valence,arousal,n,comment\nnull,1.5,2,20,x\njoy,6.5,5,21,y\n", encoding="utf-8-sig")
    norms = load_norms("csv", path, language="de", scale=(1, 7))
    assert norms.words == ["null", "joy"] and norms.scale == (1, 7) and norms.language == "de" and norms.name == "mine"
    assert norms.table["arousal_n"].tolist() == [20, 21]
    assert load_norms("csv", path).scale == (1, 7)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"word,score\njoy,8\n", "needs the columns"),
        (b"word,valence\njoy,high\n", "'high'"),
        ("word,valence\ncaf\u00e9,8\n".encode("latin-1"), "UTF-8"),
        (b"word,valence\njoy,8\njoy,7\n", "twice"),
        (b"", "not a readable CSV"),
    ],
)
def test_broken_csv_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        load_norms("csv", path)


def test_csv_without_path_or_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmotionInterpError, match="path="):
        load_norms("csv")
    with pytest.raises(FileFormatError, match="nowhere"):
        load_norms("csv", tmp_path / "nowhere.csv")


def test_labmt_files_of_different_length_are_refused(tmp_path: Path) -> None:
    for stem, text in (("labMTwords", "a\nb"), ("labMTscores", "5"), ("labMTscoresStd", "1\n1")):
        (tmp_path / f"{stem}-english.csv").write_text(text)
    with pytest.raises(FileFormatError, match="2, 1 and 2"):
        load_norms("labmt-en", tmp_path)


def test_vader_pools_words_that_are_listed_twice(tmp_path: Path) -> None:
    path = tmp_path / "vader_lexicon.txt"
    path.write_text("lol\t2\t1\t[2, 2, 4]\nlol\t0\t0\t[0, 0, -2]\nsad\t-2\t0\t[-2, -2, -2]\n")
    table = load_norms("vader", path).table.set_index("word")
    assert table.loc["lol", "valence"] == 1 and table.loc["lol", "valence_n"] == 6
    assert table.loc["lol", "valence_sd"] == pytest.approx(np.std([2, 2, 4, 0, 0, -2], ddof=1))
    path.write_text("broken line\n")
    with pytest.raises(FileFormatError, match="line 1"):
        load_norms("vader", path)


def test_a_file_that_is_no_workbook_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Hinojosa2016.xlsx"
    path.write_text("not a zip")
    with pytest.raises(FileFormatError, match="workbook"):
        load_norms("hinojosa2016", path)


def test_workbook_reader_joins_runs_and_keeps_gaps(tmp_path: Path) -> None:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    path = tmp_path / "book.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="One" r:id="rId7"/></sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            '<Relationships xmlns="x"><Relationship Id="rId7" Target="worksheets/sheet9.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/sharedStrings.xml",
            f'<sst xmlns="{main}"><si><t>Word</t></si><si><r><t>jo</t></r><r><t>y</t></r></si></sst>',
        )
        archive.writestr(
            "xl/worksheets/sheet9.xml",
            f'<worksheet xmlns="{main}"><sheetData><row><c r="A1" t="s"><v>0</v></c><c r="C1" t="inlineStr"><is><t>V</t>'
            '</is></c></row><row><c r="A2" t="s"><v>1</v></c><c r="B2"><v>9</v></c><c r="C2"><v>8.2</v></c></row>'
            '<row><c r="C3"><v>5</v></c></row></sheetData></worksheet>',
        )
    assert read_xlsx(path) == {"One": [{"Word": "joy", "V": "8.2"}, {"V": "5"}]}


class _Server:
    """A real web server on this machine, for downloads."""

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(_QuietHandler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        del format, args


def _entry(urls: tuple[str, ...], digest: str) -> NormsEntry:
    files = (NormsFile("vader_lexicon.txt", digest, urls),)
    return dataclasses.replace(REGISTRY["vader"], files=files, n_words=1)


def test_fetch_downloads_from_the_next_address_and_checks_the_hash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served, cache = tmp_path / "served", tmp_path / "cache"
    served.mkdir()
    (served / "good.txt").write_bytes(b"joy\t2\t1\t[2, 2, 4]\n")
    digest = hashlib.sha256(b"joy\t2\t1\t[2, 2, 4]\n").hexdigest()
    monkeypatch.setattr(load, "cache_folder", lambda: cache)
    monkeypatch.delenv("EMOTION_INTERP_DATA", raising=False)
    with _Server(served) as address:
        entry = _entry((f"{address}/missing.txt", f"{address}/good.txt"), digest)
        monkeypatch.setitem(REGISTRY, "vader", entry)
        (path,) = fetch_norms("vader")
    assert sha256_file(path) == digest
    assert load_norms("vader").words == ["joy"]


def test_fetch_of_another_file_says_what_to_put_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served, cache = tmp_path / "served", tmp_path / "cache"
    served.mkdir()
    (served / "changed.txt").write_text("something else")
    monkeypatch.setattr(load, "cache_folder", lambda: cache)
    with _Server(served) as address:
        monkeypatch.setitem(REGISTRY, "vader", _entry((f"{address}/changed.txt",), "0" * 64))
        with pytest.raises(EmotionInterpError, match="by hand at .*vader_lexicon.txt"):
            fetch_norms("vader")
    assert not (cache / "vader_lexicon.txt").exists()


def test_fetch_without_a_network_says_what_to_put_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(load, "cache_folder", lambda: tmp_path)
    # port 9 of this machine: nobody listens there
    monkeypatch.setitem(REGISTRY, "vader", _entry(("http://127.0.0.1:9/x.txt",), "0" * 64))
    with pytest.raises(EmotionInterpError, match="could not be downloaded"):
        fetch_norms("vader")


def test_fetch_of_builtin_downloads_nothing() -> None:
    assert [p.name for p in fetch_norms("builtin")] == ["builtin.csv"]
