"""Every emotion at every token of a text, at every layer: read by sets of features, the dense read-out beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from emotion_interp.activations import read_tokens
from emotion_interp.activations.reading import SINK_FACTOR
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.languages import detect_language, language_of
from emotion_interp.core.messages import checked_messages
from emotion_interp.core.sentences import sentence_ranges
from emotion_interp.core.types import Site
from emotion_interp.features.readings import emotion_readouts
from emotion_interp.features.readout import KINDS
from emotion_interp.features.text_states import logged
from emotion_interp.report.tokens import display_units
from emotion_interp.report.trace_parts import (
    by_speaker,
    check_marks,
    readout_facts,
    within,
)
from emotion_interp.report.trace_result import EmotionTrace as EmotionTrace

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.features.readout import Readout
    from emotion_interp.subjects import Subject


# Long: the arrays of both kinds, the levels and the marks are gathered once and handed to one frozen result.
@checked
def emotion_trace(
    subject: Subject,
    text: str | Sequence[Mapping[str, object]],
    bank: FeatureBank,
    *,
    layers: Sequence[int | Site | str] | None = None,
    language: str | None = None,
    kind: Literal["features", "dense"] = "features",
    marks: Mapping[str, Sequence[tuple[int, int]]] | None = None,
) -> EmotionTrace:
    """Trace every emotion over the tokens of a text or a conversation (generated text too: pass what came out).

    Read with the bank's read-outs (`train_readings`), else with ones made from its words: linear read-outs, calibrated on
    neutral text of the language. Those made from words read features by the mean of two scores: what the words say of the
    features that the bank keeps, and the 16 an emotion whose decoder rows lie most along its direction. The first call of
    a bank without read-outs reads the neutral texts, too.

    Args:
        subject: the bank's subject.
        text: any text of at least one token; or messages ({"role": ..., "content": ...}), as the model's chat template
            writes them.
        bank: found with `find_features`.
        layers: layers, sites or names of sites; default: all of the bank's.
        language: whose read-outs; default: the text's own, where it shows and the bank has it.
        kind: what `values` are: "features" (sets of features) or "dense" (the whole stream); the other stands beside.
        marks: what stretches of the text are: name -> (start, end) in characters, as in {"generated": [(14, 80)]}.

    Raises:
        UnsupportedError: messages, and the model has no chat template or one that refuses them.
        EmotionInterpError: an empty text, a bank of another subject, a text whose language does not show, or a mark beyond
            the text.

    Example:
        >>> emotion_trace(subject, "She opened the letter and wept.", bank).by_sentence()  # doctest: +SKIP
    """
    words = text if isinstance(text, str) else "\n".join(content for _, content in checked_messages(text))
    if not words.strip():
        raise EmotionInterpError("the text is empty; give at least one word.")
    text = text if isinstance(text, str) else subject.rendered(text)
    if kind not in KINDS:
        raise UnknownNameError("trace kind", kind, KINDS)
    require_same_subject(bank, subject)
    language = language or language_of(words, bank.languages)
    sites = [bank.site(layer) for layer in (bank.layers if layers is None else layers)]
    if subject.tokenize_quietly([text])[0].cut_at is not None:
        raise EmotionInterpError(f"the text has more tokens than the context of {subject.context}; trace it in parts.")
    check_marks(marks or {}, text)
    readouts = emotion_readouts(subject, bank, sites, language)
    readings = read_tokens(subject, text, sites)
    units = display_units(text, list(readings.offsets))
    emotions = tuple(e for e in bank.emotions if all(e in r.emotions for r in readouts.values()))
    both = {k: np.zeros((len(sites), len(units), len(emotions))) for k in KINDS}
    unread = np.zeros((len(sites), len(units)), dtype=bool)
    for i, site in enumerate(sites):
        dense = readings.dense[site].numpy().astype(np.float64) / bank.scales[site]
        latents = logged(readings.latents[site].numpy())
        sink = np.linalg.norm(dense, axis=1) > SINK_FACTOR
        for name in KINDS:
            readout = readouts[site, name]
            values = readout.values(dense, latents)[:, [readout.emotions.index(e) for e in emotions]]
            values[sink] = 0.0
            both[name][i] = np.stack([values[members].mean(0) for _, _, members in units])
        unread[i] = [bool(sink[members].all()) for _, _, members in units]
    other = next(k for k in KINDS if k != kind)
    spans = tuple((start, end) for start, end, _ in units)
    speakers = tuple(readings.speakers[members[0]] for _, _, members in units) if readings.speakers else ()
    return EmotionTrace(
        text,
        tuple(text[start:end] for start, end in spans),
        emotions,
        tuple(site.layer for site in sites),
        both[kind],
        kind,
        language,
        tuple(sites),
        beside=both[other],
        detected=detect_language(words),
        spans=spans,
        sentences=by_speaker(sentence_ranges(text, spans), speakers),
        marks=tuple(tuple(m for m, places in (marks or {}).items() if within(span, places)) for span in spans),
        unread=unread,
        levels=np.stack([readouts[site, kind].levels for site in sites]),
        mean_levels=readouts[sites[0], kind].mean_levels if set(sites) == set(bank.sites) else None,
        speakers=speakers,
        facts=tuple(readout_facts(r) for name in KINDS for r in _of(readouts, sites, name)),
    )


def _of(readouts: Mapping[tuple[Site, str], Readout], sites: Sequence[Site], kind: str) -> list[Readout]:
    return [readouts[site, kind] for site in sites]
