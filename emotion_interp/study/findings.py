"""What the doctor found: questions and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emotion_interp.core.result import Result

MARKS = {"fine": "ok   ", "look": "look ", "wrong": "WRONG"}


@dataclass(frozen=True)
class Finding:
    """One question and its answer.

    Attributes:
        check: what was asked.
        state: "fine", "look" (it works, and you should know) or "wrong".
        finding: the answer.
        fix: what mends it; "" where nothing need be.
    """

    check: str
    state: str
    finding: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{MARKS[self.state]} {self.check}: {self.finding}" + (f" | {self.fix}" if self.fix else "")


@dataclass(frozen=True, eq=False)
class Examination(Result):
    """All findings, in order.

    Attributes:
        findings: one for each question.
    """

    ROWS: ClassVar[str] = "findings"

    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """What needs mending."""
        return tuple(f for f in self.findings if f.state == "wrong")
