"""features describe, confirm, directions: what is added to a bank that is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotion_interp.cli import checks
from emotion_interp.cli import facts as facts_of
from emotion_interp.cli.analysis_commands import features_app
from emotion_interp.cli.bank_commands import Bank
from emotion_interp.cli.options import Device, Dtype, Layers, Model, Names, Quiet, Saes, Seed
from emotion_interp.cli.progress import say
from emotion_interp.cli.values import numbers, split_names
from emotion_interp.core.errors import EmotionInterpError

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.core.types import Stimulus
    from emotion_interp.subjects import Subject

FoundOn = Annotated[
    str | None,
    typer.Option("--stimuli", callback=checks.stimuli_known, help="Corpus or CSV the bank was found on, if it was."),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=2, help="Texts of each emotion of that corpus, as the bank was found; default: all."),
]


# Long: the signature is what the shell shows, the body one step after another, saved between.
@features_app.command()
def describe(
    bank: Bank,
    model: Model = None,
    saes: Saes = None,
    device: Device = "auto",
    dtype: Dtype = None,
    stimuli: FoundOn = None,
    limit: Limit = None,
    names: Names = "keep",
    on: Annotated[
        str | None,
        typer.Option(
            callback=checks.stimuli_known,
            help="Other stimuli to test on: words, scenes, stories, goemotions, ...; default: words, of a bank of words "
            "scenes.",
        ),
    ] = None,
    test_limit: Annotated[int, typer.Option(min=2, help="Texts of each emotion of the corpora to test on.")] = 150,
    probes: Annotated[
        bool, typer.Option("--probes/--no-probes", help="Fit sparse and dense probes, the slow part.")
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(callback=checks.new_bank, help="Folder for the bank with its new tables; default: BANK."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Add what a reviewer asks for: the texts alone, controls, output scores, logit lens, examples, sparse probes, transfer.

    Example: emotion-interp features describe runs/bundled/bank --on words,stories
    """
    from emotion_interp.bank import FeatureBank
    from emotion_interp.bank.files import require_bank_place
    from emotion_interp.bank.frames import summary_by_layer
    from emotion_interp.bank.same_subject import require_same_subject
    from emotion_interp.cli.options import concepts_of_bank, corpus_texts, subject_of
    from emotion_interp.cli.progress import show_frame
    from emotion_interp.experiments import output_scores
    from emotion_interp.features import feature_controls, sparse_probes, token_lens, top_examples
    from emotion_interp.features.text_scores import add_text_scores
    from emotion_interp.judges import NEUTRAL_PROMPTS

    facts_of.check_layers(model, saes, None)
    extended = FeatureBank.load(bank)
    others = kinds_to_test(on, str(extended.manifest["stimuli"]))
    place = out or bank
    require_bank_place(place)
    subject = subject_of(model, saes, None, device, dtype)
    require_same_subject(extended, subject)
    languages = ",".join(extended.languages)
    concepts = concepts_of_bank(extended)
    shown = None if stimuli is None else corpus_texts(stimuli, languages, seed, limit, names)
    extended = add_text_scores(extended, concepts, shown)
    show_frame(summary_by_layer(extended), "Top features, the dense stream and the texts alone", False)
    controls = feature_controls(subject, concepts, extended, stimuli=shown, rows="kept")
    show_frame(controls.counts(), "Features that a control casts doubt on", False)
    extended = extended.with_table("controls", controls.to_frame())
    if probes:
        fitted = sparse_probes(
            subject,
            concepts,
            stimuli=shown or extended.manifest["stimuli"],
            layers=extended.sites,
            seed=int(extended.manifest["seed"]),
        )
        show_frame(fitted.by_layer(), "Sparse probes: median held-out AUROC", False)
        extended = fitted.add_to(extended)
        # what is done is kept, should a later part fail
        extended.save(place)
    extended = token_lens(subject, extended).add_to(extended)
    # examples show text: of the shipped scenes where the bank was found on somebody else's
    texts = None if shown is None else _stimuli("scenes", extended, seed)
    extended = top_examples(subject, extended, texts, by_part=1).add_to(extended)
    extended.save(place)
    spoken = [language for language in extended.languages if language in NEUTRAL_PROMPTS]
    if spoken:
        scores = output_scores(subject, extended, languages=spoken, seed=seed)
        show_frame(scores.counts().reset_index(), "Input and output features", False)
        extended = scores.add_to(extended)
    for name in others:
        extended.save(place)
        extended = _tested(subject, concepts, extended, name, shown, seed, test_limit)
    extended.save(place)
    say(str(place))


@features_app.command()
def confirm(
    bank: Bank,
    model: Model = None,
    saes: Saes = None,
    device: Device = "auto",
    dtype: Dtype = None,
    stimuli: FoundOn = None,
    limit: Limit = None,
    names: Names = "keep",
    sets: Annotated[
        bool, typer.Option("--sets", help="Read the texts again and confirm sets of features too.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the bank; default: BANK.")] = None,
) -> None:
    """Say of a bank of an earlier version which features are confirmed: answering, specific, at the layer fixed before.

    With --stimuli also how many of its texts name their emotion, and with --sets which sets of features are confirmed.

    Example: emotion-interp features confirm runs/bundled/bank
    """
    from emotion_interp.bank import FeatureBank
    from emotion_interp.bank.files import require_bank_place
    from emotion_interp.bank.frames import summary_by_layer
    from emotion_interp.cli.options import concepts_of_bank, corpus_texts, subject_of
    from emotion_interp.cli.progress import show_frame
    from emotion_interp.features import with_confirmation, with_confirmed_sets
    from emotion_interp.features.retest import with_naming

    place = out or bank
    require_bank_place(place)
    extended = FeatureBank.load(bank)
    languages = ",".join(extended.languages)
    concepts = concepts_of_bank(extended)
    extended = with_confirmation(extended, concepts)
    shown = None
    if stimuli is not None:
        shown = corpus_texts(stimuli, languages, int(extended.manifest["seed"]), limit, names)
        extended = with_naming(extended, concepts, shown)
    if sets:
        extended = with_confirmed_sets(subject_of(model, saes, None, device, dtype), concepts, extended, shown)
    extended.save(place)
    show_frame(summary_by_layer(extended), "confirmed: at the layer fixed on the discovery half", False)


