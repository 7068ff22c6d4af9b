"""The emotion space: emotions x dimensions at one layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core import EmotionInterpError, NotFiniteError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class EmotionSpace:
    """One vector per emotion. `vectors` is [emotion, dimension], kept as read-only float64.

    `kind` says what the vectors are: "features" (mean activations), "decoder", "dense", or "custom".

    Raises:
        EmotionInterpError: the shapes disagree, an emotion is named twice, or all vectors are the same.
        NotFiniteError: NaN or infinite entries.

    Example:
        >>> EmotionSpace([[1.0, 0.0], [0.0, 1.0]], ["joy", "fear"], layer=5)
        EmotionSpace(2 emotions x 2 dimensions, layer=5, kind='custom')
    """

    vectors: Any
    emotions: Sequence[str]
    layer: int | None = None
    kind: str = "custom"
    language: str | None = None

    def __post_init__(self) -> None:
        value = self.vectors
        if hasattr(value, "detach"):
            value = value.detach().to("cpu").float().numpy()
        vectors = np.array(value, dtype=np.float64)
        if isinstance(self.emotions, str):
            raise EmotionInterpError(f"emotions are given as a list of names, got the string {self.emotions!r}.")
        emotions = tuple(str(e) for e in self.emotions)
        if vectors.ndim != 2 or vectors.shape[1] == 0:
            raise EmotionInterpError(f"vectors are [emotion, dimension], got the shape {vectors.shape}.")
        if len(vectors) != len(emotions):
            raise EmotionInterpError(f"{len(vectors)} vectors need as many emotions, got {len(emotions)}.")
        doubled = sorted({e for e in emotions if emotions.count(e) > 1})
        if doubled:
            raise EmotionInterpError(f"each emotion occurs once; given more than once: {', '.join(doubled)}.")
        if len(emotions) < 2:
            raise EmotionInterpError(f"an emotion space needs at least 2 emotions, got {len(emotions)}.")
        finite: np.ndarray = np.all(np.isfinite(vectors), axis=1)
        if not finite.all():
            wrong = ", ".join(e for e, ok in zip(emotions, finite, strict=True) if not ok)
            raise NotFiniteError(f"the vectors of {wrong} have NaN or infinite entries.")
        if np.ptp(vectors, axis=0).max() == 0:
            raise EmotionInterpError("all emotions have the same vector; there is no geometry to compare.")
        vectors.setflags(write=False)
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "emotions", emotions)

    @classmethod
    def from_file(cls, path: str | Path, emotions: Iterable[str] | None = None, **options: Any) -> EmotionSpace:
        """A space from a .npz, .safetensors, .npy or .csv file; layouts, options and errors as `load_space`."""
        from emotion_interp.geometry.files import load_space

        return load_space(path, emotions, **options)

    @property
    def centred(self) -> np.ndarray:
        """The vectors minus their mean over emotions, [emotion, dimension]."""
        return self.vectors - self.vectors.mean(axis=0)

    def subset(self, emotions: Iterable[str]) -> EmotionSpace:
        """The space of these emotions only, in the given order; `UnknownNameError` for one that is not here."""
        emotions = list(emotions)
        place = {e: i for i, e in enumerate(self.emotions)}
        for emotion in emotions:
            if emotion not in place:
                raise UnknownNameError("emotion", emotion, self.emotions)
        rows = [place[e] for e in emotions]
        return EmotionSpace(self.vectors[rows], emotions, self.layer, self.kind, self.language)

    def to_frame(self) -> pd.DataFrame:
        """Emotions as rows, dimensions as columns."""
        import pandas as pd

        return pd.DataFrame(self.vectors, index=pd.Index(self.emotions, name="emotion"))

    def __repr__(self) -> str:
        language = f", language={self.language!r}" if self.language else ""
        n, d = self.vectors.shape
        return f"EmotionSpace({n} emotions x {d} dimensions, layer={self.layer}, kind={self.kind!r}{language})"
