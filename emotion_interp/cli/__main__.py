"""python -m emotion_interp.cli."""

from emotion_interp.cli import main

main()
