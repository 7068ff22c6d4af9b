"""The names of the tables in plain words, explained where they stand."""

from __future__ import annotations

DIRECTIONS = {
    "dense": "the mean of the emotion's texts minus that of the others",
    "dense_clean": "dense without what neutral texts vary in",
    "sae": "the directions that the emotion's SAE features write",
    "probe": "a classifier trained on the emotion's texts",
}
FEATURE_SETS = {
    "all": "all SAE features",
    "selected": "the emotion features",
    "union": "emotion features of any language",
    "intersection": "emotion features shared by the languages",
    "both": "emotion features shared by the languages",
    "outside": "as many other features",
    "outside_union": "as many other features (for “any”)",
    "outside_intersection": "as many other features (for “shared”)",
    "dense": "the model's whole state (no SAE)",
    "static": "word embeddings alone",
    "length": "length of the word alone",
    "frequency": "frequency of the word alone",
    "text": "the letters alone (TF-IDF)",
    "encoder": "a sentence encoder alone",
    "features": "features",
}
_SHORT = {
    "all": "all features",
    "selected": "emotion features",
    "union": "emotion f., any",
    "intersection": "emotion f., shared",
    "both": "emotion f., shared",
    "outside": "other features",
    "outside_union": "other f., any",
    "outside_intersection": "other f., shared",
    "dense": "whole state",
    "static": "embeddings",
    "length": "word length",
    "frequency": "word frequency",
    "text": "letters alone",
    "encoder": "encoder",
}
NO_MODEL = ("static", "length", "frequency", "text", "encoder")
"""Sets that do not look inside the model's layers: what the model has to beat."""


def direction_words(method: object) -> str:
    """A kind of direction with what it is.

    Example:
        >>> direction_words("dense_clean")
        'dense_clean (dense without what neutral texts vary in)'
    """
    meaning = DIRECTIONS.get(str(method))
    return f"{method} ({meaning})" if meaning else str(method)


def set_words(name: object, languages: dict[str, str] | None = None) -> str:
    """A set of features in plain words; the name itself where it is unknown.

    Example:
        >>> set_words("outside"), set_words("selected_en", {"en": "English"})
        ('as many other features', 'the emotion features of English')
    """
    start, _, code = str(name).partition("_")
    if start == "selected" and code:
        return f"the emotion features of {(languages or {}).get(code, code)}"
    return FEATURE_SETS.get(str(name), str(name))


def short_set(name: object, languages: dict[str, str] | None = None) -> str:
    """As `set_words`, for a phone."""
    start, _, code = str(name).partition("_")
    if start == "selected" and code:
        return f"emotion f., {(languages or {}).get(code, code)}"
    return _SHORT.get(str(name), str(name))
