"""What is measured by steering: grids, tests, controls, doses, other languages, necessity, output effects."""

from emotion_interp.experiments.causal_universality import CausalUniversality, causal_universality
from emotion_interp.experiments.controls import shuffled_directions, steering_controls
from emotion_interp.experiments.corrections import needed_directions
from emotion_interp.experiments.cross_language import cross_language
from emotion_interp.experiments.dial_grid import DialGrid, dial_grid, dial_test
from emotion_interp.experiments.dose_response import DoseResponse, dose_response
from emotion_interp.experiments.feature_outputs import output_scores
from emotion_interp.experiments.necessity import necessity
from emotion_interp.experiments.setting import Setting
from emotion_interp.experiments.steering_test import SteeringTest, best_site, steering_test
from emotion_interp.experiments.verdicts import SteeringVerdicts, VerdictOptions, steering_verdicts
from emotion_interp.experiments.verdicts_doses import VerdictDoses, verdict_doses
from emotion_interp.experiments.windows import dose_monotonicity, regime, stable_windows

__all__ = [
    "CausalUniversality",
    "DialGrid",
    "DoseResponse",
    "Setting",
    "SteeringTest",
    "SteeringVerdicts",
    "VerdictDoses",
    "VerdictOptions",
    "best_site",
    "causal_universality",
    "cross_language",
    "dial_grid",
    "dial_test",
    "dose_monotonicity",
    "dose_response",
    "necessity",
    "needed_directions",
    "output_scores",
    "regime",
    "shuffled_directions",
    "stable_windows",
    "steering_controls",
    "steering_test",
    "steering_verdicts",
    "verdict_doses",
]
