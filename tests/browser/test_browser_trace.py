"""The token view as a page: names of emotions stand under their tokens and on nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotion_interp.report.trace_view import ShownTrace, trace_page

TOKENS = ("I", " a", "!", " am", " 我", "们", " so", ",", " disappointed", ".", " A", " b", "c")
TOPS = (0, 1, 1, 2, 2, 2, 0, 1, 0, 0, 0, 1, 2)
NAMES = ("disappointment", "embarrassment", "joy")

MEASURED = """[...document.querySelectorAll('.ei-token')].map(token => {
  const range = document.createRange(); range.selectNodeContents(token.firstChild);
  const box = r => ({left: r.left, right: r.right, top: r.top, bottom: r.bottom});
  const small = token.querySelector('small');
  return {name: small.textContent, text: box(range.getBoundingClientRect()), label: box(small.getBoundingClientRect())};
})"""


@pytest.fixture()
def path(tmp_path: Path) -> Path:
    """Every token shows something; the second layer shows one emotion all along."""
    values = np.zeros((2, len(TOKENS), 3))
    values[0, np.arange(len(TOKENS)), TOPS] = 3.0
    values[1, :, 2] = 3.0
    shown = ShownTrace(
        note="a note",
        tokens=TOKENS,
        marks=((),) * len(TOKENS),
        sentence_ranges=((0, 10), (10, len(TOKENS))),
        emotions=NAMES,
        layers=("layer 0", "layer 1"),
        start=0,
        values={"features": values, "dense": values[::-1]},
        sentences={"features": values[:, :2], "dense": values[:, :2]},
        token_levels=np.ones(2),
        sentence_levels=np.ones((2, 2)),
        facts={"features": ("", ""), "dense": ("", "")},
    )
    trace_page(shown, tmp_path / "trace.html")
    return tmp_path / "trace.html"


def overlaps(a: dict[str, float], b: dict[str, float]) -> bool:
    """Whether two boxes share more than rounding."""
    return (
        min(a["right"], b["right"]) - max(a["left"], b["left"]) > 1
        and min(a["bottom"], b["bottom"]) - max(a["top"], b["top"]) > 1
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_no_name_stands_on_a_token_or_on_another_name(page: Any, path: Path, width: int) -> None:
    page.open(path, width)
    page.wait_for("!document.querySelector('.ei-controls').hidden")
    tokens = page.evaluate(MEASURED)
    boxes = [t["text"] for t in tokens] + [t["label"] for t in tokens if t["name"]]
    assert len(boxes) > len(tokens) + 6
    touching = [(i, k) for i in range(len(boxes)) for k in range(i) if overlaps(boxes[i], boxes[k])]
    assert touching == []
    assert page.problems == []


def test_a_run_of_one_emotion_is_named_once_and_anew_in_each_sentence(page: Any, path: Path) -> None:
    before = path.read_text().split("<script>")[0]
    without_script = [part.split("</small>")[0] for part in before.split("<small>")[1:]]
    wanted = [NAMES[t] if i in (0, 10) or t != TOPS[i - 1] else "" for i, t in enumerate(TOPS)]
    assert without_script == wanted
    page.open(path, 1280)
    page.wait_for("!document.querySelector('.ei-controls').hidden")
    assert [token["name"] for token in page.evaluate(MEASURED)] == wanted
    page.evaluate(
        "(() => { const r = document.querySelector('input'); r.value = 1; r.dispatchEvent(new Event('input')); })()"
    )
    names = [token["name"] for token in page.evaluate(MEASURED)]
    assert [i for i, name in enumerate(names) if name] == [0, 10] and set(names) == {"", "joy"}
