"""What makes a steering direction: trained, effect-targeted, of output features, from the norms, random, or of a file."""

from emotion_interp.directions.dial import dial
from emotion_interp.directions.interchange import ExportedDirection, export_direction, import_directions
from emotion_interp.directions.interchange_check import Parity, check_parity
from emotion_interp.directions.null_directions import NullDirections, NullTexts, null_texts, random_directions
from emotion_interp.directions.outputs import OutputScores, with_output_directions
from emotion_interp.directions.targeted import SteeringEffects, fit_effects, measure_effects, targeted_direction
from emotion_interp.directions.targeted_bank import with_targeted_directions
from emotion_interp.directions.trained import TrainedDirections, train_directions

__all__ = [
    "ExportedDirection",
    "NullDirections",
    "NullTexts",
    "OutputScores",
    "Parity",
    "SteeringEffects",
    "TrainedDirections",
    "check_parity",
    "dial",
    "export_direction",
    "fit_effects",
    "import_directions",
    "measure_effects",
    "null_texts",
    "random_directions",
    "targeted_direction",
    "train_directions",
    "with_output_directions",
    "with_targeted_directions",
]
