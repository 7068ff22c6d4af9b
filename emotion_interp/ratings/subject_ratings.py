"""Predict human ratings of words from what a subject does when it reads them: reading, feature sets, prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

import numpy as np

from emotion_interp.activations import read_units
from emotion_interp.activations.shown import shown
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.concepts import concept_set
from emotion_interp.concepts.splits import copies_together
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.options import merged
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import At, Stimulus, sites_at
from emotion_interp.ratings.baselines import baseline_ratings
from emotion_interp.ratings.options import RatingChoices, RatingOptions, WordChoices, WordOptions
from emotion_interp.ratings.predict import Ratings, WordActivations, joined, predict_from_activations
from emotion_interp.ratings.sets import bank_draws, bank_sets
from emotion_interp.stats.firing import firing_rates

POSITIONS = ("last", "span", "text", "end")
CARRIED = ("last", "span")
"""Positions of a word in a carrier; at the others the rated text is read as it is."""

if TYPE_CHECKING:
    from emotion_interp.activations import SiteReadings
    from emotion_interp.bank import FeatureBank
    from emotion_interp.core.messages import Pairs
    from emotion_interp.core.types import Site
    from emotion_interp.norms import Norms
    from emotion_interp.stats.sparse import Matrix
    from emotion_interp.subjects import Subject


@checked
def predict_ratings(
    subject: Subject,
    norms: Norms,
    bank: FeatureBank | None = None,
    *,
    layers: Iterable[int | Site | str] | None = None,
    carrier: str | None = None,
    transfer: Sequence[Norms] = (),
    options: RatingOptions | None = None,
    **choices: Unpack[RatingChoices],
) -> Ratings:
    """Predict valence and arousal of words or sentences by nested cross-validated ridge, per layer and feature set.

    Feature sets: "all" living latents; "dense" residual stream; "written", where asked for; with a bank also "selected" (its emotion features of the
    norms' language) and "outside" (as many others, matched for firing rate), and with a bank of several languages
    `"selected_<language>"`, "intersection", "union" and their controls "outside_intersection" and "outside_union". Baselines that read no context, the same
    at every layer: "static" (mean input embedding of the word's tokens) and "length" (characters, tokens).

    Args:
        subject: model; the SAEs decide which layers are read.
        norms: ratings of the words or sentences that are learnt. Sentences of one `group` (a document) stay in one fold.
        bank: emotion features of this subject.
        layers: layers, hook names or sites; default: every one with an SAE.
        carrier: text with one {word} slot; default: the first carriers of the norms' language, in the conversation that the
            bank was found in, if it was.
        transfer: norms of other languages, whose words are predicted by the fits of this one.
        options: how the words are read, and the folds, nulls, intervals and baselines of the fits.
        **choices: fields of `RatingOptions`, by keyword.

    Returns:
        Ratings, `.to_frame()` with r (mean over folds; interval, p), rho, R2, MAE and r over the ceiling; sentences are in the column `word` too.

    Raises:
        EmotionInterpError: the subject has no SAE, the bank belongs to another subject, a word becomes no token, or
            the carriers are not there.
        UnknownNameError: another `position`.

    Example:
        >>> import emotion_interp as ei
        >>> ei.predict_ratings(ei.load_subject(), ei.load_norms("builtin")).to_frame()  # doctest: +SKIP
    """
    chosen = merged(RatingOptions, options, choices)
    read = [(table, _read(subject, table, bank, layers, carrier, chosen.seed, chosen)) for table in (norms, *transfer)]
    parts = [_part(table, words, readings) for table, (words, readings) in read]
    if chosen.written:
        parts = [replace(part, written=written_by(subject, part.activations)) for part in parts]
    fit = (chosen.folds, chosen.seed, chosen.n_permutations, chosen.n_bootstrap)
    outside = outside_sets(parts[0], bank, chosen.outside_draws, chosen.seed)
    ratings = predict_parts(parts, feature_sets(parts[0], bank, chosen.seed), *fit, outside)
    if not chosen.baselines:
        return ratings
    return joined([ratings, *baseline_ratings(subject, parts, sorted(parts[0].dense), *fit)])


def read_part(
    subject: Subject,
    norms: Norms,
    bank: FeatureBank | None = None,
    *,
    layers: Iterable[int | Site | str] | None = None,
    carrier: str | None = None,
    seed: int = 0,
    options: WordOptions | None = None,
    **choices: Unpack[WordChoices],
) -> tuple[WordActivations, list[Site]]:
    """What the subject does on the rated words of one norms, and where: errors as in `predict_ratings`.

    Args:
        subject: model; the SAEs decide which layers are read.
        norms: ratings of the words or sentences.
        bank: emotion features of this subject.
        layers: as in `predict_ratings`.
        carrier: as in `predict_ratings`.
        seed: of the sample of words.
        options: how the words are read.
        **choices: fields of `WordOptions`, by keyword.
    """
    words, read = _read(subject, norms, bank, layers, carrier, seed, merged(WordOptions, options, choices))
    return _part(norms, words, read), list(read)


def _read(
    subject: Subject,
    norms: Norms,
    bank: FeatureBank | None,
    layers: Iterable[int | Site | str] | None,
    carrier: str | None,
    seed: int,
    chosen: WordOptions,
) -> tuple[list[str], dict[Site, SiteReadings]]:
    """The words that are read, and what every site showed."""
    position = chosen.position or ("last" if norms.unit == "word" else "text")
    if position not in POSITIONS:
        raise UnknownNameError("position", position, POSITIONS)
    sites = _sites(subject, layers)
    if bank is not None:
        require_same_subject(bank, subject)
    if not any(site in subject.readers for site in sites):
        raise EmotionInterpError(
            f"{subject.name} has no SAE at the layers that were asked for; pass saes= to load_subject."
        )
    words = sampled_words(norms, chosen.max_words, seed)
    # who gives a carrier has written its conversation around it, if there is to be one
    talk = _talk_of(bank, norms.language) if carrier is None and position in CARRIED else ()
    how = replace(chosen, position=position)
    return words, read_words(subject, words, norms.language, sites, carrier, talk, options=how)


def _talk_of(bank: FeatureBank | None, language: str) -> Pairs:
    """The conversation that a bank was found in: the language's, or of another than the bank's its first."""
    talks = {} if bank is None else bank.manifest.get("conversation", {})
    talk = talks.get(language) or next(iter(talks.values()), [])
    return tuple((role, content) for role, content in talk)


def _sites(subject: Subject, layers: Iterable[int | Site | str] | None) -> list[Site]:
    """Every site with an SAE of the layers; the residual stream of a layer without one."""
    if layers is None:
        return subject.sites
    sites: list[Site] = []
    for layer in layers:
        site = subject.site(layer)
        sites += sites_at(subject.readers, layer) if site in subject.readers else [site]
    return list(dict.fromkeys(sites))


def _part(norms: Norms, words: list[str], read: dict[Site, SiteReadings]) -> WordActivations:
    features = {site: reading.features for site, reading in read.items() if reading.features is not None}
    dense = {site: reading.dense for site, reading in read.items()}
    groups = None
    if "group" in norms.table:
        known = norms.table.set_index("word")["group"].reindex(words)
        named: list[str] = [
            group if isinstance(group, str) and group.strip() else str(word) for word, group in known.items()
        ]
        groups = copies_together(words, named)
    return WordActivations(features, words, norms, norms.language, groups, dense)


def written_by(subject: Subject, activations: Mapping[Site, Matrix]) -> dict[Site, np.ndarray]:
    """What the features of each site write together: site -> [word, d_model], activations times decoder rows, float64."""
    result = {}
    for site, matrix in activations.items():
        alive = np.flatnonzero(firing_rates(matrix))
        rows = subject.readers[site].decoder_rows(alive).double().cpu().numpy()
        result[site] = np.asarray(matrix[:, alive] @ rows, dtype=np.float64)
    return result


def feature_sets(
    part: WordActivations, bank: FeatureBank | None = None, seed: int = 0
) -> dict[Site, dict[str, object]]:
    """Site -> name of the set -> columns: "all" living latents, and with a bank those of `bank_sets`."""
    sets: dict[Site, dict[str, object]] = {}
    for site, matrix in part.activations.items():
        rates = firing_rates(matrix)
        sets[site] = {"all": np.flatnonzero(rates)}
        if bank is not None:
            sets[site] |= bank_sets(bank, site, part.language, rates, seed)
    return sets


def outside_sets(
    part: WordActivations, bank: FeatureBank | None, n_draws: int, seed: int
) -> dict[Site, dict[str, np.ndarray]]:
    """Site -> name of the control -> its redrawn sets (`bank_draws`); none without a bank or draws."""
    if bank is None or not n_draws:
        return {}
    return {
        site: bank_draws(bank, site, part.language, firing_rates(matrix), n_draws, seed)
        for site, matrix in part.activations.items()
    }


def predict_parts(
    parts: Sequence[WordActivations],
    sets: Mapping[At, Mapping[str, object]],
    folds: int = 10,
    seed: int = 0,
    n_permutations: int = 199,
    n_bootstrap: int = 500,
    draws: Mapping[At, Mapping[str, np.ndarray]] | None = None,
) -> Ratings:
    """`predict_from_activations` on the first part, the others predicted by its fits."""
    trained, *others = parts
    return predict_from_activations(
        trained.activations,
        trained.words,
        trained.norms,
        feature_sets=sets,
        language=trained.language,
        folds=folds,
        seed=seed,
        dense=trained.dense,
        written=trained.written,
        groups=trained.groups,
        transfer=others,
        n_permutations=n_permutations,
        n_bootstrap=n_bootstrap,
        draws=draws,
    )


def sampled_words(norms: Norms, max_words: int | None, seed: int) -> list[str]:
    """The norms' words, sorted; at most `max_words`, the same ones for the same seed."""
    words = sorted(set(norms.table["word"].dropna().astype(str)))
    if max_words is None or len(words) <= max_words:
        return words
    drawn = generator(seed, "rated words").choice(np.asarray(words, dtype=object), max_words, replace=False)
    return sorted(drawn)


def read_words(
    subject: Subject,
    words: list[str],
    language: str,
    sites: list[Site],
    carrier: str | None = None,
    messages: Pairs = (),
    *,
    options: WordOptions | None = None,
    **choices: Unpack[WordChoices],
) -> dict[Site, SiteReadings]:
    """Read words in one or several carriers, or rated texts as they are: one unit per word or text.

    Args:
        subject: the model with its SAEs.
        words: words or texts.
        language: whose carriers are taken.
        sites: where it is read.
        carrier: text with one {word} slot; default: the first carriers of the language.
        messages: the conversation in which a filled carrier is shown, with `{text}` in its place; none: the carrier alone.
        options: how the words are read; position "last" unless told.
        **choices: fields of `WordOptions`, by keyword.

    Raises:
        EmotionInterpError: a carrier without a slot, more carriers than there are, or one for whole texts.
    """
    chosen = merged(WordOptions, options, choices)
    position = chosen.position or "last"

    if position in CARRIED:
        slots = _carriers(carrier, language, chosen.carriers)
    elif carrier is None and chosen.carriers == 1:
        slots = [("", "")]
    else:
        raise EmotionInterpError(
            f"position {position!r} reads the rated text as it is; leave carrier and carriers out, or take 'last' or "
            "'span'."
        )
    texts = [before + word + after for word in words for before, after in slots]
    spans = [(len(before), len(before) + len(word)) for word in words for before, _ in slots]
    if messages:
        told = zip(texts, spans, [word for word in words for _ in slots], strict=True)
        stimuli = [Stimulus(text, span, "neutral", word, "", language, word, messages) for text, span, word in told]
        texts, spans = shown(subject, stimuli)
    return read_units(
        subject,
        texts,
        np.repeat(np.arange(len(words)), len(slots)),
        spans=spans if position in CARRIED else None,
        sites=sites,
        position=position,
        batch_tokens=chosen.batch_tokens,
        progress=chosen.progress,
    )


def _carriers(carrier: str | None, language: str, count: int) -> list[tuple[str, str]]:
    """What stands before and after the word in each carrier."""
    if count < 1:
        raise EmotionInterpError(f"carriers is at least 1, got {count}.")
    if carrier is None:
        try:
            known = list(concept_set(language).templates().values())
        except UnknownNameError:
            known = ["{word}"]
    else:
        known = [carrier]
    if count > len(known):
        raise EmotionInterpError(
            f"{count} carriers were asked for, but {'one was given' if carrier else f'{language!r} has {len(known)}'}."
        )
    for text in known[:count]:
        if text.count("{word}") != 1:
            raise EmotionInterpError(f"a carrier has exactly one {{word}} slot, got {text!r}.")
    return [(before, after) for before, after in (text.split("{word}") for text in known[:count])]
