"""Results of an alignment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from emotion_interp.core import UnknownNameError
from emotion_interp.core.result import Result
from emotion_interp.core.types import Site, site_of
from emotion_interp.figures import circumplex, predicted_vs_human, series_curves
from emotion_interp.geometry.circumplex import CircumplexFit
from emotion_interp.geometry.increment import Increment
from emotion_interp.geometry.pc_scan import ComponentFit
from emotion_interp.geometry.procrustes import ProcrustesFit
from emotion_interp.geometry.readout import ReadoutFit
from emotion_interp.geometry.rsa import RSAFit

if TYPE_CHECKING:
    import plotly.graph_objects as go

_COLUMNS = (
    *("control", "layer", "language", "kind", "valence_pc", "valence_r", "valence_p", "arousal_r", "arousal_p"),
    *("rsa_rho", "rsa_p", "readout_valence_r"),
)
_NAN = float("nan")


@dataclass(frozen=True, eq=False, repr=False)
class Alignment(Result):
    """One emotion space against human norms.

    `arousal`, `procrustes` and `circumplex` are None where the norms have valence alone. `points` has one row per
    emotion: `emotion`, `word` (what was rated), z-scored human `valence` and `arousal`, the model's PCs 1-2 laid over
    them by Procrustes as `x` and `y`, and the left-out predictions `readout_valence`, `readout_arousal` in rating
    units. `controls` maps the name of each control space to its own alignment. For a space of texts `baselines` maps
    "text" (TF-IDF of the same texts) and, where present, "encoder" to their alignments, and `increments` to what the space
    adds to them: quote that, and not the figure alone. `n_permutations` and `seed` repeat it.
    """

    layer: int | None
    language: str | None
    kind: str
    norms: str
    coordinates: str
    valence: ComponentFit
    arousal: ComponentFit | None
    rsa: RSAFit
    procrustes: ProcrustesFit | None
    readout: ReadoutFit
    circumplex: CircumplexFit | None
    points: pd.DataFrame
    unmatched: tuple[str, ...]
    n_emotions: int
    n_permutations: int
    seed: int
    controls: dict[str, Alignment] = field(default_factory=dict)
    baselines: dict[str, Alignment] = field(default_factory=dict)
    increments: dict[str, Increment] = field(default_factory=dict)
    site: Site | str | None = None

    COLUMNS = _COLUMNS
    SERIES = ("language", "kind", "control")

    @property
    def place(self) -> dict[str, object]:
        """Its layer, site (empty where only the layer is known), language and kind, as a table shows them."""
        site = "" if self.site is None else str(self.site)
        return {"layer": self.layer, "site": site, "language": self.language, "kind": self.kind}

    @property
    def emotions(self) -> list[str]:
        """The emotions that were compared."""
        return self.points["emotion"].tolist()

    def row(self) -> dict[str, object]:
        """The numbers as one flat row, with the columns of `LayerAlignments.to_frame`."""
        row = self.place
        for name, fit in (("valence", self.valence), ("arousal", self.arousal)):
            low, high = fit.ci if fit else (_NAN, _NAN)
            words = fit.ci_words if fit else (_NAN, _NAN)
            row |= {
                f"{name}_pc": fit.pc if fit else _NAN,
                f"{name}_r": fit.r if fit else _NAN,
                f"{name}_lo": low,
                f"{name}_hi": high,
                f"{name}_lo_words": words[0],
                f"{name}_hi_words": words[1],
                f"{name}_p": fit.p if fit else _NAN,
                f"{name}_p_layers": fit.p_layers if fit and fit.p_layers is not None else _NAN,
            }
        return row | {
            "rsa_rho": self.rsa.rho,
            "rsa_lo": self.rsa.ci[0],
            "rsa_hi": self.rsa.ci[1],
            "rsa_lo_words": self.rsa.ci_words[0],
            "rsa_hi_words": self.rsa.ci_words[1],
            "rsa_p": self.rsa.p,
            # two names of one number: the older one is no ceiling
            "rsa_ceiling": self.rsa.ceiling if self.rsa.ceiling is not None else _NAN,
            "rsa_rating_agreement": self.rsa.ceiling if self.rsa.ceiling is not None else _NAN,
            "procrustes_disparity": self.procrustes.disparity if self.procrustes else _NAN,
            "procrustes_p": self.procrustes.p if self.procrustes else _NAN,
            "readout_valence_r": self.readout.valence_r,
            "readout_valence_p": self.readout.valence_p,
            "readout_valence_q2": self.readout.valence_q2,
            "readout_arousal_r": self.readout.arousal_r,
            "readout_arousal_p": self.readout.arousal_p,
            "readout_arousal_q2": self.readout.arousal_q2,
            "circumplex_r": self.circumplex.r if self.circumplex else _NAN,
            "circumplex_p": self.circumplex.p if self.circumplex else _NAN,
            "n_emotions": self.n_emotions,
            **{column: value for fit in self.increments.values() for column, value in fit.columns().items()},
        }

    def to_frame(self) -> pd.DataFrame:
        """One row for the space (`control` is empty), and one for each baseline and control."""
        rows = [{"control": ""} | self.row()]
        rows += [{"control": name} | fit.row() for name, fit in (self.baselines | self.controls).items()]
        return pd.DataFrame(rows)

    def plot(self) -> go.Figure:
        """Every emotion where people put it and where the space puts it; with valence alone, its read-out.

        Raises:
            EmotionInterpError: no emotion has both.
        """
        if self.circumplex is None:
            names = {"emotion": "word", "valence": "human", "readout_valence": "predicted"}
            return predicted_vs_human(self.points.rename(columns=names), title="Read-out and human valence")
        names = {"valence": "human_valence", "arousal": "human_arousal", "x": "model_x", "y": "model_y"}
        return circumplex(self.points.rename(columns=names), title=f"People and model: {self.kind}, layer {self.layer}")

    def __repr__(self) -> str:
        place = f"layer {self.layer}, " if self.layer is not None else ""
        arousal = (
            f", arousal PC{self.arousal.pc} r={self.arousal.r:.2f} (p={self.arousal.p:.3g})" if self.arousal else ""
        )
        return (
            f"Alignment({place}{self.n_emotions} emotions, valence PC{self.valence.pc} r={self.valence.r:.2f} "
            f"(p={self.valence.p:.3g}){arousal}, RSA rho={self.rsa.rho:.2f} (p={self.rsa.p:.3g}))"
        )


@dataclass(frozen=True, eq=False, repr=False)
class LayerAlignments(Result):
    """The alignments of many layers and languages, with p-values corrected over the layers of one language and kind."""

    alignments: tuple[Alignment, ...]

    COLUMNS = _COLUMNS
    SERIES = ("language", "kind")

    def to_frame(self) -> pd.DataFrame:
        """One row per layer, site and language: PC scan, RSA, Procrustes, read-out, circumplex; for spaces of texts also what
        they add to the texts, and below them the rows of the texts alone (`kind` "text", "encoder"), which are the same at
        every layer that they stand beside."""
        rows = {(a.layer, a.site, a.language, name): a.baselines[name] for a in self.alignments for name in a.baselines}
        return pd.DataFrame([alignment.row() for alignment in (*self.alignments, *rows.values())])

    def increments(self) -> pd.DataFrame:
        """What each space adds to the texts: layer, site, language, kind and the columns of `Increment.to_frame`."""
        return pd.DataFrame([a.place | fit.row() for a in self.alignments for fit in a.increments.values()])

    def at(self, layer: int | Site | str, language: str | None = None) -> Alignment:
        """The alignment of one layer or site (and language, where there are several); `UnknownNameError` if there is none."""
        wanted = site_of(layer) if isinstance(layer, str) else layer
        for alignment in self.alignments:
            if wanted in (alignment.layer, alignment.site) and language in (None, alignment.language):
                return alignment
        places = [f"layer {a.layer} ({a.language})" for a in self.alignments]
        raise UnknownNameError("alignment", f"layer {layer} ({language})", places)

    def __len__(self) -> int:
        return len(self.alignments)

    def __repr__(self) -> str:
        return f"LayerAlignments({len(self)} alignments)"

    def plot(self, value: str = "rsa_rho") -> go.Figure:
        """A figure of the alignments over the layers, such as `valence_r`, `arousal_r` or `rsa_rho`.

        Args:
            value: a column of `to_frame`.

        Raises:
            UnknownNameError: no such column.
        """
        self.view(value)
        stem = value.rsplit("_", 1)[0]
        bounds = (f"{stem}_lo", f"{stem}_hi") if value in ("rsa_rho", "valence_r", "arousal_r") else ()
        return series_curves(self.to_frame(), value, self.SERIES, bounds=bounds, title="Alignment by layer")
