"""Adding emotion directions to a running subject, and judging honestly what the text becomes."""

from emotion_interp.steering.best_site import SteeringTest, best_site, steering_test
from emotion_interp.steering.coherence import distinct_2, is_coherent, perplexity
from emotion_interp.steering.content import content_overlap, content_similarity, content_words
from emotion_interp.steering.context import batch_steer, sae_operation, steer, steer_rows, unsteered
from emotion_interp.steering.controls import shuffled_directions, steering_controls
from emotion_interp.steering.corrections import max_t, needed_directions
from emotion_interp.steering.cross_language import cross_language
from emotion_interp.steering.dial import dial
from emotion_interp.steering.dial_grid import DialGrid, dial_grid, dial_test
from emotion_interp.steering.dose_response import DoseResponse, dose_response
from emotion_interp.steering.feature_outputs import output_scores
from emotion_interp.steering.interventions import POSITIONS, RowInterventions, row_interventions
from emotion_interp.steering.judges import BundledJudge, ClassifierJudge, ValenceArousalJudge, load_judge
from emotion_interp.steering.necessity import necessity
from emotion_interp.steering.next_word import NextWords, next_word_probability, next_words
from emotion_interp.steering.null_directions import NullDirections, NullTexts, null_texts, random_directions
from emotion_interp.steering.operations import ablate_rows, project_out
from emotion_interp.steering.positions import RowPositions
from emotion_interp.steering.prompts import NEUTRAL_PROMPTS, STORY_PROMPTS
from emotion_interp.steering.schedules import decay, ramp
from emotion_interp.steering.targeted import SteeringEffects, fit_effects, measure_effects, targeted_direction
from emotion_interp.steering.targeted_bank import with_targeted_directions
from emotion_interp.steering.train_judges import train_judge
from emotion_interp.steering.trained import TrainedDirections, train_directions
from emotion_interp.steering.windows import dose_monotonicity, regime, stable_windows

__all__ = [
    "NEUTRAL_PROMPTS",
    "STORY_PROMPTS",
    "POSITIONS",
    "BundledJudge",
    "ClassifierJudge",
    "DialGrid",
    "DoseResponse",
    "NextWords",
    "NullDirections",
    "NullTexts",
    "RowInterventions",
    "RowPositions",
    "SteeringEffects",
    "SteeringTest",
    "TrainedDirections",
    "ValenceArousalJudge",
    "ablate_rows",
    "batch_steer",
    "best_site",
    "content_overlap",
    "content_similarity",
    "content_words",
    "cross_language",
    "decay",
    "dial",
    "dial_grid",
    "dial_test",
    "distinct_2",
    "dose_monotonicity",
    "dose_response",
    "fit_effects",
    "is_coherent",
    "load_judge",
    "max_t",
    "measure_effects",
    "necessity",
    "needed_directions",
    "next_word_probability",
    "next_words",
    "null_texts",
    "output_scores",
    "perplexity",
    "project_out",
    "ramp",
    "random_directions",
    "regime",
    "row_interventions",
    "sae_operation",
    "shuffled_directions",
    "stable_windows",
    "steer",
    "steer_rows",
    "steering_controls",
    "steering_test",
    "targeted_direction",
    "train_directions",
    "train_judge",
    "unsteered",
    "with_targeted_directions",
]
