"""Training SAEs for any subject that has none, and the recipe of the bundled subject."""

from emotion_interp.training.saes import SaeRecipe, SaeTrainingResult, train_saes
from emotion_interp.training.subject import SubjectRecipe, train_subject
from emotion_interp.training.texts import load_texts, texts_for_subject

__all__ = [
    "SaeRecipe",
    "SaeTrainingResult",
    "SubjectRecipe",
    "load_texts",
    "texts_for_subject",
    "train_saes",
    "train_subject",
]
