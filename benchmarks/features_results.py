"""Which features and sets of features are confirmed: old rule and new, texts that name their emotion kept and dropped.

`python -m benchmarks.features_results --bank FOLDER` shows what a bank holds and reads nothing. Without it texts are read, with
names kept and with names dropped, and sets of features are fitted too: the bundled subject, or `--model MODEL --saes SAES
--stimuli en=stories`; EMOTION_INTERP_DATA names the folder with the corpora. The texts are those of the shipped banks: 120 of
each emotion; q = .05, coverage .2, specificity .6, four features an emotion. docs/results/features.md is made of both.
"""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.given import shipped_saes

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.concepts import ConceptSet
    from emotion_interp.core.types import Stimulus

LIMIT, SETS = 120, (1, 2, 4, 8, 16)
RULES = {"keep": "names kept", "drop": "names dropped"}


def texts_by_rule(corpora: str, languages: str) -> dict[str, list[Stimulus]]:
    from emotion_interp.cli.options import corpus_texts

    with warnings.catch_warnings():
        # the shares stand in the tables
        warnings.simplefilter("ignore")
        return {rule: corpus_texts(corpora, languages, 0, LIMIT, rule) for rule in RULES}


def found_by_rule(subject: Any, concepts: ConceptSet, texts: dict[str, list[Stimulus]]) -> dict[str, tuple[Any, Any]]:
    """Bank and probes of either choice of texts; what both have is read once."""
    from dataclasses import replace

    from emotion_interp.activations import read_stimuli
    from emotion_interp.concepts.naming import naming_entry
    from emotion_interp.features import Selection
    from emotion_interp.features.design import design_stimuli
    from emotion_interp.features.probes import probes_from_readings
    from emotion_interp.features.search import bank_from_readings

    every = {(s.language, s.text): s for own in texts.values() for s in own}
    place = {key: i for i, key in enumerate(every)}
    readings = read_stimuli(subject, list(every.values()), np.arange(len(every)), position="text", skip=8)
    found = {}
    for rule, own in texts.items():
        design = design_stimuli(concepts, own, 0)
        rows = np.asarray([place[s.language, s.text] for s in design.stimuli])
        part = {
            site: replace(
                r, features=r.features[rows], fired=r.fired[rows], dense=r.dense[rows], n_stimuli=r.n_stimuli[rows]
            )
            for site, r in readings.items()
            if r.features is not None and r.fired is not None
        }
        bank = bank_from_readings(
            subject,
            concepts,
            design.words,
            part,
            position="text",
            selection=Selection(max_features=4),
            seed=0,
            kind="texts",
        )
        probes = probes_from_readings(subject, concepts, design.words, part, ks=SETS, seed=0, kind="texts")
        found[rule] = replace(bank, manifest={**bank.manifest, "naming": naming_entry(own)}), probes
    return found


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3f}".lstrip("0") if abs(value) < 1 else f"{value:.3f}"


