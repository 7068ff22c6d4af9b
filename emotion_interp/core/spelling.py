"""Which invisible characters are spelling and which are junk; and what a text has to be."""

from __future__ import annotations

import unicodedata

from emotion_interp.core.errors import FileFormatError

_NON_JOINER, _JOINER = "\u200c", "\u200d"
_ENCLOSING = ("\u0600", "\u0601", "\u0602", "\u0603", "\u0604", "\u0605", "\u06dd", "\u070f", "\u08e2")
"""Format characters that are seen: Arabic number signs and the like."""

_BLANK = "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Characters that count as letters, marks or symbols and show nothing: fillers, the empty Braille cell."""

_EMOJI = range(0x1F000, 0x1FB00)
_TAGS = range(0xE0020, 0xE0080)
_MONGOLIAN = range(0x1800, 0x18B0)


def is_variation_selector(letter: str) -> bool:
    """Whether a character only chooses the form of the one before it."""
    return "\ufe00" <= letter <= "\ufe0f" or "\U000e0100" <= letter <= "\U000e01ef" or "\u180b" <= letter <= "\u180d"


def stray_character(text: str) -> str | None:
    """The first control or invisible character of a text that is no spelling; None where there is none.

    Spelling are: joiners and non-joiners between letters or emoji (also at the end after a virama), variation selectors
    after what they vary, the tags of a flag, marks that combine. Junk are control characters, byte-order marks, marks of
    direction, zero-width spaces, soft hyphens, fillers.

    Example:
        >>> stray_character("می\u200cخواهم"), stray_character("joy\u200b")
        (None, '\\u200b')
    """
    for at, letter in enumerate(text):
        before, after = text[at - 1] if at else "", text[at + 1] if at + 1 < len(text) else ""
        if letter in _BLANK:
            good = False
        elif is_variation_selector(letter):
            good = _carries(before) and not is_variation_selector(before)
        elif letter in (_NON_JOINER, _JOINER):
            good = _carries(before) and (_carries(after) or unicodedata.combining(before) == 9)
        elif ord(letter) in _TAGS:
            good = before == "\U0001f3f4" or (before != "" and ord(before) in _TAGS)
        elif letter == "\u180e":
            good = bool(before and after) and ord(before) in _MONGOLIAN and ord(after) in _MONGOLIAN
        else:
            # an emoji or ideograph that is newer than this Python's tables is as good as an old one
            newer = unicodedata.category(letter) == "Cn" and (ord(letter) in _EMOJI or 0x20000 <= ord(letter) < 0x3FFFE)
            good = letter.isprintable() or letter in _ENCLOSING or newer
        if not good:
            return letter
    return None


def _carries(letter: str) -> bool:
    """Whether a joiner or a variation selector may stand beside a character: a letter, mark, digit, sign or emoji."""
    if not letter or letter in _BLANK:
        return False
    return unicodedata.category(letter)[0] in "LMNS" or letter in "#*" or ord(letter) in _EMOJI


def clings(text: str, at: int) -> bool:
    """Whether the character at a place is shown with the one before it: a mark, a joiner, the rest of an emoji.

    Example:
        >>> [clings("e\u0301a", i) for i in range(3)]
        [False, True, False]
    """
    if not 0 < at < len(text):
        return False
    letter, before = text[at], text[at - 1]
    if unicodedata.category(letter)[0] == "M" or letter in (_NON_JOINER, _JOINER) or ord(letter) in _TAGS:
        return not before.isspace()
    if "\U0001f3fb" <= letter <= "\U0001f3ff":
        return unicodedata.category(before)[0] in "SM"
    if before == _JOINER:
        return unicodedata.category(letter)[0] == "S" or ord(letter) in _EMOJI
    if _is_flag_letter(letter):
        run = 0
        while run < at and _is_flag_letter(text[at - 1 - run]):
            run += 1
        return run % 2 == 1
    return False


def _is_flag_letter(letter: str) -> bool:
    return "\U0001f1e6" <= letter <= "\U0001f1ff"


def as_text(value: object, place: str) -> str:
    """A text read from a file, as it is; never the name of nothing ("None", "nan").

    Raises:
        FileFormatError: it is no text, or an empty one.

    Example:
        >>> as_text("a text", "x.jsonl, line 3")
        'a text'
    """
    if not isinstance(value, str):
        raise FileFormatError(
            f"{place}: the text is {'null' if value is None else repr(value)[:40]}; a string is needed."
        )
    if not value.strip():
        raise FileFormatError(f"{place}: the text is empty; fill it in or leave the line out.")
    return value
