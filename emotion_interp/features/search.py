"""Find the emotion features of a subject: one pass, tests on the discovery half, confirmation on words never seen."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Unpack

import numpy as np
import pandas as pd

from emotion_interp.activations import read_stimuli
from emotion_interp.activations.options import ReadChoices, ReadOptions
from emotion_interp.bank.bank import FeatureBank
from emotion_interp.bank.directions import Directions
from emotion_interp.concepts.model import conversation_of
from emotion_interp.concepts.naming import naming_entry
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.options import merged
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.core.versions import versions_of
from emotion_interp.features.block import Block, Selection
from emotion_interp.features.confirm import with_confirmation
from emotion_interp.features.design import Design, design_stimuli
from emotion_interp.features.options import FoundChoices, FoundOptions
from emotion_interp.features.text_scores import with_text_scores
from emotion_interp.stats.corrections import benjamini_hochberg
from emotion_interp.stats.firing import fires
from emotion_interp.stats.sparse import by_rows

if TYPE_CHECKING:
    from emotion_interp.activations import SiteReadings
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.subjects import Subject


_UNITS = 1024
"""Units whose activations are put into long form at a time."""


@checked
def find_features(
    subject: Subject,
    concepts: ConceptSet,
    layers: Iterable[int | Site | str] | None = None,
    *,
    stimuli: str | Sequence[Stimulus] = "words",
    selection: Selection = Selection(),
    seed: int = 0,
    options: ReadOptions | None = None,
    **choices: Unpack[ReadChoices],
) -> FeatureBank:
    """Find, at every layer and in every language, the SAE features that carry each emotion.

    Words are split by alignment id and lemma, and templates are split too: discovery words are read in one half of the
    carriers, confirmation words in the other. p is the one-sided Fisher exact test on fires / silent words; q comes from
    one Benjamini-Hochberg family over living features x emotions x layers x languages. The top feature of an emotion and
    the layer of a language are fixed on the discovery half; the confirmation half only reports: a feature is confirmed
    where it fires more under its emotion than elsewhere and more than under each other emotion that is no sibling (see
    `with_confirmation`). Beside each stands what the dense stream and the stimuli alone (TF-IDF; `summary`: text_auroc)
    do on the same halves.

    Args:
        subject: model with SAEs.
        concepts: concept sets of one or several languages.
        layers: layers (all SAEs of each), hook names or sites; default: every SAE.
        stimuli: "words" (concept words in carriers), "scenes" (shipped texts that show the emotion), or labelled
            texts of your own (`concepts.labelled_stimuli`); the statistical unit is then the text.
        selection: thresholds.
        seed: of the split and the bootstrap.
        options: which tokens of a stimulus are read (default: the word's "last" token, the mean of the "text" after 8
            tokens), and how the pass is made.
        **choices: fields of `ReadOptions` (position, skip, batch_tokens, progress), by keyword.

    Raises:
        EmotionInterpError: the subject has no SAE, or a word becomes no token.
        UnknownNameError: a layer without an SAE.

    Example:
        >>> import emotion_interp as ei
        >>> bank = ei.find_features(ei.load_subject(), ei.concept_set("en"))  # doctest: +SKIP
    """
    wanted = subject.sae_sites(layers)
    design = design_stimuli(concepts, stimuli, seed)
    reading = merged(ReadOptions, options, choices).reading("last" if design.kind == "words" else "text", 8)
    readings = read_stimuli(subject, design.stimuli, design.units, sites=wanted, options=reading)
    place = {"position": reading.position, "skip": reading.skip}
    how = FoundOptions(selection=selection, seed=seed, kind=design.kind, **place)
    return bank_from_design(subject, concepts, design, readings, how)


def bank_from_design(
    subject: Subject, concepts: ConceptSet, design: Design, readings: dict[Site, SiteReadings], how: FoundOptions
) -> FeatureBank:
    """The whole bank of a design that was read: features, their confirmation, and the texts alone beside them."""
    bank = bank_from_readings(subject, concepts, design.words, readings, options=how)
    if design.kind != "words":
        # texts that name their emotion are found by their words: how many do is part of what the bank is
        bank = replace(bank, manifest={**bank.manifest, "naming": naming_entry(design.stimuli)})
    return with_text_scores(bank, design)


def bank_from_readings(
    subject: Subject,
    concepts: ConceptSet,
    words: pd.DataFrame,
    readings: dict[Site, SiteReadings],
    *,
    options: FoundOptions | None = None,
    **choices: Unpack[FoundChoices],
) -> FeatureBank:
    """Test, select and confirm: everything after the forward pass.

    Args:
        subject: the model that was read.
        concepts: the concepts that were shown.
        words: unit, language, emotion, word, group and side of each row of the readings.
        readings: activations per unit, by site.
        options: how the readings were made, and what is selected.
        **choices: fields of `FoundOptions`, by keyword.

    Raises:
        EmotionInterpError: an SAE of which no latent fires.
    """
    how = merged(FoundOptions, options, choices)

    present = set(words["emotion"])
    emotions = [e for e in concepts.emotions if e in present]
    known = set(words["language"])
    languages = [lang for lang in concepts.languages if lang in known]
    blocks = []
    for site, reading in readings.items():
        assert reading.features is not None and reading.fired is not None
        for language in languages:
            blocks.append(Block(site, language, reading, words, emotions, by_level=how.kind != "words"))
    for block in blocks:
        if not block.alive.any():
            raise EmotionInterpError(
                f"no latent of the SAE at {block.site} fires on any stimulus in {block.language!r}. "
                "It is dead here, or it belongs to another model or site."
            )
    siblings = {e: {emotions.index(s) for s in concepts.siblings(e) if s in emotions} for e in emotions}
    frames, summaries = [], []
    directions: dict[tuple[Site, str, str], np.ndarray] = {}
    for block, q in zip(blocks, _corrected(blocks), strict=True):
        frame = block.score(how.selection, siblings, q)
        frames.append(frame)
        reader = subject.readers[block.site]
        vectors = block.directions(frame, reader)
        directions |= {(block.site, block.language, method): matrix for method, matrix in vectors.items()}
        summaries.append(block.confirm(frame, vectors, generator(how.seed, "confirm", block.site, block.language)))
    features = pd.concat(frames, ignore_index=True)
    scales = {site: reading.scale for site, reading in readings.items()}
    activations, rates = _long(readings, features), _rates(blocks)
    summary = pd.concat(summaries, ignore_index=True)
    table = Directions(directions, emotions)
    bank = FeatureBank(
        features, summary, words, activations, table, scales, _manifest(subject, concepts, readings, blocks, how), rates
    )
    return with_confirmation(bank, concepts)


def _manifest(
    subject: Subject,
    concepts: ConceptSet,
    readings: Mapping[Site, SiteReadings],
    blocks: list[Block],
    how: FoundOptions,
) -> dict[str, object]:
    """What a bank says of where it comes from."""
    emotions, languages = blocks[0].emotions, list(dict.fromkeys(b.language for b in blocks))
    talk = conversation_of(concepts.parts, languages)
    return {
        "subject": subject.name,
        "provenance": subject.provenance,
        "saes": [subject.readers[s].provenance() for s in readings],
        "d_sae": {str(s): subject.readers[s].d_sae for s in readings},
        "emotions": emotions,
        "languages": languages,
        "labels": {lang: {e: concepts.label(e, lang) for e in emotions} for lang in languages},
        "concepts_sha256": concepts.sha256,
        "concept_words": {lang: {e: list(concepts.words(e, lang)) for e in emotions} for lang in languages},
        **({"conversation": talk} if talk else {}),
        "stimuli": how.kind,
        "position": how.position,
        "skip": how.skip,
        "seed": how.seed,
        "selection": asdict(how.selection),
        "n_tested": sum(b.p[:, b.alive].size for b in blocks),
        "n_alive": {f"{b.site}|{b.language}": int(b.alive.sum()) for b in blocks},
        "versions": versions_of("torch", "transformer-lens", "sae-lens", "numpy", "scipy"),
        "python": platform.python_version(),
    }


def _corrected(blocks: list[Block]) -> list[np.ndarray]:
    """q of each block's features [emotion, feature], in one family over all that could have been found; 1 of the dead."""
    q, start, corrected = benjamini_hochberg(np.concatenate([b.p[:, b.alive].ravel() for b in blocks])), 0, []
    for block in blocks:
        block_q, size = np.ones_like(block.p), block.p[:, block.alive].size
        block_q[:, block.alive] = q[start : start + size].reshape(len(block_q), -1)
        corrected.append(block_q)
        start += size
    return corrected


