"""A figure as SVG, drawn here: for code hosts, exported pages and PDFs, where no script runs and no browser is at hand.

It draws what this package's figures are made of: lines, markers, areas, bars and heat maps on linear, logarithmic or named
axes, with error bars, notes and a legend. What else Plotly knows is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emotion_interp.core.markup import escaped
from emotion_interp.figures.static_axes import Axis, axis_of, decoded
from emotion_interp.figures.static_canvas import GRID, INK, SIZE, SOFT, Canvas, text_lines, width_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

WIDTH = 760


def svg(figure: go.Figure) -> str:
    """A figure as an SVG document.

    Args:
        figure: of this package.

    Example:
        >>> import pandas as pd
        >>> from emotion_interp.figures import layer_curves
        >>> picture = layer_curves(pd.DataFrame({"layer": [0, 1], "series": "joy", "value": [0.1, 0.4]}))
        >>> svg(picture).startswith("<svg") and "joy" in svg(picture)
        True
    """
    plain: Any = decoded(figure.to_dict())
    return _Drawing(plain["data"], plain.get("layout", {})).document()


@dataclass
class _Drawing(Canvas):
    data: Sequence[dict[str, Any]]
    layout: dict[str, Any]

    def __post_init__(self) -> None:
        margin = {"l": 64, "r": 24, "t": 60, "b": 60} | self.layout.get("margin", {})
        self.traces = [t for t in self.data if t.get("visible") not in (False, "legendonly")]
        self.width = float(self.layout.get("width") or WIDTH)
        self.height = float(self.layout.get("height") or 450)
        names = {
            "x": sorted({t.get("xaxis", "x") for t in self.traces}),
            "y": sorted({t.get("yaxis", "y") for t in self.traces}),
        }
        self.axes = {n: axis_of(n, self.layout, self.traces) for d in ("x", "y") for n in names[d]}
        longest = max(
            (width_of(t) for a in self.axes.values() if a.letter == "y" and a.shown for t in a.labels), default=0.0
        )
        titled = 20 if any(a.title for a in self.axes.values() if a.letter == "y") else 0
        left = max(float(margin["l"]), longest + 16 + titled)
        below, pitch = float(margin["b"]), (self.width - left - margin["r"]) / max(1, len({*names["x"]}))
        self.turned = any(
            a.letter == "x" and a.shown and sum(width_of(t) + 8 for t in a.labels) > pitch * 1.05
            for a in self.axes.values()
        )
        if self.turned:
            tall = max((width_of(t) for a in self.axes.values() if a.letter == "x" for t in a.labels), default=0.0)
            self.height += max(0.0, tall - 20)
            below += max(0.0, tall - 20)
        bar = 70 if any(t["type"] == "heatmap" and t.get("showscale", True) for t in self.traces) else 0
        self.box = (left, float(margin["t"]), self.width - float(margin["r"]) - bar, self.height - below)
        self.bottom = below

    def document(self) -> str:
        self._titles()
        for pair in dict.fromkeys((t.get("xaxis", "x"), t.get("yaxis", "y")) for t in self.traces):
            self._frame(*(self.axes[name] for name in pair))
        for trace in self.traces:
            draw = {"heatmap": self.heatmap, "bar": self.bars}.get(trace["type"], self.scatter)
            draw(trace, self.axes[trace.get("xaxis", "x")], self.axes[trace.get("yaxis", "y")])
        for shape in self.layout.get("shapes", ()):
            self._shape(shape)
        for note in self.layout.get("annotations", ()):
            self._note(note)
        self._legend()
        size = f'viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" height="{self.height:g}"'
        name = escaped(" ".join(text_lines(self.layout.get("title", {}).get("text", ""))))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="system-ui, sans-serif" font-size="{SIZE}">'
            f'<title>{name}</title><rect width="100%" height="100%" fill="#ffffff"/>{"".join(self.parts)}</svg>'
        )

    def _place(self, letter: str, reference: str, value: object) -> float:
        """A coordinate of a note or shape: of an axis, of an axis' part of the picture, or of the whole plot ("paper")."""
        name, _, part = reference.partition(" ")
        if name in self.axes and not part:
            return self.x(self.axes[name], value) if letter == "x" else self.y(self.axes[name], value)
        left, top, right, bottom = self.box
        low, high = self.axes[name].domain if name in self.axes else (0.0, 1.0)
        share = low + (high - low) * float(str(value))
        return left + (right - left) * share if letter == "x" else bottom - (bottom - top) * share

    def _titles(self) -> None:
        title = self.layout.get("title", {})
        y = 24.0
        for line in filter(None, text_lines(title.get("text"))):
            self.text(12, y, line, size=16, more='font-weight="bold"')
            y += 19
        for line in filter(None, text_lines(title.get("subtitle", {}).get("text"))):
            self.text(12, y, line, fill=SOFT)
            y += 17

    def _legend(self) -> None:
        if not self.layout.get("showlegend"):
            return
        x, y, shown = self.box[0], self.height - self.bottom + (56 if not self.turned else self.bottom - 14), set()
        for trace in self.traces:
            name = " ".join(text_lines(trace.get("name", "")))
            if not name or name in shown or trace.get("showlegend") is False:
                continue
            shown.add(name)
            if x + width_of(name) + 52 > self.width and x > self.box[0]:
                x, y = self.box[0], y + 20
            colour = (
                trace.get("line", {}).get("color")
                or trace.get("marker", {}).get("color")
                or trace.get("fillcolor")
                or INK
            )
            colour = colour if isinstance(colour, str) else INK
            self._sample(trace, colour, x, y - 5)
            self.text(x + 36, y, name)
            x += width_of(name) + 58
        self.height = max(self.height, y + 12)

    def _sample(self, trace: dict[str, Any], colour: str, x: float, y: float) -> None:
        """What a trace looks like, for the legend: colours repeat, with another dash or mark."""
        mode, line, marker = str(trace.get("mode") or ""), trace.get("line", {}), trace.get("marker", {})
        if "lines" not in mode and "markers" not in mode:
            self.parts.append(f'<rect x="{x:.1f}" y="{y - 4:.1f}" width="30" height="8" fill="{escaped(colour)}"/>')
            return
        if "lines" in mode:
            self.line(x, y, x + 30, y, colour, line.get("width", 2), line.get("dash", ""))
        if "markers" in mode:
            symbol = marker.get("symbol", "circle")
            self.markers([(x + 15, y)], {"symbol": symbol if isinstance(symbol, str) else "circle", "size": 8}, colour)

    def _frame(self, x: Axis, y: Axis) -> None:
        wide, tall = self.box[2] - self.box[0], self.box[3] - self.box[1]
        left, right = (self.box[0] + wide * end for end in x.domain)
        bottom, top = (self.box[3] - tall * end for end in y.domain)
        for value, label in zip(x.ticks, x.labels, strict=True) if x.shown else ():
            at = self.x(x, value)
            self.line(at, top, at, bottom, GRID) if x.grid else None
            turn = f'transform="rotate(-90 {at + 4:.1f} {bottom + 8:.1f})"' if self.turned else ""
            place = (at + 4, bottom + 8) if self.turned else (at, bottom + 17)
            self.text(*place, label, "end" if self.turned else "middle", more=turn)
        for value, label in zip(y.ticks, y.labels, strict=True) if y.shown else ():
            at = self.y(y, value)
            self.line(left, at, right, at, GRID) if y.grid else None
            self.text(left - 8, at + 4, label, "end")
        if x.title:
            deep = max((width_of(t) for t in x.labels), default=0.0) + 12 if self.turned else 20
            self.text((left + right) / 2, bottom + deep + 17, x.title, "middle", 13)
        if y.title:
            at = (top + bottom) / 2
            wide = max((width_of(t) for t in y.labels), default=0.0) if y.shown else 0.0
            self.text(
                left - wide - 18,
                at,
                y.title,
                "middle",
                13,
                more=f'transform="rotate(-90 {left - wide - 18:.1f} {at:.1f})"',
            )

    def _shape(self, shape: dict[str, Any]) -> None:
        x = [self._place("x", shape.get("xref", "x"), shape[k]) for k in ("x0", "x1")]
        y = [self._place("y", shape.get("yref", "y"), shape[k]) for k in ("y0", "y1")]
        line = shape.get("line", {})
        if shape.get("type") == "line":
            self.line(x[0], y[0], x[1], y[1], line.get("color", INK), line.get("width", 1), line.get("dash", ""))
        elif shape.get("type") == "rect":
            fill, edge = shape.get("fillcolor", "none"), line.get("color", "none")
            self.parts.append(
                f'<rect x="{min(x):.1f}" y="{min(y):.1f}" width="{abs(x[1] - x[0]):.1f}" height="{abs(y[1] - y[0]):.1f}" '
                f'fill="{escaped(fill)}" stroke="{escaped(edge)}" stroke-width="{line.get("width", 1):g}" opacity="{shape.get("opacity", 1):g}"/>'
            )

    def _note(self, note: dict[str, Any]) -> None:
        x, y = (
            self._place("x", note.get("xref", "x"), note.get("x", 0)),
            self._place("y", note.get("yref", "y"), note.get("y", 0)),
        )
        font = note.get("font", {})
        size, colour = font.get("size", SIZE), font.get("color", INK)
        anchor = {"left": "start", "right": "end"}.get(str(note.get("xanchor")), "middle")
        if note.get("showarrow", True):
            ax, ay = x + float(note.get("ax") or 0), y + float(note.get("ay") or 0)
            if math.hypot(ax - x, ay - y) > size:
                self.line(x, y, ax, ay, note.get("arrowcolor", "#9aa5b1"), note.get("arrowwidth", 1))
            x, y = ax, ay
        x, y = x + float(note.get("xshift") or 0), y - float(note.get("yshift") or 0)
        lines = text_lines(note.get("text"))
        down = {"top": 0.9 * size, "bottom": -0.2 * size - (len(lines) - 1) * size}.get(
            str(note.get("yanchor")), 0.35 * size
        )
        for number, line in enumerate(lines):
            self.text(x, y + down + number * size * 1.2, line, anchor, size, str(colour))
