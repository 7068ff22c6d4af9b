"""The subject and the bank that a benchmark's command line names."""

from __future__ import annotations

import argparse

import emotion_interp as ei


def subject_and_bank(asks: argparse.ArgumentParser, given: argparse.Namespace) -> tuple[ei.Subject, ei.FeatureBank]:
    """Of --model, --saes and --bank, or the bank that ships for the subject; without one the parser says so and leaves."""
    subject = ei.load_subject(given.model, saes=given.saes)
    bank = ei.FeatureBank.load(given.bank) if given.bank else ei.shipped_bank(subject)
    if bank is None:
        asks.error(f"no bank ships for {subject.name}; give --bank")
    return subject, bank
