"""What a page carries inside it: the CircuitsVis bundle from the installed package, and data that cannot break out."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
from functools import cache
from pathlib import Path

from plotly.offline import get_plotlyjs

from emotion_interp.core import FileFormatError


def script_json(value: object) -> str:
    """JSON that is safe inside a `<script>` element: no text in it can close the element or open a comment.

    Example:
        >>> print(script_json("</script>"))
        "\\u003c/script\\u003e"
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return escape_script_json(text)


def escape_script_json(text: str) -> str:
    """Escape what JSON text may not hold inside a `<script>` element."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache
def circuitsvis_bundle() -> str:
    """CircuitsVis' own JavaScript, ready for one inline `<script>`; it defines `window.CircuitsVis`.

    Read from the installed package without importing it: no torch, no look at the network.

    Raises:
        FileFormatError: CircuitsVis is not installed or lacks its bundle.
    """
    found = importlib.util.find_spec("circuitsvis")
    if found is None or found.origin is None:
        raise FileFormatError("circuitsvis is not installed; the token view needs it: pip install circuitsvis.")
    path = Path(found.origin).parent / "dist" / "cdn" / "iife.js"
    if not path.is_file():
        raise FileFormatError(f"{path} is missing; reinstall circuitsvis (1.43 has it).")
    code = path.read_text(encoding="utf-8")
    # the source map is not inlined, and a browser would go and look for it
    code = "\n".join(line for line in code.splitlines() if not line.startswith("//# sourceMappingURL"))
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "\nwindow.CircuitsVis = CircuitsVis;"


@cache
def plotly_bundle() -> str:
    """Plotly's own JavaScript from the installed package, ready for one inline `<script>`."""
    return get_plotlyjs().replace("</script", "<\\/script").replace("<!--", "<\\!--")


@cache
def packed_plotly() -> str:
    """Plotly's JavaScript, gzipped, as base64: 2 MB instead of 4.8; the page unpacks it in the browser."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode("utf-8"), 9, mtime=0)).decode("ascii")
