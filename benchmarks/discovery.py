"""Discovery over 12 SAEs of 24,576 latents: ours against the usual SAELens loop (cache every layer, encode every token).

`python -m benchmarks.discovery [--words 8]`: words in carriers, the last token of the word counts. "last token only" is the
same loop written by somebody who encodes just the positions that are read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.reading import LAYERS, WIDTH, make_subject, seconds

D_SAE = 24_576
BATCH_SIZES = (16, 64)


def random_saes() -> list[Any]:
    """One JumpReLU SAE per layer with random weights, about 50 latents active."""
    import torch
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    saes = []
    for layer in range(LAYERS):
        torch.manual_seed(layer)
        metadata = SAEMetadata(hook_name=f"blocks.{layer}.hook_resid_post", hook_layer=layer, model_name="random")
        sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=WIDTH, d_sae=D_SAE, metadata=metadata))
        with torch.no_grad():
            sae.W_dec.data = torch.nn.functional.normalize(torch.randn(D_SAE, WIDTH), dim=-1)
            sae.W_enc.data = sae.W_dec.data.T.contiguous()
            # the stream of a random GPT-2 grows with depth; the threshold keeps about 0.2% of the latents
            sae.threshold.data = torch.full((D_SAE,), 2.9 * 0.02 * (layer + 1) ** 0.5)
        saes.append(sae)
    return saes


def section(words: int = 8) -> str:
    """The table as markdown: the first `words` words of each emotion and of the neutral class."""
    import torch

    import emotion_interp as ei
    from emotion_interp.activations import read_stimuli
    from emotion_interp.features.design import design_stimuli
    from emotion_interp.subjects.tokens import span_tokens

    _, bare = make_subject()
    subject = ei.Subject(bare.model, random_saes(), tokenizer=bare.tokenizer, name="random GPT-2 small")
    design = design_stimuli(ei.concept_set("en"), "words", 0)
    table = design.words.groupby("emotion").head(words)
    chosen = np.flatnonzero(np.isin(design.units, table["unit"]))
    stimuli, units = [design.stimuli[i] for i in chosen], design.units[chosen]

    def ours() -> None:
        read_stimuli(subject, stimuli, units, position="last")

    def loop(size: int, last_only: bool) -> None:
        tokens = subject.tokenize([s.text for s in stimuli])
        wanted = [int(span_tokens(t, s.span)[-1]) for t, s in zip(tokens, stimuli, strict=True)]
        names = {f"blocks.{layer}.hook_resid_post" for layer in range(LAYERS)}
        with torch.no_grad():
            for start in range(0, len(tokens), size):
                part = tokens[start : start + size]
                ids = np.zeros((len(part), max(map(len, part))), dtype=np.int64)
                for row, one in enumerate(part):
                    ids[row, : len(one)] = one.ids
                _, cache = subject.model.run_with_cache(torch.from_numpy(ids), names_filter=lambda name: name in names)
                rows, columns = torch.arange(len(part)), torch.tensor(wanted[start : start + size])
                for site, sae in subject.saes.items():
                    block = cache[site.hook_name]
                    if last_only:
                        sae.encode(block[rows, columns])
                    else:
                        sae.encode(block)[rows, columns].clone()

    runs: dict[str, Callable[[], None]] = {"emotion_interp.read_stimuli": ours}
    for size in BATCH_SIZES:
        runs[f"SAELens encode loop, batch {size}"] = lambda size=size: loop(size, False)
    runs[f"the same, last token only, batch {BATCH_SIZES[0]}"] = lambda: loop(BATCH_SIZES[0], True)
    took = {name: seconds(run) for name, run in runs.items()}
    mine = took["emotion_interp.read_stimuli"]
    lines = [
        f"Discovery pass over {LAYERS} SAEs of {D_SAE:,} latents (random JumpReLU, GPT-2 {LAYERS} x {WIDTH}), {len(stimuli):,} "
        f"words in carriers, {torch.get_num_threads()} thread(s), one round:",
        "",
        "| pass | seconds | ours is faster by |",
        "|---|---|---|",
        *[f"| {name} | {value:.1f} | {value / mine:.2f} |" for name, value in took.items()],
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, default=8)
    print(section(parser.parse_args().words))


if __name__ == "__main__":
    main()
