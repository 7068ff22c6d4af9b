"""The directions of a bank: one matrix [emotion, d_model] for each site, language and method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError, tell
from emotion_interp.core.reading import said
from emotion_interp.core.types import Key, Site, sites_at


class DirectionKey(NamedTuple):
    """What names a matrix of directions.

    Example:
        >>> DirectionKey(Site(2), "en", "sae").file_name
        'blocks.2.hook_resid_post|en|sae'
    """

    site: Site
    language: str
    method: str

    @property
    def file_name(self) -> str:
        """Its name among the tensors of a bank's file: site, language and method.

        Raises:
            FileFormatError: a language or method that is no text, empty, or no valid Unicode.
        """
        parts = [str(self.site)]
        for part in (self.language, self.method):
            if not isinstance(part, str) or not part or part != part.encode(errors="replace").decode():
                raise FileFormatError(
                    f"the direction {said(tuple(self))} cannot be kept: its language and method are texts that are not empty."
                )
            # what would end a part of the name is written another way
            parts.append(part.replace("%", "%25").replace("|", "%7C"))
        return "|".join(parts)

    @classmethod
    def parse(cls, name: str) -> DirectionKey:
        """The key that a tensor's name in a bank's file stands for.

        Raises:
            FileFormatError: it is no such name.
        """
        site, *parts = (part.replace("%7C", "|").replace("%25", "%") for part in name.split("|"))
        try:
            language, method = filter(None, parts)
            return cls(Site.parse(site), language, method)
        except (ValueError, EmotionInterpError):
            raise FileFormatError(f"the direction {said(name)} is of no site, language and method.") from None


class Directions(dict[DirectionKey, np.ndarray]):
    """Matrices [emotion, d_model] by site, language and method; with an emotion's name also its one vector.

    Args:
        matrices: `DirectionKey` (or a tuple of site, language and method) -> [emotion, d_model].
        emotions: of the rows.

    Raises:
        FileFormatError: a key that is none.

    Example:
        >>> table = Directions({(Site(2), "en", "sae"): np.ones((1, 4))}, ["joy"])
        >>> table[2, "en", "sae", "joy"]
        array([1., 1., 1., 1.])
        >>> table.to_frame()["norm"].tolist()
        [2.0]
    """

    def __init__(self, matrices: Mapping[Key, np.ndarray], emotions: Iterable[str]) -> None:
        super().__init__({_key(name): matrix for name, matrix in matrices.items()})
        self.emotions = tuple(emotions)
        if texts := [name for name in matrices if isinstance(name, str)]:
            _tell(texts[0])

    def __getitem__(self, key: Any) -> np.ndarray:
        # wider than a dictionary's own: what `__missing__` understands, too
        return super().__getitem__(key)

    def __missing__(self, key: Any) -> np.ndarray:
        if isinstance(key, str):
            _tell(key)
            key = DirectionKey.parse(key)
        site, language, method, *emotion = key
        matrix = self.get(DirectionKey(sites_at(self.sites, site)[0], language, method))
        if matrix is None:
            raise KeyError(key)
        if not emotion:
            return matrix
        if emotion[0] not in self.emotions:
            raise UnknownNameError("emotion", emotion[0], self.emotions)
        return matrix[self.emotions.index(emotion[0])]

    def __repr__(self) -> str:
        return f"Directions({len(self)} of {len(self.emotions)} emotions: {', '.join(self.methods)})"

    @property
    def sites(self) -> list[Site]:
        return sorted({key.site for key in self})

    @property
    def methods(self) -> list[str]:
        return sorted({key.method for key in self})

    def to_frame(self) -> pd.DataFrame:
        """layer, site, language, method, emotion, norm (0 where the emotion has no such direction)."""
        rows = [
            (key.site.layer, str(key.site), key.language, key.method, emotion, float(np.linalg.norm(vector)))
            for key, matrix in self.items()
            for emotion, vector in zip(self.emotions, matrix, strict=True)
        ]
        return pd.DataFrame(rows, columns=["layer", "site", "language", "method", "emotion", "norm"])

    def arrays(self) -> dict[str, np.ndarray]:
        """The matrices by the names that they have in a bank's file."""
        return {key.file_name: matrix for key, matrix in self.items()}

    @classmethod
    def read(cls, where: str, arrays: Mapping[str, np.ndarray], emotions: Iterable[str]) -> Directions:
        """The directions of a bank's file; `where`: the bank's folder, for the message.

        Raises:
            FileFormatError: an array of another name.
        """
        try:
            return cls({DirectionKey.parse(name): array for name, array in arrays.items()}, emotions)
        except FileFormatError as error:
            raise FileFormatError(f"{where}: {error}") from None


def _key(name: object) -> DirectionKey:
    if isinstance(name, str):
        return DirectionKey.parse(name)
    if isinstance(name, tuple) and len(name) == 3 and isinstance(name[0], Site):
        return DirectionKey(*name)
    raise FileFormatError(f"directions are named by (Site, language, method), got {said(name)}.")


def _tell(name: str) -> None:
    tell(f"directions have typed keys now: write DirectionKey(site, language, method), not {said(name)}.")
