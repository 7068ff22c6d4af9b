"""Which emotion a word stands for, by the words of the shipped concept sets: for what a mistaken name may have meant."""

from __future__ import annotations

from emotion_interp.concepts.defaults import shipped_languages, shipped_part

ENDINGS = (
    *(
        ("iness", "y"),
        ("ness", ""),
        ("fulness", ""),
        ("ful", ""),
        ("fully", ""),
        ("ily", "y"),
        ("ly", ""),
        ("ious", "y"),
    ),
    *(
        ("ied", "y"),
        ("ies", "y"),
        ("ed", ""),
        ("ed", "e"),
        ("ing", ""),
        ("ing", "e"),
        ("s", ""),
        ("ous", ""),
        ("y", ""),
    ),
    *(("ia", ""), ("ic", ""), ("ive", "ion"), ("ent", "ment"), ("some", ""), ("ty", "t"), ("ity", ""), ("er", "")),
)
"""English endings that leave the meaning as it is; -less and un- turn it round and are none of them."""


def emotions_of_word(word: str) -> tuple[str, ...]:
    """The emotions that a word, or a word of its family, stands for in the shipped sets.

    Example:
        >>> emotions_of_word("happiness"), emotions_of_word("hopeless")
        (('joy',), ())
    """
    asked = word.strip().casefold()
    exact: list[str] = []
    family: list[str] = []
    for language in shipped_languages():
        for concept in shipped_part(language).concepts:
            words = {concept.label, *(w.word for w in concept.words), *(w.lemma for w in concept.words)}
            if asked in words:
                exact.append(concept.emotion)
            elif language == "en" and any(_forms(asked) & _forms(known) for known in words):
                family.append(concept.emotion)
    return tuple(dict.fromkeys(exact or family))


def _forms(word: str) -> set[str]:
    """A word and what is left of it without an ending."""
    cut = {word[: -len(end)] + new for end, new in ENDINGS if word.endswith(end)}
    return {word} | {form for form in cut if len(form) >= 3}
