"""Options that several commands share, and the objects they name."""

from __future__ import annotations

from functools import reduce
from itertools import product
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotion_interp.cli import checks
from emotion_interp.cli.sae_options import sae_choice
from emotion_interp.cli.values import numbers, plain_languages, split_names

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.core.types import Stimulus
    from emotion_interp.norms import Norms
    from emotion_interp.subjects import Subject

DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
Model = Annotated[
    str | None,
    typer.Option("--model", callback=checks.model_name, help="Folder or hub name; default: the bundled subject."),
]
Saes = Annotated[
    str | None,
    typer.Option(
        "--saes",
        callback=checks.saes_name,
        help="SAELens release, user/repo on the hub, folder of SAEs, or 'train' (for run).",
    ),
]
Device = Annotated[
    str,
    typer.Option("--device", callback=checks.device_name, help="auto (a CUDA card if there is one), cpu, cuda:1, mps."),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        callback=checks.one_of("dtype", lambda: DTYPES),
        help="Of the model: float32, bfloat16, float16, float64; default: float32 on a CPU, else the checkpoint's own.",
    ),
]
Layers = Annotated[
    str | None,
    typer.Option("--layers", callback=checks.layer_numbers, help="Layers, e.g. 0,2,3; default: all with an SAE."),
]
Languages = Annotated[
    str,
    typer.Option(
        "--languages",
        callback=checks.languages_known,
        help="Languages of the concept sets, e.g. en,zh; en:large has twice the words, en:extended four times.",
    ),
]
NormsOption = Annotated[
    str, typer.Option("--norms", callback=checks.norms_known, help="Name of norms (see `norms list`) or a CSV file.")
]
BankOption = Annotated[
    Path | None,
    typer.Option("--bank", callback=checks.bank_known, help="Bank folder; default: found now (bundled: shipped)."),
]
StimuliOption = Annotated[
    str | None,
    typer.Option(
        "--stimuli",
        callback=checks.stimuli_known,
        help="words (in carriers), scenes (short texts), a corpus (stories, goemotions, brighter; goemotions:dev; or en=stories,zh=brighter), "
        "or a CSV with text and emotion; default: words; bundled: the shipped bank.",
    ),
]
Names = Annotated[
    str,
    typer.Option(
        "--names", callback=checks.names_known, help="Texts of a corpus that name their emotion: keep or drop."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON records on standard output.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of splits, permutations and samples.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]


def concepts_of(languages: str, chat: bool = False) -> ConceptSet:
    """'en,zh' -> one concept set; 'en:large' -> the large one, 'en:extended' the largest. `chat`: its stimuli are said by the user of a conversation."""
    from emotion_interp.concepts import concept_set

    named = [name.partition(":") for name in split_names(languages)]
    joined = reduce(or_, [concept_set(name, size or "standard") for name, _, size in named])
    return joined.in_chat() if chat else joined


def concepts_of_bank(bank: FeatureBank) -> ConceptSet:
    """The shipped concepts that a bank was found with: all of its languages, or its emotions alone (`--emotions`).

    A bank that was found in a conversation is tested in it.
    """
    from emotion_interp.concepts.defaults import SIZES

    talk = next(iter(bank.manifest.get("conversation", {}).values()), None)
    sets: list[ConceptSet] = []
    for sizes in product(SIZES, repeat=len(bank.languages)):
        whole = concepts_of(",".join(f"{name}:{size}" for name, size in zip(bank.languages, sizes, strict=True)))
        if talk is not None:
            whole = whole.in_chat([{"role": role, "content": content} for role, content in talk])
        known = [emotion for emotion in whole.emotions if emotion in bank.emotions]
        sets += [whole.subset(emotions=known), whole] if known else [whole]
    # a bank that none of them made (merged, or of older words) is taken for one of the standard words
    return next((c for c in sets if c.sha256 == bank.manifest.get("concepts_sha256")), sets[0])


def norms_of(name: str) -> Norms:
    """Norms by name, or from the path of a table."""
    from emotion_interp.norms import load_norms

    tables = (".csv", ".tsv", ".txt", ".xlsx", ".gz")
    return load_norms("csv", path=name) if Path(name).suffix.lower() in tables else load_norms(name)


def subject_of(
    model: str | None,
    saes: str | None,
    layers: str | None,
    device: str = "auto",
    dtype: str | None = None,
    width: str | None = None,
) -> Subject:
    """Load what --model, --saes and --layers name and --width, --l0 and --sae-ids choose, where --device and --dtype say.

    `width`: of SAEs where nothing is chosen.
    """
    from emotion_interp.subjects import load_subject
    from emotion_interp.subjects.sae_choice import SaeChoice

    choose = sae_choice()
    if width is not None and not choose:
        choose = SaeChoice(width=width)
    places = numbers(layers, "--layers")
    return load_subject(model, saes=saes, layers=places, device=device, dtype=dtype, choose=choose)


def bank_of(
    bank: Path | None,
    subject: Subject,
    languages: str,
    seed: int,
    quiet: bool,
    stimuli: str | None = None,
    limit: int | None = None,
    max_features: int | None = None,
    names: str = "keep",
    chat: bool = False,
) -> FeatureBank:
    """A saved bank; the shipped one of the bundled subject where nothing else is asked for; or one found now."""
    from emotion_interp.bank import FeatureBank, shipped_bank
    from emotion_interp.bank.same_subject import require_same_subject
    from emotion_interp.cli.progress import progress_bars
    from emotion_interp.core.errors import EmotionInterpError, tell
    from emotion_interp.features import Selection, find_features
    from emotion_interp.features.design import KINDS, design_stimuli
    from emotion_interp.study.stages import Counter

    if names != "keep" and (bank is not None or stimuli in (None, *KINDS)):
        given = "--bank" if bank is not None else repr(stimuli or "none")
        raise EmotionInterpError(
            f"--names {names} is for the texts of a corpus or CSV, named by --stimuli; got {given}."
        )
    loaded = None
    if bank is not None:
        unused = {"--stimuli": stimuli, "--limit": limit, "--max-features": max_features}
        idle = [f"{option} {value}" for option, value in unused.items() if value is not None]
        if idle := [*idle, *(["--chat"] if chat else [])]:
            tell(f"{', '.join(idle)} is not used: the bank of --bank is taken as it is.")
        loaded = FeatureBank.load(bank)
    elif stimuli is None and seed == 0 and not chat:
        shipped = shipped_bank(subject)
        # another choice of languages is another bank
        spoken = set(split_names(languages))
        loaded = shipped if shipped is not None and spoken <= set(shipped.languages) else None
    if loaded is not None:
        require_same_subject(loaded, subject)
        return loaded
    kind = stimuli or ("scenes" if subject.name == "bundled" else "words")
    concepts = concepts_of(languages, chat)
    shown = kind if kind in KINDS else corpus_texts(kind, languages, seed, limit, names)
    selection = Selection() if max_features is None else Selection(max_features=max_features)
    total = len(design_stimuli(concepts, shown, seed).stimuli)
    with progress_bars(quiet) as bars:
        tick = Counter(bars, f"reading {kind}", total)
        return find_features(subject, concepts, stimuli=shown, selection=selection, seed=seed, progress=tick)


def corpus_texts(corpus: str, languages: str, seed: int, limit: int | None, names: str = "keep") -> list[Stimulus]:
    """Texts that features may be found on: training splits, and the stories that judges never see.

    `names`: "keep", or "drop" to leave out texts that name their emotion, as in `corpus_stimuli`.

    The bundled judges learnt from the training splits of goemotions and brighter: where they judge, name another split.
    `corpus` is one for all languages, or names one for each: "en=stories,zh=brighter". Another split is named behind a
    colon, several with a plus: "goemotions:dev+test".
    """
    from emotion_interp.concepts import corpus_stimuli
    from emotion_interp.concepts.corpora import CORPORA, TABLES
    from emotion_interp.core.errors import EmotionInterpError

    spoken = plain_languages(languages)
    pairs = dict.fromkeys(spoken, corpus)
    if "=" in corpus and not corpus.lower().endswith(TABLES):
        parts = [part.partition("=") for part in corpus.split(",")]
        pairs = {language.strip(): name.strip() for language, _, name in parts}
    missing = [name for name in spoken if name not in pairs]
    if missing:
        raise EmotionInterpError(f"no corpus is named for {missing[0]!r}; say for example {missing[0]}=brighter.")
    spare = [name for name in pairs if name not in spoken]
    if spare:
        raise EmotionInterpError(f"a corpus is named for {spare[0]!r}, but the languages are {languages}.")
    stimuli = []
    for name in spoken:
        place, colon, split = pairs[name].partition(":")
        if place not in CORPORA:
            # a path, which may have a colon of its own
            place, colon, split = pairs[name], "", ""
        if colon and not split:
            raise EmotionInterpError(f"{pairs[name]!r} names no split; say for example {place}:test.")
        split = split or ("subject" if place == "stories" else "train")
        stimuli += corpus_stimuli(place, name, split=split, limit=limit, seed=seed, names=names)
    return stimuli


def default_stimuli(stimuli: str | None, bundled: bool, own: bool = False) -> str:
    """Words; for the bundled subject, which has read too little to know single words, the shipped bank.

    `own`: emotions of one's own choice, which a shipped bank does not have; the bundled subject then reads scenes.
    """
    return stimuli or (("scenes" if own else "shipped") if bundled else "words")
