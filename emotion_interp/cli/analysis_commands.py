"""features, align, ratings, steer, trace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from emotion_interp.cli import checks
from emotion_interp.cli import facts as facts_of
from emotion_interp.cli import steering_grid as tools
from emotion_interp.cli.conversations import (
    Chat,
    Messages,
    Positions,
    check_prompts,
    check_template,
    conversations_in,
    said_in,
)
from emotion_interp.cli.options import (
    BankOption,
    Device,
    Dtype,
    Json,
    Languages,
    Layers,
    Model,
    Names,
    NormsOption,
    Quiet,
    Saes,
    Seed,
    StimuliOption,
    bank_of,
    norms_of,
    subject_of,
)
from emotion_interp.cli.root import app
from emotion_interp.cli.values import split_names
from emotion_interp.core.frames import rows_where


class _FindByDefault(typer.core.TyperGroup):
    """`features joy` is `features find joy`: the name of an emotion stands where a subcommand would."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, "--help", "-h"}:
            args.insert(0, "find")
        return super().parse_args(ctx, args)


features_app = typer.Typer(
    cls=_FindByDefault,
    help="Find (or load) emotion features and show them; share and compare banks. Without a subcommand: find.\n\n"
    "Example: emotion-interp features joy --layer 3",
    rich_markup_mode=None,
)
app.add_typer(features_app, name="features")


