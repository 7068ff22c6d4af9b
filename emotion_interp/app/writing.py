"""One prompt continued twice at once, unsteered and steered, in a thread of its own that can be stopped."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from emotion_interp.app.asked import Write
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.types import Direction
from emotion_interp.directions import dial
from emotion_interp.steering.context import batch_steer

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.subjects import Subject

Send = Callable[[str, Mapping[str, object]], None]
"""Takes the name of an event and what it says."""
UNSTEERED, STEERED = 0, 1
"""Rows of the two texts."""


def directions_of(bank: FeatureBank, asked: Write) -> tuple[list[Direction], list[float]]:
    """The directions that are added, and the dose of each.

    Raises:
        EmotionInterpError: the bank has no such direction.
    """
    asked.check()
    if asked.is_point:
        valence, arousal = asked.valence or 0.0, asked.arousal or 0.0
        made = dial(
            bank, valence, arousal, asked.site, language=asked.language or bank.languages[0], method=asked.method
        )
        return [made], [round(asked.dose * math.hypot(valence, arousal), 6)]
    directions = [bank.direction(e, asked.site, asked.language, asked.method) for e in asked.emotions]
    return directions, [round(asked.dose / len(directions), 6)] * len(directions)


class Writing:
    """Two texts being written; events go to `send`, and the last of them is "done" or "failed".

    Args:
        subject: the model.
        bank: its bank.
        asked: what to write.
        send: called in the thread that writes: ("piece", row and text), ("done", both texts), ("failed", error).

    Raises:
        EmotionInterpError: what was asked cannot be done, before anything is written.
    """

    def __init__(self, subject: Subject, bank: FeatureBank, asked: Write, send: Send) -> None:
        self.subject, self.asked, self.send = subject, asked, send
        self.directions, self.doses = directions_of(bank, asked)
        self._stop = threading.Event()
        # a daemon: the server may be interrupted while the model is at a token
        self._thread = threading.Thread(target=self._run, name="writing", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, wait: bool = True) -> None:
        """Stop after the token that is being written."""
        self._stop.set()
        if wait and self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            self.send("done", self._write())
        except EmotionInterpError as error:
            self.send("failed", {"error": str(error)})
        except Exception as error:
            self.send(
                "failed", {"error": f"the subject failed: {type(error).__name__}: {' '.join(str(error).split())}"}
            )
            raise

    def _write(self) -> dict[str, object]:
        asked = self.asked
        texts, pieces, began = [asked.prompt, asked.prompt], 0, time.monotonic()
        # one stream for both rows: they differ by what was steered and not by luck
        options: dict[str, Any] = {"max_new_tokens": asked.max_new_tokens, "streams": [0, 0], "seed": asked.seed}
        if asked.do_sample:
            options |= {"do_sample": True, "temperature": asked.temperature}
        # the directions of a row are added up at one dose, and all of ours have the same
        doses = [0.0, self.doses[0]]
        with batch_steer(self.subject, [None, self.directions], doses, asked.positions):
            for row, piece in self.subject.stream(texts[:], **options):
                if self._stop.is_set():
                    break
                texts[row] += piece
                pieces += 1
                self.send("piece", {"row": row, "text": piece})
        return {
            "texts": texts,
            "generated_from": len(asked.prompt),
            "stopped": self._stop.is_set(),
            "seconds": round(time.monotonic() - began, 2),
        }


class OneAtATime:
    """The one writing that goes on: the next one stops it first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: Writing | None = None

    def begin(self, writing: Writing) -> None:
        """Start a writing in place of the one before."""
        with self._lock:
            if self._current is not None:
                self._current.stop()
            self._current = writing
            writing.start()

    def stop(self) -> bool:
        """Stop what is being written; says whether anything was."""
        with self._lock:
            writing, self._current = self._current, None
        if writing is None:
            return False
        writing.stop()
        return True
