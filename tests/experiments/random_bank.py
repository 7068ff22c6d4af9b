"""A bank of random directions, and what its next-word judge counts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from emotion_interp.core import Direction, Site, UnknownNameError

WORDS = {"joy": ["happy", "glad"], "sadness": ["sad", "grief"], "anger": ["angry", "furious"]}
PROMPTS = ["The letter said that she felt", "He was", "The old man"]


@dataclass
class Bank:
    """Directions as the features room hands them out; `lacking` (emotion, method) pairs have none."""

    layers: tuple[int, ...] = (0, 1)
    scales: dict[Site, float] = field(default_factory=lambda: {Site(0): 2.0, Site(1): 3.0})
    lacking: tuple[tuple[str, str], ...] = ()

    def direction(self, emotion, layer, language=None, method="dense"):
        if (emotion, method) in self.lacking:
            raise UnknownNameError("emotion", emotion, ["others"])
        seed = [len(emotion), layer, len(method)]
        return Direction(np.random.default_rng(seed).normal(size=16), layer, name=emotion, method=method)

    def held_out_words(self, emotion, language=None):
        return WORDS[emotion]
