"""The token view: a text whose tokens are coloured by how strongly an emotion shows in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emotion_interp.core import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.core.files import write_text
from emotion_interp.core.markup import escaped, named
from emotion_interp.core.spelling import clings
from emotion_interp.figures import trace_heatmap
from emotion_interp.report.assets import circuitsvis_bundle, script_json

if TYPE_CHECKING:
    import plotly.graph_objects as go

# light enough that CircuitsVis keeps black text on them, so contrast stays above 7:1; orange and blue are told apart
# in every common colour-blindness
POSITIVE, NEGATIVE = (107, 174, 214), (253, 174, 97)

STYLE = """
.ei-token-view { margin: 0 0 1rem; font: 15px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif; color: #1f2933; }
.ei-token-view .ei-turns { font-size: 13px; color: #52606d; margin: 4px 0; padding-left: 1.4em; }
.ei-token-view label { font-size: 14px; }
.ei-token-view select { font: inherit; max-width: 100%; padding: 2px 4px; }
.ei-token-view .ei-scale { font-size: 13px; color: #52606d; margin: 4px 0 8px; }
.ei-token-view .ei-swatch { display: inline-block; width: 90px; height: 10px; border: 1px solid #cbd2d9; vertical-align: middle; }
.ei-token-view .ei-tokens { overflow-wrap: anywhere; line-height: 1.9; background: #fff; }
.ei-token-view .ei-tokens span { white-space: pre-wrap; }
"""

# Views wait in the page until the bundle is there, in whichever order a notebook runs its outputs.
RUNTIME = """
(() => {
  const shown = window.emotionInterpTokens || (window.emotionInterpTokens = { count: 0 });
  shown.mount = () => {
    if (!window.CircuitsVis) return;
    for (const view of document.querySelectorAll(".ei-token-view:not([data-mounted])")) {
      view.dataset.mounted = "yes";
      const data = JSON.parse(view.querySelector("script[type='application/json']").textContent);
      const select = view.querySelector("select");
      const draw = () => {
        const place = document.createElement("div");
        place.id = `ei-tokens-${shown.count++}`;
        view.querySelector(".ei-tokens").replaceChildren(place);
        CircuitsVis.render(place.id, CircuitsVis.ColoredTokens, {
          tokens: data.tokens, values: data.values.map((row) => row[select.selectedIndex]),
          minValue: -data.limit, maxValue: data.limit,
          negativeColor: data.negative, positiveColor: data.positive, paddingBottom: 4,
        });
      };
      select.addEventListener("change", draw);
      view.querySelector(".ei-choice").hidden = false;
      view.querySelector(".ei-static").hidden = true;
      draw();
    }
  };
  shown.mount();
})();
"""

_bundle_shown = False


@dataclass(frozen=True, eq=False)
class TokenView:
    """A coloured text; `.html` is a fragment for a page that holds the bundle, `.save` writes a page of its own.

    In a notebook the first view of a kernel brings the bundle (1.3 MB) and the later ones use it. Where the bundle is
    missing (a static viewer, or the first cell's output was cleared and the page reloaded) the text stays coloured by
    its strongest emotion, without the choice of another.
    """

    tokens: tuple[str, ...]
    values: np.ndarray
    emotions: tuple[str, ...]
    layer: int | None = None
    title: str = ""
    speakers: tuple[str, ...] = ()

    @property
    def limit(self) -> float:
        """The largest |value|, where the colour is full; one scale for all emotions, so that they compare."""
        return float(np.abs(self.values).max()) or 1.0

    @property
    def strongest(self) -> int:
        """Index of the emotion with the highest mean over the text."""
        return int(self.values.mean(axis=0).argmax())

    @property
    def html(self) -> str:
        """An HTML fragment without the bundle; safe for any token text."""
        limit, first = self.limit, self.strongest
        data = {
            "tokens": [_inert(visible(token)) for token in self.tokens],
            "values": [[float(f"{v:.4g}") for v in row] for row in self.values.tolist()],
            "limit": float(f"{limit:.4g}"),
            "positive": _rgb(POSITIVE, 1.0),
            "negative": _rgb(NEGATIVE, 1.0),
        }
        options = "".join(
            f"<option{' selected' if i == first else ''}>{escaped(emotion)}</option>"
            for i, emotion in enumerate(self.emotions)
        )
        spans = "".join(
            _span(token, value, limit) for token, value in zip(self.tokens, self.values[:, first], strict=True)
        )
        where = "" if self.layer is None else f"layer {self.layer}"
        heading = escaped(" · ".join(part for part in (self.title, where) if part))
        low = -limit if (self.values < 0).any() else 0.0
        ends = f"{_rgb(NEGATIVE, 1.0)}, #fff, " if low < 0 else "#fff, "
        name = escaped(self.emotions[first])
        return (
            f'<div class="ei-token-view">'
            f'<script type="application/json">{script_json(data)}</script>'
            f"{f'<p><strong>{heading}</strong></p>' if heading else ''}{turns_html(self.tokens, self.speakers)}"
            f'<label class="ei-choice" hidden>Emotion: <select autocomplete="off">{options}</select></label>'
            f'<span class="ei-static">Coloured by: {name}</span>'
            f'<div class="ei-scale">{low:.3g} <span class="ei-swatch" style="background:linear-gradient(to right, '
            f'{ends}{_rgb(POSITIVE, 1.0)})"></span> {limit:.3g} (one scale for all emotions)</div>'
            f'<div class="ei-tokens">{spans}</div></div>'
        )

    def _repr_html_(self) -> str:
        global _bundle_shown
        bundle = "" if _bundle_shown else f"<script>{circuitsvis_bundle()}</script>"
        _bundle_shown = True
        return f"<style>{STYLE}</style>{self.html}{bundle}<script>{RUNTIME}</script>"

    def save(self, path: str | Path) -> Path:
        """Write one self-contained page; returns its path. `EmotionInterpError` if it cannot be written."""
        title = escaped(self.title or "Emotions along the text")
        write_text(
            path,
            f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f"<title>{title}</title><style>body {{ margin: 1rem; }} {STYLE}</style></head><body>{self.html}"
            f"<script>{circuitsvis_bundle()}</script><script>{RUNTIME}</script></body></html>\n",
        )
        return Path(path)

    def to_frame(self) -> pd.DataFrame:
        """Columns `position, token, emotion, value`."""
        n_tokens, n_emotions = self.values.shape
        return pd.DataFrame(
            {
                "position": np.repeat(np.arange(n_tokens), n_emotions),
                "token": np.repeat(np.array(self.tokens, dtype=object), n_emotions),
                "emotion": np.tile(np.array(self.emotions, dtype=object), n_tokens),
                "value": self.values.ravel(),
            }
        )

    def plot(self) -> go.Figure:
        """The same as a heat map, emotions by tokens."""
        where = "" if self.layer is None else f": layer {self.layer}"
        return trace_heatmap(self.to_frame(), title=f"{self.title or 'Emotions along the text'}{where}")


POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
"""Content-Security-Policy of every page: the browser itself refuses any request over the network."""


def token_view(
    tokens: Sequence[str], values: Any, emotions: Sequence[str], layer: int | None = None, title: str = ""
) -> TokenView:
    """Colour each token by the strength of an emotion that the reader chooses.

    Byte-level tokens that split one character should be merged first, with `merge_bytes`.

    Args:
        tokens: the text's tokens as they read [token].
        values: strengths [token, emotion], array or tensor, in the unit of the trace.
        emotions: names [emotion].
        layer: shown above the text.
        title: shown above the text.

    Raises:
        EmotionInterpError: no tokens or emotions, or `values` of another shape.
        NotFiniteError: NaN or infinite strengths (leave out BOS and padding).

    Example:
        >>> view = token_view(["She", " wept"], [[0.1, 0.0], [0.2, 1.5]], ["joy", "sadness"], layer=3)
        >>> view.emotions[view.strongest]
        'sadness'
    """
    if hasattr(values, "detach"):
        values = values.detach().to("cpu").double().numpy()
    array = np.array(values, dtype=np.float64)
    # half a surrogate pair (a cut emoji) cannot be written as UTF-8
    tokens = tuple(str(token).encode("utf-16", "surrogatepass").decode("utf-16", "replace") for token in tokens)
    emotions = tuple(map(str, emotions))
    if not tokens or not emotions:
        raise EmotionInterpError(f"a token view needs tokens and emotions, got {len(tokens)} and {len(emotions)}.")
    if array.shape != (len(tokens), len(emotions)):
        raise EmotionInterpError(
            f"values must be [token, emotion] = {(len(tokens), len(emotions))}, got shape {array.shape}."
        )
    if not np.isfinite(array).all():
        bad = tokens[int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])]
        raise NotFiniteError(f"the token {bad!r} has NaN or infinite values; leave out tokens that were not read.")
    array.setflags(write=False)
    return TokenView(tokens, array, emotions, layer, title)


def display_units(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int, list[int]]]:
    """Group tokens that share a character as it is seen: byte-level BPE splits one Chinese character, or an emoji, over several.

    Args:
        text: the text.
        offsets: each token's (start, end) in characters, as a fast tokenizer gives them. An empty span at 0 is a special
            token and belongs to no unit; an empty span further on joins the unit before it.

    Returns:
        (start, end, [token indices]) of each unit, in the order of the text; no two units share a character.

    Raises:
        EmotionInterpError: a span outside the text, or spans that run backwards.

    Example:
        >>> display_units("I 爱", [(0, 1), (1, 3), (2, 3), (2, 3)])
        [(0, 1, [0]), (1, 3, [1, 2, 3])]
    """
    units: list[tuple[int, int, list[int]]] = []
    for i, (start, end) in enumerate(offsets):
        if not 0 <= start <= end <= len(text):
            raise EmotionInterpError(f"the span {(start, end)} of token {i} is not within the {len(text)} characters.")
        if start == end:
            if start > 0 and units:
                units[-1][2].append(i)
            continue
        if units and start < units[-1][0]:
            raise EmotionInterpError(f"the span {(start, end)} of token {i} starts before that of the token before it.")
        # a mark, joiner or emoji's part of its own token is shown with what it belongs to
        if units and (start < units[-1][1] or (start == units[-1][1] and clings(text, start))):
            begun, stop, members = units[-1]
            units[-1] = (begun, max(stop, end), [*members, i])
        else:
            units.append((start, end, [i]))
    return units


def merge_bytes(
    text: str, offsets: Sequence[tuple[int, int]], values: Any, reduce: str = "mean"
) -> tuple[list[str], np.ndarray]:
    """Tokens and values for display: one entry per `display_units` unit.

    Characters that no token covers (spaces that a tokenizer drops) are shown with the unit that follows.

    Args:
        text: the text.
        offsets: (start, end) of each token.
        values: strengths [token, emotion].
        reduce: "mean" or "max" over the tokens of a unit.

    Returns:
        The units' texts [unit] and strengths [unit, emotion].

    Raises:
        EmotionInterpError: wrong shapes or spans.
        UnknownNameError: another `reduce`.

    Example:
        >>> merge_bytes("爱", [(0, 1), (0, 1)], [[1.0], [3.0]])
        (['爱'], array([[2.]]))
    """
    if reduce not in ("mean", "max"):
        raise UnknownNameError("reduction", reduce, ("mean", "max"))
    if hasattr(values, "detach"):
        values = values.detach().to("cpu").double().numpy()
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or len(array) != len(offsets):
        raise EmotionInterpError(f"values must be [token, emotion] for {len(offsets)} tokens, got shape {array.shape}.")
    units = display_units(text, offsets)
    texts, merged, shown = [], [], 0
    for start, end, members in units:
        texts.append(text[min(shown, start) : end])
        merged.append(array[members].mean(axis=0) if reduce == "mean" else array[members].max(axis=0))
        shown = end
    return texts, np.array(merged).reshape(len(units), array.shape[1])


def visible(token: str) -> str:
    """Line breaks and tabs as signs; CircuitsVis still breaks the line after a newline."""
    return named(token.replace("\r", "").replace("\n", "↵\n").replace("\t", "⇥"))


def _inert(token: str) -> str:
    """Keep CircuitsVis from reading a token as HTML.

    It writes tokens with innerHTML and shows them again as text in the tooltip, so entities would be right in one
    place and wrong in the other. A word joiner (invisible, zero width) after `<` and `&` ends the parser's look for a
    tag or an entity, and reads right in both.
    """
    return token.replace("<", "<\u2060").replace("&", "&\u2060")


def _rgb(colour: tuple[int, int, int], share: float) -> str:
    return "rgb({}, {}, {})".format(*(round(255 + (c - 255) * min(max(share, 0.0), 1.0)) for c in colour))


def _span(token: str, value: float, limit: float) -> str:
    colour = _rgb(POSITIVE if value >= 0 else NEGATIVE, abs(value) / limit)
    return f'<span style="background:{colour}" title="{value:.4g}">{escaped(visible(token))}</span>'


def turns_html(tokens: Sequence[str], speakers: Sequence[str]) -> str:
    """Who speaks: each turn with its first words; nothing for a text that is no conversation."""
    starts = [k for k, speaker in enumerate(speakers) if speaker and (k == 0 or speakers[k - 1] != speaker)]
    if not starts:
        return ""
    lines = []
    for start, stop in zip(starts, [*starts[1:], len(tokens)], strict=True):
        words = " ".join("".join(tokens[start:stop]).split())
        short = words if len(words) <= 80 else words[:79] + "…"
        lines.append(f"<li><b>{escaped(speakers[start])}</b> {escaped(named(short))}</li>")
    return f'<ol class="ei-turns">{"".join(lines)}</ol>'
