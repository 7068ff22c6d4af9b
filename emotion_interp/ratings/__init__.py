"""Ratings: predicting human ratings of words, within and across languages, against controls."""

from emotion_interp.ratings.curve import LearningCurve, learning_curve
from emotion_interp.ratings.matched import matched_outside
from emotion_interp.ratings.pattern import PaperPattern, PatternClaim, paper_pattern
from emotion_interp.ratings.predict import Ratings, WordActivations, predict_from_activations
from emotion_interp.ratings.sets import bank_sets
from emotion_interp.ratings.subject_ratings import predict_ratings
from emotion_interp.stats.ridge import ALPHAS

__all__ = [
    "ALPHAS",
    "LearningCurve",
    "PaperPattern",
    "PatternClaim",
    "Ratings",
    "WordActivations",
    "bank_sets",
    "learning_curve",
    "matched_outside",
    "paper_pattern",
    "predict_from_activations",
    "predict_ratings",
]
