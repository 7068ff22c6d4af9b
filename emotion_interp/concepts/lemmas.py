"""Which words belong to one family (happy, happiness, happily): they may not stand on both sides of a split."""

from __future__ import annotations

import unicodedata

_LEAST = 3
"""Letters that a suffix must leave."""
_SUFFIXES: dict[str, tuple[str, ...]] = {
    "en": (
        *(
            "ation",
            "ition",
            "ness",
            "less",
            "some",
            "ment",
            "hood",
            "ship",
            "able",
            "ible",
            "ical",
            "ious",
            "ful",
            "ous",
        ),
        *("ish", "ive", "ity", "ety", "ion", "ing", "ies", "ied", "ier", "iest", "est", "ate", "ize", "al", "at", "li"),
        *("ly", "ed", "er", "or", "es", "'s", "s", "y", "i", "e"),
    ),
    "es": (
        *("amente", "mente", "aciones", "ación", "iones", "ción", "idades", "idad", "iendo", "ando", "ezas", "eza"),
        *("osos", "osas", "oso", "osa", "ados", "adas", "ado", "ada", "idos", "idas", "ido", "ida", "ar", "er", "ir"),
        *("es", "s", "o", "a", "e"),
    ),
}
_IRREGULAR = {
    "en": {
        "angry": "anger",
        "angrily": "anger",
        "angrier": "anger",
        "angriest": "anger",
        "proud": "pride",
        "proudly": "pride",
    }
}
_LAST = {"en": {"f": "v"}, "es": {"z": "c"}}
"""Grief and grieve, feliz and felices: letters at the end that count as one."""
_WHOLE_ENDS = {"en": ("ss", "us", "is")}
"""Ends that only look like a plural."""


def lemma_key(word: str, language: str = "en") -> str:
    """A key that the inflected and derived forms of one word share: for splits, not for display.

    English and Spanish: common suffixes are taken off. It would rather join too many words than too few: what is joined
    stays on one side of a split. Other languages: the word itself, ignoring case and way of encoding.

    Example:
        >>> {lemma_key(w) for w in ("happy", "Happiness", "happily", "happier")}
        {'hap'}
        >>> lemma_key("悲伤", "zh")
        '悲伤'
    """
    key = unicodedata.normalize("NFC", word).casefold().strip().replace("’", "'")
    key = _IRREGULAR.get(language, {}).get(key, key)
    suffixes = _SUFFIXES.get(language, ())
    changed = True
    while changed:
        changed = False
        for suffix in suffixes:
            if not key.endswith(suffix) or len(key) - len(suffix) < _LEAST:
                continue
            if suffix in ("s", "es") and key.endswith(_WHOLE_ENDS.get(language, ())):
                continue
            key, changed = key[: -len(suffix)], True
            break
    # run, running; sad, sadder
    if suffixes and len(key) > _LEAST - 1 and key[-1] == key[-2] and key[-1].isalpha() and key[-1] not in "aeiou":
        key = key[:-1]
    last = _LAST.get(language, {})
    return key[:-1] + last.get(key[-1:], key[-1:])
