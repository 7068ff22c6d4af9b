"""One site and language of a search: tests on the discovery half, directions, confirmation on the held-out half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emotion_interp.core.arguments import check_fields
from emotion_interp.core.frames import rows_where
from emotion_interp.core.types import Site
from emotion_interp.features.dense import contrast_means, neutral_components, project_out
from emotion_interp.stats.corrections import holm
from emotion_interp.stats.firing import CARRIERS, above, activity, levels
from emotion_interp.stats.ranks import RankedColumns, dense_parts
from emotion_interp.stats.scores import (
    bootstrap_composite,
    composite_auroc,
    fisher_enrichment,
    pairwise_auroc,
    specificity,
    standardised_mean_difference,
)
from emotion_interp.stats.sparse import Sparse

if TYPE_CHECKING:
    from emotion_interp.activations import SiteReadings
    from emotion_interp.subjects.sae_reader import SaeReader

NEUTRAL = "neutral"


@dataclass(frozen=True)
class Selection:
    """Thresholds of the discovery half; ours, since the paper's are not public.

    max_q: Benjamini-Hochberg level; min_coverage: share of the emotion's words a feature fires on;
    min_specificity: smallest pairwise AUROC against an emotion that is no sibling: at .5 a feature that several emotions
    share equally passes for one of them, at .6 the false discovery rate on planted truth falls from .125 to .047
    (`python -m benchmarks.calibration planted`); max_features: kept per emotion.
    """

    max_q: float = 0.05
    min_coverage: float = 0.2
    min_specificity: float = 0.6
    max_features: int = 16

    def __post_init__(self) -> None:
        check_fields(self)


class Block:
    """One site and language: its words, tests and scores.

    Of the readings, which may lie on disk, it keeps which units are whose; activations and what fired are taken when
    they are needed and let go, so that a search holds one block's at a time.
    """

    def __init__(
        self,
        site: Site,
        language: str,
        reading: SiteReadings,
        words: pd.DataFrame,
        emotions: list[str],
        by_level: bool = False,
    ) -> None:
        self.site, self.language, self.emotions = site, language, emotions
        spoken = rows_where(words, words["language"] == language)
        self.neutral = len(emotions) if (spoken["emotion"] == NEUTRAL).any() else None
        self.n_classes = len(emotions) + (self.neutral is not None)
        assert reading.features is not None and reading.fired is not None
        index = {e: i for i, e in enumerate(emotions)} | {NEUTRAL: len(emotions)}
        self._reading = reading
        self._levels = levels(reading.features, spoken["unit"].to_numpy()) if by_level else None
        self._units: dict[str, np.ndarray] = {}
        codes = {}
        for side in ("discovery", "confirmation"):
            rows = spoken[spoken["side"] == side]
            self._units[side] = rows["unit"].to_numpy()
            codes[side] = rows["emotion"].map(index).to_numpy()
        self.codes, self.codes2 = codes["discovery"], codes["confirmation"]
        fired = self._fired("discovery")
        self.alive = np.asarray(fired.sum(0)).ravel() > 0
        self.p = fisher_enrichment(fired, self.codes, self.n_classes)[: len(emotions)]
        self.rate = np.asarray(fired.mean(0)).ravel()
        self.activity = self.rate if self._levels is None else activity(reading.features, self._units["discovery"])
        reading.rest()

    def _fired(self, side: str) -> Sparse:
        """Which features fire on which units of a side, sparse boolean [unit, feature]; worked out when it is needed."""
        share: Any = self._reading.fired
        fired = share >= CARRIERS if self._levels is None else above(self._reading.features, self._levels)
        return fired[self._units[side]]

    def _values(self, side: str, columns: object) -> np.ndarray:
        """Activations of some features, [unit, feature] float64."""
        features: Any = self._reading.features
        return features[self._units[side]][:, columns].toarray().astype(np.float64)

    def _dense(self, side: str) -> np.ndarray:
        return self._reading.dense[self._units[side]].astype(np.float64)

    def score(self, selection: Selection, siblings: dict[str, set[int]], q: np.ndarray) -> pd.DataFrame:
        """Effect sizes of every feature with p <= .05, the selected ones marked, the top one fixed; q [emotion, feature]."""
        frames, fired = [], self._fired("discovery")
        chosen: dict[int, np.ndarray] = {}
        for i in range(len(self.emotions)):
            if (self.codes == i).any() and self.alive.any():
                chosen[i] = np.flatnonzero(self.alive & (self.p[i] <= 0.05))
                if not len(chosen[i]):
                    # the least unlikely feature stands for the emotion, so that its failure shows in the summary
                    living = np.flatnonzero(self.alive)
                    chosen[i] = living[[int(np.argmin(self.p[i, living]))]]
        effects = self._effects(chosen)
        for i, ids in chosen.items():
            emotion, of_emotion = self.emotions[i], self.codes == i
            pairwise, smd, mean = effects[i]
            frame = pd.DataFrame(
                {
                    "layer": self.site.layer,
                    "site": str(self.site),
                    "language": self.language,
                    "emotion": emotion,
                    "feature": ids,
                    "p": self.p[i, ids],
                    "q": q[i, ids],
                    "auroc": composite_auroc(pairwise, i, self.neutral),
                    "auroc_neutral": np.full(len(ids), np.nan) if self.neutral is None else pairwise[self.neutral],
                    "specificity": specificity(pairwise, i, siblings[emotion], self.neutral),
                    "coverage": np.asarray(fired[of_emotion][:, ids].mean(0)).ravel(),
                    "smd": smd,
                    "rate": self.rate[ids],
                    "mean_activation": mean,
                    "n_words": int(of_emotion.sum()),
                }
            )
            passed = (
                (frame["q"] <= selection.max_q)
                & (frame["coverage"] >= selection.min_coverage)
                & (frame["specificity"] >= selection.min_specificity)
            )
            ranked = frame.assign(passed=passed).sort_values(["auroc", "feature"], ascending=[False, True])
            order = ranked.index[ranked["passed"]][: selection.max_features]
            frame["selected"] = frame.index.isin(order)
            best = order[:1] if len(order) else ranked.index[:1]
            frame["top"] = frame.index.isin(best)
            frames.append(frame)
        self._reading.rest()
        return pd.concat(frames, ignore_index=True)

    def _effects(self, chosen: dict[int, np.ndarray]) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Pairwise AUROCs, standardised differences and mean activations of each emotion's features on the discovery half.

        Every column is ranked once for all emotions, and few columns are in memory at a time.
        """
        effects = {
            i: (np.full((self.n_classes, len(ids)), np.nan), np.empty(len(ids)), np.empty(len(ids)))
            for i, ids in chosen.items()
        }
        used = np.unique(np.concatenate([*chosen.values(), np.empty(0, dtype=np.int64)]))
        features: Any = self._reading.features
        for part, values in dense_parts(features[self._units["discovery"]][:, used]):
            ranked = RankedColumns(values, self.codes, self.n_classes)
            for i, ids in chosen.items():
                rows = np.flatnonzero(np.isin(ids, used[part]))
                if not len(rows):
                    continue
                columns = np.searchsorted(used[part], ids[rows])
                pairwise, smd, mean = effects[i]
                pairwise[:, rows] = ranked.auroc(i)[:, columns]
                values_of = np.take(values, columns, axis=1)
                smd[rows] = standardised_mean_difference(values_of, self.codes, i)
                mean[rows] = values_of[self.codes == i].mean(0)
        return effects

    def directions(self, frame: pd.DataFrame, reader: SaeReader) -> dict[str, np.ndarray]:
        """Steering vectors from the discovery half: dense, dense without neutral components, and SAE decoder sums.

        "means" is the difference of means over both halves, for emotion spaces only.
        """
        first = self._dense("discovery")
        dense = np.nan_to_num(contrast_means(first, self.codes, self.n_classes, self.neutral)[: len(self.emotions)])
        clean = dense
        if self.neutral is not None:
            clean = project_out(dense, neutral_components(first[self.codes == self.neutral]))
        picked = rows_where(frame, frame["selected"] | frame["top"])
        used = np.unique(picked["feature"].to_numpy())
        contrast = contrast_means(self._values("discovery", used), self.codes, self.n_classes, self.neutral)
        sae = np.zeros((len(self.emotions), reader.d_in))
        for i, emotion in enumerate(self.emotions):
            rows = rows_where(frame, (frame["emotion"] == emotion) & frame["selected"])
            if rows.empty:
                # nothing passed: the fixed top feature stands in, and the summary says that it was not selected
                rows = frame[(frame["emotion"] == emotion) & frame["top"]]
            if not rows.empty:
                ids = rows["feature"].to_numpy()
                weights = np.maximum(contrast[i, np.searchsorted(used, ids)], 0.0)
                sae[i] = weights @ reader.decoder_rows(ids).double().cpu().numpy()
        # for geometry alone: both halves, since a shape is no claim about held-out stimuli
        every = np.concatenate([first, self._dense("confirmation")])
        codes = np.concatenate([self.codes, self.codes2])
        means = np.nan_to_num(contrast_means(every, codes, self.n_classes, self.neutral)[: len(self.emotions)])
        self._reading.rest()
        return {"dense": dense, "dense_clean": clean, "sae": sae, "means": means}

    def confirm(self, frame: pd.DataFrame, vectors: dict[str, np.ndarray], rng: np.random.Generator) -> pd.DataFrame:
        """Held-out figures of each emotion's fixed top feature, with the dense directions beside them."""
        fired2 = self._fired("confirmation")
        p2 = fisher_enrichment(fired2, self.codes2, self.n_classes)
        dense2 = self._dense("confirmation")
        rows = []
        tops = rows_where(frame, frame["top"])
        fixed = np.unique(tops["feature"].to_numpy())
        every = self._values("confirmation", fixed)
        for i, emotion in enumerate(self.emotions):
            top = frame[(frame["emotion"] == emotion) & frame["top"]]
            n_own = int((self.codes2 == i).sum())
            if top.empty or not n_own:
                continue
            row = top.iloc[0]
            feature = int(row["feature"])
            values = every[:, [int(np.searchsorted(fixed, feature))]]
            held = composite_auroc(pairwise_auroc(values, self.codes2, i, self.n_classes), i, self.neutral)[0]
            low, high = bootstrap_composite(values[:, 0], self.codes2, i, self.neutral, self.n_classes, rng)
            dense = {
                f"{kind}_auroc": composite_auroc(
                    pairwise_auroc((dense2 @ vectors[kind][i])[:, None], self.codes2, i, self.n_classes),
                    i,
                    self.neutral,
                )[0]
                for kind in ("dense", "dense_clean")
            }
            rows.append(
                {
                    "layer": self.site.layer,
                    "site": str(self.site),
                    "language": self.language,
                    "emotion": emotion,
                    "feature": feature,
                    "selected": bool(row["selected"]),
                    "n_selected": int((frame["selected"] & (frame["emotion"] == emotion)).to_numpy().sum()),
                    "q": row["q"],
                    "auroc": row["auroc"],
                    "coverage": row["coverage"],
                    "specificity": row["specificity"],
                    "auroc_heldout": held,
                    "lo": low,
                    "hi": high,
                    "shrinkage": row["auroc"] - held,
                    "p_heldout": p2[i, feature],
                    "coverage_heldout": float(fired2[self.codes2 == i][:, [feature]].mean()),
                    **dense,
                    "n_words": n_own,
                }
            )
        self._reading.rest()
        summary = pd.DataFrame(rows)
        # of Fisher's test alone; Holm runs over the selected emotions of this layer and language
        summary["p_holm"] = holm(np.where(summary["selected"], summary["p_heldout"], np.nan))
        return summary
