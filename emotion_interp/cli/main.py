"""The typer application and how errors leave it: one line on standard error, exit code 2."""

from __future__ import annotations

import importlib
import os
import warnings
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


def fail(message: str) -> None:
    """One clear line, exit code 2."""
    say("error: " + " ".join(message.split()), err=True)
    raise SystemExit(2)


def main() -> None:
    """Entry point of the console script."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from emotion_interp.core.errors import EmotionInterpError
    from emotion_interp.core.files import require_working_directory

    # a line, without the place in the code
    warnings.formatwarning = lambda message, *_, **__: f"warning: {' '.join(str(message).split())}\n"

    try:
        require_working_directory()
        app()
    except EmotionInterpError as error:
        fail(str(error))
    except PermissionError as error:
        fail(f"no permission for {error.filename}; choose a place you may write to.")
    except OSError as error:
        fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.")
    except MemoryError:
        fail("out of memory; give fewer layers (--layers) or fewer words.")
    except SystemExit as leaving:
        # typer turns Ctrl-C into this exit code and says nothing
        if leaving.code == 130:
            say("interrupted; run the same command again to go on.", err=True)
        raise


def _register() -> None:
    # the order of the list in --help
    for name in (
        "study_commands",
        "analysis_commands",
        "bank_commands",
        "bank_additions",
        "tool_commands",
        "training_commands",
    ):
        importlib.import_module(f"emotion_interp.cli.{name}")


_register()
