"""A bank with directions of one more method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from emotion_interp.bank.bank import FeatureBank
from emotion_interp.bank.directions import Directions


def with_added_directions(
    bank: FeatureBank, method: str, directions: Mapping[Any, np.ndarray], settings: dict[str, object]
) -> FeatureBank:
    """A bank with directions of one more method, (site, language, method) -> [emotion, d_model], and how they were made in
    the manifest ("added")."""
    added = {**bank.manifest.get("added", {}), method: settings}
    both = Directions({**bank.directions, **directions}, bank.emotions)
    return replace(bank, directions=both, manifest={**bank.manifest, "added": added})
