"""Find the emotion features of a subject: one pass, tests on the discovery half, confirmation on words never seen."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.features.bank import FeatureBank
from emotion_interp.features.dense import contrast_means, neutral_components, project_out
from emotion_interp.features.scores import (
    bootstrap_composite,
    composite_auroc,
    fisher_enrichment,
    holm,
    pairwise_auroc,
    specificity,
    standardised_mean_difference,
)

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.activations import SiteReadings
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.subjects import Subject

NEUTRAL = "neutral"


@dataclass(frozen=True)
class Selection:
    """Thresholds of the discovery half; ours, since the paper's are not public.

    max_q: Benjamini-Hochberg level; min_coverage: share of the emotion's words a feature fires on;
    min_specificity: smallest pairwise AUROC against an emotion that is no sibling; max_features: kept per emotion.
    """

    max_q: float = 0.05
    min_coverage: float = 0.2
    min_specificity: float = 0.5
    max_features: int = 16


def find_features(
    subject: Subject,
    concepts: ConceptSet,
    layers: Iterable[int] | None = None,
    *,
    position: str = "last",
    selection: Selection = Selection(),
    seed: int = 0,
    batch_tokens: int = 4096,
    progress: Callable[[int], None] | None = None,
) -> FeatureBank:
    """Find, at every layer and in every language, the SAE features that carry each emotion.

    Words are split by alignment id and lemma, and templates are split too: discovery words are read in one half of the
    carriers, confirmation words in the other. p is the one-sided Fisher exact test on fires / silent words; q comes from
    one Benjamini-Hochberg family over living features x emotions x layers x languages. The top feature of an emotion is
    fixed on the discovery half; the confirmation half only reports.

    Args:
        subject: model with SAEs.
        concepts: concept sets of one or several languages.
        layers: default: every layer with an SAE.
        position: which tokens of a stimulus are read; see `activations.read_units`.
        selection: thresholds.
        seed: of the split and the bootstrap.
        batch_tokens: padded tokens of one forward pass.
        progress: receives the number of stimuli of each batch.

    Raises:
        EmotionInterpError: the subject has no SAE, or a word becomes no token.
        UnknownNameError: a layer without an SAE.

    Example:
        >>> import emotion_interp as ei
        >>> bank = ei.find_features(ei.load_subject(), ei.concept_set("en"))  # doctest: +SKIP
    """
    from emotion_interp.activations import read_stimuli

    if not subject.sites:
        raise EmotionInterpError(
            f"{subject.name} has no SAE; pass saes= to load_subject or train some with train-saes."
        )
    wanted = subject.sites if layers is None else [subject.site(layer) for layer in sorted(set(layers))]
    for site in wanted:
        if site not in subject.readers:
            from emotion_interp.core.errors import UnknownNameError

            raise UnknownNameError("SAE layer", site.layer, subject.layers)
    words, stimuli, units = split_stimuli(concepts, seed)
    readings = read_stimuli(
        subject, stimuli, units, sites=wanted, position=position, batch_tokens=batch_tokens, progress=progress
    )
    return bank_from_readings(subject, concepts, words, readings, position=position, selection=selection, seed=seed)


def split_stimuli(concepts: ConceptSet, seed: int) -> tuple[pd.DataFrame, list[Any], np.ndarray]:
    """Units (words frame), the stimuli that are read, and the unit of each stimulus."""
    import pandas as pd

    sides = concepts.split(seed=seed)
    halves: dict[tuple[str, str], str] = {}
    for language in concepts.languages:
        # discovery words meet the even carriers, confirmation words the odd ones; one carrier alone serves both
        names = list(concepts.templates(language))
        for i, name in enumerate(names):
            halves[language, name] = "both" if len(names) == 1 else ("discovery", "confirmation")[i % 2]
    rows: dict[tuple[str, str, str], int] = {}
    table, kept, units = [], [], []
    for stimulus in concepts.stimuli():
        side = sides[stimulus.group]
        if halves[stimulus.language, stimulus.template] not in (side, "both"):
            continue
        key = (stimulus.language, stimulus.emotion, stimulus.word)
        if key not in rows:
            rows[key] = len(table)
            table.append((len(table), *key, stimulus.group, side))
        kept.append(stimulus)
        units.append(rows[key])
    frame = pd.DataFrame(table, columns=["unit", "language", "emotion", "word", "group", "side"])
    return frame, kept, np.asarray(units, dtype=np.int64)


def bank_from_readings(
    subject: Subject,
    concepts: ConceptSet,
    words: pd.DataFrame,
    readings: dict[Site, SiteReadings],
    *,
    position: str,
    selection: Selection,
    seed: int,
) -> FeatureBank:
    """Test, select and confirm: everything after the forward pass."""
    import pandas as pd
    from scipy.stats import false_discovery_control

    emotions = list(concepts.emotions)
    languages = list(concepts.languages)
    blocks = []
    for site, reading in readings.items():
        assert reading.features is not None and reading.fired is not None
        for language in languages:
            blocks.append(_Block(site, language, reading, words, emotions))
    for block in blocks:
        if not block.alive.any():
            raise EmotionInterpError(
                f"no latent of the SAE at {block.site} fires on any concept word in {block.language!r}. "
                "It is dead here, or it belongs to another model or site."
            )
    # one family over everything that could have been found
    q = false_discovery_control(np.concatenate([b.p[:, b.alive].ravel() for b in blocks]), method="bh")
    start = 0
    for block in blocks:
        size = block.p[:, block.alive].size
        block.q[:, block.alive] = q[start : start + size].reshape(len(emotions), -1)
        start += size
    siblings = {e: {emotions.index(s) for s in concepts.siblings(e) if s in emotions} for e in emotions}
    frames, summaries, directions = [], [], {}
    for block in blocks:
        frame = block.score(selection, siblings)
        frames.append(frame)
        reader = subject.readers[block.site]
        vectors = block.directions(frame, reader)
        directions.update({f"{block.site.hook_name}|{block.language}|{k}": v for k, v in vectors.items()})
        summaries.append(block.confirm(frame, vectors, generator(seed, "confirm", block.site, block.language)))
    features = pd.concat(frames, ignore_index=True)
    manifest = {
        "subject": subject.name,
        "provenance": subject.provenance,
        "saes": [subject.readers[s].provenance() for s in readings],
        "d_sae": {s.hook_name: subject.readers[s].d_sae for s in readings},
        "emotions": emotions,
        "languages": languages,
        "labels": {lang: {e: concepts.label(e, lang) for e in emotions} for lang in languages},
        "concepts_sha256": concepts.sha256,
        "position": position,
        "seed": seed,
        "selection": asdict(selection),
        "n_tested": len(q),
        "n_alive": {f"{b.site.hook_name}|{b.language}": int(b.alive.sum()) for b in blocks},
        "versions": {n: metadata.version(n) for n in ("torch", "transformer-lens", "sae-lens", "numpy", "scipy")},
        "python": platform.python_version(),
    }
    scales = {site: reading.scale for site, reading in readings.items()}
    subject.scales.update(scales)
    return FeatureBank(
        features, pd.concat(summaries, ignore_index=True), words, _long(readings, words), directions, scales, manifest
    )


def _long(readings: dict[Site, SiteReadings], words: pd.DataFrame) -> pd.DataFrame:
    """Sparse per-word activations in long form."""
    import pandas as pd

    parts = []
    for site, reading in readings.items():
        assert reading.features is not None and reading.fired is not None
        matrix = reading.features.tocoo()
        parts.append(
            pd.DataFrame(
                {
                    "layer": np.full(matrix.nnz, site.layer, dtype=np.int16),
                    "unit": matrix.row.astype(np.int32),
                    "feature": matrix.col.astype(np.int32),
                    "activation": matrix.data.astype(np.float32),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


class _Block:
    """One site and language: its words, tests and scores."""

    def __init__(
        self, site: Site, language: str, reading: SiteReadings, words: pd.DataFrame, emotions: list[str]
    ) -> None:
        self.site, self.language, self.emotions = site, language, emotions
        here = words[words["language"] == language]
        self.neutral = len(emotions) if (here["emotion"] == NEUTRAL).any() else None
        self.n_classes = len(emotions) + (self.neutral is not None)
        index = {e: i for i, e in enumerate(emotions)} | {NEUTRAL: len(emotions)}
        halves = {}
        for side in ("discovery", "confirmation"):
            rows = here[here["side"] == side]
            unit = rows["unit"].to_numpy()
            codes = rows["emotion"].map(index).to_numpy()
            # a word fires if the feature is active in at least half of its carriers
            halves[side] = (
                codes,
                reading.features[unit],
                reading.fired[unit] >= 0.5,
                reading.dense[unit].astype(np.float64),
            )
        self.codes, self.values, self.fired, self.dense = halves["discovery"]
        self.codes2, self.values2, self.fired2, self.dense2 = halves["confirmation"]
        self.alive = np.asarray(self.fired.sum(0)).ravel() > 0
        self.p = fisher_enrichment(self.fired, self.codes, self.n_classes)[: len(emotions)]
        self.q = np.ones_like(self.p)
        self.rate = np.asarray(self.fired.mean(0)).ravel()

    def score(self, selection: Selection, siblings: dict[str, set[int]]) -> pd.DataFrame:
        """Effect sizes of every feature with p <= .05, the selected ones marked, the top one fixed."""
        import pandas as pd

        frames = []
        for i, emotion in enumerate(self.emotions):
            own = self.codes == i
            if not own.any() or not self.alive.any():
                continue
            chosen = np.flatnonzero(self.alive & (self.p[i] <= 0.05))
            if not len(chosen):
                # the least unlikely feature stands for the emotion, so that its failure shows in the summary
                living = np.flatnonzero(self.alive)
                chosen = living[[int(np.argmin(self.p[i, living]))]]
            values = self.values[:, chosen].toarray().astype(np.float64)
            pairwise = pairwise_auroc(values, self.codes, i, self.n_classes)
            frame = pd.DataFrame(
                {
                    "layer": self.site.layer,
                    "site": self.site.hook_name,
                    "language": self.language,
                    "emotion": emotion,
                    "feature": chosen,
                    "p": self.p[i, chosen],
                    "q": self.q[i, chosen],
                    "auroc": composite_auroc(pairwise, i, self.neutral),
                    "auroc_neutral": np.full(len(chosen), np.nan) if self.neutral is None else pairwise[self.neutral],
                    "specificity": specificity(pairwise, i, siblings[emotion], self.neutral),
                    "coverage": np.asarray(self.fired[own][:, chosen].mean(0)).ravel(),
                    "smd": standardised_mean_difference(values, self.codes, i),
                    "rate": self.rate[chosen],
                    "mean_activation": values[own].mean(0),
                    "n_words": int(own.sum()),
                }
            )
            passed = (
                (frame["q"] <= selection.max_q)
                & (frame["coverage"] >= selection.min_coverage)
                & (frame["specificity"] >= selection.min_specificity)
            )
            order = (
                frame[passed].sort_values(["auroc", "feature"], ascending=[False, True]).index[: selection.max_features]
            )
            frame["selected"] = frame.index.isin(order)
            best = (
                order[:1] if len(order) else frame.sort_values(["auroc", "feature"], ascending=[False, True]).index[:1]
            )
            frame["top"] = frame.index.isin(best)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    def directions(self, frame: pd.DataFrame, reader: Any) -> dict[str, np.ndarray]:
        """Steering vectors from the discovery half: dense, dense without neutral components, and SAE decoder sums."""
        dense = np.nan_to_num(
            contrast_means(self.dense, self.codes, self.n_classes, self.neutral)[: len(self.emotions)]
        )
        clean = dense
        if self.neutral is not None:
            clean = project_out(dense, neutral_components(self.dense[self.codes == self.neutral]))
        contrast = contrast_means(self.values.toarray(), self.codes, self.n_classes, self.neutral)
        sae = np.zeros((len(self.emotions), reader.d_in))
        for i, emotion in enumerate(self.emotions):
            rows = frame[(frame["emotion"] == emotion) & frame["selected"]]
            if rows.empty:
                # nothing passed: the fixed top feature stands in, and the summary says that it was not selected
                rows = frame[(frame["emotion"] == emotion) & frame["top"]]
            if not rows.empty:
                ids = rows["feature"].to_numpy()
                weights = np.maximum(contrast[i, ids], 0.0)
                sae[i] = weights @ reader.decoder_rows(ids).double().cpu().numpy()
        return {"dense": dense, "dense_clean": clean, "sae": sae}

    def confirm(self, frame: pd.DataFrame, vectors: dict[str, np.ndarray], rng: np.random.Generator) -> pd.DataFrame:
        """Held-out figures of each emotion's fixed top feature, with the dense directions beside them."""
        import pandas as pd

        p2 = fisher_enrichment(self.fired2, self.codes2, self.n_classes)
        rows = []
        for i, emotion in enumerate(self.emotions):
            top = frame[(frame["emotion"] == emotion) & frame["top"]]
            own = int((self.codes2 == i).sum())
            if top.empty or not own:
                continue
            row = top.iloc[0]
            feature = int(row["feature"])
            values = self.values2[:, [feature]].toarray().astype(np.float64)
            held = composite_auroc(pairwise_auroc(values, self.codes2, i, self.n_classes), i, self.neutral)[0]
            low, high = bootstrap_composite(values[:, 0], self.codes2, i, self.neutral, self.n_classes, rng)
            dense = {
                f"{kind}_auroc": composite_auroc(
                    pairwise_auroc((self.dense2 @ vectors[kind][i])[:, None], self.codes2, i, self.n_classes),
                    i,
                    self.neutral,
                )[0]
                for kind in ("dense", "dense_clean")
            }
            rows.append(
                {
                    "layer": self.site.layer,
                    "site": self.site.hook_name,
                    "language": self.language,
                    "emotion": emotion,
                    "feature": feature,
                    "selected": bool(row["selected"]),
                    "n_selected": int((frame["selected"] & (frame["emotion"] == emotion)).sum()),
                    "q": row["q"],
                    "auroc": row["auroc"],
                    "coverage": row["coverage"],
                    "specificity": row["specificity"],
                    "auroc_heldout": held,
                    "lo": low,
                    "hi": high,
                    "shrinkage": row["auroc"] - held,
                    "p_heldout": p2[i, feature],
                    "coverage_heldout": float(self.fired2[self.codes2 == i][:, [feature]].mean()),
                    **dense,
                    "n_words": own,
                }
            )
        summary = pd.DataFrame(rows)
        # only a feature that was selected can be confirmed; Holm runs over the emotions of this layer and language
        tested = np.where(summary["selected"], summary["p_heldout"], np.nan)
        summary["p_holm"] = holm(tested)
        summary["confirmed"] = (summary["p_holm"] < 0.05).fillna(False)
        return summary
