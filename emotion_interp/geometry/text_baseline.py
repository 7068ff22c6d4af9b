"""Emotion spaces from the texts alone: what a model's space of the same texts has to add to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.concepts.text_baseline import check_unit, text_readings
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, tell
from emotion_interp.core.languages import language_or_detected
from emotion_interp.geometry.space import EmotionSpace

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.core.types import Site


@checked
def text_baselines(
    texts: Sequence[str],
    emotions: Sequence[str],
    *,
    language: str | None = None,
    unit: str = "text",
    keep_units: bool = False,
    layer: int | None = None,
    site: Site | None = None,
) -> dict[str, EmotionSpace]:
    """Emotion spaces of labelled texts without any model of language: TF-IDF, and a sentence encoder where present.

    Args:
        texts: the very texts (or words) that the subject was shown.
        emotions: label of each.
        language: of the texts; default: the one that they read as.
        unit: "text", or "word" for single words, whose terms are runs of letters.
        keep_units: the spaces carry the vector of every text.
        layer: noted in the spaces: where they stand beside.
        site: noted in the spaces: where they stand beside.

    Returns:
        "text" -> TF-IDF; where a sentence encoder is present (see `concepts.encoder_folder`) also "encoder".

    Raises:
        EmotionInterpError: no text or label is there for the other, or fewer than two emotions.
        UnknownNameError: another unit.

    Example:
        >>> texts = ["a sad rain fell", "such a sad rain", "a glad song rose", "glad was the song"]
        >>> text_baselines(texts, ["sadness", "sadness", "joy", "joy"])["text"].emotions
        ('joy', 'sadness')
    """
    check_unit(unit)
    if len(texts) != len(emotions):
        raise EmotionInterpError(f"{len(texts)} texts but {len(emotions)} labels; give one label for each text.")
    language = language_or_detected(language, texts)
    names = sorted(set(emotions))
    codes = np.asarray([names.index(e) for e in emotions])
    spaces = {}
    for kind, values in text_readings(texts, language, unit).items():
        tags: dict[str, Any] = {"kind": kind, "language": language, "layer": layer, "site": site}
        tags["stimuli"] = "words" if unit == "word" else "texts"
        if keep_units:
            dense = values.toarray() if hasattr(values, "toarray") else values
            spaces[kind] = EmotionSpace.from_units(dense.astype(np.float32), emotions, names, **tags)
        else:
            vectors = np.stack([np.asarray(values[codes == i].mean(axis=0)).ravel() for i in range(len(names))])
            spaces[kind] = EmotionSpace(vectors, names, **tags)
    return spaces


def baselines_if_any(texts: Sequence[str], emotions: Sequence[str], **options: Any) -> dict[str, EmotionSpace]:
    """`text_baselines`, or none with one line of warning where the texts share no word at all."""
    try:
        return text_baselines(texts, emotions, **options)
    except EmotionInterpError as error:
        tell(f"no text-only row stands beside these figures: {error}")
        return {}


def bank_baselines(bank: FeatureBank, language: str) -> dict[str, EmotionSpace]:
    """The spaces of the texts that a bank was found on, as it keeps them; none where it keeps none."""
    table: Any = bank.extras.get("text_space")
    if table is None:
        return {}
    spaces = {}
    # a bank merged of layers holds the same space twice
    of_language = table[table["language"] == language].drop_duplicates(["baseline", "emotion"])
    for name, rows in of_language.groupby("baseline", sort=False):
        vectors = np.stack([np.asarray(v, dtype=np.float64) for v in rows["vector"]])
        spaces[str(name)] = EmotionSpace(
            vectors, rows["emotion"].tolist(), kind=str(name), language=language, stimuli=bank.manifest["stimuli"]
        )
    return spaces
