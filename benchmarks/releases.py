"""The matrix of SAE releases as a table: `python -m benchmarks.releases` writes docs/results/releases.md.

One release of each family is loaded by its name, through SAELens' own loader, from a local cache of tiny files in its true
layout, and compared with a formula written by hand on the raw arrays. The cases and cells are those of tests/releases.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging as standard_logging
import tempfile
from pathlib import Path

import torch
from transformers.utils import logging

from emotion_interp.subjects.sae_releases import Release, release_names, release_of
from tests.releases.cases import CASES
from tests.releases.cells import CELLS, release_cells
from tests.releases.hub import hub_at

HEAD = """# SAE releases

What `ei.load_subject(model, saes=RELEASE)` gives for the releases of SAELens' directory, measured on tiny random models and SAEs
in the true layout of each family's files, through SAELens' own loaders. Each cell holds ("yes"), or is refused with the
reason below the table.

- load: by its name, without the network; one SAE at the right layer and hook; its id and release are in the provenance;
- encode exact: what the reader encodes of the subject's own activations is what a formula by hand gives on the raw file
  (input transform, folding, activation function), to 1e-5 of the largest latent;
- metadata used: another model of the same width and a BOS that the SAE was trained with and the subject has not are said in
  one line each; the context size is known, and texts beyond it are said. Some releases say nothing of BOS.

"Releases" are those that the same loader reads at the same kind of site; what is said of one holds for its row.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results/releases.md"))
    out = parser.parse_args().out
    logging.set_verbosity_error()
    standard_logging.disable(standard_logging.WARNING)
    torch.set_num_threads(1)
    rows: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder, hub_at(Path(folder)) as hub:
        for case in CASES:
            rows[case.release] = release_cells(case, hub)
            print(case.release, rows[case.release], flush=True)
    for name in release_names():
        release = release_of(name)
        if release.refusal:
            rows[name] = dict.fromkeys(CELLS, f"refused: {release.refusal}")
    out.parent.mkdir(parents=True, exist_ok=True)
    text = table(rows)
    out.write_text(text, encoding="utf-8")


def row_of(release: Release) -> tuple[str, str]:
    """What a row stands for: (loader, kinds of site)."""
    return release.loader, ", ".join(sorted({e.site.kind for e in release.entries if e.site is not None}))


def table(rows: dict[str, dict[str, str]]) -> str:
    """Markdown: the matrix, then the reasons, each once."""
    version = importlib.metadata.version("sae-lens")
    notes: dict[str, int] = {}

    def short(text: str) -> str:
        if not text.startswith("refused: "):
            return text
        number = notes.setdefault(text.removeprefix("refused: "), len(notes) + 1)
        return f"refused [{number}]"

    alike: dict[tuple[str, str], int] = {}
    for release in map(release_of, release_names()):
        if not release.refusal:
            alike[row_of(release)] = alike.get(row_of(release), 0) + 1
    lines = [HEAD, f"SAELens {version}, {len(release_names())} releases.", ""]
    lines += ["| release | loader | site | releases | " + " | ".join(CELLS) + " |", "|---" * (len(CELLS) + 4) + "|"]
    for name, cells in rows.items():
        release = release_of(name)
        loader, kinds = row_of(release)
        count = "" if release.refusal else str(alike[row_of(release)])
        shown = " | ".join(short(cells[cell]) for cell in CELLS)
        lines.append(f"| {name} | {loader} | {'-' if release.refusal else kinds} | {count or '-'} | {shown} |")
    lines += ["", "Reasons:", ""]
    lines += [f"{number}. {reason}" for reason, number in notes.items()]
    lines += ["", "Made by `python -m benchmarks.releases`.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
