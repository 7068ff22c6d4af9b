"""What "confirmed" means: the held-out half knows the feature, it is of this emotion alone, and its layer was fixed before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.activations.columns import read_columns
from emotion_interp.bank.confirmation import COLUMNS, decide, decided
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.frames import rows_where
from emotion_interp.core.progress import Progress
from emotion_interp.core.types import Site
from emotion_interp.features.retest import design_of
from emotion_interp.features.specific import PERMUTATIONS, specificity_test
from emotion_interp.stats.firing import LEVEL
from emotion_interp.stats.scores import fisher_enrichment

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.core.types import Stimulus
    from emotion_interp.subjects import Subject


@checked
def with_confirmation(bank: FeatureBank, concepts: ConceptSet, *, n_permutations: int = PERMUTATIONS) -> FeatureBank:
    """A bank whose top features are confirmed by two tests on the held-out half: they answer, and to their emotion alone.

    `find_features` does this; call it for a bank of an earlier version. Nothing is read again and no other number changes.
    Columns of the summary:

    - held_out_specificity: smallest pairwise AUROC over emotions that are no siblings, and `rival`, the emotion it is against;
    - p_specificity: its permutation p, the largest over those emotions (`specific.specificity_test`; labels are exchanged
      within a pair, by groups of words or texts);
    - p_confirmed: the larger of p_heldout (Fisher, fires / silent) and p_specificity, Holm over the selected emotions of a
      layer and language;
    - layer_fixed: the layer of the language that was fixed on the discovery half (`confirmation.fix_layers`);
    - confirmed: p_confirmed < .05 at that layer;
    - confirmed_uncorrected: p_confirmed < .05 at this layer for itself, not corrected over layers.

    Args:
        bank: with activations per unit, as every bank has them.
        concepts: those the bank was found with; they declare the siblings.
        n_permutations: labellings of each pair of emotions.

    Raises:
        EmotionInterpError: other concepts than those of the bank.

    Example:
        >>> bank = with_confirmation(ei.FeatureBank.load("old"), ei.concept_set("en"))  # doctest: +SKIP
    """
    # of a merged bank the manifest keeps the first part's concepts
    if "merged" not in bank.manifest and concepts.sha256 != bank.manifest.get("concepts_sha256"):
        raise EmotionInterpError(
            f"these concepts ({', '.join(concepts.languages)}) are not those the bank was found with, so their siblings may "
            f"be others. Pass the concept set of the languages {', '.join(bank.languages)}."
        )
    emotions = bank.emotions
    siblings = {e: {emotions.index(s) for s in concepts.siblings(e) if s in emotions} for e in emotions}
    summary = bank.summary.reset_index(drop=True)
    columns = {"held_out_specificity": np.full(len(summary), np.nan), "p_specificity": np.full(len(summary), np.nan)}
    rival: list[str | None] = [None] * len(summary)
    for language in bank.languages:
        words = bank.words
        held = ((words["language"] == language) & (words["side"] == "confirmation")).to_numpy()
        units = words[held]
        rows = np.flatnonzero((summary["language"] == language).to_numpy())
        if not len(rows) or units.empty:
            continue
        codes = units["emotion"].map({e: i for i, e in enumerate([*emotions, "neutral"])}).to_numpy()
        values = np.empty((len(units), len(rows)))
        sites = summary["site"].to_numpy()[rows]
        for site in dict.fromkeys(sites):
            at_site = np.flatnonzero(sites == site)
            values[:, at_site] = _activations_of(bank, str(site), summary["feature"].to_numpy()[rows[at_site]])[held]
        targets = [emotions.index(e) for e in summary["emotion"].to_numpy()[rows]]
        tested = specificity_test(
            values,
            targets,
            codes,
            units["group"].to_numpy(),
            emotions,
            siblings,
            n_permutations=n_permutations,
            seed=int(bank.manifest.get("seed", 0)),
        )
        columns["held_out_specificity"][rows], columns["p_specificity"][rows] = tested[:2]
        for row, name in zip(rows, tested[2], strict=True):
            rival[row] = name
    summary = summary.drop(columns=[c for c in (*COLUMNS, "confirmed") if c in summary])
    summary = summary.assign(rival=np.asarray(rival, dtype=object), **columns)
    return replace(bank, summary=decided(summary))


def _activations_of(bank: FeatureBank, site: str, features: np.ndarray) -> np.ndarray:
    """Activations of some features [unit, feature] at a site; of the long table nothing else is copied."""
    table = bank.activations
    wanted = np.unique(features)
    places = np.flatnonzero((table["site"] == site).to_numpy() & np.isin(table["feature"].to_numpy(), wanted))
    values = np.zeros((len(bank.words), len(wanted)))
    columns = np.searchsorted(wanted, table["feature"].to_numpy()[places])
    values[table["unit"].to_numpy()[places], columns] = table["activation"].to_numpy()[places]
    return values[:, np.searchsorted(wanted, features)]


def confirmed_sets(
    frame: pd.DataFrame,
    scores: dict[str, list[np.ndarray]],
    words: pd.DataFrame,
    emotions: list[str],
    siblings: dict[str, set[int]],
    seed: int,
    n_permutations: int = PERMUTATIONS,
) -> pd.DataFrame:
    """The table of probes with both held-out tests of their decision values; columns: `SparseProbes.to_frame`.

    Args:
        frame: one row per site, language, emotion and k, with `auroc` on the discovery half.
        scores: per language the decision values on its confirmation half, in the order of its rows.
        words: the units.
        emotions: names, and per emotion the indices that are not tested against.
        siblings: names, and per emotion the indices that are not tested against.
        seed: of the labellings.
        n_permutations: labellings of each pair of emotions.
    """
    n = len(frame)
    columns: dict[str, np.ndarray] = {
        c: np.full(n, np.nan) for c in ("p_heldout", "held_out_specificity", "p_specificity")
    }
    rival, fixed = np.full(n, None, dtype=object), np.zeros(n, dtype=bool)
    for language, of_language in scores.items():
        held_words = rows_where(words, (words["language"] == language) & (words["side"] == "confirmation"))
        rows = np.flatnonzero((frame["language"] == language).to_numpy())
        codes = held_words["emotion"].map({e: i for i, e in enumerate([*emotions, "neutral"])}).to_numpy()
        values = np.column_stack(of_language)
        targets = np.asarray([emotions.index(e) for e in frame["emotion"].to_numpy()[rows]])
        # the threshold knows no label, so the exact test stays exact
        above = values > np.quantile(values, LEVEL, axis=0)
        p = fisher_enrichment(above, codes, len(emotions) + 1)
        columns["p_heldout"][rows] = p[targets, np.arange(len(rows))]
        groups = held_words["group"].to_numpy()
        tested = specificity_test(
            values, targets, codes, groups, emotions, siblings, n_permutations=n_permutations, seed=seed
        )
        columns["held_out_specificity"][rows], columns["p_specificity"][rows] = tested[:2]
        rival[rows] = tested[2]
        part = frame.iloc[rows]
        medians = part.groupby(["layer", "site", "k"])["auroc"].median().groupby(["layer", "site"]).mean()
        fixed[rows] = (part["site"] == medians.idxmax()[1]).to_numpy()
    frame = frame.assign(rival=rival, **columns)
    return decide(frame, np.ones(n, dtype=bool), fixed, ["language", "site", "k"])


def with_confirmed_sets(
    subject: Subject,
    concepts: ConceptSet,
    bank: FeatureBank,
    stimuli: str | Sequence[Stimulus] | None = None,
    *,
    n_permutations: int = PERMUTATIONS,
    batch_tokens: int = 2048,
    progress: Progress = None,
) -> FeatureBank:
    """A bank whose table "probes" says which sets are confirmed; for banks of an earlier version, nothing is fitted again.

    The features of the sets are read on the confirmation half; `sparse_probes` does the same while it fits.

    Args:
        subject: those of the bank.
        concepts: those of the bank.
        bank: with a table "probes".
        stimuli: of a bank found on texts of your own, those texts.
        n_permutations: labellings of each pair of emotions.
        batch_tokens: as in `find_features`.
        progress: as in `find_features`.

    Raises:
        EmotionInterpError: no probes, another subject, or other concepts or texts than those of the bank.
    """
    require_same_subject(bank, subject)
    if "probes" not in bank.extras:
        raise EmotionInterpError(
            "the bank has no probes; fit them first: bank = sparse_probes(subject, ...).add_to(bank)."
        )
    words, shown, units = design_of(concepts, bank, stimuli)
    frame = bank.extras["probes"].reset_index(drop=True)
    frame = frame.drop(columns=[c for c in (*COLUMNS, "confirmed", "p_heldout") if c in frame])
    columns = {
        Site.parse(str(name)): np.unique(
            np.concatenate([np.asarray(unit_words, dtype=np.int64) for unit_words in rows["features"]])
        )
        for name, rows in frame.groupby("site", sort=True)
    }
    held = (words["side"] == "confirmation").to_numpy()
    keep = np.flatnonzero(held[units])
    readings = read_columns(
        subject,
        [shown[i] for i in keep],
        units[keep],
        columns,
        position=bank.manifest["position"],
        skip=int(bank.manifest.get("skip", 8)),
        token_units=(),
        batch_tokens=batch_tokens,
        progress=progress,
    ).sites
    scores: dict[str, list[np.ndarray]] = {}
    for row in frame.to_dict("records"):
        unit_words = rows_where(words, held & np.asarray(words["language"] == row["language"]))
        features = readings[Site.parse(row["site"])].features
        assert features is not None
        values = features[unit_words["unit"].to_numpy()][:, np.asarray(row["features"], dtype=np.int64)].toarray()
        scores.setdefault(row["language"], []).append(
            values.astype(np.float64) @ np.asarray(row["weights"], dtype=np.float64)
        )
    emotions = bank.emotions
    siblings = {e: {emotions.index(s) for s in concepts.siblings(e) if s in emotions} for e in emotions}
    seed = int(bank.manifest.get("seed", 0))
    return bank.with_table("probes", confirmed_sets(frame, scores, words, emotions, siblings, seed, n_permutations))
