"""Sets of features: probes on the best k SAE features of an emotion, with dense probes beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.types import Direction, Site, Stimulus
from emotion_interp.features.design import design_stimuli
from emotion_interp.features.probe_fits import balanced_weights, cross_validated_ridge, dense_cleaner, logistic_weights
from emotion_interp.features.scores import composite_auroc, pairwise_auroc

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.activations import SiteReadings
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.subjects import Subject

NEUTRAL = "neutral"


@dataclass(frozen=True, eq=False)
class SparseProbes:
    """Probes of every emotion, layer and language.

    frame: one row per layer, language, emotion and k; dense: the baselines, one row per layer, language and emotion;
    vectors: (layer, language, emotion, k) -> sum of decoder rows times the probe's weights [d_model].
    """

    frame: pd.DataFrame
    dense: pd.DataFrame
    vectors: dict[tuple[int, str, str, int], np.ndarray]
    sites: dict[int, Site]

    def to_frame(self) -> pd.DataFrame:
        """layer, site, language, emotion, k, n_features, auroc, auroc_heldout, features, weights, n_words.

        `weights` are per unit of activation, in the order of `features` (best first); `auroc` is on the discovery half.
        """
        return self.frame.copy()

    def baselines(self) -> pd.DataFrame:
        """Held-out AUROC of the dense baselines per layer, language and emotion.

        `probe_auroc`: cross-validated linear probe on all dimensions; `means_auroc`: difference of means; `_clean`: the
        neutral principal components of the discovery half projected out first.
        """
        return self.dense.copy()

    def by_layer(self) -> pd.DataFrame:
        """Median held-out AUROC over emotions per layer and language: one column per k, the dense baselines beside it."""
        keys = ["layer", "language"]
        table = self.frame.pivot_table(index=keys, columns="k", values="auroc_heldout", aggfunc="median")
        table.columns = [f"k={k}" for k in table.columns]
        dense: Any = self.dense.groupby(keys)[["means_auroc", "means_clean_auroc", "probe_auroc", "probe_clean_auroc"]]
        return table.join(dense.median()).reset_index()

    def direction(self, emotion: str, layer: int, k: int, language: str | None = None) -> Direction:
        """The probe as a direction to steer with: its weights times its features' decoder rows.

        Raises:
            UnknownNameError: no probe of that emotion, layer, language or k.
        """
        language = language or str(self.frame["language"].iloc[0])
        for kind, value, place in (
            ("layer", layer, 0),
            ("language", language, 1),
            ("emotion", emotion, 2),
            ("k", k, 3),
        ):
            allowed = sorted({key[place] for key in self.vectors})
            if value not in allowed:
                raise UnknownNameError(kind, value, allowed)
        vector = self.vectors[layer, language, emotion, k]
        return Direction(vector, layer, self.sites[layer].kind, emotion, language, f"sparse probe k={k}")

    def __repr__(self) -> str:
        ks = sorted(self.frame["k"].unique().tolist())
        return f"SparseProbes({self.frame['emotion'].nunique()} emotions, layers {sorted(self.sites)}, k {ks})"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}: median held-out AUROC</p>{self.by_layer().to_html(index=False)}"


def sparse_probes(
    subject: Subject,
    concepts: ConceptSet,
    ks: Sequence[int] = (1, 2, 4, 8, 16),
    *,
    stimuli: str | Sequence[Stimulus] = "words",
    layers: Iterable[int] | None = None,
    seed: int = 0,
    position: str | None = None,
    skip: int = 8,
    batch_tokens: int = 2048,
    progress: Callable[[int], None] | None = None,
) -> SparseProbes:
    """How much of an emotion do k SAE features carry together, and how much all dimensions of the stream?

    The k features with the best composite AUROC on the discovery half make an L2 logistic regression there, classes
    balanced as in the composite (emotion 1/2, neutral 1/4, other emotions 1/4); the confirmation half only reports.
    Features, strength of regularisation and neutral components never see it. Sparse probing after Gurnee et al.
    2023, "Finding Neurons in a Haystack".

    Args:
        subject: model with SAEs.
        concepts: concept sets of one or several languages.
        ks: sizes of the sets; with fewer living features than k, all of them are used (`n_features`).
        stimuli: "words", "scenes" or labelled texts, as in `find_features`.
        layers: default: every layer with an SAE.
        seed: of the split, and of the folds of the dense probe.
        position, skip, batch_tokens, progress: as in `find_features`.

    Raises:
        EmotionInterpError: the subject has no SAE or several at one of the layers, or ks are no whole numbers from 1.
        UnknownNameError: a layer without an SAE, or another kind of stimuli.

    Example:
        >>> import emotion_interp as ei
        >>> probes = ei.sparse_probes(ei.load_subject(), ei.concept_set("en"), stimuli="scenes")  # doctest: +SKIP
        >>> probes.by_layer()  # doctest: +SKIP
    """
    from emotion_interp.activations import read_stimuli

    ks = _checked(ks)
    if not subject.sites:
        raise EmotionInterpError(
            f"{subject.name} has no SAE; pass saes= to load_subject or train some with train-saes."
        )
    wanted = subject.sites if layers is None else [subject.site(layer) for layer in sorted(set(layers))]
    for site in wanted:
        if site not in subject.readers:
            raise UnknownNameError("SAE layer", site.layer, subject.layers)
    if len({site.layer for site in wanted}) < len(wanted):
        raise EmotionInterpError(
            f"{subject.name} has several SAEs at one layer; name one site of each, for example layers=[{wanted[0].layer}]."
        )
    design = design_stimuli(concepts, stimuli, seed)
    readings = read_stimuli(
        subject,
        design.stimuli,
        design.units,
        sites=wanted,
        position=position or ("last" if design.kind == "words" else "text"),
        skip=skip,
        batch_tokens=batch_tokens,
        progress=progress,
    )
    return probes_from_readings(subject, concepts, design.words, readings, ks=ks, seed=seed)


def probes_from_readings(
    subject: Subject,
    concepts: ConceptSet,
    words: pd.DataFrame,
    readings: dict[Site, SiteReadings],
    *,
    ks: Sequence[int],
    seed: int,
) -> SparseProbes:
    """Choose, fit and evaluate: everything after the forward pass."""
    import pandas as pd

    ks = _checked(ks)
    there, known = set(words["emotion"]), set(words["language"])
    emotions = [e for e in concepts.emotions if e in there]
    rows: list[dict[str, Any]] = []
    dense_rows: list[dict[str, Any]] = []
    vectors: dict[tuple[int, str, str, int], np.ndarray] = {}
    for site, reading in readings.items():
        for language in (lang for lang in concepts.languages if lang in known):
            halves = _Halves(words, language, emotions, reading)
            head = {"layer": site.layer, "site": site.hook_name, "language": language}
            cleaner = dense_cleaner(halves.dense, halves.codes, halves.neutral)
            for i, emotion in enumerate(emotions):
                if not (halves.codes == i).any() or not (halves.codes2 == i).any():
                    continue
                own = head | {"emotion": emotion}
                for row in _sparse(halves, i, ks):
                    weights = np.asarray(row["weights"], dtype=np.float64)
                    decoder = subject.readers[site].decoder_rows(row["features"]).double().cpu().numpy()
                    vectors[site.layer, language, emotion, row["k"]] = weights @ decoder
                    rows.append(own | row)
                dense_rows.append(own | _dense(halves, i, cleaner, seed))
    sites = {site.layer: site for site in readings}
    return SparseProbes(pd.DataFrame(rows), pd.DataFrame(dense_rows), vectors, sites)


class _Halves:
    """One site and language: activations, classes and groups of both halves."""

    def __init__(self, words: pd.DataFrame, language: str, emotions: list[str], reading: SiteReadings) -> None:
        here: Any = words[words["language"] == language]
        self.neutral = len(emotions) if (here["emotion"] == NEUTRAL).any() else None
        self.n_classes = len(emotions) + (self.neutral is not None)
        index = {e: i for i, e in enumerate(emotions)} | {NEUTRAL: len(emotions)}
        assert reading.features is not None
        first, second = (here[here["side"] == side] for side in ("discovery", "confirmation"))
        self.codes, self.codes2 = (half["emotion"].map(index).to_numpy() for half in (first, second))
        self.groups = first["group"].to_numpy()
        found: Any = reading.features[first["unit"].to_numpy()]
        held: Any = reading.features[second["unit"].to_numpy()]
        # only features that fire on the discovery half can be chosen there
        self.alive = np.flatnonzero(np.asarray((found > 0).sum(0)).ravel())
        self.values = found[:, self.alive].toarray().astype(np.float64)
        self.values2 = held[:, self.alive].toarray().astype(np.float64)
        self.dense = reading.dense[first["unit"].to_numpy()].astype(np.float64)
        self.dense2 = reading.dense[second["unit"].to_numpy()].astype(np.float64)

    def auroc(self, scores: np.ndarray, target: int, held_out: bool) -> np.ndarray:
        """Composite AUROC of scores [word, probe] on one half: [probe]."""
        codes = self.codes2 if held_out else self.codes
        return composite_auroc(pairwise_auroc(scores, codes, target, self.n_classes), target, self.neutral)


def _sparse(halves: _Halves, target: int, ks: Sequence[int]) -> Iterable[dict[str, Any]]:
    if not len(halves.alive):
        raise EmotionInterpError("no latent fires on the discovery half; the SAE is dead here or belongs elsewhere.")
    single = halves.auroc(halves.values, target, held_out=False)
    order = np.argsort(-single, kind="stable")[: max(ks)]
    sample = balanced_weights(halves.codes, target, halves.neutral)
    for k in ks:
        chosen = order[:k]
        weights = logistic_weights(halves.values[:, chosen], halves.codes == target, sample)
        scores = [v[:, chosen] @ weights for v in (halves.values, halves.values2)]
        yield {
            "k": k,
            "n_features": len(chosen),
            "auroc": halves.auroc(scores[0][:, None], target, held_out=False)[0],
            "auroc_heldout": halves.auroc(scores[1][:, None], target, held_out=True)[0],
            "features": tuple(halves.alive[chosen].tolist()),
            "weights": tuple(weights.tolist()),
            "n_words": int((halves.codes2 == target).sum()),
        }


def _dense(halves: _Halves, target: int, cleaner: Callable[[np.ndarray], np.ndarray], seed: int) -> dict[str, Any]:
    sample = balanced_weights(halves.codes, target, halves.neutral)
    row: dict[str, Any] = {}
    for name, change in (("", lambda x: x), ("_clean", cleaner)):
        found, held = change(halves.dense), change(halves.dense2)
        # the weighted mean of the emotion minus that of the contrast is the difference of means of `dense`
        signed = np.where(halves.codes == target, sample, -sample)
        means = signed @ found
        probe, penalty = cross_validated_ridge(
            found, halves.codes, target, halves.neutral, halves.n_classes, halves.groups, seed
        )
        scores = np.column_stack([held @ means, held @ probe])
        row[f"means{name}_auroc"], row[f"probe{name}_auroc"] = halves.auroc(scores, target, held_out=True)
        row[f"penalty{name}"] = penalty
    return row | {"n_words": int((halves.codes2 == target).sum())}


def _checked(ks: Sequence[int]) -> list[int]:
    good = [k for k in ks if isinstance(k, (int, np.integer)) and not isinstance(k, bool) and k >= 1]
    if not good or len(good) < len(list(ks)):
        raise EmotionInterpError(f"ks are sizes of feature sets, whole numbers from 1; got {list(ks)!r}.")
    return sorted({int(k) for k in good})
