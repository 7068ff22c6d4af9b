"""The demo's steering test once more, on prompts that were written after every rule and setting was fixed.

`python -m benchmarks.fresh_prompts` prints the table; nothing is chosen here, the tuning prompts are the demo's.
"""

from __future__ import annotations

import emotion_interp as ei
from emotion_interp.features import shipped_bank
from emotion_interp.steering import NEUTRAL_PROMPTS
from emotion_interp.study.settings import BASIC_EIGHT, StudySettings

PROMPTS = [
    "The doctor put away his papers and felt",
    "At the bus stop the two women were",
    "Her uncle came back from the market and was",
    "After dinner the guests seemed",
    "The boy carried the box upstairs and was",
    "She looked up from the newspaper and felt",
    "When the phone rang again, he was",
    "The clerk at the station was",
    "My grandmother sat by the stove and was",
    "He counted the coins twice and felt",
    "On the stairs they met a man who was",
    "The manager read the list aloud and was",
]

COLUMNS = ["emotion", "method", "layer", "dose", "target_unsteered", "target", "p", "p_holm_chosen", "perplexity_ratio"]


def main() -> None:
    subject, settings = ei.load_subject(), StudySettings()
    frame = ei.steering_test(
        subject,
        shipped_bank(subject),
        list(BASIC_EIGHT),
        list(NEUTRAL_PROMPTS["en"].tune),
        PROMPTS,
        doses=settings.doses,
        methods=settings.methods,
        seed=settings.seed,
    ).to_frame()
    print(frame[frame["chosen"]].sort_values("emotion")[COLUMNS].round(4).to_string(index=False))


if __name__ == "__main__":
    main()
