"""Features found with words tested on texts, and the other way round: which of them carry their emotion there too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np
import pandas as pd

from emotion_interp.activations.columns import read_columns
from emotion_interp.activations.reading import POSITIONS
from emotion_interp.bank.files import KEYS
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.concepts.scenes import SCENE_LANGUAGES, scene_stimuli
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.frames import rows_where
from emotion_interp.core.options import merged
from emotion_interp.core.result import Result
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.features.block import NEUTRAL
from emotion_interp.features.design import KINDS, _design, design_stimuli, text_hash
from emotion_interp.features.options import TransferChoices, TransferOptions
from emotion_interp.features.retest import chosen_rows, columns_of
from emotion_interp.figures import series_curves
from emotion_interp.stats.corrections import holm
from emotion_interp.stats.firing import fires_on_units
from emotion_interp.stats.scores import bootstrap_composite, composite_auroc, fisher_enrichment, pairwise_auroc

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from emotion_interp.activations import SiteReadings
    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.subjects import Subject

MIN_UNITS = 5
"""An emotion with fewer words or texts is not tested, and is no contrast either."""


@dataclass(frozen=True, eq=False, repr=False)
class Transfer(Result):
    """Features of a bank on other stimuli, one row per feature x emotion x layer x language; see `transfer`.

    n_skipped: texts left out because the bank was found on them.
    """

    tested_on: str
    frame: pd.DataFrame
    n_skipped: int = 0

    COLUMNS = (
        *("layer", "site", "language", "emotion", "feature", "tested_on", "auroc_found", "auroc", "lo", "hi", "p_holm"),
        "transfers",
    )

    def add_to(self, bank: FeatureBank) -> FeatureBank:
        """The bank with these rows in its table "transfer"; rows tested on other stimuli stay, older ones of these go."""
        held = bank.extras.get("transfer")
        if held is None:
            return bank.with_table("transfer", self.frame)
        others = rows_where(held, held["tested_on"] != self.tested_on)
        return bank.with_table("transfer", pd.concat([others, self.frame], ignore_index=True))

    def by_layer(self) -> pd.DataFrame:
        """Per site and language: tested features, those that transfer, and the median AUROC of the top features."""
        rows = []
        groups = self.frame.groupby(["site", "language"], sort=True)
        for (site, language), group in groups:
            top, selected = group[group["top"]], group[group["selected"]]
            rows.append(
                {
                    "site": site,
                    "language": language,
                    "top": len(top),
                    "top_transfer": int(top["transfers"].sum()),
                    "median_auroc_top": float(top["auroc"].median()) if len(top) else float("nan"),
                    "selected": len(selected),
                    "selected_transfer": int(selected["transfers"].sum()),
                    "median_auroc_selected": float(selected["auroc"].median()) if len(selected) else float("nan"),
                }
            )
        return pd.DataFrame(rows)

    def plot(self) -> go.Figure:
        """Median AUROC of the top features and of all selected ones over the layers."""
        table = self.by_layer()
        table.insert(0, "layer", [Site.parse(site).layer for site in table["site"]])
        values = {"median_auroc_top": "top features", "median_auroc_selected": "selected features"}
        rows = table.rename(columns=values).melt(["layer", "site", "language"], list(values.values()), "of", "auroc")
        texts = {"title": f"Features tested on {self.tested_on}, by layer", "y_title": "median AUROC"}
        return series_curves(rows, "auroc", ("of", "language", "site"), **texts)

    def __repr__(self) -> str:
        return f"Transfer(tested_on={self.tested_on!r}, {int(self.frame['transfers'].to_numpy().sum())} of {len(self.frame)} features)"


@checked
def transfer(
    subject: Subject,
    concepts: ConceptSet,
    bank: FeatureBank,
    stimuli: str | Sequence[Stimulus] | None = None,
    *,
    rows: str = "kept",
    seed: int = 0,
    options: TransferOptions | None = None,
    **choices: Unpack[TransferChoices],
) -> Transfer:
    """Test the features that a bank fixed on stimuli of another kind, all of which are new to it.

    Per feature: composite AUROC (half against neutral, half the mean against each other emotion) with a 95% percentile
    interval over units resampled within each class, and the one-sided Fisher exact p of fires / silent units. A word
    fires where the feature is active in at least half of its carriers, a text where it lies above the feature's upper
    quartile over all texts of the language. `transfers`: p after Holm below .05, over the top features (one per
    emotion) of a layer and language; a selected feature that is not the top one has Holm over all rows there.

    Args:
        subject: the bank's subject.
        concepts: concept set with the bank's emotions.
        bank: features to test.
        stimuli: "words", "scenes", or labelled texts (`concepts.labelled_stimuli`, `concepts.corpus_stimuli`); default:
            words for a bank found on texts, scenes for one found on words. Emotions the bank does not have are left out.
        rows: "kept" (selected and top features), "top", or "all".
        seed: of the bootstrap.
        options: what the stimuli are called and which are skipped, the bootstrap, and which tokens are read (default: the
            "last" token of a word, the mean of a "text" after as many tokens as the bank left out).
        **choices: fields of `TransferOptions`, by keyword.

    Raises:
        EmotionInterpError: another subject, the very stimuli the bank was found on, or too few texts.
        UnknownNameError: another kind of stimuli, or a text with an emotion that the concepts do not have.

    Example:
        >>> result = transfer(subject, concepts, bank, corpus_stimuli("goemotions", limit=200))  # doctest: +SKIP
        >>> bank = result.add_to(bank)  # doctest: +SKIP
    """
    require_same_subject(bank, subject)
    chosen = merged(TransferOptions, options, choices)
    if chosen.position not in (None, *POSITIONS):
        raise UnknownNameError("position", chosen.position, POSITIONS)
    frame = chosen_rows(bank, rows)
    if stimuli is None:
        stimuli = "scenes" if bank.manifest["stimuli"] == "words" else "words"
    shown, skipped = _new_stimuli(concepts, bank, stimuli, chosen.found_on)
    texts = all(s.span == (0, len(s.text)) for s in shown)
    name = chosen.tested_on or (stimuli if isinstance(stimuli, str) else "texts" if texts else "words")
    design = _design("texts" if texts else "words", shown, {s.group: "test" for s in shown})
    readings = read_columns(
        subject,
        shown,
        design.units,
        columns_of(frame),
        token_units=(),
        options=chosen.reading("text" if texts else "last", int(bank.manifest.get("skip", 8))),
    )
    result = transfer_from_readings(
        frame, design.words, readings.sites, name, kind=design.kind, n_resamples=chosen.n_resamples, seed=seed
    )
    return Transfer(name, result.frame, skipped)


def transfer_from_readings(
    features: pd.DataFrame,
    units: pd.DataFrame,
    readings: dict[Site, SiteReadings],
    tested_on: str,
    *,
    kind: str,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Transfer:
    """All tests, after the forward pass.

    Args:
        features: rows to test: `KEYS`, and auroc, selected, top.
        units: unit, language, emotion of each row of the readings.
        readings: activations per unit.
        tested_on: name of the stimuli.
        kind: "words", or texts: decides when a unit fires.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        EmotionInterpError: no emotion of the features has enough units.
    """
    parts = []
    groups = features.groupby(["site", "language"], sort=False)
    for (site_name, language), rows in groups:
        site = Site.parse(site_name)
        spoken = rows_where(units, units["language"] == language)
        sizes = spoken["emotion"].value_counts()
        usable = sorted(e for e in sizes.index[sizes >= MIN_UNITS] if e != NEUTRAL)
        rows = rows[rows["emotion"].isin(usable)]
        neutral = len(usable) if sizes.get(NEUTRAL, 0) >= MIN_UNITS else None
        if rows.empty or len(usable) + (neutral is not None) < 2:
            continue
        spoken = spoken[spoken["emotion"].isin([*usable, NEUTRAL] if neutral is not None else usable)]
        parts.append(_test(rows, spoken, usable, neutral, readings[site], kind, n_resamples, seed))
    if not parts:
        raise EmotionInterpError(
            f"no emotion of these features has {MIN_UNITS} units and a contrast in its language; "
            f"the stimuli have {units.groupby(['language', 'emotion']).size().to_dict()}."
        )
    frame = pd.concat(parts, ignore_index=True)
    frame.insert(len(KEYS), "tested_on", tested_on)
    return Transfer(tested_on, frame)


def _test(
    rows: pd.DataFrame,
    units: pd.DataFrame,
    emotions: list[str],
    neutral: int | None,
    reading: SiteReadings,
    kind: str,
    n_resamples: int,
    seed: int,
) -> pd.DataFrame:
    """One site and language."""
    unit = units["unit"].to_numpy()
    n_classes = len(emotions) + (neutral is not None)
    index = {e: i for i, e in enumerate(emotions)} | {NEUTRAL: len(emotions)}
    codes = np.asarray([index[e] for e in units["emotion"]])
    assert reading.features is not None and reading.fired is not None
    ids, place = np.unique(rows["feature"].to_numpy(), return_inverse=True)
    fired = fires_on_units(reading.features, reading.fired, unit, kind == "words")
    fired = fired[unit][:, ids]
    values = reading.features[unit][:, ids].toarray().astype(np.float64)
    p = fisher_enrichment(fired, codes, n_classes)
    frame = rows[[*KEYS, "selected", "top"]].reset_index(drop=True)
    frame["auroc_found"] = rows["auroc"].to_numpy()
    target = np.asarray([index[e] for e in rows["emotion"]])
    scores, low, high, coverage = (np.full(len(rows), np.nan) for _ in range(4))
    for i in np.unique(target):
        mine = np.flatnonzero(target == i)
        scores[mine] = composite_auroc(pairwise_auroc(values[:, place[mine]], codes, i, n_classes), i, neutral)
        coverage[mine] = np.asarray(fired[codes == i][:, place[mine]].mean(0)).ravel()
        for row in mine:
            rng = generator(seed, "transfer", *frame.loc[row, list(KEYS)])
            low[row], high[row] = bootstrap_composite(
                values[:, place[row]], codes, int(i), neutral, n_classes, rng, n_resamples
            )
    top = rows["top"].to_numpy(dtype=bool)
    raw = p[target, place]
    # one family per claim: "the top features transfer", and "the features that were kept transfer"
    adjusted = np.where(top, holm(np.where(top, raw, np.nan)), holm(raw))
    return frame.assign(
        auroc=scores,
        lo=low,
        hi=high,
        p=raw,
        p_holm=adjusted,
        transfers=adjusted < 0.05,
        coverage=coverage,
        n_units=np.bincount(codes, minlength=n_classes)[target],
    )


def _new_stimuli(
    concepts: ConceptSet, bank: FeatureBank, stimuli: str | Sequence[Stimulus], found_on: Iterable[Stimulus] | None
) -> tuple[list[Stimulus], int]:
    """Stimuli of the bank's languages and emotions that it was not found on, and how many were left out for that."""
    found_kind = bank.manifest["stimuli"]
    if isinstance(stimuli, str):
        if stimuli not in KINDS:
            raise UnknownNameError("kind of stimuli", stimuli, KINDS)
        if stimuli == found_kind:
            raise EmotionInterpError(
                f"the bank was found on {stimuli}; its confirmation half (bank.summary) is the test on them. "
                f"Give stimuli of another kind: {', '.join(k for k in KINDS if k != stimuli)}, or labelled texts."
            )
        given = _shipped(concepts, bank, stimuli)
    else:
        given = list(stimuli)
        known = {*concepts.emotions, *bank.emotions, NEUTRAL}
        for stimulus in given:
            if stimulus.emotion not in known:
                raise UnknownNameError("emotion of a text", stimulus.emotion, sorted(known))
        if found_kind == "texts" and found_on is None and "text_sha256" not in bank.words:
            raise EmotionInterpError(
                "the bank was found on texts of your own; pass them as found_on=, so that none of them is tested again."
            )
    seen = {text_hash(s.text) for s in found_on or ()}
    if found_kind in KINDS:
        seen |= {text_hash(s.text) for s in _shipped(concepts, bank, found_kind)}
    elif "text_sha256" in bank.words:
        seen |= set(bank.words["text_sha256"])
    wanted = [s for s in given if s.language in bank.languages and s.emotion in {*bank.emotions, NEUTRAL}]
    unseen = [s for s in wanted if text_hash(s.text) not in seen]
    if not unseen:
        raise EmotionInterpError(
            f"nothing is left to test on: of {len(given)} stimuli {len(wanted)} have a language and emotion of the bank "
            f"({', '.join(bank.languages)}), and the bank was found on {len(wanted) - len(unseen)} of those."
        )
    return unseen, len(wanted) - len(unseen)


def _shipped(concepts: ConceptSet, bank: FeatureBank, kind: str) -> list[Stimulus]:
    if kind == "words":
        return design_stimuli(concepts, "words", int(bank.manifest["seed"])).stimuli

    return scene_stimuli([x for x in bank.languages if x in SCENE_LANGUAGES])
