"""A concept set as a table for notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from emotion_interp.concepts.model import NEUTRAL, LanguageConcepts
from emotion_interp.core.markup import fragment, joined


def concepts_html(caption: str, emotions: Sequence[str], parts: Sequence[LanguageConcepts]) -> str:
    """Emotions by languages: how many words, and the first of them."""
    head = joined(fragment("<th>{}</th>", part.language) for part in parts)
    rows = []
    for emotion in (*emotions, NEUTRAL):
        cells = []
        for part in parts:
            words = [w.word for e, w in part.words_by_emotion() if e == emotion]
            more = ", ..." if len(words) > 8 else ""
            cells.append(fragment("<td>{}: {}{}</td>", len(words), ", ".join(words[:8]), more))
        rows.append(fragment("<tr><th>{}</th>{}</tr>", emotion, joined(cells)))
    table = "<p>{}</p><table><tr><th>emotion</th>{}</tr>{}</table>"
    return fragment(table, caption, head, joined(rows))
