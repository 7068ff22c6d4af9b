"""The view of a trace: the text with its strongest emotions, and the map of all emotions by all tokens, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotion_interp.core.files import write_text
from emotion_interp.core.markup import escaped
from emotion_interp.report.assets import script_json
from emotion_interp.report.tokens import POLICY, POSITIVE, visible

STYLE = """
.ei-trace { margin: 0 0 1rem; font: 15px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif; color: #1f2933; background: #fff; }
.ei-trace p { margin: .3rem 0; }
.ei-trace .ei-small { font-size: 13px; color: #52606d; }
.ei-trace .ei-controls { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; align-items: center; font-size: 14px; }
.ei-trace [hidden] { display: none; }
.ei-trace input[type=range] { vertical-align: middle; min-width: 9rem; }
.ei-trace select { font: inherit; padding: 2px 4px; }
.ei-trace .ei-sentence { margin: .5rem 0; overflow-wrap: anywhere; }
.ei-trace .ei-speaker { font-size: 13px; line-height: 1.5; color: #52606d; }
.ei-trace .ei-verdict { display: block; font-size: 13px; line-height: 1.5; }
.ei-trace .ei-token { display: inline-flex; flex-direction: column; vertical-align: top; white-space: pre-wrap; min-height: 2.4em; margin-bottom: 3px; border-bottom: 2px solid transparent; }
.ei-trace .ei-token[data-mark] { border-bottom-color: #D55E00; }
.ei-trace .ei-token small { font-size: 11px; line-height: 1; padding: 0 2px 2px 0; white-space: nowrap; color: #1f2933; }
.ei-trace .ei-map { overflow: auto; max-height: 40rem; border: 1px solid #e4e7eb; }
.ei-trace table { border-collapse: collapse; font-size: 12px; line-height: 1.2; }
.ei-trace thead th { position: sticky; top: 0; background: #fff; height: 5.5rem; vertical-align: bottom; font-weight: 400; padding: 2px 1px; }
.ei-trace thead th span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 5.2rem; overflow: hidden; white-space: pre; }
.ei-trace tbody th { position: sticky; left: 0; background: #fff; text-align: left; font-weight: 400; padding: 0 8px 0 4px; }
.ei-trace tbody td { min-width: 17px; height: 17px; padding: 0; border: 1px solid #fff; }
.ei-trace tbody td.ei-top { outline: 2px solid #1f2933; outline-offset: -2px; }
.ei-trace thead th[data-mark] { border-bottom: 2px solid #D55E00; }
"""

RUNTIME = """
(() => {
  for (const view of document.querySelectorAll(".ei-trace:not([data-mounted])")) {
    view.dataset.mounted = "yes";
    const d = JSON.parse(view.querySelector("script[type='application/json']").textContent);
    const range = view.querySelector("input"), kind = view.querySelector("select");
    const shade = (v) => {
      const s = Math.min(Math.max(v / d.limit, 0), 1);
      return "rgb(" + d.colour.map((c) => Math.round(255 + (c - 255) * s)).join(",") + ")";
    };
    const best = (row) => row.reduce((b, v, i) => (v > row[b] ? i : b), 0);
    const draw = () => {
      const l = Number(range.value), values = d.values[kind.value][l], sentences = d.sentences[kind.value][l];
      const other = Object.keys(d.sentences).find((k) => k !== kind.value);
      view.querySelector("output").textContent = d.layers[l];
      view.querySelector(".ei-fact").textContent = d.facts[kind.value][l] || "";
      let before = [null, -1];
      view.querySelectorAll(".ei-token").forEach((token, t) => {
        const top = best(values[t]), above = kind.value !== d.kind || values[t][top] > d.tokenLevels[l];
        const shown = above && values[t][top] > 0 ? top : -1, again = before[0] === token.parentNode && before[1] === shown;
        before = [token.parentNode, shown];
        token.style.background = shade(values[t][top]);
        token.title = `${d.emotions[top]} ${values[t][top]}`;
        token.querySelector("small").textContent = shown < 0 || again ? "" : d.emotions[top];
      });
      view.querySelectorAll(".ei-verdict").forEach((place, n) => {
        const order = sentences[n].map((v, i) => [v, i]).sort((a, b) => b[0] - a[0]).slice(0, 3);
        const named = kind.value !== d.kind || order[0][0] > d.sentenceLevels[l][n];
        const list = order.map(([v, i]) => `${d.emotions[i]} ${v.toFixed(2)}`).join(", ");
        const beside = other ? ` (${other}: ${d.emotions[best(d.sentences[other][l][n])]})` : "";
        place.textContent = (named ? "" : "no more than neutral text: ") + list + beside;
      });
      view.querySelectorAll("tbody tr").forEach((row, e) => row.querySelectorAll("td").forEach((cell, t) => {
        cell.style.background = shade(values[t][e]);
        cell.title = `${d.tokens[t]} · ${d.emotions[e]} ${values[t][e]}`;
        cell.className = best(values[t]) === e && values[t][e] > 0 ? "ei-top" : "";
      }));
    };
    range.addEventListener("input", draw);
    kind.addEventListener("change", draw);
    view.querySelector(".ei-controls").hidden = false;
    draw();
  }
})();
"""


@dataclass(frozen=True)
class ShownTrace:
    """What the view shows: values and sentences by kind [layer, token or sentence, emotion], the first kind being the one
    whose levels are known: what the strongest emotion must exceed to be named at a token [layer] and in a sentence
    [layer, sentence]."""

    note: str
    tokens: tuple[str, ...]
    marks: tuple[tuple[str, ...], ...]
    sentence_ranges: tuple[tuple[int, int], ...]
    emotions: tuple[str, ...]
    layers: tuple[str, ...]
    start: int
    values: Mapping[str, np.ndarray]
    sentences: Mapping[str, np.ndarray]
    token_levels: np.ndarray
    sentence_levels: np.ndarray
    facts: Mapping[str, tuple[str, ...]]
    speakers: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return next(iter(self.values))

    @property
    def limit(self) -> float:
        """The value at which the colour is full; one scale for all emotions and layers."""
        return max(float(np.quantile(self.values[self.kind], 0.995)), 1e-6)


def trace_html(shown: ShownTrace) -> str:
    """An HTML fragment with its style and script; safe for any token and name, and complete without the script."""
    return f"<style>{STYLE}</style>{trace_body(shown)}<script>{RUNTIME}</script>"


def trace_page(shown: ShownTrace, path: str | Path) -> None:
    """Write one self-contained page."""
    write_text(
        path,
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>Emotions along the text</title><style>body {{ margin: 1rem; }} {STYLE}</style></head>"
        f"<body><main>{trace_body(shown)}</main><script>{RUNTIME}</script></body></html>\n",
    )


def trace_body(shown: ShownTrace) -> str:
    """The fragment without its style and script, for a page that has them once."""
    order = np.argsort(-shown.sentences[shown.kind][shown.start].max(0), kind="stable")
    emotions = [escaped(shown.emotions[e]) for e in order]
    values = {k: v[:, :, order] for k, v in shown.values.items()}
    sentences = {k: v[:, :, order] for k, v in shown.sentences.items()}
    data = {
        "tokens": [visible(t) for t in shown.tokens],
        "emotions": [visible(str(shown.emotions[e])) for e in order],
        "layers": [visible(name) for name in shown.layers],
        "kind": shown.kind,
        "values": {k: _short(v) for k, v in values.items()},
        "sentences": {k: _short(v) for k, v in sentences.items()},
        "tokenLevels": _short(shown.token_levels),
        "sentenceLevels": _short(shown.sentence_levels),
        "facts": {k: [visible(line) for line in v] or [""] * len(shown.layers) for k, v in shown.facts.items()},
        "limit": float(f"{shown.limit:.4g}"),
        "colour": POSITIVE,
    }
    kinds = "".join(f"<option>{escaped(k)}</option>" for k in shown.values)
    choice = f'<label>Read with: <select autocomplete="off">{kinds}</select></label>'
    slider = (
        f'<label>Layer: <input type="range" autocomplete="off" min="0" max="{len(shown.layers) - 1}" value="{shown.start}">'
        f"</label> <output>{escaped(shown.layers[shown.start])}</output>"
    )
    facts = shown.facts[shown.kind]
    return (
        f'<div class="ei-trace"><script type="application/json">{script_json(data)}</script>'
        f'<p class="ei-small">{escaped(shown.note)} <span class="ei-fact">{escaped(facts[shown.start] if facts else "")}</span></p>'
        f'<div class="ei-controls" hidden>{slider}{choice}</div>'
        f"{_sentences(shown)}{_map(shown, values[shown.kind][shown.start], emotions)}"
        f'<p class="ei-small">Each row an emotion, each column a token; darker: stronger, up to {shown.limit:.2g} times the '
        f"spread of neutral tokens. Framed: the strongest of its token.{_legend(shown)}</p></div>"
    )


def _legend(shown: ShownTrace) -> str:
    names = list(dict.fromkeys(mark for marks in shown.marks for mark in marks))
    return f" Underlined: {escaped(', '.join(names))}." if names else ""


def _sentences(shown: ShownTrace) -> str:
    values, sentences = (part[shown.kind][shown.start] for part in (shown.values, shown.sentences))
    result = ""
    for number, (first, stop) in enumerate(shown.sentence_ranges):
        order = np.argsort(-sentences[number], kind="stable")[:3]
        said = ", ".join(f"{shown.emotions[e]} {sentences[number][e]:.2f}" for e in order)
        named = sentences[number][order[0]] > shown.sentence_levels[shown.start][number]
        said = said if named else f"no more than neutral text: {said}"
        spans, before = "", -1
        for t in range(first, stop):
            best = int(values[t].argmax())
            above = values[t][best] > max(0.0, float(shown.token_levels[shown.start]))
            # one name for a run of tokens that show the same
            again, before = above and best == before, best if above else -1
            name = f"<small>{escaped(shown.emotions[best]) if above and not again else ''}</small>"
            spans += (
                f'<span class="ei-token"{_mark(shown, t)} style="background:{_shade(values[t][best], shown.limit)}" '
                f'title="{escaped(shown.emotions[best])} {values[t][best]:.2f}">{escaped(visible(shown.tokens[t]))}{name}</span>'
            )
        speaker = shown.speakers[first] if shown.speakers else ""
        who = f'<b class="ei-speaker">{escaped(speaker)}</b>' if speaker else ""
        result += f'<p class="ei-sentence">{who}<strong class="ei-verdict">{escaped(said)}</strong>{spans}</p>'
    return result


def _map(shown: ShownTrace, values: np.ndarray, emotions: Sequence[str]) -> str:
    head = "".join(
        f'<th scope="col"{_mark(shown, t)}><span>{escaped(visible(token).strip() or "␣")}</span></th>'
        for t, token in enumerate(shown.tokens)
    )
    rows = ""
    # regions of one page are told apart by their names
    start = escaped(visible("".join(shown.tokens).strip()[:60]))
    best = values.argmax(1)
    for e, emotion in enumerate(emotions):
        cells = "".join(
            f'<td{" class=ei-top" if best[t] == e and v > 0 else ""} style="background:{_shade(v, shown.limit)}" title="{v:.2f}"></td>'
            for t, v in enumerate(values[:, e])
        )
        rows += f'<tr><th scope="row">{emotion}</th>{cells}</tr>'
    return (
        f'<div class="ei-map" tabindex="0" role="region" aria-label="Map of emotions by tokens: {start}"><table>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _mark(shown: ShownTrace, token: int) -> str:
    return f' data-mark="{escaped(" ".join(shown.marks[token]))}"' if shown.marks[token] else ""


def _shade(value: float, limit: float) -> str:
    share = min(max(float(value) / limit, 0.0), 1.0)
    return "rgb({}, {}, {})".format(*(round(255 + (c - 255) * share) for c in POSITIVE))


def _short(values: np.ndarray) -> list[object]:
    return np.round(np.asarray(values, dtype=np.float64), 2).tolist()
