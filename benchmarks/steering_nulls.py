"""Judged steering against four kinds of random direction and two judges, one of which has read no story.

`EMOTION_INTERP_DATA=... python -m benchmarks.steering_nulls`: directions of the bundled bank (difference of means "dense",
decoder rows "sae"; both from stories); site and dose are one for all emotions, so that all share the same random
directions; site and kind of direction are chosen on 24 sentences that runs before have used, and reported on 24 that none
has. The judge without stories decides; it knows 18 of the bank's 25 emotions. p is the largest over isotropic
directions, decoder rows, differences of topics and of shuffled labels, 200 each; corrected by step-down max-T over the
emotions, of each kind by itself, and again the largest (Holm over 18 needs 360: `--random 399`); an emotion's own
selected features are no random decoder rows for it. `--nulls FOLDER` keeps the random directions' answers and `--out FOLDER`
the tables, so that a killed run goes on. Writes `docs/results/steering.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import emotion_interp as ei
from benchmarks.tables import markdown, write
from emotion_interp.bank import shipped_bank
from emotion_interp.directions import NullTexts
from emotion_interp.directions.null_directions import KINDS
from emotion_interp.judges import STORY_PROMPTS
from emotion_interp.stats import max_t
from emotion_interp.stats.corrections import holm

SAMPLING: dict[str, Any] = {"do_sample": True, "top_k": 50, "max_new_tokens": 30}
TUNE = STORY_PROMPTS["en"].test[56:]
"""Sentences that `judged_steering` has reported on."""

TEST = (
    "The projectionist threaded the reel and looked through the slot.",
    "Bernard put the stamps in the album, one row at a time.",
    "The escalator was being repaired, and a rope hung across it.",
    "Lorna set the typewriter on the desk and rolled in a sheet.",
    "A clerk with a moustache was sorting the tickets by number.",
    "The ladder reached as far as the second row of windows.",
    "Desmond carried the tray past the counter to the corner table.",
    "There was chalk on the sleeve of the man in the doorway.",
    "The nurse drew the blind halfway and moved the chair.",
    "Olive read the label and put the jar back on the shelf.",
    "The lorry from the sawmill turned in at the gate.",
    "Wilfred had the tools laid out on a strip of canvas.",
    "The lift stopped at the fifth floor, and two people got in.",
    "Somebody had chalked an arrow on the pavement.",
    "Irma sewed the last button on and bit off the thread.",
    "The steward came along the deck with a pile of blankets.",
    "Norman stood at the pump and filled the tank.",
    "The form had three pages, and the second was blank.",
    "A man with a trolley was waiting by the side entrance.",
    "Edna copied the figures from the board into her book.",
    "The rowers had lifted the boat onto the trestles.",
    "Percy unscrewed the plate and looked at the wires.",
    "The stall at the end of the row sold nails and hinges.",
    "Doris took the tram as far as the reservoir.",
)
"""Written for this benchmark. One has a word of a concept set (album, of nostalgia), which every row shares."""

DECIDES, ALSO = "comments", "stories"
ALPHA = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", default="2,3")
    parser.add_argument("--dose", type=float, default=0.4)
    parser.add_argument("--methods", default="dense,sae")
    parser.add_argument("--random", type=int, default=200, help="random directions of each kind")
    parser.add_argument("--tune-random", type=int, default=24)
    parser.add_argument("--texts", type=int, default=60, help="stories of each emotion for the last two kinds")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--out", type=Path, default=Path("runs/steering_nulls"))
    parser.add_argument("--nulls", type=Path, default=Path("runs/steering_nulls/nulls"))
    parser.add_argument("--write", type=Path, default=Path("docs/results/steering.md"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    subject = ei.load_subject()
    bank = shipped_bank(subject)
    assert bank is not None
    judges: dict[str, Any] = {DECIDES: ei.load_judge("comments"), ALSO: ei.load_judge()}
    methods = given.methods.split(",")
    tuning = tuned(given, subject, bank, judges, list(TUNE), methods)
    layer = best_layer(tuning)
    print(f"layer {layer}", flush=True)
    test = ei.steering_test(
        subject,
        bank,
        list(bank.emotions),
        list(TUNE),
        list(TEST),
        layers=[layer],
        doses=[given.dose],
        methods=methods,
        n_random=given.random,
        judge=judges,
        null_folder=given.nulls,
        tuning=tuning,
        kinds=given.kinds.split(","),
        stimuli=read(given, subject, layer),
        # the family is that of the judge that decides, counted below
        alpha=None,
        **SAMPLING,
    )
    for name in ("table", "confusion", "texts", "nulls"):
        getattr(test, name).to_parquet(given.out / f"{name}.parquet")
    report(test.table, test.nulls, test.confusion, judges, given, layer)


def tuned(
    given: argparse.Namespace, subject: Any, bank: Any, judges: Any, prompts: list[str], methods: list[str]
) -> Any:
    """The grid on the tuning sentences, of a run before where there is one."""
    path = given.out / "tuning.parquet"
    if not path.is_file():
        grid = ei.dose_response(
            subject,
            bank,
            list(bank.emotions),
            [given.dose],
            prompts,
            layers=[int(x) for x in given.layers.split(",")],
            method=methods,
            judge=judges,
            n_random=given.tune_random,
            alpha=None,
            **SAMPLING,
        )
        grid.table.to_parquet(path)
    return pd.read_parquet(path)


def read(given: argparse.Namespace, subject: Any, layer: int) -> NullTexts:
    """Stories as the subject reads them, of a run before where there is one."""
    path, site = given.out / f"texts_{layer}_{given.texts}.npz", subject.site(layer)
    if not path.is_file():
        stories = ei.corpus_stimuli("stories", split="subject", limit=given.texts)
        found = ei.null_texts(subject, stories, [layer])
        np.savez(path, values=found.values[site], emotions=found.emotions, groups=found.groups)
    with np.load(path) as kept:
        return NullTexts({site: kept["values"]}, tuple(kept["emotions"].tolist()), tuple(kept["groups"].tolist()))


def best_layer(tuning: Any) -> int:
    """Where the median over emotions of the best intact kind's z is largest."""
    whole = tuning[tuning["perplexity_ratio"].between(0.5, 2) & (tuning["distinct2_ratio"] >= 0.8)]
    best = whole.groupby(["layer", "emotion"])["z"].max()
    return int(best.groupby("layer").median().idxmax())


