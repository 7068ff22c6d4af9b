"""What every page is asked in a browser: what axe finds, and whether its pictures show anything."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

LEAST_SPREAD = 4.0
"""Standard deviation of the grey values of a picture; an empty ground has 0, an axis without points about 1 to 2."""


def axe(page: Any, without: Sequence[str] = (), only: str = "") -> list[str]:
    """What axe-core finds wrong, each with the element.

    Args:
        page: the open tab.
        without: selectors of what is not ours.
        only: a selector that bounds what is looked at.
    """
    place = find_spec("axe_core_python")
    if place is None or place.origin is None:
        pytest.skip("axe-core-python is not installed")
    page.evaluate((Path(place.origin).parent / "axe.min.js").read_text(encoding="utf-8") + ";0")
    context: dict[str, list[list[str]]] = {"exclude": [[selector] for selector in without]}
    if only:
        context["include"] = [[only]]
    return page.evaluate(
        f"axe.run({json.dumps(context)}, {{resultTypes: ['violations']}}).then(r => r.violations.map(v => "
        "v.id + ': ' + v.nodes.slice(0, 3).map(n => n.target.join(' ') + ' ' + n.html.slice(0, 150)).join(' | ')))"
    )


def flat_pictures(page: Any, selector: str) -> list[str]:
    """The visible pictures whose pixels hardly differ, each with its name and spread."""
    image = pytest.importorskip("PIL.Image")
    boxes = page.evaluate(
        f"[...document.querySelectorAll({json.dumps(selector)})].map(e => [e, e.getBoundingClientRect()])"
        ".filter(([e, b]) => b.width > 40 && b.height > 40).map(([e, b]) => [e.alt || e.getAttribute('aria-label') || "
        "e.className.baseVal || e.className, b.left + scrollX, b.top + scrollY, b.width, b.height])"
    )
    flat = []
    for name, x, y, width, height in boxes:
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": min(1.0, 300 / width)}
        shot = page.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        grey = np.asarray(image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("L"), dtype=float)
        if grey.std() < LEAST_SPREAD:
            flat.append(f"{name}: {grey.std():.1f}")
    return flat
