"""What acts on a running model: hooks, positions, schedules, operations and the context managers around them."""

from emotion_interp.steering.context import batch_steer, sae_operation, steer, steer_rows, unsteered
from emotion_interp.steering.interventions import POSITIONS, RowInterventions, row_interventions
from emotion_interp.steering.operations import ablate_rows, project_out
from emotion_interp.steering.positions import RowPositions
from emotion_interp.steering.schedules import decay, ramp

__all__ = [
    "POSITIONS",
    "RowInterventions",
    "RowPositions",
    "ablate_rows",
    "batch_steer",
    "decay",
    "project_out",
    "ramp",
    "row_interventions",
    "sae_operation",
    "steer",
    "steer_rows",
    "unsteered",
]
