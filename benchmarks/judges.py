"""The bundled judges, trained anew from public corpora, with their figures on texts they have not read.

`python -m benchmarks.judges --data DATA [--out FOLDER]`: the English judge with stories, the one without ("comments"), the
Chinese one, the regressors of valence and arousal that read either English judge, and their card. Without `--out` nothing
is trained: the figures of the shipped files are printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import emotion_interp as ei
from benchmarks.tables import markdown
from emotion_interp.steering.judge_card import write_card
from emotion_interp.steering.train_judges import train_judge
from emotion_interp.steering.train_valence_arousal import train_valence_arousal_judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=None, help="folder with labelled/ and corpora/")
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    if given.out is not None:
        if given.data is None:
            parser.error("--out needs --data, the folder with labelled/ and corpora/")
        given.out.mkdir(parents=True, exist_ok=True)
        for options in ({"language": "en"}, {"language": "en", "stories": False}, {"language": "zh"}):
            train_judge(given.data, given.out, **options)
        for reads in ("en", "comments"):
            train_valence_arousal_judge(given.data, given.out, reads)
        write_card(given.out)
    for name in ("en", "comments"):
        judge: Any = ei.load_judge(given.out / f"{name}.skops" if given.out else None if name == "en" else name)
        frame = judge.to_frame().pivot_table(index="emotion", columns="source", values="auroc").reset_index()
        print(f"\n{judge}: AUROC on held-out texts\n\n{markdown(frame, 2)}")
        print(f"\nmedian AUROC: {judge.to_frame().groupby('source')['auroc'].median().round(2).to_dict()}")
    for name in ("emobank", "emobank_comments"):
        print(f"\n{name}: {ei.load_judge(given.out / f'{name}.skops' if given.out else name)}")


if __name__ == "__main__":
    main()
