"""Does a file of vectors do to a model what it did to the one that it was written for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.result import Result
from emotion_interp.directions.interchange import import_directions
from emotion_interp.directions.interchange_parity import read_parity, steered

if TYPE_CHECKING:
    from emotion_interp.subjects.subject import Subject


@dataclass(frozen=True, repr=False)
class Parity(Result):
    """Hidden states and logits as a parity file expects them and as they were computed.

    Attributes:
        frame: text, place ("block 5" or "logits"), state ("before" and "after" the vectors are added), error (the largest
            difference, over the largest expected value), moved (what the vectors change there, in the same units).
        tolerance: the largest error that passes.
        model: whose states the file has.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = ("text", "place", "state", "error", "moved", "passed")
    frame: pd.DataFrame
    tolerance: float
    model: str

    @property
    def passed(self) -> bool:
        """Whether every state is as expected."""
        return bool(self.frame["passed"].all())

    @property
    def reason(self) -> str:
        """One line: what differs, if anything does."""
        wrong = set(self.frame.loc[~self.frame["passed"].to_numpy(), "state"])
        if "before" in wrong:
            return f"the model differs from {self.model} before anything is added: other weights, or other token ids"
        if wrong:
            return "the model is the same, but what is added differs: another layer, length, sign or set of tokens"
        return "all states are as expected"

    def __repr__(self) -> str:
        return f"Parity({'passed' if self.passed else 'failed'}, largest error {self.frame['error'].max():.1e}: {self.reason})"


@checked
def check_parity(path: str | Path, subject: Subject, tolerance: float = 1e-4) -> Parity:
    """Steer a subject with a file of `export_direction` and compare with the states that its parity test expects.

    The file is read as `import_directions` reads it, whatever its format. Another program runs the same test with the script
    beside it: `python check_parity.py joy.gguf --model FOLDER --with repeng`.

    Args:
        path: the file of vectors.
        subject: the model, as it is to be used.
        tolerance: largest difference, over the largest expected value; a model in half precision needs 0.02.

    Returns:
        Parity.

    Raises:
        FileFormatError: a file is missing, damaged, or was changed.
        EmotionInterpError: the subject has other dimensions than the vectors, or fewer layers.

    Example:
        >>> ei.check_parity("joy.gguf", subject).passed  # doctest: +SKIP
        True
    """
    if not tolerance > 0:
        raise EmotionInterpError(f"a tolerance is a number above 0, got {tolerance!r}.")
    place = Path(path)
    expected = read_parity(place)
    directions = import_directions(place)
    states = steered(subject, directions, expected.coefficient, expected.token_ids, expected.blocks)
    rows = []
    for name, wanted in expected.states.items():
        text, part, state = name.split(".")
        found = states[name]
        if found.shape != wanted.shape:
            raise EmotionInterpError(f"{subject.name} gives {found.shape} where {expected.model} gave {wanted.shape}.")
        size = float(np.abs(wanted).max())
        moved = np.abs(expected.states[f"{text}.{part}.after"] - expected.states[f"{text}.{part}.before"]).max()
        error = float(np.abs(found - wanted).max()) / size
        place_name = part if part == "logits" else f"block {part}"
        row = {"text": int(text), "place": place_name, "state": state, "error": error, "moved": float(moved) / size}
        rows.append(row | {"passed": error <= tolerance})
    frame = pd.DataFrame(rows).sort_values(["text", "place", "state"], ascending=[True, True, False])
    return Parity(frame.reset_index(drop=True), tolerance, expected.model)
