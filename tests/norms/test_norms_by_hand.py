"""Norms that users bring: made-up tables in the documented layouts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from emotion_interp.core import EmotionInterpError, FileFormatError
from emotion_interp.norms import REGISTRY, fetch_norms, load, load_norms, norms_table

NRC1 = 'Word\tValence\tArousal\tDominance\njoy\t0.980\t0.824\t0.794\nnull\t0.3\t0.2\t0.1\n"\t0.5\t0.5\t0.5\n'
NRC2 = "term\tvalence\tarousal\tdominance\njoy\t0.96\t0.648\t0.588\nat odds\t-0.5\t0.1\t-0.2\n"
ANEW = (
    "Description,Word No.,Valence Mean,Valence SD,Arousal Mean,Arousal SD,Dominance Mean,Dominance SD,Word Frequency\n"
    "joy,243,8.6,0.71,7.22,2.13,6.28,2.15,40\nabduction,621,2.76,2.06,5.53,2.43,3.49,2.38,.\n"
)
GLASGOW = (
    "Words,Length,AROU,,,VAL,,,DOM,,,CNC,,\n,,M,SD,N,M,SD,N,M,SD,N,M,SD,N\n"
    "joy,3,6.5,2.1,33,8.4,0.9,34,6.1,1.6,32,3.1,1.2,30\nbank (money),12,4.4,1.6,33,5.5,1.4,34,5,1.8,32,6,1,30\n"
)
EMOBANK = 'id,split,V,A,D,text\n1,train,3.0,3.2,3.1,"He said ""no"", twice."\n2,dev,4,4,3,Good.\n3,test,3,2,3,Good. \n'
XU = "Word,Valence_Mean,Valence_SD,Arousal_Mean,Arousal_SD\n\u5feb\u4e50,2.4,0.6,2.5,0.8\n\u60b2\u4f24,-2.1,0.7,1,1\n"
CVAW = (
    "No.,Word,Valence_Mean,Valence_SD,Arousal_Mean,Arousal_SD\n1,\u5feb\u6a02,7.8,0.5,6.2,1\n2,\u60b2\u50b7,2,0.5,5,1\n"
)
TABLES = {
    "nrc-vad-v1": NRC1,
    "nrc-vad-v2": NRC2,
    "anew": ANEW,
    "glasgow": GLASGOW,
    "emobank": EMOBANK,
    "xu2022": XU,
    "cvaw": CVAW,
}


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / REGISTRY[name].files[0].name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "word", "valence", "arousal", "n"),
    [
        ("nrc-vad-v1", "joy", 0.98, 0.824, 3),
        ("nrc-vad-v2", "at odds", -0.5, 0.1, 2),
        ("anew", "abduction", 2.76, 5.53, 2),
        ("glasgow", "bank (money)", 5.5, 4.4, 2),
        ("emobank", 'He said "no", twice.', 3.0, 3.2, 2),
        ("emobank", "Good.", 3.5, 3.0, 2),
        ("xu2022", "\u5feb\u4e50", 2.4, 0.75, 2),
        ("cvaw", "\u5feb\u6a02", 7.8, 6.2, 2),
    ],
)
def test_documented_layout_is_read(
    tmp_path: Path, name: str, word: str, valence: float, arousal: float, n: int
) -> None:
    norms = load_norms(name, written(tmp_path, name, TABLES[name]))
    entry, row = REGISTRY[name], norms.lookup([word]).iloc[0]
    np.testing.assert_allclose((row["valence"], row["arousal"]), (valence, arousal))
    assert len(norms) == n and norms.dimensions == entry.dimensions and norms.scale == entry.scale
    assert norms.language == entry.language and norms.citation


def test_words_that_look_like_missing_values_or_quotes_stay_words(tmp_path: Path) -> None:
    assert load_norms("nrc-vad-v1", written(tmp_path, "nrc-vad-v1", NRC1)).words == ["joy", "null", '"']


def test_deviations_and_raters_come_with_the_ratings(tmp_path: Path) -> None:
    row = load_norms("glasgow", written(tmp_path, "glasgow", GLASGOW)).lookup(["joy"]).iloc[0]
    names = ("valence_sd", "valence_n", "arousal_sd", "arousal_n", "dominance", "dominance_n")
    assert row[list(names)].tolist() == [0.9, 34, 2.1, 33, 6.1, 32]
    assert load_norms("anew", written(tmp_path, "anew", ANEW)).lookup(["joy"])["arousal_sd"].item() == 2.13


def test_arousal_of_xu_is_put_on_the_scale_of_valence(tmp_path: Path) -> None:
    table = load_norms("xu2022", written(tmp_path, "xu2022", XU)).table
    np.testing.assert_allclose(table["arousal"], np.array([2.5, 1.0]) * 1.5 - 3)
    np.testing.assert_allclose(table["arousal_sd"], np.array([0.8, 1.0]) * 1.5)
    np.testing.assert_allclose(table["valence_sd"], [0.6, 0.7])
    with pytest.raises(FileFormatError, match="from 0 to 4"):
        load_norms("xu2022", written(tmp_path, "xu2022", XU.replace(",2.5,", ",4.5,")))


def test_columns_are_found_whatever_their_case_and_separators(tmp_path: Path) -> None:
    tabs = CVAW.replace(",", "\t").replace("Valence_Mean", "valence mean").replace("Arousal_SD", "AROUSAL.SD")
    table = load_norms("cvaw", written(tmp_path, "cvaw", tabs)).table
    assert table["valence"].tolist() == [7.8, 2] and table["arousal_sd"].tolist() == [1, 1]


def test_traditional_and_simplified_characters_match(tmp_path: Path) -> None:
    norms = load_norms("cvaw", written(tmp_path, "cvaw", CVAW))
    assert norms.lookup(["\u5feb\u4e50"])["valence"].item() == 7.8


@pytest.mark.parametrize("name", list(TABLES))
def test_a_file_without_its_columns_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, "a,b\n1,2\n3,4\n5,6\n")
    with pytest.raises(FileFormatError, match=path.name.replace(".", r"\.")):
        load_norms(name, path)


def test_wrong_scales_and_words_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EmotionInterpError, match="outside the scale 0 to 1"):
        load_norms("nrc-vad-v1", written(tmp_path, "nrc-vad-v1", NRC2))
    with pytest.raises(FileFormatError, match="twice"):
        load_norms("cvaw", written(tmp_path, "cvaw", CVAW + CVAW.splitlines()[1] + "\n"))
    with pytest.raises(FileFormatError, match="two header rows"):
        load_norms("glasgow", written(tmp_path, "glasgow", "Words,Length\n"))


def test_norms_without_an_address_say_where_they_are_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOTION_INTERP_DATA", str(tmp_path))
    monkeypatch.setattr(load, "cache_folder", lambda: tmp_path / "cache")
    with pytest.raises(FileFormatError, match="Put anew.csv .from https://csea"):
        load_norms("anew")
    with pytest.raises(EmotionInterpError, match="no public address"):
        fetch_norms("anew")
    table = norms_table().set_index("name")
    assert table.loc["anew", "url"] == "" and table.loc["anew", "homepage"].startswith("https://csea")


@pytest.mark.skipif(
    not (Path(os.environ.get("EMOTION_INTERP_DATA", "nowhere")) / "labelled" / "emobank").is_dir(),
    reason="EMOTION_INTERP_DATA names no folder with labelled/emobank",
)
def test_emobank_loads_whole() -> None:
    entry, norms = REGISTRY["emobank"], load_norms("emobank")
    assert len(norms) == entry.n_words and norms.sources == {f.name: f.sha256 for f in entry.files}
    assert norms.ceiling == {}
