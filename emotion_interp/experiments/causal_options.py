"""The choices of causal universality, and what its emotions share once they are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.concepts.defaults import default_siblings
from emotion_interp.core import Stimulus
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.options import Options
from emotion_interp.core.types import Site
from emotion_interp.experiments.causal_answers import FEATURES, MEASURES, CausalSetting
from emotion_interp.experiments.causal_moves import latents_of
from emotion_interp.experiments.causal_texts import LEAST_TEXTS, QUESTIONS, WHERE, chosen_texts, show
from emotion_interp.judges.next_word import next_words
from emotion_interp.steering.operations import writable_reader

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.subjects.subject import Subject


@dataclass(frozen=True, kw_only=True)
class CausalOptions(Options):
    """What is put in whose place, how it is judged, and the nulls.

    Attributes:
        layer: a layer or site; default: the bank's middle layer.
        method: a method of the bank's directions, or "features": the selected features of the site.
        measure: "share" (log share of the emotion's words among all emotions' words, mean over its texts), "mass" (log
            probability of its words), or "auroc" (of the share, against as many texts of others: twice the cost).
        positions: "all", "text" or "question": what is changed of text and question; BOS never is. "question" runs each
            text once for all changes, which is five times faster.
        n_texts: at most so many texts of each emotion.
        n_tokens: texts are cut there.
        n_random: random draws; Holm over n emotions needs at least 20 n.
        k: of "features": the k features of highest AUROC on the discovery half, instead of the selected ones.
        words: emotion -> words of the second language to judge by; default: the bank's held-out words, all of the concept's
            where none of those is one token.
        prompts: language -> question behind each text; default: `QUESTIONS`.
        siblings: emotion -> emotions that are no null for it; default: those of the shipped concepts.
        seed: of texts, nulls and bootstrap.
        token_budget: tokens of one batch.
        null_folder: where each finished emotion is kept, so that a killed run goes on.
    """

    layer: int | Site | str | None = None
    method: str = "dense"
    measure: str = "share"
    positions: str = "all"
    n_texts: int = 24
    n_tokens: int = 40
    n_random: int = 199
    k: int | None = None
    words: Mapping[str, Sequence[str]] | None = None
    prompts: Mapping[str, str] | None = None
    siblings: Mapping[str, Sequence[str]] | None = None
    seed: int = 0
    token_budget: int = 4096
    null_folder: str | Path | None = None


class CausalChoices(TypedDict, total=False):
    """`CausalOptions` by keyword."""

    layer: int | Site | str | None
    method: str
    measure: str
    positions: str
    n_texts: int
    n_tokens: int
    n_random: int
    k: int | None
    words: Mapping[str, Sequence[str]] | None
    prompts: Mapping[str, str] | None
    siblings: Mapping[str, Sequence[str]] | None
    seed: int
    token_budget: int
    null_folder: str | Path | None


def causal_setting(
    subject: Subject,
    bank: FeatureBank,
    texts: Sequence[Stimulus] | Mapping[str, object],
    pair: tuple[str, str],
    emotions: Sequence[str] | None,
    chosen: CausalOptions,
) -> tuple[CausalSetting, list[str]]:
    """All that the emotions of a pair of languages share, and those of them that have texts."""
    first, second = pair
    _check(bank, pair, chosen)
    asked = {**QUESTIONS, **(chosen.prompts or {})}
    if second not in asked:
        raise EmotionInterpError(f"there is no question in {second!r}; give prompts={{{second!r}: '...'}}.")
    site = bank.site(bank.layers[len(bank.layers) // 2] if chosen.layer is None else chosen.layer)
    require_same_subject(bank, subject)
    reader = writable_reader(subject, site)
    drawn = chosen_texts(texts, second, bank.emotions, chosen.n_texts, chosen.seed)
    named = bank.emotions if emotions is None else list(dict.fromkeys(emotions))
    some = [e for e in named if len(drawn.get(e, ())) >= LEAST_TEXTS]
    if emotions is not None and len(some) < len(named):
        lacking = next(e for e in named if e not in some)
        raise EmotionInterpError(
            f"{lacking!r} has {len(drawn.get(lacking, ()))} texts in {second!r}; at least {LEAST_TEXTS} are needed."
        )
    kin = dict(default_siblings(bank.emotions) if chosen.siblings is None else chosen.siblings)
    if not some or len(drawn) < 2:
        raise EmotionInterpError(
            f"texts of at least two emotions (or neutral) in {second!r} are needed, got {list(drawn)}."
        )
    judge = next_words(subject, chosen.words or spoken_words(subject, bank, second), second)
    shown = show(subject, site, drawn, asked[second], chosen.n_tokens, chosen.positions)
    latents = latents_of(reader, shown)
    setting = CausalSetting(
        subject,
        bank,
        site,
        first,
        second,
        chosen.method,
        chosen.measure,
        chosen.n_random,
        chosen.k,
        chosen.seed,
        chosen.token_budget,
        judge,
        shown,
        latents,
        kin,
    )
    return setting, some


def _check(bank: FeatureBank, pair: tuple[str, str], chosen: CausalOptions) -> None:
    """Languages and names that are there."""
    first, second = pair
    for language in (first, second):
        if language not in bank.languages:
            raise UnknownNameError("language", language, bank.languages)
    if first == second:
        raise EmotionInterpError(
            f"causal universality puts one language in another's place; {first!r} was given twice."
        )
    for what, name, known in (
        ("method", chosen.method, (*bank.methods, FEATURES)),
        ("measure", chosen.measure, MEASURES),
        ("positions", chosen.positions, WHERE),
    ):
        if name not in known:
            raise UnknownNameError(f"{what} of causal_universality", name, known)


def spoken_words(subject: Subject, bank: FeatureBank, language: str) -> dict[str, list[str]]:
    """Each emotion's words to judge by: held out, or all of the concept's where no held-out word is one token."""
    every = bank.manifest.get("concept_words", {}).get(language, {})
    held = {e: list(bank.held_out_words(e, language)) for e in bank.emotions}
    try:
        counted = next_words(subject, held, language).token_ids
    except EmotionInterpError:
        counted = {}
    return {e: held[e] if counted.get(e) else [*held[e], *every.get(e, ())] for e in bank.emotions}
