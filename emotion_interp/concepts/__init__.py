"""Concept sets: emotions, the words people associate with them, carrier templates, and splits that do not leak."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from emotion_interp.concepts.corpora import corpus_stimuli
from emotion_interp.concepts.defaults import SIZES, shipped_languages, shipped_part
from emotion_interp.concepts.meanings import emotions_of_word
from emotion_interp.concepts.model import Concept, ConceptWord
from emotion_interp.concepts.scenes import labelled_stimuli, scene_stimuli
from emotion_interp.concepts.sets import ConceptSet
from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.core.arguments import checked
from emotion_interp.core.similar import register_meanings

__all__ = ["Concept", "ConceptSet", "ConceptWord", "concept_set", "corpus_stimuli", "labelled_stimuli", "scene_stimuli"]


@checked
@cache
def concept_set(language: str | Path, size: str = "standard") -> ConceptSet:
    """The shipped concept set of one language ("en", "es", "zh"): 28 emotions and a neutral contrast class.

    Join languages with `|`. The words were chosen for this project; the lists of the paper are not public.

    Args:
        language: "en", "es" or "zh".
        size: "standard", 19 to 24 words an emotion; "large", these first and then more, at least 42 together, so
            that a held-out half is large enough to be tested; or "extended", those first, at least 82 together, for
            tests against the hardest other emotion. The neutral words are the same.

    Raises:
        UnknownNameError: no set of that language, or none of that size, is shipped.

    Example:
        >>> concepts = concept_set("en") | concept_set("zh")
        >>> concepts.languages
        ('en', 'zh')
        >>> [len(concept_set("en", size).words("fear")) for size in ("standard", "large", "extended")]
        [22, 44, 88]
    """
    if "." in str(language) or "/" in str(language):
        raise EmotionInterpError(
            f"concept_set takes a shipped language ({', '.join(shipped_languages())}), got {str(language)!r}. "
            "For a file of your own use ConceptSet.from_toml, .from_csv or .from_word_associations."
        )
    if language not in shipped_languages():
        raise UnknownNameError("concept set language", language, shipped_languages())
    if size not in SIZES:
        raise UnknownNameError("size of a concept set", size, SIZES)
    return ConceptSet((shipped_part(str(language), size),))


register_meanings(emotions_of_word)
