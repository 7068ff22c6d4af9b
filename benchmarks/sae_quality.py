"""Figures of SAEs on text they were not trained on, by language and on words in carriers, as the file that ships reads them.

`python -m benchmarks.sae_quality --model gemma-3-270m --saes SAES` (data under `EMOTION_INTERP_DATA`), for SAEs made by

    emotion-interp train-saes --model gemma-3-270m --out SAES --layers 5,9,12,15 --d-sae 4096 --k 48 --tokens 34000000 \\
        --balanced en,zh,es --pool 16000000 --standardize --lr 0.0012 --decay 0.6 --context 128 --dead-window 50 --batch 4096

(on a GPU, 330 s: 100,000 tokens a second).

The shipped table: `--tokens 15000 --loss-tokens 400 --limit-l0 61`. With `--limit-l0` the thresholds are first raised where a kind of text of the training side fires more latents than that (run once; the SAEs that ship have it behind them).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import emotion_interp as ei
from benchmarks.tables import markdown, write
from emotion_interp.training.balanced import LANGUAGES, balanced_texts, training_sample
from emotion_interp.training.sae_quality import sae_quality
from emotion_interp.training.sae_threshold import limit_l0
from emotion_interp.training.texts import data_folder

_HEAD = """# SAEs on held-out text

`python -m benchmarks.sae_quality`. Held-out texts of each language, and at the end of carriers words that no SAE was trained on (the
last token alone is read). ev: explained variance; ev_standardized: after standardising each coordinate within the group, mean over
coordinates; L0: active latents per token; silent_share: latents that never fire in any group; ce_recovered: (zeros - spliced) /
(zeros - untouched), in nats, BOS and sinks keeping their own activations."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--saes", type=Path, required=True, help="folder of the SAEs")
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--tokens", type=int, default=20_000, help="tokens read of each group")
    parser.add_argument("--loss-tokens", type=int, default=4000, help="tokens of each group for the cross-entropies")
    parser.add_argument(
        "--limit-l0", type=float, help="raise thresholds to at most so many latents, and write the SAEs anew"
    )
    parser.add_argument("--write", type=Path, default=Path("docs/results/sae_quality.md"))
    given = parser.parse_args()
    _, groups = balanced_texts(data_folder(), 100_000, given.languages.split(","))
    if given.limit_l0:
        texts = training_sample(data_folder(), 4000, given.languages.split(","), seed=1)
        own = [name for name in texts if name.endswith(" words")]
        bare = ei.load_subject(given.model)
        factors = limit_l0(bare, given.saes, texts, words=own, most=given.limit_l0, tokens=given.tokens)
        print({layer: round(factor, 4) for layer, factor in factors.items()})
    subject = ei.load_subject(given.model, saes=given.saes)
    words = [name for name in groups if name.endswith(" words")]
    quality = sae_quality(subject, groups, words=words, tokens=given.tokens, loss_tokens=given.loss_tokens)
    shortfalls = quality.shortfalls()
    write(
        given.write,
        _HEAD,
        f"Subject: {subject.name}, {subject.provenance.get('weights', 'own weights')}.",
        markdown(quality.to_frame().drop(columns="layer"), {"l0": 1}),
        "Short of the aims:\n\n" + "\n".join(f"- {line}" for line in shortfalls)
        if shortfalls
        else "No figure is short of its aim.",
    )


if __name__ == "__main__":
    main()
