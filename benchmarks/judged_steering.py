"""Judged steering: does sampled text under an emotion's direction read as that emotion, more than under random directions?

`python -m benchmarks.judged_steering [--bank saved_features/bundled] [--model FOLDER --saes FOLDER]` chooses layer,
dose and kind of direction on the tuning half of STORY_PROMPTS and reports on the test half: five sampled texts of each
prompt, the bundled English judge (trained on stories of topics 64-71 and public corpora), 599 random directions at each
chosen site and dose (the smallest p, 1/600, is what Holm over 28 emotions needs).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import emotion_interp as ei
from emotion_interp.steering import STORY_PROMPTS

COLUMNS = [
    "emotion",
    "method",
    "layer",
    "dose",
    "target_unsteered",
    "target",
    "random_hi",
    "p",
    "p_holm_chosen",
    "perplexity_ratio",
    "distinct2_ratio",
]
DOSES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
SAMPLING: dict[str, Any] = {"do_sample": True, "top_k": 50, "max_new_tokens": 30}


def passes(frame: Any) -> Any:
    """Beats random directions after Holm with the text intact."""
    intact = frame["perplexity_ratio"].between(0.5, 2) & (frame["distinct2_ratio"] >= 0.8)
    return (frame["p_holm_chosen"] < 0.05) & intact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bank", type=Path, default=Path("saved_features/bundled"))
    parser.add_argument("--model", default=None)
    parser.add_argument("--saes", default=None)
    parser.add_argument("--layers", default="2,3")
    parser.add_argument("--doses", default="0.45")
    parser.add_argument("--methods", default="dense,sae")
    parser.add_argument("--random", type=int, default=599)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    subject = ei.load_subject(given.model, saes=given.saes)
    bank = ei.FeatureBank.load(given.bank)
    judge = ei.load_judge()
    test = ei.steering_test(
        subject,
        bank,
        [e for e in bank.emotions if e in judge.emotions],
        list(STORY_PROMPTS["en"].tune),
        list(STORY_PROMPTS["en"].test),
        layers=[int(x) for x in given.layers.split(",")],
        doses=[float(x) for x in given.doses.split(",")],
        methods=given.methods.split(","),
        n_random=given.random,
        judge=judge,
        samples=given.samples,
        **SAMPLING,
    )
    frame: Any = test.to_frame()
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(given.out / "test.parquet")
        test.tuning.to_parquet(given.out / "tuning.parquet")
        test.confusion.to_parquet(given.out / "confusion.parquet")
        test.texts.to_parquet(given.out / "texts.parquet")
    chosen = frame[frame["chosen"]].assign(passes=passes)
    print(chosen.sort_values("p")[[*COLUMNS, "passes"]].round(4).to_string(index=False))
    print(f"\n{int(chosen['passes'].sum())} of {len(chosen)} emotions pass (of the 28; the stories have {len(chosen)})")
    for method, rows in frame.groupby("method"):
        own = (rows["p_holm"] < 0.05) & passes(rows.assign(p_holm_chosen=rows["p_holm"]))
        print(f"{method} directions alone: {int(own.sum())} of {len(rows)} after Holm, text intact")
    monotonicity(subject, bank, judge, chosen, given.samples)


def monotonicity(subject: Any, bank: Any, judge: Any, chosen: Any, samples: int) -> None:
    """Spearman of dose and judged target, over the doses below the first breach of fluency, at each chosen layer."""
    from emotion_interp.steering import dose_monotonicity

    for layer, rows in chosen.groupby("layer"):
        grid = ei.dose_response(
            subject,
            bank,
            rows["emotion"].tolist(),
            list(DOSES),
            list(STORY_PROMPTS["en"].test),
            layers=[int(layer)],
            method="dense",
            judge=judge,
            n_random=0,
            samples=samples,
            **SAMPLING,
        )
        found: Any = dose_monotonicity(grid.table)
        print(f"\ndose against judged target, dense, layer {layer}: mean Spearman {found['rho'].mean():.3f}")
        print(found.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