def report(table: Any, nulls: Any, confusion: Any, judges: Any, given: argparse.Namespace, layer: int) -> None:
    rows = table[table["chosen"]].copy()
    rows["intact_here"] = rows["perplexity_ratio"].between(0.5, 2) & (rows["distinct2_ratio"] >= 0.8)
    rows["decided"] = rows["judge"] == DECIDES
    counts = []
    for who in (DECIDES, ALSO):
        known = rows[rows["decided"]] if who == DECIDES else rows
        for kind in (*_kinds("all kinds", given), "all kinds"):
            p = known[f"p_{who}" if kind == "all kinds" else f"p_{who}_{kind}"].to_numpy(dtype=float)
            stepped = np.max([by_max_t(known, nulls, who, k) for k in _kinds(kind, given)], axis=0)
            own = (holm(p) < ALPHA - 1e-9) & known["intact_here"].to_numpy()
            counts.append(
                {"judge": _NAMES[who], "random directions": kind, "of": len(known)}
                | {"p < .05": int((p < ALPHA).sum()), "pass, Holm": int(own.sum())}
                | {"pass, max-T": int(((stepped < ALPHA) & known["intact_here"].to_numpy()).sum())}
            )
    decided = rows[rows["decided"]].copy()
    every = {who: np.max([by_max_t(decided, nulls, who, k) for k in _kinds("all kinds", given)], 0) for who in _NAMES}
    decided["p_maxT"], decided["both"] = every[DECIDES], np.maximum(every[DECIDES], every[ALSO])
    decided["passes"] = (decided["p_maxT"] < ALPHA) & decided["intact_here"]
    both = set(decided["emotion"][(decided["both"] < ALPHA) & decided["intact_here"]])
    scores = judges[DECIDES].to_frame()
    on_stories = scores[scores["source"] == "stories"].set_index("emotion")["auroc"]
    decided["on_stories"] = decided["emotion"].map(on_stories)
    decided["strongest"] = [strongest(confusion, row) for row in decided.to_dict("records")]
    alone = rows[~rows["decided"]].copy()
    stepped = np.max([by_max_t(rows, nulls, ALSO, k) for k in _kinds("all kinds", given)], axis=0)
    alone["p_maxT"] = stepped[~rows["decided"].to_numpy()]
    names = {"emotion": "emotion", "method": "direction"}
    kinds = {f"p_{DECIDES}_{k}": f"p, {k}" for k in _kinds("all kinds", given)}
    shown = {
        **names,
        "target_unsteered": "unsteered",
        "target": "steered",
        **kinds,
        "p_comments": "p",
        "p_maxT": "max-T",
    }
    shown |= {"p_stories": "p, judge with stories", "strongest": "strongest other", "on_stories": "AUROC on stories"}
    shown |= {"perplexity_ratio": "perplexity ratio", "distinct2_ratio": "distinct-2 ratio", "passes": "passes"}
    few = {**names, "target_unsteered": "unsteered", "target": "steered", "p_stories": "p", "p_maxT": "max-T over 25"}
    few |= {"perplexity_ratio": "perplexity ratio", "distinct2_ratio": "distinct-2 ratio"}
    digits = {"unsteered": 4, "steered": 4, "p": 4, "p, judge with stories": 4, "AUROC on stories": 2}
    digits |= {"perplexity ratio": 2, "distinct-2 ratio": 2} | {f"p, {k}": 4 for k in KINDS}
    write(
        given.write,
        _HEAD.format(layer=layer, n=given.random, dose=given.dose),
        f"**{int(decided['passes'].sum())} of {len(decided)} pass** by the judge that has read no story, against all kinds "
        f"of random direction, max-T below .05, text intact: {_list(decided['emotion'][decided['passes']])}. "
        f"By both judges: {len(both)} ({_list(sorted(both))}).",
        markdown(pd.DataFrame(counts)),
        "## Emotions that the judge without stories knows",
        markdown(decided.sort_values("p_comments")[list(shown)].rename(columns=shown), digits),
        "## Known to the judge with stories alone (not counted)",
        markdown(alone.sort_values("p_stories")[list(few)].rename(columns=few), digits),
        "No story is about admiration, desire or disappointment, so the bank has no direction for them.",
    )


