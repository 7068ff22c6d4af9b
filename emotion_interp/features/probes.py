"""Sets of features: probes on the best k SAE features of an emotion, with dense probes beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from emotion_interp.activations import SiteReadings, read_stimuli
from emotion_interp.activations.options import ReadChoices, ReadOptions
from emotion_interp.bank.bank import FeatureBank
from emotion_interp.bank.directions import Directions
from emotion_interp.concepts import ConceptSet
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.frames import rows_where
from emotion_interp.core.options import merged
from emotion_interp.core.result import Result
from emotion_interp.core.types import Direction, Site, Stimulus, sites_at
from emotion_interp.features.confirm import confirmed_sets
from emotion_interp.features.design import design_stimuli, split_hash
from emotion_interp.features.probe_fits import (
    balanced_weights,
    cross_validated_ridge,
    dense_cleaner,
    logistic_weights,
    probe_directions,
    require_same_split,
)
from emotion_interp.features.text_scores import beside_texts, unit_texts
from emotion_interp.figures import series_curves
from emotion_interp.stats.firing import firing_rates
from emotion_interp.stats.ranks import RankedColumns, dense_parts
from emotion_interp.stats.scores import composite_auroc, pairwise_auroc
from emotion_interp.subjects import Subject

NEUTRAL = "neutral"


@dataclass(frozen=True, eq=False, repr=False)
class SparseProbes(Result):
    """Probes of every emotion, site and language.

    frame: one row per site, language, emotion and k: layer, site, language, emotion, k, n_features, auroc, auroc_heldout,
    features, weights, n_words, and what is confirmed; dense: the baselines, one row per site, language and emotion;
    vectors: (site, language, emotion, k) -> sum of decoder rows times the probe's weights [d_model];
    source: subject, kind of stimuli, seed and concepts, as in a bank's manifest.

    `weights` are per unit of activation, in the order of `features` (best first); `auroc` is on the discovery half.
    A set is confirmed as a single feature is (`with_confirmation`), by its decision value on the held-out half:
    p_heldout (Fisher; it fires above its upper quartile over all units), held_out_specificity and `rival`, p_specificity
    (labels exchanged within pairs, by groups), p_confirmed (the larger p, Holm over the emotions of a layer, language
    and k), layer_fixed (one layer per language: the best median discovery AUROC over emotions and k), confirmed (at
    that layer) and confirmed_uncorrected (each layer for itself: not corrected over layers). No k is corrected for another.
    """

    frame: pd.DataFrame
    dense: pd.DataFrame
    vectors: dict[tuple[Site, str, str, int], np.ndarray]
    source: dict[str, object] = field(default_factory=dict)

    @property
    def sites(self) -> list[Site]:
        """Sites that were probed."""
        return sorted({key[0] for key in self.vectors})

    COLUMNS = (
        *("layer", "site", "language", "emotion", "k", "n_features", "auroc", "auroc_heldout", "held_out_specificity"),
        *("p_confirmed", "layer_fixed", "confirmed"),
    )

    def baselines(self) -> pd.DataFrame:
        """Held-out AUROC of the dense baselines per layer, language and emotion.

        `probe_auroc`: cross-validated linear probe on all dimensions; `means_auroc`: difference of means; `_clean`: the
        neutral principal components of the discovery half projected out first; `text_`: the same two from TF-IDF of the
        stimuli alone on the same halves (`encoder_`: from a sentence encoder, where present), equal at every layer.
        """
        return self.dense.copy()

    def by_layer(self) -> pd.DataFrame:
        """Median held-out AUROC over emotions per layer, site and language: one column per k, the dense and text baselines
        beside it."""
        keys = ["layer", "site", "language"]
        table = self.frame.pivot_table(index=keys, columns="k", values="auroc_heldout", aggfunc="median")
        table.columns = [f"k={k}" for k in table.columns]
        columns = ["means_auroc", "means_clean_auroc", "probe_auroc", "probe_clean_auroc"]
        columns += [c for c in self.dense if str(c).startswith(("text_", "encoder_"))]
        dense = self.dense.groupby(keys)[columns]
        return table.join(dense.median()).reset_index()

    def plot(self) -> go.Figure:
        """Median held-out AUROC over the layers: one line per k, the dense probe and the texts alone beside them."""
        table = self.by_layer()
        keys = [c for c in ("layer", "site", "language") if c in table]
        shown = [c for c in table if c.startswith("k=") or c in ("probe_auroc", "text_probe_auroc")]
        texts = {"title": "Sparse probes by layer", "y_title": "median held-out AUROC"}
        return series_curves(table.melt(keys, shown, "set", "auroc"), "auroc", ["set", *keys[1:]], **texts)

    def confirmed(self) -> pd.DataFrame:
        """Per language and k, at the layer that was fixed on the discovery half: how many emotions' sets are confirmed."""
        rows = self.frame[self.frame["layer_fixed"]]
        table = rows.groupby(["language", "layer", "site", "k"]).agg(
            emotions=("emotion", "size"),
            confirmed=("confirmed", "sum"),
            median_auroc_heldout=("auroc_heldout", "median"),
            median_held_out_specificity=("held_out_specificity", "median"),
        )
        return table.reset_index()

    def direction(self, emotion: str, layer: int | Site | str, k: int, language: str | None = None) -> Direction:
        """The probe as a direction to steer with: its weights times its features' decoder rows.

        Raises:
            UnknownNameError: no probe of that emotion, layer, language or k.
        """
        language = language or str(self.frame["language"].iloc[0])
        site = sites_at(self.sites, layer)[0]
        for kind, value, place in (("language", language, 1), ("emotion", emotion, 2), ("k", k, 3)):
            allowed = sorted({key[place] for key in self.vectors})
            if value not in allowed:
                raise UnknownNameError(kind, value, allowed)
        vector = self.vectors[site, language, emotion, k]
        return Direction(vector, site.layer, site.kind, emotion, language, f"sparse probe k={k}")

    def add_to(self, bank: FeatureBank) -> FeatureBank:
        """A bank that keeps these probes: the table "probes", and the directions "probe_k1", "probe_k2", ...

        `bank.direction("joy", layer, method="probe_k8")` is then `probes.direction("joy", layer, 8)`. Probes that the
        bank had are replaced.

        Args:
            bank: of the same subject; found with the same seed and concepts if with the same kind of stimuli, since
                otherwise the probes would have been fitted on words that the bank holds out.

        Raises:
            EmotionInterpError: a bank of another subject, or another split of the same kind of stimuli or of other texts.
            UnknownNameError: a site, language or emotion that the bank lacks.

        Example:
            >>> bank = ei.sparse_probes(subject, concepts).add_to(bank)  # doctest: +SKIP
        """
        require_same_split(self.source, bank)
        for kind, column, allowed in (
            ("site", "site", list(map(str, bank.sites))),
            ("language", "language", bank.languages),
            ("emotion", "emotion", bank.emotions),
        ):
            for name in self.frame[column].unique():
                if name not in allowed:
                    raise UnknownNameError(kind, name, allowed)
        frame = self.frame.assign(**{c: self.frame[c].map(list) for c in ("features", "weights")})
        others = {k: v for k, v in bank.directions.items() if not k.method.startswith("probe_k")}
        both = Directions(others | probe_directions(self.vectors, bank.emotions), bank.emotions)
        return replace(bank.with_table("probes", frame), directions=both)

    def __repr__(self) -> str:
        ks = sorted(self.frame["k"].unique().tolist())
        return f"SparseProbes({self.frame['emotion'].nunique()} emotions, {', '.join(map(str, self.sites))}, k {ks})"


