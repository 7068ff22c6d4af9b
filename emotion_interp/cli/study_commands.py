"""run and report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotion_interp.cli import checks
from emotion_interp.cli import facts as facts_of
from emotion_interp.cli.conversations import Chat, check_chat
from emotion_interp.cli.options import (
    Device,
    Dtype,
    Json,
    Languages,
    Layers,
    Model,
    NormsOption,
    Quiet,
    Saes,
    Seed,
    concepts_of,
    default_stimuli,
    norms_of,
    subject_of,
)
from emotion_interp.cli.progress import say
from emotion_interp.cli.root import app
from emotion_interp.cli.steering_grid import doses_of
from emotion_interp.cli.values import numbers
from emotion_interp.core.frames import rows_where

if TYPE_CHECKING:
    from emotion_interp.subjects import Subject


# Long: what the shell shows as options is the signature.
@app.command()
def run(
    context: typer.Context,
    model: Model = None,
    saes: Saes = None,
    device: Device = "auto",
    dtype: Dtype = None,
    out: Annotated[Path, typer.Option(callback=checks.new_folder, help="Study folder.")] = Path("runs/bundled"),
    layers: Layers = None,
    languages: Languages = "en,zh",
    norms: NormsOption = "builtin",
    stimuli: Annotated[
        str | None,
        typer.Option(
            callback=checks.one_of("kind of stimuli", checks.study_stimuli),
            help="words, scenes, stories (alignment on --corpus), or shipped; default: words; bundled: shipped.",
        ),
    ] = None,
    chat: Chat = False,
    corpus: Annotated[
        Path | None,
        typer.Option(callback=checks.old_file, help="Labelled texts (.jsonl[.gz]: text, emotion, topic_idx)."),
    ] = None,
    topics: Annotated[
        str, typer.Option(callback=checks.topics, help="First and last topic of the corpus that is read.")
    ] = "72,79",
    stages: Annotated[
        str, typer.Option(callback=checks.some_of("stage", checks.study_stages), help="Parts to run.")
    ] = "features,alignment,ratings,steering,traces",
    sae_tokens: Annotated[int, typer.Option(min=1, help="Token budget of --saes train.")] = 1_000_000,
    sae_text: Annotated[
        Path | None, typer.Option(callback=checks.old_file, help="Text for --saes train; default: EMOTION_INTERP_DATA.")
    ] = None,
    permutations: Annotated[int, typer.Option(min=1, help="Permutations of every test.")] = 5000,
    rated_words: Annotated[int, typer.Option(min=0, help="Rated words at most (0: all).")] = 4000,
    emotions: Annotated[str | None, typer.Option(help="Emotions, e.g. joy,fear; default: all of the sets.")] = None,
    steered_layers: Annotated[
        str | None,
        typer.Option(callback=checks.layer_numbers, help="Layers that steering tries; default: all that are read."),
    ] = None,
    doses: Annotated[
        str | None,
        typer.Option(
            callback=checks.doses, help="Doses that steering tries, in the site's scale.  [default: 0.25,0.5,1,1.5]"
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            callback=checks.some_of("direction method", checks.study_methods),
            help="Kinds of direction that steering tries.  [default: dense,dense_clean,sae]",
        ),
    ] = None,
    judge: Annotated[
        str,
        typer.Option(
            callback=checks.one_of("judge", checks.study_judges),
            help="Of steering: words, or classifier (of written texts).",
        ),
    ] = "words",
    cebra: Annotated[bool, typer.Option("--cebra/--no-cebra", help="Align CEBRA spaces too (extra `cebra`).")] = False,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve/--no-learning-curve", help="How many rated words it takes.")
    ] = False,
    coordinates: Annotated[
        str,
        typer.Option(
            callback=checks.one_of("coordinates", lambda: ("label", "words")),
            help="Of the emotions: label, or words (not shown to the model).",
        ),
    ] = "label",
    preset: Annotated[
        str | None,
        typer.Option(
            callback=checks.one_of("preset", checks.presets),
            help="paper: 26 emotions, en + zh, CEBRA, classifier judge.",
        ),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a whole study: features, alignment, ratings, steering, report.html. Run again to resume.

    Example: emotion-interp run --model gpt2 --saes gpt2-small-res-jb --layers 4,8 --out runs/gpt2

    Example: emotion-interp run --preset paper --model google/gemma-2-9b-it --chat --out runs/gemma
    """
    from emotion_interp.cli.progress import console, progress_bars, show_frame
    from emotion_interp.core.errors import UnknownNameError
    from emotion_interp.study import StudySettings, preset_settings
    from emotion_interp.study.presets import IN_CHAT, PLAIN
    from emotion_interp.study.presets import preset as preset_of

    check_chat(chat, stimuli)
    first, last = numbers(topics, "--topics", count=2) or [0, 0]
    asked: dict[str, Any] = {
        "norms": norms,
        "stimuli": default_stimuli(
            stimuli, model in (None, "bundled"), own=chat or emotions is not None or preset is not None
        ),
        "corpus": None if corpus is None else str(corpus),
        "topics": (first, last),
        "layers": None if layers is None else tuple(numbers(layers, "--layers") or ()),
        "seed": seed,
        "n_permutations": permutations,
        "max_rated_words": rated_words or None,
        "stages": _names(stages),
        "emotions": None if emotions is None else _names(emotions),
        "steered_layers": None if steered_layers is None else tuple(numbers(steered_layers, "--steered-layers") or ()),
        **({} if doses is None else {"doses": tuple(doses_of(doses))}),
        **({} if methods is None else {"methods": _names(methods)}),
        "judge": judge,
        "cebra": cebra,
        "coordinates": coordinates,
        "learning_curve": learning_curve,
    }
    width = None
    if preset is None:
        settings = StudySettings(**asked, notes=(IN_CHAT,) if chat else ())
    else:
        # what stands on the command line wins over the preset, what is a default does not
        chosen = preset_of(preset)
        options = {"n_permutations": "permutations", "max_rated_words": "rated_words"}
        given = {k for k in asked if k not in chosen.settings or _given(context, options.get(k, k))}
        notes = tuple(IN_CHAT if chat and note == PLAIN else note for note in chosen.notes)
        settings = preset_settings(preset, **{k: asked[k] for k in given}, notes=notes)
        norms = settings.norms
        languages = languages if _given(context, "languages") else ",".join(chosen.languages)
        published = chosen.saes_of(model, saes)
        if published is not None:
            saes, width = published.release, published.width
            console(quiet).print(f"SAEs of the preset: {saes}{f', {width}' if width else ''}", highlight=False)
    for note in settings.notes:
        console(quiet).print(f"our choice: {note}", highlight=False)
    for places in (layers, steered_layers):
        facts_of.check_layers(model, None if saes == "train" else saes, places, width)
    concepts = concepts_of(languages, chat)
    for name in settings.emotions or ():
        if name not in concepts.emotions:
            raise UnknownNameError("emotion", name, concepts.emotions)
    table = norms_of(norms)
    # with the room of the experiments comes torch: not before everything is known to be right
    from emotion_interp.study import run_study

    subject = (
        _trained_for_run(model, layers, device, dtype, out, sae_tokens, sae_text, seed, quiet)
        if saes == "train"
        else subject_of(model, saes, layers, device, dtype, width)
    )
    with progress_bars(quiet) as bars:
        study = run_study(subject, concepts, out, settings, norms=table, progress=bars)
    show_frame(study.to_frame(), f"Emotion in {subject.name}", as_json, digits=2)
    if study.steering is not None and not as_json:
        columns = [
            "emotion",
            "layer",
            "dose",
            "method",
            "target_unsteered",
            "target",
            "p",
            "p_holm_chosen",
            "perplexity_ratio",
        ]
        frame = rows_where(
            study.steering[study.steering["chosen"]], [c for c in columns if c in study.steering.columns]
        )
        show_frame(
            frame, "Steering: probability of held-out words; method, layer and dose fixed on other prompts", False
        )
    console(quiet).print(f"report: {study.report}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _given(context: typer.Context, option: str) -> bool:
    """Whether the option stands on the command line."""
    source = context.get_parameter_source(option)
    return source is not None and source.name != "DEFAULT"


def _trained_for_run(
    model: str | None,
    layers: str | None,
    device: str,
    dtype: str | None,
    out: Path,
    tokens: int,
    text: Path | None,
    seed: int,
    quiet: bool,
) -> Subject:
    from emotion_interp.cli.training_commands import train_saes_into

    folder = out / "saes"
    train_saes_into(subject_of(model, None, None, device, dtype), folder, text, layers, tokens, seed=seed, quiet=quiet)
    return subject_of(model, str(folder), layers, device, dtype)


@app.command()
def report(
    study: Annotated[Path, typer.Argument(help="Study folder written by `run`.")] = Path("runs/bundled"),
) -> None:
    """Say where a study's report lies, and what its stages took.

    Example: emotion-interp report runs/bundled
    """
    from emotion_interp.core.errors import FileFormatError
    from emotion_interp.core.files import read_json
    from emotion_interp.study.store import is_study

    record = read_json(study / "study.json")
    if not is_study(record):
        raise FileFormatError(f"{study} is no study folder; `emotion-interp run --out {study}` makes one.")
    for name, stage in record["stages"].items():
        say(f"{name:<12} {stage['seconds']:>8.1f} s  {', '.join(stage['files'])}")
    page = study / "report.html"
    say(str(page) if page.is_file() else "no report.html yet; run the study again")
