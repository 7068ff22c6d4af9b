"""The pieces a page is built from: figure, table, choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from emotion_interp.report.assets import escape_script_json
from emotion_interp.report.brief import Block, number


def figure_block(figure: go.Figure) -> Block:
    """A figure for the page: its JSON, its heading and line as text, so that they wrap on a narrow screen."""
    bare = go.Figure(figure)
    meta = bare.layout.meta
    spare = meta["title_height"]
    bare.update_layout(title=None, height=bare.layout.height - spare, margin_t=bare.layout.margin.t - spare)
    return {
        "type": "figure",
        "title": meta["title"],
        "how_to_read": meta["how_to_read"],
        "min_width": meta["min_width"],
        "height": bare.layout.height,
        "narrow_height": meta["narrow"]["height"],
        "narrow_min_width": meta["narrow"]["min_width"],
        "json": escape_script_json(str(bare.to_json())),
    }


def cell(value: object, digits: int = 2) -> str:
    """One value as text: "yes"/"no", integers without a point, "–" for missing."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if value is None or (isinstance(value, (float, np.floating)) and np.isnan(value)):
        return "–"
    if isinstance(value, (int, np.integer)):
        return str(value)
    if isinstance(value, (float, np.floating)):
        return number(float(value), digits)
    return str(value)


def table_block(
    frame: pd.DataFrame,
    columns: dict[str, str],
    *,
    digits: dict[str, int] | None = None,
    caption: str = "",
    note: str = "",
) -> Block:
    """A table for the page.

    Args:
        frame: the rows.
        columns: column -> heading, in order; columns that hold nothing at all are left out.
        digits: decimals by column, 2 unless told; 0 for counts.
        caption: what the table shows.
        note: how to read it, shown below the caption.
    """
    digits = digits or {}
    kept = [c for c in columns if frame[c].notna().any()]
    texts = {c: [cell(v, digits.get(c, 2)) for v in frame[c]] for c in kept}
    numeric = [frame[c].dtype.kind in "fiu" for c in kept]
    return {
        "type": "table",
        "caption": caption,
        "note": note,
        "headings": [columns[c] for c in kept],
        "numeric": numeric,
        "rows": list(zip(*(texts[c] for c in kept), strict=True)),
    }


def joined_interval(frame: pd.DataFrame, low: str, high: str, digits: int = 2) -> list[str | float]:
    """Two interval columns as one text column; missing where the interval is."""
    return [
        f"[{number(a, digits)}, {number(b, digits)}]" if a == a and b == b else float("nan")
        for a, b in zip(frame[low], frame[high], strict=True)
    ]


def choice_block(label: str, panels: Sequence[tuple[str, Sequence[Mapping[str, object]]]], chosen: int = 0) -> Block:
    """Panels of which the reader sees one at a time."""
    return {
        "type": "choice",
        "label": label,
        "chosen": chosen,
        "panels": [{"name": name, "blocks": blocks} for name, blocks in panels],
    }


def folded_block(summary: str, blocks: Sequence[Mapping[str, object]]) -> Block:
    """Blocks that stand folded under one line."""
    return {"type": "details", "summary": summary, "blocks": list(blocks)}


def flattened(value: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """A nested dict as (name, value) rows."""
    rows = []
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict):
            rows += flattened(item, f"{name} · ")
        elif isinstance(item, (list, tuple)):
            rows.append((name, ", ".join(map(str, item))))
        else:
            rows.append((name, cell(item, 4)))
    return rows
