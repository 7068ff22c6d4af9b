"""The live page: a subject read and steered in a browser, on this machine alone."""

from emotion_interp.app.serve import serve
from emotion_interp.app.snippets import Origin

__all__ = ["Origin", "serve"]
