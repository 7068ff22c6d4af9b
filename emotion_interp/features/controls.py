"""Controls of emotion features: does a feature answer to the emotion, or to what goes along with it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.activations.columns import read_columns
from emotion_interp.bank.files import KEYS
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.frames import rows_where
from emotion_interp.core.progress import Progress
from emotion_interp.core.result import Result
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.features.block import NEUTRAL
from emotion_interp.features.matched import match_neutral, unit_covariates
from emotion_interp.features.retest import chosen_rows, columns_of, design_of
from emotion_interp.figures import series_curves
from emotion_interp.norms import load_norms
from emotion_interp.stats.adjusted import adjusted_auroc, lower_bound, quantile_strata, rank_correlation
from emotion_interp.stats.corrections import holm
from emotion_interp.stats.firing import fires_on_units
from emotion_interp.stats.scores import fisher_enrichment
from emotion_interp.stats.sparse import Sparse

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from emotion_interp.activations.columns import ColumnReadings
    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.subjects import Subject

LEXICAL_SHARE = 0.5
"""A feature is lexical when more than this share of its activation in the emotion's units comes from one token type."""

SIDE = "confirmation"
"""The half that controls are measured on: features were chosen on the other one."""


@dataclass(frozen=True, eq=False, repr=False)
class FeatureControls(Result):
    """Controls of every feature, one row per feature x emotion x layer x language; see `feature_controls`."""

    frame: pd.DataFrame

    COLUMNS = (
        *("layer", "language", "emotion", "feature", "n_units", "rest_auroc", "matched_auroc", "lexical_token"),
        *("lexical", "valence_only", "positional"),
    )
    TABLE = "controls"

    def by_layer(self) -> pd.DataFrame:
        """`counts`, with the layer's number."""
        counts = self.counts()
        counts.insert(0, "layer", [Site.parse(site).layer for site in counts["site"]])
        return counts

    def plot(self) -> go.Figure:
        """The share of features that each control casts doubt on, over the layers."""
        rows = self.by_layer().melt(["layer", "site", "language", "features"], var_name="control", value_name="of")
        rows["share"] = rows["of"] / rows["features"]
        how = (
            "Lower is better: the share of features in doubt. None: the share that no control doubts, where higher is."
        )
        texts = {"title": "Controls of the features by layer", "how_to_read": how}
        return series_curves(rows, "share", ("control", "language", "site"), **texts)

    def counts(self) -> pd.DataFrame:
        """Features per layer and language, and how many of them each control casts doubt on."""
        flags = ["lexical", "valence_only", "positional"]
        groups = self.frame.groupby(["site", "language"], sort=True)
        counted = groups[flags].sum()
        counted.insert(0, "features", groups.size())
        clear = ~self.frame[flags].any(axis=1)
        counted["none"] = clear.groupby([self.frame["site"], self.frame["language"]]).sum()
        return counted.reset_index()


@checked
def feature_controls(
    subject: Subject,
    concepts: ConceptSet,
    bank: FeatureBank,
    *,
    stimuli: Sequence[Stimulus] | None = None,
    rows: str = "all",
    skip: int | None = None,
    batch_tokens: int = 2048,
    progress: Progress = None,
) -> FeatureControls:
    """Control every feature of a bank for matched neutral words, single tokens, valence and position.

    All figures are of the confirmation half, which chose no feature. Columns beside the keys:

    - n_units, rest_auroc, rest_lo: units of the emotion, and its AUROC against all other units.
    - matched_auroc, matched_p, matched_p_holm, n_matched: against neutral units matched one-to-one in length in tokens
      and log frequency (`match_neutral`, fixed before reading); one-sided Fisher exact p of fires / silent; Holm over
      the selected and top features of the emotion in a layer and language. matched_length_difference,
      matched_frequency_difference: mean difference (emotion - neutral; tokens, Zipf) that remains. Neutral units are
      those of the concept set (or scenes); bring more with `ConceptSet.with_neutral` where differences remain.
    - token_share, lexical_token, n_lemmas, lexical: share of its activation in the emotion's units that comes from its
      most frequent token type (case and spaces aside), that type, and how many of the emotion's lemmas (texts) it fires
      on; lexical where the share is above 0.5, or it fires on one single word.
    - valence_auroc, valence_lo, n_valence, valence_only: against the units of other emotions of the same sign of
      valence (rating of the label in the built-in norms; siblings left out); valence_only where that AUROC is not above
      chance while rest_auroc is: the feature carries good or bad, not this emotion. Missing for unrated labels.
    - position_auroc, position_lo, position_r, positional: covariate-adjusted AUROC against the rest within five
      strata of the place of the last token read, and Spearman's r of activation and that place over the units without
      the emotion; positional where the adjusted AUROC is not above chance while rest_auroc is.

    "Above chance" is a one-sided 95% lower bound (DeLong) above .5, given as *_lo. With few units a control can fail
    for want of power: read the AUROC and its bound beside the flag.

    Args:
        subject: the bank's subject.
        concepts: the concept set the bank was found with.
        bank: features to control.
        stimuli: the labelled texts the bank was found on, if it was found on texts of your own.
        rows: "all" features of the table, or "kept" (selected and top).
        skip: tokens left out at the start of a text; default: as the bank was found.
        batch_tokens: as in `find_features`.
        progress: as in `find_features`.

    Raises:
        EmotionInterpError: another subject, or concepts or stimuli other than the bank's.

    Example:
        >>> controls = feature_controls(subject, concepts, bank)  # doctest: +SKIP
        >>> bank = bank.add(controls)  # doctest: +SKIP
        >>> bank.table("joy", layer=2, selected=True, lexical=False, valence_only=False)  # doctest: +SKIP

    Source: adjusted AUROC: Janes & Pepe (2009), Biometrika 96, 371-382; five strata: Cochran (1968), Biometrics 24,
    295-313; variance: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44, 837-845.
    """
    require_same_subject(bank, subject)
    skip = int(bank.manifest.get("skip", 8)) if skip is None else skip
    frame = chosen_rows(bank, rows)
    words, shown, units = design_of(concepts, bank, stimuli)
    kind, position = bank.manifest["stimuli"], bank.manifest["position"]
    table = unit_covariates(subject, words, shown, units, kind=kind, position=position, skip=skip)
    pairs = match_neutral(table, SIDE)
    side_units = table[(table["side"] == SIDE) & (table["emotion"] != NEUTRAL)]["unit"]
    readings = read_columns(
        subject,
        shown,
        units,
        columns_of(frame),
        position=position,
        skip=skip,
        token_units=side_units.tolist(),
        batch_tokens=batch_tokens,
        progress=progress,
    )
    return controls_from_readings(
        frame,
        table,
        readings,
        pairs,
        kind=kind,
        valence=emotion_valence(concepts, bank.emotions),
        siblings={e: set(concepts.siblings(e)) for e in bank.emotions},
        token_names=token_names(subject, readings),
    )


