"""Mutated files of every kind that a user brings: right values, or one clear line; never a shifted column, never a raw exception.

`EMOTION_INTERP_HYPOTHESIS=2000` runs so many mutated files instead of 150, shared out over the kinds.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotion_interp.concepts import ConceptSet, corpus_stimuli
from emotion_interp.core import EmotionInterpError
from emotion_interp.geometry import load_space
from emotion_interp.norms import load_norms
from emotion_interp.training.texts import load_texts

KINDS = 13
EXAMPLES = -(-int(os.environ.get("EMOTION_INTERP_HYPOTHESIS", "150")) // KINDS)
PLACE = tempfile.TemporaryDirectory(prefix="emotion_interp_fuzz_")
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

WORDS = ["joy", "grief", "calm", "café", "señal", "null", "at odds", "o'clock", "快樂", "awe"]
RANGES = {"valence": (1, 9), "arousal": (11, 19), "dominance": (21, 29), "n": (100, 199)}
"""Each column has numbers of its own, so that a shifted one shows."""


def rated(count: int = 6) -> list[dict[str, str]]:
    rows = []
    for k, word in enumerate(WORDS[:count]):
        row = {name: f"{low + k + 0.25:.2f}" for name, (low, _) in RANGES.items()}
        rows.append({"word": word, **row, "n": str(100 + k)})
    return rows


def right_or_one_line(read, name: str):
    """The value, or None where the file was refused with one line that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except EmotionInterpError as error:
        text = str(error)
        assert len(text.splitlines()) == 1 and len(text) < 900, text
        assert name.split(".")[0] in text, text
        return None


def file_of(name: str, raw: bytes) -> Path:
    path = Path(PLACE.name) / name
    # a new file, not new content: the last one may still be mapped
    path.unlink(missing_ok=True)
    path.write_bytes(raw)
    return path


# -- files that are right, however they are written --------------------------------------------------------------------
@st.composite
def layouts(draw):
    """How a table may be written by the programs people use."""
    separator = draw(st.sampled_from([",", ";", "\t"]))
    return {
        "separator": separator,
        "ending": draw(st.sampled_from(["\n", "\r\n"])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])),
        "quoted": draw(st.sampled_from(["none", "words", "all"])),
        "trailing": draw(st.sampled_from(["none", "rows", "all"])),
        "comma": separator != "," and draw(st.booleans()),
        "upper": draw(st.booleans()),
        "blank": draw(st.booleans()),
        "index": draw(st.booleans()),
        "packed": draw(st.booleans()),
        "noted": separator != "\t" and draw(st.booleans()),
    }


def written(rows: list[dict[str, str]], how: dict, numbers: tuple[str, ...] = ()) -> bytes:
    separator = how["separator"]

    def cell(text: str, is_word: bool) -> str:
        if how["quoted"] == "all" or (how["quoted"] == "words" and is_word) or separator in text:
            return '"' + text.replace('"', '""') + '"'
        return text

    names = list(rows[0])
    header = [name.capitalize() if how["upper"] else name for name in names]
    lines = [separator.join(cell(h, True) for h in header) + (separator if how["trailing"] == "all" else "")]
    for row in rows:
        cells = [
            cell(row[n].replace(".", ",") if how["comma"] and n in numbers else row[n], n not in numbers) for n in names
        ]
        lines.append(separator.join(cells) + (separator if how["trailing"] != "none" else ""))
        if how["blank"]:
            lines.append("")
    if how["index"]:
        lines = [line if not line else f"{'' if k == 0 else k}{separator}{line}" for k, line in enumerate(lines)]
    if how["noted"]:
        lines.insert(0, f"sep={separator}")
    raw = (how["ending"].join(lines) + how["ending"]).encode(how["encoding"])
    return gzip.compress(raw) if how["packed"] else raw


@fuzz
@given(layouts())
def test_norms_are_right_however_they_are_written(how):
    rows = rated()
    path = file_of("mine.csv", written(rows, how, tuple(RANGES)))
    table = load_norms("csv", path).table
    assert table["word"].tolist() == [row["word"] for row in rows]
    for name in RANGES:
        np.testing.assert_allclose(table[name], [float(row[name]) for row in rows])


