"""Progress bars and tables in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from emotion_interp.core.markup import clean

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.progress import Progress, TaskID


def console(quiet: bool = False) -> Console:
    """A console on standard error, so that standard output stays for results and --json."""
    from rich.console import Console

    return Console(stderr=True, quiet=quiet, markup=False, emoji=False)


def say(text: object, err: bool = False) -> None:
    """Print a line; names in it do nothing to the terminal."""
    import typer

    typer.echo(clean(text), err=err)


class Bars:
    """One bar per stage: `bars(stage, done, total)`; nothing is drawn before the first call."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self.tasks:
            self.progress.start()
            self.tasks[stage] = self.progress.add_task(clean(stage), total=total)
        self.progress.update(self.tasks[stage], completed=done, total=total)


@contextmanager
def progress_bars(quiet: bool = False) -> Iterator[Bars]:
    """Bars with elapsed time on standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    bars = Bars(Progress(*columns, console=console(quiet), disable=quiet))
    try:
        yield bars
    finally:
        if bars.tasks:
            bars.progress.stop()


def show_frame(frame: pd.DataFrame, title: str, as_json: bool, digits: int = 3) -> None:
    """Print a table on standard output: a rich table for people, JSON records for machines."""
    if as_json:
        import sys

        sys.stdout.write(f"{json_records(frame)}\n")
        return
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    cells = {clean(name): [_cell(v, digits, _is_p(str(name))) for v in frame[name].tolist()] for name in frame.columns}
    right = {clean(name) for name in frame.columns if frame[name].dtype.kind in "fiu"}
    widths = {name: max(map(cell_len, (*name.split("_"), *values))) + 3 for name, values in cells.items()}
    if not console.is_terminal:
        # nobody knows how wide a file or a pipe is: cut nothing off
        console.width = sum(widths.values()) + 1
    console.print(Text(clean(title), style="italic"), soft_wrap=True)
    for part in _column_groups(list(cells), right, widths, console.width):
        table = Table(header_style="bold")
        for name in part:
            table.add_column(Text(name.replace("_", "\n")), justify="right" if name in right else "left")
        for row in zip(*(cells[name] for name in part), strict=True):
            # as Text: a model's words in square brackets are no markup
            table.add_row(*map(Text, row))
        console.print(table)


def _column_groups(names: list[str], numeric: set[str], widths: dict[str, int], width: int) -> list[list[str]]:
    """Columns of each table: a frame wider than the terminal is shown in parts that repeat its leading columns."""
    if sum(widths.values()) + 1 <= width or not numeric:
        return [names]
    last_text = max((i for i, name in enumerate(names) if name not in numeric), default=0)
    leading, rest = names[: last_text + 1], names[last_text + 1 :]
    groups: list[list[str]] = [[]]
    for name in rest:
        if groups[-1] and sum(widths[n] for n in (*leading, *groups[-1], name)) + 1 > width:
            groups.append([])
        groups[-1].append(name)
    return [[*leading, *group] for group in groups]


def json_records(frame: pd.DataFrame) -> str:
    """A frame as a JSON list of records: every digit of a number (1e-11 stays 1e-11), null for NaN and infinity."""
    import json

    names = [str(name) for name in frame.columns]
    rows = zip(*(frame.iloc[:, i].tolist() for i in range(len(names))), strict=True)
    records = [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in rows]
    return json.dumps(records, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> object:
    """A value as JSON knows it."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, bool, int)) else str(value)


def _is_p(name: str) -> bool:
    """Whether a column holds p or q values, of which none is 0."""
    return bool({"p", "q"} & set(name.split("_")))


def _cell(value: object, digits: int, is_p: bool = False) -> str:
    if isinstance(value, float):
        if value != value:
            return "-"
        if is_p and value == 0:
            return "<1e-300"
        return f"{value:.{digits}f}" if abs(value) >= 10**-digits or value == 0 else f"{value:.1e}"
    if value is True or value is False:
        return "yes" if value else "no"
    return clean(value)
