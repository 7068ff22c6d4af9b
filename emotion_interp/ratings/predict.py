"""Predicting human ratings of words from what the subject does when it reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.core.markup import frame_html
from emotion_interp.norms import Norms
from emotion_interp.ratings.ridge import ALPHAS, assign_folds, nested_ridge

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

DIMENSIONS = ("valence", "arousal")
DENSE = "dense"
ALL = "all"


@dataclass(frozen=True, eq=False)
class WordActivations:
    """What a subject does on the words of one language.

    `activations`: layer -> [word, feature], dense or scipy.sparse. `dense`: layer -> [word, d_model], optional.
    `groups`: one label per word; words of one group (a lemma, translations of each other) stay in one fold.
    """

    activations: Mapping[int, Any]
    words: Sequence[str]
    norms: Norms
    language: str = "en"
    groups: Sequence[Any] | None = None
    dense: Mapping[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.groups is not None and len(self.groups) != len(self.words):
            raise EmotionInterpError(f"{len(self.words)} words need as many groups, got {len(self.groups)}.")
        for kind, layers in (("activations", self.activations), ("dense", self.dense)):
            for layer, matrix in layers.items():
                if matrix.ndim != 2 or matrix.shape[0] != len(self.words):
                    raise EmotionInterpError(
                        f"{kind} of layer {layer} have the shape {tuple(matrix.shape)}; "
                        f"[word, feature] with {len(self.words)} words is needed."
                    )
                values = matrix.data if hasattr(matrix, "tocsr") else matrix
                if not np.isfinite(values).all():
                    raise NotFiniteError(f"{kind} of layer {layer} ({self.language}) have NaN or infinite entries.")


@dataclass(frozen=True, eq=False, repr=False)
class Ratings:
    """How well word ratings can be predicted, by layer, feature set, languages and dimension.

    `table` has the columns of `to_frame`; `predictions` one row per word, layer, feature set, languages and dimension.
    """

    table: pd.DataFrame
    predictions: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """layer (and site, where a layer has several), feature_set, train_language, test_language, dimension, r, rho, r2,
        mae, r_over_ceiling, ceiling, n_words, n_features, alpha (median of the folds)."""
        return self.table.copy()

    def predicted(
        self,
        layer: int,
        feature_set: str = ALL,
        dimension: str = "valence",
        train_language: str | None = None,
        test_language: str | None = None,
    ) -> pd.DataFrame:
        """word, human, predicted, error (predicted - human) of one fit, the word that is furthest off first.

        The languages may be left out where there is one.

        Raises:
            UnknownNameError: no such layer, feature set, dimension or language.
            EmotionInterpError: several languages, and none was named.
        """
        rows: Any = self.predictions
        asked = {"layer": layer, "feature_set": feature_set, "dimension": dimension}
        asked |= {"train_language": train_language, "test_language": test_language}
        for column, value in asked.items():
            known = list(dict.fromkeys(rows[column].tolist()))
            if value is None and len(known) == 1:
                continue
            if value is None:
                raise EmotionInterpError(f"there are several: give {column}= one of {', '.join(map(str, known))}.")
            if value not in known:
                raise UnknownNameError(column.replace("_", " "), value, known)
            rows = rows[rows[column] == value]
        rows = rows[["word", "human", "predicted"]].assign(error=rows["predicted"] - rows["human"])
        return rows.sort_values("error", key=np.abs, ascending=False, kind="stable").reset_index(drop=True)

    def plot(self, layer: int, feature_set: str = ALL, dimension: str = "valence", **options: Any) -> go.Figure:
        """Predicted against human ratings, the words that are furthest off named; options and errors as in `predicted`."""
        from emotion_interp.figures import predicted_vs_human

        frame = self.predicted(layer, feature_set, dimension, **options)
        return predicted_vs_human(frame, title=f"Predicted and human {dimension}: {feature_set}, layer {layer}")

    def __repr__(self) -> str:
        return f"Ratings({len(self.table)} fits)"

    def _repr_html_(self) -> str:
        return frame_html(self.table, digits=3)


def joined(parts: Sequence[Ratings]) -> Ratings:
    """Several ratings as one, in order."""
    import pandas as pd

    filled = [part.predictions for part in parts if len(part.predictions)]
    return Ratings(
        pd.concat([part.table for part in parts], ignore_index=True),
        pd.concat(filled, ignore_index=True) if filled else parts[0].predictions,
    )


def predict_from_activations(
    activations: Mapping[int, Any],
    words: Sequence[str],
    norms: Norms,
    feature_sets: Mapping[int, Mapping[str, Any]] | None = None,
    language: str = "en",
    folds: int = 10,
    inner_folds: int = 5,
    alphas: Sequence[float] = ALPHAS,
    seed: int = 0,
    dense: Mapping[int, Any] | None = None,
    groups: Sequence[Any] | None = None,
    *,
    transfer: Sequence[WordActivations] = (),
) -> Ratings:
    """Nested cross-validated ridge from each word's activations to its ratings.

    Features are standardised inside each training set, the penalty is chosen on inner folds, a word is only ever
    predicted by a fit that saw no word of its group. r, rho, R2 and MAE are over all left-out predictions together.
    `r_over_ceiling` divides r by the square root of the norms' reliability (NaN where it is unknown).

    Args:
        activations: layer -> [word, feature], dense or scipy.sparse.
        words: the words of the rows; those without a rating are left out.
        norms: their ratings.
        feature_sets: layer -> name of the set -> column indices, or None for all. Default: "all".
        folds, inner_folds: outer folds, and validation groups within each training set.
        alphas: ridge penalties, in scikit-learn's convention.
        dense: layer -> [word, d_model]; reported as the feature set "dense".
        groups: one label per word; default every word (ignoring case) for itself.
        transfer: other languages to predict with the fits of this one. A word whose group also occurs among the
            training words is predicted by the fit that left that group out. Ratings on another scale are mapped
            linearly to that of `norms`.

    Raises:
        EmotionInterpError: shapes disagree, too few rated words for the folds, indices out of range.
        UnknownNameError: a feature set for a layer, or a transfer layer, that is not there.
        NotFiniteError: NaN or infinite activations.

    Example:
        >>> import numpy as np
        >>> from emotion_interp.norms import load_norms
        >>> norms = load_norms("builtin")
        >>> rated = norms.table[["valence", "arousal"]].to_numpy()
        >>> ratings = predict_from_activations({5: rated @ np.ones((2, 3))}, norms.words, norms, folds=5)
        >>> ratings.to_frame()["n_words"].tolist()
        [192, 192]
    """
    import pandas as pd

    train = WordActivations(activations, words, norms, language, groups, dense or {})
    sets = _checked_sets(train, feature_sets)
    data = [RatedWords.of(train, norms.scale, None)]
    data += [RatedWords.of(other, norms.scale, data[0].dimensions) for other in transfer]
    if len(data[0].rows) < 2 * folds:
        raise EmotionInterpError(
            f"only {len(data[0].rows)} of {len(words)} words have a rating in the norms {norms.name!r}; {folds} folds "
            f"need at least {2 * folds}."
        )
    every_fold = assign_folds([g for part in data for g in part.groups], folds, seed)
    stops = np.cumsum([len(part.rows) for part in data])
    part_folds = np.split(every_fold, stops[:-1])
    if len(np.unique(part_folds[0])) < folds:
        raise EmotionInterpError(f"the words of {language} fill fewer than {folds} folds; take fewer folds.")
    table, predictions = [], []
    fitted: dict[tuple[int, bytes | None, int], tuple[list[dict[str, Any]], pd.DataFrame]] = {}
    for layer, name, columns in sets:
        for number, (part, part_fold) in enumerate(zip(data, part_folds, strict=True)):
            key = (layer, None if columns is None else columns.tobytes(), number)
            if key not in fitted:
                fitted[key] = _fit(layer, name, columns, data[0], part, part_folds[0], part_fold, inner_folds, alphas)
            # two sets of the same features are one fit under two names
            rows, frame = fitted[key]
            table += [row | {"feature_set": name} for row in rows]
            predictions.append(frame.assign(feature_set=name))
    filled = [frame for frame in predictions if len(frame)]
    return Ratings(pd.DataFrame(table), pd.concat(filled, ignore_index=True) if filled else predictions[0])


def _checked_sets(
    train: WordActivations, feature_sets: Mapping[int, Mapping[str, Any]] | None
) -> list[tuple[int, str, np.ndarray | None]]:
    """(layer, name, columns) of every fit; the dense activations come as the set "dense"."""
    if not train.activations and not train.dense:
        raise EmotionInterpError("there is nothing to predict from; give layer -> [word, feature].")
    for layer in feature_sets or {}:
        if layer not in train.activations:
            raise UnknownNameError("layer", layer, train.activations)
    found: list[tuple[int, str, np.ndarray | None]] = []
    for layer in sorted({*train.activations, *train.dense}):
        if layer in train.activations:
            width = train.activations[layer].shape[1]
            for name, columns in (feature_sets or {}).get(layer, {ALL: None}).items():
                if columns is None:
                    found.append((layer, name, np.arange(width)))
                    continue
                columns = np.unique(np.asarray(columns, dtype=int))
                if len(columns) and not (columns[0] >= 0 and columns[-1] < width):
                    raise EmotionInterpError(
                        f"the feature set {name!r} of layer {layer} names features from {columns[0]} to {columns[-1]}; "
                        f"there are {width} (0 to {width - 1})."
                    )
                found.append((layer, name, columns))
        if layer in train.dense:
            found.append((layer, DENSE, None))
    return found


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
        groups = [w.casefold() for w in words] if labels is None else [str(labels[int(i)]) for i in rows]
        return cls(source, rows, words, groups, ratings[rows], dimensions)

    def matrix(self, layer: int, name: str, columns: np.ndarray | None) -> Any:
        layers = self.source.dense if columns is None else self.source.activations
        if layer not in layers:
            raise UnknownNameError(f"layer of {self.source.language} {name}", layer, layers)
        matrix = layers[layer]
        matrix = matrix.tocsr() if hasattr(matrix, "tocsr") else np.asarray(matrix)
        matrix = matrix[self.rows]
        return matrix if columns is None else matrix[:, columns]


def _fit(
    layer: int,
    name: str,
    columns: np.ndarray | None,
    train: RatedWords,
    test: RatedWords,
    fold: np.ndarray,
    test_fold: np.ndarray,
    inner_folds: int,
    alphas: Sequence[float],
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    import pandas as pd

    features = train.matrix(layer, name, columns)
    keys = {
        "layer": layer,
        "feature_set": name,
        "train_language": train.source.language,
        "test_language": test.source.language,
    }
    if features.shape[1]:
        same = test is train
        fit = nested_ridge(
            features,
            train.human[:, [train.dimensions.index(d) for d in test.dimensions]],
            fold,
            inner_folds=inner_folds,
            alphas=alphas,
            test_features=None if same else test.matrix(layer, name, columns),
            test_fold=None if same else test_fold,
        )
        predicted, chosen = fit.predicted, np.median(fit.alphas, axis=0)
    else:
        predicted, chosen = np.full(test.human.shape, np.nan), np.full(len(test.dimensions), np.nan)
    rows, frames = [], []
    for place, dimension in enumerate(test.dimensions):
        scores = score(test.human[:, place], predicted[:, place])
        ceiling = test.source.norms.ceiling.get(dimension, float("nan"))
        rows.append(
            keys
            | {"dimension": dimension}
            | scores
            | {
                "r_over_ceiling": scores["r"] / ceiling if ceiling > 0 else float("nan"),
                "ceiling": ceiling,
                "n_words": len(test.rows),
                "n_features": int(features.shape[1]),
                "alpha": float(chosen[place]),
            }
        )
        if features.shape[1]:
            values = {"human": test.human[:, place], "predicted": predicted[:, place]}
            frames.append(pd.DataFrame({"word": test.words} | keys | {"dimension": dimension} | values))
    empty = pd.DataFrame(columns=["word", *keys, "dimension", "human", "predicted"])
    return rows, pd.concat(frames, ignore_index=True) if frames else empty


def score(human: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Pearson r, Spearman rho, R2 (against the mean of `human`) and mean absolute error; NaN without predictions.

    Predictions that do not vary correlate with nothing: r and rho are 0.
    """
    from scipy.stats import rankdata

    if len(human) < 3 or not np.isfinite(predicted).all():
        return dict.fromkeys(("r", "rho", "r2", "mae"), float("nan"))
    total = ((human - human.mean()) ** 2).sum()
    return {
        "r": _correlation(human, predicted),
        "rho": _correlation(rankdata(human), rankdata(predicted)),
        "r2": float(1 - ((human - predicted) ** 2).sum() / total) if total > 0 else float("nan"),
        "mae": float(np.abs(human - predicted).mean()),
    }


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    scale = np.linalg.norm(first) * np.linalg.norm(second)
    return float(np.clip(first @ second / scale, -1, 1)) if scale > 1e-12 else 0.0
