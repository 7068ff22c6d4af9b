"""Which features carry which emotion: scores, selection, confirmation, and the bank that keeps them."""

from emotion_interp.concepts.meanings import emotions_of_word
from emotion_interp.core.similar import register_meanings
from emotion_interp.features.bank import FeatureBank
from emotion_interp.features.bank_tools import bank_to_csv, diff_banks, merge_banks, subset_bank
from emotion_interp.features.confirm import with_confirmation, with_confirmed_sets
from emotion_interp.features.controls import FeatureControls, feature_controls
from emotion_interp.features.examples import TopExamples, top_examples
from emotion_interp.features.lens import TokenLens, token_lens
from emotion_interp.features.outputs import OutputScores, with_output_directions
from emotion_interp.features.probes import SparseProbes, sparse_probes
from emotion_interp.features.search import Selection, find_features
from emotion_interp.features.sharing import bank_card, feature_link, pull_bank, push_bank
from emotion_interp.features.shipped import shipped_bank
from emotion_interp.features.transfer import Transfer, transfer
from emotion_interp.features.universality import Universality, universality, universality_all

__all__ = [
    "FeatureBank",
    "FeatureControls",
    "OutputScores",
    "Selection",
    "SparseProbes",
    "TokenLens",
    "TopExamples",
    "Transfer",
    "Universality",
    "bank_card",
    "bank_to_csv",
    "diff_banks",
    "feature_controls",
    "feature_link",
    "find_features",
    "merge_banks",
    "pull_bank",
    "push_bank",
    "shipped_bank",
    "sparse_probes",
    "subset_bank",
    "token_lens",
    "top_examples",
    "transfer",
    "universality",
    "universality_all",
    "with_confirmation",
    "with_confirmed_sets",
    "with_output_directions",
]

# an unknown emotion of a bank is named by what the word means
register_meanings(emotions_of_word)