def controls_from_readings(
    features: pd.DataFrame,
    units: pd.DataFrame,
    readings: ColumnReadings,
    pairs: pd.DataFrame,
    *,
    kind: str,
    valence: Mapping[str, float],
    siblings: Mapping[str, set[str]],
    token_names: Mapping[int, str],
) -> FeatureControls:
    """All controls, after the forward pass.

    Args:
        features: rows to control: `KEYS`, and selected, top.
        units: unit, language, emotion, group, side, and the covariates of `unit_covariates`.
        readings: activations per unit and per token id.
        pairs: matched neutral units, see `match_neutral`.
        kind: "words", or texts: decides when a unit fires.
        valence: emotion -> valence, positive or negative, NaN where unknown.
        siblings: emotion -> emotions left out of the valence control.
        token_names: token id -> type; ids of one type count together.
    """
    parts = []
    groups = features.groupby(["site", "language"], sort=False)
    for (site_name, language), rows in groups:
        site = Site.parse(site_name)
        reading = readings.sites[site]
        spoken = rows_where(units, units["language"] == language)
        if reading.features is None or reading.fired is None:
            raise EmotionInterpError(f"the readings of {site} have no features.")
        fired = fires_on_units(reading.features, reading.fired, spoken["unit"].to_numpy(), kind == "words")
        side_words = spoken[spoken["side"] == SIDE].reset_index(drop=True)
        cell = _Cell(
            side_words, reading.features[side_words["unit"].to_numpy()], fired[side_words["unit"].to_numpy()], kind
        )
        shares = token_shares(readings.tokens[site], side_words, token_names)
        for emotion, of_emotion in rows.groupby("emotion", sort=False):
            ids = of_emotion["feature"].to_numpy()
            mates = [
                e
                for e, v in valence.items()
                if e != emotion and e not in siblings.get(str(emotion), set()) and v * valence[str(emotion)] > 0
            ]
            matched = rows_where(pairs, (pairs["language"] == language) & (pairs["emotion"] == emotion))
            columns = cell.controls(str(emotion), ids, matched, mates)
            picked = (of_emotion["selected"] | of_emotion["top"]).to_numpy(dtype=bool)
            columns["matched_p_holm"] = holm(np.where(picked, columns["matched_p"], np.nan))
            share = shares.reindex([(emotion, f) for f in ids])
            columns["token_share"] = share["token_share"].to_numpy()
            columns["lexical_token"] = share["lexical_token"].to_numpy()
            once = (columns["n_lemmas"] == 1) if kind == "words" else np.zeros(len(ids), dtype=bool)
            columns["lexical"] = np.nan_to_num(columns["token_share"]) > LEXICAL_SHARE
            columns["lexical"] |= once
            parts.append(pd.concat([of_emotion[list(KEYS)].reset_index(drop=True), pd.DataFrame(columns)], axis=1))
    return FeatureControls(pd.concat(parts, ignore_index=True))