@fuzz
@given(layouts())
def test_concepts_are_right_however_they_are_written(how):
    rows = [
        {"emotion": e, "word": w}
        for e, w in (("joy", "smile"), ("joy", "sun, moon"), ("fear", "dark"), ("fear", "señal"))
    ]
    concepts = ConceptSet.from_csv(file_of("set.csv", written(rows, how)), language="en")
    assert concepts.words("joy") == ("smile", "sun, moon") and concepts.words("fear") == ("dark", "señal")


@fuzz
@given(layouts())
def test_labelled_texts_are_right_however_they_are_written(how):
    texts = [
        'He said "no", twice.',
        "Well; fine, thanks",
        "快樂，真的",
        'a "quoted" word',
        "tabs are\tnot here".replace("\t", " "),
    ]
    rows = [
        {"text": t, "emotion": e, "group": g} for t, e, g in zip(texts, "abcab", ["x", "", "y", "", "x"], strict=True)
    ]
    if how["separator"] != "\t":
        # a text with quotes in it has to be quoted where the separator is no tab
        how = {**how, "quoted": "all"}
    got = corpus_stimuli(file_of("own.csv", written(rows, how)), "en")
    assert [(s.text, s.emotion) for s in got] == [(r["text"], r["emotion"]) for r in rows]
    groups = [s.group for s in got]
    assert groups[0] == groups[4] == "x" and groups[2] == "y" and len({groups[1], groups[3], "x", "y"}) == 4


@fuzz
@given(
    st.lists(
        st.sampled_from(['5" nail', '"', '"quote', 'end"', "fine", 'a "b" c', "señal"]),
        min_size=2,
        max_size=5,
        unique=True,
    )
)
def test_word_associations_keep_every_row_whatever_quotes_their_words_have(responses):
    lines = ["cue\tresponse\tR123\tN\tR123.Strength"]
    lines += [f"joy\t{r}\t{10 - k}\t100\t{(10 - k) / 100}" for k, r in enumerate(responses)]
    path = file_of("swow.csv", "\n".join([*lines, "sad\tblue\t9\t10\t.9"]).encode())
    got = ConceptSet.from_word_associations(path, {"joy": "joy"}, min_strength=0)
    assert list(got.words("joy")) == responses


# -- files that are damaged --------------------------------------------------------------------------------------------
STRUCTURE = [",", ";", "\t", '"', "\n", "\r", '""', ",,", " ", "\ufeff", ",\n", '",', '\n"']


@st.composite
def restructured(draw, text: str) -> str:
    """The text with some separators, quotes and line ends put in or taken out.

    One or two: with a line end and as many separators gone as a row has, two rows are one that fits.
    """
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(text)))
        if draw(st.booleans()):
            text = text[:place] + draw(st.sampled_from(STRUCTURE)) + text[place:]
        else:
            signs = [k for k, c in enumerate(text) if c in ',;\t"\n']
            if signs:
                gone = draw(st.sampled_from(signs))
                text = text[:gone] + text[gone + 1 :]
    return text


@st.composite
def damaged(draw, raw: bytes) -> bytes:
    """The bytes cut, doubled or changed somewhere."""
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(raw) - 1)))
        kind = draw(st.sampled_from(["cut", "flip", "drop", "double", "insert"]))
        if kind == "cut":
            raw = raw[:place]
        elif kind == "flip":
            raw = raw[:place] + bytes([raw[place] ^ (1 << draw(st.integers(0, 7)))]) + raw[place + 1 :] if raw else raw
        elif kind == "drop":
            raw = raw[:place] + raw[place + draw(st.integers(1, 40)) :]
        elif kind == "double":
            raw = raw[: place + 30] + raw[place:]
        else:
            raw = raw[:place] + draw(st.binary(min_size=1, max_size=6)) + raw[place:]
    return raw


def plain(rows: list[dict[str, str]], separator: str = ",") -> str:
    return "\n".join(separator.join(cells) for cells in [list(rows[0]), *(list(r.values()) for r in rows)]) + "\n"


