"""Which emotions pass when they are steered: every judge, every kind of null, one p each.

`python -m benchmarks.steering_verdicts --model gemma-3-270m --saes SAES --bank BANK --language en --layer 9 --dose 0.6
--judges encoder,stories`; without a model the bundled subject and bank (whose "shuffled" nulls are made of stories:
`EMOTION_INTERP_DATA`). `--doses 0.3,0.6,1.0` first tries doses on other prompts and takes the best. `--directions zh`: the
directions of that language in texts of `--language`. `--out FOLDER` keeps texts, so that a killed run goes on and other judges
or emotions need no new nulls. Writes `docs/results/steering_<model>_<language>.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

import emotion_interp as ei
from benchmarks.given import subject_and_bank
from benchmarks.tables import markdown, write
from emotion_interp.experiments import Setting
from emotion_interp.experiments.verdicts import CORRECTIONS
from emotion_interp.judges import FURTHER_PROMPTS, LATER_PROMPTS, NEUTRAL_PROMPTS, STORY_PROMPTS
from emotion_interp.judges.coherence import STABLE_DISTINCT2, STABLE_PERPLEXITY

PROMPTS = {
    "neutral": NEUTRAL_PROMPTS,
    "further": FURTHER_PROMPTS,
    "stories": STORY_PROMPTS,
    "later": LATER_PROMPTS,
}
"""Beginnings of sentences that an emotion word may follow (further and later ones: Chinese, Spanish), or first sentences of
stories (stories and later ones: English)."""
JUDGES = {"en": "encoder,stories", "zh": "smp,brighter", "es": "xed,brighter"}
"""Two judges of each language that have read no text in common."""
STORIES = 60
"""Stories of each emotion for nulls of shuffled labels, where the bank is one of texts."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--model", default=None)
    made.add_argument("--saes", type=Path, default=None, help="folder of the SAEs")
    made.add_argument("--bank", type=Path, default=None, help="folder of the bank; default: the one that ships")
    made.add_argument("--language", default="en", help="of prompts and judges")
    made.add_argument("--directions", default=None, help="language of the directions; default: that of the texts")
    made.add_argument("--layer", type=int, default=None, help="default: the bank's middle layer")
    made.add_argument("--method", default="dense")
    made.add_argument("--dose", type=float, default=None)
    made.add_argument("--doses", default=None, help="tried on other prompts first, instead of --dose")
    made.add_argument("--dose-nulls", type=int, default=0, help="isotropic directions that a dose is compared with")
    made.add_argument("--judges", default=None, help=f"default: {JUDGES}")
    made.add_argument("--emotions", default=None, help="default: all of the bank")
    made.add_argument("--kinds", default="isotropic,decoder,shuffled")
    made.add_argument("--prompts", default="neutral", help=f"of {', '.join(PROMPTS)}")
    made.add_argument(
        "--correction", default="holm", help="holm or max_t, fixed beforehand; max_t needs fewer directions"
    )
    made.add_argument("--null", type=int, default=599, help="directions of each kind")
    made.add_argument("--texts", type=int, default=8, help="of each direction")
    made.add_argument("--skip", type=int, default=0, help="so many test prompts, those of an earlier run")
    made.add_argument("--tokens", type=int, default=20, help="of each text")
    made.add_argument("--temperature", type=float, default=1.0)
    made.add_argument("--top-k", type=int, default=50)
    made.add_argument("--positions", default="from_last_prompt_token")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--out", type=Path, default=Path("runs/steering_verdicts"))
    made.add_argument("--write", type=Path, default=None)
    return made