_NAMES = {DECIDES: "without stories", ALSO: "with stories"}

_HEAD = """# Judged steering, four kinds of random direction, two judges

`python -m benchmarks.steering_nulls`: bundled subject and bank, layer {layer}, dose {dose}, one for all emotions; 24 sentences that no
run had used (one has a word of a concept set, "album", which every row shares), one sampled text of 30 tokens each; {n} random
directions of each kind, of the same length at the same site. "isotropic": normal in every dimension; "decoder": decoder rows of
the SAE, but for the emotion's own selected features; "topics": difference of two topics of stories, emotions balanced;
"shuffled": difference of means under permuted labels. p = (1 + b) / (n + 1), the largest over the kinds. Max-T: step-down over these
emotions (Westfall & Young), of each kind, and the largest over the kinds. Passes: max-T below .05, perplexity ratio in
[0.5, 2], distinct-2 ratio at least .8. Holm over 18 emotions cannot pass with fewer than 360 directions.

The judge without stories learnt from GoEmotions, BRIGHTER and ISEAR: the directions have read none of it, the subject the same
training splits. The judge with stories learnt also from stories by the generator that wrote the subject's and the directions'
texts. AUROC on stories: how well the judge without stories tells the emotion among stories of topics 72-79; at .5 a failure says
little. Strongest other: the other emotion whose direction of the same kind raises the target most, "own" where none does as
much. A small test: 24 texts of each emotion, where the run of `steering_isotropic.md` had 240."""


def _kinds(kind: str, given: argparse.Namespace) -> list[str]:
    return [k for k in KINDS if k in given.kinds.split(",")] if kind == "all kinds" else [kind]


def _list(names: Any) -> str:
    return ", ".join(names) or "none"


def by_max_t(known: Any, nulls: Any, who: str, kind: str) -> np.ndarray:
    """max-T p over the emotions of one judge and kind."""
    values = []
    for row in known.to_dict("records"):
        same = (nulls["emotion"] == row["emotion"]) & (nulls["method"] == row["method"])
        values.append(nulls[same & (nulls["judge"] == who) & (nulls["kind"] == kind)]["target"].to_numpy(dtype=float))
    return max_t(known[f"target_{who}"].tolist(), values)


def strongest(confusion: Any, row: dict[str, Any]) -> str:
    """The other emotion whose direction of the same kind shifts this one further than its own, or "own"."""
    cells = confusion[(confusion["method"] == row["method"]) & (confusion["judged"] == row["emotion"])]
    best = cells.loc[cells["shift"].idxmax(), "emotion"]
    return "own" if best == row["emotion"] else str(best)


if __name__ == "__main__":
    main()
