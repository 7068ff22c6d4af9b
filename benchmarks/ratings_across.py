"""Word ratings within and across languages, and the paper's pattern for each pair of them, from one model and its bank.

`EMOTION_INTERP_DATA=... python -m benchmarks.ratings_across --model gemma-3-270m --saes SAES --bank BANK --norms
en=warriner,es=stadthagen2017,zh=cvaw3 --layers 9,12 [--words 0] [--folds 5]`: every word of the norms (0: all), in the language's first
carrier; learnt in one language, tested in all. What one language gives is kept under `--out`, so that a killed run goes on.
Writes `docs/results/ratings_across.md`.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import pandas as pd

import emotion_interp as ei
from benchmarks.given import by_language, shipped_saes
from benchmarks.tables import markdown, write
from emotion_interp.core import EmotionInterpError

_HEAD = """# Word ratings within and across languages

`python -m benchmarks.ratings_across`. Ridge, nested cross-validation; r of predicted and human ratings, mean over folds, with a 95%
interval; ceiling: r over the square root of the norm's reliability where its SD are known. dense: the residual stream. all: every
living SAE latent. selected, intersection, union: features of the bank; outside: as many others, matched for firing rate, drawn 200 times.
static: mean input embedding. length: characters and tokens. Within a language the best layer is not chosen: each layer has its row."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--saes")
    parser.add_argument("--bank", type=Path, help="default: the shipped one")
    parser.add_argument("--norms", type=by_language, default="en=warriner,zh=labmt-zh")
    parser.add_argument("--layers")
    parser.add_argument("--words", type=int, default=4000, help="of each norms; 0: all")
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--out", type=Path, default=Path("runs/ratings_across"))
    parser.add_argument("--write", type=Path, default=Path("docs/results/ratings_across.md"))
    given = parser.parse_args()
    names: dict[str, str] = given.norms
    frames, predictions = computed(given, names)
    lines = [markdown(within(frames), 3)]
    if len(names) > 1:
        lines += ["## Across languages, valence and arousal", markdown(across(frames), 3)]
    for first, second in itertools.combinations(names, 2):
        lines += [f"## The paper's pattern: {first} and {second}", pattern(predictions, {first, second})]
    told = ",".join(f"{code}={name}" for code, name in names.items())
    write(given.write, _HEAD, f"Model {given.model or 'bundled'}; norms {told}.", *lines)


def computed(given: Any, names: dict[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Figures and predictions of every language learnt; what is kept is not computed again."""
    given.out.mkdir(parents=True, exist_ok=True)
    subject, norms, found = None, {}, []
    for language in names:
        files = [given.out / f"{language}_{kind}.parquet" for kind in ("figures", "predictions")]
        if not all(file.is_file() for file in files):
            if subject is None:
                subject = ei.load_subject(given.model, saes=given.saes or shipped_saes(given.model))
                bank = ei.FeatureBank.load(given.bank) if given.bank else ei.shipped_bank(subject)
                norms = {code: ei.load_norms(name) for code, name in names.items()}
            began = time.monotonic()
            ratings = ei.predict_ratings(
                subject,
                norms[language],
                bank,
                layers=None if given.layers is None else [int(n) for n in given.layers.split(",")],
                transfer=[norms[code] for code in names if code != language],
                max_words=given.words or None,
                folds=given.folds,
                n_permutations=given.permutations,
            )
            for file, frame in zip(files, (ratings.to_frame(), ratings.predictions), strict=True):
                frame.to_parquet(file)
            print(f"{language}: {time.monotonic() - began:.0f} s", flush=True)
        found.append([pd.read_parquet(file) for file in files])
    figures, predictions = (pd.concat(part, ignore_index=True) for part in zip(*found, strict=True))
    return figures, predictions


def within(frames: pd.DataFrame) -> Any:
    """One row for each language, dimension and feature set; columns are layers."""
    own: Any = frames[frames["train_language"] == frames["test_language"]].copy()
    own["r [95%]"] = [f"{r:.2f} [{a:.2f}, {b:.2f}]" for r, a, b in own[["r", "r_lo", "r_hi"]].to_numpy()]
    own["layer"] = [f"layer {n}" for n in own["layer"]]
    keys = ["train_language", "dimension", "feature_set"]
    wide = own.pivot_table(index=keys, columns="layer", values="r [95%]", aggfunc="first", sort=False)
    sizes = own.groupby(keys, sort=False).agg(words=("n_words", "max"), features=("n_features", "max"))
    ceiling = own.groupby(keys, sort=False)["r_over_ceiling"].max().rename("best r over ceiling")
    return sizes.join(wide).join(ceiling).reset_index()


def across(frames: pd.DataFrame) -> Any:
    """Learnt in one language, tested in another: dense, all features, shared features; mean over layers."""
    other: Any = frames[frames["train_language"] != frames["test_language"]]
    wide = other.pivot_table(
        index=["train_language", "test_language", "dimension"], columns=["feature_set", "layer"], values="r", sort=False
    )
    wide = wide[[c for c in wide.columns if c[0] in ("dense", "all", "intersection", "union", "outside_intersection")]]
    wide.columns = [f"{feature_set}, layer {layer}" for feature_set, layer in wide.columns]
    return wide.reset_index()


def pattern(predictions: pd.DataFrame, pair: set[str]) -> str:
    """Verdict of each claim for two languages, with the differences behind it."""
    own = predictions[predictions["train_language"].isin(pair) & predictions["test_language"].isin(pair)]
    try:
        tested = ei.paper_pattern(own, shared="intersection")
    except EmotionInterpError as error:
        return str(error)
    rows = tested.to_frame()
    rows = rows[rows["verdict"] != "not tested"]
    columns = ["claim", "statement", "language", "dimension", "first_r", "second_r", "effect", "low", "high", "verdict"]
    verdicts = "; ".join(f"({claim}) {verdict}" for claim, verdict in tested.verdicts.items())
    return f"{verdicts}\n\n{markdown(rows[columns], 3)}"


if __name__ == "__main__":
    main()
