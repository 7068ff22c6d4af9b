"""Judged steering: does sampled text under an emotion's direction read as that emotion, more than under random directions?

`python -m benchmarks.judged_steering [--bank saved_features/bundled] [--model FOLDER --saes FOLDER]` chooses layer,
dose and kind of direction on sentences that runs before have used and reports on those that none has: three sampled
texts of each, the bundled English judge (trained on stories of topics 64-71 and public corpora), 699 random directions
at each chosen site and dose (Holm over 28 emotions needs a smallest p below .0018; 199 could never pass). `--also NAME=BANK`
adds another bank's directions as kinds of their own, "dense_NAME" and "sae_NAME", also of emotions that the first bank
lacks (no story is about admiration, desire or disappointment). Then controls beside each figure, the content kept, and
how steadily the target grows with the dose. `--nulls FOLDER` keeps the random directions' answers, so that a killed run
goes on. `--sentences 1` to `4` are the test sentences of runs before; they are among those for tuning now, since they have
been looked at. Those runs had other settings: 1 `--doses 0.45 --random 799 --samples 5 --margin 1`, 2 `--doses 0.45 --random
799 --margin 1`, 3 `--doses 0.4,0.55 --random 599 --margin 1`, 4 `--random 599`, all with `--tune-random 24`; 3 and 4 had the
directions of eight scenes an emotion where there are no stories.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import emotion_interp as ei
from benchmarks.given import shipped_saes
from emotion_interp.judges import STORY_PROMPTS
from emotion_interp.judges.prompts import PromptSplit

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
    "prompt",
    "dense",
    "strongest other",
    "which",
    "content",
]
DOSES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
_USED, _FRESH = STORY_PROMPTS["en"]
SENTENCES = {
    "1": PromptSplit(_USED[:24], _USED[24:48]),
    "2": PromptSplit(_USED[:48], _USED[48:88]),
    "3": PromptSplit(_USED[40:88], _USED[88:128]),
    "4": PromptSplit(_USED[40:88], _USED[128:168]),
    "5": PromptSplit(_USED[88:168], _FRESH),
}
"""Test set -> sentences to choose on and to report on."""
SAMPLING: dict[str, Any] = {"do_sample": True, "top_k": 50, "max_new_tokens": 30}


def passes(frame: Any) -> Any:
    """Beats random directions after Holm with the text intact."""
    intact = frame["perplexity_ratio"].between(0.5, 2) & (frame["distinct2_ratio"] >= 0.8)
    # multiples of 1 / (random + 1): one that is .05 but for rounding is not below it
    return (frame["p_holm_chosen"] < 0.05 - 1e-9) & intact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bank", type=Path, default=Path("saved_features/bundled"))
    parser.add_argument("--also", action="append", default=[], metavar="NAME=BANK", help="directions of another bank")
    parser.add_argument("--model", default=None)
    parser.add_argument("--saes", default=None)
    parser.add_argument("--layers", default="2,3")
    parser.add_argument("--doses", default="0.4")
    parser.add_argument("--methods", default="dense,sae")
    parser.add_argument("--random", type=int, default=699)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument(
        "--curve-samples", type=int, default=3, help="texts of each sentence and dose of the dose curves"
    )
    parser.add_argument("--sentences", choices=tuple(SENTENCES), default="5", help="which test set")
    parser.add_argument("--margin", type=float, default=0.9, help="share of the limits of fluency while choosing")
    parser.add_argument("--tune-random", type=int, default=100, help="random directions while choosing")
    parser.add_argument("--tuning", type=Path, default=None, help="OUT of a run with the same sentences for tuning")
    parser.add_argument("--nulls", type=Path, default=None, help="folder that keeps random directions' answers")
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    subject = ei.load_subject(given.model, saes=given.saes or shipped_saes(given.model))
    bank = ei.FeatureBank.load(given.bank)
    first, methods = bank.emotions, given.methods.split(",")
    for pair in given.also:
        name, equals, place = pair.partition("=")
        if not (name and equals and place):
            parser.error(f"--also is NAME=BANK, got {pair!r}")
        bank = extended(bank, ei.FeatureBank.load(place), name)
        methods += [f"dense_{name}", f"sae_{name}"]
    if "sae_output" in methods:
        bank = ei.with_output_directions(subject, bank)
    judge = ei.load_judge()
    prompts = SENTENCES[given.sentences]
    test = ei.steering_test(
        subject,
        bank,
        [e for e in bank.emotions if e in judge.emotions],
        list(prompts.tune),
        list(prompts.test),
        layers=[int(x) for x in given.layers.split(",")],
        doses=[float(x) for x in given.doses.split(",")],
        methods=methods,
        n_random=given.random,
        judge=judge,
        samples=given.samples,
        null_folder=given.nulls,
        margin=given.margin,
        tune_random=given.tune_random,
        tuning=None if given.tuning is None else pd.read_parquet(given.tuning / "tuning.parquet"),
        **SAMPLING,
    )
    frame: Any = test.to_frame()
    keep(given.out, test=frame, tuning=test.tuning, confusion=test.confusion, texts=test.texts)
    chosen = frame[frame["chosen"]].assign(passes=passes, content=lambda rows: content_kept(rows, test.texts))
    show(chosen)
    for method, rows in frame.groupby("method"):
        own = passes(rows.assign(p_holm_chosen=rows["p_holm"]))
        print(f"{method} directions alone: {int(own.sum())} of {len(rows)} after Holm, text intact", flush=True)
    beside = ei.steering_controls(
        subject, bank, chosen, list(prompts.test), judge=judge, n_random=0, samples=given.samples, **SAMPLING
    )
    keep(given.out, controls=beside)
    wide = beside.pivot_table(index="emotion", columns="control", values="target")
    wide["which"] = beside[beside["control"] == "strongest other"].set_index("emotion")["which"]
    whole: Any = chosen.drop(columns="dense", errors="ignore").merge(wide.reset_index(), on="emotion", how="left")
    show(whole)
    reached = whole[whole["strongest other"] >= whole["target"]]
    among = reached[reached["passes"]]["emotion"].tolist()
    print(
        f"another emotion's direction reaches as far for {len(reached)}, of those that pass: {', '.join(among) or 'none'}"
    )
    monotonicity(subject, bank, judge, chosen, list(prompts.test), given, first)


def extended(bank: Any, other: Any, name: str) -> Any:
    """A bank that has another one's dense and SAE directions as well, under the kinds "dense_<name>" and "sae_<name>".

    Zeros steer nothing and are reported as missing: old kinds of new emotions, new kinds of emotions the other lacks.
    """
    emotions = [*bank.emotions, *(e for e in other.emotions if e not in bank.emotions)]
    directions = {}
    for key, vectors in bank.directions.items():
        more = np.zeros((len(emotions) - len(vectors), vectors.shape[1]), dtype=vectors.dtype)
        directions[key] = np.concatenate([vectors, more])
    for key, vectors in other.directions.items():
        if key.method in ("dense", "sae") and key._replace(method="dense") in bank.directions:
            wide = np.zeros((len(emotions), vectors.shape[1]), dtype=vectors.dtype)
            wide[[emotions.index(e) for e in other.emotions]] = vectors
            directions[key._replace(method=f"{key.method}_{name}")] = wide
    return replace(bank, directions=directions, manifest={**bank.manifest, "emotions": emotions})


def keep(out: Path | None, **tables: Any) -> None:
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            table.to_parquet(out / f"{name}.parquet")


def show(chosen: Any) -> None:
    columns = [c for c in COLUMNS if c in chosen]
    print(chosen.sort_values("p")[[*columns, "passes"]].round(4).to_string(index=False))
    print(
        f"\n{int(chosen['passes'].sum())} of {len(chosen)} emotions pass (p < .05 before Holm: {int((chosen['p'] < 0.05).sum())})"
    )


def content_kept(chosen: Any, texts: Any) -> list[float]:
    """Mean share of the content words of an unsteered continuation that the steered one of the same random numbers has."""
    from emotion_interp.judges import content_overlap

    written = texts.assign(text=[t[len(p) :] for t, p in zip(texts["text"], texts["prompt"], strict=True)])
    bare = written[written["emotion"] == "unsteered"]
    apart = bare.groupby("prompt")["text"].transform(lambda one: one.to_numpy()[np.roll(np.arange(len(one)), 1)])
    print(
        f"content words shared by two unsteered samples: {np.nanmean(content_overlap(list(bare['text']), list(apart))):.3f}"
    )
    shares = []
    for row in chosen.to_dict("records"):
        same = (written["emotion"] == row["emotion"]) & (written["method"] == row["method"])
        shares.append(float(np.nanmean(content_overlap(bare["text"].tolist(), written[same]["text"].tolist()))))
    return shares


def monotonicity(
    subject: Any, bank: Any, judge: Any, chosen: Any, prompts: list[str], given: argparse.Namespace, first: list[str]
) -> None:
    """Spearman of dose and judged target, over the doses below the first breach of fluency, at each chosen site."""
    from emotion_interp.experiments import dose_monotonicity

    tables = []
    for (layer, method), rows in chosen.groupby(["layer", "method"]):
        grid = ei.dose_response(
            subject,
            bank,
            rows["emotion"].tolist(),
            list(DOSES),
            prompts,
            layers=[int(layer)],
            method=str(method),
            judge=judge,
            n_random=0,
            samples=given.curve_samples,
            **SAMPLING,
        )
        tables.append(grid.table)
    table = pd.concat(tables, ignore_index=True)
    found: Any = dose_monotonicity(table).merge(chosen[["emotion", "passes"]], on="emotion")
    keep(given.out, doses=table)
    print("\ndose against judged target, each emotion at its chosen layer and kind of direction")
    print(found.round(3).to_string(index=False))
    groups = {
        "all": found,
        "those of the first bank": found[found["emotion"].isin(first)],
        "those that pass": found[found["passes"]],
    }
    for name, rows in groups.items():
        print(f"mean Spearman, {name}: {rows['rho'].mean():.3f} ({int(rows['rho'].notna().sum())} of {len(rows)})")


if __name__ == "__main__":
    main()
