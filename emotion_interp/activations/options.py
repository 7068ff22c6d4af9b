"""How texts are read: the choices that every function with a pass of its own takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from emotion_interp.core.options import Options
from emotion_interp.core.progress import Progress


@dataclass(frozen=True, kw_only=True)
class ReadOptions(Options):
    """Which tokens are read, and how the passes are made.

    Attributes:
        position: "last" token of a span, mean of the "span", mean of the "text" after `skip` tokens, "end"
            token; in conversations also "user_turn", "assistant_turn", "system" (mean of a speaker's words) and
            "assistant_start", "end_of_user" (see `TURN_POSITIONS`; the last of them); None: what the function says.
        skip: tokens left out at the start of a "text"; None: as many as the function says.
        batch_tokens: padded tokens of one forward pass.
        progress: receives the number of texts of each batch; False: silence; default: a bar after a second.
    """

    position: str | None = None
    skip: int | None = None
    batch_tokens: int = 2048
    progress: Progress = None

    def reading(self, position: str, skip: int) -> ReadOptions:
        """The options of the pass alone, with these where none were chosen.

        Args:
            position: where none is chosen.
            skip: where none is chosen.
        """
        skip = skip if self.skip is None else self.skip
        position = self.position or position
        return ReadOptions(position=position, skip=skip, batch_tokens=self.batch_tokens, progress=self.progress)


class ReadChoices(TypedDict, total=False):
    """`ReadOptions`, by keyword."""

    position: str | None
    skip: int | None
    batch_tokens: int
    progress: Progress
