"""What a finished sweep took and found, as a page: `python -m benchmarks.sweep_page [runs/measured] [--write PAGE]`.

The default is the sweep of docs/sweeps/measured.toml. Nothing is computed anew: every figure is in the tables of the folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.tables import markdown, write


def main() -> None:
    """Print or write the page."""
    import emotion_interp as ei

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/measured"))
    parser.add_argument("--write", type=Path, default=None)
    options = parser.parse_args()
    results = ei.load_sweep(options.folder)
    units = results.table("units")
    best = results.best("auroc_heldout")
    best["place"] = best["site"].str.replace("blocks.", "", regex=False).str.replace(".hook", "", regex=False)
    found = best.groupby(["subject", "position", "language"], sort=False).agg(
        sites=("n_sites", "first"),
        chosen=("place", lambda places: ", ".join(dict.fromkeys(places))),
        discovery=("auroc", "mean"),
        confirmation=("auroc_heldout", "mean"),
    )
    parts = (
        f"# A sweep over {units['subject'].nunique()} models",
        "`emotion-interp sweep docs/sweeps/measured.toml`, then `python -m benchmarks.sweep_page`. All layers with an SAE, two "
        "languages, three positions, two seeds, five emotions. Seconds are of the clock, summed over units; memory is the most "
        "that the worker has had until then.",
        markdown(taken(units), 2),
        "The best site of each subject, position and language, chosen on the discovery half of the words and reported on the "
        "other (AUROC of the selected features, mean over emotions and seeds):",
        markdown(found.reset_index(), 2),
    )
    print("\n\n".join(parts)) if options.write is None else write(options.write, *parts)


def taken(units: pd.DataFrame) -> pd.DataFrame:
    """One row for each subject and stage: units, stimuli, tokens asked for and run, seconds, largest memory."""
    groups = units.groupby(["subject", "stage"], sort=False)
    frame = groups.agg(
        units=("unit", "nunique"),
        stimuli=("n_stimuli", "sum"),
        tokens=("n_tokens", "sum"),
        run=("n_computed", "sum"),
        seconds=("seconds", "sum"),
        peak_MB=("peak_mb", "max"),
        reading=("reading", lambda said: ", ".join(dict.fromkeys(said))),
    ).reset_index()
    for name in ("stimuli", "tokens", "run"):
        frame[name] = [f"{int(value):,}" if value else "-" for value in frame[name]]
    return frame


if __name__ == "__main__":
    main()