class _Cell:
    """Held-out units of one site and language."""

    def __init__(self, units: pd.DataFrame, values: Sparse, fired: Sparse, kind: str) -> None:
        self.units, self.values, self.fired, self.kind = units, values.tocsc(), fired.tocsc(), kind
        self.emotion = units["emotion"].to_numpy()
        self.place = units["position"].to_numpy(dtype=np.float64)
        self.strata = quantile_strata(self.place)
        self.row = {int(unit): i for i, unit in enumerate(units["unit"])}

    def controls(
        self, emotion: str, ids: np.ndarray, pairs: pd.DataFrame, mates: Sequence[str]
    ) -> dict[str, np.ndarray | float | int]:
        """Every control of some features but the lexical one: column -> [feature]."""
        values = self.values[:, ids].toarray().astype(np.float64)
        fired = self.fired[:, ids]
        of_emotion = self.emotion == emotion
        rest = ~of_emotion
        mate = np.isin(self.emotion, mates)
        overall, overall_lo = lower_bound(*adjusted_auroc(values[of_emotion], values[rest]))
        inside, inside_lo = lower_bound(*adjusted_auroc(values[of_emotion], values[mate]))
        adjusted, adjusted_lo = lower_bound(
            *adjusted_auroc(values[of_emotion], values[rest], self.strata[of_emotion], self.strata[rest])
        )
        above = overall_lo > 0.5
        active = (fired[of_emotion].toarray() > 0).astype(bool)
        lemma = self.units["group"].to_numpy()[of_emotion]
        return {
            "n_units": int(of_emotion.sum()),
            "rest_auroc": overall,
            "rest_lo": overall_lo,
            **self._matched(values, fired, pairs),
            "n_lemmas": np.asarray([len(set(lemma[column])) for column in active.T], dtype=np.int64),
            "valence_auroc": inside,
            "valence_lo": inside_lo,
            "n_valence": int(mate.sum()),
            "valence_only": above & np.isfinite(inside) & ~(inside_lo > 0.5),
            "position_auroc": adjusted,
            "position_lo": adjusted_lo,
            "position_r": rank_correlation(values[rest], self.place[rest]),
            "positional": above & np.isfinite(adjusted) & ~(adjusted_lo > 0.5),
        }

    def _matched(self, values: np.ndarray, fired: Sparse, pairs: pd.DataFrame) -> dict[str, np.ndarray | float | int]:
        left = np.asarray([self.row[u] for u in pairs["unit"]], dtype=np.int64)
        right = np.asarray([self.row[u] for u in pairs["neutral"]], dtype=np.int64)
        n = len(left)
        codes = np.repeat([0, 1], n)
        both = np.concatenate([left, right])
        p = fisher_enrichment(fired.tocsr()[both], codes, 2)[0] if n else np.full(values.shape[1], np.nan)

        def left_over(column: str) -> float:
            covariate = self.units[column].to_numpy(dtype=np.float64)
            return float(np.mean(covariate[left] - covariate[right])) if n else float("nan")

        return {
            "matched_auroc": adjusted_auroc(values[left], values[right])[0],
            "matched_p": p,
            "n_matched": n,
            "matched_length_difference": left_over("n_tokens"),
            "matched_frequency_difference": left_over("frequency"),
        }


def token_shares(tokens: pd.DataFrame, units: pd.DataFrame, names: Mapping[int, str]) -> pd.DataFrame:
    """Largest share of a feature's activation that one token type has within an emotion: index (emotion, feature)."""
    emotion = units.set_index("unit")["emotion"]
    known = rows_where(tokens, tokens["unit"].isin(emotion.index.tolist()))
    known = known.assign(emotion=known["unit"].map(emotion), type=known["token"].map(lambda t: names.get(t, f"<{t}>")))
    total = known.groupby(["emotion", "feature", "type"], sort=True)["total"].sum()
    whole = total.groupby(level=[0, 1]).sum()
    ordered = total.reset_index().sort_values("total", ascending=False, kind="stable")
    best = ordered.drop_duplicates(["emotion", "feature"]).set_index(["emotion", "feature"])
    best = best.rename(columns={"type": "lexical_token"})
    best["token_share"] = best["total"] / whole.reindex(best.index)
    return best[["lexical_token", "token_share"]]


def token_names(subject: Subject, readings: ColumnReadings) -> dict[int, str]:
    """Token id -> its text without case and spaces; a piece of a character, or a mere space, keeps its id as its name."""
    ids = sorted({int(i) for frame in readings.tokens.values() for i in frame["token"].unique()})
    names = {}
    for token in ids:
        text = subject.tokenizer.decode([token]).strip().casefold()
        names[token] = f"<{token}>" if not text or "\ufffd" in text else text
    return names


def emotion_valence(concepts: ConceptSet, emotions: Sequence[str]) -> dict[str, float]:
    """Valence of each emotion above or below the middle of the scale of the built-in norms; NaN where it has no rating.

    Looked up by the emotion's name, then by its English label.
    """
    norms = load_norms("builtin")
    result = {}
    for emotion in emotions:
        tries = [emotion]
        if "en" in concepts.languages and emotion in concepts.subset(languages="en").emotions:
            tries.append(concepts.label(emotion, "en"))
        rated = norms.lookup(tries)["valence"].dropna()
        result[emotion] = float(rated.iloc[0]) - sum(norms.scale) / 2 if len(rated) else float("nan")
    return result
