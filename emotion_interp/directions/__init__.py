"""What makes a steering direction: trained, effect-targeted, of output features, from the norms, and random ones."""

from emotion_interp.directions.dial import dial
from emotion_interp.directions.null_directions import NullDirections, NullTexts, null_texts, random_directions
from emotion_interp.directions.outputs import OutputScores, with_output_directions
from emotion_interp.directions.targeted import SteeringEffects, fit_effects, measure_effects, targeted_direction
from emotion_interp.directions.targeted_bank import with_targeted_directions
from emotion_interp.directions.trained import TrainedDirections, train_directions

__all__ = [
    "NullDirections",
    "NullTexts",
    "OutputScores",
    "SteeringEffects",
    "TrainedDirections",
    "dial",
    "fit_effects",
    "measure_effects",
    "null_texts",
    "random_directions",
    "targeted_direction",
    "train_directions",
    "with_output_directions",
    "with_targeted_directions",
]
