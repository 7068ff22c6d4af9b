"""The pictures of README and documentation, from what the repository keeps: `make figures` (or `python -m benchmarks.figures`).

Needs kaleido and a Chromium (extra `figures`). "sentence" reads a sentence with Gemma 3 270M and is left as it is where the
extra `gemma` is not installed; the others are made of the shipped bank and of docs/results alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError

FOLDER = Path("docs/figures")
BANK, SAES = "saved_features/gemma-3-270m", "saved_features/gemma-3-270m/saes"
LAYER = 9
SENTENCE = "She opened the letter and began to weep. Her brother burst out laughing."
LANGUAGES = {"en": "English", "es": "Spanish", "zh": "Chinese"}
SETS = {"dense": "stream", "all": "all SAE features", "union": "features of the bank", "static": "static embeddings"}
MARKERS = {
    "dense": {"size": 10, "color": "#1b3a6b"},
    "all": {"size": 8, "color": "#2a7fb8"},
    "union": {"size": 8, "color": "#7fc4e8"},
    "static": {"size": 13, "color": "#707070", "symbol": "circle-open"},
}


def features() -> go.Figure:
    """Which features carry which emotion: the bank's heat map."""
    return ei.FeatureBank.load(BANK).plot(layer=LAYER, language="en")


def geometry() -> go.Figure:
    """Model and people on the plane of valence and arousal."""
    space = ei.emotion_space(ei.FeatureBank.load(BANK), layer=LAYER, kind="dense", language="en")
    return ei.align(space, ei.load_norms("builtin"), n_permutations=199).plot()


def ratings(page: Path = Path("docs/results/ratings_across.md")) -> go.Figure:
    """Predicted against human word ratings in three languages, from the kept table."""
    table = kept_table(page, f"layer {LAYER}")
    picture = go.Figure()
    for name, title in SETS.items():
        rows = table[(table["feature_set"] == name) & table["train_language"].isin(LANGUAGES)]
        places = [f"{LANGUAGES[r.train_language]}<br>{r.dimension}" for r in rows.itertuples()]
        bars = {"array": rows["hi"] - rows["r"], "arrayminus": rows["r"] - rows["lo"], "thickness": 1, "width": 3}
        picture.add_scatter(x=rows["r"], y=places, mode="markers", name=title, error_x=bars, marker=MARKERS[name])
    order = [f"{title}<br>{d}" for title in LANGUAGES.values() for d in ("valence", "arousal")]
    picture.update_layout(
        title=f"Word ratings predicted from Gemma 3 270M, layer {LAYER}",
        width=680,
        height=420,
        template="plotly_white",
        xaxis={"title": "r with people's ratings (95% interval)", "range": [0.3, 0.95]},
        yaxis={"categoryorder": "array", "categoryarray": order[::-1]},
        legend={"orientation": "h", "y": -0.2},
    )
    return picture


def kept_table(page: Path, column: str) -> pd.DataFrame:
    """The first table of a page, with r, lo and hi out of one column: "0.83 [0.82, 0.84]"."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    head, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if set(line) - set("|- ")]
    table = pd.DataFrame([row for row in rows if len(row) == len(head)], columns=head)
    parts = table[column].str.extract(r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]").astype(float)
    return table.assign(r=parts[0], lo=parts[1], hi=parts[2]).dropna(subset=["r"])


def sentence() -> go.Figure:
    """Every emotion at every token of a text."""
    subject = ei.load_subject("gemma-3-270m", saes=SAES)
    trace = ei.emotion_trace(subject, SENTENCE, ei.FeatureBank.load(BANK), layers=[LAYER], kind="dense")
    print(trace.by_sentence().to_string(index=False))
    return trace.plot(LAYER)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for make in (features, geometry, ratings, sentence):
        if len(sys.argv) > 1 and make.__name__ not in sys.argv[1:]:
            continue
        try:
            picture = make()
        except EmotionInterpError as error:
            print(f"{make.__name__}: left as it is ({error})")
            continue
        picture.write_image(FOLDER / f"{make.__name__}.svg")
        print(FOLDER / f"{make.__name__}.svg")


if __name__ == "__main__":
    main()
