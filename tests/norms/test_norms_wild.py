"""Norms as people have them: layouts of spreadsheets, damaged editions, spelling that may vary and spelling that may not."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import unicodedata
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emotion_interp.core import EmotionInterpError, FileFormatError
from emotion_interp.norms import REGISTRY, Norms, fetch_norms, load, load_norms, norms_table

DATA = Path(os.environ.get("EMOTION_INTERP_DATA", "nowhere")) / "norms"


def own(folder: Path, text: str, name: str = "mine.csv", encoding: str = "utf-8", **options) -> Norms:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return load_norms("csv", path, **options)


def values(norms: Norms) -> dict[str, list[float]]:
    return {row[0]: list(row[1:]) for row in norms.table[["word", "valence", "arousal"]].itertuples(index=False)}


# -- layouts -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "word,valence,arousal\njoy,8.2,5.5,\nawe,7,6,\n",
        "word,valence,arousal,\njoy,8.2,5.5,\nawe,7,6,\n",
        ",word,valence,arousal\n0,joy,8.2,5.5\n1,awe,7,6\n",
        "word;valence;arousal\njoy;8,2;5,5\nawe;7;6\n",
        "word\tvalence\tarousal\njoy\t8,2\t5,5\nawe\t7\t6\n",
        "Word,VALENCE,Arousal\n joy ,8.2, 5.5\n awe,7 ,6\n",
        "arousal,comment,valence,word\n5.5,x,8.2,joy\n6,,7,awe\n",
        'word,valence,arousal\n"joy","8,2","5,5"\n"awe",7,6\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_own_tables_are_read_right_as_spreadsheets_write_them(tmp_path, text, encoding):
    assert values(own(tmp_path, text, encoding=encoding)) == {"joy": [8.2, 5.5], "awe": [7, 6]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word,valence\njoy,8,2\n", "line 2: 3 cells where the header has 2"),
        ("word,valence,Valence\njoy,8,2\n", "2 columns for 'valence'"),
        ("word,word,valence\njoy,awe,2\n", "2 columns for 'word'"),
        ("word,valence,valence\njoy,8,2\n", "2 columns for 'valence'"),
        ("joy,8.2\nawe,7\n", "first line names the columns"),
        ("word,valence\njoy,8.2\n,7\n", "line 3: a rating without a word"),
        ("word;valence\njoy;8,2\nawe;7.5\n", "line 2: valence of 'joy' is '8,2'.*in all rows or in none"),
        ("word;valence;n\njoy;8;1,234\nawe;7;2,345\n", "decimal comma, thousands"),
        ("word;valence;n\njoy;8,2;1.234\nawe;7;20\n", "line 2: n is '1.234', which may be thousands"),
        ("word;valence;n\njoy;8,2;1.000\nawe;7;950\n", "which may be thousands"),
        ("word,valence\njoy,8.2\nawe,inf\n", "line 3.*'inf'"),
        ("valence,word\n1,5\n2,6\n3,7\n4,8\n", "the words are numbers"),
        ('word,valence\n"joy,8\nawe",7\n', "goes over several lines"),
        ("word,valence\njoy,8.2\0\n", "NUL"),
    ],
)
def test_own_tables_that_cannot_be_right_are_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        own(tmp_path, text)
    assert len(str(caught.value).splitlines()) == 1 and "mine.csv" in str(caught.value)


def test_na_is_missing_and_null_is_a_word(tmp_path):
    norms = own(tmp_path, "word,valence,arousal\nnull,8,NA\nNA,2,nan\n")
    assert norms.words == ["null", "NA"] and norms.table["arousal"].isna().all()


def book(rows: list[list[object]], sheets: int = 1) -> bytes:
    import io

    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    body = ""
    for r, row in enumerate(rows, 1):
        inner = ""
        for c, value in zip("ABCDEFG", row, strict=False):
            if isinstance(value, bool):
                inner += f'<c r="{c}{r}" t="b"><v>{int(value)}</v></c>'
            elif isinstance(value, str):
                inner += f'<c r="{c}{r}" t="inlineStr"><is><t>{value}</t></is></c>'
            elif value is not None:
                inner += f'<c r="{c}{r}"><v>{value}</v></c>'
        body += f'<row r="{r}">{inner}</row>'
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        named = "".join(f'<sheet name="S{k}" r:id="rId{k}"/>' for k in range(sheets))
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{named}</sheets></workbook>'
        )
        links = "".join(f'<Relationship Id="rId{k}" Target="worksheets/s{k}.xml"/>' for k in range(sheets))
        archive.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="x">{links}</Relationships>')
        for k in range(sheets):
            sheet = f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>'
            archive.writestr(f"xl/worksheets/s{k}.xml", sheet)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["mine.xlsx", "mine.csv"])
def test_a_workbook_is_known_by_its_first_bytes_and_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(book([["word", "valence", "arousal"], ["joy", 8.2, 5.5], [True, 7, None]]))
    norms = load_norms("csv", path)
    # Excel makes a truth value of the word
    assert norms.words == ["joy", "TRUE"] and norms.lookup(["true"])["valence"].item() == 7
    assert norms.table["arousal"].tolist()[0] == 5.5 and np.isnan(norms.table["arousal"][1])
    path.write_bytes(book([["word", "valence"], ["joy", 8.2]], sheets=2))
    with pytest.raises(FileFormatError, match="2 sheets"):
        load_norms("csv", path)


def test_registered_norms_are_read_from_a_workbook_or_a_table_whatever_was_published(tmp_path):
    from_text, from_book = tmp_path / "Hinojosa2016.xlsx", tmp_path / "anew.csv"
    from_text.write_text("Word;Val_Mn;Val_SD;Ar_Mn;Ar_SD\namor;8,5;0,7;6,1;1,9\n", encoding="utf-8")
    header = ["Description", "Word No.", "Valence Mean", "Valence SD", "Arousal Mean", "Arousal SD"]
    dominance = ["Dominance Mean"]
    from_book.write_bytes(book([[*header, *dominance], ["joy", 1, 8.6, 0.7, 7.2, 2.1, 6.3]]))
    with pytest.warns(UserWarning, match="Hinojosa2016"):
        assert load_norms("hinojosa2016", from_text).table["valence"].tolist() == [8.5]
    assert load_norms("anew", from_book).table["dominance"].tolist() == [6.3]


def test_nrc_vad_of_2018_has_no_header(tmp_path):
    path = tmp_path / "NRC-VAD-Lexicon.txt"
    path.write_text("aaaaaaah\t0.479\t0.606\t0.291\nnull\t0.3\t0.2\t0.1\n", encoding="utf-8")
    norms = load_norms("nrc-vad-v1", path)
    assert norms.words == ["aaaaaaah", "null"] and norms.scale == (0, 1)
    assert norms.table["arousal"].tolist() == [0.606, 0.2] and norms.table["dominance"].tolist() == [0.291, 0.1]


def test_columns_of_published_norms_that_occur_twice_are_refused(tmp_path):
    path = tmp_path / "CVAW.csv"
    path.write_text("Word,Valence_Mean,valence mean,Arousal_Mean\na,1,2,3\n", encoding="utf-8")
    with pytest.raises(FileFormatError, match="2 columns for valence"):
        load_norms("cvaw", path)
    path = tmp_path / "Ratings_Warriner_et_al.csv"
    path.write_text("Word,Word,V.Mean.Sum\na,1,2\n", encoding="utf-8")
    with (
        pytest.raises(FileFormatError, match=r"lacks the column|several columns called 'Word'"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        load_norms("warriner", path)


# -- CVAW 3 ------------------------------------------------------------------------------------------------------------
CVAW3 = (
    "No.,Word,Valence_Mean,Valence_SD,Arousal_Mean,Arousal_SD,Frequency\n"
    "1,\u5feb\u6a02,7.8 ,0.500 ,6.2 ,1.327 ,80\n2,\u5fcd\u8010,4.6,1.02,4.4,1.36,60\n3,\u5fcd\u8010,4.5,0.894,4.7,1.661,60\n"
)


def test_cvaw3_pads_its_values_and_rates_a_word_twice(tmp_path):
    path = tmp_path / "cvaw3.csv"
    path.write_text(CVAW3, encoding="utf-8-sig")
    with pytest.warns(UserWarning, match="another edition"):
        norms = load_norms("cvaw3", path)
    assert norms.table["valence"].tolist() == [7.8, 4.55] and norms.table["arousal_sd"][0] == 1.327
    found = norms.lookup(["\u5feb\u4e50", "\u5feb\u6a02"])
    assert found["valence"].tolist() == [7.8, 7.8] and found["matched_by"].tolist() == ["script", "exact"]
    assert norms.scale == (1, 9) and norms.language == "zh"
    with pytest.raises(EmotionInterpError, match="no public address"):
        fetch_norms("cvaw3")
    row = norms_table().set_index("name").loc["cvaw3"]
    assert row["url"] == "" and len(row["sha256"]) == 64 and "academic use" in row["licence"]


@pytest.mark.skipif(not (DATA / "cvaw3.csv").is_file(), reason="EMOTION_INTERP_DATA holds no norms/cvaw3.csv")
def test_cvaw3_loads_whole_and_agrees_with_labmt():
    norms = load_norms("cvaw3")
    assert len(norms) == REGISTRY["cvaw3"].n_words == 3548
    other = load_norms("labmt-zh").lookup(norms.words)["valence"].to_numpy()
    both = np.isfinite(other)
    assert both.sum() > 300 and np.corrcoef(norms.table["valence"][both], other[both])[0, 1] > 0.8


# -- the registered file -----------------------------------------------------------------------------------------------
def test_a_registered_file_that_was_changed_is_refused_or_named(tmp_path, monkeypatch):
    text = "joy\t2\t1\t[2, 2, 4]\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    files = (dataclasses.replace(REGISTRY["vader"].files[0], sha256=digest),)
    monkeypatch.setitem(REGISTRY, "vader", dataclasses.replace(REGISTRY["vader"], files=files))
    monkeypatch.setenv("EMOTION_INTERP_DATA", str(tmp_path))
    monkeypatch.setattr(load, "cache_folder", lambda: tmp_path / "cache")
    path = tmp_path / "norms" / "vader_lexicon.txt"
    path.parent.mkdir()
    path.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_norms("vader").words == load_norms("vader", path).words == ["joy"]
    path.write_text(text.replace("2, 2, 4", "2, 2, 3"))
    with pytest.raises(FileFormatError, match=r"SHA-256 differs.*fetch_norms\('vader'\)") as caught:
        load_norms("vader")
    assert len(str(caught.value).splitlines()) == 1
    with pytest.warns(UserWarning, match="SHA-256 differs"):
        assert load_norms("vader", path).words == ["joy"]


# -- numbers that cannot be --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("column", ["valence_sd", "arousal_sd", "valence_n", "arousal_n", "n"])
@pytest.mark.parametrize("value", [-1.0, -0.001, np.inf])
def test_negative_and_infinite_sd_and_raters_are_refused(column, value):
    table = pd.DataFrame({"word": ["joy", "awe"], "valence": [8.0, 7.0], "arousal": [5.0, 5.0], column: [1.0, value]})
    with pytest.raises(EmotionInterpError, match=f"{column} of 'awe' is"):
        Norms("mine", "en", table, (1, 9))
    table[column] = [1.0, np.nan]
    assert len(Norms("mine", "en", table, (1, 9))) == 2


# -- spelling ----------------------------------------------------------------------------------------------------------
def norms_of(language: str, *words: str) -> Norms:
    return Norms(
        "mine", language, pd.DataFrame({"word": list(words), "valence": [2.0 + k for k in range(len(words))]}), (1, 99)
    )


@pytest.mark.parametrize(
    "language", ["ja", "ru", "sv", "da", "no", "de", "es", "en", "tr", "pl", "vi", "uk", "hu", "el"]
)
@pytest.mark.parametrize(
    ("rated", "asked"),
    [
        ("\u304c", "\u304b"),
        ("\u30d1", "\u30cf"),
        ("\u0439", "\u0438"),
        ("\u0451\u043b\u043a\u0430", "\u0435\u043b\u043a\u0430"),
        ("\u0457", "\u0456"),
        ("f\u00e5r", "far"),
        ("sj\u00f6", "sjo"),
        ("h\u00e4r", "har"),
        ("\u00f8re", "ore"),
        ("a\u00f1o", "ano"),
        ("\u015fok", "sok"),
        ("\u0142za", "lza"),
        ("ma\u00dfe", "masse"),
    ],
)
def test_letters_of_their_own_are_never_folded(language, rated, asked):
    for spelling in (rated, unicodedata.normalize("NFD", rated)):
        norms = norms_of(language, spelling)
        assert norms.unmatched([asked]) == [asked], (rated, asked)
        assert norms.lookup([rated])["matched_by"].item() == "exact"


@pytest.mark.parametrize(
    ("language", "rated", "asked"),
    [
        ("es", "coraz\u00f3n", "corazon"),
        ("es-MX", "ping\u00fcino", "pinguino"),
        ("fr", "\u00e9t\u00e9", "ete"),
        ("pt_BR", "cora\u00e7\u00e3o", "coracao"),
        ("it", "felicit\u00e0", "felicita"),
        ("ca", "al\u00e7ada", "alcada"),
        ("en", "caf\u00e9", "CAFE"),
    ],
)
def test_accents_fold_where_people_leave_them_out_and_the_report_says_so(language, rated, asked):
    norms = norms_of(language, rated, "other")
    row = norms.lookup([asked]).iloc[0]
    assert row["valence"] == 2 and row["matched_by"] == "accents" and row["matched"] == rated
    assert norms.match_report([asked, rated, "none"])["matched_by"].tolist() == ["accents", ""]
    # an accent that was written was meant
    assert norms_of(language, asked.lower()).unmatched([rated]) == [rated]


def test_of_two_accented_words_the_bare_one_is_neither():
    assert norms_of("es", "pap\u00e1", "p\u00e1pa").unmatched(["papa"]) == ["papa"]


def test_case_is_said_and_of_two_words_in_one_case_the_plain_one_is_meant():
    norms = norms_of("en", "Polish", "polish", "joy", "US", "uS")
    found = norms.lookup(["POLISH", "Polish", "Joy", "us"])
    assert found["matched_by"].tolist() == ["case", "exact", "case", ""]
    assert found["matched"].tolist()[:3] == ["polish", "Polish", "joy"]


def test_scripts_of_chinese_match_when_they_are_one_word_only():
    traditional = norms_of("zh-Hant", "\u767c", "\u9aee", "\u5feb\u6a02", "\u7687\u540e")
    # 发 may be 發 or 髮; 快乐 is 快樂 alone; a traditional word is no other traditional word
    assert traditional.lookup(["\u53d1", "\u5feb\u4e50", "\u9aee"])["matched_by"].tolist() == ["", "script", "exact"]
    only = norms_of("zh", "\u767c")
    assert only.unmatched(["\u9aee"]) == ["\u9aee"] and only.matched(["\u53d1"]) == ["\u53d1"]
    simplified = norms_of("zh", "\u53d1", "\u5feb\u4e50")
    assert simplified.lookup(["\u9aee", "\u5feb\u6a02"])["matched_by"].tolist() == ["script", "script"]
    assert norms_of("ja", "\u767c").unmatched(["\u53d1"]) == ["\u53d1"]
