"""The typer application, to which the modules of commands add theirs."""

from __future__ import annotations

from typing import Annotated

import typer

from emotion_interp import __version__
from emotion_interp.cli.progress import say

app = typer.Typer(
    name="emotion-interp",
    help="Which features of a language model carry emotion, how human its emotion space is, and what they cause.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    if version:
        say(f"emotion-interp {__version__}")
        raise typer.Exit
