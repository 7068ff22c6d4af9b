"""directions export, import, check: files of vectors for other programs and from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotion_interp.cli import checks
from emotion_interp.cli import facts as facts_of
from emotion_interp.cli.options import BankOption, Json, Layers, Model, Quiet, Saes, Seed, bank_of, subject_of
from emotion_interp.cli.progress import say
from emotion_interp.cli.root import app
from emotion_interp.cli.values import numbers
from emotion_interp.core.errors import EmotionInterpError

FORMATS = ("llama.cpp", "repeng", "easysteer", "steering-vectors", "caa", "neuronpedia", "safetensors", "npz")
"""The names of `interchange_formats.FORMATS`, which imports torch."""
ENDINGS = (".gguf", ".pt", ".pth", ".bin", ".json", ".safetensors", ".npz")
COUNTED = ("blocks", "hidden_states")

directions_app = typer.Typer(
    help="Directions as files of llama.cpp, repeng, steering-vectors, EasySteer, Neuronpedia and others.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(directions_app, name="directions")


Form = Annotated[
    str | None,
    typer.Option(
        "--format",
        callback=checks.one_of("format of vectors", lambda: FORMATS),
        help="llama.cpp, repeng, easysteer, steering-vectors, caa, neuronpedia, safetensors or npz; default: by the ending.",
    ),
]
File = Annotated[Path, typer.Argument(callback=checks.old_file, help="A file of vectors.")]


# Long: what the shell shows as options is the signature.
@directions_app.command("export")
def export(
    out: Annotated[Path, typer.Argument(callback=checks.new_file, help="File to write, e.g. joy.gguf.")],
    emotion: Annotated[str, typer.Option(help="Emotion whose direction is written.")] = "joy",
    valence: Annotated[
        float | None, typer.Option(callback=checks.finite, help="Write the dial at this valence, not an emotion.")
    ] = None,
    arousal: Annotated[
        float | None, typer.Option(callback=checks.finite, help="Write the dial at this arousal, not an emotion.")
    ] = None,
    layers: Layers = None,
    dose: Annotated[
        float,
        typer.Option(callback=checks.finite, help="Of the parity test; the coefficient that the file recommends."),
    ] = 0.5,
    method: Annotated[str, typer.Option(help="Kind of direction: sae, dense, ...; a wrong one lists all.")] = "dense",
    language: Annotated[str | None, typer.Option(help="Language in which the direction was found.")] = None,
    format: Form = None,
    model: Model = None,
    saes: Saes = None,
    bank: BankOption = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a direction, or the dial, as another program reads it, with a parity test beside it.

    Example: emotion-interp directions export joy.gguf --emotion joy --layers 2 --dose 0.5

    Example: emotion-interp directions export calm.pt --valence 1 --arousal -1 --layers 2 --format steering-vectors
    """
    from emotion_interp.cli.progress import console, show_frame

    places = facts_of.check_layers(model, saes, layers)
    spoken = facts_of.spoken(language, [], model, bank, None, seed)
    facts = facts_of.facts_for(model, bank, spoken, None, seed)
    chosen = numbers(layers, "--layers")
    for layer in chosen or [None]:
        facts_of.check_choice(facts, languages=spoken, emotions=[emotion], layer=layer, method=method, layers=places)
    _check_ending(out)
    from emotion_interp.directions import dial, export_direction

    subject = subject_of(model, saes, None)
    features_bank = bank_of(bank, subject, spoken, seed, quiet)
    several = chosen or [features_bank.layers[len(features_bank.layers) // 2]]
    if valence is None and arousal is None:
        directions = [features_bank.direction(emotion, layer=n, language=spoken, method=method) for n in several]
    else:
        directions = [
            dial(features_bank, valence or 0.0, arousal or 0.0, layer=n, language=spoken, method=method)
            for n in several
        ]
    written = export_direction(directions, out, format=format, dose=dose, subject=subject)
    show_frame(written.to_frame(), f"{out.name} ({written.statement['format']})", as_json)
    console(quiet).print(f"to use it: {written.statement['how']}", highlight=False, markup=False)


@directions_app.command("import")
def import_file(
    file: File,
    format: Form = None,
    rows: Annotated[
        str | None,
        typer.Option("--rows", callback=checks.layer_numbers, help="Layers of the vectors, where the file names none."),
    ] = None,
    counted: Annotated[
        str,
        typer.Option(
            callback=checks.one_of("way of counting layers", lambda: COUNTED),
            help="How a file without a convention counts: blocks from 0, or hidden_states (0: the embeddings).",
        ),
    ] = "blocks",
    out: Annotated[
        Path | None, typer.Option(callback=checks.new_file, help="Write them again, in the format of this ending.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(callback=checks.one_of("format of vectors", lambda: FORMATS), help="Format of --out."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What another program's file of vectors holds; with --out, the same in another format.

    Example: emotion-interp directions import happy.gguf --out happy.npz
    """
    import pandas as pd

    from emotion_interp.cli.progress import show_frame

    _check_ending(file)
    if out is not None:
        _check_ending(out)
    from emotion_interp.directions import export_direction, import_directions

    found = import_directions(file, format=format, layers=numbers(rows, "--rows"), counted=counted)
    if out is not None:
        export_direction(found, out, format=to)
    facts = [
        {"site": str(d.site), "name": d.name, "dimensions": d.vector.size, "length": d.provenance["length"]}
        | {"scale": d.provenance["scale"]}
        for d in found
    ]
    show_frame(pd.DataFrame(facts), file.name, as_json)


@directions_app.command("check")
def check(
    file: File,
    model: Model = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Largest error, over the largest expected value.")] = 1e-4,
    as_json: Json = False,
) -> None:
    """Run the parity test of an exported file on a model; ends with 1 where it differs.

    Example: emotion-interp directions check joy.gguf
    """
    from emotion_interp.cli.progress import show_frame

    _check_ending(file)
    from emotion_interp.directions import check_parity

    parity = check_parity(file, subject_of(model, None, None), tolerance=tolerance)
    show_frame(parity.to_frame(), f"{file.name}: {parity.reason}", as_json)
    if not parity.passed:
        say(f"differs: {parity.reason}.", err=True)
        raise typer.Exit(1)


def _check_ending(path: Path) -> None:
    if path.suffix.lower() not in ENDINGS:
        raise EmotionInterpError(
            f"{path.name} has the ending {path.suffix!r}; files of vectors end with {', '.join(ENDINGS)}."
        )
