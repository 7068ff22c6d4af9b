"""Results of a text-residualised geometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.core.arguments import checked_methods
from emotion_interp.core.errors import UnknownNameError
from emotion_interp.core.result import Result
from emotion_interp.core.types import Site
from emotion_interp.geometry.increment import PartialRSA
from emotion_interp.geometry.residual_null import STATISTICS
from emotion_interp.geometry.results import Alignment

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLAIN = ""
"""The predictor's name of an emotion space that nothing was taken out of."""
_NAN = float("nan")


@dataclass(frozen=True, eq=False, repr=False)
class ResidualFit:
    """One emotion space of the test stories after the ridge on one predictor (`predictor` "": before it).

    weights: "own" or "random" (the same architecture); kind: "dense" or "features".
    size: dimensions of the predictor; a name that begins with "noise" is the control of that size.
    removed: share of the variance between emotions that is gone (below 0: the ridge added some); removed_standardized:
        the same after giving each coordinate variance one between emotions, so that one large coordinate is not all.
    alignment: of the residual space, with intervals over emotions; its p reorder emotions, and do not know that the ridge
        was fitted.
    p_stories, p_stories_layers: p of each statistic (`STATISTICS`) from residuals permuted within topics and the ridge
        fitted anew, of this space and corrected over the layers of its family: what the claim rests on. Empty for noise.
    rsa_given_predictor: partial RSA of the residual space given the predictor's own space of the test stories, which also
        takes out what a shrunken fit leaves behind. None for the plain space and noise.
    """

    weights: str
    site: Site
    kind: str
    predictor: str
    size: int
    removed: float
    removed_standardized: float
    alignment: Alignment
    p_stories: Mapping[str, float]
    p_stories_layers: Mapping[str, float]
    rsa_given_predictor: PartialRSA | None

    def row(self) -> dict[str, object]:
        """The numbers as one flat row, with the columns of `ResidualGeometry.to_frame`."""
        partial = self.rsa_given_predictor or PartialRSA(_NAN, (_NAN, _NAN), _NAN, _NAN)
        row: dict[str, object] = {
            "weights": self.weights,
            "site": str(self.site),
            "predictor": self.predictor,
            "n_predictors": self.size,
            "removed": self.removed,
            "removed_standardized": self.removed_standardized,
        }
        for name in STATISTICS:
            row[f"{name}_p_stories"] = self.p_stories.get(name, _NAN)
            row[f"{name}_p_stories_layers"] = self.p_stories_layers.get(name, _NAN)
        row |= {
            "rsa_given_predictor": partial.rho,
            "rsa_given_predictor_lo": partial.ci[0],
            "rsa_given_predictor_hi": partial.ci[1],
            "rsa_given_predictor_p": partial.p,
        }
        # where the alignment has a column of the same name, the one here is the exact one
        return row | self.alignment.row() | row


@checked_methods
@dataclass(frozen=True, eq=False, repr=False)
class ResidualGeometry(Result):
    """Emotion spaces of test stories beside what is left of them beyond what some predictors predict linearly.

    Claims read "beyond what these predict linearly": a predictor that reads the text in another way may predict more, and
    random weights may leave as much of valence (`random_weights=True` puts them beside).
    """

    fits: tuple[ResidualFit, ...]
    n_fit: int
    n_test: int
    fit_topics: tuple[object, ...]
    test_topics: tuple[object, ...]
    n_permutations: int
    seed: int

    COLUMNS = (
        *("weights", "layer", "site", "kind", "predictor", "n_predictors", "removed", "valence_r", "valence_p"),
        *("arousal_r", "arousal_p", "rsa_rho"),
    )
    SERIES = ("weights", "kind", "predictor")

    def to_frame(self) -> pd.DataFrame:
        """One row for each weights, site, kind and predictor; `predictor` is empty where nothing was taken out."""
        return pd.DataFrame([fit.row() for fit in self.fits])

    def at(
        self, layer: int | Site | str, predictor: str = PLAIN, kind: str = "dense", weights: str = "own"
    ) -> ResidualFit:
        """The fit of one layer (or site) and predictor; `UnknownNameError` if there is none."""
        site = Site.parse(layer) if isinstance(layer, str) else layer
        places = []
        for fit in self.fits:
            asked = fit.site == site if isinstance(site, Site) else fit.site == Site(site, sae=fit.site.sae)
            if asked and (fit.predictor, fit.kind, fit.weights) == (predictor, kind, weights):
                return fit
            places.append(f"{fit.site} {fit.kind} {fit.predictor!r} ({fit.weights} weights)")
        raise UnknownNameError("fit", f"{site} {kind} {predictor!r} ({weights} weights)", places)

    def joined(self, other: ResidualGeometry) -> ResidualGeometry:
        """The fits of two runs over the same stories (own and random weights)."""
        both = (*self.fits, *other.fits)
        return ResidualGeometry(
            both, self.n_fit, self.n_test, self.fit_topics, self.test_topics, self.n_permutations, self.seed
        )

    def __repr__(self) -> str:
        layers = len({(f.weights, f.site, f.kind) for f in self.fits})
        names = ", ".join(dict.fromkeys(repr(f.predictor) for f in self.fits if f.predictor))
        return (
            f"ResidualGeometry({layers} spaces, beyond what {names} predict linearly; fitted on {self.n_fit} stories of "
            f"{len(self.fit_topics)} topics, read on {self.n_test} stories of {len(self.test_topics)} others)"
        )

    def plot(self, value: str = "rsa_rho") -> go.Figure:
        """One column of `to_frame` over the layers, a line per weights, kind and predictor.

        Args:
            value: the column.

        Raises:
            UnknownNameError: no such column.
        """
        from emotion_interp.figures import series_curves

        self.view(value)
        return series_curves(self.to_frame(), value, self.SERIES, title="Residual geometry by layer")


def removed_shares(plain: np.ndarray, left: np.ndarray) -> tuple[float, float]:
    """Share of the variance between emotions that residual vectors lack, raw and over standardised coordinates; both
    [emotion, dimension]."""
    before = ((plain - plain.mean(axis=0)) ** 2).sum(axis=0)
    after = ((left - left.mean(axis=0)) ** 2).sum(axis=0)
    varies = before > before.max() * 1e-12
    return float(1 - after.sum() / before.sum()), float(1 - (after[varies] / before[varies]).mean())
