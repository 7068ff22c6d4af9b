"""Which features carry which emotion: scores, selection, confirmation, and the bank that keeps them."""

from emotion_interp.features.bank import FeatureBank, shipped_bank
from emotion_interp.features.bank_tools import bank_to_csv, diff_banks, merge_banks
from emotion_interp.features.probes import SparseProbes, sparse_probes
from emotion_interp.features.search import Selection, find_features
from emotion_interp.features.universality import Universality, universality, universality_all

__all__ = [
    "FeatureBank",
    "Selection",
    "SparseProbes",
    "Universality",
    "bank_to_csv",
    "diff_banks",
    "find_features",
    "merge_banks",
    "shipped_bank",
    "sparse_probes",
    "universality",
    "universality_all",
]