@fuzz
@given(st.data(), st.sampled_from([",", ";", "\t"]))
def test_norms_with_separators_astray_are_never_shifted(data, separator):
    path = file_of("mine.csv", data.draw(restructured(plain(rated(), separator))).encode())
    norms = right_or_one_line(lambda: load_norms("csv", path), path.name)
    for row in () if norms is None else norms.table.to_dict("records"):
        assert not any(c.isdigit() for c in row["word"]), row
        for name, (low, high) in RANGES.items():
            # a number cut in two by a line or a blank may be a part of itself, but never that of another column
            value = row.get(name, np.nan)
            assert np.isnan(value) or low <= value <= high, row


@fuzz
@given(st.data(), st.sampled_from(["mine.csv", "mine.tsv", "mine.csv.gz"]))
def test_damaged_norms_are_read_or_refused_in_one_line(data, name):
    raw = plain(rated()).encode()
    raw = gzip.compress(raw) if name.endswith("gz") else raw
    path = file_of(name, data.draw(damaged(raw)))
    right_or_one_line(lambda: load_norms("csv", path), path.name)


@fuzz
@given(st.data())
def test_damaged_workbooks_are_right_or_refused_in_one_line(data):
    path = file_of("book.xlsx", data.draw(damaged(workbook())))
    norms = right_or_one_line(lambda: load_norms("csv", path), path.name)
    if norms is not None:
        # the archive carries checksums: what opens is what was written
        assert norms.words == ["joy", "grief"] and norms.table["valence"].tolist() == [8.25, 1.5]


