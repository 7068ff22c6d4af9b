"""run, features, align, ratings, steer, trace, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotion_interp.cli.main import app

if TYPE_CHECKING:
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.features import FeatureBank
    from emotion_interp.subjects import Subject

Model = Annotated[str | None, typer.Option("--model", help="Folder or hub name; default: the bundled subject.")]
Saes = Annotated[str | None, typer.Option("--saes", help="SAELens release, folder of SAEs, or 'train' (for run).")]
Layers = Annotated[str | None, typer.Option("--layers", help="Layers, e.g. 0,2,3; default: all with an SAE.")]
Languages = Annotated[str, typer.Option("--languages", help="Languages of the concept sets, e.g. en,zh.")]
NormsOption = Annotated[str, typer.Option("--norms", help="Name of norms (see `norms list`) or a CSV file.")]
BankOption = Annotated[Path | None, typer.Option("--bank", help="Bank folder; default: found now (bundled: shipped).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON records on standard output.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of splits, permutations and samples.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]


def numbers(text: str | None, what: str) -> list[int] | None:
    """'0,2,3' -> [0, 2, 3]."""
    from emotion_interp.core.errors import EmotionInterpError

    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise EmotionInterpError(f"{what} are whole numbers with commas, such as 0,2,3; got {text!r}.") from None


def concepts_of(languages: str) -> ConceptSet:
    """'en,zh' -> one concept set."""
    from emotion_interp.concepts import concept_set

    names = [name.strip() for name in languages.split(",") if name.strip()] or [""]
    result = concept_set(names[0])
    for name in names[1:]:
        result = result | concept_set(name)
    return result


def norms_of(name: str) -> Any:
    """Norms by name, or from a CSV path."""
    from emotion_interp.norms import load_norms

    return load_norms("csv", path=name) if Path(name).suffix == ".csv" else load_norms(name)


def subject_of(model: str | None, saes: str | None, layers: str | None) -> Subject:
    """Load what --model, --saes and --layers name."""
    from emotion_interp.subjects import load_subject

    return load_subject(model, saes=saes, layers=numbers(layers, "--layers"))


def bank_of(bank: Path | None, subject: Subject, languages: str, seed: int, quiet: bool) -> FeatureBank:
    """A saved bank, or one found now."""
    from emotion_interp.cli.progress import progress_bars
    from emotion_interp.features import FeatureBank, find_features
    from emotion_interp.features.bank import require_same_subject

    if bank is not None:
        loaded = FeatureBank.load(bank)
        require_same_subject(loaded, subject.name, subject.sites)
        subject.scales.update(loaded.scales)
        return loaded
    from emotion_interp.features.search import split_stimuli

    concepts = concepts_of(languages)
    total = len(split_stimuli(concepts, seed)[1])
    done = [0]
    with progress_bars(quiet) as bars:

        def tick(more: int) -> None:
            done[0] += more
            bars("reading concept words", done[0], total)

        return find_features(subject, concepts, seed=seed, progress=tick)


@app.command()
def run(
    model: Model = None,
    saes: Saes = None,
    out: Annotated[Path, typer.Option(help="Study folder.")] = Path("runs/bundled"),
    layers: Layers = None,
    languages: Languages = "en,zh",
    norms: NormsOption = "builtin",
    stimuli: Annotated[
        str, typer.Option(help="words, or stories (labelled texts of --corpus) for the alignment.")
    ] = "words",
    corpus: Annotated[Path | None, typer.Option(help="Labelled texts (.jsonl[.gz]: text, emotion, topic_idx).")] = None,
    topics: Annotated[str, typer.Option(help="First and last topic of the corpus that is read.")] = "72,79",
    stages: Annotated[str, typer.Option(help="Parts to run.")] = "features,alignment,ratings,steering,traces",
    sae_tokens: Annotated[int, typer.Option(help="Token budget of --saes train.")] = 1_000_000,
    sae_text: Annotated[Path | None, typer.Option(help="Text for --saes train; default: EMOTION_INTERP_DATA.")] = None,
    permutations: Annotated[int, typer.Option(help="Permutations of every test.")] = 5000,
    rated_words: Annotated[int, typer.Option(help="Rated words at most (0: all).")] = 4000,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a whole study: features, alignment, ratings, steering, report.html. Run again to resume.

    Example: emotion-interp run --model gpt2 --saes gpt2-small-res-jb --layers 4,8 --out runs/gpt2
    """
    from emotion_interp.cli.progress import console, progress_bars, show_frame
    from emotion_interp.study import StudySettings, run_study

    first_last = numbers(topics, "--topics") or [0, 0]
    settings = StudySettings(
        norms=norms,
        stimuli=stimuli,
        corpus=None if corpus is None else str(corpus),
        topics=(first_last[0], first_last[-1]),
        layers=None if layers is None else tuple(numbers(layers, "--layers") or ()),
        seed=seed,
        n_permutations=permutations,
        max_rated_words=rated_words or None,
        stages=tuple(s.strip() for s in stages.split(",") if s.strip()),
    )
    concepts, table = concepts_of(languages), norms_of(norms)
    subject = _subject_for_run(model, saes, layers, out, sae_tokens, sae_text, seed, quiet)
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
            "p_holm",
            "perplexity_ratio",
        ]
        frame = study.steering[[c for c in columns if c in study.steering.columns]]
        show_frame(frame, "Steering: probability of held-out words against random directions", False)
    console(quiet).print(f"report: {study.report}")


