"""Every emotion's strength at every token of a text, at every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from emotion_interp.activations import read_tokens
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.core.arguments import checked, checked_methods
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.languages import language_of
from emotion_interp.core.messages import checked_messages
from emotion_interp.core.types import Site, site_of
from emotion_interp.figures import trace_heatmap
from emotion_interp.report.tokens import display_units, token_view

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.report.tokens import TokenView
    from emotion_interp.subjects import Subject


@checked_methods
@dataclass(frozen=True, eq=False)
class EmotionTrace:
    """Strengths [layer, token, emotion]; a token is a display unit, so characters split over tokens stay whole.

    1.0 means: as strong as on the emotion's own words in the bank (features), or a projection
    of one site scale (dense). `language` is the one whose features were used: given, or that of the text. `speakers` says
    whose turn each token belongs to ("system", "user", "assistant"), where the text is a conversation.
    """

    text: str
    tokens: tuple[str, ...]
    emotions: tuple[str, ...]
    layers: tuple[int, ...]
    values: np.ndarray
    kind: str
    language: str = ""
    sites: tuple[Site, ...] = ()
    speakers: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Long table: layer, site, position, token, emotion, value; of a conversation also speaker."""
        n_layers, n_tokens, n_emotions = self.values.shape
        layer, token, emotion = np.meshgrid(range(n_layers), range(n_tokens), range(n_emotions), indexing="ij")
        return pd.DataFrame(
            {
                "layer": np.asarray(self.layers)[layer.ravel()],
                "site": np.asarray(list(map(str, self.sites)) or [""] * n_layers, dtype=object)[layer.ravel()],
                "position": token.ravel(),
                "token": np.asarray(self.tokens, dtype=object)[token.ravel()],
                **({"speaker": np.asarray(self.speakers, dtype=object)[token.ravel()]} if self.speakers else {}),
                "emotion": np.asarray(self.emotions, dtype=object)[emotion.ravel()],
                "value": self.values.ravel(),
            }
        )

    def _layer(self, layer: int | Site | str | None) -> int:
        if layer is None:
            return len(self.layers) // 2
        known, wanted = (self.layers, layer) if isinstance(layer, int) else (self.sites, site_of(layer))
        if wanted not in known:
            raise UnknownNameError("layer", layer, known)
        return list(known).index(wanted)

    def view(self, layer: int | Site | str | None = None, title: str = "") -> TokenView:
        """Coloured tokens at one layer, the emotion selectable; works without a network."""
        index = self._layer(layer)
        view = token_view(
            list(self.tokens), self.values[index], list(self.emotions), layer=self.layers[index], title=title
        )
        return replace(view, speakers=self.speakers)

    def plot(self, layer: int | Site | str | None = None) -> Any:
        """Heat map of token x emotion at one layer."""
        one = self._layer(layer)
        own = replace(self, layers=self.layers[one : one + 1], values=self.values[one : one + 1], sites=())
        return trace_heatmap(own.to_frame().drop(columns=["layer", "site"]))

    def save(self, path: str | Path, layer: int | Site | str | None = None) -> Path:
        """Write the token view as a page of its own."""
        self.view(layer).save(path)
        return Path(path)

    def _repr_html_(self) -> str:
        return self.view()._repr_html_()

    def __repr__(self) -> str:
        return f"EmotionTrace({self.text[:40]!r}, {len(self.tokens)} tokens, {len(self.emotions)} emotions, layers {list(self.layers)})"


@checked
def emotion_trace(
    subject: Subject,
    text: str | Sequence[Mapping[str, Any]],
    bank: FeatureBank,
    *,
    layers: Sequence[int | Site | str] | None = None,
    language: str | None = None,
    kind: Literal["features", "dense"] = "features",
) -> EmotionTrace:
    """Trace every emotion over the tokens of a text or a conversation (generated text too: pass what came out).

    Args:
        subject: the bank's subject.
        text: any text of at least one token; or messages ({"role": ..., "content": ...}), as the model's chat template
            writes them.
        bank: found with `find_features`.
        layers: layers, sites or names of sites; default: all of the bank's.
        language: whose features; default: the text's own, where it shows and the bank has it.
        kind: "features" (mean over the emotion's selected features of activation / mean activation on its words) or
            "dense" (projection on the difference-of-means direction, in units of the site's scale).

    Raises:
        UnsupportedError: messages, and the model has no chat template or one that refuses them.
        EmotionInterpError: an empty text, a bank of another subject, or a text whose language does not show.

    Example:
        >>> emotion_trace(subject, "She opened the letter and wept.", bank)  # doctest: +SKIP
    """
    words = text if isinstance(text, str) else "\n".join(content for _, content in checked_messages(text))
    if not words.strip():
        raise EmotionInterpError("the text is empty; give at least one word.")
    text = text if isinstance(text, str) else subject.rendered(text)
    if kind not in ("features", "dense"):
        raise UnknownNameError("trace kind", kind, ("features", "dense"))
    require_same_subject(bank, subject)
    language = language or language_of(words, bank.languages)
    sites = [bank.site(layer) for layer in (bank.layers if layers is None else layers)]
    if subject.tokenize_quietly([text])[0].cut_at is not None:
        raise EmotionInterpError(f"the text has more tokens than the context of {subject.context}; trace it in parts.")
    readings = read_tokens(subject, text, sites)
    units = display_units(text, list(readings.offsets))
    values = np.zeros((len(sites), len(units), len(bank.emotions)))
    for i, site in enumerate(sites):
        if kind == "features":
            strengths = _feature_strengths(bank, site, language, readings.latents[site].numpy())
        else:
            strengths = _dense_strengths(bank, site, language, readings.dense[site].numpy())
        for j, (_, _, members) in enumerate(units):
            values[i, j] = strengths[members].max(0) if kind == "features" else strengths[members].mean(0)
    tokens = tuple(text[start:end] for start, end, _ in units)
    speakers = tuple(readings.speakers[members[0]] for _, _, members in units) if readings.speakers else ()
    layers_of = tuple(site.layer for site in sites)
    known = (kind, language, tuple(sites), speakers)
    return EmotionTrace(text, tokens, tuple(bank.emotions), layers_of, values, *known)


def _feature_strengths(bank: FeatureBank, site: Any, language: str, latents: np.ndarray) -> np.ndarray:
    """[token, emotion]; where nothing was selected, the emotion's fixed top feature stands in."""
    table: Any = bank.table(layer=site, language=language)
    table = table[table["mean_activation"] > 0]
    result = np.zeros((len(latents), len(bank.emotions)))
    for i, emotion in enumerate(bank.emotions):
        own = table[table["emotion"] == emotion]
        rows = own[own["selected"]] if own["selected"].any() else own[own["top"]]
        if len(rows):
            ratio = latents[:, rows["feature"].to_numpy()] / rows["mean_activation"].to_numpy()[None, :]
            result[:, i] = ratio.mean(1)
    return result


def _dense_strengths(bank: FeatureBank, site: Any, language: str, dense: np.ndarray) -> np.ndarray:
    """Projection of each token's activation on the emotion's direction over the site's scale: [token, emotion]."""
    vectors = bank.directions[site, language, "dense"].astype(np.float64)
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return (dense.astype(np.float64) @ units.T) / bank.scales[site]
