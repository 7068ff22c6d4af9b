"""What a bank and a model hold, as far as small files say it: for checks before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from emotion_interp.cli.bank_facts import BankFacts, bank_facts
from emotion_interp.cli.options import concepts_of
from emotion_interp.cli.sae_options import sae_choice
from emotion_interp.cli.values import numbers, plain_languages, some_of, split_names
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError

ALL = "all"


def facts_for(
    model: str | None, bank: Path | None, languages: str, stimuli: str | None = None, seed: int = 0
) -> BankFacts | None:
    """Facts of the bank that a command will use; None where features are found anew."""
    from emotion_interp.bank.shipped import shipped_folder
    from emotion_interp.concepts.scenes import SCENE_LANGUAGES

    if bank is not None:
        return bank_facts(bank)
    folder = shipped_folder("bundled") if model in (None, "bundled") and stimuli is None and seed == 0 else None
    if folder is None:
        return None
    facts = bank_facts(folder)
    if not languages or set(split_names(languages)) <= set(facts.languages):
        return facts
    # the bundled subject has read too little to know single words: it is searched with scenes
    some_of("language of the scenes", lambda: SCENE_LANGUAGES)(",".join(plain_languages(languages)))
    return None


def spoken(
    language: str | None, texts: Sequence[str], model: str | None, bank: Path | None, stimuli: str | None, seed: int
) -> str:
    """The language asked for; else that of the texts, or without any the bank's first."""
    from emotion_interp.concepts.defaults import shipped_languages
    from emotion_interp.core.languages import language_of

    if language is not None:
        return language
    facts = facts_for(model, bank, "", stimuli, seed)
    known = shipped_languages() if facts is None else facts.languages
    try:
        return language_of(texts, known, "the text") if texts else known[0]
    except EmotionInterpError as error:
        raise EmotionInterpError(str(error).replace("give language= one of", "give --language, one of")) from None


def say_language(asked: str | None, language: str, texts: Sequence[str], quiet: bool) -> None:
    """One line on standard error about a language that nobody asked for."""
    from emotion_interp.cli.progress import console

    if asked is None:
        why = "as the text reads" if texts else "the first of the bank"
        console(quiet).print(f"language: {language} ({why}; --language names another)", highlight=False)


def check_choice(
    facts: BankFacts | None,
    *,
    languages: str,
    emotions: Sequence[str] = (),
    layer: int | None = None,
    method: str | None = None,
    layers: Iterable[int] = (),
) -> None:
    """Refuse emotions, a layer, a language or a method that the bank (or, without one, the concept set) does not have.

    `layers`: of the subject, where features are found anew and the layers are known.
    """
    if facts is None:
        known: dict[str, Sequence[object]] = {"emotion": concepts_of(languages).emotions, "layer": list(layers)}
        known["direction method"] = ("dense", "dense_clean", "sae")
    else:
        known = {"emotion": facts.emotions, "layer": facts.layers, "direction method": facts.methods}
        # of a bank's languages one is chosen; the several of --languages are those that features are searched in
        for name in plain_languages(languages) if "," not in languages else ():
            if name not in facts.languages:
                raise UnknownNameError("language", name, facts.languages)
    for kind, name in (*(("emotion", e) for e in emotions), ("layer", layer), ("direction method", method)):
        if name not in (None, ALL) and known[kind] and name not in known[kind]:
            raise UnknownNameError(kind, name, known[kind])


def check_layers(model: str | None, saes: str | None, layers: str | None, width: str | None = None) -> tuple[int, ...]:
    """Refuse layers that the model or the SAEs in a folder do not have; returns the layers, where they are known.

    Reads the model's config.json (in a folder or the local cache), the SAEs' configurations, or the release's list.
    """
    from emotion_interp.subjects.loading import bundled_folder
    from emotion_interp.subjects.lookup import config_of
    from emotion_interp.subjects.sae_choice import SaeChoice, choose_saes
    from emotion_interp.subjects.sae_folders import sae_places
    from emotion_interp.subjects.sae_releases import release_names, release_of

    bundled = model in (None, "bundled")
    config = config_of(str(bundled_folder() / "model") if bundled else str(model))
    depth = next((config[k] for k in ("n_layer", "num_hidden_layers", "n_layers", "num_layers") if k in config), None)
    asked = numbers(layers, "--layers") or []
    for layer in asked:
        if isinstance(depth, int) and not layer < depth:
            raise UnknownNameError("layer", layer, range(depth))
    folder = bundled_folder() / "saes" if bundled and saes is None else Path(saes or "")
    if saes is not None and saes in release_names() and not folder.is_dir():
        entries = choose_saes(saes, release_of(saes).entries, asked or None, sae_choice() or SaeChoice(width=width))
        return tuple(sorted({entry.site.layer for entry in entries if entry.site is not None}))
    if (saes is None and not bundled) or not folder.is_dir():
        return ()
    places = sae_places(folder)
    try:
        sites = [place.entry().site for place in places]
    except (FileFormatError, UnknownNameError):
        # the loader names what is wrong with it
        return ()
    if None in sites:
        return ()
    known_layers = {site.layer for site in sites if site is not None}
    for layer in asked:
        if layer not in known_layers:
            raise UnknownNameError("SAE layer", layer, sorted(known_layers))
    return tuple(sorted(known_layers))
