"""The application with all its commands, and how errors leave it: one line on standard error, exit code 2."""

from __future__ import annotations

import os
import warnings

# isort: off
# the order of the list in --help
from emotion_interp.cli import (
    study_commands,
    page_commands,
    sweep_commands,
    analysis_commands,
    bank_commands,
    bank_additions,
    direction_commands,
    tool_commands,
    machine_commands,
    training_commands,
)

# isort: on
from emotion_interp.cli.progress import say
from emotion_interp.cli.root import app
from emotion_interp.cli.sae_options import add_sae_options

__all__ = ["app", "main"]

COMMANDS = (
    study_commands,
    page_commands,
    sweep_commands,
    analysis_commands,
    bank_commands,
    bank_additions,
    direction_commands,
    tool_commands,
    machine_commands,
    training_commands,
)
"""Each adds its commands to the application as it is imported."""
add_sae_options(app)


def fail(message: str) -> None:
    """One clear line, exit code 2."""
    say("error: " + " ".join(message.split()), err=True)
    raise SystemExit(2)


def main() -> None:
    """Entry point of the console script."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from emotion_interp.core.errors import EmotionInterpError
    from emotion_interp.core.files import require_working_directory
    from emotion_interp.core.progress import SHOWN

    # a line, without the place in the code
    warnings.formatwarning = lambda message, *_, **__: f"warning: {' '.join(str(message).split())}\n"

    # the commands draw bars of their own
    before = SHOWN.set(False)
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
    finally:
        SHOWN.reset(before)
