"""Norms of whole sentences: EmoBank, and the reviews of DimABSA, whose aspects are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from emotion_interp.core import FileFormatError
from emotion_interp.core.reading import json_line
from emotion_interp.core.spelling import as_text
from emotion_interp.core.tables import read_table
from emotion_interp.norms.cells import lines, numeric, pick
from emotion_interp.norms.entry import NormsEntry, NormsFile

_DIMABSA_HASHES = {
    "eng_laptop_train_alltasks": "8cac1811b543999206f0f69c2ad6bf387bde12bbdc237946ace66c8f6be7d221",
    "eng_laptop_dev_task1": "56e04afe9d84e925ccaa5209a4f4f68e9e6581f8a82cab71f36e2a65e8f12e8d",
    "eng_laptop_test_task1": "40489da15c4db051f81efa5b1c1c1133a8bb0fcba7111fac57182537fafb31af",
    "eng_restaurant_train_alltasks": "bebab04e593f3f6afe76f144b897c85bcc2eb9749bfbfa1e0080e7d4e2d3985c",
    "eng_restaurant_dev_task1": "c6dddb81b72208eab1ec36738fe3d8a484893d81e2187b40dfed286c408c8272",
    "eng_restaurant_test_task1": "ac117e7b0c10bea6a96f41167c07abba287b99db50514dc6e04199dc14e00245",
    "zho_laptop_train_alltasks": "cb42521ee379ecfdbad87b2d2fd32eb4d5dc4add4b0693965325ec29e58009ca",
    "zho_laptop_dev_task1": "bc2595b579441145a04744de23cda74e59a80f2fe97aa6e3db71bc3e54ef4935",
    "zho_laptop_test_task1": "dfe95464681b90205ec2dd961386f90de24aae3703d7e883e770354a04ca5415",
    "zho_restaurant_train_alltasks": "6c3290734269f2bd4852daf57339fec7436af46cb93e3821c67f5926fd133849",
    "zho_restaurant_dev_task1": "39136b07a0f86d4b1af63a45aefd79e64ff48bfa3c1ec7936371910d4d74585e",
    "zho_restaurant_test_task1": "30ff607a2845198d44d64dbf391e7cdb410f51531406706c989c67b2e2ff661d",
    "zho_finance_train_task1": "53a964b8c380351d1b83e0ea6846908499ea834be90fecb4363577d0a4020673",
    "zho_finance_dev_task1": "77f8c1932021287f55b8e82a97759a413b7d43de51f94511c86233539da1010f",
    "zho_finance_test_task1": "bebd9de4b4fb99013441eb8e4b5b7a607b1b4db6dec264358249e7c1872b0a35",
}
_DIMABSA_CITATION = (
    "DimABSA 2026 (SemEval-2026 task 3): dimensional aspect-based sentiment analysis. github.com/DimABSA/DimABSA2026; "
    "the English texts are those of ACOS (Cai et al., 2021)"
)


def _dimabsa(language: str, code: str, n_sentences: int) -> NormsEntry:
    files = tuple(NormsFile(f"{n}.jsonl", h) for n, h in _DIMABSA_HASHES.items() if n.startswith(code))
    return NormsEntry(
        f"dimabsa_{language}",
        language,
        ("valence", "arousal"),
        n_sentences,
        (1, 9),
        "dimabsa",
        files,
        "competition terms",
        _DIMABSA_CITATION,
        "https://github.com/DimABSA/DimABSA2026",
        "sentence",
        f"dimabsa/{code}",
    )


SENTENCES = (
    NormsEntry(
        "emobank",
        "en",
        ("valence", "arousal", "dominance"),
        9_906,
        (1, 5),
        "emobank",
        (
            NormsFile(
                "emobank.csv",
                "1ade4a4a453e880c0f39d0536d2b355e8a716e0cf88236c64cdb4d438cf9605b",
                ("https://raw.githubusercontent.com/JULIELab/EmoBank/master/corpus/emobank.csv",),
            ),
        ),
        "CC BY-SA 4.0",
        "Buechel, S., & Hahn, U. (2017). EmoBank: studying the impact of annotation perspective and representation "
        "format on dimensional emotion analysis. EACL 2017. aclanthology.org/E17-2092",
        "https://github.com/JULIELab/EmoBank",
        "sentence",
    ),
    _dimabsa("en", "eng", 8_724),
    _dimabsa("zh", "zho", 14_154),
)


def read_emobank(paths: Sequence[Path]) -> pd.DataFrame:
    """emobank.csv: id, split, V, A, D, text; a sentence that occurs several times gets its mean ratings.

    The group is the document: the id without the character positions at its end.
    """
    path = Path(paths[0])
    columns = {"id": "group", "text": "word", "V": "valence", "A": "arousal", "D": "dominance"}
    frame = pick(read_table(path), columns, path)
    frame["group"] = frame["group"].str.replace(r"_\d+_\d+$", "", regex=True)
    return _one_row_each(numeric(frame, path))


def read_dimabsa(paths: Sequence[Path]) -> pd.DataFrame:
    """DimABSA's .jsonl files: ID, Text, and Aspect_VA or Quadruplet, whose "VA" is "valence#arousal".

    A sentence is rated aspect by aspect: it gets the mean over its aspects, `n_aspects` says of how many. The group is
    the review, where the ID says which ("R6480:S001" is a sentence of R6480).
    """
    rows = []
    for path in (Path(p) for p in paths):
        for number, line in enumerate(lines(path), start=1):
            try:
                row = json_line(path, number, line)
                pairs = [
                    [float(x) for x in aspect["VA"].split("#")]
                    for aspect in row.get("Aspect_VA", row.get("Quadruplet"))
                ]
                valence, arousal = zip(*pairs, strict=True)
                text, group = as_text(row["Text"], f"{path}, line {number}").strip(), str(row["ID"]).split(":")[0]
            except FileFormatError:
                raise
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise FileFormatError(
                    f"{path}, line {number}: a JSON object with ID, Text and aspects with VA = 'valence#arousal' is "
                    f"needed ({error or type(error).__name__})."
                ) from None
            rows += [(text, group, v, a) for v, a in zip(valence, arousal, strict=True)]
    frame = pd.DataFrame(rows, columns=["word", "group", "valence", "arousal"])
    return _one_row_each(frame.assign(n_aspects=frame.groupby("word")["word"].transform("size")))


def _one_row_each(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean ratings of each sentence, in order of first appearance; the first group counts."""
    how = {c: "first" if c == "group" else "mean" for c in frame.columns if c != "word"}
    return frame.groupby("word", sort=False, as_index=False).agg(how)


SENTENCE_READERS: dict[str, Callable[[Sequence[Path]], pd.DataFrame]] = {
    "emobank": read_emobank,
    "dimabsa": read_dimabsa,
}
