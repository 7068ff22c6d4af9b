"""The emotion space: emotions x dimensions at one layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emotion_interp.core import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.core.arguments import as_array, checked, checked_methods
from emotion_interp.core.markup import summary_html
from emotion_interp.core.result import Result
from emotion_interp.core.types import Site, site_of
from emotion_interp.figures import named_points
from emotion_interp.geometry.files import read_vectors

if TYPE_CHECKING:
    import plotly.graph_objects as go


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class EmotionSpace(Result):
    """One vector per emotion. `vectors` is [emotion, dimension], kept as read-only float64.

    `kind` says what the vectors are: "features" (mean activations), "decoder", "dense", "cebra", or "custom". `units`
    [unit, dimension] (float32 where they come so) are the vectors of the words or texts behind the emotions, and
    `unit_emotions` names the emotion of each; they are optional, and what the intervals over words and `cebra_space`
    need. Each emotion's vector is then the mean of its units, up to one shift that all emotions share. `stimuli` says what
    the subject was shown ("words", "scenes", "texts"), and `baselines` holds the same emotions from those texts alone
    ("text", "encoder": see `text_baselines`), which `align` sets beside the space. `site` (or its hook name) says more than
    `layer`, which it sets; it is None where nothing is known but the layer.

    Raises:
        EmotionInterpError: the shapes disagree, an emotion is named twice, all vectors are the same, or the units are
            not those of the vectors.
        NotFiniteError: NaN or infinite entries.

    Example:
        >>> EmotionSpace([[1.0, 0.0], [0.0, 1.0]], ["joy", "fear"], layer=5)
        EmotionSpace(2 emotions x 2 dimensions, layer=5, kind='custom')
    """

    vectors: np.ndarray
    emotions: Sequence[str]
    layer: int | None = None
    kind: str = "custom"
    language: str | None = None
    units: Any = None
    unit_emotions: Sequence[str] | None = None
    stimuli: str | None = None
    baselines: Mapping[str, EmotionSpace] = field(default_factory=dict)
    site: Site | str | None = None

    def __post_init__(self) -> None:
        if self.site is not None:
            object.__setattr__(self, "site", site_of(self.site))
            object.__setattr__(self, "layer", site_of(self.site).layer)
        vectors = as_array("the vectors of an emotion space", self.vectors, "float64")
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
        for name, baseline in self.baselines.items():
            if lacking := [e for e in emotions if e not in baseline.emotions]:
                raise EmotionInterpError(
                    f"the baseline {name!r} lacks {', '.join(lacking)}; make it of the same texts."
                )
        if self.units is not None or self.unit_emotions is not None:
            units, names = unit_vectors(self.units, self.unit_emotions)
            _check_units(vectors, emotions, units, names)
            object.__setattr__(self, "units", units)
            object.__setattr__(self, "unit_emotions", names)

    @classmethod
    def from_units(
        cls, units: Any, unit_emotions: Sequence[str], emotions: Sequence[str] | None = None, **options: Any
    ) -> EmotionSpace:
        """A space from one vector per word or text [unit, dimension] and the emotion of each; `emotions` in the given
        order or that of first appearance, each at the mean of its units. `options`: layer, site, kind, language. Errors
        as the class.

        Example:
            >>> EmotionSpace.from_units([[0.0, 1.0], [0.0, 3.0], [5.0, 0.0]], ["joy", "joy", "fear"]).vectors.tolist()
            [[0.0, 2.0], [5.0, 0.0]]
        """
        matrix, names = unit_vectors(units, unit_emotions)
        emotions = list(dict.fromkeys(names)) if emotions is None else list(emotions)
        if missing := [e for e in emotions if e not in set(names)]:
            raise EmotionInterpError(f"no unit belongs to {', '.join(missing)}; name only emotions that have units.")
        return cls(unit_means(matrix, names, emotions), emotions, units=matrix, unit_emotions=names, **options)

    @classmethod
    def from_file(cls, path: str | Path, emotions: Iterable[str] | None = None, **options: Any) -> EmotionSpace:
        """A space from a .npz, .safetensors, .npy or .csv file; layouts, options and errors as `load_space`."""
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
        units = names = None
        if self.units is not None and self.unit_emotions is not None:
            wanted = set(emotions)
            keep = [i for i, e in enumerate(self.unit_emotions) if e in wanted]
            # a slice of everything is the same array: spaces of many units are not copied for nothing
            everything = len(keep) == len(self.unit_emotions)
            units, names = (self.units if everything else self.units[keep]), [self.unit_emotions[i] for i in keep]
        baselines = {name: baseline.subset(emotions) for name, baseline in self.baselines.items()}
        tags = (self.layer, self.kind, self.language, units, names, self.stimuli, baselines, self.site)
        return EmotionSpace(self.vectors[rows], emotions, *tags)

    def to_frame(self) -> pd.DataFrame:
        """Emotions as rows, dimensions as columns."""
        return pd.DataFrame(self.vectors, index=pd.Index(self.emotions, name="emotion"))

    def plot(self) -> go.Figure:
        """The emotions on the first two principal components."""
        left, singular, _ = np.linalg.svd(self.centred, full_matrices=False)
        scores = np.column_stack([left * singular, np.zeros(len(left))])[:, :2]
        frame = pd.DataFrame({"name": self.emotions, "x": scores[:, 0], "y": scores[:, 1]})
        share = [*singular**2 / (singular**2).sum(), 0.0]
        axes = [f"PC{i + 1} ({share[i]:.0%} of the variance)" for i in range(2)]
        known = (self.kind, None if self.layer is None else f"layer {self.layer}", self.language)
        title = ": ".join(filter(None, ["Emotion space", ", ".join(filter(None, known))]))
        return named_points(frame, title=title, x_title=axes[0], y_title=axes[1])

    def _repr_html_(self) -> str:
        return summary_html(self, self.view(), digits=3, index=True)

    def __repr__(self) -> str:
        language = f", language={self.language!r}" if self.language else ""
        n, d = self.vectors.shape
        return f"EmotionSpace({n} emotions x {d} dimensions, layer={self.layer}, kind={self.kind!r}{language})"


def unit_vectors(units: Any, unit_emotions: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Checked, read-only unit vectors [unit, dimension] and the emotion of each."""
    if units is None or unit_emotions is None:
        raise EmotionInterpError("units and unit_emotions belong together: one vector and one emotion for each unit.")
    if isinstance(unit_emotions, str):
        raise EmotionInterpError(f"unit_emotions is a list of names, got the string {unit_emotions!r}.")
    if hasattr(units, "detach"):
        units = units.detach().to("cpu").float().numpy()
    matrix = np.asarray(units)
    if matrix.dtype not in (np.float32, np.float64):
        matrix = np.asarray(matrix, dtype=np.float64)
    names = tuple(str(e) for e in unit_emotions)
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise EmotionInterpError(f"units are [unit, dimension], got the shape {matrix.shape}.")
    if len(matrix) != len(names):
        raise EmotionInterpError(f"{len(matrix)} units need as many emotions, got {len(names)}.")
    if not np.isfinite(matrix).all():
        raise NotFiniteError("units have NaN or infinite entries.")
    if matrix.flags.writeable:
        matrix = matrix.copy()
        matrix.setflags(write=False)
    return matrix, names


