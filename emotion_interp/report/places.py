"""Names of the places in a subject: a layer, or a site where a layer has several."""

from __future__ import annotations

import re

import pandas as pd


def with_places(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy with `place` ("layer 3", or the hook's name) and `stream` ("", or which of a layer's sites).

    Args:
        frame: column `layer`; optional `site`, which is emptied where no layer has several.

    Example:
        >>> import pandas as pd
        >>> sites = ["blocks.0.hook_resid_mid", "blocks.0.hook_resid_post"]
        >>> with_places(pd.DataFrame({"layer": [0, 0], "site": sites}))["stream"].tolist()
        [', resid_mid', ', resid_post']
        >>> with_places(pd.DataFrame({"layer": [-1, 2]}))["place"].tolist()
        ['embedding', 'layer 2']
    """
    several = "site" in frame.columns and bool((frame.groupby("layer")["site"].nunique() > 1).any())
    if several:
        sites = frame["site"].astype(str)
        kinds = [re.sub(r"^blocks\.\d+\.(hook_)?", "", site) for site in sites]
        return frame.assign(place=sites.tolist(), stream=[f", {kind}" for kind in kinds])
    return frame.assign(place=[_layer(value) for value in frame["layer"]], stream="", site=None)


def _layer(value: float | None) -> str:
    if value is None or value != value:
        return ""
    return "embedding" if value == -1 else f"layer {int(value)}"


def best_places(frame: pd.DataFrame, score: str) -> dict[str, str]:
    """Per language the place where the median of `score` is highest; `frame` from `with_places`."""
    medians = frame.groupby(["language", "place"], sort=False)[score].median().dropna()
    return {str(lang): str(group.idxmax()[1]) for lang, group in medians.groupby(level="language", sort=False)}
