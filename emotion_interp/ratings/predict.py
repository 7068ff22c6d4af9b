"""Predicting human ratings of words from what the subject does when it reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.core.frames import rows_where
from emotion_interp.core.options import merged
from emotion_interp.core.result import Result
from emotion_interp.core.types import At, BySite, Site, site_of, sites_at
from emotion_interp.figures import dot_rows, predicted_vs_human, series_curves
from emotion_interp.figures.layers import series_names
from emotion_interp.figures.theme import COLOURS
from emotion_interp.norms import Norms
from emotion_interp.ratings.options import FitChoices, FitOptions
from emotion_interp.ratings.redraw import KEYS, RedrawnSeries, redrawn_series
from emotion_interp.ratings.words import WHOLE, WordActivations
from emotion_interp.ratings.words import RatedWords as RatedWords
from emotion_interp.stats.folds import FoldScores, group_permutations
from emotion_interp.stats.ridge import assign_folds, nested_ridge
from emotion_interp.stats.sparse import Matrix

if TYPE_CHECKING:
    import plotly.graph_objects as go

ALL = "all"
DENSE = WHOLE[0]


@dataclass(frozen=True, eq=False, repr=False)
class Ratings(Result):
    """How well word ratings can be predicted, by layer, feature set, languages and dimension.

    `table` has the columns layer, site, feature_set, train_language, test_language,
    dimension, r, rho, r2, mae, r_over_ceiling, ceiling, n_words, n_features, alpha (median of the folds), r_lo, r_hi, p,
    r_null, r_pooled; of outside sets that were redrawn also r_draws (mean r over the draws), r_draws_lo, r_draws_hi (the
    middle 95% of the draws) and n_draws.

    `r` and `rho` are means over the folds (weighted by their words): over all left-out predictions together (`r_pooled`)
    chance alone lies below 0, since leaving out high ratings lowers what is predicted for them. `r_lo`, `r_hi`: 95%
    bootstrap interval over words (whole groups); `p`: one-sided, by ratings handed to other words and learnt anew;
    `r_null`: mean of that null, near 0. `r2` and `mae` are over all predictions together.

    `predictions` has one row per word, layer, feature set, languages and dimension;
    `draws` the predictions of redrawn outside sets: (site, feature set, languages, dimension) -> `RedrawnSeries`.
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    draws: Mapping[tuple[int | Site | str, ...], RedrawnSeries] = field(default_factory=dict)

    COLUMNS = (
        "layer",
        "site",
        "feature_set",
        "train_language",
        "test_language",
        "dimension",
        "r",
        "r_lo",
        "r_hi",
        "p",
        "n_words",
    )
    SERIES = ("feature_set", "train_language", "test_language", "dimension")
    ROWS = "table"

    def predicted(
        self,
        layer: int | Site | str,
        feature_set: str = ALL,
        dimension: str = "valence",
        train_language: str | None = None,
        test_language: str | None = None,
    ) -> pd.DataFrame:
        """word, human, predicted, error (predicted - human) of one fit, the word that is furthest off first.

        `layer` as for `FeatureBank.site`. The languages may be left out where there is one.

        Raises:
            UnknownNameError: no such layer, feature set, dimension or language.
            EmotionInterpError: several languages, and none was named.
        """
        sites = [Site.parse(name) for name in self.predictions["site"].unique()]
        rows = rows_where(self.predictions, self.predictions["site"] == str(sites_at(sites, layer)[0]))
        asked = {"feature_set": feature_set, "dimension": dimension}
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

    def plot(
        self,
        layer: int | Site | str | None = None,
        feature_set: str = ALL,
        dimension: str = "valence",
        **options: Any,
    ) -> go.Figure:
        """Predicted against human ratings at a layer, the words that are furthest off named; options and errors as in
        `predicted`. Without a layer: r of every feature set over the layers; where these are too many to be told apart
        as lines, a row for each, at its best layer."""
        if layer is None:
            rows = rows_where(self.table, self.table["dimension"] == dimension)
            names = series_names(rows, self.SERIES, "r")
            if len(set(names)) > len(COLOURS):
                return _best_of_each(rows.assign(name=names), dimension)
            texts = {"title": f"Predicted {dimension} by layer", "y_title": "r", "bounds": ("r_lo", "r_hi")}
            return series_curves(rows, "r", self.SERIES, **texts)
        frame = self.predicted(layer, feature_set, dimension, **options)
        return predicted_vs_human(frame, title=f"Predicted and human {dimension}: {feature_set}, layer {layer}")

    def __repr__(self) -> str:
        return f"Ratings({len(self.table)} fits)"


