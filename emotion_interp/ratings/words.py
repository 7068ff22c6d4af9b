"""What a subject does on rated words, and which of them are learnt together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emotion_interp.concepts.lemmas import lemma_key
from emotion_interp.core import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.core.types import BySite, Site
from emotion_interp.norms import Norms
from emotion_interp.stats.sparse import Matrix

DIMENSIONS = ("valence", "arousal")
WHOLE = ("dense", "written")
"""Feature sets that are a matrix of their own, and no columns of the features."""


@dataclass(frozen=True, eq=False)
class WordActivations:
    """What a subject does on the words of one language.

    `activations`: site -> [word, feature], dense or scipy.sparse. `dense`: site -> [word, d_model], optional. Both are
    kept as `BySite`, so a layer's number stands for its `resid_post`. `groups`: one label per word; words of one group (a lemma, translations of each other) stay in one fold.
    `written`: as `dense`, what all features of the site write together (activations times decoder rows), optional.
    """

    activations: Mapping[Any, Matrix]
    words: Sequence[str]
    norms: Norms
    language: str = "en"
    groups: Sequence[Hashable] | None = None
    dense: Mapping[Any, Matrix] = field(default_factory=dict)
    written: Mapping[Site, Matrix] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in ("activations", *WHOLE):
            object.__setattr__(self, kind, BySite(getattr(self, kind)))
        if self.groups is not None and len(self.groups) != len(self.words):
            raise EmotionInterpError(f"{len(self.words)} words need as many groups, got {len(self.groups)}.")
        for kind in ("activations", *WHOLE):
            matrices: BySite[Matrix] = getattr(self, kind)
            for site, matrix in matrices.items():
                if matrix.ndim != 2 or matrix.shape[0] != len(self.words):
                    raise EmotionInterpError(
                        f"{kind} of layer {site.layer} ({site}) have the shape {tuple(matrix.shape)}; "
                        f"[word, feature] with {len(self.words)} words is needed."
                    )
                values = matrix if isinstance(matrix, np.ndarray) else matrix.data
                if not np.isfinite(values).all():
                    raise NotFiniteError(
                        f"{kind} of layer {site.layer} ({site}, {self.language}) have NaN or infinite entries."
                    )


@dataclass(frozen=True, eq=False)
class RatedWords:
    """The rated words of one language: their rows in the activations, groups, and ratings [word, dimension]."""

    source: WordActivations
    rows: np.ndarray
    words: list[str]
    groups: list[str]
    human: np.ndarray
    dimensions: tuple[str, ...]

    @classmethod
    def of(cls, source: WordActivations, scale: tuple[float, float], dimensions: tuple[str, ...] | None) -> RatedWords:
        norms = source.norms if source.norms.scale == scale else source.norms.rescale(*scale)
        dimensions = tuple(d for d in dimensions or DIMENSIONS if d in norms.dimensions)
        ratings = norms.lookup(source.words)[list(dimensions)].to_numpy(float)
        rows = np.flatnonzero(np.isfinite(ratings).all(axis=1))
        given, labels = list(source.words), None if source.groups is None else list(source.groups)
        words = [str(given[int(i)]) for i in rows]
        if labels is None:
            groups = [lemma_key(w, source.language) for w in words]
        else:
            groups = [str(labels[int(i)]) for i in rows]
        return cls(source, rows, words, groups, ratings[rows], dimensions)

    def matrix(self, site: Site, name: str, columns: np.ndarray | None) -> Matrix:
        matrices = self.source.activations if columns is not None else getattr(self.source, name)
        if site not in matrices:
            raise UnknownNameError(f"layer of {self.source.language} {name}", str(site), map(str, matrices))
        matrix: Any = matrices[site]
        matrix = matrix.tocsr() if hasattr(matrix, "tocsr") else np.asarray(matrix)
        matrix = matrix[self.rows]
        return matrix if columns is None else matrix[:, columns]
