"""A sweep at scale, on paper: 12 models x all layers x 3 widths x 28 emotions x 3 languages.

`python -m benchmarks.sweep_scale`. The units, cells and bytes of text are those of a real plan over the shipped sets; the
rest is arithmetic that the table states: tokens at 4 bytes, forked tokens at the share that the prefix tree reaches on
these very carriers (measured on characters' stand-in: bytes of shared beginnings), FLOPs of a pass (2 per parameter and
token) and of the encoders (2 x d_model x width per cell and SAE), bytes of a shard's file (dense float32, sparse rows at
the SAEs' usual sparsity). Cards at 40% of their dense bfloat16 peak.
"""

from __future__ import annotations

import pandas as pd

MODELS = {
    "gemma-3-270m": (18, 640, 0.27e9),
    "gemma-3-1b": (26, 1152, 1.0e9),
    "gemma-2-2b": (26, 2304, 2.6e9),
    "gemma-3-4b": (34, 2560, 4.3e9),
    "gemma-2-9b": (42, 3584, 9.2e9),
    "gemma-3-12b": (48, 3840, 12.2e9),
    "gemma-2-27b": (46, 4608, 27.2e9),
    "llama-3.2-1b": (16, 2048, 1.2e9),
    "llama-3.1-8b": (32, 4096, 8.0e9),
    "qwen3-1.7b": (28, 2048, 1.7e9),
    "qwen3-8b": (36, 4096, 8.2e9),
    "pythia-6.9b": (32, 4096, 6.9e9),
}
"""Name -> layers, width of the stream, parameters."""
WIDTHS, SPARSITY = (16_384, 65_536, 262_144), (80, 60, 50)
"""Latents of each SAE, and how many of them fire on a token."""
CARDS = {"NVIDIA H100": 990e12, "NVIDIA A100": 312e12, "NVIDIA L4": 121e12}
SHARE_OF_PEAK, BYTES_PER_TOKEN = 0.4, 4.0


def main() -> None:
    """Print the plan, a row for each model, and card hours."""
    from emotion_interp.activations.prefixes import prefix_plan
    from emotion_interp.study.sweep_file import SubjectEntry, SweepFile
    from emotion_interp.study.sweep_plan import READ, sweep_plan

    subjects = [SubjectEntry(model=name, saes="release") for name in MODELS]
    languages = ["en:large", "es:large", "zh:large"]
    plan = sweep_plan(SweepFile(subjects=subjects, languages=languages, analyses=["features", "alignment"]))
    cells = sum(len(shard.cells) for shard in plan.shards)
    n_bytes = sum(shard.n_bytes for shard in plan.shards)
    # a byte stands for a token, so that no tokenizer is needed: what is shared of the texts is shared of their tokens
    trees = [prefix_plan([tuple(s[0].encode()) for c in shard.cells for s in c.stimuli]) for shard in plan.shards]
    forked = sum(tree.n_computed for tree in trees) / sum(tree.n_tokens for tree in trees)
    tokens = n_bytes / BYTES_PER_TOKEN
    reads = sum(unit.stage == READ for unit in plan.units)
    print(
        f"{len(plan.units):,} units ({reads:,} that read), {len(plan.shards)} shards of {n_bytes / len(plan.shards) / 1024:.0f} KiB"
    )
    print(f"{cells:,} cells, {tokens:,.0f} tokens a model; {forked:.2f} of them run where beginnings are shared")
    rows = []
    for name, (layers, d_model, parameters) in MODELS.items():
        passes = 2 * parameters * tokens
        encoders = sum(2 * d_model * width * cells * layers for width in WIDTHS)
        sparse = sum(2 * 8 * count for count in SPARSITY)
        disk = cells * layers * (4 * d_model + sparse) + 4 * tokens * layers
        row = {"model": name, "layers": layers, "SAEs": layers * len(WIDTHS), "GB_on_disk": disk / 1e9}
        row |= {
            "PFLOP_passes": passes / 1e15,
            "PFLOP_forked": passes * forked / 1e15,
            "PFLOP_encoders": encoders / 1e15,
        }
        rows.append(row | {"GB_of_SAEs": 2 * sum(2 * d_model * width * layers for width in WIDTHS) / 1e9})
    frame = pd.DataFrame(rows)
    print(frame.round(2).to_string(index=False))
    work = float((frame["PFLOP_forked"] + frame["PFLOP_encoders"]).sum()) * 1e15
    for card, peak in CARDS.items():
        print(
            f"{card}: {work / (peak * SHARE_OF_PEAK) / 60:,.1f} minutes of one card at {SHARE_OF_PEAK:.0%} of its peak"
        )
    print(
        f"in all {frame['GB_on_disk'].sum():,.0f} GB on disk; SAEs in bfloat16 {frame['GB_of_SAEs'].sum():,.0f} GB, read once for each shard"
    )


if __name__ == "__main__":
    main()
