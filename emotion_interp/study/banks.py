"""Where a study's bank comes from: found now, or shipped with the project and tested now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emotion_interp.bank import shipped_bank, subset_bank
from emotion_interp.concepts import scene_stimuli
from emotion_interp.concepts.scenes import SCENE_LANGUAGES
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.features import find_features, transfer
from emotion_interp.features.design import design_stimuli
from emotion_interp.study.settings import StudySettings
from emotion_interp.study.stages import Counter, Tick

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.subjects import Subject


def shipped_for(subject: Subject, concepts: ConceptSet) -> FeatureBank:
    """The shipped bank of a subject in the languages of the concept set.

    Raises:
        EmotionInterpError: the project ships none for this subject, or none in these languages.
    """
    bank = shipped_bank(subject)
    if bank is None:
        raise EmotionInterpError(
            f"no bank is shipped for {subject.name}; find one with stimuli='words' or 'scenes' (--stimuli words)."
        )
    shared = [language for language in bank.languages if language in concepts.languages]
    if not shared:
        raise EmotionInterpError(
            f"the shipped bank of {subject.name} is in {', '.join(bank.languages)}, not in {', '.join(concepts.languages)}; "
            "use stimuli='scenes' or 'words'."
        )
    return bank if shared == bank.languages else subset_bank(bank, shared)


def bank_for(
    subject: Subject,
    concepts: ConceptSet,
    settings: StudySettings,
    shipped: FeatureBank | None,
    progress: Tick | None = None,
) -> FeatureBank:
    """Find the features of a study, or test the shipped ones on scenes, which they were not found on."""
    if shipped is not None:
        here = [language for language in shipped.languages if language in SCENE_LANGUAGES]
        scenes = [s for s in scene_stimuli(here) if s.emotion in (*shipped.emotions, "neutral")]
        counter = Counter(progress, "reading scenes", len(scenes))
        return transfer(
            subject, concepts, shipped, scenes, tested_on="scenes", seed=settings.seed, progress=counter
        ).add_to(shipped)
    total = len(design_stimuli(concepts, settings.bank_stimuli, settings.seed).stimuli)
    return find_features(
        subject,
        concepts,
        layers=settings.layers,
        stimuli=settings.bank_stimuli,
        position=settings.position,
        selection=settings.selection,
        seed=settings.seed,
        progress=Counter(progress, f"reading {settings.bank_stimuli}", total),
    )
