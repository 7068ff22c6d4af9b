"""A unit of work that knows what the engines ask of one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    id: str
    subject: str = "a"
    needs: tuple[str, ...] = ()

    @property
    def title(self):
        return f"unit {self.id}"
