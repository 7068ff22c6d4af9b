"""The maps that stand beside a study's report: for each language the layer on which its claims stand, with every card."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.types import Site
from emotion_interp.report import feature_map

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.subjects import Subject


def write_maps(bank: FeatureBank, subject: Subject, folder: Path) -> dict[str, str]:
    """Write the map of each language; returns what each is of -> the name of its file, for the report's links.

    A language without a kept feature at its layer has none.
    """
    written = {}
    for number, language in enumerate(bank.languages):
        with suppress(EmotionInterpError):
            drawn = feature_map(bank, language=language, subject=subject)
            # a language of the user's may have a name that no file can have
            plain = language if language.isascii() and language.isalnum() else str(number)
            # the usual place by its layer alone, any other by its whole name
            place = f"layer {drawn.site.layer}" if drawn.site == Site(drawn.site.layer) else str(drawn.site)
            written[f"{language} · {place}"] = drawn.save(folder / f"features_{plain}.html").name
    return written
