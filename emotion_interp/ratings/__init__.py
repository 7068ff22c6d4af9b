"""Ratings: predicting human ratings of words, within and across languages, against controls."""

from emotion_interp.ratings.matched import matched_outside
from emotion_interp.ratings.predict import Ratings, WordActivations, predict_from_activations
from emotion_interp.ratings.ridge import ALPHAS
from emotion_interp.ratings.subject_ratings import predict_ratings

__all__ = ["ALPHAS", "Ratings", "WordActivations", "matched_outside", "predict_from_activations", "predict_ratings"]
