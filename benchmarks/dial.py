"""The valence/arousal dial: requested coordinates against those of the written text, judged, and dials of shuffled ratings.

`python -m benchmarks.dial [--model gemma-3-270m --saes SAES]` chooses layer and dose on the tuning prompts and reports on the test prompts: judged points
(EmoBank's scale, 1 to 5) per requested standard deviation over a 3 x 3 grid. The judge is the regressor that reads no
judge of stories; the one that does reads the same texts beside it. Writes `docs/results/dial.md`, or `dial_MODEL.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import emotion_interp as ei
from benchmarks.given import subject_and_bank
from benchmarks.tables import markdown, write
from emotion_interp.experiments import dial_test
from emotion_interp.experiments.dial_slopes import figures
from emotion_interp.judges import NEUTRAL_PROMPTS

NAMES = ("valence", "arousal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=None)
    parser.add_argument("--saes", default=None, help="folder of the SAEs")
    parser.add_argument("--bank", default=None, help="folder of the bank; default: the one that ships")
    parser.add_argument("--nulls", type=int, default=99, help="dials of shuffled ratings")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--layers", default="1")
    parser.add_argument("--doses", default="0.1,0.15")
    parser.add_argument("--methods", default="dense")
    parser.add_argument("--steps", default="-2,0,2", help="requested coordinates")
    parser.add_argument("--write", type=Path, default=None)
    given = parser.parse_args()
    subject, bank = subject_and_bank(parser, given)
    steps = [float(x) for x in given.steps.split(",")]
    grid, tuning = dial_test(
        subject,
        bank,
        *NEUTRAL_PROMPTS["en"],
        layers=[int(x) for x in given.layers.split(",")],
        doses=[float(x) for x in given.doses.split(",")],
        methods=given.methods.split(","),
        n_samples=given.samples,
        n_null=given.nulls,
        valences=steps,
        arousals=steps,
        max_new_tokens=30,
    )
    fit: Any = grid.fit.iloc[0]
    lines = [line(fit, d, "without stories", True) for d in NAMES]
    lines += [line(beside(grid), d, "with stories", False) for d in NAMES]
    print(tuning.round(3).to_string(index=False))
    command = "python -m benchmarks.dial" + (f" --model {given.model} --saes SAES" if given.model else "")
    head = _HEAD.format(
        command=f"{command} --layers {given.layers} --doses {given.doses} --nulls {given.nulls} --samples {given.samples}",
        subject=subject.name,
        chosen="both fixed" if len(tuning) == 1 else "chosen on other prompts",
        layer=fit["layer"],
        dose=fit["dose"],
        cells=fit["n_cells"],
        texts=fit["n_prompts"] * fit["n_samples"],
    )
    cells = grid.table.drop(columns="n_texts")
    page = given.write or Path("docs/results") / f"dial{f'_{subject.name}' if given.model else ''}.md"
    write(page, head, markdown(pd.DataFrame(lines), {"p": 2, "r": 2, "median r of shuffled": 2}), markdown(cells))


def line(fit: Any, name: str, judge: str, tested: bool) -> dict[str, Any]:
    """One row of the table: a dimension by a judge."""
    row = {"judge": judge, "dimension": name, "points per SD": fit[f"slope_{name}"]}
    row["95%"] = f"{fit[f'slope_{name}_lo']:.3f} to {fit[f'slope_{name}_hi']:.3f}"
    null = f"{fit[f'slope_{name}_null_lo']:.3f} to {fit[f'slope_{name}_null_hi']:.3f}" if tested else "-"
    row |= {"shuffled ratings, 95%": null, "p": fit[f"p_{name}"] if tested else float("nan"), "r": fit[f"r_{name}"]}
    return row | {"median |r| of shuffled": fit[f"r_{name}_null"] if tested else float("nan")}


def beside(grid: Any) -> dict[str, float]:
    """The same texts by the regressor that reads the judge of stories."""
    texts = grid.texts
    cells = list(dict.fromkeys(zip(texts["valence"], texts["arousal"], strict=True)))
    values = ei.load_judge("emobank").predict(texts["text"].tolist())
    prompts = texts["prompt"].nunique()
    return figures(np.asarray(cells, dtype=float), values.reshape(len(cells), prompts, -1, 2), 0)


_HEAD = """# The valence/arousal dial

`{command}`: {subject}, layer {layer}, dose {dose} a standard deviation, {chosen}; {cells}
cells, {texts} texts of 30 tokens each. Points per SD: slope of the judged on the requested coordinate (EmoBank's scale, 1 to 5)
with a 95% interval over prompts. Null: the same grid by dials for which the emotions have each other's ratings, one sample of each
prompt and cell; p compares one sample of the dial's own. r is far from 0 by construction: the median |r| of the shuffled dials
stands beside it. Judge: ridge regression of EmoBank's reader ratings on n-grams and on the log probabilities of an
emotion judge: of the one that has read no story, or of the one that has (the same texts)."""


if __name__ == "__main__":
    main()
