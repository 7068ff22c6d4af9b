"""How well ratings are predicted from more and more words: the learning curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.core.arguments import checked
from emotion_interp.core.options import merged
from emotion_interp.core.result import Result
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import At, BySite, Site, sites_at
from emotion_interp.figures import learning_curves
from emotion_interp.ratings.options import CurveChoices, CurveOptions, LearningChoices, LearningOptions
from emotion_interp.ratings.predict import DENSE, RatedWords, WordActivations, score
from emotion_interp.ratings.series import bootstrap_means
from emotion_interp.ratings.sets import known_sets
from emotion_interp.ratings.subject_ratings import feature_sets, read_part
from emotion_interp.stats.ridge import ALPHAS, assign_folds, nested_ridge

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from emotion_interp.bank import FeatureBank
    from emotion_interp.norms import Norms
    from emotion_interp.subjects import Subject

SIZES = (250, 500, 1000, 2000, 4000, 8000)
"""Training words that are tried by default, as far as there are so many."""


@dataclass(frozen=True, eq=False, repr=False)
class LearningCurve(Result):
    """r on the same test words after learning from more and more words.

    `table` has the columns n_words_train, layer, site, feature_set, dimension, r (mean over the repeats), low, high (percentile
    bootstrap of that mean over the test words), r_sd (over the repeats; NaN for one), repeats, r_over_ceiling, ceiling,
    n_words_test, n_features.
    """

    table: pd.DataFrame

    SERIES = ("feature_set", "dimension", "n_words_train")
    ROWS = "table"

    def plot(self, dimension: str = "valence", layer: int | Site | str | None = None) -> go.Figure:
        """The curves of one dimension and layer (default: the highest).

        Raises:
            UnknownNameError: no such dimension or layer.
        """
        rows = self.table
        if dimension not in set(rows["dimension"]):
            raise UnknownNameError("dimension", dimension, sorted(set(rows["dimension"])))
        layer = int(rows["layer"].max()) if layer is None else layer
        site = sites_at([Site.parse(name) for name in rows["site"].unique()], layer)[0]
        rows = rows[(rows["dimension"] == dimension) & (rows["site"] == str(site))]
        frame = rows.rename(columns={"feature_set": "series", "r": "value", "low": "lo", "high": "hi"})
        return learning_curves(
            frame, title=f"Learning curve: {dimension}, layer {layer}", y_title="r on the test words"
        )

    def __repr__(self) -> str:
        sizes = sorted(set(self.table["n_words_train"].tolist()))
        return f"LearningCurve({sizes} training words, {len(self.table)} points)"


@checked
def learning_curve(
    subject: Subject,
    norms: Norms,
    bank: FeatureBank | None = None,
    n_words: Sequence[int] | None = None,
    *,
    sets: Sequence[str] | None = None,
    layers: Iterable[int | Site | str] | None = None,
    options: LearningOptions | None = None,
    **choices: Unpack[LearningChoices],
) -> LearningCurve:
    """Pearson r of predicted and human ratings on fixed test words, by the number of words that were learnt.

    The words are read once. A share of them is set apart for testing; from the rest every repeat draws an order of its
    own and learns from its first 250, 500, ... words. The penalty is chosen by cross-validation among the words learnt
    alone. Words of one `group` of the norms (sentences of a document) lie on one side.

    Args:
        subject: as in `predict_ratings`.
        norms: as in `predict_ratings`.
        bank: as in `predict_ratings`.
        n_words: sizes of the training part; default 250, 500, 1000, 2000, 4000, 8000, as far as there are so many
            words, and all words that are no test words.
        sets: names of the feature sets; default "all", "dense", and with a bank "selected" and "outside".
        layers: as in `predict_ratings`.
        options: how the words are read, the test words, repeats, folds and interval.
        **choices: fields of `LearningOptions`, by keyword.

    Raises:
        EmotionInterpError: a size below `2 * folds` or above the training words there are, or settings out of range.
        UnknownNameError: a feature set that no layer has.

    Example:
        >>> curve = learning_curve(subject, load_norms("warriner"), n_words=[250, 1000])  # doctest: +SKIP
        >>> curve.to_frame().groupby("n_words_train")["r"].max()  # doctest: +SKIP
    """
    for name in sets or ():
        if name not in (known := known_sets(bank)):
            raise UnknownNameError("feature set", name, known)
    chosen = merged(LearningOptions, options, choices)
    place = {"layers": layers, "carrier": chosen.carrier, "seed": chosen.seed}
    part, _ = read_part(subject, norms, bank, **place, options=chosen)
    wanted = sets if sets is not None else ("all", "dense", "selected", "outside")
    by_site = feature_sets(part, bank, chosen.seed)
    known = {name for names in by_site.values() for name in names} | ({DENSE} if part.dense else set())
    for name in sets or ():
        if name not in known:
            raise UnknownNameError("feature set", name, sorted(known))
    return curve_from_activations(
        part,
        {site: {name: names[name] for name in wanted if name in names} for site, names in by_site.items()},
        n_words,
        dense=DENSE in wanted,
        options=chosen,
    )


def curve_from_activations(
    part: WordActivations,
    sets: Mapping[At, Mapping[str, object]] | None = None,
    n_words: Sequence[int] | None = None,
    *,
    dense: bool = True,
    alphas: Sequence[float] = ALPHAS,
    options: CurveOptions | None = None,
    **choices: Unpack[CurveChoices],
) -> LearningCurve:
    """`learning_curve` for activations at hand.

    Args:
        part: the rated words and their activations.
        sets: site or layer -> name -> column indices; default "all".
        n_words: as in `learning_curve`.
        dense: whether the dense activations are a set, too.
        alphas: ridge penalties, in scikit-learn's convention.
        options: test words, repeats, folds and interval.
        **choices: fields of `CurveOptions`, by keyword.

    Raises:
        EmotionInterpError, UnknownNameError: as `learning_curve`.
    """
    chosen = merged(CurveOptions, options, choices)
    repeats, folds, seed = chosen.repeats, chosen.folds, chosen.seed
    if folds < 3 or chosen.n_bootstrap < 1:
        raise EmotionInterpError(
            f"folds is at least 3 and n_bootstrap at least 1; got folds={folds}, n_bootstrap={chosen.n_bootstrap}."
        )
    rated = RatedWords.of(part, part.norms.scale, None)
    test, pool = _split(rated.groups, chosen.test_share, seed)
    sizes = _sizes(n_words, len(pool), folds)
    draws = [_order(rated.groups, pool, generator(seed, "learning curve", repeat)) for repeat in range(repeats)]
    human, rows = rated.human[test], []
    for site, name, columns in _chosen(part, sets, dense):
        features = rated.matrix(site, name, columns)
        held = features[test]
        for size in sizes:
            fits = []
            for order in draws[: 1 if size == len(pool) else repeats]:
                learnt = order[:size]
                fold = assign_folds([rated.groups[i] for i in learnt], folds, seed)
                fit = nested_ridge(
                    features[learnt],
                    rated.human[learnt],
                    fold,
                    inner_folds=folds,
                    alphas=alphas,
                    test_features=held,
                    test_fold=np.full(len(test), -1),
                )
                fits.append(fit.predicted)
            for place, dimension in enumerate(rated.dimensions):
                pairs = [(human[:, place], fit[:, place]) for fit in fits]
                ceiling = part.norms.ceiling.get(dimension, float("nan"))
                keys = {"n_words_train": size, "layer": site.layer, "site": str(site)}
                keys |= {"feature_set": name, "dimension": dimension}
                rows.append(keys | _figures(pairs, ceiling, chosen) | {"n_features": int(features.shape[1])})
    return LearningCurve(pd.DataFrame(rows))


def _figures(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], ceiling: float, chosen: CurveOptions
) -> dict[str, float | int]:
    """Of the repeats of one size: (what people said, what was predicted) for the same words."""
    r = np.array([score(human, predicted)["r"] for human, predicted in pairs])
    rng = generator(chosen.seed, "learning curve test words")
    draws = bootstrap_means([pairs], chosen.n_bootstrap, rng)[1][:, 0]
    low, high = np.quantile(draws, [(1 - chosen.level) / 2, (1 + chosen.level) / 2])
    return {
        "r": float(r.mean()),
        "low": float(low),
        "high": float(high),
        "r_sd": float(r.std(ddof=1)) if len(r) > 1 else float("nan"),
        "repeats": len(r),
        "r_over_ceiling": float(r.mean()) / ceiling if ceiling > 0 else float("nan"),
        "ceiling": ceiling,
        "n_words_test": len(pairs[0][0]),
    }


def _chosen(
    part: WordActivations, sets: Mapping[At, Mapping[str, object]] | None, dense: bool
) -> list[tuple[Site, str, np.ndarray | None]]:
    """(site, name, columns) of every curve; empty sets are left out."""
    asked = None if sets is None else BySite(sets)
    choices: list[tuple[Site, str, np.ndarray | None]] = []
    for site in sorted({*part.activations, *part.dense}):
        if site in part.activations:
            everything = np.arange(part.activations[site].shape[1])
            named: Any = {"all": everything} if asked is None else asked.get(site, {})
            choices += [
                (site, name, np.asarray(chosen, dtype=int)) for name, chosen in named.items() if np.size(chosen)
            ]
        if dense and site in part.dense:
            choices.append((site, DENSE, None))
    if not choices:
        raise EmotionInterpError("there is nothing to predict from; give layer -> [word, feature].")
    return choices


def _split(groups: Sequence[str], share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Test rows (whole groups, drawn until the share is reached) and the others."""
    names, inverse = np.unique(np.asarray(groups), return_inverse=True)
    order = generator(seed, "test words").permutation(len(names))
    filled = np.cumsum(np.bincount(inverse, minlength=len(names))[order])
    taken = order[: int(np.searchsorted(filled, share * len(groups))) + 1]
    is_test = np.isin(inverse, taken)
    return np.flatnonzero(is_test), np.flatnonzero(~is_test)


def _order(groups: Sequence[str], pool: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The pool in random order, rows of one group side by side."""
    labels = np.unique(np.asarray(groups)[pool], return_inverse=True)[1]
    place = rng.permutation(int(labels.max()) + 1)[labels]
    return pool[np.argsort(place, kind="stable")]


def _sizes(n_words: Sequence[int] | None, available: int, folds: int) -> list[int]:
    """Sizes in rising order, each possible."""
    if n_words is None:
        n_words = [*(n for n in SIZES if 2 * folds <= n < available), available]
    sizes = sorted({int(n) for n in n_words})
    if not sizes or sizes[0] < 2 * folds or sizes[-1] > available:
        raise EmotionInterpError(
            f"n_words lie from {2 * folds} (two for each of {folds} folds) to {available}, the rated words that are not "
            f"tested; got {sizes}."
        )
    return sizes
