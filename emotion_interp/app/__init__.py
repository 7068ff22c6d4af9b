"""The live page: a subject read and steered in a browser, on this machine alone.

Starlette and a page of its own, not Gradio or Streamlit: those are tens of packages, count their users unless told not to,
and know neither a text of buttons that keys and screen readers walk through nor two texts that grow side by side. Here
the page is a few files without a build step, and its policy lets it ask this server and nothing else.
"""

from emotion_interp.app.serve import serve
from emotion_interp.app.snippets import Origin

__all__ = ["Origin", "serve"]
