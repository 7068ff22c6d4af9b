"""What the page shows of a text and of a feature: the package's own views as plain values."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.activations import read_tokens
from emotion_interp.app.asked import MOST_DOSE, MOST_NEW_TOKENS, ReadFeature, ReadText, ReadToken
from emotion_interp.app.snippets import Origin, card_code, reading_code
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.languages import language_of
from emotion_interp.core.types import WRITABLE_KINDS, Site
from emotion_interp.features.readings import emotion_readouts
from emotion_interp.features.readout import KINDS
from emotion_interp.features.text_states import logged
from emotion_interp.geometry.coordinates import human_coordinates
from emotion_interp.norms import load_norms
from emotion_interp.report import display_units, emotion_trace, feature_card
from emotion_interp.steering.positions import POSITIONS

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.subjects import Subject

MOST_FEATURES = 8
"""Features of one token that are shown in each list."""
FULL_COLOUR = 0.995
"""The share of all values that lie below the one with the full colour, as in the view of a trace."""


class Reader:
    """Answers the page's questions about a subject and its bank.

    Args:
        subject: the model.
        bank: its bank.
        origin: where both came from.
    """

    def __init__(self, subject: Subject, bank: FeatureBank, origin: Origin) -> None:
        self.subject, self.bank, self.origin = subject, bank, origin
        self._lock = threading.Lock()
        # clicks go from token to token of one text
        self._last: tuple[str, tuple[list[tuple[int, int, list[int]]], dict[Site, np.ndarray]]] = ("", ([], {}))

    def facts(self) -> dict[str, object]:
        """What the page starts with."""
        bank, subject = self.bank, self.subject
        return {
            "subject": subject.name,
            "about": f"{subject.n_layers} layers of {subject.d_model} dimensions, {len(subject.readers)} SAEs; "
            f"a bank of {len(bank.emotions)} emotions",
            "context": subject.context,
            "sites": [
                {"name": str(s), "layer": s.layer, "kind": s.kind, "writable": s.kind in WRITABLE_KINDS}
                for s in bank.sites
            ],
            "first_site": len(bank.sites) // 2,
            "emotions": bank.emotions,
            "languages": bank.languages,
            "methods": [m for m in bank.methods if m != "embedding"],
            "positions": list(POSITIONS),
            "most_new_tokens": MOST_NEW_TOKENS,
            "most_dose": MOST_DOSE,
            "plane": self._plane(),
        }

    def _plane(self) -> list[dict[str, object]]:
        """The emotions where people put them, in standard deviations; none where too few have ratings."""
        try:
            human = human_coordinates(self.bank.emotions, load_norms("builtin"))
        except EmotionInterpError:
            return []
        if human.arousal is None:
            return []
        return [
            {"emotion": emotion, "valence": round(float(v), 3), "arousal": round(float(a), 3)}
            for emotion, (v, a) in zip(human.emotions, human.z, strict=True)
        ]

    def text(self, asked: ReadText) -> dict[str, object]:
        """A text's tokens and sentences and how strongly each emotion shows in them, at every site of the bank."""
        trace = emotion_trace(self.subject, asked.text, self.bank, language=asked.language, marks=asked.marks)
        values = {trace.kind: (trace.values, trace.sentence_values())}
        if trace.beside is not None:
            values[next(k for k in KINDS if k != trace.kind)] = (trace.beside, trace.sentence_values(beside=True))
        return {
            "text": asked.text,
            "tokens": list(trace.tokens),
            "marks": [list(marks) for marks in trace.marks],
            "sentences": [list(ends) for ends in trace.sentences],
            "sites": list(map(str, trace.sites)),
            "best": trace.best_layer,
            "emotions": list(trace.emotions),
            "language": trace.language,
            "note": trace.note,
            "kind": trace.kind,
            "values": {kind: _short(tokens) for kind, (tokens, _) in values.items()},
            "sentence_values": {kind: _short(sentences) for kind, (_, sentences) in values.items()},
            "token_levels": _short(trace.token_levels()),
            "sentence_levels": _short(trace.sentence_levels()),
            "facts": {kind: [f.line for f in trace.facts if f.kind == kind] for kind in values},
            "limit": max(float(np.quantile(trace.values, FULL_COLOUR)), 1e-6),
            "python": {str(s): reading_code(self.origin, asked, str(s)) for s in trace.sites},
        }

    def token(self, asked: ReadToken) -> dict[str, object]:
        """The features that fire at one token: those that the read-out of an emotion hears, and those of the bank."""
        site = self.bank.site(asked.site)
        language = asked.language or language_of(asked.text, self.bank.languages)
        units, latents = self._latents(asked.text)
        if not 0 <= asked.token < len(units):
            raise EmotionInterpError(f"the text has {len(units)} tokens, counted from 0; got token {asked.token}.")
        start, end, members = units[asked.token]
        activations = latents[site][members].max(0)
        known = self._known(site, language, activations)
        return {
            "token": asked.text[start:end],
            "site": str(site),
            "language": language,
            "n_firing": int((activations > 0).sum()),
            "heard": self._heard(site, language, asked.emotion, logged(latents[site][members]).mean(0), activations),
            "kept": [row for row in known if row["kept"]][:MOST_FEATURES],
            "others": [row for row in known if not row["kept"]][:MOST_FEATURES],
        }

    def _heard(
        self, site: Site, language: str, emotion: str | None, states: np.ndarray, activations: np.ndarray
    ) -> list[dict[str, object]]:
        """What firing features add to the value of an emotion, the largest first."""
        readout = emotion_readouts(self.subject, self.bank, [site], language)[site, "features"]
        if emotion is None or emotion not in readout.emotions:
            return []
        adds = readout.weights[readout.emotions.index(emotion)] * states[readout.features]
        order = np.argsort(-np.abs(adds), kind="stable")[:MOST_FEATURES]
        scored = set(self.bank.table(layer=site)["feature"])
        return [
            {
                "feature": int(f),
                "adds": float(adds[i]),
                "activation": float(activations[f]),
                "has_card": int(f) in scored,
            }
            for i, f in ((i, readout.features[i]) for i in order)
            if adds[i] != 0.0
        ]

    def _known(self, site: Site, language: str, activations: np.ndarray) -> list[dict[str, object]]:
        """The bank's features that fire, the strongest first, each with the emotions that it was kept for or scored best for."""
        table = self.bank.table(layer=site, language=language)
        table = table.assign(activation=activations[table["feature"].to_numpy(dtype=np.int64)])
        rows = []
        for feature, own in (
            table[table["activation"] > 0].sort_values("activation", ascending=False).groupby("feature", sort=False)
        ):
            chosen = own[own["selected"] | own["top"]]
            shown = chosen if len(chosen) else own.sort_values("auroc", ascending=False)
            rows.append(
                {
                    "feature": int(feature),
                    "activation": float(shown["activation"].iloc[0]),
                    "emotions": shown["emotion"].tolist()[:3],
                    "kept": bool(len(chosen)),
                    "has_card": True,
                }
            )
        return rows

    def _latents(self, text: str) -> tuple[list[tuple[int, int, list[int]]], dict[Site, np.ndarray]]:
        """Display units of a text, and [token, feature] at every site."""
        if not text.strip():
            raise EmotionInterpError("the text is empty; give at least one word.")
        with self._lock:
            if self._last[0] != text:
                readings = read_tokens(self.subject, text, self.bank.sites)
                latents = {site: values.numpy() for site, values in readings.latents.items()}
                self._last = text, (display_units(text, list(readings.offsets)), latents)
            return self._last[1]

    def card(self, asked: ReadFeature) -> dict[str, object]:
        """A feature's card as a safe fragment of HTML."""
        card = feature_card(self.bank, asked.site, asked.feature)
        return {"html": str(card.html), "python": card_code(self.origin, asked)}


def _short(values: np.ndarray | None) -> list[float]:
    """Numbers for the page, to two places."""
    return [] if values is None else np.round(np.asarray(values, dtype=np.float64), 2).tolist()