def _rates(blocks: list[Block]) -> pd.DataFrame:
    """Every living feature of each layer and language: the share of discovery words it fires on, of texts it is active in."""
    parts = []
    for block in blocks:
        living = np.flatnonzero(block.alive)
        parts.append(
            pd.DataFrame(
                {
                    "layer": np.full(len(living), block.site.layer, dtype=np.int16),
                    "site": str(block.site),
                    "language": block.language,
                    "feature": living.astype(np.int32),
                    "rate": block.activity[living].astype(np.float32),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _long(readings: dict[Site, SiteReadings], features: pd.DataFrame) -> pd.DataFrame:
    """Per-unit activations of the selected and top features of each layer, in long form."""
    parts = []
    for site, reading in readings.items():
        assert reading.features is not None
        at_site = features[(features["site"] == str(site)) & (features["selected"] | features["top"])]
        values = by_rows(reading.features)
        picked = np.zeros(values.shape[1], dtype=bool)
        picked[at_site["feature"].to_numpy()] = True
        # only what stays is ever copied, some units at a time: the readings themselves may lie on disk
        for first in range(0, values.shape[0], _UNITS):
            ends = values.indptr[first : first + _UNITS + 1]
            places = ends[0] + np.flatnonzero(picked[values.indices[ends[0] : ends[-1]]])
            places = places[fires(values.data[places])]
            units, ids = first + np.searchsorted(ends, places, side="right") - 1, values.indices[places]
            order = np.lexsort((-ids, units))
            part = {
                "layer": np.full(len(places), site.layer, dtype=np.int16),
                "site": str(site),
                "unit": units[order].astype(np.int32),
                "feature": ids[order].astype(np.int32),
                "activation": values.data[places][order].astype(np.float32),
            }
            parts.append(pd.DataFrame(part))
        reading.rest()
    return pd.concat(parts, ignore_index=True)
