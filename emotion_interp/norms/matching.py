"""Which row of a table a word means: as it is written, else by case, script or an accent that its language lets fall."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from emotion_interp.core.extras import need

FOLDED = {
    "ca": "àçéèíïóòúü",
    "en": "àâáçéèêëîïíóôúûù",
    "es": "áéíóúü",
    "fr": "àâçéèêëîïôùûüÿ",
    "gl": "áéíóúïü",
    "it": "àéèíìîóòúù",
    "pt": "áâãàçéêíóôõúü",
}
"""Language -> letters whose accent people leave out in writing, so that the bare letter may stand for them.

Never a letter of its own: ñ (año is not ano), å, ä, ö and ü outside the listed languages, й, ё, か and が, the letters of
Turkish, Polish, Vietnamese. Languages that are not listed fold nothing.
"""


def composed(word: str) -> str:
    """A word without blanks around it, its letters and marks composed."""
    return unicodedata.normalize("NFC", word.strip())


def lowered(word: str) -> str:
    """A word without case. Not `casefold`, which makes ss of ß: Maße are no Masse."""
    return composed(composed(word).lower())


def without_accents(word: str, language: str) -> str:
    """A lowered word with the bare letters for those that its language lets stand for each other."""
    letters = FOLDED.get(_base(language), "")
    return "".join(unicodedata.normalize("NFD", letter)[0] if letter in letters else letter for letter in word)


class WordIndex:
    """Words of a table by every spelling that may mean them; what several rows could be is none of them.

    Args:
        words: the table's words.
        forms: for each the word that was really rated, or nothing.
        language: code, also with a region or script ("es-MX", "zh-Hant").
    """

    def __init__(self, words: Sequence[str], forms: Sequence[object], language: str) -> None:
        self.language = _base(language)
        self.words = [composed(word) for word in words]
        self.exact = {word: row for row, word in reversed(list(enumerate(self.words)))}
        self.by_case = _grouped(map(lowered, words))
        self.by_accents = _grouped(without_accents(lowered(word), self.language) for word in words)
        self.by_script = _grouped(_simplified(map(lowered, words))) if self.language == "zh" else {}
        self.by_form: dict[str, int] = {}
        for row, form in enumerate(forms):
            if isinstance(form, str):
                self.by_form.setdefault(lowered(form), row)

    def find(self, words: Sequence[str]) -> list[tuple[int, str]]:
        """(row, how it was found) of each word; (-1, "") where there is none."""
        plain = [lowered(word) for word in words]
        scripts = _simplified(plain) if self.language == "zh" else plain
        return [self._one(composed(w), p, s) for w, p, s in zip(words, plain, scripts, strict=True)]

    def _one(self, word: str, plain: str, simplified: str) -> tuple[int, str]:
        if word in self.exact:
            return self.exact[word], "exact"
        rows = self.by_case.get(plain, [])
        if len(rows) > 1:
            # of Polish and polish only the plain one can be meant by POLISH
            rows = [row for row in rows if self.words[row] == plain]
        if len(rows) == 1:
            return rows[0], "case"
        rows = self._same_in_other_script(plain, simplified)
        if len(rows) == 1:
            return rows[0], "script"
        # "ano" may stand for "anó"; "anó" never for "ano": an accent that was written was meant
        rows = self.by_accents.get(plain, []) if without_accents(plain, self.language) == plain else []
        if len(rows) == 1:
            return rows[0], "accents"
        if plain in self.by_form:
            return self.by_form[plain], "form"
        return -1, ""

    def _same_in_other_script(self, plain: str, simplified: str) -> list[int]:
        """Rows that are the word in the other script. Two traditional words that share a simplified form stay two."""
        spellings = []
        for row in self.by_script.get(simplified, []):
            rated = self.words[row].lower()
            if simplified in (plain, rated) or _taiwanese(rated) == _taiwanese(plain):
                spellings.append(row)
        return spellings


def _base(language: str) -> str:
    return language.replace("_", "-").split("-")[0].lower()


def _grouped(keys: Iterable[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return rows


def _simplified(words: Iterable[str]) -> list[str]:
    convert = need("zhconv", extra="zh").convert
    return [convert(word, "zh-hans") for word in words]


def _taiwanese(word: str) -> str:
    return need("zhconv", extra="zh").convert(word, "zh-tw")
