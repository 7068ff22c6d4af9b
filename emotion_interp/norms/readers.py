"""One reader per published file layout: paths in, a frame with the house's column names out."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emotion_interp.core import FileFormatError
from emotion_interp.core.reading import is_workbook
from emotion_interp.core.tables import Table, read_table
from emotion_interp.core.workbooks import read_xlsx
from emotion_interp.norms.by_hand_readers import BY_HAND_READERS
from emotion_interp.norms.cells import lines, numeric, pick
from emotion_interp.norms.sentences import SENTENCE_READERS
from emotion_interp.norms.table import DIMENSIONS

LABMT_RATERS = 50
"""Every word of labMT was rated by 50 people (Dodds et al. 2011)."""

HINOJOSA_RATERS = 30
"""Nominal: the means of the file are multiples of 1/30 for four words in five, of 1/29 or 1/31 for the others."""

STADTHAGEN_RATERS = 20
"""Raters asked per word; the file's percentages say how many of them answered."""


def read_builtin(paths: Sequence[Path]) -> pd.DataFrame:
    """The small table that ships with the package."""
    table = read_table(paths[0], comment="#")
    return numeric(pick(table, {c: c for c in table.columns}, paths[0]), paths[0])


def read_warriner(paths: Sequence[Path]) -> pd.DataFrame:
    """Ratings_Warriner_et_al.csv (XANEW)."""
    columns = {"Word": "word"}
    for letter, name in (("V", "valence"), ("A", "arousal"), ("D", "dominance")):
        columns |= {f"{letter}.Mean.Sum": name, f"{letter}.SD.Sum": f"{name}_sd", f"{letter}.Rat.Sum": f"{name}_n"}
    return numeric(pick(read_table(paths[0]), columns, paths[0]), paths[0])


def read_stadthagen(paths: Sequence[Path]) -> pd.DataFrame:
    """13428_2017_962_MOESM1_ESM.UTF8.csv; n is the share of the twenty raters who answered."""
    columns = {"Word": "word"}
    for name in ("Valence", "Arousal"):
        low = name.lower()
        columns |= {f"{name}_Mean": low, f"{name}_SD": f"{low}_sd", f"{name}_%Raters": f"{low}_n"}
    picked = numeric(pick(read_table(paths[0]), columns, paths[0]), paths[0])
    for column in ("valence_n", "arousal_n"):
        picked[column] = (picked[column] * STADTHAGEN_RATERS / 100).round()
    return picked


def _workbook(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """The rows of every sheet that has the columns; a table saved from the workbook as text will do."""
    if not is_workbook(path):
        try:
            return numeric(pick(read_table(path), columns, path), path)
        except FileFormatError as error:
            raise FileFormatError(f"{error} It is no readable Excel workbook (.xlsx) either.") from error
    rows = [row for sheet in read_xlsx(path).values() for row in sheet if set(columns) <= set(row)]
    if not rows:
        raise FileFormatError(f"{path} has no sheet with the columns {', '.join(columns)}.")
    body = [(k, [row[c] for c in columns]) for k, row in enumerate(rows, 2)]
    return numeric(pick(Table(str(path), tuple(columns), "", body), columns, path), path)


def read_hinojosa(paths: Sequence[Path]) -> pd.DataFrame:
    """Hinojosa2016.xlsx."""
    columns = {"Word": "word", "Val_Mn": "valence", "Val_SD": "valence_sd", "Ar_Mn": "arousal", "Ar_SD": "arousal_sd"}
    frame = _workbook(paths[0], columns)
    frame["valence_n"] = frame["arousal_n"] = float(HINOJOSA_RATERS)
    return frame


def read_sev(paths: Sequence[Path]) -> pd.DataFrame:
    """SEV_wordlist.xlsx: five sheets, one per social dimension; only valence is used here."""
    columns = {"Word": "word", "Val_mean": "valence", "Val_sd": "valence_sd", "N_raters": "valence_n"}
    return _workbook(paths[0], columns)


def read_labmt(paths: Sequence[Path]) -> pd.DataFrame:
    """labMT words, scores and scoresStd: three files, one entry per line, in the same order."""
    words, scores, deviations = (lines(Path(p)) for p in paths)
    if not len(words) == len(scores) == len(deviations):
        raise FileFormatError(
            f"the three labMT files must have one line per word each; {paths[0]}, its scores and its deviations have "
            f"{len(words)}, {len(scores)} and {len(deviations)}."
        )
    frame = pd.DataFrame({"word": words, "valence": scores, "valence_sd": deviations}).astype(object)
    frame = numeric(frame, Path(paths[0]))
    frame["word"] = frame["word"].str.strip()
    frame["valence_n"] = float(LABMT_RATERS)
    return frame


def read_vader(paths: Sequence[Path]) -> pd.DataFrame:
    """vader_lexicon.txt. Words listed twice have twenty ratings: they are pooled.

    The file's SD divides by n; here it divides by n - 1, so that SD^2/n estimates the error of the mean.
    """
    ratings: dict[str, list[float]] = {}
    for number, line in enumerate(lines(Path(paths[0])), start=1):
        cells = line.split("\t")
        try:
            ratings.setdefault(cells[0].strip(), []).extend(map(float, ast.literal_eval(cells[3])))
        except (IndexError, ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            raise FileFormatError(
                f"{paths[0]}, line {number}: expected word, mean, SD and a list of ratings between tabs, got {line[:60]!r}."
            ) from None
    return pd.DataFrame(
        {
            "word": list(ratings),
            "valence": [float(np.mean(r)) for r in ratings.values()],
            "valence_sd": [float(np.std(r, ddof=1)) for r in ratings.values()],
            "valence_n": [float(len(r)) for r in ratings.values()],
        }
    )


def read_own_csv(paths: Sequence[Path]) -> pd.DataFrame:
    """A user's table: `word`, `valence`, and any of arousal, dominance, `*_sd`, `*_n`, `n`, `form`."""
    path = Path(paths[0])
    table = read_table(path)
    names = ["word", "form", "n", *(f"{d}{kind}" for d in DIMENSIONS for kind in ("", "_sd", "_n"))]
    columns = {column: name for name in names if (column := table.find(name)) is not None}
    if not {"word", "valence"} <= set(columns.values()):
        raise FileFormatError(
            f"{path} needs the columns 'word' and 'valence'. It has: {', '.join(table.columns)}. The first line names the "
            "columns."
        )
    return numeric(pick(table, columns, path), path)


READERS: dict[str, Callable[[Sequence[Path]], pd.DataFrame]] = {
    "builtin": read_builtin,
    "warriner": read_warriner,
    "stadthagen": read_stadthagen,
    "hinojosa": read_hinojosa,
    "sev": read_sev,
    "labmt": read_labmt,
    "vader": read_vader,
    "csv": read_own_csv,
    **BY_HAND_READERS,
    **SENTENCE_READERS,
}