# Long: the signature is what the shell shows, the body one kind after another, saved between.
@features_app.command()
def directions(
    bank: Bank,
    methods: Annotated[
        str,
        typer.Option(
            callback=checks.some_of("kind of direction to add", checks.added_methods),
            help="trained (on the texts' likelihood), sae_ts (effect-targeted), sae_output.",
        ),
    ] = "trained,sae_ts",
    model: Model = None,
    saes: Saes = None,
    device: Device = "auto",
    dtype: Dtype = None,
    stimuli: FoundOn = None,
    limit: Limit = None,
    names: Names = "keep",
    layers: Layers = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training.")] = 80,
    out: Annotated[
        Path | None,
        typer.Option(callback=checks.new_bank, help="Folder for the bank with its new directions; default: BANK."),
    ] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Add directions to steer with: trained on texts, effect-targeted (SAE-TS), or made of output features.

    Example: emotion-interp features directions runs/bank --methods trained --stimuli stories --layers 2
    """
    from emotion_interp.bank import FeatureBank
    from emotion_interp.bank.files import require_bank_place
    from emotion_interp.bank.same_subject import require_same_subject
    from emotion_interp.cli.options import concepts_of_bank, corpus_texts, subject_of
    from emotion_interp.cli.progress import progress_bars, show_frame

    wanted = split_names(methods)
    facts_of.check_layers(model, saes, layers)
    extended = FeatureBank.load(bank)
    # with these rooms comes torch: not before everything is known to be right
    from emotion_interp.directions import train_directions, with_output_directions, with_targeted_directions
    from emotion_interp.experiments import output_scores

    subject = subject_of(model, saes, None, device, dtype)
    require_same_subject(extended, subject)
    place = out or bank
    require_bank_place(place)
    languages, places = ",".join(extended.languages), numbers(layers, "--layers")
    if "trained" in wanted:
        shown = None if stimuli is None else corpus_texts(stimuli, languages, seed, limit, names)
        total, done = steps * len(extended.layers if places is None else places) * len(extended.languages), [0]
        with progress_bars(quiet) as bars:

            def tick(texts: int) -> None:
                del texts
                done[0] += 1
                bars("training directions", done[0], total)

            trained = train_directions(
                subject,
                concepts_of_bank(extended),
                extended,
                places,
                stimuli=shown,
                steps=steps,
                seed=seed,
                progress=tick,
            )
        shown_columns = ["gain", "preferred", "gain_dense", "preferred_dense", "cosine_dense"]
        by_layer = trained.to_frame().groupby(["layer", "language"])[shown_columns]
        show_frame(by_layer.mean().reset_index(), "Held-out texts: mean over emotions", False)
        extended = trained.add_to(extended)
        extended.save(place)
    if "sae_ts" in wanted:
        extended = with_targeted_directions(subject, extended, places, seed=seed)
    if "sae_output" in wanted:
        if "outputs" not in extended.extras:
            extended = output_scores(subject, extended, places, seed=seed).add_to(extended)
        extended = with_output_directions(subject, extended)
    extended.save(place)
    say(str(place))


def _stimuli(name: str, bank: FeatureBank, seed: int, limit: int = 150) -> list[Stimulus]:
    """Stimuli by name, in the bank's languages."""
    from emotion_interp.concepts import corpus_stimuli, scene_stimuli
    from emotion_interp.concepts.scenes import SCENE_LANGUAGES

    if name == "scenes":
        return scene_stimuli([lang for lang in bank.languages if lang in SCENE_LANGUAGES], bank.emotions)
    languages = ("en",) if name in ("stories", "goemotions") else bank.languages
    return [
        s
        for lang in languages
        if lang in bank.languages
        # the English test file of BRIGHTER came without its labels
        for s in corpus_stimuli(
            name, lang, split="dev" if (name, lang) == ("brighter", "en") else "test", limit=limit, seed=seed
        )
    ]


def kinds_to_test(on: str | None, found_on: str) -> list[str]:
    """The stimuli that --on names, which are of another kind than those that a bank was found on.

    Raises:
        EmotionInterpError: they are of that kind, whose test is the bank's own confirmation half.
    """
    default = "scenes" if found_on == "words" else "words"
    names = [part.strip() for part in (on or default).split(",") if part.strip()]
    if found_on in names:
        raise EmotionInterpError(f"--on names stimuli of another kind; the bank was found on {found_on}.")
    return names


def _tested(
    subject: Subject,
    concepts: ConceptSet,
    bank: FeatureBank,
    name: str,
    shown: Sequence[Stimulus] | None,
    seed: int,
    limit: int,
) -> FeatureBank:
    from emotion_interp.cli.progress import show_frame
    from emotion_interp.features import transfer

    texts = name if name in ("words", "scenes") else _stimuli(name, bank, seed, limit)
    result = transfer(subject, concepts, bank, texts, tested_on=name, found_on=shown, seed=seed)
    show_frame(result.by_layer(), f"Top features tested on {name}", False)
    return result.add_to(bank)
