"""Does the selection of features hold up? Planted truth, shuffled labels, determinism; the full runs, as tables.

`python -m benchmarks.calibration planted|fresh|shuffled|confirmed|determinism` (all without a name). The specificity floor of
`Selection()` was chosen on the planted runs (seeds 0-49); "fresh" reports it on seeds that had no part in that.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import confirmation
from benchmarks.planted import STRENGTHS, planted_readings, planted_subject

if TYPE_CHECKING:
    import pandas as pd

PLANTED_RUNS = (("orthogonal", "words"), ("overcomplete", "words"), ("orthogonal", "scenes"))
PLANTED_SEEDS, SHUFFLES = 50, 200
DICTIONARIES = {"orthogonal": (512, 512), "overcomplete": (1024, 256)}
"""Name -> latents, dimensions. Overlapping latents leak into each other: a latent that picks up a planted one counts as
false here, although it does answer to the emotion."""
FLOORS = (0.5, 0.55, 0.6, 0.65, 0.7)
"""Specificity floors at which the planted runs are counted; each run selects at the first, the rest filter its selection."""


# -- planted truth ----------------------------------------------------------------------------------------------------
def planted_run(subject: Any, concepts: Any, seed: int, kind: str) -> pd.DataFrame:
    """One search of planted readings: every tested pair of the bank with its role and whether it is planted."""
    from emotion_interp.features import Selection
    from emotion_interp.features.search import bank_from_readings

    drawn = planted_readings(subject, concepts, seed, kind)
    position = "last" if kind == "words" else "text"
    # at the lowest floor, whatever the default is, so that every floor can be counted from one run
    chosen = Selection(min_specificity=FLOORS[0])
    bank = bank_from_readings(
        subject, concepts, drawn.words, drawn.readings, position=position, selection=chosen, seed=seed, kind=kind
    )
    roles = dict(zip(drawn.roles["feature"], drawn.roles["role"], strict=True))
    truth = drawn.truth()
    frame = bank.features.copy()
    frame["role"] = [roles.get(feature, "background") for feature in frame["feature"]]
    frame["planted"] = [pair in truth for pair in zip(frame["feature"], frame["emotion"], strict=True)]
    # a planted feature under another emotion is a mistake of its own
    frame.loc[~frame["planted"] & frame["role"].isin([*STRENGTHS, "siblings"]), "role"] = "other emotion's feature"
    frame.attrs["sizes"] = {
        role: sum(map(len, own["emotions"])) * len(bank.languages)
        for role, own in drawn.roles.groupby("role")
        if role in STRENGTHS or role == "siblings"
    }
    return frame


def count_planted(frame: pd.DataFrame, floor: float = 0.5) -> dict[str, float]:
    """Recall by role and false discovery rates of one run's selected pairs at a specificity floor.

    fdr counts every selected pair of feature and emotion that is not planted, confounded features included;
    fdr_background counts those of background latents alone, which know of an emotion only what leaks into them where
    the dictionary is overcomplete.
    """
    chosen: Any = frame[frame["selected"] & (frame["specificity"] >= floor)]
    sizes: dict[str, int] = frame.attrs["sizes"]
    hits = chosen[chosen["planted"]]
    row = {f"recall {role}": float((hits["role"] == role).sum() / size) for role, size in sizes.items()}
    false = chosen[~chosen["planted"]]
    n = max(1, len(chosen))
    row |= {
        "recall": len(hits) / sum(sizes.values()),
        "fdr": len(false) / n,
        "fdr_background": float((false["role"] == "background").sum() / n),
        "selected": float(len(chosen)),
    }
    return row | {f"false: {role}": float((false["role"] == role).sum()) for role in FALSE_ROLES}


FALSE_ROLES = ("background", "other emotion's feature", "lexical", "valence", "any emotion", "strangers")


def planted(seeds: int = PLANTED_SEEDS, first: int = 0) -> None:
    import pandas as pd
    from scipy.stats import t

    import emotion_interp as ei

    concepts = ei.concept_set("en") | ei.concept_set("zh")
    for name, kind in PLANTED_RUNS:
        subject = planted_subject(*DICTIONARIES[name])
        runs = [planted_run(subject, concepts, seed, kind) for seed in range(first, first + seeds)]
        tables = {floor: pd.DataFrame([count_planted(run, floor) for run in runs]) for floor in FLOORS}
        latents, dimensions = DICTIONARIES[name]
        print(f"\n## Planted truth, {kind}, {latents} latents in {dimensions} dimensions ({name})\n")
        print(f"seeds {first} to {first + seeds - 1}, q = .05, means over seeds\n")
        rows = []
        for floor, table in tables.items():
            margin = t.ppf(0.975, seeds - 1) * table["fdr"].std(ddof=1) / np.sqrt(seeds)
            mean = table["fdr"].mean()
            interval = f"[{mean - margin:.3f}, {mean + margin:.3f}]"
            rows.append({"min_specificity": floor, **table.mean().round(3), "fdr 95% interval": interval})
        print(pd.DataFrame(rows).set_index("min_specificity").T.to_string(), flush=True)


# -- shuffled labels --------------------------------------------------------------------------------------------------
def shuffle_emotions(words: pd.DataFrame, rng: np.random.Generator, keep_neutral: bool = False) -> pd.DataFrame:
    """Units with the emotions of whole groups permuted within each half.

    A group (a word with its relatives and translations, a scene with its translation) is what the split keeps together,
    so it is what can be exchanged. The test sets an emotion against all the rest, neutral units included: they are
    exchangeable only if neutral is shuffled with the others. `keep_neutral` shuffles the emotions among themselves.
    """
    groups: Any = words.drop_duplicates("group")[["group", "emotion", "side"]]
    label = dict(zip(groups["group"], groups["emotion"], strict=True))
    for side in ("discovery", "confirmation"):
        moved = groups[groups["side"] == side]
        if keep_neutral:
            moved = moved[moved["emotion"] != "neutral"]
        names = moved["group"].to_numpy()
        label.update(zip(names, moved["emotion"].to_numpy()[rng.permutation(len(names))], strict=True))
    return words.assign(emotion=[label[group] for group in words["group"]])


def fired_by_level(words: pd.DataFrame, readings: Any) -> dict[tuple[Any, str], Any]:
    """Readings whose `fired` is what the search takes it for on texts, per site and language: it knows no label."""
    from emotion_interp.stats.firing import above_level

    found = {}
    for site, reading in readings.items():
        for language in sorted(set(words["language"])):
            own: Any = words[words["language"] == language]
            units = own["unit"].to_numpy()
            fired = above_level(reading.features, units).astype(np.float32)
            found[site, language] = replace(reading, fired=fired)
    return found


def any_selected(
    subject: Any, concepts: Any, words: pd.DataFrame, readings: Any, kind: str, levels: Any = None
) -> tuple[bool, int]:
    """Whether a search selects any feature, and how many pairs.

    The tests of the search come first, in one family as the search has it; only where one passes is all the rest run.
    `levels` spares working out `fired_by_level` again for every shuffle.
    """
    from scipy.stats import false_discovery_control

    from emotion_interp.features import Selection
    from emotion_interp.features.block import Block
    from emotion_interp.features.search import bank_from_readings

    emotions = [e for e in concepts.emotions if (words["emotion"] == e).any()]
    languages = [lang for lang in concepts.languages if (words["language"] == lang).any()]
    blocks = [
        Block(
            site,
            language,
            levels[site, language] if levels else reading,
            words,
            emotions,
            not levels and kind != "words",
        )
        for site, reading in readings.items()
        for language in languages
    ]
    q = false_discovery_control(np.concatenate([b.p[:, b.alive].ravel() for b in blocks]))
    if q.min() > Selection().max_q:
        return False, 0
    bank = bank_from_readings(
        subject, concepts, words, readings, position="last", selection=Selection(), seed=0, kind=kind
    )
    selected = int(bank.features["selected"].to_numpy().sum())
    return selected > 0, selected


def shuffled(runs: int = SHUFFLES) -> None:
    import pandas as pd

    import emotion_interp as ei
    from emotion_interp.activations import read_stimuli
    from emotion_interp.features.design import design_stimuli

    subject = ei.load_subject()
    both = ei.concept_set("en") | ei.concept_set("zh")
    rows = []
    for kind, position in (("scenes", "text"), ("words", "last")):
        design = design_stimuli(both, kind, 0)
        readings = read_stimuli(subject, design.stimuli, design.units, position=position, skip=8)
        levels = fired_by_level(design.words, readings) if kind != "words" else None
        for languages in (["en"], ["zh"], ["en", "zh"]):
            words: Any = design.words[design.words["language"].isin(languages)]
            for keep_neutral in (False, True):
                found = []
                for run in range(runs):
                    mixed = shuffle_emotions(words, np.random.default_rng([1, run]), keep_neutral)
                    found.append(any_selected(subject, both, mixed, readings, kind, levels))
                rows.append(
                    {
                        "stimuli": kind,
                        "languages": "+".join(languages),
                        "shuffled": "emotions only" if keep_neutral else "emotions and neutral",
                        "runs": runs,
                        "runs with a feature": sum(hit for hit, _ in found),
                        "most in one run": max(n for _, n in found),
                    }
                )
                print(rows[-1], flush=True)
    print(f"\n## Shuffled labels: at most 17 of 200 runs may report a feature\n\n{pd.DataFrame(rows).to_string()}")


# -- determinism ------------------------------------------------------------------------------------------------------
def save_bank(folder: str, threads: str, kind: str) -> None:
    """One search of the bundled subject at a number of threads, saved: run in a process of its own."""
    import torch

    import emotion_interp as ei
    from emotion_interp.features import Selection

    torch.set_num_threads(int(threads))
    concepts = ei.concept_set("en") | ei.concept_set("zh")
    stimuli: Any = kind
    if kind == "shipped":
        stimuli = [
            *ei.corpus_stimuli("stories", "en", split="subject", limit=120),
            *ei.corpus_stimuli("brighter", "zh", split="train", limit=120),
        ]
    selection = Selection(max_features=4) if kind == "shipped" else Selection()
    ei.find_features(ei.load_subject(), concepts, stimuli=stimuli, selection=selection).save(folder)


def run_apart(folder: Path, threads: int, kind: str) -> Path:
    command = [sys.executable, "-m", "benchmarks.calibration", "save", str(folder), str(threads), kind]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parents[1])
    return folder


def compare_banks(one: Path, two: Path) -> dict[str, Any]:
    """Which files are equal to the byte; whether the same is selected; the largest difference of any number."""
    import emotion_interp as ei

    # a bank may have been described since
    names = sorted(p.name for p in one.iterdir())
    equal = [n for n in names if (one / n).read_bytes() == (two / n).read_bytes()]
    a, b = ei.FeatureBank.load(one), ei.FeatureBank.load(two)
    left: Any
    right: Any
    key = ["layer", "language", "emotion", "feature"]
    left, right = (bank.features.set_index(key) for bank in (a, b))
    shared = left.index.intersection(right.index)
    numbers = left.select_dtypes("number").columns
    gap = (left.loc[shared, numbers] - right.loc[shared, numbers]).abs().max()
    picks = [set(f.index[f["selected"]]) for f in (left, right)]
    summaries: Any = [bank.summary.set_index(key[:3])[["feature", "auroc_heldout"]] for bank in (a, b)]
    return {
        "files equal to the byte": f"{len(equal)} of {len(names)}",
        "files that differ": sorted(set(names) - set(equal)),
        "rows in one only": len(left.index.symmetric_difference(right.index)),
        "same selected set": picks[0] == picks[1],
        "selected": len(picks[0]),
        "same top features": bool((summaries[0]["feature"] == summaries[1]["feature"]).all()),
        "largest difference": {c: float(v) for c, v in gap.items() if v > 0},
        "of held-out AUROC": float((summaries[0]["auroc_heldout"] - summaries[1]["auroc_heldout"]).abs().max()),
        "of directions": max(float(np.abs(a.directions[k] - b.directions[k]).max()) for k in a.directions),
    }


def determinism(kinds: tuple[str, ...] = ("shipped", "scenes", "words")) -> None:
    """ "shipped" is the recipe of saved_features/bundled, the one of the three that selects features."""
    for kind in kinds:
        if kind == "shipped" and not os.environ.get("EMOTION_INTERP_DATA"):
            print("\n## shipped: not run, EMOTION_INTERP_DATA names no folder with the corpora")
            continue
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            first = run_apart(root / "first", 1, kind)
            pairs = {
                "two processes, one thread each": (first, run_apart(root / "again", 1, kind)),
                "one thread and two": (first, run_apart(root / "two", 2, kind)),
            }
            pairs["two processes, two threads each"] = (root / "two", run_apart(root / "two again", 2, kind))
            if kind == "shipped":
                pairs["one thread and the bank in saved_features"] = (first, Path("saved_features/bundled"))
            for name, (one, two) in pairs.items():
                print(f"\n## {kind}, {name}\n")
                for what, value in compare_banks(one, two).items():
                    print(f"{what}: {value}")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["save"]:
        save_bank(*arguments[1:])
        return
    fresh = partial(planted, first=PLANTED_SEEDS)
    parts = {"planted": planted, "fresh": fresh, "shuffled": shuffled}
    parts |= {"confirmed": confirmation.main, "determinism": determinism}
    for name in arguments or parts:
        parts[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
