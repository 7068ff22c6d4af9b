"""The subject and the bank that a benchmark's command line names."""

from __future__ import annotations

import argparse
from pathlib import Path

import emotion_interp as ei

SHIPPED = Path(__file__).parents[1] / "saved_features"


def subject_and_bank(asks: argparse.ArgumentParser, given: argparse.Namespace) -> tuple[ei.Subject, ei.FeatureBank]:
    """Of --model, --saes and --bank, or what ships for the model; without a bank the parser says so and leaves."""
    subject = ei.load_subject(given.model, saes=given.saes or shipped_saes(given.model))
    bank = ei.FeatureBank.load(given.bank) if given.bank else ei.shipped_bank(subject)
    if bank is None:
        asks.error(f"no bank ships for {subject.name}; give --bank")
    return subject, bank


def shipped_saes(model: str | None) -> Path | None:
    """The folder of the SAEs that this repository keeps for a model, by its plain name."""
    folder = SHIPPED / str(model) / "saes"
    return folder if model == Path(str(model)).name and folder.is_dir() else None


def by_language(text: str) -> dict[str, str]:
    """Norms of several languages from one option: language -> name.

    Raises:
        ArgumentTypeError: a part is not language=name, or a language stands twice.
    """
    parts = [part.partition("=") for part in text.split(",")]
    found = {code: name for code, _, name in parts}
    if len(found) < len(parts) or not all(code and name for code, name in found.items()):
        raise argparse.ArgumentTypeError(f"one norms for each language, such as en=warriner,zh=cvaw3, not {text!r}")
    return found
