"""Word families for splits."""

from __future__ import annotations

import pytest

from emotion_interp.concepts.lemmas import lemma_key

FAMILIES = {
    "en": (
        "happy happiness happily happier happiest Happy",
        "sad sadness sadly sadder",
        "joy joyful joyfully joyous",
        "love loving loved lover loves",
        "anger angry angrily",
        "anxious anxiety anxiously",
        "excite excitement excited exciting",
        "frustrate frustrated frustration frustrating",
        "terrify terrified terrifying",
        "lonely loneliness",
        "grief grieve grieving",
        "hope hopeful hopeless hopelessness hoping",
        "run running",
    ),
    "es": ("triste tristes tristeza tristemente", "feliz felices felicidad", "odio odiar odiado", "miedo miedoso"),
}


@pytest.mark.parametrize(("language", "family"), [(k, f) for k, several in FAMILIES.items() for f in several])
def test_a_family_has_one_key(language: str, family: str) -> None:
    assert len({lemma_key(word, language) for word in family.split()}) == 1


@pytest.mark.parametrize("language", FAMILIES)
def test_families_have_keys_of_their_own(language: str) -> None:
    keys = [lemma_key(family.split()[0], language) for family in FAMILIES[language]]
    assert len(set(keys)) == len(keys)


def test_numbers_and_other_languages_are_left_alone() -> None:
    assert lemma_key("悲伤", "zh") == "悲伤" and lemma_key("Freude", "de") == "freude"
    assert lemma_key("w11") != lemma_key("w1")
    # one letter, two encodings
    assert lemma_key("cafe\u0301", "fr") == lemma_key("caf\u00e9", "fr")
