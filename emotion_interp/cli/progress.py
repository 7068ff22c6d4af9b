"""Progress bars and tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


def console(quiet: bool = False) -> Console:
    """A console on standard error, so that standard output stays for results and --json."""
    from rich.console import Console

    return Console(stderr=True, quiet=quiet)


class Bars:
    """One bar per stage: `bars(stage, done, total)`."""

    def __init__(self, progress: Any) -> None:
        self.progress = progress
        self.tasks: dict[str, Any] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self.tasks:
            self.tasks[stage] = self.progress.add_task(stage, total=total)
        self.progress.update(self.tasks[stage], completed=done, total=total)


@contextmanager
def progress_bars(quiet: bool = False) -> Iterator[Bars]:
    """Bars with elapsed time on standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(quiet), disable=quiet) as progress:
        yield Bars(progress)


def show_frame(frame: pd.DataFrame, title: str, as_json: bool, digits: int = 3) -> None:
    """Print a table on standard output: a rich table for people, JSON records for machines."""
    if as_json:
        import sys

        sys.stdout.write(frame.to_json(orient="records", force_ascii=False, double_precision=10) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for name in frame.columns:
        numeric = frame[name].dtype.kind in "fiu"
        table.add_column(str(name).replace("_", " "), justify="right" if numeric else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*[_cell(value, digits) for value in row])
    Console().print(table)


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, float):
        if value != value:
            return "-"
        return f"{value:.{digits}f}" if abs(value) >= 10**-digits or value == 0 else f"{value:.1e}"
    if value is True or value is False:
        return "yes" if value else "no"
    return str(value)
