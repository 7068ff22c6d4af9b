"""A bank's features, and its dense directions beside them, on texts of other kinds.

`EMOTION_INTERP_DATA=... python -m benchmarks.transfer --model gemma-3-270m --saes SAES --bank BANK --sources
stories,posts,xed,smp`; without arguments the bundled subject and its bank. Sources as in `benchmarks.causal_universality`:
"stories" (English, topics 72-79), "posts" (GoEmotions test; BRIGHTER test of Chinese and Spanish), "xed" (subtitles that no SAE
is trained on), "smp" (Weibo, Chinese). Texts that name their emotion are left out. Writes `docs/results/transfer_<model>.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import emotion_interp as ei
from benchmarks.causal_universality import SOURCES, texts_of
from benchmarks.given import subject_and_bank
from benchmarks.tables import markdown, write
from emotion_interp.activations import read_stimuli
from emotion_interp.concepts import concept_set
from emotion_interp.concepts.model import NEUTRAL
from emotion_interp.core import Site, Stimulus
from emotion_interp.stats.scores import composite_auroc, pairwise_auroc

LEAST = 5
"""Texts of an emotion, as `transfer` has it."""


def drawn(texts: list[Stimulus], emotions: tuple[str, ...], limit: int, seed: int) -> list[Stimulus]:
    """At most so many texts of each emotion of the bank (and neutral), drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(texts))
    count: dict[str, int] = {}
    chosen = []
    for place in order:
        text = texts[place]
        if text.emotion in (*emotions, NEUTRAL) and count.get(text.emotion, 0) < limit:
            count[text.emotion] = count.get(text.emotion, 0) + 1
            chosen.append(text)
    return chosen


def dense_aurocs(
    subject: ei.Subject, bank: ei.FeatureBank, texts: list[Stimulus], language: str
) -> dict[tuple[str, str], float]:
    """(site, emotion) -> composite AUROC of the bank's dense direction on the mean of each text."""
    sites = [site for site in subject.sites if site in bank.sites]
    readings = read_stimuli(subject, texts, range(len(texts)), sites=sites, position="text")
    labels = np.asarray([t.emotion for t in texts])
    names = [e for e in bank.emotions if (labels == e).sum() >= LEAST]
    classes = [*names, *([NEUTRAL] if (labels == NEUTRAL).sum() >= LEAST else [])]
    known = np.isin(labels, classes)
    codes = np.asarray([classes.index(label) for label in labels[known]])
    neutral = classes.index(NEUTRAL) if NEUTRAL in classes else None
    scores = {}
    for site in sites:
        dense = readings[site].dense[known].astype(np.float64)
        for i, emotion in enumerate(names):
            vector = np.asarray(bank.directions[site, language, "dense", emotion], dtype=np.float64)
            values = (dense @ vector)[:, None]
            scores[str(site), emotion] = float(
                composite_auroc(pairwise_auroc(values, codes, i, len(classes)), i, neutral)[0]
            )
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=None)
    parser.add_argument("--saes", type=Path, default=None, help="folder of the SAEs")
    parser.add_argument("--bank", type=Path, default=None, help="folder of the bank; default: the one that ships")
    parser.add_argument("--sources", default="stories,posts,xed,smp", help=f"of {', '.join(SOURCES)}")
    parser.add_argument("--limit", type=int, default=40, help="texts of each emotion")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, default=None)
    given = parser.parse_args()
    if wrong := [s for s in given.sources.split(",") if s not in SOURCES]:
        parser.error(f"--sources {wrong[0]}: one of {', '.join(SOURCES)}")
    subject, bank = subject_and_bank(parser, given)
    rows = []
    for source in given.sources.split(","):
        for language in bank.languages:
            texts = drawn(texts_of(source, language, bank), bank.emotions, given.limit, given.seed)
            if len({t.emotion for t in texts}) < 2:
                continue
            tested = ei.transfer(
                subject, concept_set(language), bank, texts, rows="top", seed=given.seed, tested_on=source
            )
            dense = dense_aurocs(subject, bank, texts, language)
            frame = tested.frame[tested.frame["language"] == language]
            frame = frame.assign(dense=[dense[s, e] for s, e in zip(frame["site"], frame["emotion"], strict=True)])
            rows.append(summary(frame, source))
            print(rows[-1].to_string(index=False), flush=True)
    table = pd.concat(rows, ignore_index=True).sort_values(["language", "source", "layer"])
    name = Path(subject.name).name
    write(
        given.write or Path(f"docs/results/transfer_{name}.md"),
        _HEAD.format(name=name, limit=given.limit),
        markdown(table),
    )


def summary(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """One row per site of one language and source."""
    rows = []
    for site, part in frame.groupby("site", sort=False):
        rows.append(
            {
                "source": source,
                "language": part["language"].iloc[0],
                "layer": Site.parse(str(site)).layer,
                "emotions": len(part),
                "carry over": int(part["transfers"].sum()),
                "top feature": float(part["auroc"].median()),
                "as found": float(part["auroc_found"].median()),
                "dense": float(part["dense"].median()),
            }
        )
    return pd.DataFrame(rows)


_HEAD = """# Features of {name} on texts of other kinds

`python -m benchmarks.transfer`: the top feature of each emotion, fixed when the bank was found, on at most {limit} texts of each
emotion that do not name it. Carry over: one-sided Fisher below .05 after Holm over the emotions of a layer. The three last columns
are medians of the composite AUROC over emotions: of the top feature on these texts, of the same where it was found, and of the
bank's dense direction on the mean of these texts."""


if __name__ == "__main__":
    main()