def _best_of_each(rows: pd.DataFrame, dimension: str) -> go.Figure:
    """One dot for each set of features, at the layer where it predicts best."""
    known = rows.dropna(subset=["r"])
    best = known.loc[known.groupby("name", sort=False)["r"].idxmax()].sort_values("r", ascending=False, kind="stable")
    layers = best["layer"].nunique() > 1
    frame = best.rename(columns={"r": "value", "r_lo": "lo", "r_hi": "hi"}).assign(
        series="at its best layer" if layers else "r", note=[f", layer {layer}" for layer in best["layer"]]
    )
    how = "Correlation with people's ratings of words that were left out, and its interval; each set at its best layer."
    return dot_rows(frame, title=f"Predicted {dimension}", x_title="r", how_to_read=how)


def joined(parts: Sequence[Ratings]) -> Ratings:
    """Several ratings as one, in order."""
    filled = [part.predictions for part in parts if len(part.predictions)]
    return Ratings(
        pd.concat([part.table for part in parts], ignore_index=True),
        pd.concat(filled, ignore_index=True) if filled else parts[0].predictions,
        {key: series for part in parts for key, series in part.draws.items()},
    )


def predict_from_activations(
    activations: Mapping[At, Matrix],
    words: Sequence[str],
    norms: Norms,
    feature_sets: Mapping[At, Mapping[str, object]] | None = None,
    language: str = "en",
    *,
    dense: Mapping[At, Matrix] | None = None,
    options: FitOptions | None = None,
    **choices: Unpack[FitChoices],
) -> Ratings:
    """Nested cross-validated ridge from each word's activations to its ratings.

    Features are standardised inside each training set, the penalty is chosen on inner folds, a word is only ever
    predicted by a fit that saw no word of its group. r and rho are means over the folds, R2 and MAE are over all left-out
    predictions together. `r_over_ceiling` divides r by the square root of the norms' reliability (NaN where it is unknown).

    Args:
        activations: site (or hook name, or a layer for its `resid_post`) -> [word, feature], dense or scipy.sparse.
        words: the words of the rows; those without a rating are left out.
        norms: their ratings.
        feature_sets: site or layer -> name of the set -> column indices, or None for all. Default: "all".
        language: of the words.
        dense: site or layer -> [word, d_model]; reported as the feature set "dense".
        options: folds, penalties, groups, other languages, what features write, null, interval and redrawn sets.
        **choices: fields of `FitOptions`, by keyword.

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
    chosen = merged(FitOptions, options, choices)
    folds, seed = chosen.folds, chosen.seed
    train = WordActivations(activations, words, norms, language, chosen.groups, dense or {}, chosen.written or {})
    sets = _checked_sets(train, feature_sets)
    data = [RatedWords.of(train, norms.scale, None)]
    data += [RatedWords.of(other, norms.scale, data[0].dimensions) for other in chosen.transfer]
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
    orders = group_permutations(data[0].groups, chosen.n_permutations, seed)
    scores = [
        FoldScores(part.groups, part_fold, chosen.n_bootstrap, seed)
        for part, part_fold in zip(data, part_folds, strict=True)
    ]
    fitted: dict[tuple[Site, bytes | str, int], tuple[list[dict[str, object]], pd.DataFrame]] = {}
    for site, name, columns in sets:
        for number, (part, part_fold) in enumerate(zip(data, part_folds, strict=True)):
            key = (site, name if columns is None else columns.tobytes(), number)
            if key not in fitted:
                fit = (chosen.inner_folds, chosen.alphas, orders, scores[number])
                fitted[key] = _fit(site, name, columns, data[0], part, part_folds[0], part_fold, *fit)
            # two sets of the same features are one fit under two names
            rows, frame = fitted[key]
            table += [row | {"feature_set": name} for row in rows]
            predictions.append(frame.assign(feature_set=name))
    filled = [frame for frame in predictions if len(frame)]
    frame = pd.concat(filled, ignore_index=True) if filled else predictions[0]
    redrawn = redrawn_series(BySite(chosen.draws or {}), data, part_folds, chosen.inner_folds, chosen.alphas)
    for row in table:
        series = redrawn.get((site_of(row["site"]), *(row[c] for c in (*KEYS[1:], "dimension"))))
        if series is not None:
            row |= series.summary()
    return Ratings(pd.DataFrame(table), frame, redrawn)


def _checked_sets(
    train: WordActivations, feature_sets: Mapping[At, Mapping[str, object]] | None
) -> list[tuple[Site, str, np.ndarray | None]]:
    """(site, name, columns) of every fit; whole matrices come under their own name."""
    whole = {name: getattr(train, name) for name in WHOLE}
    if not train.activations and not any(whole.values()):
        raise EmotionInterpError("there is nothing to predict from; give layer -> [word, feature].")
    named = {sites_at(train.activations, layer)[0]: names for layer, names in (feature_sets or {}).items()}
    checked: list[tuple[Site, str, np.ndarray | None]] = []
    for site in sorted({*train.activations, *(site for matrices in whole.values() for site in matrices)}):
        if site in train.activations:
            width = train.activations[site].shape[1]
            for name, columns in named.get(site, {ALL: None}).items():
                if columns is None:
                    checked.append((site, name, np.arange(width)))
                    continue
                columns = np.unique(np.asarray(columns, dtype=int))
                if len(columns) and not (columns[0] >= 0 and columns[-1] < width):
                    raise EmotionInterpError(
                        f"the feature set {name!r} of layer {site.layer} ({site}) names features from {columns[0]} to {columns[-1]}; "
                        f"there are {width} (0 to {width - 1})."
                    )
                checked.append((site, name, columns))
        checked += [(site, name, None) for name, matrices in whole.items() if site in matrices]
    return checked


def _fit(
    site: Site,
    name: str,
    columns: np.ndarray | None,
    train: RatedWords,
    test: RatedWords,
    fold: np.ndarray,
    test_fold: np.ndarray,
    inner_folds: int,
    alphas: Sequence[float],
    orders: np.ndarray,
    fold_scores: FoldScores,
) -> tuple[list[dict[str, object]], pd.DataFrame]:
    features = train.matrix(site, name, columns)
    keys = {"layer": site.layer, "site": str(site), "feature_set": name}
    keys |= {"train_language": train.source.language, "test_language": test.source.language}
    if features.shape[1]:
        same = test is train
        human = train.human[:, [train.dimensions.index(d) for d in test.dimensions]]
        fit = nested_ridge(
            features,
            human,
            fold,
            inner_folds=inner_folds,
            alphas=alphas,
            test_features=None if same else test.matrix(site, name, columns),
            test_fold=None if same else test_fold,
            null_orders=orders,
        )
        predicted, chosen, null = fit.predicted, np.median(fit.alphas, axis=0), fit.null
    else:
        predicted, chosen = np.full(test.human.shape, np.nan), np.full(len(test.dimensions), np.nan)
        null = np.full((*test.human.shape, 0), np.nan)
    rows, frames = [], []
    for place, dimension in enumerate(test.dimensions):
        # of a null the ratings were handed round: in one language those of the left-out words, too
        truth = test.human[:, place]
        null_truth = truth[orders].T if test is train and len(orders) else truth[:, None]
        scores = score(truth, predicted[:, place])
        extra = fold_scores.of(truth, predicted[:, place], null_truth, null[:, place])
        extra["r_pooled"] = scores["r"]
        scores |= {name: extra.pop(name) for name in ("r", "rho")}
        ceiling = test.source.norms.ceiling.get(dimension, float("nan"))
        scores |= {"r_over_ceiling": scores["r"] / ceiling if ceiling > 0 else float("nan"), "ceiling": ceiling}
        scores |= {"n_words": len(test.rows), "n_features": int(features.shape[1]), "alpha": float(chosen[place])}
        rows.append(keys | {"dimension": dimension} | scores | extra)
        if features.shape[1]:
            values = {"human": truth, "predicted": predicted[:, place], "fold": test_fold}
            frames.append(pd.DataFrame({"word": test.words} | keys | {"dimension": dimension} | values))
    empty = pd.DataFrame(columns=["word", *keys, "dimension", "human", "predicted", "fold"])
    return rows, pd.concat(frames, ignore_index=True) if frames else empty


def score(human: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Pearson r, Spearman rho, R2 (against the mean of `human`) and mean absolute error; NaN without predictions.

    Predictions that do not vary correlate with nothing: r and rho are 0.
    """
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
