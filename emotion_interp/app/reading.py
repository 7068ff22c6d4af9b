"""What the page shows of a text and of a feature: the package's own views as plain values."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.activations import read_tokens
from emotion_interp.app.asked import MOST_DOSE, MOST_NEW_TOKENS, ReadFeature, ReadText, ReadToken
from emotion_interp.app.snippets import Origin, card_code, reading_code
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.languages import language_of
from emotion_interp.core.types import WRITABLE_KINDS
from emotion_interp.geometry.coordinates import human_coordinates
from emotion_interp.norms import load_norms
from emotion_interp.report import display_units, emotion_trace, feature_card
from emotion_interp.steering.positions import POSITIONS

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.subjects import Subject

MOST_FEATURES = 12
"""Features shown for one token."""


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
        self._last: tuple[str, Any] = ("", None)

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
        """A text's tokens and how strongly each emotion shows in them, at every site of the bank."""
        trace = emotion_trace(self.subject, asked.text, self.bank, language=asked.language)
        starts = np.cumsum([0, *map(len, trace.tokens)])[:-1]
        written = asked.generated_from
        return {
            "text": asked.text,
            "tokens": list(trace.tokens),
            "generated": [written is not None and int(s) >= written for s in starts],
            "steered": asked.steered,
            "sites": list(map(str, trace.sites)),
            "emotions": list(trace.emotions),
            "language": trace.language,
            "chosen_language": asked.language is not None,
            "values": [[[float(f"{v:.4g}") for v in row] for row in site] for site in trace.values.tolist()],
            "limit": float(np.abs(trace.values).max()) or 1.0,
            "python": {str(s): reading_code(self.origin, asked, str(s)) for s in trace.sites},
        }

    def token(self, asked: ReadToken) -> dict[str, object]:
        """The bank's features that fire at one token, the strongest first."""
        site = self.bank.site(asked.site)
        language = asked.language or language_of(asked.text, self.bank.languages)
        units, latents = self._latents(asked.text)
        if not 0 <= asked.token < len(units):
            raise EmotionInterpError(f"the text has {len(units)} tokens, counted from 0; got token {asked.token}.")
        strengths = latents[site][units[asked.token][2]].max(0)
        table: Any = self.bank.table(layer=site, language=language)
        table = table.assign(activation=strengths[table["feature"].to_numpy(dtype=np.int64)])
        table = table[table["activation"] > 0]
        rows = []
        for feature, own in table.groupby("feature", sort=False):
            chosen = own[own["selected"] | own["top"]]
            best = (chosen if len(chosen) else own).iloc[0]
            rows.append(
                {
                    "feature": int(feature),
                    "activation": float(best["activation"]),
                    "emotions": [str(e) for e in (chosen if len(chosen) else own)["emotion"]][:3],
                    "kept": bool(len(chosen)),
                    "auroc": float(best["auroc"]),
                }
            )
        rows.sort(key=lambda row: (not row["kept"], -row["activation"]))
        return {
            "token": asked.text[units[asked.token][0] : units[asked.token][1]],
            "site": str(site),
            "language": language,
            "n_firing": int((strengths > 0).sum()),
            "features": rows[:MOST_FEATURES],
        }

    def _latents(self, text: str) -> tuple[Any, dict[Any, np.ndarray]]:
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
