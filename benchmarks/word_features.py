"""How many emotions have a confirmed feature, or set of features, by how many words they are shown with.

`python -m benchmarks.word_features --model gemma-3-270m --saes SAES [--languages en,es,zh] [--sizes large,extended] [--layers
5,9,12,15] [--write PAGE]`: concept words in carriers, found on one half of the words and carriers and tested on the other
as `find_features` and `sparse_probes` do, everything by default. The same test of the dense stream stands beside them:
what a reader of all coordinates could confirm with these words. Without `--model` the bundled subject.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import emotion_interp as ei
from benchmarks.given import shipped_saes
from benchmarks.tables import markdown, write
from emotion_interp.activations import read_stimuli
from emotion_interp.features.confirm import confirmed_sets
from emotion_interp.features.design import design_stimuli
from emotion_interp.features.probe_fits import dense_cleaner
from emotion_interp.features.probes import Halves, probes_from_readings
from emotion_interp.features.search import FoundOptions, bank_from_readings
from emotion_interp.features.text_scores import class_means

SETS = (8, 16)
SEED = 0


def dense_table(concepts: Any, words: pd.DataFrame, readings: dict[Any, Any]) -> pd.DataFrame:
    """Held-out tests of the difference of means in the dense stream, without the directions neutral text varies along."""
    emotions = concepts.emotions
    rows: list[dict[str, Any]] = []
    scores: dict[str, list[np.ndarray]] = {}
    for site, reading in readings.items():
        for language in concepts.languages:
            halves = Halves(words, language, emotions, reading)
            clean = dense_cleaner(halves.dense, halves.codes, halves.neutral)
            first, second = clean(halves.dense), clean(halves.dense2)
            means = class_means(first, halves.codes, halves.n_classes)[: len(emotions)]
            for i, emotion in enumerate(emotions):
                # towards the emotion from the mean of all: the same direction as from the mean of the others
                direction = means[i] - means.mean(0)
                auroc = halves.auroc((first @ direction)[:, None], i, held_out=False)[0]
                held = second @ direction
                scores.setdefault(language, []).append(held)
                row = {"layer": site.layer, "site": str(site), "language": language, "emotion": emotion, "k": 0}
                row |= {"auroc": auroc, "auroc_heldout": halves.auroc(held[:, None], i, held_out=True)[0]}
                rows.append(row | {"n_words": int((halves.codes2 == i).sum())})
    siblings = {e: {emotions.index(s) for s in concepts.siblings(e)} for e in emotions}
    return confirmed_sets(pd.DataFrame(rows), scores, words, emotions, siblings, SEED)


def measured(subject: ei.Subject, language: str, size: str, layers: list[int] | None) -> tuple[Any, Any, pd.DataFrame]:
    """Bank, probes and the dense table of one language's words."""
    concepts = ei.concept_set(language, size)
    design = design_stimuli(concepts, "words", SEED)
    readings = read_stimuli(subject, design.stimuli, design.units, sites=subject.sae_sites(layers), position="last")
    how = FoundOptions(seed=SEED, kind="words", position="last", skip=8)
    bank = bank_from_readings(subject, concepts, design.words, readings, options=how)
    probes = probes_from_readings(subject, concepts, design.words, readings, ks=(1, *SETS), seed=SEED)
    return bank, probes, dense_table(concepts, design.words, readings)


def counts(language: str, size: str, found: tuple[Any, Any, pd.DataFrame]) -> list[dict[str, Any]]:
    """Rows of the first table."""
    bank, probes, dense = found
    top = bank.summary[bank.summary["layer_fixed"]]
    head = {"language": language, "words": size}
    rows = [
        {
            "what": "top feature",
            "layer": int(top["layer"].iloc[0]),
            "emotions": len(top),
            "confirmed": int(top["confirmed"].sum()),
            "held-out AUROC": float(top["auroc_heldout"].median()),
            "held-out specificity": float(top["held_out_specificity"].median()),
        }
    ]
    for name, table in ((f"set of {k}", probes.frame[probes.frame["k"] == k]) for k in SETS):
        rows.append(_row(name, table))
    rows.append(_row("dense", dense))
    return [head | row for row in rows]


def _row(name: str, table: pd.DataFrame) -> dict[str, Any]:
    fixed = table[table["layer_fixed"]]
    return {
        "what": name,
        "layer": int(fixed["layer"].iloc[0]),
        "emotions": len(fixed),
        "confirmed": int(fixed["confirmed"].sum()),
        "held-out AUROC": float(fixed["auroc_heldout"].median()),
        "held-out specificity": float(fixed["held_out_specificity"].median()),
    }


def by_emotion(language: str, found: tuple[Any, Any, pd.DataFrame]) -> pd.DataFrame:
    """The set of 16 and the dense direction of each emotion at the layer that was fixed for them."""
    _, probes, dense = found
    sets = probes.frame[probes.frame["layer_fixed"] & (probes.frame["k"] == max(SETS))].set_index("emotion")
    beside = dense[dense["layer_fixed"]].set_index("emotion")
    table = pd.DataFrame(
        {
            "language": language,
            "held-out words": sets["n_words"],
            "specificity": sets["held_out_specificity"],
            "least told from": sets["rival"],
            "p (Holm)": sets["p_confirmed"],
            "confirmed": sets["confirmed"],
            "dense specificity": beside["held_out_specificity"],
            "least told from by dense": beside["rival"],
            "dense p (Holm)": beside["p_confirmed"],
        }
    )
    return table.sort_values("p (Holm)").reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=None)
    parser.add_argument("--saes", default=None)
    parser.add_argument("--languages", default="en,es,zh")
    parser.add_argument("--sizes", default="large,extended")
    parser.add_argument("--layers", default=None)
    parser.add_argument("--write", type=Path, default=None)
    given = parser.parse_args()
    layers = None if given.layers is None else [int(layer) for layer in given.layers.split(",")]
    subject = ei.load_subject(given.model, saes=given.saes or shipped_saes(given.model))
    rows, tables = [], []
    for language in given.languages.split(","):
        for size in given.sizes.split(","):
            found = measured(subject, language, size, layers)
            rows += counts(language, size, found)
            print(pd.DataFrame(rows[-4:]).to_string(), flush=True)
        tables.append(by_emotion(language, found))
    command = "python -m benchmarks.word_features" + "".join(
        f" --{name} {value}"
        for name, value in vars(given).items()
        if value is not None and name in ("model", "saes", "languages", "sizes", "layers")
    )
    parts = [
        "# Confirmed features by the number of words",
        f"`{command}`: {subject.name}, concept words in carriers, features and layer chosen on one half of the words and "
        "carriers, tested on the other: Fisher's test, and the least AUROC against an emotion that is no sibling, whose p is "
        "the largest of a permutation p over those emotions; the larger of both, Holm over 28 emotions. "
        '"dense" is the difference of means of the whole stream under the same test: what can be confirmed with these words at '
        "all. The words of the extended sets were written after the figures of the large ones were known and before any "
        "of their own; seed 0 and every other setting are the defaults.",
        markdown(pd.DataFrame(rows)),
        f"## Each emotion, {given.sizes.split(',')[-1]} words",
        "Sets of 16 features and the dense direction, each at its fixed layer.",
        *[markdown(table) for table in tables],
    ]
    print("\n\n".join(parts)) if given.write is None else write(given.write, *parts)


if __name__ == "__main__":
    main()
