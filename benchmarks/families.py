"""The family matrix as a table: `python -m benchmarks.families` writes docs/results/families.md.

Tiny random models of every family are wrapped, read, steered and continued, and compared with transformers itself; so are
adapters, quantised weights and other precisions (where their packages are installed). The cells are those of
tests/families.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging as standard_logging
from pathlib import Path

import torch
import transformers
from transformers.utils import logging

from tests.families.cells import CELLS, family_cells
from tests.families.variants import VARIANTS, variant_cells
from tests.families.zoo import FAMILIES, make_model, make_tokenizer

HEAD = """# Families

What a subject made from a `transformers` model of each family shows, measured on tiny random models made by code (two
layers, 32 dimensions). Each cell holds ("yes"), holds in a slower way, or is refused with the reason below the table.

- load: TransformerLens opens it, and its logits are those of the model handed in (else it is refused);
- read: activations at every layer are what transformers' own blocks give, in a padded batch;
- steer: a direction added at `resid_post` writes the tokens that a hook on transformers' block writes;
- dose: a dose at `resid_mid` and `mlp_out` moves the stream by itself;
- sites: every kind (resid_pre, resid_mid, resid_post, attn_out, mlp_out, z) is read at every layer, and all but z steered;
- uncached, cached, batch: greedy tokens are transformers' own, alone, with a cache, and in a batch of several lengths;
- BOS: exactly one, as the text or the tokenizer has it;
- chat: a conversation gives the tokens of the tokenizer's own template and transformers' own reply, and a direction in the
  user's turns alone writes what a hook on those tokens writes, with and without cache;
- untouched: the model handed in gives the same logits, bit for bit.

"-": nothing is loaded, for the reason of the first column.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results/families.md"))
    out = parser.parse_args().out
    logging.set_verbosity_error()
    standard_logging.disable(standard_logging.WARNING)
    torch.set_num_threads(1)
    tokenizer = make_tokenizer()
    rows: dict[str, dict[str, str]] = {}
    for family in FAMILIES:
        try:
            rows[family] = family_cells(make_model(family, tokenizer), tokenizer)
        except ImportError as error:
            print(f"{family}: {error}")
    for variant in VARIANTS:
        try:
            rows[variant] = variant_cells(variant, tokenizer)
        except ImportError as error:
            print(f"{variant}: {error}")
    out.parent.mkdir(parents=True, exist_ok=True)
    text = table(rows)
    out.write_text(text, encoding="utf-8")
    print(text)


def table(rows: dict[str, dict[str, str]]) -> str:
    """Markdown: the matrix, then the reasons, each once. A cell that is no "yes" says why, behind a colon or in the head."""
    version = importlib.metadata.version("transformer-lens")
    notes: dict[str, int] = {}

    def short(text: str) -> str:
        head, _, reason = text.partition(": ")
        if not reason:
            return text
        return f"{head} [{notes.setdefault(reason, len(notes) + 1)}]"

    lines = [HEAD, f"transformers {transformers.__version__}, TransformerLens {version}.", ""]
    lines += ["| family | " + " | ".join(CELLS) + " |", "|---" * (len(CELLS) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(short(cells[c]) for c in CELLS) + " |" for name, cells in rows.items()]
    lines += ["", "Reasons:", ""]
    lines += [f"{number}. {reason}" for reason, number in notes.items()]
    lines += ["", "Made by `python -m benchmarks.families`.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
