"""The one way by which names become HTML, picture labels or terminal text: escaped, and without control characters.

Names come from strangers: from banks, corpora, norms and models. What a name says is shown; what it does is not done.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    import pandas as pd

# C0 and C1 (terminals obey them), embeddings, overrides and isolates of direction (they reorder what stands around
# them), separators of lines, halves of surrogate pairs. Joiners, marks and tags of emoji stay: they are spelling.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")
MOST_ROWS = 60
"""Rows of a table in a notebook; of a longer one the first and last are shown."""


def clean(text: object) -> str:
    """Text without control characters and without marks that reorder other text; line breaks and tabs stay.

    Example:
        >>> clean("joy\\x1b[31m\\u202e")
        'joy[31m'
    """
    return _CONTROLS.sub("", str(text))


def named(text: object) -> str:
    """Text in which each control character is shown by its number, where text is shown for its own sake."""
    return _CONTROLS.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", str(text))


def escaped(text: object) -> Markup:
    """Text as HTML that reads as the text does, in an element or an attribute.

    Example:
        >>> print(escaped("<b>"))
        &lt;b&gt;
    """
    return text if isinstance(text, Markup) else escape(clean(text))


def unescaped(text: str) -> str:
    """The characters that a text with entities stands for; what is drawn of it is escaped anew."""
    return html.unescape(text)


def fragment(template: str, *values: object, **names: object) -> Markup:
    """HTML from a template with {} for values, all of which are escaped unless they are Markup already.

    Example:
        >>> print(fragment("<p>{}</p>", "<script>"))
        <p>&lt;script&gt;</p>
    """
    return Markup(template).format(*map(_value, values), **{k: _value(v) for k, v in names.items()})


def picture_label(text: object) -> str:
    """Text that Plotly shows as it is: its labels are a small HTML with links, and a hover text reads %{...} as a template."""
    # quotes stay: they are no markup there; Plotly turns entities back into what they stand for
    return html.escape(clean(text), quote=False).replace("%{", "&#37;{")


def markdown(text: object) -> str:
    """Text in Markdown, which pages turn into HTML: on one line, no element, link, code or cell of a table.

    Example:
        >>> markdown("<b> | [a](b)")
        '&lt;b&gt; \\\\| \\\\[a](b)'
    """
    line = html.escape(" ".join(clean(text).split()), quote=False)
    return re.sub(r"([|`\[])", r"\\\1", line)


def joined(parts: Iterable[object]) -> Markup:
    """Pieces of HTML behind each other; text among them is escaped."""
    return Markup("").join(escaped(part) for part in parts)


def frame_html(frame: pd.DataFrame, digits: int | None = None, index: bool = False) -> Markup:
    """A table as HTML: names of columns and rows and every text in it escaped.

    Args:
        frame: the table.
        digits: decimals of its numbers; default: as pandas writes them.
        index: show the names of its rows.
    """
    shown = frame.copy()
    for place, kind in enumerate(frame.dtypes):
        if kind.kind not in "biufcmM":
            shown.isetitem(place, frame.iloc[:, place].map(_cell))
    shown.columns = _labels(frame.columns)
    if index:
        shown.index = _labels(frame.index)
    style: Callable[[float], str] | None = None if digits is None else lambda value: f"{value:.{digits}f}"
    rows = {"max_rows": MOST_ROWS, "show_dimensions": len(frame) > MOST_ROWS}
    return Markup(shown.to_html(index=index, float_format=style, escape=True, **rows))


def summary_html(result: object, *frames: pd.DataFrame, digits: int | None = None, index: bool = False) -> Markup:
    """How a result shows itself in a notebook: its `repr` (or a line of its own), and tables below."""
    line = result if isinstance(result, str) else repr(result)
    return joined([fragment("<p>{}</p>", line), *(frame_html(f, digits, index) for f in frames)])


def facts_html(thing: object, facts: Mapping[str, object]) -> Markup:
    """How a thing that is no table shows itself in a notebook: its `repr`, and what else is known of it."""
    rows = (fragment("<tr><th>{}</th><td>{}</td></tr>", name, value) for name, value in facts.items())
    return fragment("<p>{}</p><table>{}</table>", repr(thing), joined(rows))


def _value(value: object) -> object:
    return value if isinstance(value, (Markup, int, float)) else escaped(value)


def _cell(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    # lists, arrays and dictionaries are written with the text in them
    return clean(value) if hasattr(value, "__iter__") else value


def _labels(labels: pd.Index) -> pd.Index:
    import pandas as pd

    names = [None if n is None else clean(n) for n in labels.names]
    if isinstance(labels, pd.MultiIndex):
        return pd.MultiIndex.from_tuples([tuple(map(_cell, label)) for label in labels], names=names)
    return pd.Index([_cell(label) for label in labels], name=names[0])
