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
    "FeatureBank": "bank",
    "Norms": "norms",
    "Setting": "experiments",
    "Site": "core",
    "Stimulus": "core",
    "Subject": "subjects",
    "align": "geometry",
    "align_layers": "geometry",
    "causal_universality": "experiments",
    "cebra_space": "geometry",
    "compare_spaces": "geometry",
    "concept_set": "concepts",
    "control_spaces": "geometry",
    "corpus_stimuli": "concepts",
    "cross_language": "experiments",
    "dial": "directions",
    "dial_grid": "experiments",
    "dial_test": "experiments",
    "dose_monotonicity": "experiments",
    "dose_response": "experiments",
    "emotion_space": "geometry",
    "emotion_trace": "report",
    "feature_card": "report",
    "feature_controls": "features",
    "fetch_norms": "norms",
    "find_features": "features",
    "labelled_stimuli": "concepts",
    "learning_curve": "ratings",
    "load_judge": "judges",
    "load_norms": "norms",
    "load_space": "geometry",
    "load_subject": "subjects",
    "necessity": "experiments",
    "norms_table": "norms",
    "null_texts": "directions",
    "output_scores": "experiments",
    "paper_pattern": "ratings",
    "predict_ratings": "ratings",
    "pull_bank": "bank",
    "push_bank": "bank",
    "random_directions": "directions",
    "residual_geometry": "geometry",
    "run_study": "study",
    "scene_stimuli": "concepts",
    "shipped_bank": "bank",
    "shuffled_directions": "experiments",
    "sparse_probes": "features",
    "stable_windows": "experiments",
    "steer": "steering",
    "steering_controls": "experiments",
    "steering_test": "experiments",
    "steering_verdicts": "experiments",
    "targeted_direction": "directions",
    "text_baselines": "geometry",
    "text_increment": "geometry",
    "text_spaces": "geometry",
    "token_lens": "features",
    "top_examples": "features",
    "train_directions": "directions",
    "train_judge": "judges",
    "train_saes": "training",
    "train_subject": "training",
    "transfer": "features",
    "universality": "features",
    "verdict_doses": "experiments",
    "with_confirmation": "features",
    "with_output_directions": "directions",
    "with_targeted_directions": "directions",
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
    "Setting",
    "Site",
    "Stimulus",
    "Subject",
    "align",
    "align_layers",
    "causal_universality",
    "cebra_space",
    "compare_spaces",
    "concept_set",
    "control_spaces",
    "corpus_stimuli",
    "cross_language",
    "dial",
    "dial_grid",
    "dial_test",
    "dose_monotonicity",
    "dose_response",
    "emotion_space",
    "emotion_trace",
    "feature_card",
    "feature_controls",
    "fetch_norms",
    "find_features",
    "labelled_stimuli",
    "learning_curve",
    "load_judge",
    "load_norms",
    "load_space",
    "load_subject",
    "necessity",
    "norms_table",
    "null_texts",
    "output_scores",
    "paper_pattern",
    "predict_ratings",
    "pull_bank",
    "push_bank",
    "random_directions",
    "residual_geometry",
    "run_study",
    "scene_stimuli",
    "shipped_bank",
    "shuffled_directions",
    "sparse_probes",
    "stable_windows",
    "steer",
    "steering_controls",
    "steering_test",
    "steering_verdicts",
    "targeted_direction",
    "text_baselines",
    "text_increment",
    "text_spaces",
    "token_lens",
    "top_examples",
    "train_directions",
    "train_judge",
    "train_saes",
    "train_subject",
    "transfer",
    "universality",
    "verdict_doses",
    "with_confirmation",
    "with_output_directions",
    "with_targeted_directions",
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
    from emotion_interp.bank import FeatureBank, pull_bank, push_bank, shipped_bank
    from emotion_interp.concepts import (
        Concept,
        ConceptSet,
        concept_set,
        corpus_stimuli,
        labelled_stimuli,
        scene_stimuli,
    )
    from emotion_interp.core import Direction, EmotionInterpError, Site, Stimulus
    from emotion_interp.directions import (
        dial,
        null_texts,
        random_directions,
        targeted_direction,
        train_directions,
        with_output_directions,
        with_targeted_directions,
    )
    from emotion_interp.experiments import (
        Setting,
        causal_universality,
        cross_language,
        dial_grid,
        dial_test,
        dose_monotonicity,
        dose_response,
        necessity,
        output_scores,
        shuffled_directions,
        stable_windows,
        steering_controls,
        steering_test,
        steering_verdicts,
        verdict_doses,
    )
    from emotion_interp.features import (
        feature_controls,
        find_features,
        sparse_probes,
        token_lens,
        top_examples,
        transfer,
        universality,
        with_confirmation,
    )
    from emotion_interp.geometry import (
        Alignment,
        EmotionSpace,
        align,
        align_layers,
        cebra_space,
        compare_spaces,
        control_spaces,
        emotion_space,
        load_space,
        residual_geometry,
        text_baselines,
        text_increment,
        text_spaces,
    )
    from emotion_interp.judges import load_judge, train_judge
    from emotion_interp.norms import Norms, fetch_norms, load_norms, norms_table
    from emotion_interp.ratings import learning_curve, paper_pattern, predict_ratings
    from emotion_interp.report import EmotionTrace, emotion_trace, feature_card
    from emotion_interp.steering import steer
    from emotion_interp.study import run_study
    from emotion_interp.subjects import Subject, load_subject
    from emotion_interp.training import train_saes, train_subject
