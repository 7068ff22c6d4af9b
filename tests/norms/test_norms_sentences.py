"""Norms of sentences: DimABSA's layout, groups, the real files; and matching on real norms."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from emotion_interp.core import FileFormatError, UnknownNameError
from emotion_interp.core.files import sha256_file
from emotion_interp.norms import REGISTRY, Norms, load_norms
from emotion_interp.norms.sentences import read_dimabsa, read_emobank

DATA = Path(os.environ.get("EMOTION_INTERP_DATA", "nowhere"))
needs_labelled = pytest.mark.skipif(
    not (DATA / "labelled" / "dimabsa").is_dir(), reason="EMOTION_INTERP_DATA names no folder with labelled/dimabsa"
)
needs_norms = pytest.mark.skipif(
    not (DATA / "norms").is_dir(), reason="EMOTION_INTERP_DATA names no folder with norms/"
)

LINES = [
    {"ID": "R1:S0", "Text": "Good food. ", "Aspect_VA": [{"Aspect": "food", "VA": "7.00#6.00"}]},
    {
        "ID": "R1:S1",
        "Text": "Slow but kind.",
        "Quadruplet": [{"Aspect": "service", "VA": "3.00#5.00"}, {"Aspect": "NULL", "VA": "8.00#6.00"}],
    },
    {"ID": "lap_9", "Text": "Good food.", "Aspect_VA": [{"Aspect": "food", "VA": "8.00#7.00"}]},
]


def written(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_aspects_of_a_sentence_are_averaged_over_all_files(tmp_path: Path) -> None:
    frame = read_dimabsa([written(tmp_path / "a.jsonl", LINES[:2]), written(tmp_path / "b.jsonl", LINES[2:])])
    assert frame["word"].tolist() == ["Good food.", "Slow but kind."]
    np.testing.assert_allclose(frame[["valence", "arousal", "n_aspects"]], [[7.5, 6.5, 2], [5.5, 5.5, 2]])
    assert frame["group"].tolist() == ["R1", "R1"]


@pytest.mark.parametrize(
    "broken", [{"ID": "1", "Text": "x"}, {"ID": "1", "Text": "x", "Aspect_VA": [{"VA": "7"}]}, [1], {"Aspect_VA": []}]
)
def test_a_broken_line_is_named(tmp_path: Path, broken: object) -> None:
    with pytest.raises(FileFormatError, match="line 2"):
        read_dimabsa([written(tmp_path / "a.jsonl", [LINES[0], broken])])


def test_emobank_groups_sentences_by_document(tmp_path: Path) -> None:
    path = tmp_path / "emobank.csv"
    path.write_text(
        "id,split,V,A,D,text\nwsj_0006_10_40,train,3,3,3,One.\nwsj_0006_41_60,test,3,3,3,Two.\nSemEval_7,dev,3,3,3,Six.\n"
    )
    assert read_emobank([path])["group"].tolist() == ["wsj_0006", "wsj_0006", "SemEval_7"]


def test_an_unknown_unit_is_refused() -> None:
    table = load_norms("builtin").table
    with pytest.raises(UnknownNameError, match="unit of norms"):
        Norms("x", "en", table, (1, 9), unit="paragraph")  # type: ignore[arg-type]


@needs_labelled
@pytest.mark.parametrize("name", ["emobank", "dimabsa_en", "dimabsa_zh"])
def test_sentence_norms_load_whole(name: str) -> None:
    entry, norms = REGISTRY[name], load_norms(name)
    assert norms.unit == "sentence" and "sentences" in repr(norms) and len(norms) == entry.n_words
    folder = DATA / "labelled" / (entry.folder or name)
    assert norms.sources == {f.name: f.sha256 for f in entry.files}
    assert all(sha256_file(folder / f.name) == f.sha256 for f in entry.files)
    assert norms.dimensions == entry.dimensions and norms.table["group"].notna().all()
    assert norms.unmatched(norms.words[::50]) == []


@needs_labelled
def test_a_known_sentence_of_dimabsa_has_the_mean_of_its_aspects() -> None:
    row = load_norms("dimabsa_zh").lookup(["經典黃悶魷魚好吃！酸湯的也很不錯，但對我來說有點太辣。"]).iloc[0]
    assert row["valence"] == pytest.approx(np.mean([6.75, 6.5, 4.12])) and row["group"] == "R6480"
    assert load_norms("dimabsa_en").lookup(["I am so disappointed in HP"])["arousal"].item() == 6.75


@needs_norms
def test_traditional_words_find_the_simplified_ratings_of_the_real_files() -> None:
    for name, traditional, simplified in (("labmt-zh", "歡樂", "欢乐"), ("sev", "誠實", "诚实")):
        norms = load_norms(name)
        assert simplified in norms.words and traditional not in norms.words
        values = norms.lookup([traditional, simplified])["valence"].to_numpy()
        assert np.isfinite(values).all() and values[0] == values[1]


@needs_norms
def test_accents_and_case_find_the_real_spanish_words() -> None:
    for name in ("stadthagen2017", "hinojosa2016", "labmt-es"):
        norms = load_norms(name)
        accented = [w for w in norms.words if "ó" in w and w.replace("ó", "o") not in norms.words and w.isalpha()][:20]
        assert len(accented) == 20
        bare = [w.replace("ó", "o").upper() for w in accented]
        assert norms.lookup(bare)["matched"].tolist() == accented


@needs_norms
@pytest.mark.parametrize(
    "name", ["warriner", "stadthagen2017", "hinojosa2016", "sev", "labmt-en", "labmt-zh", "labmt-es", "vader"]
)
def test_what_does_not_match_is_listed_and_the_rest_is_all_there(name: str) -> None:
    norms = load_norms(name)
    asked = [*norms.words[::97], "qqqzzz", "§§"]
    assert norms.unmatched(asked) == ["qqqzzz", "§§"]
    assert len(norms.matched(asked)) == len(asked) - 2
