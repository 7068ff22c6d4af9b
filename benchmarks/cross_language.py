"""Directions found in Chinese steering English text and back, beside those found in the text's own language.

`python -m benchmarks.cross_language` judges by the next word; with `text` as its argument by the bundled text judges.
"""

from __future__ import annotations

import sys
from typing import Any

import emotion_interp as ei
from emotion_interp.bank import shipped_bank
from emotion_interp.experiments import cross_language
from emotion_interp.study.settings import BASIC_EIGHT

COLUMNS = ["direction_language", "text_language", "emotion", "method", "layer", "dose", "target_unsteered", "target"]
COLUMNS += ["p", "p_holm_chosen", "perplexity_ratio", "distinct2_ratio"]


def main() -> None:
    subject = ei.load_subject()
    options = {"doses": (0.15, 0.25, 0.4), "methods": ("dense", "dense_clean")}
    judges = None
    if sys.argv[1:] == ["text"]:
        judges = {name: ei.load_judge(language=name) for name in ("en", "zh")}
        options |= {"doses": (0.2, 0.35), "layers": (1, 2), "max_new_tokens": 24, "n_random": 199}
    frame: Any = cross_language(subject, shipped_bank(subject), list(BASIC_EIGHT), judges=judges, **options)
    print(frame[COLUMNS].round(4).to_string(index=False))
    passed = frame.assign(passed=frame["p"] < 0.05, holm=frame["p_holm_chosen"] < 0.05, n=1)
    print(passed.groupby(["direction_language", "text_language"])[["passed", "holm", "n"]].sum().to_string())


if __name__ == "__main__":
    main()
