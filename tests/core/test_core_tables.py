"""Tables as they are in the wild: a row has the cells of the header, or its line is refused."""

from __future__ import annotations

import pytest

from emotion_interp.core import FileFormatError
from emotion_interp.core.tables import read_table, separator_of


def table(tmp_path, text: str, name: str = "t.csv", **options):
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8"))
    return read_table(path, **options)


def cells(read) -> list[list[str]]:
    return [list(row.values()) for _, row in read]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("word,valence,arousal\njoy,8.2,5.5,\nawe,7,6,\n", [["joy", "8.2", "5.5"], ["awe", "7", "6"]]),
        ("word,valence,arousal,\njoy,8.2,5.5,\nawe,7,6\n", [["joy", "8.2", "5.5"], ["awe", "7", "6"]]),
        ("word,valence,arousal,,,\njoy,8.2,5.5,,,\n", [["joy", "8.2", "5.5"]]),
        ("word,valence,arousal\njoy,8.2,5.5,,\nawe,7,6\n", [["joy", "8.2", "5.5"], ["awe", "7", "6"]]),
        ("word;valence;arousal;\njoy;8,2;5,5;\n", [["joy", "8,2", "5,5"]]),
        ("word\tvalence\tarousal\t\njoy\t8.2\t5.5\t\n", [["joy", "8.2", "5.5"]]),
        ("\n\nword,valence,arousal\n\njoy,8.2,5.5\n,,\n\n", [["joy", "8.2", "5.5"]]),
        ('"word","valence","arousal"\r\n"joy","8.2","5.5"\r\n', [["joy", "8.2", "5.5"]]),
        ('word\tvalence\tarousal\n"joy"\t"8.2"\t"5.5"\n', [["joy", "8.2", "5.5"]]),
        ("sep=;\nword;valence;arousal\njoy;8.2;5.5\n", [["joy", "8.2", "5.5"]]),
        ("word,valence,arousal\rjoy,8.2,5.5\r", [["joy", "8.2", "5.5"]]),
    ],
)
def test_trailing_separators_never_shift_a_column(tmp_path, text, rows):
    read = table(tmp_path, text)
    assert read.columns == ("word", "valence", "arousal") and cells(read) == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,emotion\nI am well, thanks,joy\n", "line 2: 3 cells where the header has 2"),
        ("text,emotion\nfine,joy\nwell,\nI am well, thanks,joy\n", "line 4: 3 cells"),
        ("text,emotion,\nI am well, thanks,joy,\n", "line 2: 4 cells where the header has 2"),
        ("text,emotion,,\nI am well, thanks,joy,\n", "line 2: 4 cells"),
        ("text,,emotion\nI am well, thanks,joy\n", "cell 2 is in a column without a name"),
        ("word,valence,arousal\njoy,8.2\n", "line 2: the arousal is empty, as the row has 2"),
        ("word,valence,arousal\njoy8.2,5.5\n", "line 2: the arousal is empty"),
        ('text,emotion\nwell,joy\n"I wept,fear\n', "line 3.* not closed"),
        ('text,emotion\n"He said "no", twice",joy\n', "line 2"),
        ("a\tb\nx\ty\tz\n", "line 2: 3 cells"),
        (",,\n,,\n", "no line of it has a text"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        table(tmp_path, text)
    assert len(str(caught.value).splitlines()) == 1


def test_quotes_between_tabs_are_letters_and_fuse_no_rows(tmp_path):
    text = 'cue\tresponse\tN\njoy\t"happy\t3\njoy\t5" nail\t2\njoy\tend"\t1\njoy\t"whole"\t1\n'
    assert [row[1] for row in cells(table(tmp_path, text))] == ['"happy', '5" nail', 'end"', "whole"]
    # Excel puts a cell with a tab or a line end in quotes
    text = 'text\temotion\n"two\nlines"\tjoy\n"a\ttab"\tfear\n'
    assert cells(table(tmp_path, text)) == [["two\nlines", "joy"], ["a\ttab", "fear"]]


def test_quotes_between_commas_are_those_of_csv_else_letters(tmp_path):
    text = 'text,emotion\n"Well, fine",joy\n"He said ""no"".",fear\n5" nails,awe\n'
    assert [row[0] for row in cells(table(tmp_path, text))] == ["Well, fine", 'He said "no".', '5" nails']
    assert cells(table(tmp_path, 'text,emotion\n"wow" he said,joy\n')) == [['"wow" he said', "joy"]]
    assert cells(table(tmp_path, 'text,emotion\n"a", "joy"\n"b, c", "fear"\n')) == [["a", "joy"], ["b, c", "fear"]]


def test_the_first_column_may_be_a_number_without_a_name(tmp_path):
    read = table(tmp_path, ",word,valence\n0,joy,8\n1,awe,7\n")
    assert read.find("word") == "word" and cells(read) == [["0", "joy", "8"], ["1", "awe", "7"]]


def test_columns_called_alike_are_refused_where_they_are_asked_for(tmp_path):
    read = table(tmp_path, "Word,word,valence,note,note\na,b,1,x,y\n")
    assert read.find("valence") == "valence" and read.find("Valence") == "valence" and read.find("arousal") is None
    for name in ("word", "Word", "note"):
        with pytest.raises(FileFormatError, match="2 columns for"):
            read.find(name)


def test_the_line_is_that_of_the_file(tmp_path):
    read = table(tmp_path, '# a comment\n# another\nword,note\njoy,"two\nlines"\n\nawe,x\n', comment="#")
    assert [line for line, _ in read] == [4, 7]
    assert list(read.frame().index) == [4, 7]


def test_a_header_may_go_over_lines_and_swallows_no_rows(tmp_path):
    assert table(tmp_path, 'word,"valence\nmean"\njoy,8\n').columns == ("word", "valence mean")
    with pytest.raises(FileFormatError, match="a quote in the header is not closed"):
        table(tmp_path, '"word,valence\n' + "joy,8\n" * 60 + '",x\na,b\n')


def test_the_separator_is_that_of_the_header():
    for text, sign in (("a,b", ","), ("a;b", ";"), ("a\tb,c", "\t"), ("a|b", "|"), ('"a,b";c', ";"), ("word", ",")):
        assert separator_of(f"\n{text}\n1;2,3") == sign
