"""Necessity: emotion features of the bundled subject ablated in emotional stories it never read, against random sets.

`EMOTION_INTERP_DATA=... python -m benchmarks.necessity`: stories of topics 72-79, broken off after 30 words; the 16
features that the bank's discovery half ranks first for an emotion at layer 2, judged by the next word, against 199
random sets that fire as often and take away as much ("matched"), and 199 that fire as often and whose removal is scaled to
the same norm ("scaled"). Holm over the eight emotions of a layer and null. `--out FOLDER` keeps
what is done, so that a killed run goes on. Writes `docs/results/necessity.md`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

import emotion_interp as ei
from benchmarks.tables import markdown, write
from emotion_interp.bank import shipped_bank
from emotion_interp.judges.data import STORY_NAMES, TEST_TOPICS
from emotion_interp.stats.corrections import holm
from emotion_interp.study.settings import BASIC_EIGHT

WORDS, TEXTS, FEATURES, RANDOM, LAYERS = 30, 16, 16, 199, (2,)


def stories(data: Path) -> dict[str, list[str]]:
    """Emotion -> beginnings of held-out stories."""
    names = {name: emotion for emotion, several in STORY_NAMES.items() for name in several}
    found: dict[str, list[str]] = defaultdict(list)
    with gzip.open(data / "corpora" / "emotion_stories.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            story: dict[str, Any] = json.loads(line)
            if story["topic_idx"] in TEST_TOPICS and story["emotion"] in names:
                found[names[story["emotion"]]].append(" ".join(story["text"].split()[:WORDS]))
    # every so manieth, so that all topics have a part
    return {e: texts[:: max(1, len(texts) // TEXTS)][:TEXTS] for e, texts in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=RANDOM)
    parser.add_argument("--emotions", default=",".join(BASIC_EIGHT))
    parser.add_argument("--layers", default=",".join(map(str, LAYERS)))
    parser.add_argument("--out", type=Path, default=Path("runs/necessity"))
    parser.add_argument("--write", type=Path, default=Path("docs/results/necessity.md"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    subject = ei.load_subject()
    bank = shipped_bank(subject)
    assert bank is not None
    texts = stories(Path(os.environ["EMOTION_INTERP_DATA"]))
    rows = []
    for layer in map(int, given.layers.split(",")):
        for emotion in given.emotions.split(","):
            path = given.out / f"{emotion}_{layer}_{given.random}.parquet"
            if not path.is_file():
                chosen = bank.table(emotion, layer, "en")["feature"].head(FEATURES).tolist()
                options: dict[str, Any] = {"layer": layer, "n_random": given.random, "null": ("matched", "scaled")}
                ei.necessity(subject, bank, emotion, texts[emotion], features=chosen, **options).to_parquet(path)
            rows.append(pd.read_parquet(path))
            print(rows[-1].round(4).to_string(index=False), flush=True)
    report(pd.concat(rows, ignore_index=True), given)


def report(frame: Any, given: argparse.Namespace) -> None:
    frame["share"] = frame["drop"] / frame["target"]
    frame["p_holm"] = frame.groupby(["layer", "null"])["p"].transform(lambda p: holm(p.to_numpy(dtype=float)))
    frame["range"] = [
        "-" if lo != lo else f"{lo:.1f}-{hi:.1f}"
        for lo, hi in zip(frame["removed_null_lo"], frame["removed_null_hi"], strict=True)
    ]
    names = {"emotion": "emotion", "target": "target", "target_ablated": "ablated", "share": "share lost"}
    names |= {"drop": "drop", "lo": "lo", "hi": "hi", "random_drop": "random drop", "random_hi": "random, 97.5%"}
    names |= {"p": "p", "p_holm": "Holm", "n_random": "sets", "rate": "rate", "rate_null": "rate, random"}
    names |= {"removed": "removed", "removed_null": "removed, random", "range": "range", "removed_ratio": "ratio"}
    names |= {"factor": "factor", "overlap": "overlap"}
    digits = {"target": 5, "ablated": 5, "drop": 5, "lo": 5, "hi": 5, "random drop": 5, "random, 97.5%": 5}
    digits |= {"sets": 0, "removed": 1, "removed, random": 1, "share lost": 2, "overlap": 2, "ratio": 2, "factor": 2}
    parts = [_HEAD.format(n=given.random)]
    for (layer, null), rows in frame.groupby(["layer", "null"], sort=False):
        # without a match there is nothing to compare with
        shown = rows.drop(columns=[c for c in ("factor",) if null == "matched"])
        held = [
            f"{r['emotion']}{'' if r['lo'] > 0 else ' (interval over texts reaches 0)'}"
            for r in rows.to_dict("records")
            if r["p_holm"] < 0.05 - 1e-9
        ]
        notes = [f"{r['emotion']}: {r['note']}." for r in rows.to_dict("records") if r["note"]]
        parts.append(f"## Layer {layer}, {null}: beyond chance after Holm: {', '.join(held) or 'none'}")
        columns = [c for c in names if c in shown]
        parts.append(markdown(shown[columns].rename(columns=names), digits))
        parts += notes
    write(given.write, *parts)


_HEAD = """# Necessity: features ablated in emotional text

`python -m benchmarks.necessity`: bundled subject, stories of topics 72-79 broken off after 30 words (16 of each emotion), the 16
features that the bank's discovery half ranks first for the emotion set to 0; target: probability of the emotion's words next. Removed:
norm of what is taken away, mean over the texts' tokens; ratio: median of the random sets over the features' own. "matched": {n}
random sets of features that fire as often (rate) and take away as much, both within 25%; overlap: share of its features
that a random set has in common with another. "scaled": {n} sets that fire as often, what they take away multiplied by a
factor. Where no match is found there is no p. Holm over the eight emotions of one layer and null, not over layers."""


if __name__ == "__main__":
    main()
