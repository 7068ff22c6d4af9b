"""The feature bank: what was found in one subject, its files, tools, tables for readers, and how it is shared."""

from emotion_interp.bank.bank import FeatureBank
from emotion_interp.bank.card import bank_card
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.bank.sharing import feature_link, pull_bank, push_bank
from emotion_interp.bank.shipped import shipped_bank
from emotion_interp.bank.tools import bank_to_csv, diff_banks, merge_banks, subset_bank
from emotion_interp.concepts.meanings import emotions_of_word
from emotion_interp.core.similar import register_meanings

__all__ = [
    "FeatureBank",
    "bank_card",
    "bank_to_csv",
    "diff_banks",
    "feature_link",
    "merge_banks",
    "pull_bank",
    "push_bank",
    "require_same_subject",
    "shipped_bank",
    "subset_bank",
]

# an unknown emotion of a bank is named by what the word means
register_meanings(emotions_of_word)
FeatureBank._card = bank_card
