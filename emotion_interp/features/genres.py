"""Which kind of stimuli a bank's features were found on, language by language: two kinds differ in more than language."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from emotion_interp.concepts.corpora import CORPORA

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank

TEXTS = "texts"
"""Texts of the user's own: their kind is not known."""
GENRES = {"stories": "stories", "goemotions": "comments", "brighter": "posts"}
"""What the texts of a corpus are."""
_PREFIXES = {"topic": "stories"}


def genre_of(bank: FeatureBank, language: str) -> str:
    """ "words", "scenes", "stories", "comments", "posts", or "texts" where nothing is known of them.

    Known by the names that `corpus_stimuli` gives to groups of texts; where several corpora are mixed they are joined by
    a plus.
    """
    kind = str(bank.manifest.get("stimuli", "words"))
    if kind != "texts":
        return kind
    groups = bank.words.loc[bank.words["language"] == language, "group"].astype(str)
    names = Counter(group.rpartition(" ")[0] if group.rpartition(" ")[2].isdigit() else "" for group in groups)
    genres = set()
    for name in names:
        name = _PREFIXES.get(name, name)
        genres.add(GENRES[name] if name in CORPORA else TEXTS)
    return "+".join(sorted(genres)) or TEXTS
