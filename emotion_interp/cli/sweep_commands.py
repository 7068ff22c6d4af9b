"""sweep and status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from emotion_interp.cli import checks
from emotion_interp.cli.options import Json, Quiet
from emotion_interp.cli.progress import console, say, show_frame
from emotion_interp.cli.root import app

if TYPE_CHECKING:
    from rich.progress import Progress


def _engines() -> tuple[str, ...]:
    from emotion_interp.study.sweep_file import ENGINES

    return ENGINES


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="What is swept over: a TOML file.")] = Path("sweep.toml"),
    out: Annotated[
        Path | None, typer.Option(callback=checks.new_folder, help="Folder; default: as the file says, or beside it.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            callback=checks.one_of("engine", _engines), help="local or ray (extra `ray`); default: the file's."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers; default: the file's.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each worker; default: the file's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it will take, and do nothing.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of the file, for editors.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Sweep over models, SAEs, sites, languages, positions and seeds. Run again to go on.

    Example: emotion-interp sweep sweep.toml --out runs/layers --workers 2
    """
    if schema:
        from emotion_interp.study.sweep_file import sweep_schema

        # as it is: a console would break its lines
        say(json.dumps(sweep_schema(), indent=2))
        return
    from emotion_interp.study.sweep_check import SweepFileError, read_sweep

    try:
        read_sweep(file)
    except SweepFileError as error:
        # every mistake on a line of its own, before anything heavy is imported
        for mistake in error.mistakes:
            say(f"error: {file}, {mistake}", err=True)
        raise typer.Exit(2) from None
    if dry_run:
        from emotion_interp.study import sweep_estimate

        show_frame(sweep_estimate(file, out).to_frame(), f"What {file} will take", as_json, digits=1)
        return
    from emotion_interp.study import sweep as run_sweep

    chosen: Any = {"engine": engine, "workers": workers, "threads": threads}
    with _lines_or_bar(quiet) as progress:
        results = run_sweep(file, out, **chosen, progress=progress)
    frame = results.summary if "summary.parquet" in results.digests else results.table("units")
    if as_json:
        show_frame(frame, "", True)
    console(quiet).print(f"tables: {', '.join(str(results.path / name) for name in results.digests)}", highlight=False)
    for title, error in results.failed.items():
        say(f"failed: {title}: {error}", err=True)
    if results.failed:
        raise typer.Exit(1)


@app.command()
def status(
    folder: Annotated[Path, typer.Argument(callback=checks.old_folder, help="Folder of a sweep.")],
    as_json: Json = False,
) -> None:
    """Say where a sweep stands: running, finished or stopped.

    Example: emotion-interp status runs/layers
    """
    from emotion_interp.study.sweep_status import sweep_status

    found = sweep_status(folder)
    if not as_json:
        say(found.line)
        for title in found.running:
            say(f"running: {title}")
        for title, error in found.failed.items():
            say(f"failed: {title}: {error}")
    show_frame(found.to_frame(), str(folder), as_json, digits=1)


class _lines_or_bar:
    """A bar with the last unit's speed in a terminal, a plain line for each unit in a log."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.console = quiet, console(quiet)
        self.bar: Progress | None = None

    def __enter__(self) -> Self:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        if self.console.is_terminal and not self.quiet:
            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.description}", markup=False),
            )
            self.bar = Progress(*columns, console=self.console)
            self.task = self.bar.add_task("units", total=None)
            self.bar.start()
        return self

    def __call__(self, what: str, done: int, total: int) -> None:
        if self.bar is not None:
            self.bar.update(self.task, description=what, completed=done, total=total)
        elif not self.quiet:
            say(f"{done}/{total} {what}", err=True)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()
