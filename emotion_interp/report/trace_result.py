"""What a trace of a text holds: values by layer, token and emotion, with their sentences, marks and views."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.core.arguments import checked_methods
from emotion_interp.core.errors import UnknownNameError
from emotion_interp.core.result import Result
from emotion_interp.core.types import Site, site_of
from emotion_interp.features.readout import KINDS, level_of
from emotion_interp.figures.trace import trace_heatmap, trace_layers
from emotion_interp.report.tokens import token_view
from emotion_interp.report.trace_parts import (
    ReadoutFacts,
    trust,
)
from emotion_interp.report.trace_view import ShownTrace, trace_body, trace_html, trace_page

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from emotion_interp.report.tokens import TokenView

_TITLE = "Emotions along the text"


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class EmotionTrace(Result):
    """Values [layer, token, emotion]; a token is a display unit, so characters split over tokens stay whole.

    1.0 is the spread of neutral tokens: 0 is no more than in neutral text (read-outs from words) or than emotions have on
    average (read-outs trained on texts). kind: of `values`; `beside` are those of the other kind. language: whose
    read-outs were used; detected: that of the text, None where it does not show. spans: characters of each token.
    sentences: (first, last + 1) token of each. marks: what each token is said to be ("generated", "steered", a speaker).
    unread [layer, token]: attention sinks, whose values are 0. levels [layer, length]: what the strongest emotion of
    neutral stretches of `readout.LENGTHS` tokens reaches in 19 of 20; mean_levels [length]: of the mean of the layers.
    facts: of each layer and kind. speakers: whose turn each token belongs to ("system", "user", "assistant"), where the
    text is a conversation.
    """

    text: str
    tokens: tuple[str, ...]
    emotions: tuple[str, ...]
    layers: tuple[int, ...]
    values: np.ndarray
    kind: str
    language: str = ""
    sites: tuple[Site, ...] = ()
    beside: np.ndarray | None = None
    detected: str | None = None
    spans: tuple[tuple[int, int], ...] = ()
    sentences: tuple[tuple[int, int], ...] = ()
    marks: tuple[tuple[str, ...], ...] = ()
    unread: np.ndarray | None = None
    levels: np.ndarray | None = None
    mean_levels: np.ndarray | None = None
    facts: tuple[ReadoutFacts, ...] = ()
    speakers: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Long table: layer (missing for a mean of layers), site, position, token, emotion, value, value_beside; speaker."""
        n_layers, n_tokens, n_emotions = self.values.shape
        layer, token, emotion = np.meshgrid(range(n_layers), range(n_tokens), range(n_emotions), indexing="ij")
        frame = pd.DataFrame(
            {
                "layer": np.asarray(self.layers or (np.nan,))[layer.ravel()],
                "site": np.asarray(list(map(str, self.sites)) or [""] * n_layers, dtype=object)[layer.ravel()],
                "position": token.ravel(),
                "token": np.asarray(self.tokens, dtype=object)[token.ravel()],
                **({"speaker": np.asarray(self.speakers, dtype=object)[token.ravel()]} if self.speakers else {}),
                "emotion": np.asarray(self.emotions, dtype=object)[emotion.ravel()],
                "value": self.values.ravel(),
            }
        )
        return frame if self.beside is None else frame.assign(value_beside=self.beside.ravel())

    @property
    def best_layer(self) -> int:
        """Place of the layer whose read-out was most often right on texts; the middle one where none was tried."""
        tried = [(f.top1, -i) for i, f in enumerate(self._facts(self.kind)) if f.readable is not None]
        return -max(tried)[1] if tried else len(self.layers) // 2

    def _facts(self, kind: str) -> list[ReadoutFacts]:
        return [f for f in self.facts if f.kind == kind]

    def at(self, layer: int | Site | str | None = None) -> EmotionTrace:
        """The trace of one layer alone; None: the mean over all layers, whose `layers` and `sites` are empty.

        Where not all layers of the read-outs are traced, the levels of the mean are the mean of theirs, more than it needs.

        Raises:
            UnknownNameError: not among the layers.
        """
        if layer is None:
            chosen, layers, sites = slice(None), (), ()
        else:
            known, wanted = (self.layers, layer) if isinstance(layer, int) else (self.sites, site_of(layer))
            if wanted not in known:
                raise UnknownNameError("layer", layer, known)
            place = list(known).index(wanted)
            chosen, layers, sites = (
                slice(place, place + 1),
                self.layers[place : place + 1],
                self.sites[place : place + 1],
            )
        held = {"values": self.values, "beside": self.beside, "levels": self.levels}
        means = {name: None if array is None else array[chosen].mean(0, keepdims=True) for name, array in held.items()}
        unread = None if self.unread is None else self.unread[chosen].all(0, keepdims=True)
        facts = tuple(f for f in self.facts if not sites or f.site == str(sites[0]))
        if layer is None and self.mean_levels is not None:
            means["levels"] = self.mean_levels[None]
        return replace(self, layers=layers, sites=sites, unread=unread, facts=facts, mean_levels=None, **means)

    def sentence_values(self, beside: bool = False) -> np.ndarray:
        """Mean over the tokens of each sentence that were read [layer, sentence, emotion]; `beside`: of the other kind."""
        values = self.beside if beside and self.beside is not None else self.values
        read = np.ones(values.shape[:2], dtype=bool) if self.unread is None else ~self.unread
        parts = []
        for first, stop in self.sentences or ((0, len(self.tokens)),):
            count = np.maximum(read[:, first:stop].sum(1), 1)[:, None]
            parts.append((values[:, first:stop] * read[:, first:stop, None]).sum(1) / count)
        return np.stack(parts, axis=1)

    def by_token(self, layer: int | Site | str | None = None) -> pd.DataFrame:
        """Per token at one layer, or by the mean over all: the strongest emotion, its value, whether it is named.

        `named` is False where the strongest emotion of one neutral token in 20 is as high; beside: the strongest of the
        other kind.
        """
        shown = self.at(layer)
        rows = shown._strongest(shown.values[0], shown.token_levels()[0])
        rows = {"position": range(len(self.tokens)), "token": self.tokens, **rows}
        if shown.beside is not None:
            rows["beside"] = [self.emotions[j] for j in shown.beside[0].argmax(1)]
        return pd.DataFrame(rows)

    def by_sentence(self, layer: int | Site | str | None = None) -> pd.DataFrame:
        """Per sentence at one layer, or by the mean over all: the strongest emotion, the next two, and the other kind's."""
        shown = self.at(layer)
        values = shown.sentence_values()[0]
        order = np.argsort(-values, axis=1)
        rows: dict[str, object] = {"sentence": [self.sentence(n) for n in range(len(values))]}
        rows |= shown._strongest(values, shown.sentence_levels()[0])
        rows["next"] = [", ".join(self.emotions[j] for j in row[1:3]) for row in order]
        if shown.beside is not None:
            rows["beside"] = [self.emotions[j] for j in shown.sentence_values(beside=True)[0].argmax(1)]
        return pd.DataFrame(rows)

    def sentence(self, number: int) -> str:
        """The text of a sentence."""
        if not self.sentences or not self.spans:
            return self.text
        first, stop = self.sentences[number]
        return self.text[self.spans[first][0] : self.spans[stop - 1][1]].strip()

    def token_levels(self) -> np.ndarray:
        """What a token's strongest emotion must exceed to be named [layer]."""
        return np.zeros(len(self.values)) if self.levels is None else self.levels[:, 0]

    def sentence_levels(self) -> np.ndarray:
        """What a sentence's strongest emotion must exceed to be named, by its length [layer, sentence]."""
        ranges = self.sentences or ((0, len(self.tokens)),)
        if self.levels is None:
            return np.zeros((len(self.values), len(ranges)))
        return np.asarray([[level_of(row, stop - first) for first, stop in ranges] for row in self.levels])

    def _strongest(self, values: np.ndarray, level: np.ndarray) -> dict[str, object]:
        best = values.argmax(1)
        value = values[np.arange(len(values)), best]
        named = value > level
        return {"emotion": [self.emotions[j] for j in best], "value": value, "named": named}

    def by_layer(self) -> pd.DataFrame:
        """Per layer: the strongest emotion of the whole text, its value, and how often the read-out was right on texts."""
        whole = replace(self, sentences=((0, len(self.tokens)),))
        values, facts = whole.sentence_values()[:, 0], self._facts(self.kind) or [None] * len(self.layers)
        rows = {"layer": self.layers, "site": list(map(str, self.sites)) or [""] * len(self.layers)}
        rows |= self._strongest(values, whole.sentence_levels()[:, 0])
        return pd.DataFrame(rows).assign(top1=[np.nan if f is None else f.top1 for f in facts])

    def readouts(self) -> pd.DataFrame:
        """Per layer and kind: what was read with, and how often that was right on texts not read in training."""
        return pd.DataFrame([vars(f) for f in self.facts])

    @property
    def note(self) -> str:
        """In one line: whose read-outs read the text."""
        if not self.language:
            return ""
        if self.detected is None:
            return f"Language not detected; read with the {self.language} read-outs."
        return f"Language: {self.detected}, read with the {self.language} read-outs."

    def view(self, layer: int | Site | str | None = None, title: str = "") -> TokenView:
        """Coloured tokens at one layer, or by the mean over all, the emotion selectable; works without a network."""
        shown = self.at(layer)
        where = shown.layers[0] if shown.layers else None
        view = token_view(list(self.tokens), shown.values[0], list(self.emotions), layer=where, title=title)
        return replace(view, speakers=self.speakers)

    def plot(self, layer: int | Site | str | None = None) -> go.Figure:
        """Map of emotions by tokens: at one layer, or with a slider over all layers, which opens on their mean."""
        columns = ["layer", "position", "token", "emotion", "value", *(["speaker"] if self.speakers else [])]
        if layer is None and len(self.layers) > 1:
            places = [
                self.at(site or at)
                for at, site in zip(self.layers, self.sites or (None,) * len(self.layers), strict=True)
            ]
            names = self._layer_names()
            parts = [shown.to_frame() for shown in (*places, self.at())]
            return trace_layers(
                pd.concat([part.assign(layer=name)[columns] for part, name in zip(parts, names, strict=True)]),
                start=len(self.layers),
                title=_TITLE,
            )
        shown = self if layer is None else self.at(layer)
        return trace_heatmap(shown.to_frame()[columns[1:]], title=f"{_TITLE}: {self._name_of(shown)}")

    def _name_of(self, shown: EmotionTrace) -> str:
        """What one layer of this trace, or the mean of all, is called."""
        if not shown.layers:
            return "all layers"
        return self._layer_names()[list(self.sites or self.layers).index((shown.sites or shown.layers)[0])]

    def _layer_names(self) -> list[str]:
        """What the layers are called, and their mean where there are several."""
        apart = len(set(self.layers)) == len(self.layers)
        names = [f"layer {x}" for x in self.layers] if apart else list(map(str, self.sites))
        return [*names, *(["all layers"] if len(names) > 1 else [])]

    def save(self, path: str | Path, layer: int | Site | str | None = None) -> Path:
        """Write the view as a page of its own, opened at a layer or on the mean of all. `EmotionInterpError` if it cannot be written."""
        start = 0 if len(self.layers) == 1 else len(self.layers)
        if layer is not None:
            start = list(self.sites or self.layers).index((self.at(layer).sites or self.at(layer).layers)[0])
        trace_page(self._shown(start), path)
        return Path(path)

    def _shown(self, start: int) -> ShownTrace:
        """What the view shows: each layer, and after them their mean."""
        parts = [self] if len(self.layers) < 2 else [self, self.at()]
        kinds = [self.kind] if self.beside is None else [self.kind, next(k for k in KINDS if k != self.kind)]
        both = [[part.values, part.beside][: len(kinds)] for part in parts]
        spoken = [[part.sentence_values(), part.sentence_values(beside=True)][: len(kinds)] for part in parts]
        names = self._layer_names()
        summed = [trust(self._facts(k)) for k in kinds][: len(kinds)]
        return ShownTrace(
            self.note,
            self.tokens,
            self.marks or ((),) * len(self.tokens),
            self.sentences or ((0, len(self.tokens)),),
            self.emotions,
            tuple(names),
            start,
            {k: np.concatenate([part[i] for part in both]) for i, k in enumerate(kinds)},
            {k: np.concatenate([part[i] for part in spoken]) for i, k in enumerate(kinds)},
            np.concatenate([part.token_levels() for part in parts]),
            np.concatenate([part.sentence_levels() for part in parts]),
            {
                k: (*(f.line for f in self._facts(k)), *([summed[i]] if len(parts) > 1 else []))
                for i, k in enumerate(kinds)
            },
            self.speakers,
        )

    @property
    def html(self) -> str:
        """A fragment opened at the best layer, for a page that holds `trace_view.STYLE` and `.RUNTIME`; safe for any text."""
        return trace_body(self._shown(self.best_layer))

    def _repr_html_(self) -> str:
        return trace_html(self._shown(0 if len(self.layers) < 2 else len(self.layers)))

    def __repr__(self) -> str:
        return f"EmotionTrace({self.text[:40]!r}, {len(self.tokens)} tokens, {len(self.emotions)} emotions, layers {list(self.layers)})"


# Long: what may be asked is checked before anything is read.
