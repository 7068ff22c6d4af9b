"""Which language a text is in: by its script, and for Latin letters by how common its words are in each language."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from emotion_interp.core.errors import EmotionInterpError, tell

LATIN = ("en", "es", "de", "fr", "it", "pt", "nl")
"""Languages in Latin letters that are told apart; those that no bank has stand here so that German is not taken for English."""
MARGIN = 0.7
"""By how much the mean Zipf frequency of the words must be higher in one language than in every other: a factor of five."""
SAMPLE = 4000
"""Characters that are looked at."""
_SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CYRILLIC": "ru",
    "GREEK": "el",
    "ARABIC": "ar",
    "HEBREW": "he",
    "DEVANAGARI": "hi",
    "THAI": "th",
}


def detect_language(text: str) -> str | None:
    """The language of a text, or None where its letters and words do not tell.

    Chinese, simplified or traditional, is Han without kana; of other scripts the most widespread language stands for all.

    Example:
        >>> [detect_language(t) for t in ("She wept.", "她哭了。", "Ella lloraba.", "泣いた。", "No.", "12")]
        ['en', 'zh', 'es', 'ja', None, None]
    """
    letters = Counter(_script(c) for c in text[:SAMPLE] if c.isalpha())
    if not letters:
        return None
    japanese, han = letters["HIRAGANA"] + letters["KATAKANA"], letters["CJK"]
    letters.pop("FULLWIDTH", None)
    # a Han character is worth a word, a letter a fifth of one
    weights = {s: n * (5 if s in ("CJK", "HIRAGANA", "KATAKANA", "HANGUL") else 1) for s, n in letters.items()}
    best = max(weights, key=lambda s: weights[s])
    if best in ("CJK", "HIRAGANA", "KATAKANA"):
        return "ja" if japanese > 0.05 * (japanese + han) else "zh"
    return _latin(text[:SAMPLE]) if best == "LATIN" else _SCRIPTS.get(best)


def language_of(texts: str | Sequence[str], allowed: Iterable[str], what: str = "the text") -> str:
    """The language of texts, which is one of those allowed.

    Raises:
        EmotionInterpError: their language is another one, or does not show; the line asks for `language=`.
    """
    known = list(allowed)
    asked = f"give language= one of {', '.join(map(repr, known))}"
    detected = detect_language(texts if isinstance(texts, str) else "\n".join(texts))
    if detected in known:
        return detected
    if detected is None and len(known) == 1:
        return known[0]
    if detected is None:
        raise EmotionInterpError(f"the language of {what} does not show; {asked}.")
    raise EmotionInterpError(f"{what} reads as {detected!r}, which is none of the languages here; {asked}.")


def language_or_detected(language: str | None, texts: Sequence[str], what: str = "the texts") -> str:
    """The language that was given, else that of the texts; where it does not show, English, with one line of warning.

    Example:
        >>> language_or_detected(None, ["她哭了。"]), language_or_detected("es", ["No."])
        ('zh', 'es')
    """
    if language is not None:
        return language
    detected = detect_language("\n".join(text for text in texts if isinstance(text, str)))
    if detected is None:
        tell(f"the language of {what} does not show, and they are taken as English; give language=.")
    return detected or "en"


def check_language(texts: str | Sequence[str], language: str, what: str, remedy: str) -> None:
    """Refuse texts that are plainly in another language than the one they are taken for.

    Raises:
        EmotionInterpError: they are; `remedy` says what to give.
    """
    detected = detect_language(texts if isinstance(texts, str) else "\n".join(texts))
    if detected is not None and detected != language:
        raise EmotionInterpError(
            f"{what} read as {detected!r}, but are taken for {language!r}; {remedy.format(detected)}."
        )


def warn_of_language(texts: Sequence[str], language: str, judge: str) -> None:
    """Warn where texts are plainly in another language than the one a judge reads."""
    detected = detect_language("\n".join(texts))
    if detected not in (None, language):
        tell(
            f"the texts read as {detected!r}, but this {judge} reads {language!r}; its answers mean nothing there. "
            "load_judge(language=...) has a judge for 'en' and 'zh'."
        )


@cache
def _script(character: str) -> str:
    return unicodedata.name(character, "?").partition(" ")[0].partition("-")[0]


def _latin(text: str) -> str | None:
    from wordfreq import zipf_frequency

    words = [word.casefold() for word in re.findall(r"[^\W\d_]+", text)]
    means = {}
    for language in LATIN:
        means[language] = sum(zipf_frequency(w, language, wordlist="small") for w in words) / len(words)
    first, second = sorted(means, key=lambda name: -means[name])[:2]
    return first if means[first] - means[second] >= MARGIN and means[first] > 1.5 else None
