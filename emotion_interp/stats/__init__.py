"""Statistics with no emotion in them: ranks and AUROC, exact tests, corrections, intervals, folds and ridge."""

from emotion_interp.stats.adjusted import adjusted_auroc
from emotion_interp.stats.corrections import benjamini_hochberg, holm, max_t
from emotion_interp.stats.intervals import bca_interval, jackknife_interval, permutation_p
from emotion_interp.stats.ridge import ALPHAS, nested_ridge
from emotion_interp.stats.scores import composite_auroc, fisher_enrichment, pairwise_auroc

__all__ = [
    "ALPHAS",
    "adjusted_auroc",
    "bca_interval",
    "benjamini_hochberg",
    "composite_auroc",
    "fisher_enrichment",
    "holm",
    "jackknife_interval",
    "max_t",
    "nested_ridge",
    "pairwise_auroc",
    "permutation_p",
]
