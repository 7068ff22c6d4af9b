"""Greedy placement of point labels without overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from emotion_interp.figures.theme import text_width

Box = tuple[float, float, float, float]


def _overlap(a: Box, b: Box) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def place_labels(
    anchors: Sequence[tuple[float, float]],
    names: Sequence[str],
    obstacles: Sequence[tuple[float, float]],
    size: tuple[float, float],
    *,
    font_size: float = 12,
    point_radius: float = 6,
) -> list[tuple[float, float]]:
    """Centres for the labels of `anchors`, in pixels, so that none covers another label or a point.

    Candidates lie on rings around each anchor, nearest first; the first free one is taken, and where none is free
    the one that covers least. The most crowded anchors choose first.

    Args:
        anchors: the labelled points [label] as (x, y) in pixels.
        names: the labels [label].
        obstacles: every drawn point as (x, y) in pixels, the anchors included.
        size: width and height of the plot in pixels.

    Example:
        >>> place_labels([(50.0, 50.0)], ["joy"], [(50.0, 50.0)], (100, 100))
        [(50.0, 35.0)]
    """

    def crowding(i: int) -> float:
        x, y = anchors[i]
        return -sum(math.hypot(x - a, y - b) < 60 for a, b in obstacles)

    order = sorted(range(len(anchors)), key=crowding)
    centres = _placed(order, anchors, names, obstacles, size, font_size, point_radius, rings=12, free_only=False)
    return [centres[i] for i in range(len(anchors))]


def free_labels(
    order: Sequence[int],
    anchors: Sequence[tuple[float, float]],
    names: Sequence[str],
    obstacles: Sequence[tuple[float, float]],
    size: tuple[float, float],
    *,
    font_size: float = 12,
    point_radius: float = 6,
    rings: int = 4,
) -> dict[int, tuple[float, float]]:
    """Centres for as many labels as find a free place near their point; the rest go without.

    Args:
        order: which labels, the most important first.
        anchors: as for `place_labels`.
        names: as for `place_labels`.
        obstacles: as for `place_labels`.
        size: as for `place_labels`.
        rings: how far from its point a label may stand, in steps of 10 pixels.

    Example:
        >>> free_labels([0, 1], [(50.0, 50.0), (52.0, 50.0)], ["joy", "joy"], [(50.0, 50.0)], (100, 60), rings=1)
        {0: (50.0, 35.0)}
    """
    return _placed(order, anchors, names, obstacles, size, font_size, point_radius, rings=rings, free_only=True)


def telling_order(
    model: Sequence[tuple[float, float]], people: Sequence[tuple[float, float]], spread: int
) -> list[int]:
    """Which points to name first: in turn the one that moved furthest and the one furthest from all named so far.

    Args:
        model: the two places of each item [item], in any one unit.
        people: the two places of each item [item], in any one unit.
        spread: how many to order; the rest is left out.
    """
    start, end = np.asarray(people, dtype=float), np.asarray(model, dtype=float)
    moved = np.linalg.norm(end - start, axis=1)
    apart = np.full(len(start), np.inf)
    chosen: list[int] = []
    left = np.ones(len(start), dtype=bool)
    while left.any() and len(chosen) < spread:
        score = moved if len(chosen) % 2 == 0 else apart
        pick = int(np.flatnonzero(left)[score[left].argmax()])
        chosen.append(pick)
        left[pick] = False
        apart = np.minimum(apart, np.linalg.norm(start - start[pick], axis=1))
    return chosen


def _placed(
    order: Sequence[int],
    anchors: Sequence[tuple[float, float]],
    names: Sequence[str],
    obstacles: Sequence[tuple[float, float]],
    size: tuple[float, float],
    font_size: float,
    point_radius: float,
    rings: int,
    free_only: bool,
) -> dict[int, tuple[float, float]]:
    points = [(x - point_radius, y - point_radius, x + point_radius, y + point_radius) for x, y in obstacles]
    half_height = font_size * 0.75
    placed: list[Box] = []
    centres: dict[int, tuple[float, float]] = {}
    for i in order:
        x, y = anchors[i]
        half_width = text_width(names[i], font_size) / 2 + 2
        best, best_cost = (x, y), math.inf
        for ring in range(rings):
            gap = point_radius + 10 * ring
            for step in range(16):
                angle = math.pi / 2 - step * math.pi / 8
                dx, dy = math.cos(angle), -math.sin(angle)
                # push the box out along the ray until it clears the gap around the anchor
                cx = x + dx * (gap + half_width)
                cy = y + dy * (gap + half_height)
                box = (cx - half_width, cy - half_height, cx + half_width, cy + half_height)
                outside = max(0.0, -box[0], -box[1], box[2] - size[0], box[3] - size[1])
                cost = (
                    1000 * outside + sum(3 * _overlap(box, b) for b in placed) + sum(_overlap(box, p) for p in points)
                )
                if cost < best_cost:
                    best, best_cost = (round(cx, 3), round(cy, 3)), cost
                if best_cost == 0:
                    break
            if best_cost == 0:
                break
        if free_only and best_cost > 0:
            continue
        centres[i] = best
        placed.append((best[0] - half_width, best[1] - half_height, best[0] + half_width, best[1] + half_height))
    return centres


def annotate(
    names: Sequence[str],
    positions: Sequence[tuple[float, float]],
    anchors: Sequence[tuple[float, float]],
    centres: Sequence[tuple[float, float]],
    *,
    font_size: float = 12,
) -> list[dict[str, object]]:
    """Plotly annotations with a thin leader from each label to its point.

    Args:
        names: labels as Plotly text [label].
        positions: the points in data coordinates [label].
        anchors: the points in pixels [label].
        centres: the labels' centres in pixels [label], from `place_labels`.
    """
    return [
        {
            "x": x,
            "y": y,
            "ax": cx - px,
            "ay": cy - py,
            "text": name,
            "showarrow": True,
            "arrowhead": 0,
            "arrowwidth": 0.7,
            "arrowcolor": "#7b8794",
            "standoff": 4,
            "borderpad": 1,
            "bgcolor": "rgba(255,255,255,0.75)",
            "font": {"size": font_size},
        }
        for name, (x, y), (px, py), (cx, cy) in zip(names, positions, anchors, centres, strict=True)
    ]
