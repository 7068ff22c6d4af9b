"""The paper's pattern for the bundled subject, English and Chinese; prints docs/results/paper_pattern.md.

`EMOTION_INTERP_DATA=... python -m benchmarks.paper_pattern`: Warriner (valence, arousal) and labMT (Chinese; valence
alone), 4,000 words of each, the shipped bank; learnt in one language, tested in both. Outside sets drawn 200 times.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import pandas as pd

import emotion_interp as ei
from benchmarks.text_row import table
from emotion_interp.bank import shipped_bank
from emotion_interp.core import EmotionInterpError

ENGLISH, CHINESE, WORDS, SEED = "warriner", "labmt-zh", 4000, 0


def main() -> None:
    began = time.perf_counter()
    subject = ei.load_subject()
    bank = shipped_bank(subject)
    norms = [ei.load_norms(ENGLISH), ei.load_norms(CHINESE)]
    runs = [
        ei.predict_ratings(subject, own, bank, transfer=[other], max_words=WORDS, seed=SEED)
        for own, other in (norms, norms[::-1])
    ]
    print("# The paper's pattern\n\nMade by `python -m benchmarks.paper_pattern`.\n")
    print(
        f"Bundled subject, its shipped bank, {WORDS} words of {ENGLISH} and of {CHINESE}; r averaged over folds and layers."
    )
    for run in runs:
        frame = run.to_frame()
        keys = ["train_language", "test_language", "dimension"]
        wide = frame.pivot_table(index="feature_set", columns=keys, values="r").round(3)
        wide.columns = [f"{a} to {b}, {d}" for a, b, d in wide.columns]
        sizes = frame.groupby("feature_set")["n_features"].agg(lambda n: f"{n.min()} to {n.max()}")
        wide.insert(0, "features per layer", sizes)
        wide["r of the draws (own language, valence)"] = _draws(frame)
        print(f"\n## Learnt in {frame['train_language'].iloc[0]}\n\n{table(wide.reset_index())}")
    for shared in ("intersection", "union", "selected"):
        try:
            pattern = ei.paper_pattern(runs, shared=shared, seed=SEED)
        except EmotionInterpError as error:
            print(f"\n## Shared: {shared}\n\n{error}")
            continue
        found = pattern.to_frame().round(3)
        rows = pd.DataFrame(
            {
                "claim": found["claim"] + ": " + found["statement"],
                "language": found["language"],
                "dimension": found["dimension"],
                "first r": found["first_r"],
                "second r": found["second_r"],
                "effect [95%]": [
                    f"{e:.3f} [{a:.3f}, {b:.3f}]" for e, a, b in found[["effect", "low", "high"]].to_numpy()
                ],
                "draws": found["n_draws"],
                "static r": found["static_r"],
                "length r": found["length_r"],
                "frequency r": found["frequency_r"],
                "verdict": found["verdict"],
            }
        )
        verdicts = "; ".join(f"({claim}) {verdict}" for claim, verdict in pattern.verdicts.items())
        print(f"\n## Shared: {shared}\n\n{verdicts}\n\n{table(rows[found['verdict'] != 'not tested'])}")
    print(f"\n{time.perf_counter() - began:.0f} s", file=sys.stderr)


def _draws(frame: Any) -> Any:
    """Mean and middle 95% of the redrawn sets, mean over layers."""
    own = frame[(frame["train_language"] == frame["test_language"]) & (frame["dimension"] == "valence")]
    means = own.groupby("feature_set")[["r_draws", "r_draws_lo", "r_draws_hi"]].mean().dropna()
    return means.apply(lambda row: f"{row.iloc[0]:.3f} [{row.iloc[1]:.3f}, {row.iloc[2]:.3f}]", axis=1)


if __name__ == "__main__":
    main()
