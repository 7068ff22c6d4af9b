"""Testing a bank's features again: which of them, where, and on which stimuli the bank was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.concepts.model import conversation_of
from emotion_interp.concepts.naming import naming_entry
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.features.design import design_stimuli

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet


def chosen_rows(bank: FeatureBank, rows: str) -> pd.DataFrame:
    """Rows of the feature table: "all", "kept" (selected or top) or "top"; never empty."""
    frame = bank.features
    if rows == "kept":
        frame = frame[frame["selected"] | frame["top"]]
    elif rows == "top":
        frame = frame[frame["top"]]
    elif rows != "all":
        raise UnknownNameError("choice of rows", rows, ("all", "kept", "top"))
    if frame.empty:
        raise EmotionInterpError("the bank has no features to test.")
    return frame.reset_index(drop=True)


def columns_of(frame: pd.DataFrame) -> dict[Site, np.ndarray]:
    """Site -> the features that rows name there."""
    groups = frame.groupby("site", sort=True)["feature"]
    return {Site.parse(str(name)): ids.unique() for name, ids in groups}


def design_of(
    concepts: ConceptSet, bank: FeatureBank, stimuli: str | Sequence[Stimulus] | None = None
) -> tuple[pd.DataFrame, list[Stimulus], np.ndarray]:
    """The units, stimuli and unit of each stimulus that a bank was found on, made anew and checked against the bank.

    Raises:
        EmotionInterpError: the concepts or texts are not those of the bank, or texts of a user are not given.
    """
    talk = {lang: m for lang, m in bank.manifest.get("conversation", {}).items() if lang in bank.languages}
    if conversation_of(concepts.parts, bank.languages) != talk:
        raise EmotionInterpError(
            "the bank was found in a conversation, and these concepts are shown in another or in none: pass the concepts "
            "as they were, by in_chat(...)."
            if talk
            else "the bank was found on plain texts, and these concepts are shown in a conversation; pass them without in_chat()."
        )
    kind = bank.manifest["stimuli"]
    if kind == "texts" and stimuli is None:
        raise EmotionInterpError("the bank was found on texts of your own; pass them again as stimuli=.")
    design = design_stimuli(concepts, kind if stimuli is None else stimuli, int(bank.manifest["seed"]))
    # texts are known by their content: their numbers depend on what else was read
    name = "text_sha256" if "text_sha256" in bank.words and "text_sha256" in design.words else "word"
    keys = ["language", "emotion", name, "side"]
    made, bank_words = (set(map(tuple, frame[keys].to_numpy())) for frame in (design.words, bank.words))
    if not bank_words <= made:
        raise EmotionInterpError(
            "these concepts or stimuli are not those the bank was found with: "
            f"{sorted(bank_words - made)[0][:3]} is missing or on the other side of the split. "
            f"Pass the concept set of the languages {', '.join(bank.languages)}, or the same texts."
        )
    return design.words, design.stimuli, design.units


def with_naming(bank: FeatureBank, concepts: ConceptSet, stimuli: Sequence[Stimulus]) -> FeatureBank:
    """A bank of texts whose manifest says how many of them name their emotion, as `find_features` notes it.

    Raises:
        EmotionInterpError: other texts or concepts than those of the bank.
    """
    shown = design_of(concepts, bank, stimuli)[1]
    return replace(bank, manifest={**bank.manifest, "naming": naming_entry(shown)})