def workbook(cells: tuple = (("word", "valence"), ("joy", 8.25), ("grief", 1.5))) -> bytes:
    import zipfile

    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    rows = ""
    for r, row in enumerate(cells, 1):
        inner = ""
        for c, value in zip("ABCDEFG", row, strict=False):
            inner += (
                f'<c r="{c}{r}" t="inlineStr"><is><t>{value}</t></is></c>'
                if isinstance(value, str)
                else f'<c r="{c}{r}"><v>{value}</v></c>'
            )
        rows += f'<row r="{r}">{inner}</row>'
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        sheets = '<sheets><sheet name="One" r:id="rId1"/></sheets>'
        archive.writestr("xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{office}">{sheets}</workbook>')
        link = '<Relationship Id="rId1" Target="worksheets/sheet1.xml"/>'
        archive.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="x">{link}</Relationships>')
        archive.writestr(
            "xl/worksheets/sheet1.xml", f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'
        )
    return buffer.getvalue()


@fuzz
@given(st.data(), st.sampled_from([",", "\t"]))
def test_labelled_texts_with_separators_astray_keep_their_labels(data, separator):
    rows = [
        {"text": f"some words {'abcdef'[k]}", "emotion": ("joy", "fear")[k % 2], "group": f"G{k}"} for k in range(6)
    ]
    path = file_of("own.csv", data.draw(restructured(plain(rows, separator))).encode())
    got = right_or_one_line(lambda: corpus_stimuli(path, "en"), path.name)
    whole = {"joy", "fear"}
    for stimulus in got or ():
        # a label with a sign put in, or cut by a line end, is a part of a label, never of a text or a group
        label = "".join(c for c in stimulus.emotion if c.isalpha())
        assert any(label in e for e in whole), stimulus
        assert "G" not in stimulus.text or '"' in stimulus.text or "\n" in stimulus.text, stimulus


@fuzz
@given(st.data(), st.sampled_from(["csv", "jsonl", "txt", "jsonl.gz"]))
def test_damaged_texts_are_read_or_refused_in_one_line(data, ending):
    rows = [{"text": f"some words {k}", "emotion": "joy", "topic_idx": k} for k in range(5)]
    raw = "\n".join(json.dumps(r, ensure_ascii=False) for r in rows) if "json" in ending else "text,emotion\na,b\n" * 3
    raw = gzip.compress(raw.encode()) if ending.endswith("gz") else raw.encode()
    path = file_of(f"own.{ending}", data.draw(damaged(raw)))
    right_or_one_line(lambda: load_texts(path), path.name)
    if ending == "csv":
        right_or_one_line(lambda: corpus_stimuli(path, "en"), path.name)


@fuzz
@given(st.data(), st.sampled_from(["set.csv", "set.toml"]))
def test_damaged_concepts_are_read_or_refused_in_one_line(data, name):
    rows = [{"emotion": e, "word": f"{e}{k}", "language": "en"} for e in ("joy", "awe") for k in "abcd"]
    toml = "language = 'en'\n[emotions.joy]\nlabel = 'joy'\nwords = ['a', {w = 'b', id = 'x.y'}]\n[neutral]\nwords = ['c', 'd']\n"
    path = file_of(name, data.draw(damaged((plain(rows) if name == "set.csv" else toml).encode())))
    right_or_one_line(lambda: ConceptSet.from_csv(path) if name == "set.csv" else ConceptSet.from_toml(path), path.name)


@fuzz
@given(st.data(), st.sampled_from([",", "\t"]))
def test_concepts_with_separators_astray_never_take_an_emotion_for_a_word(data, separator):
    rows = [{"emotion": e.upper(), "word": f"{e}{k}", "language": "en"} for e in ("joy", "awe") for k in "abcd"]
    path = file_of("set.csv", data.draw(restructured(plain(rows, separator))).encode())
    got = right_or_one_line(lambda: ConceptSet.from_csv(path), path.name)
    for emotion in () if got is None else got.emotions:
        assert emotion.strip('"\ufeff ').isupper(), emotion
        assert all(w.strip('"\ufeff ').islower() for w in got.words(emotion)), got.words(emotion)


@fuzz
@given(st.data(), st.sampled_from([",", "\t"]))
def test_word_associations_with_separators_astray_are_never_shifted(data, separator):
    rows = [
        {
            "cue": "joy",
            "response": f"word {'abcdef'[k]}",
            "R123": str(k + 1),
            "N": str(100),
            "R123.Strength": f"0.0{k + 1}",
        }
        for k in range(6)
    ]
    path = file_of("swow.csv", data.draw(restructured(plain(rows, separator))).encode())
    cues = {"joy": "joy"}
    got = right_or_one_line(lambda: ConceptSet.from_word_associations(path, cues, min_strength=0), path.name)
    for word in () if got is None else got.words("joy"):
        assert not any(c.isdigit() for c in word), word


@fuzz
@given(st.data(), st.sampled_from(["npz", "npy", "safetensors", "csv"]))
def test_damaged_vectors_are_right_or_refused_in_one_line(data, ending):
    from safetensors.numpy import save

    vectors = np.arange(12, dtype=np.float64).reshape(3, 4)
    emotions = ["joy", "fear", "anger"]
    buffer = io.BytesIO()
    if ending == "npz":
        np.savez(buffer, **dict(zip(emotions, vectors, strict=True)))
    elif ending == "npy":
        np.save(buffer, vectors)
    elif ending == "safetensors":
        buffer.write(save({"v": vectors}, metadata={"emotions": json.dumps(emotions)}))
    else:
        rows = [
            {"emotion": e, **{f"d{k}": str(x) for k, x in enumerate(v)}} for e, v in zip(emotions, vectors, strict=True)
        ]
        buffer.write(plain(rows).encode())
    path = file_of(f"space.{ending}", data.draw(damaged(buffer.getvalue())))
    space = right_or_one_line(lambda: load_space(path, emotions if ending == "npy" else None), path.name)
    if space is not None and ending == "npz":
        # checksums again; a doubled tail may leave the archive whole
        assert set(space.emotions) <= set(emotions)
        for emotion, vector in zip(space.emotions, space.vectors, strict=True):
            np.testing.assert_array_equal(vector, vectors[emotions.index(emotion)])


@pytest.mark.parametrize("kind", ["cut", "flip"])
def test_every_place_of_a_small_archive_is_guarded(kind):
    buffer = io.BytesIO()
    np.savez(buffer, joy=np.ones(3), fear=np.zeros(3))
    raw = buffer.getvalue()
    for place in range(0, len(raw), 3):
        changed = raw[:place] if kind == "cut" else raw[:place] + bytes([raw[place] ^ 16]) + raw[place + 1 :]
        path = file_of("space.npz", changed)
        space = right_or_one_line(lambda path=path: load_space(path), path.name)
        if space is not None:
            np.testing.assert_array_equal(space.subset(["joy", "fear"]).vectors, [[1, 1, 1], [0, 0, 0]])