def markdown(frame: pd.DataFrame) -> str:
    rows = [list(frame.columns), ["---"] * len(frame.columns)]
    rows += [[_number(v) if isinstance(v, float) else str(v) for v in row] for row in frame.to_numpy(dtype=object)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def by_layer(bank: Any) -> pd.DataFrame:
    """Counts per language and layer under both rules."""
    import pandas as pd

    rows = []
    groups: Any = bank.summary.groupby(["language", "layer"])
    for (language, layer), own in groups:
        held = own[own["selected"]]
        rows.append(
            {
                "language": language,
                "layer": f"**{layer}** (fixed)" if own["layer_fixed"].all() else str(layer),
                "selected": f"{len(held)} of {len(own)}",
                "Fisher alone": str(int((held["p_holm"] < 0.05).sum())),
                "both tests": str(int(own["confirmed_uncorrected"].sum())),
                "confirmed": str(int(own["confirmed"].sum())) if own["layer_fixed"].all() else "",
                "held-out AUROC": float(own["auroc_heldout"].median()),
                "held-out specificity": float(own["held_out_specificity"].median()),
            }
        )
    return pd.DataFrame(rows)


def side_by_side(frames: dict[str, pd.DataFrame], keys: list[str]) -> pd.DataFrame:
    """Tables of either rule with its name in the heads, joined by place in their order."""
    import pandas as pd

    parts = [frame.drop(columns=keys).add_suffix(f", {RULES[rule]}") for rule, frame in frames.items()]
    first = next(iter(frames.values()))
    return pd.concat([first[keys], *parts], axis=1)


def confirmed_features(bank: Any) -> pd.DataFrame:
    import pandas as pd

    rows: Any = bank.summary[bank.summary["confirmed"]]
    return pd.DataFrame(
        {
            "language": rows["language"],
            "layer": rows["layer"].astype(str),
            "emotion": rows["emotion"],
            "feature": rows["feature"].astype(str),
            "held-out AUROC": rows["auroc_heldout"],
            "held-out specificity": rows["held_out_specificity"],
            "least told from": rows["rival"],
            "p (Holm)": [f"{p:.4f}".lstrip("0") for p in rows["p_confirmed"]],
        }
    )


def sets(probes: Any) -> pd.DataFrame:
    import pandas as pd

    table = probes.confirmed()
    return pd.DataFrame(
        {
            "language": table["language"],
            "k": table["k"].astype(str),
            "layer": table["layer"].astype(str),
            "confirmed": [f"{c} of {n}" for c, n in zip(table["confirmed"], table["emotions"], strict=True)],
            "held-out AUROC": table["median_auroc_heldout"],
            "held-out specificity": table["median_held_out_specificity"],
        }
    )


NOTE = (
    "Columns up to “confirmed” count emotions; “Fisher alone” (the earlier rule) and “both tests” hold at a layer for itself and "
    "are not corrected over layers. “Confirmed” stands at the layer that was fixed on the discovery half. Medians are over all "
    "emotions."
)


def top_features(bank: Any) -> list[str]:
    """Counts by layer, and the confirmed features, as paragraphs."""
    confirmed = confirmed_features(bank)
    return [
        NOTE,
        "",
        markdown(by_layer(bank)),
        "",
        markdown(confirmed) if len(confirmed) else "No feature is confirmed.",
        "",
    ]


def section(name: str, found: dict[str, tuple[Any, Any]]) -> str:
    banks = {rule: bank for rule, (bank, _) in found.items()}
    parts = [f"## {name}", ""]
    for language, entry in banks["keep"].manifest["naming"].items():
        top = sorted(entry["shares"].items(), key=lambda item: -item[1])[:4]
        worst = ", ".join(f"{emotion} {share:.0%}" for emotion, share in top)
        share = entry["naming"] / entry["texts"]
        parts += [
            f"Of the {entry['texts']:,} {language} texts {entry['naming']} ({share:.1%}) name their emotion: {worst}.",
            "",
        ]
    for rule, bank in banks.items():
        parts += [f"### Top features, {RULES[rule]}", "", *top_features(bank)]
    tables = {rule: sets(probes) for rule, (_, probes) in found.items()}
    parts += ["### Sets of k features (sparse probes), at the layer fixed on the discovery half", ""]
    parts += [markdown(side_by_side(tables, ["language", "k"])), ""]
    for rule, (_, probes) in found.items():
        frame: Any = probes.frame
        for k in (8, 16):
            rows = frame[frame["confirmed"] & (frame["k"] == k)]
            for language, own in rows.groupby("language"):
                parts += [f"Confirmed sets of {k}, {language}, {RULES[rule]}: {', '.join(own['emotion'])}.", ""]
    return "\n".join(parts)


def main() -> None:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.cli.options import concepts_of
    from emotion_interp.subjects import load_subject

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bank", default=None, help="show a saved bank, read nothing")
    parser.add_argument("--model", default=None)
    parser.add_argument("--saes", default=None)
    parser.add_argument("--stimuli", default="en=stories,zh=brighter")
    given = parser.parse_args()
    if given.bank:
        bank = FeatureBank.load(given.bank)
        print("\n".join([f"## {bank.manifest['subject']}", "", *top_features(bank)]))
        return
    languages = ",".join(part.partition("=")[0] for part in given.stimuli.split(","))
    subject = load_subject(given.model, saes=given.saes or shipped_saes(given.model))
    found = found_by_rule(subject, concepts_of(languages), texts_by_rule(given.stimuli, languages))
    print(section(subject.name, found))


if __name__ == "__main__":
    main()
