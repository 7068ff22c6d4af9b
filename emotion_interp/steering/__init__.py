"""Adding emotion directions to a running subject, and judging honestly what the text becomes."""

from emotion_interp.steering.best_site import SteeringTest, best_site, steering_test
from emotion_interp.steering.coherence import distinct_2, is_coherent, perplexity
from emotion_interp.steering.content import content_overlap, content_words
from emotion_interp.steering.context import batch_steer, sae_operation, steer, steer_rows, unsteered
from emotion_interp.steering.dial import dial
from emotion_interp.steering.dose_response import DoseResponse, dose_response
from emotion_interp.steering.interventions import POSITIONS, RowInterventions, row_interventions
from emotion_interp.steering.judges import BundledJudge, ClassifierJudge, load_judge
from emotion_interp.steering.necessity import necessity
from emotion_interp.steering.next_word import NextWords, next_word_probability, next_words
from emotion_interp.steering.operations import ablate_rows, project_out
from emotion_interp.steering.prompts import NEUTRAL_PROMPTS

__all__ = [
    "NEUTRAL_PROMPTS",
    "POSITIONS",
    "BundledJudge",
    "ClassifierJudge",
    "DoseResponse",
    "NextWords",
    "RowInterventions",
    "SteeringTest",
    "ablate_rows",
    "batch_steer",
    "best_site",
    "content_overlap",
    "content_words",
    "dial",
    "distinct_2",
    "dose_response",
    "is_coherent",
    "load_judge",
    "necessity",
    "next_word_probability",
    "next_words",
    "perplexity",
    "project_out",
    "row_interventions",
    "sae_operation",
    "steer",
    "steer_rows",
    "steering_test",
    "unsteered",
]