@checked
def sparse_probes(
    subject: Subject,
    concepts: ConceptSet,
    ks: Sequence[int] = (1, 2, 4, 8, 16),
    *,
    stimuli: str | Sequence[Stimulus] = "words",
    layers: Iterable[int | Site | str] | None = None,
    seed: int = 0,
    options: ReadOptions | None = None,
    **choices: Unpack[ReadChoices],
) -> SparseProbes:
    """How much of an emotion do k SAE features carry together, and how much all dimensions of the stream?

    The k features with the best composite AUROC on the discovery half make an L2 logistic regression there, classes
    balanced as in the composite (emotion 1/2, neutral 1/4, other emotions 1/4); the confirmation half only reports and
    confirms (`SparseProbes.to_frame`). Features, strength of regularisation and neutral components never see it. Sparse probing after Gurnee et al.
    2023, "Finding Neurons in a Haystack".

    Args:
        subject: model with SAEs.
        concepts: concept sets of one or several languages.
        ks: sizes of the sets; with fewer living features than k, all of them are used (`n_features`).
        stimuli: "words", "scenes" or labelled texts, as in `find_features`.
        layers: as in `find_features`.
        seed: of the split, and of the folds of the dense probe.
        options: as in `find_features`.
        **choices: fields of `ReadOptions`, by keyword.

    Raises:
        EmotionInterpError: the subject has no SAE, or ks are no whole numbers from 1.
        UnknownNameError: a layer without an SAE, or another kind of stimuli.

    Example:
        >>> import emotion_interp as ei
        >>> probes = ei.sparse_probes(ei.load_subject(), ei.concept_set("en"), stimuli="scenes")  # doctest: +SKIP
        >>> probes.by_layer()  # doctest: +SKIP
    """
    ks = _checked(ks)
    wanted = subject.sae_sites(layers)
    design = design_stimuli(concepts, stimuli, seed)
    reading = merged(ReadOptions, options, choices).reading("last" if design.kind == "words" else "text", 8)
    readings = read_stimuli(subject, design.stimuli, design.units, sites=wanted, options=reading)
    texts = unit_texts(design.kind, design.words, design.stimuli, design.units)
    return probes_from_readings(
        subject, concepts, design.words, readings, ks=ks, seed=seed, kind=design.kind, texts=texts
    )


