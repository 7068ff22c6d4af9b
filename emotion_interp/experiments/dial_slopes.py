"""How far the dial moves what is judged: points per requested standard deviation, against dials of shuffled ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from emotion_interp.core.seeds import generator
from emotion_interp.geometry.coordinates import as_norms, human_coordinates
from emotion_interp.norms import load_norms

RESAMPLES = 2000
NAMES = ("valence", "arousal")


def slopes(asked: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Least-squares slope of each judged dimension on its own requested one, the other held: [..., dimension].

    Args:
        asked: requested coordinates [cell, 2], in standard deviations.
        judged: mean judged coordinates [..., cell, 2], in the judge's points.
    """
    design = np.column_stack([np.ones(len(asked)), asked])
    return np.stack([judged[..., k] @ np.linalg.pinv(design)[1 + k] for k in range(2)], axis=-1)


def correlation(asked: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Pearson r of asked [cell] with every row of judged [row, cell]; NaN where a row does not vary."""
    x, y = asked - asked.mean(), judged - judged.mean(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (y @ x) / np.sqrt((x**2).sum() * (y**2).sum(1))


def figures(asked: np.ndarray, values: np.ndarray, seed: int) -> dict[str, float]:
    """Slopes and r of requested [cell, 2] and judged coordinates [cell, prompt, sample, 2], with intervals over prompts."""
    by_prompt = values.mean(2)
    n = by_prompt.shape[1]
    picks = generator(seed, "bootstrap over prompts", n).integers(0, n, size=(RESAMPLES, n))
    counts = np.stack([np.bincount(p, minlength=n) for p in picks]) / n
    # [resample, cell, dimension]
    means, mean = np.einsum("rp,cpk->rck", counts, by_prompt), by_prompt.mean(1)
    result: dict[str, float] = {}
    drawn = slopes(asked, means)
    for k, name in enumerate(NAMES):
        result[f"slope_{name}"] = float(slopes(asked, mean)[k])
        low, high = np.percentile(drawn[:, k], [2.5, 97.5])
        result |= {f"slope_{name}_lo": float(low), f"slope_{name}_hi": float(high)}
    for k, name in enumerate(NAMES):
        result[f"r_{name}"] = float(correlation(asked[:, k], mean[None, :, k])[0])
        r = correlation(asked[:, k], means[:, :, k])
        bounds = np.nanpercentile(r, [2.5, 97.5]) if np.isfinite(r).any() else (np.nan, np.nan)
        result[f"{name}_lo"], result[f"{name}_hi"] = map(float, bounds)
    for k, name in enumerate(NAMES):
        result[f"cross_{name}"] = float(correlation(asked[:, 1 - k], mean[None, :, k])[0])
    return result


def against_shuffled(asked: np.ndarray, own: np.ndarray, nulls: np.ndarray) -> dict[str, float]:
    """The columns of the null: of as many samples, the own slope and r against those of dials of shuffled ratings.

    Args:
        asked: requested coordinates [cell, 2].
        own: mean judged coordinates [cell, 2] over the samples that the nulls have.
        nulls: the same of each dial of shuffled ratings [dial, cell, 2].
    """
    result: dict[str, float] = {"n_null": len(nulls)}
    real, drawn = slopes(asked, own), slopes(asked, nulls)
    for k, name in enumerate(NAMES):
        low, high = np.percentile(drawn[:, k], [2.5, 97.5]) if len(nulls) else (np.nan, np.nan)
        beaten = (drawn[:, k] >= real[k]).sum()
        size = np.abs(correlation(asked[:, k], nulls[:, :, k]))
        result |= {f"slope_{name}_null_lo": float(low), f"slope_{name}_null_hi": float(high)}
        result[f"p_{name}"] = float((1 + beaten) / (len(nulls) + 1)) if len(nulls) else float("nan")
        result[f"r_{name}_null"] = float(np.nanmedian(size)) if np.isfinite(size).any() else float("nan")
    return result


def shuffled_ratings(
    emotions: Sequence[str], norms: object, labels: Mapping[str, str] | None, count: int, seed: int
) -> list[object]:
    """Frames of norms in which the rated emotions have each other's ratings, valence and arousal together."""
    if isinstance(norms, str):
        norms = load_norms(norms)
    human = human_coordinates(emotions, as_norms(norms), labels=labels)
    random = generator(seed, "shuffled ratings", *human.emotions)
    frames = []
    for _ in range(count):
        rows = human.z[random.permutation(len(human.emotions))]
        frames.append(pd.DataFrame({"word": human.emotions, "valence": rows[:, 0], "arousal": rows[:, 1]}))
    return frames
