"""emotion_interp: which features of a language model carry emotion, how human its emotion space is, what they cause.

A plugin on TransformerLens and SAELens. Importing it loads no torch: every public name is fetched when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Alignment": "geometry",
    "Concept": "concepts",
    "ConceptSet": "concepts",
    "Direction": "core",
    "EmotionInterpError": "core",
    "EmotionSpace": "geometry",
    "EmotionTrace": "report",
    "FeatureBank": "features",
    "Norms": "norms",
    "Site": "core",
    "Stimulus": "core",
    "Subject": "subjects",
    "align": "geometry",
    "align_layers": "geometry",
    "compare_spaces": "geometry",
    "concept_set": "concepts",
    "control_spaces": "geometry",
    "dial": "steering",
    "dose_response": "steering",
    "emotion_space": "geometry",
    "emotion_trace": "report",
    "find_features": "features",
    "load_judge": "steering",
    "load_norms": "norms",
    "load_space": "geometry",
    "load_subject": "subjects",
    "necessity": "steering",
    "paper_pattern": "ratings",
    "predict_ratings": "ratings",
    "run_study": "study",
    "sparse_probes": "features",
    "steer": "steering",
    "steering_test": "steering",
    "train_saes": "training",
    "train_subject": "training",
    "universality": "features",
}

__all__ = [
    "__version__",
    "Alignment",
    "Concept",
    "ConceptSet",
    "Direction",
    "EmotionInterpError",
    "EmotionSpace",
    "EmotionTrace",
    "FeatureBank",
    "Norms",
    "Site",
    "Stimulus",
    "Subject",
    "align",
    "align_layers",
    "compare_spaces",
    "concept_set",
    "control_spaces",
    "dial",
    "dose_response",
    "emotion_space",
    "emotion_trace",
    "find_features",
    "load_judge",
    "load_norms",
    "load_space",
    "load_subject",
    "necessity",
    "paper_pattern",
    "predict_ratings",
    "run_study",
    "sparse_probes",
    "steer",
    "steering_test",
    "train_saes",
    "train_subject",
    "universality",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"emotion_interp.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'emotion_interp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from emotion_interp.concepts import Concept, ConceptSet, concept_set
    from emotion_interp.core import Direction, EmotionInterpError, Site, Stimulus
    from emotion_interp.features import FeatureBank, find_features, sparse_probes, universality
    from emotion_interp.geometry import (
        Alignment,
        EmotionSpace,
        align,
        align_layers,
        compare_spaces,
        control_spaces,
        emotion_space,
        load_space,
    )
    from emotion_interp.norms import Norms, load_norms
    from emotion_interp.ratings import paper_pattern, predict_ratings
    from emotion_interp.report import EmotionTrace, emotion_trace
    from emotion_interp.steering import dial, dose_response, load_judge, necessity, steer, steering_test
    from emotion_interp.study import run_study
    from emotion_interp.subjects import Subject, load_subject
    from emotion_interp.training import train_saes, train_subject