def probes_from_readings(
    subject: Subject,
    concepts: ConceptSet,
    words: pd.DataFrame,
    readings: dict[Site, SiteReadings],
    *,
    ks: Sequence[int],
    seed: int,
    kind: str = "words",
    texts: Sequence[str] | None = None,
) -> SparseProbes:
    """Choose, fit and evaluate: everything after the forward pass. `texts`: of each unit, for the text-only row."""
    ks = _checked(ks)
    present, known = set(words["emotion"]), set(words["language"])
    emotions = [e for e in concepts.emotions if e in present]
    rows: list[dict[str, object]] = []
    dense_rows: list[dict[str, object]] = []
    scores: dict[str, list[np.ndarray]] = {}
    vectors: dict[tuple[Site, str, str, int], np.ndarray] = {}
    for site, reading in readings.items():
        for language in (lang for lang in concepts.languages if lang in known):
            halves = Halves(words, language, emotions, reading)
            head = {"layer": site.layer, "site": str(site), "language": language}
            if not len(halves.alive):
                raise EmotionInterpError("no latent fires on the discovery half: the SAE is dead here, or elsewhere's.")
            singles = halves.singles()
            cleaner = dense_cleaner(halves.dense, halves.codes, halves.neutral)
            for i, emotion in enumerate(emotions):
                if not (halves.codes == i).any() or not (halves.codes2 == i).any():
                    continue
                labels = head | {"emotion": emotion}
                for row, held_out in _sparse(halves, i, singles[i], ks):
                    scores.setdefault(language, []).append(held_out)
                    weights = np.asarray(row["weights"], dtype=np.float64)
                    rows_of = subject.readers[site].decoder_rows(row["features"])
                    decoder = rows_of.double().cpu().numpy()
                    vectors[site, language, emotion, row["k"]] = weights @ decoder
                    rows.append(labels | row)
                dense_rows.append(labels | _dense(halves, i, cleaner, seed))
    source = {"subject": subject.name, "stimuli": kind, "seed": seed, "concepts_sha256": concepts.sha256}
    source["split_sha256"] = split_hash(words)
    baselines = pd.DataFrame(dense_rows)
    if texts is not None:
        baselines = beside_texts(baselines, words, texts, emotions, kind, seed)
    siblings = {e: {emotions.index(s) for s in concepts.siblings(e) if s in emotions} for e in emotions}
    frame = confirmed_sets(pd.DataFrame(rows), scores, words, emotions, siblings, seed)
    return SparseProbes(frame, baselines, vectors, source)


