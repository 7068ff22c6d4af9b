"""`steer --grid`: doses x emotions as a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.experiments import DoseResponse
    from emotion_interp.subjects import Subject

JUDGES = ("next-word", "text", "comments")
KINDS = ("isotropic", "decoder")
"""Random directions that need no texts; the others are for Python, `random_directions`."""

TABLES = (".csv", ".parquet")


def doses_of(text: str) -> list[float]:
    """'0.1,0.2' -> [0.1, 0.2]."""
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = []
    if not found:
        raise EmotionInterpError(f"--doses are numbers with commas, such as 0.1,0.2,0.4; got {text!r}.")
    return found


def emotions_of(text: str, bank: FeatureBank) -> list[str]:
    """'joy,fear' -> both; 'all' -> every emotion of the bank."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    if names == ["all"]:
        return bank.emotions
    for name in names or [text]:
        if name not in bank.emotions:
            raise UnknownNameError("emotion", name, bank.emotions)
    return list(dict.fromkeys(names))


def check_grid(path: Path, judge: str, kinds: str = "isotropic", language: str = "en") -> list[str]:
    """Refuse a table that cannot be written, and a judge or kind that is not there, before any work; the kinds by name."""
    from emotion_interp.core.files import require_place

    if judge not in JUDGES:
        raise UnknownNameError("judge", judge, JUDGES)
    if judge == "comments" and language != "en":
        raise UnknownNameError("language of the judge 'comments'", language, ["en"])
    named = [part.strip() for part in kinds.split(",") if part.strip()]
    for kind in named or [kinds]:
        if kind not in KINDS:
            raise UnknownNameError("kind of random direction", kind, KINDS)
    if path.suffix not in TABLES:
        raise EmotionInterpError(f"--grid names a table, {' or '.join(TABLES)}; got {str(path)!r}.")
    require_place(path)
    require_place(path.with_suffix(".html"))
    return named


def steering_grid(
    subject: Subject,
    bank: FeatureBank,
    path: Path,
    emotions: Sequence[str],
    doses: Sequence[float],
    layer: int,
    method: str,
    language: str,
    prompts: Sequence[str],
    judge: str,
    **options: Any,
) -> DoseResponse:
    """Judge the grid; write its table to `path` and the dose curves beside it as .html."""
    from emotion_interp.core.files import atomic_file, write_text
    from emotion_interp.experiments import dose_response
    from emotion_interp.judges import load_judge

    name = "comments" if judge == "comments" else None
    asked = None if judge == "next-word" else load_judge(name, language=language)
    grid = dose_response(
        subject, bank, emotions, doses, prompts, [layer], method, language=language, judge=asked, **options
    )
    picture = grid.plot().to_html(include_plotlyjs=True, full_html=True)
    with atomic_file(path) as temporary:
        if path.suffix == ".csv":
            grid.table.to_csv(temporary, index=False)
        else:
            grid.table.to_parquet(temporary, index=False)
    write_text(path.with_suffix(".html"), picture)
    return grid
