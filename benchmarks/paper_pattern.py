"""The paper's pattern for the bundled subject, English and Chinese; prints the figures of the README.

`EMOTION_INTERP_DATA=... python -m benchmarks.paper_pattern`: Warriner (valence, arousal) and labMT (Chinese; valence
alone), 4,000 words of each, the shipped bank; learnt in one language, tested in both.
"""

from __future__ import annotations

import time

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError
from emotion_interp.features import shipped_bank

ENGLISH, CHINESE, WORDS, SEED = "warriner", "labmt-zh", 4000, 0
COLUMNS = [
    "claim",
    "language",
    "dimension",
    "first",
    "first_r",
    "second",
    "second_r",
    "effect",
    "low",
    "high",
    "verdict",
]


def main() -> None:
    began = time.perf_counter()
    subject = ei.load_subject()
    bank = shipped_bank(subject)
    norms = [ei.load_norms(ENGLISH), ei.load_norms(CHINESE)]
    runs = [
        ei.predict_ratings(subject, own, bank, transfer=[other], max_words=WORDS, seed=SEED)
        for own, other in (norms, norms[::-1])
    ]
    for run in runs:
        frame = run.to_frame()
        keys = ["train_language", "test_language", "dimension"]
        print(f"\nr, mean over layers (n_words {sorted(set(frame['n_words']))})")
        print(frame.pivot_table(index="feature_set", columns=keys, values="r").round(3).to_string())
        sizes = frame.drop_duplicates(["layer", "feature_set"])
        print("features per layer")
        print(sizes.pivot_table(index="feature_set", columns="layer", values="n_features").to_string())
    for shared in ("intersection", "union", "selected"):
        try:
            pattern = ei.paper_pattern(runs, shared=shared, seed=SEED)
        except EmotionInterpError as error:
            print(f"\nshared = {shared!r}: {error}")
            continue
        print(f"\nshared = {shared!r}: {pattern}")
        print(pattern.to_frame()[COLUMNS].round(3).to_string(index=False))
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