def main(arguments: list[str] | None = None) -> None:
    asks = parser()
    given = asks.parse_args(arguments)
    if (given.dose is None) == (given.doses is None):
        asks.error("give --dose, fixed beforehand, or --doses to choose one on other prompts")
    if given.language not in JUDGES or given.texts < 1:
        asks.error(f"--language is one of {', '.join(JUDGES)}, --texts at least 1")
    if given.language not in PROMPTS.get(given.prompts, ()) or given.correction not in CORRECTIONS:
        asks.error(
            f"--prompts is one of {', '.join(PROMPTS)} (stories: English; further: Chinese, Spanish), --correction of {', '.join(CORRECTIONS)}"
        )
    prompts = PROMPTS[given.prompts][given.language]
    subject, bank = subject_and_bank(asks, given)
    given.layer = bank.layers[len(bank.layers) // 2] if given.layer is None else given.layer
    names = (given.judges or JUDGES[given.language]).split(",")
    judges = {name: ei.load_judge(name, given.language) for name in names}
    chosen = None
    emotions = None if given.emotions is None else given.emotions.split(",")
    place: dict[str, Any] = {"emotions": emotions, "layer": given.layer, "method": given.method}
    if given.doses is not None:
        tried = setting(subject, bank, judges, given, prompts.tune)
        doses = [float(d) for d in given.doses.split(",")]
        chosen = ei.verdict_doses(tried, doses=doses, folder=given.out, n_null=given.dose_nulls, **place)
        given.dose = chosen.dose
        print(chosen.to_frame().to_string(index=False), f"dose {given.dose}", sep="\n", flush=True)
    kinds = given.kinds.split(",")
    result = ei.steering_verdicts(
        setting(subject, bank, judges, given, prompts.test[given.skip :]),
        dose=given.dose,
        n_null=given.null,
        kinds=kinds,
        units=stories(bank) if {"shuffled", "topics"} & set(kinds) else None,
        folder=given.out,
        correction=given.correction,
        **place,
    )
    crossed = f"_{given.directions}_directions" if given.directions not in (None, given.language) else ""
    name = f"steering_{Path(subject.name).name}_{given.language}{crossed}"
    for part in ("frame", "nulls", "texts"):
        getattr(result, part).to_parquet(given.out / f"{name}_{part}.parquet")
    report(given.write or Path(f"docs/results/{name}.md"), result, chosen, subject, judges, given)


def setting(subject: Any, bank: Any, judges: Any, given: argparse.Namespace, prompts: Any) -> Setting:
    """As many prompts as texts; more texts than prompts are further samples of each."""
    some = list(prompts)[: given.texts]
    return Setting(
        subject,
        bank,
        some,
        judges,
        given.directions or given.language,
        given.language,
        positions=given.positions,
        max_new_tokens=given.tokens,
        samples=max(1, given.texts // len(some)),
        seed=given.seed,
        generation={"do_sample": True, "top_k": given.top_k, "temperature": given.temperature},
    )


def stories(bank: Any) -> Any:
    """What shuffled labels are made of where the bank is one of stories; one of words has its own."""
    if bank.manifest.get("stimuli", "words") == "words":
        return None
    return ei.corpus_stimuli("stories", split="subject", limit=STORIES)


def report(
    path: Path, result: Any, chosen: Any, subject: Any, judges: dict[str, Any], given: argparse.Namespace
) -> None:
    frame = result.to_frame()
    judged = frame[frame["p_holm"].notna()]
    kinds = given.kinds.split(",")
    names = {"emotion": "emotion"} | {f"target_{j}": j for j in judges} | {f"unsteered_{j}": f"{j}, 0" for j in judges}
    names |= {f"p_{j}_{k}": f"p {j}, {k}" for j in judges for k in kinds}
    names |= {"p": "p", "p_holm": "Holm", "p_max_t": "max-T", "perplexity_ratio": "perplexity ratio"}
    names |= {"distinct_2": "distinct-2", "content": "content", "passes": "passes"}
    digits = {k: 4 for k in names.values() if k == "p" or k.startswith("p ")} | {
        "Holm": 3,
        "max-T": 4,
        "perplexity ratio": 2,
    }
    alone = frame[frame["p_holm"].isna()]
    few = [c for c in names if c in alone and alone[c].notna().any() and c not in ("p_holm", "p_max_t", "passes")]
    parts = [
        _HEAD.format(
            name=subject.name,
            weights=subject.provenance.get("weights", "own weights"),
            layer=given.layer,
            dose=given.dose,
            method=given.method,
            directions=given.directions or given.language,
            language=given.language,
            judges=" and ".join(judges),
            null=given.null,
            kinds=", ".join(kinds),
            texts=int(frame["n_texts"].iloc[0]),
            tokens=given.tokens,
            top_k=given.top_k,
            temperature=given.temperature,
            seed=given.seed,
            kind=given.prompts,
            prompts=given.prompts + (f" without the first {given.skip}" if given.skip else ""),
            decides="Holm" if given.correction == "holm" else "Westfall-Young max-T",
        ),
        f"**{len(result.passed)} of {len(judged)} judged emotions pass**: {', '.join(result.passed) or 'none'}.",
    ]
    parts.append(_alone(judged, judges, kinds))
    if chosen is not None:
        parts += ["## Dose, chosen on other prompts", markdown(chosen.to_frame())]
    if len(judged):
        table = judged.sort_values(["p", "emotion"])[[c for c in names if c in judged]].rename(columns=names)
        parts += ["## Emotions that all judges know", markdown(table, digits)]
    if len(alone):
        parts += ["## Not judged by all (not counted)", markdown(alone[[*few, "note"]].rename(columns=names), digits)]
    write(path, *parts)


def _alone(judged: pd.DataFrame, judges: Iterable[str], kinds: Iterable[str]) -> str:
    """What each judge alone hears of the emotions that all know, before any correction, and how many texts are intact."""
    lines = []
    for judge in judges:
        largest = judged[[f"p_{judge}_{kind}" for kind in kinds]].max(axis=1)
        lines.append(f"{judge} alone {int((largest < 0.05).sum())}")
    low, high = STABLE_PERPLEXITY
    intact = judged["perplexity_ratio"].between(low, high) & (judged["distinct_2"] >= STABLE_DISTINCT2)
    return (
        f"Of {len(judged)} emotions, largest p over the kinds of null below .05, uncorrected: {', '.join(lines)}. The text is "
        f"intact for {int(intact.sum())}."
    )


_HEAD = """# Steering verdicts: {name}, {language} text, {directions} directions, {kind} beginnings

`python -m benchmarks.steering_verdicts`: {name} ({weights}), layer {layer}, dose {dose} (one for all emotions), directions
"{method}" of {directions}; prompts: {prompts}; {texts} texts of {tokens} tokens for each direction, sampled among the {top_k} likeliest tokens at
temperature {temperature} (seed {seed}), the same random numbers under every direction. Judges: {judges}. Nulls of the same length, shared by all
emotions: {null} each of {kinds}. p = (b + 1) / (m + 1); an emotion's p is the largest over judges and kinds; Holm and Westfall-Young
max-T over the emotions that all judges know. Passes: {decides} below .05, perplexity ratio in [0.5, 2], distinct-2 at least .8. A judge's
column is its mean probability of the emotion under the emotion's direction, "0" that on unsteered text. Content: cosine with
the unsteered continuation."""


if __name__ == "__main__":
    main()
