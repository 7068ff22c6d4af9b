"""`python -m emotion_interp`, the same as `emotion-interp`."""

from emotion_interp.cli import main

if __name__ == "__main__":
    main()
