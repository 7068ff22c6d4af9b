"""Which features carry which emotion: scores, selection, confirmation."""

from emotion_interp.features.confirm import with_confirmation, with_confirmed_sets
from emotion_interp.features.controls import FeatureControls, feature_controls
from emotion_interp.features.examples import TopExamples, top_examples
from emotion_interp.features.lens import TokenLens, token_lens
from emotion_interp.features.probes import SparseProbes, sparse_probes
from emotion_interp.features.readings import EmotionReadings, train_readings
from emotion_interp.features.search import Selection, find_features
from emotion_interp.features.transfer import Transfer, transfer
from emotion_interp.features.universality import Universality, universality, universality_all

__all__ = [
    "EmotionReadings",
    "FeatureControls",
    "Selection",
    "SparseProbes",
    "TokenLens",
    "TopExamples",
    "Transfer",
    "Universality",
    "feature_controls",
    "find_features",
    "sparse_probes",
    "token_lens",
    "top_examples",
    "train_readings",
    "transfer",
    "universality",
    "universality_all",
    "with_confirmation",
    "with_confirmed_sets",
]
