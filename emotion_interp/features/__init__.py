"""Which features carry which emotion: scores, selection, confirmation, and the bank that keeps them."""

from emotion_interp.features.bank import FeatureBank, shipped_bank
from emotion_interp.features.search import Selection, find_features

__all__ = ["FeatureBank", "Selection", "find_features", "shipped_bank"]