@features_app.command("find")
def features(
    emotion: Annotated[str | None, typer.Argument(help="Show one emotion; default: the summary per layer.")] = None,
    layer: Annotated[int | None, typer.Option(min=0, help="Show one layer.")] = None,
    model: Model = None,
    saes: Saes = None,
    device: Device = "auto",
    dtype: Dtype = None,
    layers: Layers = None,
    languages: Languages = "en,zh",
    bank: BankOption = None,
    stimuli: StimuliOption = None,
    limit: Annotated[int | None, typer.Option(min=2, help="Texts of each emotion from a corpus; default: all.")] = None,
    max_features: Annotated[int | None, typer.Option(min=1, help="Features kept per emotion; default: 16.")] = None,
    names: Names = "keep",
    chat: Chat = False,
    out: Annotated[Path | None, typer.Option(callback=checks.new_bank, help="Save the bank to this folder.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find (or load) emotion features and show them.

    Example: emotion-interp features joy --layer 3
    """
    places = facts_of.check_layers(model, saes, layers)
    facts = facts_of.facts_for(model, bank, languages, "words" if chat and stimuli is None else stimuli, seed)
    asked = [] if emotion is None else [emotion]
    facts_of.check_choice(facts, languages=languages, emotions=asked, layer=layer, layers=places)
    from emotion_interp.bank.frames import summary_by_layer
    from emotion_interp.cli.progress import show_frame

    subject = subject_of(model, saes, layers, device, dtype)
    features_bank = bank_of(bank, subject, languages, seed, quiet, stimuli, limit, max_features, names, chat)
    if out is not None:
        features_bank.save(out)
    if emotion is None and layer is None:
        show_frame(summary_by_layer(features_bank), repr(features_bank), as_json)
        return
    columns = ["layer", "language", "emotion", "feature", "auroc", "specificity", "coverage", "q", "selected", "top"]
    frame = rows_where(features_bank.table(emotion=emotion, layer=layer), columns)
    show_frame(frame if as_json else frame.head(40), f"features of {emotion or 'all emotions'}", as_json)


@app.command()
def align(
    model: Model = None,
    saes: Saes = None,
    device: Device = "auto",
    dtype: Dtype = None,
    layers: Layers = None,
    languages: Languages = "en,zh",
    bank: BankOption = None,
    stimuli: StimuliOption = None,
    norms: NormsOption = "builtin",
    permutations: Annotated[int, typer.Option(min=1, help="Permutations of every test.")] = 10_000,
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

    facts_of.check_layers(model, saes, layers)
    facts_of.check_choice(facts_of.facts_for(model, bank, languages, stimuli, seed), languages=languages)
    table = norms_of(norms)  # first: a wrong name must not cost a search
    subject = subject_of(model, saes, layers, device, dtype)
    features_bank = bank_of(bank, subject, languages, seed, quiet, stimuli)
    settings = StudySettings(norms=norms, n_permutations=permutations, seed=seed)
    frame = alignment_frames(subject, features_bank, table, settings)["alignment"]
    columns = ["layer", "language", "kind", "valence_pc", "valence_r", "valence_lo", "valence_hi", "valence_p_layers"]
    columns += ["arousal_pc", "arousal_r", "arousal_p_layers", "rsa_rho", "rsa_p", "procrustes_disparity", "n_emotions"]
    show_frame(frame if as_json else frame[columns], "Emotion space against people", as_json)


@app.command()
def ratings(
    model: Model = None,
    saes: Saes = None,
    device: Device = "auto",
    dtype: Dtype = None,
    layers: Layers = None,
    languages: Languages = "en,zh",
    bank: BankOption = None,
    stimuli: StimuliOption = None,
    norms: NormsOption = "builtin",
    words: Annotated[int, typer.Option(min=0, help="Rated words at most (0: all).")] = 4000,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict human ratings of words from features, layer by layer.

    Example: emotion-interp ratings --norms warriner --words 0
    """
    from emotion_interp.cli.progress import show_frame
    from emotion_interp.ratings import predict_ratings

    facts_of.check_layers(model, saes, layers)
    facts_of.check_choice(facts_of.facts_for(model, bank, languages, stimuli, seed), languages=languages)
    table = norms_of(norms)
    subject = subject_of(model, saes, layers, device, dtype)
    features_bank = bank_of(bank, subject, languages, seed, quiet, stimuli)
    result = predict_ratings(subject, table, bank=features_bank, max_words=words or None, seed=seed)
    show_frame(result.to_frame(), "Predicted word ratings", as_json)


# long, with many parameters: the options of a shell command are its parameters, each with its help
# Long: what the shell shows as options is the signature.
@app.command()
def steer(
    prompts: Annotated[
        list[str] | None, typer.Argument(help="Prompts to continue; with --grid default: neutral ones.")
    ] = None,
    emotion: Annotated[
        str, typer.Option(help="Emotion whose direction is added; several with commas, or all.")
    ] = "joy",
    layer: Annotated[int | None, typer.Option(min=0, help="Layer; default: the middle one.")] = None,
    dose: Annotated[float, typer.Option(callback=checks.finite, help="Strength in units of the site's scale.")] = 0.5,
    method: Annotated[str, typer.Option(help="Kind of direction: sae, dense, ...; a wrong one lists all.")] = "sae",
    language: Annotated[
        str | None, typer.Option(help="Language in which the direction was found; default: that of the prompts.")
    ] = None,
    messages: Messages = None,
    positions: Positions = "from_last_prompt_token",
    grid: Annotated[
        Path | None,
        typer.Option(
            callback=checks.new_table,
            help="Judge --doses x emotions: a table (.csv, .parquet), a picture (.html) beside it.",
        ),
    ] = None,
    doses: Annotated[
        str, typer.Option(callback=checks.doses, help="Doses of --grid, with commas.")
    ] = "0.1,0.2,0.35,0.5,0.75",
    judge: Annotated[
        str,
        typer.Option(
            callback=checks.one_of("judge", lambda: tools.JUDGES),
            help="Judge of --grid: next-word, text, or comments (that read no story).",
        ),
    ] = "next-word",
    random: Annotated[
        int, typer.Option(min=0, help="Random directions at every dose of --grid; Holm over k emotions needs 20 k.")
    ] = 199,
    kinds: Annotated[
        str,
        typer.Option(
            callback=checks.some_of("kind of random direction", lambda: tools.KINDS),
            help="Kinds of random direction of --grid, with commas: isotropic, decoder. The largest p counts.",
        ),
    ] = "isotropic",
    model: Model = None,
    saes: Saes = None,
    device: Device = "auto",
    dtype: Dtype = None,
    bank: BankOption = None,
    stimuli: StimuliOption = None,
    tokens: Annotated[int, typer.Option(min=1, help="New tokens.")] = 40,
    sample: Annotated[bool, typer.Option(help="Sample instead of taking the most probable token.")] = False,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Continue prompts, or answer conversations, unsteered and steered, side by side; or judge a whole grid.

    Example: emotion-interp steer --emotion joy --layer 3 --dose 0.8 "The letter said"

    Example: emotion-interp steer --emotion joy,fear --layer 2 --method dense --doses 0.1,0.2,0.4 --grid joy_fear.csv

    Example: emotion-interp steer --model google/gemma-2-9b-it --bank BANK --messages talk.json --positions assistant_turn
    """
    from emotion_interp.cli.progress import console, show_frame
    from emotion_interp.core.errors import UnknownNameError

    talks = conversations_in(messages)
    if not prompts and not talks and grid is None:
        raise typer.BadParameter("give at least one prompt to continue, --messages FILE, or --grid FILE.")
    check_prompts(prompts or (), talks, positions)
    asked_language, said = language, [*(prompts or []), *said_in(talks)]
    language = facts_of.spoken(language, said, model, bank, stimuli, seed if stimuli else 0)
    if grid is not None:
        named = tools.check_grid(grid, judge, kinds, language)
        if not said:
            from emotion_interp.judges import NEUTRAL_PROMPTS

            if language not in NEUTRAL_PROMPTS:
                raise UnknownNameError("language of the neutral prompts", language, NEUTRAL_PROMPTS)
    amounts = tools.doses_of(doses)
    names = split_names(emotion)
    places = facts_of.check_layers(model, saes, None)
    facts = facts_of.facts_for(model, bank, language, stimuli, seed if stimuli else 0)
    facts_of.check_choice(facts, languages=language, emotions=names, layer=layer, method=method, layers=places)
    facts_of.say_language(asked_language, language, said, quiet)
    subject = subject_of(model, saes, None, device, dtype)
    written = check_template(subject, talks)
    # here the seed is that of the sampling: another one must not mean another bank, unless a search is asked for
    features_bank = bank_of(bank, subject, language, seed if stimuli else 0, quiet, stimuli)
    layer = features_bank.layers[len(features_bank.layers) // 2] if layer is None else layer
    emotions = tools.emotions_of(emotion, features_bank)
    if grid is not None:
        options: dict[str, object] = {"max_new_tokens": tokens, "generation": {"do_sample": sample}, "seed": seed}
        options["positions"] = positions
        setting = tools.grid_setting(subject, features_bank, written or prompts, language, judge, **options)
        judged = tools.steering_grid(setting, grid, emotions, amounts, layer, method, n_random=random, kinds=named)
        console(quiet).print(f"table: {grid}, picture: {grid.with_suffix('.html')}")
        tools.show_grid(judged, f"layer {layer}, {method}, {judge} judge", as_json)
        return
    directions = {e: features_bank.direction(e, layer=layer, language=language, method=method) for e in emotions}
    new = {"max_new_tokens": tokens, "do_sample": sample, "seed": seed}
    shown = tools.continued(subject, talks or prompts or (), directions, dose, positions, **new)
    show_frame(shown, f"{emotion}, layer {layer}, dose {dose:g}, {method}", as_json)


@app.command()
def trace(
    text: Annotated[str | None, typer.Argument(help="Text to trace.")] = None,
    messages: Messages = None,
    model: Model = None,
    saes: Saes = None,
    device: Device = "auto",
    dtype: Dtype = None,
    bank: BankOption = None,
    stimuli: StimuliOption = None,
    layer: Annotated[int | None, typer.Option(min=0, help="Layer; default: the middle one.")] = None,
    language: Annotated[str | None, typer.Option(help="Language whose features are used; default: the text's.")] = None,
    out: Annotated[
        Path | None, typer.Option(callback=checks.new_file, help="Write the token view to this HTML file.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Every emotion's strength at every token of a text, or of the conversation in --messages.

    Example: emotion-interp trace "She opened the letter and wept." --out trace.html
    """
    from emotion_interp.cli.progress import console, show_frame
    from emotion_interp.core.errors import EmotionInterpError
    from emotion_interp.report import emotion_trace

    talks = conversations_in(messages)
    if (text is None) == (not talks) or len(talks) > 1:
        raise EmotionInterpError("trace reads one text, or the one conversation of --messages FILE; give one of them.")
    if text is not None and not text.strip():
        raise EmotionInterpError("the text is empty; give at least one word.")
    said = said_in(talks) if text is None else [text]
    places = facts_of.check_layers(model, saes, None)
    asked_language, language = language, facts_of.spoken(language, said, model, bank, stimuli, seed)
    facts = facts_of.facts_for(model, bank, language, stimuli, seed)
    facts_of.check_choice(facts, languages=language, layer=layer, layers=places)
    facts_of.say_language(asked_language, language, said, quiet)
    subject = subject_of(model, saes, None, device, dtype)
    check_template(subject, talks)
    features_bank = bank_of(bank, subject, language, seed, quiet, stimuli)
    layer = features_bank.layers[len(features_bank.layers) // 2] if layer is None else layer
    result = emotion_trace(
        subject, talks[0] if text is None else text, features_bank, layers=[layer], language=language
    )
    if out is not None:
        result.save(out)
        console(quiet).print(f"token view: {out}")
    frame = result.to_frame()
    if not as_json:
        wide = frame.pivot(index="position", columns="emotion", values="value")
        strongest = wide.max().sort_values(ascending=False).index[:6]
        frame = wide[strongest].assign(token=list(result.tokens)).reset_index()[["token", *strongest]]
        if result.speakers:
            frame.insert(0, "speaker", list(result.speakers))
    show_frame(frame, f"layer {layer}", as_json, digits=2)
