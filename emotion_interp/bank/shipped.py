"""The banks that the project ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emotion_interp.bank.bank import FeatureBank
from emotion_interp.core.arguments import checked
from emotion_interp.core.leftovers import found_folder


@checked
def shipped_bank(subject: Any) -> FeatureBank | None:
    """The bank that the project ships for a subject in `saved_features/`, or None where it ships none.

    Args:
        subject: known by its name and its weights.
    """
    folder = shipped_folder(subject.name)
    if folder is not None:
        bank = FeatureBank.load(folder)
        # a user's folder of the same name is another subject
        if bank.manifest.get("provenance") == subject.provenance:
            return bank
    return None


def shipped_folder(name: str) -> Path | None:
    """Where the bank that is shipped for a subject of this name lies."""
    package = Path(__file__).parents[1]
    for root in (package / "saved_features", package.parent / "saved_features"):
        folder = found_folder(root / name)
        if (folder / "manifest.json").is_file():
            return folder
    return None
