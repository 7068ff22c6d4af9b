"""The valence/arousal dial: 5 x 5 requested coordinates against those of the written text, judged by EmoBank's judge.

`python -m benchmarks.dial` chooses layer, dose and kind of direction on the tuning prompts and reports on the test prompts.
"""

from __future__ import annotations

import emotion_interp as ei
from emotion_interp.features import shipped_bank
from emotion_interp.steering import NEUTRAL_PROMPTS, dial_test


def main() -> None:
    subject = ei.load_subject()
    grid, tuning = dial_test(
        subject,
        shipped_bank(subject),
        *NEUTRAL_PROMPTS["en"],
        doses=(0.1, 0.15),
        methods=("dense", "dense_clean"),
        max_new_tokens=30,
    )
    print(tuning.round(3).to_string(index=False))
    print(grid.fit.round(3).to_string(index=False))
    print(grid.table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
