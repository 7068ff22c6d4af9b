"""Speed as ratios within one run; `make bench` writes benchmarks/results.md."""

import sys
from types import TracebackType


def _in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What the package refuses is said as its own commands say it; anything else with where it came from."""
    from emotion_interp.core.errors import EmotionInterpError

    if issubclass(kind, EmotionInterpError):
        print(f"error: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if any(word.startswith("benchmarks") for word in sys.orig_argv[1:4]):
    sys.excepthook = _in_one_line
