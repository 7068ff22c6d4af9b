"""Word ratings from what all features write together, beside the stream: within and across languages, every layer with an SAE.

`EMOTION_INTERP_DATA=... python -m benchmarks.ratings_written --model gemma-3-270m --saes SAES --norms
en=warriner,es=stadthagen2017,zh=cvaw3 --more en=labmt-en,es=labmt-es,zh=labmt-zh,zh=sev`: every word, in the language's first carrier,
or in the mean over its first `--carriers`. `--more`: norms that are learnt and tested by themselves. What is read is kept under `--out`, so that a killed run goes on.
Writes `docs/results/ratings_written.md`, of several carriers `ratings_written_N.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import emotion_interp as ei
from benchmarks.given import shipped_saes
from benchmarks.tables import markdown, write
from emotion_interp.core.files import atomic_file
from emotion_interp.core.types import Site
from emotion_interp.ratings.subject_ratings import predict_parts, read_part, written_by
from emotion_interp.ratings.words import WordActivations

KINDS = ("dense", "written")


def main() -> None:
    asks = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asks.add_argument("--model")
    asks.add_argument("--saes")
    asks.add_argument("--norms", default="en=warriner,es=stadthagen2017,zh=cvaw3")
    asks.add_argument("--more", default="")
    asks.add_argument("--words", type=int, default=0, help="of each norms; 0: all")
    asks.add_argument("--carriers", type=int, default=1, help="of each language, averaged for each word")
    asks.add_argument("--folds", type=int, default=5)
    asks.add_argument("--permutations", type=int, default=199)
    asks.add_argument("--out", type=Path, default=Path("runs/ratings_written"))
    asks.add_argument(
        "--write", type=Path, help="default: docs/results/ratings_written.md, with the number of carriers"
    )
    given = asks.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    subject = ei.load_subject(given.model, saes=given.saes or shipped_saes(given.model))
    # norms know their language; it stands before them as in `benchmarks.ratings_across`
    together, alone = (
        [part.rpartition("=")[2] for part in text.split(",") if part] for text in (given.norms, given.more)
    )
    parts = {name: read(subject, name, given) for name in (*together, *alone)}
    frames = []
    for name in together:
        others = [other for other in together if other != name]
        frames.append(fitted([parts[n] for n in (name, *others)], given).assign(norms=name))
    frames += [fitted([parts[name]], given).assign(norms=name) for name in alone]
    table = pd.concat(frames, ignore_index=True)
    own: Any = table[table["train_language"] == table["test_language"]]
    across: Any = table[table["train_language"] != table["test_language"]]
    title = "## Learnt in one language, tested in another"
    keys = ["train_language", "test_language", "dimension"]
    crossed = [title, markdown(wide(across, keys), 2)] if len(across) else []
    more = "" if given.carriers == 1 else f"_{given.carriers}"
    write(
        given.write or Path(f"docs/results/ratings_written{more}.md"),
        _HEAD.format(model=subject.name, folds=given.folds, **carriers_of(given)),
        "## Within a language",
        markdown(wide(own, ["norms", "train_language", "dimension", "n_words"]), 2),
        *crossed,
        worst(own, across),
    )


def read(subject: ei.Subject, name: str, given: Any) -> WordActivations:
    """The stream and what the features write on every word, kept in single precision; the features themselves are let go."""
    norms = ei.load_norms(name)
    path = given.out / f"{name}_{given.words}_{given.carriers}.npz"
    if not path.is_file():
        part, _ = read_part(subject, norms, max_words=given.words or None, carriers=given.carriers)
        arrays: dict[str, Any] = {"words": np.asarray(part.words)}
        arrays |= {f"dense_{site}": np.asarray(values, np.float32) for site, values in part.dense.items()}
        written = written_by(subject, part.activations)
        arrays |= {f"written_{site}": np.asarray(values, np.float32) for site, values in written.items()}
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
        print(f"{name}: {len(part.words)} words read", flush=True)
    with np.load(path, allow_pickle=False) as kept:
        values = {k: kept[k].astype(np.float64) for k in kept.files if k != "words"}
        words = kept["words"].tolist()
    of = {
        kind: {Site.parse(k.removeprefix(f"{kind}_")): v for k, v in values.items() if k.startswith(f"{kind}_")}
        for kind in KINDS
    }
    return replace(WordActivations({}, words, norms, norms.language), **of)


def carriers_of(given: Any) -> dict[str, str]:
    """How the page says in what the words stood, and by which options."""
    options = f" --model {given.model}" if given.model else ""
    options += f" --carriers {given.carriers}" if given.carriers > 1 else ""
    options += f" --more {given.more}" if given.more else ""
    if given.carriers == 1:
        return {"carriers": "in its language's first carrier", "options": options, "title": ""}
    count = f"{given.carriers} carriers"
    return {"carriers": f"as the mean over its language's first {count}", "options": options, "title": f", {count}"}


def fitted(parts: Sequence[WordActivations], given: Any) -> pd.DataFrame:
    return predict_parts(parts, {}, given.folds, 0, given.permutations, 200).to_frame()


def wide(frame: Any, keys: list[str]) -> Any:
    """One row for each key; columns are layers, the stream beside what the features write."""
    shown = frame.assign(name=[f"{k}, {layer}" for k, layer in zip(frame["feature_set"], frame["layer"], strict=True)])
    table = shown.pivot_table(index=keys, columns="name", values="r", aggfunc="first", sort=False)
    layers = sorted(frame["layer"].unique())
    return table[[f"{kind}, {layer}" for layer in layers for kind in KINDS]].reset_index()


def worst(own: Any, across: Any) -> str:
    """How far what the features write lies below the stream, each at its best layer."""
    lines = []
    for title, frame in (("within a language", own), ("across languages", across)):
        if not len(frame):
            continue
        keys = ["norms", "train_language", "test_language", "dimension"]
        best = frame.groupby([*keys, "feature_set"])["r"].max().unstack("feature_set")
        gap = best["dense"] - best["written"]
        for dimension in ("valence", "arousal"):
            some = gap[gap.index.get_level_values("dimension") == dimension]
            if len(some):
                place = " ".join(dict.fromkeys(map(str, some.idxmax()[:-1])))
                lines.append(f"{dimension} {title} {some.max():.2f} ({place})")
    largest = own["p"].max()
    return f"Largest gap to the stream, each at its best layer: {'; '.join(lines)}. Largest p within a language: {largest:.3f}."


_HEAD = """# Word ratings from what the features write{title}

`python -m benchmarks.ratings_written{options}`:
{model}, every word of the norms {carriers}. dense: the residual stream;
written: what all SAE features write together, their activations times their decoder rows. A ridge on it is a linear read-out of all
features in which those that write alike share a weight; the ridge on single activations is the row "all" of the
[other table](ratings_across.md). It is the SAE's reconstruction without its bias: it says what of the stream the features together
keep, not that single features carry it. Nested cross-validation ({folds} folds by word family), penalty chosen inside; r is the mean over
folds, p of 199 refits to reordered ratings. Warriner, Stadthagen-Gonzalez and CVAW also read each other: learnt in one language, tested in another."""


if __name__ == "__main__":
    main()
