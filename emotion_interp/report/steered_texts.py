"""Steered beside unsteered text, each under what the test and a reader of the text itself say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from emotion_interp.report.blocks import cell, folded_block
from emotion_interp.report.data import StudyData
from emotion_interp.report.plain_words import direction_words
from emotion_interp.report.verdict import BREAKS, NOTHING, PASSES, UNTESTED, text_verdicts

if TYPE_CHECKING:
    from emotion_interp.report.brief import Block

_NOT_READ = "The test judged the probability of words; these texts themselves were read by no judge."


def text_groups(study: StudyData) -> list[Block]:
    """The texts, in groups by verdict; what does not read as its label never stands under "passes"."""
    texts = text_verdicts(study)
    passes, agrees = texts["verdict"] == PASSES, texts["agrees"]
    unread = agrees.isna()
    reader = next(iter(texts["judged_by"].dropna()), "a judge of texts")
    groups = (
        (
            "Passes: the test finds the emotion raised, and the text reads so",
            f"Same prompt, without and with steering. Read by {reader}.",
            passes & agrees.fillna(False),
        ),
        (
            "Does not pass as text: the test finds the emotion raised, this text reads otherwise",
            f"The probability of the emotion's words rose beyond random directions, but {reader} reads the text as "
            "something else.",
            passes & ~agrees.fillna(True),
        ),
        ("The test finds the emotion raised; the texts were not read", _NOT_READ, passes & unread),
        (
            "Breaks down: the emotion is raised only where the text stops being fluent",
            "Fluent: at most twice as surprising to the unsteered model as its own text, and not repeating itself.",
            texts["verdict"] == BREAKS,
        ),
        ("No effect shown", "Not raised beyond random directions of the same size.", texts["verdict"] == NOTHING),
        ("Steered, without a test", _NOT_READ, texts["verdict"] == UNTESTED),
    )
    methods = [str(m) for m in dict.fromkeys(texts["method"]) if direction_words(m) != str(m)]
    about = "; ".join(direction_words(method) for method in methods)
    blocks: list[Block] = [{"type": "heading", "title": "", "note": f"Directions: {about}."}] if about else []
    for title, note, chosen in groups:
        rows = texts[chosen.astype(bool)]
        if len(rows):
            shown: list[Block] = [{"type": "texts", "texts": _shown(rows.head(2))}]
            if len(rows) > 2:
                rest: Block = {"type": "texts", "texts": _shown(rows.iloc[2:])}
                shown.append(folded_block(f"{len(rows) - 2} more", [rest]))
            blocks += [
                {"type": "heading", "title": f"{title} ({len(rows)} of {len(texts)} texts)", "note": note},
                *shown,
            ]
    return blocks


def _shown(rows: pd.DataFrame) -> list[dict[str, str]]:
    shown = []
    for row in rows.to_dict("records"):
        notes = [f"{key} {cell(row[key])}" for key in ("dose", "layer") if row[key] == row[key]]
        notes += (
            [f"{row['method']} direction"] if isinstance(row["method"], str) and row["method"] != "features" else []
        )
        read = f"reads as {row['read_as']}" if isinstance(row["read_as"], str) else ""
        texts = {key: str(row[key]) for key in ("emotion", "prompt", "unsteered", "steered")}
        shown.append(texts | {"note": ", ".join(notes), "read": read})
    return shown
