"""train-subject and train-saes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotion_interp.cli import checks
from emotion_interp.cli import facts as facts_of
from emotion_interp.cli.options import Device, Dtype, Layers, Model
from emotion_interp.cli.progress import say
from emotion_interp.cli.root import app
from emotion_interp.cli.values import numbers

if TYPE_CHECKING:
    from emotion_interp.subjects import Subject


@app.command("train-subject")
def train_subject(
    data: Annotated[
        Path | None,
        typer.Option(
            callback=checks.old_folder, help="Folder with corpora/ and labelled/; default: EMOTION_INTERP_DATA."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(callback=checks.new_folder, help="Working folder; the model lies in OUT/model.")
    ] = Path("runs/subject"),
    layers: Annotated[int, typer.Option(min=1, help="Transformer blocks.")] = 4,
    d_model: Annotated[int, typer.Option(min=1, help="Width of the residual stream.")] = 256,
    heads: Annotated[int, typer.Option(min=1, help="Attention heads.")] = 4,
    tokens: Annotated[int, typer.Option(min=1, help="Training tokens.")] = 13_000_000,
    vocab_size: Annotated[int, typer.Option(min=257, help="Size of the byte-level BPE vocabulary.")] = 12_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and order.")] = 0,
    compile_model: Annotated[
        bool, typer.Option("--compile", help="torch.compile: faster where a C++ compiler is.")
    ] = False,
) -> None:
    """Train the bilingual subject from scratch; run again to resume from the last checkpoint.

    Example: emotion-interp train-subject --data data --layers 8 --d-model 320 --tokens 60000000
    """
    from emotion_interp.core.errors import EmotionInterpError
    from emotion_interp.training import SubjectRecipe
    from emotion_interp.training import train_subject as train

    folder = data or (Path(os.environ["EMOTION_INTERP_DATA"]) if os.environ.get("EMOTION_INTERP_DATA") else None)
    if folder is None:
        raise EmotionInterpError(
            "no corpus: give --data FOLDER (with corpora/ and labelled/) or set EMOTION_INTERP_DATA."
        )
    recipe = SubjectRecipe(layers=layers, d_model=d_model, heads=heads, tokens=tokens, vocab_size=vocab_size, seed=seed)
    path = train(folder, out, recipe, compile_model=compile_model, report=lambda line: say(line, err=True))
    say(str(path))


# Long: what the shell shows as options is the signature.
@app.command("train-saes")
def train_saes(
    model: Model = None,
    device: Device = "auto",
    dtype: Dtype = None,
    out: Annotated[Path, typer.Option(callback=checks.new_folder, help="One folder per layer is written here.")] = Path(
        "runs/saes"
    ),
    text: Annotated[
        Path | None,
        typer.Option(callback=checks.old_file, help="Text (.txt, .jsonl, .csv); default: EMOTION_INTERP_DATA."),
    ] = None,
    layers: Layers = None,
    tokens: Annotated[int, typer.Option(min=1, help="Token budget.")] = 1_000_000,
    d_sae: Annotated[int, typer.Option(min=0, help="Latents; 0: four times the width, 1,024 at least.")] = 0,
    k: Annotated[int, typer.Option(min=1, help="Active latents per token.")] = 24,
    balanced: Annotated[
        str | None,
        typer.Option(
            callback=checks.corpora_languages,
            help="Equal parts of these languages, words in carriers among them, e.g. en,zh,es.",
        ),
    ] = None,
    standardize: Annotated[
        bool, typer.Option("--standardize", help="Scale each coordinate of the stream; folded into the weights.")
    ] = False,
    lr: Annotated[float, typer.Option(callback=checks.finite, min=0, help="Peak learning rate.")] = 4e-3,
    dead_window: Annotated[int, typer.Option(min=1, help="Steps of silence after which a latent counts as dead.")] = 20,
    context: Annotated[int, typer.Option(min=0, help="Tokens per window of text; 0: the model's, at most 512.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Tokens per step.")] = 1024,
    decay: Annotated[
        float,
        typer.Option(callback=checks.finite, min=0.01, max=0.99, help="Share of the run in which the rate falls."),
    ] = 0.5,
    pool: Annotated[
        int,
        typer.Option(min=0, help="With --balanced: tokens of text, read several times; 0: as many as are trained on."),
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON records on standard output.")] = False,
) -> None:
    """Train one SAE per layer for any subject, all layers from one forward pass; run again to resume.

    Example: emotion-interp train-saes --model gpt2 --text stories.txt --layers 4,8 --tokens 2000000
    """
    from emotion_interp.core.errors import EmotionInterpError
    from emotion_interp.subjects import load_subject

    if balanced is not None and text is not None:
        raise EmotionInterpError("--balanced reads the corpora under EMOTION_INTERP_DATA; give it or --text, not both.")
    facts_of.check_layers(model, None if model else "", layers)
    subject = load_subject(model, saes=() if model is None else None, device=device, dtype=dtype)
    train_saes_into(
        subject,
        out,
        text,
        layers,
        tokens,
        d_sae=d_sae,
        k=k,
        seed=seed,
        as_json=as_json,
        balanced=balanced,
        standardize=standardize,
        lr=lr,
        context=context,
        dead_window=dead_window,
        batch=batch,
        decay=decay,
        pool=pool,
    )


def train_saes_into(
    subject: Subject,
    out: Path,
    text: Path | None,
    layers: str | None,
    tokens: int,
    *,
    d_sae: int = 0,
    k: int = 24,
    seed: int = 0,
    quiet: bool = False,
    as_json: bool = False,
    balanced: str | None = None,
    standardize: bool = False,
    lr: float = 4e-3,
    context: int = 0,
    dead_window: int = 20,
    batch: int = 1024,
    decay: float = 0.5,
    pool: int = 0,
) -> None:
    """Train SAEs into a folder and show their figures."""
    from emotion_interp.cli.progress import show_frame
    from emotion_interp.training import SaeRecipe, texts_for_subject
    from emotion_interp.training import train_saes as train
    from emotion_interp.training.balanced import balanced_texts
    from emotion_interp.training.texts import data_folder

    chosen = numbers(layers, "--layers")
    recipe = SaeRecipe(
        d_sae=d_sae or max(1024, 4 * subject.d_model),
        k=k,
        tokens=tokens,
        seed=seed,
        layers=None if chosen is None else tuple(chosen),
        standardize=standardize,
        lr=lr,
        context=context or None,
        dead_feature_window=dead_window,
        batch_tokens=batch,
        decay=decay,
    )
    if balanced is None:
        texts = texts_for_subject(subject, text)
    else:
        # a little more than is read, since sinks are left out and characters only estimate tokens
        texts, _ = balanced_texts(data_folder(), pool or round(1.12 * tokens), balanced.split(","), seed=seed)
    result = train(
        subject,
        texts.train,
        out,
        recipe,
        held_out=texts.held_out,
        report=(lambda _: None) if quiet else (lambda line: say(line, err=True)),
    )
    for line in result.shortfalls():
        say(f"warning: {line}", err=True)
    if not quiet:
        show_frame(result.to_frame(), f"SAEs of {subject.name}", as_json)