def _subject_for_run(
    model: str | None,
    saes: str | None,
    layers: str | None,
    out: Path,
    tokens: int,
    text: Path | None,
    seed: int,
    quiet: bool,
) -> Subject:
    if saes != "train":
        return subject_of(model, saes, layers)
    from emotion_interp.cli.training_commands import train_saes_into

    folder = out / "saes"
    train_saes_into(subject_of(model, None, None), folder, text, layers, tokens, seed=seed, quiet=quiet)
    return subject_of(model, str(folder), layers)


@app.command()
def features(
    emotion: Annotated[str | None, typer.Argument(help="Show one emotion; default: the summary per layer.")] = None,
    layer: Annotated[int | None, typer.Option(help="Show one layer.")] = None,
    model: Model = None,
    saes: Saes = None,
    layers: Layers = None,
    languages: Languages = "en,zh",
    bank: BankOption = None,
    out: Annotated[Path | None, typer.Option(help="Save the bank to this folder.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find (or load) emotion features and show them.

    Example: emotion-interp features joy --layer 3
    """
    from emotion_interp.cli.progress import show_frame
    from emotion_interp.features.frames import summary_by_layer

    subject = subject_of(model, saes, layers)
    found = bank_of(bank, subject, languages, seed, quiet)
    if out is not None:
        found.save(out)
    if emotion is None and layer is None:
        show_frame(summary_by_layer(found), repr(found), as_json)
        return
    columns = ["layer", "language", "emotion", "feature", "auroc", "specificity", "coverage", "q", "selected", "top"]
    frame = found.table(emotion=emotion, layer=layer)[columns]
    show_frame(frame if as_json else frame.head(40), f"features of {emotion or 'all emotions'}", as_json)


@app.command()
def align(
    model: Model = None,
    saes: Saes = None,
    layers: Layers = None,
    languages: Languages = "en,zh",
    bank: BankOption = None,
    norms: NormsOption = "builtin",
    permutations: Annotated[int, typer.Option(help="Permutations of every test.")] = 10_000,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare the emotion space with human valence and arousal, layer by layer.

    Example: emotion-interp align --norms warriner --json
    """
    from emotion_interp.cli.progress import show_frame
    from emotion_interp.study.settings import StudySettings
    from emotion_interp.study.stages import alignment_frames

    subject = subject_of(model, saes, layers)
    found = bank_of(bank, subject, languages, seed, quiet)
    settings = StudySettings(norms=norms, n_permutations=permutations, seed=seed)
    frame = alignment_frames(subject, found, norms_of(norms), settings)["alignment"]
    columns = ["layer", "language", "kind", "valence_pc", "valence_r", "valence_lo", "valence_hi", "valence_p_layers"]
    columns += ["arousal_pc", "arousal_r", "arousal_p_layers", "rsa_rho", "rsa_p", "procrustes_disparity", "n_emotions"]
    show_frame(frame if as_json else frame[columns], "Emotion space against people", as_json)


@app.command()
def ratings(
    model: Model = None,
    saes: Saes = None,
    layers: Layers = None,
    languages: Languages = "en,zh",
    bank: BankOption = None,
    norms: NormsOption = "builtin",
    words: Annotated[int, typer.Option(help="Rated words at most (0: all).")] = 4000,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict human ratings of words from features, layer by layer.

    Example: emotion-interp ratings --norms warriner --words 0
    """
    from emotion_interp.cli.progress import show_frame
    from emotion_interp.ratings import predict_ratings

    subject = subject_of(model, saes, layers)
    found = bank_of(bank, subject, languages, seed, quiet)
    result = predict_ratings(subject, norms_of(norms), bank=found, max_words=words or None, seed=seed)
    show_frame(result.to_frame(), "Predicted word ratings", as_json)


@app.command()
def steer(
    prompts: Annotated[list[str], typer.Argument(help="Prompts to continue.")],
    emotion: Annotated[str, typer.Option(help="Emotion whose direction is added.")] = "joy",
    layer: Annotated[int | None, typer.Option(help="Layer; default: the middle one.")] = None,
    dose: Annotated[float, typer.Option(help="Strength in units of the site's scale.")] = 0.5,
    method: Annotated[str, typer.Option(help="sae, dense or dense_clean.")] = "sae",
    language: Annotated[str, typer.Option(help="Language in which the direction was found.")] = "en",
    model: Model = None,
    saes: Saes = None,
    bank: BankOption = None,
    tokens: Annotated[int, typer.Option(help="New tokens.")] = 40,
    sample: Annotated[bool, typer.Option(help="Sample instead of taking the most probable token.")] = False,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Continue prompts unsteered and steered, side by side.

    Example: emotion-interp steer --emotion joy --layer 3 --dose 0.8 "The letter said"
    """
    import pandas as pd

    from emotion_interp.cli.progress import show_frame
    from emotion_interp.steering import steer as steering

    subject = subject_of(model, saes, None)
    found = bank_of(bank, subject, language, seed, quiet)
    layer = found.layers[len(found.layers) // 2] if layer is None else layer
    direction = found.direction(emotion, layer=layer, language=language, method=method)
    options = {"max_new_tokens": tokens, "do_sample": sample, "seed": seed}
    plain = subject.generate(prompts, **options)
    with steering(subject, direction, dose=dose, positions="from_last_prompt_token"):
        steered = subject.generate(prompts, **options)
    frame = pd.DataFrame({"unsteered": plain, "steered": steered})
    show_frame(frame, f"{emotion}, layer {layer}, dose {dose:g}, {method}", as_json)


@app.command()
def trace(
    text: Annotated[str, typer.Argument(help="Text to trace.")],
    model: Model = None,
    saes: Saes = None,
    bank: BankOption = None,
    layer: Annotated[int | None, typer.Option(help="Layer; default: the middle one.")] = None,
    language: Annotated[str, typer.Option(help="Language whose features are used.")] = "en",
    out: Annotated[Path | None, typer.Option(help="Write the token view to this HTML file.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Every emotion's strength at every token of a text.

    Example: emotion-interp trace "She opened the letter and wept." --out trace.html
    """
    from emotion_interp.cli.progress import console, show_frame
    from emotion_interp.report import emotion_trace

    subject = subject_of(model, saes, None)
    found = bank_of(bank, subject, language, seed, quiet)
    layer = found.layers[len(found.layers) // 2] if layer is None else layer
    result = emotion_trace(subject, text, found, layers=[layer], language=language)
    if out is not None:
        result.save(out)
        console(quiet).print(f"token view: {out}")
    frame = result.to_frame()
    if not as_json:
        wide = frame.pivot(index="position", columns="emotion", values="value")
        strongest = wide.max().sort_values(ascending=False).index[:6]
        frame = wide[strongest].assign(token=list(result.tokens)).reset_index()[["token", *strongest]]
    show_frame(frame, f"layer {layer}", as_json, digits=2)


@app.command()
def report(
    study: Annotated[Path, typer.Argument(help="Study folder written by `run`.")] = Path("runs/bundled"),
) -> None:
    """Say where a study's report lies, and what its stages took.

    Example: emotion-interp report runs/bundled
    """
    from emotion_interp.core.errors import FileFormatError
    from emotion_interp.core.files import read_json

    record = read_json(study / "study.json")
    if record.get("format") != "emotion_interp.study":
        raise FileFormatError(f"{study} is no study folder; `emotion-interp run --out {study}` makes one.")
    for name, stage in record["stages"].items():
        typer.echo(f"{name:<12} {stage['seconds']:>8.1f} s  {', '.join(stage['files'])}")
    page = study / "report.html"
    typer.echo(str(page) if page.is_file() else "no report.html yet; run the study again")