class Halves:
    """One site and language: activations, classes and groups of both halves."""

    def __init__(self, words: pd.DataFrame, language: str, emotions: list[str], reading: SiteReadings) -> None:
        spoken = rows_where(words, words["language"] == language)
        self.neutral = len(emotions) if (spoken["emotion"] == NEUTRAL).any() else None
        self.n_classes = len(emotions) + (self.neutral is not None)
        index = {e: i for i, e in enumerate(emotions)} | {NEUTRAL: len(emotions)}
        assert reading.features is not None
        first, second = (spoken[spoken["side"] == side] for side in ("discovery", "confirmation"))
        self.codes, self.codes2 = (half["emotion"].map(index).to_numpy() for half in (first, second))
        self.groups = first["group"].to_numpy()
        discovered = reading.features[first["unit"].to_numpy()]
        held = reading.features[second["unit"].to_numpy()]
        # only features that fire on the discovery half can be chosen there
        self.alive = np.flatnonzero(firing_rates(discovered))
        self._values, self._values2 = discovered[:, self.alive].tocsc(), held[:, self.alive].tocsc()
        self.dense = reading.dense[first["unit"].to_numpy()].astype(np.float64)
        self.dense2 = reading.dense[second["unit"].to_numpy()].astype(np.float64)

    def singles(self) -> np.ndarray:
        """Composite AUROC of every living feature for every emotion on the discovery half: [emotion, feature]."""
        n = self.n_classes - (self.neutral is not None)
        aurocs = np.full((n, len(self.alive)), np.nan)
        for part, values in dense_parts(self._values):
            ranked = RankedColumns(values, self.codes, self.n_classes)
            for i in range(n):
                aurocs[i, part] = composite_auroc(ranked.auroc(i), i, self.neutral)
        return aurocs

    def values(self, columns: np.ndarray, held_out: bool) -> np.ndarray:
        """Activations of some living features on one half: [word, feature]."""
        half = self._values2 if held_out else self._values
        return half[:, columns].toarray().astype(np.float64)

    def auroc(self, scores: np.ndarray, target: int, held_out: bool) -> np.ndarray:
        """Composite AUROC of scores [word, probe] on one half: [probe]."""
        codes = self.codes2 if held_out else self.codes
        return composite_auroc(pairwise_auroc(scores, codes, target, self.n_classes), target, self.neutral)


def _sparse(
    halves: Halves, target: int, single: np.ndarray, ks: Sequence[int]
) -> Iterable[tuple[dict[str, Any], np.ndarray]]:
    """One probe per k, as a row of the table, and its decision values on the held-out half."""
    order = np.argsort(-single, kind="stable")[: max(ks)]
    best = [halves.values(order, held_out) for held_out in (False, True)]
    sample = balanced_weights(halves.codes, target, halves.neutral)
    for k in ks:
        chosen = order[:k]
        # columns side by side in memory: the order of the solver's sums depends on it
        discovered, held = (np.asfortranarray(values[:, :k]) for values in best)
        weights = logistic_weights(discovered, halves.codes == target, sample)
        scores = [discovered @ weights, held @ weights]
        row = {
            "k": k,
            "n_features": len(chosen),
            "auroc": halves.auroc(scores[0][:, None], target, held_out=False)[0],
            "auroc_heldout": halves.auroc(scores[1][:, None], target, held_out=True)[0],
            "features": tuple(halves.alive[chosen].tolist()),
            "weights": tuple(weights.tolist()),
            "n_words": int((halves.codes2 == target).sum()),
        }
        yield row, scores[1]


def _dense(halves: Halves, target: int, cleaner: Callable[[np.ndarray], np.ndarray], seed: int) -> dict[str, object]:
    sample = balanced_weights(halves.codes, target, halves.neutral)
    row: dict[str, object] = {}
    for name, change in (("", lambda x: x), ("_clean", cleaner)):
        discovered, held = change(halves.dense), change(halves.dense2)
        # the weighted mean of the emotion minus that of the contrast is the difference of means of `dense`
        signed = np.where(halves.codes == target, sample, -sample)
        means = signed @ discovered
        probe, penalty = cross_validated_ridge(
            discovered, halves.codes, target, halves.neutral, halves.n_classes, halves.groups, seed
        )
        scores = np.column_stack([held @ means, held @ probe])
        row[f"means{name}_auroc"], row[f"probe{name}_auroc"] = halves.auroc(scores, target, held_out=True)
        row[f"penalty{name}"] = penalty
    return row | {"n_words": int((halves.codes2 == target).sum())}


def _checked(ks: Sequence[int]) -> list[int]:
    if not len(ks) or not all(isinstance(k, (int, np.integer)) and not isinstance(k, bool) and k >= 1 for k in ks):
        raise EmotionInterpError(f"ks are sizes of feature sets, whole numbers from 1; got {list(ks)!r}.")
    return sorted({int(k) for k in ks})
