"""Lines, words and the traces of a figure as pieces of SVG."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from emotion_interp.core.markup import escaped, unescaped
from emotion_interp.figures.static_axes import Axis, colour_at, numbers_of

INK, SOFT, GRID = "#1f2933", "#52606d", "#e4e7eb"
SIZE = 12
_WIDE = 0.58
_MARKS = {"square": "M-1,-1H1V1H-1Z", "diamond": "M0,-1.3L1.3,0L0,1.3L-1.3,0Z", "triangle-up": "M0,-1.2L1.2,1H-1.2Z"}
_MARKS |= {
    "triangle-down": "M0,1.2L1.2,-1H-1.2Z",
    "x": "M-1,-.5L-.5,-1L0,-.5L.5,-1L1,-.5L.5,0L1,.5L.5,1L0,.5L-.5,1L-1,.5L-.5,0Z",
}


def text_lines(label: object) -> list[str]:
    """A label of Plotly as lines of plain text."""
    return [unescaped(re.sub(r"<[^>]*>", "", line)) for line in re.split(r"<br\s*/?>", str(label or ""))]


def width_of(text: str, size: float = SIZE) -> float:
    """About how wide a text is, in pixels."""
    return size * sum(1.0 if ord(c) > 0x2E80 else _WIDE for c in text)


@dataclass(kw_only=True)
class Canvas:
    """What is drawn, piece by piece, inside a box (left, top, right, bottom)."""

    parts: list[str] = field(default_factory=list)
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    axes: dict[str, Axis] = field(default_factory=dict)

    def x(self, axis: Axis, value: object) -> float:
        left, _, right, _ = self.box
        low, high = axis.domain
        return left + (right - left) * (low + (high - low) * axis.share(value))

    def y(self, axis: Axis, value: object) -> float:
        _, top, _, bottom = self.box
        low, high = axis.domain
        return bottom - (bottom - top) * (low + (high - low) * axis.share(value))

    def text(
        self, x: float, y: float, text: str, anchor: str = "start", size: float = SIZE, fill: str = INK, more: str = ""
    ) -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}" fill="{fill}" {more}>{escaped(text)}</text>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1, dash: str = "") -> None:
        dashes = {"dot": "2 3", "dash": "7 5", "dashdot": "7 3 2 3"}.get(dash, "")
        style = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{escaped(colour)}" stroke-width="{width:g}"{style}/>'
        )

    def scatter(self, trace: dict[str, Any], x: Axis, y: Axis) -> None:
        xs, ys = list(trace.get("x", ())), list(trace.get("y", ()))
        mode, line, marker = str(trace.get("mode") or "lines+markers"), trace.get("line", {}), trace.get("marker", {})
        points = [(self.x(x, a), self.y(y, b)) if x.has(a) and y.has(b) else None for a, b in zip(xs, ys, strict=False)]
        colour = line.get("color") or (marker.get("color") if isinstance(marker.get("color"), str) else None) or INK
        if trace.get("fill") == "toself" and all(points):
            path = " ".join(f"{p[0]:.1f},{p[1]:.1f}" for p in points if p)
            self.parts.append(
                f'<polygon points="{path}" fill="{escaped(trace.get("fillcolor", colour))}" fill-opacity=".6"/>'
            )
        elif "lines" in mode and line.get("width", 2):
            for a, b in pairwise(points):
                if a and b:
                    self.line(*a, *b, colour, line.get("width", 2), line.get("dash", ""))
        for letter in ("x", "y"):
            self._errors(trace.get(f"error_{letter}"), letter, (xs, ys), (x, y), colour)
        if "markers" in mode:
            self.markers(points, marker, colour)
        if "text" in mode and trace.get("text") is not None:
            for point, text in zip(points, _each(trace["text"], len(points)), strict=False):
                if point:
                    self.text(point[0] + 7, point[1] + 4, " ".join(text_lines(text)), size=11)

    def markers(self, points: Sequence[tuple[float, float] | None], marker: dict[str, Any], colour: str) -> None:
        values = marker.get("color")
        shades = [colour] * len(points)
        if values is not None and not isinstance(values, str):
            listed = list(values)
            numeric = bool(listed) and not isinstance(listed[0], str)
            shades = [colour_at(marker, float(v), numbers_of(listed)) for v in listed] if numeric else listed
        for point, shade, symbol, size in zip(
            points,
            shades,
            _each(marker.get("symbol", "circle"), len(points)),
            _each(marker.get("size", 6), len(points)),
            strict=False,
        ):
            if point is None:
                continue
            r, look = float(size) / 2, f'fill="{escaped(shade)}" fill-opacity="{marker.get("opacity", 1):g}"'
            name = str(symbol).removesuffix("-open")
            if str(symbol).endswith("-open"):
                look = f'fill="#ffffff" stroke="{escaped(shade)}" stroke-width="1.5"'
            if name in _MARKS:
                self.parts.append(
                    f'<path d="{_MARKS[name]}" transform="translate({point[0]:.1f} {point[1]:.1f}) scale({r:g})" {look}/>'
                )
            else:
                self.parts.append(f'<circle cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="{r:g}" {look}/>')

    def _errors(
        self,
        error: dict[str, Any] | None,
        letter: str,
        data: tuple[list[object], list[object]],
        axes: tuple[Axis, Axis],
        colour: str,
    ) -> None:
        if not error or error.get("array") is None:
            return
        up = list(error["array"])
        down = up if error.get("arrayminus") is None else list(error["arrayminus"])
        for a, b, more, less in zip(*data, up, down, strict=False):
            if not (axes[0].has(a) and axes[1].has(b)) or not (
                math.isfinite(float(more)) and math.isfinite(float(less))
            ):
                continue
            if letter == "x":
                self.line(
                    self.x(axes[0], a - less),
                    self.y(axes[1], b),
                    self.x(axes[0], a + more),
                    self.y(axes[1], b),
                    colour,
                    1.5,
                )
            else:
                self.line(
                    self.x(axes[0], a),
                    self.y(axes[1], b - less),
                    self.x(axes[0], a),
                    self.y(axes[1], b + more),
                    colour,
                    1.5,
                )

    def bars(self, trace: dict[str, Any], x: Axis, y: Axis) -> None:
        across = trace.get("orientation") == "h"
        colour = trace.get("marker", {}).get("color", "#0072B2")
        for a, b, shade in zip(trace["x"], trace["y"], _each(colour, len(list(trace["x"]))), strict=False):
            if not (x.has(a) and y.has(b)):
                continue
            ends = sorted((self.x(x, 0), self.x(x, a))) if across else sorted((self.y(y, 0), self.y(y, b)))
            middle, half = (
                (self.y(y, b), self._step(y, self.y) * 0.35) if across else (self.x(x, a), self._step(x, self.x) * 0.35)
            )
            box = (
                (ends[0], middle - half, ends[1] - ends[0], 2 * half)
                if across
                else (middle - half, ends[0], 2 * half, ends[1] - ends[0])
            )
            self.parts.append(
                '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"/>'.format(*box, escaped(shade))
            )

    def _step(self, axis: Axis, place: Callable[[Axis, object], float]) -> float:
        values = axis.values
        return abs(place(axis, values[1]) - place(axis, values[0])) if len(values) > 1 else 40.0

    def heatmap(self, trace: dict[str, Any], x: Axis, y: Axis) -> None:
        z = np.asarray(trace["z"], dtype=float)
        xs, ys = (
            list(trace[k]) if trace.get(k) is not None else list(range(n))
            for k, n in (("x", z.shape[1]), ("y", z.shape[0]))
        )
        wide, tall = self._step(x, self.x), self._step(y, self.y)
        finite = z[np.isfinite(z)].tolist()
        written = str(trace.get("texttemplate") or "")
        colours = trace | {"cmin": trace.get("zmin"), "cmax": trace.get("zmax"), "cmid": trace.get("zmid")}
        for row, b in enumerate(ys):
            for column, a in enumerate(xs):
                if not math.isfinite(z[row, column]):
                    continue
                place, shade = (self.x(x, a), self.y(y, b)), colour_at(colours, float(z[row, column]), finite)
                self.parts.append(
                    f'<rect x="{place[0] - wide / 2:.1f}" y="{place[1] - tall / 2:.1f}" width="{max(wide - 1, 1):.1f}" '
                    f'height="{max(tall - 1, 1):.1f}" fill="{shade}"/>'
                )
                if "%{z" in written:
                    light = sum(map(int, re.findall(r"\d+", shade))) > 380
                    self.text(
                        place[0], place[1] + 4, f"{z[row, column]:.2f}", "middle", 11, INK if light else "#ffffff"
                    )
        if trace.get("showscale", True) and finite:
            self._scale(colours, finite)

    def _scale(self, colours: dict[str, Any], finite: Sequence[float]) -> None:
        """The bar of colours at the right, with its ends."""
        _, top, right, bottom = self.box
        low = min(finite) if colours.get("cmin") is None else float(colours["cmin"])
        high = max(finite) if colours.get("cmax") is None else float(colours["cmax"])
        steps = 24
        for step in range(steps):
            y = bottom - (bottom - top) * (step + 1) / steps
            shade = colour_at(colours, low + (high - low) * (step + 0.5) / steps, finite)
            self.parts.append(
                f'<rect x="{right + 14:.1f}" y="{y:.1f}" width="12" height="{(bottom - top) / steps + 0.6:.1f}" fill="{shade}"/>'
            )
        for value, y in ((high, top + 9), (low, bottom)):
            self.text(right + 30, y, f"{value:.3g}", size=11)


def _each(value: Any, count: int) -> Iterable[Any]:
    """One value for each of so many points."""
    return [value] * count if isinstance(value, (str, int, float)) else list(value)