def unit_means(units: np.ndarray, unit_emotions: Sequence[str], emotions: Sequence[str]) -> np.ndarray:
    """Mean of each emotion's units, [emotion, dimension] float64."""
    names = np.asarray(unit_emotions)
    return np.stack([units[names == e].mean(axis=0, dtype=np.float64) for e in emotions])


def _check_units(vectors: np.ndarray, emotions: Sequence[str], units: np.ndarray, names: Sequence[str]) -> None:
    if units.shape[1] != vectors.shape[1]:
        raise EmotionInterpError(
            f"units have {units.shape[1]} dimensions, the vectors of the emotions {vectors.shape[1]}; give both in one basis."
        )
    if set(names) != set(emotions):
        odd = ", ".join(sorted(set(names) ^ set(emotions)))
        raise EmotionInterpError(f"every emotion needs units, and every unit an emotion; not on both sides: {odd}.")
    means = unit_means(units, names, emotions)
    gap = np.abs((means - means.mean(axis=0)) - (vectors - vectors.mean(axis=0))).max()
    if gap > 1e-3 * np.abs(means).max():
        raise EmotionInterpError(
            f"the emotions' vectors are not the means of their units (they differ by up to {gap:.3g} after centring)."
        )


@checked
def load_space(
    path: str | Path,
    emotions: Iterable[str] | None = None,
    *,
    array: str | None = None,
    layer: int | None = None,
    kind: str = "custom",
    language: str | None = None,
) -> EmotionSpace:
    """An emotion space [emotion, dimension] from a .npz, .safetensors, .npy or .csv file.

    Layouts: one matrix [emotion, dimension], its rows named by an entry `emotions` (a string array in .npz, a JSON list
    in the metadata of .safetensors) or by the argument; or one vector per emotion under its name. A .csv has a header,
    one row per emotion, its name in the column `emotion` (or else the first) and numbers in the others.
    Files of several layers: one matrix [layer, dimension] under each emotion's name, one array [layer, emotion,
    dimension] (an entry `layers` numbers them), or names that end in the layer ("joy_layer_3", "joy.3", "layer3/joy",
    "layer_3"): `layer` picks one.

    Args:
        path: the file.
        emotions: the names of the rows, where the file does not give them; else which emotions to take, in this order.
        array: the matrix to take where a file holds several.
        layer: the layer to take where a file holds several; noted in the space.
        kind: noted in the space.
        language: noted in the space.

    Raises:
        FileFormatError: the file is missing, broken, of another kind, or its layout is none of these.
        UnknownNameError: no such array, layer or emotion.
        EmotionInterpError: rows without names; shapes that disagree; NaN or infinite entries; several layers, none named.

    Example:
        >>> load_space("vectors.npz", layer=12)  # doctest: +SKIP
        EmotionSpace(26 emotions x 768 dimensions, layer=12, kind='custom')
    """
    names, vectors, wanted = read_vectors(path, emotions, array, layer)
    if names is None:
        return EmotionSpace(vectors, wanted or (), layer, kind, language)
    space = EmotionSpace(vectors, names, layer, kind, language)
    return space if wanted is None else space.subset(wanted)
