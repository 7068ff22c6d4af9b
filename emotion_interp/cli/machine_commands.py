"""plan, doctor: what a model takes, and whether this machine and this model are well."""

from __future__ import annotations

from typing import Annotated

import typer

from emotion_interp.cli import checks
from emotion_interp.cli import facts as facts_of
from emotion_interp.cli.options import Device, Dtype, Json, Layers, Saes
from emotion_interp.cli.progress import say
from emotion_interp.cli.root import app
from emotion_interp.cli.values import numbers

Planned = Annotated[
    str | None,
    typer.Option(
        "--model", callback=checks.planned_name, help="Name, folder or hub name; nothing of it need be downloaded."
    ),
]


@app.command()
def plan(
    model: Planned = None,
    saes: Saes = None,
    layers: Layers = None,
    texts: Annotated[int, typer.Option(min=1, help="Texts that are read.")] = 10_000,
    length: Annotated[int, typer.Option(min=1, help="Tokens of each.")] = 10,
    read: Annotated[
        int, typer.Option(min=1, help="Tokens of each that SAEs encode: 1 for words, LENGTH for texts.")
    ] = 1,
    resident: Annotated[int, typer.Option(min=1, help="SAEs in memory at a time, beside all of them.")] = 2,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Time some random blocks of the model's shape on this machine.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What reading a model with its SAEs takes: memory, operations, hours. Nothing is downloaded.

    Example: emotion-interp plan --model gemma-2-9b-it --saes gemma-scope-9b-it-res-canonical
    """
    facts_of.check_layers(model, saes, layers)
    from emotion_interp.cli.progress import show_frame
    from emotion_interp.study.needs import plan as planned

    found = planned(
        model,
        saes,
        numbers(layers, "--layers"),
        texts=texts,
        length=length,
        read=read,
        resident=resident,
        calibrate=calibrate,
    )
    if as_json:
        import pandas as pd

        fits = found.to_frame().assign(what="memory")
        both = pd.concat([fits, found.cards.assign(what="hours")], ignore_index=True)
        shape = {"parameters": found.architecture.parameters, "flops": found.flops, "seconds_here": found.seconds_here}
        show_frame(both.assign(**shape), "plan", True)
        return
    shape = found.architecture
    widths = sorted({size.d_sae for size in found.saes})
    say(
        f"{shape.name}: {shape.parameters:,} parameters, {shape.n_layers} layers x {shape.d_model} (from {shape.origin}); "
        f"{len(found.saes)} SAEs" + (f" of {', '.join(f'{w:,}' for w in widths)} latents" if widths else "")
    )
    say(
        f"{texts:,} texts of {length} tokens: {found.flops:.3g} operations"
        + (f", {found.seconds_here:,.0f} s on this machine" if found.seconds_here is not None else "")
    )
    show_frame(found.to_frame(), "Memory (SAEs in float32), and the smallest card listed that has it", False)
    cards = found.cards[found.cards["fits"]].astype({"saes_in_memory": int})
    show_frame(cards.drop(columns="fits"), "Hours at 35% of the peak; cards on which it fits", False, digits=4)


@app.command()
def doctor(
    model: Planned = None,
    saes: Saes = None,
    device: Device = "auto",
    dtype: Dtype = None,
    as_json: Json = False,
) -> None:
    """Judge the installation, this machine and a model: one line each, with what mends it. Exit code 1 if something is wrong.

    Example: emotion-interp doctor --model gemma-3-270m
    """
    from emotion_interp.cli.progress import show_frame
    from emotion_interp.study.doctor import examine

    found = examine(model, saes, device=device, dtype=dtype, tell=None if as_json else say)
    if as_json:
        show_frame(found.to_frame(), "doctor", True)
    if found.wrong:
        raise typer.Exit(1)
