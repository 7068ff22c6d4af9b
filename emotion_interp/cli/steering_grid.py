"""`steer --grid`: doses x emotions as a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.bank import FeatureBank
    from emotion_interp.core.types import Direction
    from emotion_interp.experiments import DoseResponse, Setting
    from emotion_interp.experiments.dose_response import DoseChoices
    from emotion_interp.subjects import Subject

JUDGES = ("next-word", "text", "comments")
KINDS = ("isotropic", "decoder")
"""Random directions that need no texts; the others are for Python, `random_directions`."""

TABLES = (".csv", ".parquet")


def doses_of(text: str) -> list[float]:
    """'0.1,0.2' -> [0.1, 0.2]."""
    try:
        doses = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        doses = []
    if not doses:
        raise EmotionInterpError(f"--doses are numbers with commas, such as 0.1,0.2,0.4; got {text!r}.")
    return doses


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


def grid_setting(
    subject: Subject, bank: FeatureBank, prompts: Sequence[str] | None, language: str, judge: str, **options: Any
) -> Setting:
    """What the grid is judged with: the judge by its name here, neutral prompts where none are given."""
    from emotion_interp.experiments import Setting
    from emotion_interp.judges import NEUTRAL_PROMPTS, load_judge

    name = "comments" if judge == "comments" else None
    asked = None if judge == "next-word" else load_judge(name, language=language)
    return Setting(subject, bank, prompts or NEUTRAL_PROMPTS[language].test, asked, language, **options)


def steering_grid(
    setting: Setting,
    path: Path,
    emotions: Sequence[str],
    doses: Sequence[float],
    layer: int,
    method: str,
    **choices: Unpack[DoseChoices],
) -> DoseResponse:
    """Judge the grid; write its table to `path` and the dose curves beside it as .html."""
    from emotion_interp.core.files import atomic_file, write_text
    from emotion_interp.experiments import dose_response

    grid = dose_response(setting, emotions, doses, [layer], method, **choices)
    picture = grid.plot().to_html(include_plotlyjs=True, full_html=True)
    with atomic_file(path) as temporary:
        if path.suffix == ".csv":
            grid.table.to_csv(temporary, index=False)
        else:
            grid.table.to_parquet(temporary, index=False)
    write_text(path.with_suffix(".html"), picture)
    return grid


def show_grid(grid: DoseResponse, title: str, as_json: bool) -> None:
    """The columns of a grid that fit a terminal; all of them as JSON."""
    from emotion_interp.cli.progress import show_frame

    columns = ["emotion", "dose", "target_unsteered", "target", "random_hi", "p", "p_holm", "perplexity_ratio"]
    columns += ["distinct2_ratio", "regime", "in_window"]
    table = grid.to_frame()
    show_frame(table if as_json else table[columns], title, as_json)


def continued(
    subject: Subject,
    prompts: Sequence[Any],
    directions: Mapping[str, Direction],
    dose: float,
    positions: str = "from_last_prompt_token",
    **options: Any,
) -> pd.DataFrame:
    """Prompts continued, or conversations answered, unsteered and under each direction, side by side."""
    import pandas as pd

    from emotion_interp.steering import steer

    texts = {"unsteered": subject.generate(list(prompts), **options)}
    for name, direction in directions.items():
        with steer(subject, direction, dose=dose, positions=positions):
            texts["steered" if len(directions) == 1 else name] = subject.generate(list(prompts), **options)
    return pd.DataFrame(texts)
