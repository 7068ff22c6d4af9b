"""--width, --l0 and --sae-ids of every command that has --saes: which SAEs of a release with several at one site."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from emotion_interp.cli.values import split_names
from emotion_interp.core.errors import EmotionInterpError

if TYPE_CHECKING:
    from emotion_interp.subjects.sae_choice import SaeChoice

_CHOSEN: ContextVar[SaeChoice | None] = ContextVar("chosen SAEs", default=None)


def sae_choice() -> SaeChoice | None:
    """What the running command was given to choose SAEs by."""
    return _CHOSEN.get()


def _width(value: str | None) -> str | None:
    """A callback for --width."""
    if value is not None and not all(re.fullmatch(r"\d+[km]?", part.strip().lower()) for part in value.split(",")):
        raise EmotionInterpError(f"--width is how many latents the SAEs have, such as 16k or 16384; got {value!r}.")
    return value


def _l0(value: str | None) -> str | None:
    """A callback for --l0."""
    from emotion_interp.subjects.sae_choice import l0_of

    if value is not None:
        l0_of(value)
    return value


OPTIONS: dict[str, Any] = {
    "sae_width": Annotated[
        str | None,
        typer.Option("--width", callback=_width, help="SAEs of this width where --saes has several, e.g. 16k."),
    ],
    "sae_l0": Annotated[
        str | None,
        typer.Option(
            "--l0", callback=_l0, help="SAEs with so many active latents: small, medium, big, or near a number."
        ),
    ],
    "sae_ids": Annotated[str | None, typer.Option("--sae-ids", help="SAEs by their ids in the release, with commas.")],
}


def add_sae_options(app: typer.Typer) -> None:
    """Give the options to every command of an application that has --saes."""
    for command in app.registered_commands:
        if command.callback is not None and "saes" in inspect.signature(command.callback).parameters:
            command.callback = _choosing(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_sae_options(group.typer_instance)


def _choosing(callback: Callable[..., object]) -> Callable[..., object]:
    if set(OPTIONS) & set(inspect.signature(callback).parameters):
        return callback
    hints = get_type_hints(callback, include_extras=True)
    old = [p.replace(annotation=hints[name]) for name, p in inspect.signature(callback).parameters.items()]
    new = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in OPTIONS.items()
    ]
    # beside --saes in --help
    place = next(i for i, p in enumerate(old) if p.name == "saes") + 1
    shown = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*old[:place], *new, *old[place:])]

    @functools.wraps(callback)
    def call(**given: Any) -> object:
        width, l0, ids = (given.pop(name, None) for name in OPTIONS)
        if any(value is not None for value in (width, l0, ids)):
            from emotion_interp.subjects.sae_choice import SaeChoice, l0_of

            if given.get("saes") in (None, "train"):
                raise EmotionInterpError(
                    "--width, --l0 and --sae-ids choose among SAEs that --saes names; give it as well."
                )
            chosen = SaeChoice(width=width, l0=None if l0 is None else l0_of(l0), ids=split_names(ids) if ids else ())
            token = _CHOSEN.set(chosen)
            try:
                return callback(**given)
            finally:
                _CHOSEN.reset(token)
        return callback(**given)

    vars(call)["__signature__"] = inspect.Signature(shown)
    call.__annotations__ = {**hints, **OPTIONS}
    return call
