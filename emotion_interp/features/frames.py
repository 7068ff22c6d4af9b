"""Frames for pictures and readers: what the figures room expects, made from a bank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.features.bank import FeatureBank


def heatmap_frame(bank: FeatureBank, layer: int, language: str) -> pd.DataFrame:
    """Mean activation of each emotion's top feature on the words of every emotion, scaled to the feature's maximum."""
    import pandas as pd

    words, matrix = bank.unit_activations(layer, language)
    site = bank.site(layer)
    tops = bank.summary[(bank.summary["layer"] == site.layer) & (bank.summary["language"] == language)]
    rows = []
    for _, top in tops.iterrows():
        column = matrix[:, int(top["feature"])].toarray().ravel().astype(np.float64)
        means = {
            e: column[(words["emotion"] == e).to_numpy()].mean() for e in bank.emotions if (words["emotion"] == e).any()
        }
        peak = max(means.values()) or 1.0
        for emotion, mean in means.items():
            rows.append((site.layer, language, emotion, f"{top['emotion']} · {int(top['feature'])}", mean / peak))
    return pd.DataFrame(rows, columns=["layer", "language", "emotion", "feature", "value"])


def summary_by_layer(bank: FeatureBank) -> pd.DataFrame:
    """Per layer and language: selected and confirmed emotions, median held-out AUROC with a bootstrap interval, dense beside it.

    The interval resamples emotions (percentile, 2,000 resamples, fixed seed).
    """
    import pandas as pd

    rng = np.random.default_rng(0)
    rows = []
    for (layer, language), group in bank.summary.groupby(["layer", "language"], sort=True):
        held = group["auroc_heldout"].to_numpy(dtype=np.float64)
        resampled = np.median(rng.choice(held, (2000, len(held))), axis=1)
        low, high = np.percentile(resampled, [2.5, 97.5])
        rows.append(
            {
                "layer": layer,
                "language": language,
                "emotions": len(group),
                "selected": int(group["selected"].sum()),
                "confirmed": int(group["confirmed"].sum()),
                "median_auroc_heldout": float(np.median(held)),
                "lo": float(low),
                "hi": float(high),
                "median_shrinkage": float(group["shrinkage"].median()),
                "median_dense_auroc": float(group["dense_auroc"].median()),
                "median_dense_clean_auroc": float(group["dense_clean_auroc"].median()),
            }
        )
    return pd.DataFrame(rows)
