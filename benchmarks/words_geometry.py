"""Emotion spaces of words in carriers against people's ratings, every layer, dense and features; writes a table.

`EMOTION_INTERP_DATA=... python -m benchmarks.words_geometry --bank saved_features/gemma-3-270m --norms
en=warriner,zh=cvaw3,es=hinojosa2016` reads the bank alone. An emotion without a rating of its label is left out; the p-values are
corrected over components and layers. Writes `docs/results/words_geometry.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import emotion_interp as ei
from benchmarks.given import by_language
from benchmarks.tables import markdown, write
from emotion_interp.core import EmotionInterpError

_HEAD = """# Geometry of words in carriers

`python -m benchmarks.words_geometry`. For each language and layer the space of the emotions (means over their words) against the
ratings of the emotions' labels: |r| of the best of ten principal components with valence and arousal, p by permuting the ratings,
corrected over components and over all layers and kinds of the language; rho of the RSA with its own p; r of the leave-one-out
read-out. The space holds what the words say at each layer, the first of them included: how much of it the word's own embedding
has already stands in the ratings' rows "static"."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--norms", type=by_language, default="en=warriner,zh=cvaw3,es=hinojosa2016")
    parser.add_argument("--permutations", type=int, default=5000)
    parser.add_argument("--write", type=Path, default=Path("docs/results/words_geometry.md"))
    given = parser.parse_args()
    bank = ei.FeatureBank.load(given.bank)
    norms = {language: ei.load_norms(name) for language, name in given.norms.items()}
    rows, notes = [], []
    for language, name in given.norms.items():
        spaces = [
            ei.emotion_space(bank, layer=layer, kind=kind, language=language)
            for layer in bank.layers
            for kind in ("dense", "features")
        ]
        labels = bank.manifest["labels"][language]
        try:
            fits = ei.align_layers(spaces, norms[language], n_permutations=given.permutations, labels=labels)
        except EmotionInterpError as error:
            notes.append(f"{language}, {name}: {error}")
            continue
        for space, fit in zip(spaces, fits.alignments, strict=True):
            row = {"language": language, "norms": name, "layer": space.layer, "space": space.kind}
            row["emotions"] = len(fit.emotions)
            for dimension in ("valence", "arousal"):
                one = getattr(fit, dimension)
                if one is not None:
                    row |= {
                        f"{dimension}: |r|": abs(one.r),
                        f"{dimension}: p": one.p if one.p_layers is None else one.p_layers,
                    }
            row |= {"RSA rho": fit.rsa.rho, "RSA p": fit.rsa.p}
            row |= {"read-out V": fit.readout.valence_r, "read-out A": fit.readout.arousal_r}
            rows.append(row)
    write(
        given.write,
        _HEAD,
        f"Bank of {bank.manifest['subject']}.",
        markdown(pd.DataFrame(rows), {"valence: p": 4, "arousal: p": 4, "RSA p": 4}),
        "\n".join(notes),
    )


if __name__ == "__main__":
    main()
