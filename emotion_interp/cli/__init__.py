"""The command `emotion-interp`: thin, one function per command; heavy imports happen inside the commands."""

from emotion_interp.cli.main import app, main

__all__ = ["app", "main"]
