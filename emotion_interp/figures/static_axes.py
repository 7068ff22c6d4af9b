"""Axes and colours of a figure that is drawn without Plotly: what lies where, and which ticks are shown."""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

PALE = [[0.0, "#f7fbff"], [0.25, "#c6dbef"], [0.5, "#6baed6"], [0.75, "#2171b5"], [1.0, "#08306b"]]


@dataclass(frozen=True)
class Axis:
    """One axis: `ends` are the places of its first and last value (numbers, their logarithms, or numbers of names), `ticks` what is written beside it."""

    letter: str
    names: tuple[str, ...]
    ends: tuple[float, float]
    domain: tuple[float, float]
    ticks: tuple[object, ...]
    labels: tuple[str, ...]
    title: str
    is_log: bool = False
    grid: bool = True
    shown: bool = True
    values: tuple[object, ...] = ()

    def number(self, value: object) -> float:
        """The place of a value on the axis."""
        if self.names:
            text = str(value)
            return (
                float(self.names.index(text))
                if text in self.names
                else float("nan")
                if isinstance(value, str)
                else float(text)
            )
        number = float(str(value))
        return math.log10(number) if self.is_log and number > 0 else number

    def share(self, value: object) -> float:
        """Where a value lies between the ends: 0 to 1."""
        low, high = self.ends
        return (self.number(value) - low) / ((high - low) or 1.0)

    def has(self, value: object) -> bool:
        """Whether it can be placed."""
        try:
            return value is not None and math.isfinite(self.number(value))
        except ValueError:
            return False


def decoded(value: object) -> object:
    """What Plotly says of a figure, its packed arrays as lists."""
    if isinstance(value, dict):
        if "bdata" in value:
            array = np.frombuffer(base64.b64decode(value["bdata"]), dtype=value["dtype"])
            shape = [int(n) for n in str(value.get("shape", "")).split(",") if n.strip()]
            return (array.reshape(shape) if shape else array).tolist()
        return {name: decoded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [decoded(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def numbers_of(values: Iterable[object]) -> list[float]:
    """The finite numbers among values."""
    return [float(v) for v in values if isinstance(v, (int, float, np.number)) and math.isfinite(float(v))]


def axis_of(name: str, layout: dict[str, Any], traces: Sequence[dict[str, Any]]) -> Axis:
    """The axis of a name like "x" or "y2", with what its traces need."""
    letter, number = name[0], name[1:]
    about = layout.get(f"{letter}axis{number}", {})
    held: list[object] = []
    for trace in traces:
        if trace.get(f"{letter}axis", letter) != name:
            continue
        values = trace.get(letter)
        if values is None:
            z = trace.get("z")
            values = [] if z is None else range(len(z) if letter == "y" else len(z[0]))
        held += list(values)
        error = trace.get(f"error_{letter}") or {}
        for sign, spread in ((1, error.get("array")), (-1, error.get("arrayminus", error.get("array")))):
            held += [v + sign * d for v, d in zip(values, spread if spread is not None else (), strict=False) if d == d]
        if trace["type"] == "bar" and (trace.get("orientation") == "h") == (letter == "x"):
            held.append(0.0)
    domain = tuple(about.get("domain") or (0.0, 1.0))
    title = about.get("title", {})
    title = title.get("text", "") if isinstance(title, dict) else title
    shared: dict[str, Any] = {
        "letter": letter,
        "domain": (float(domain[0]), float(domain[1])),
        "title": html.unescape(re.sub(r"<[^>]*>", " ", str(title or ""))),
        "is_log": about.get("type") == "log",
        "grid": about.get("showgrid") is not False,
        "shown": about.get("showticklabels") is not False and about.get("visible") is not False,
        "values": tuple(dict.fromkeys(held)),
    }
    reverse = about.get("autorange") == "reversed"
    if about.get("type") == "category" or any(isinstance(v, str) for v in held):
        names = tuple(dict.fromkeys(map(str, [*(about.get("categoryarray") or ()), *held])))
        ends = (-0.5, len(names) - 0.5)
        labels = tuple(html.unescape(re.sub(r"<[^>]*>", "", n)) for n in names)
        return Axis(names=names, ends=(ends[1], ends[0]) if reverse else ends, ticks=names, labels=labels, **shared)
    ends = _ends(about, numbers_of(held), shared["is_log"], any(t["type"] == "heatmap" for t in traces))
    ends = (ends[1], ends[0]) if reverse else ends
    if about.get("tickvals") is not None:
        ticks = list(about["tickvals"])
        texts = about.get("ticktext")
        labels = [f"{t:.10g}" if isinstance(t, float) else str(t) for t in (ticks if texts is None else texts)]
    else:
        ticks = [10.0**t if shared["is_log"] else t for t in nice_ticks(min(ends), max(ends))]
        labels = [f"{t:.10g}" for t in ticks]
    return Axis(names=(), ends=ends, ticks=tuple(ticks), labels=tuple(labels), **shared)


def _ends(about: dict[str, Any], held: list[float], is_log: bool, cells: bool) -> tuple[float, float]:
    given = about.get("range")
    if given is not None and None not in given:
        return float(given[0]), float(given[1])
    held = [math.log10(v) for v in held if v > 0] if is_log else held
    low, high = (min(held), max(held)) if held else (0.0, 1.0)
    spare = 0.5 if cells else (high - low) * 0.06 or 0.5
    return low - spare, high + spare


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between two ends.

    Example:
        >>> nice_ticks(-0.1, 1.05)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / most or 1.0
    size = 10.0 ** math.floor(math.log10(rough))
    step = next((m * size for m in (1, 2, 2.5, 5, 10) if m * size >= rough * (1 - 1e-9)), 10 * size)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def colour_at(about: dict[str, Any], value: float, held: Sequence[float]) -> str:
    """The colour of a number on a scale of colours: "rgb(r,g,b)"."""
    low = min(held, default=0.0) if about.get("cmin") is None else float(about["cmin"])
    high = max(held, default=1.0) if about.get("cmax") is None else float(about["cmax"])
    middle = about.get("cmid")
    if middle is not None:
        reach = max(high - middle, middle - low)
        low, high = middle - reach, middle + reach
    share = min(max((value - low) / ((high - low) or 1.0), 0.0), 1.0)
    scale = about.get("colorscale")
    stops = [(float(at), _channels(str(c))) for at, c in (PALE if scale is None or isinstance(scale, str) else scale)]
    (a, first), (b, second) = next(
        ((p, q) for p, q in pairwise(stops) if p[0] <= share <= q[0]), (stops[-1], stops[-1])
    )
    part = (share - a) / ((b - a) or 1.0)
    return "rgb({},{},{})".format(*(round(p + (q - p) * part) for p, q in zip(first, second, strict=True)))


def _channels(colour: str) -> tuple[int, ...]:
    if colour.startswith("#"):
        return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return tuple(round(float(n)) for n in re.findall(r"[\d.]+", colour)[:3])
