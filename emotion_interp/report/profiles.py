"""What the kept features of one site do over a bank's stimuli: firing, emotions, neighbours; no model is needed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.core.frames import rows_where
from emotion_interp.core.types import Site
from emotion_interp.stats.firing import fires, firing_parts
from emotion_interp.stats.ranks import RankedColumns
from emotion_interp.stats.scores import composite_auroc

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.subjects import Subject

N_BINS = 20
N_NEAREST = 6
_WORDS = 6


@dataclass(frozen=True, eq=False)
class FeatureProfile:
    """One feature over the bank's stimuli; frames without rows where the bank lacks what they are made from.

    rates: language, rate (share of the stimuli it was found on); histogram: low, high, own, other (stimuli per bin, of
    `emotion` and of all others, where it fires); quantiles: part, low, high, n, emotions, words; emotions: language,
    emotion, auroc, kept, confirmed; nearest: feature, cosine, emotion.
    """

    feature: int
    emotion: str
    language: str
    unit: str
    rates: pd.DataFrame
    histogram: pd.DataFrame
    quantiles: pd.DataFrame
    emotions: pd.DataFrame
    nearest: pd.DataFrame
    nearest_by: str


class SiteProfiles:
    """The kept features of one site, read once for all their cards.

    Args:
        bank: the features.
        site: one of the bank's.
        subject: the bank's model, for neighbours by decoder rows; without it, by activations.
    """

    def __init__(self, bank: FeatureBank, site: Site, subject: Subject | None = None) -> None:
        if subject is not None:
            require_same_subject(bank, subject)
        self.bank, self.site = bank, site
        rows = bank.rows_at(bank.features, site)
        self.rows = rows_where(rows, rows["selected"] | rows["top"])
        self.features = np.unique(self.rows["feature"].to_numpy(dtype=np.int64))
        self.words, matrix = bank.unit_activations(site)
        self.values: np.ndarray = matrix[:, self.features].toarray().astype(np.float64)
        self._decoder = None if subject is None else subject.readers[site].decoder_rows(self.features)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The bank's scores at the site, best first, with the columns of its other tables."""
        return self.bank.table(layer=self.site)

    @cached_property
    def cosines(self) -> np.ndarray:
        """[feature, feature]: of decoder rows, or of the activations over all the bank's stimuli."""
        vectors = self.values.T
        if self._decoder is not None:
            vectors = self._decoder.detach().float().cpu().numpy().astype(np.float64)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
        return unit @ unit.T

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Every kept feature by every emotion and language: language, feature, emotion, auroc, kept, confirmed."""
        return self.scored(self.features)

    def scored(self, features: np.ndarray) -> pd.DataFrame:
        """The rows of some features in `scores`."""
        columns = np.searchsorted(self.features, features)
        parts = []
        for language in self.bank.languages:
            of = np.flatnonzero((self.words["language"] == language).to_numpy())
            codes = self.words["emotion"].to_numpy()[of]
            auroc = emotion_aurocs(self.values[np.ix_(of, columns)], codes, self.bank.emotions)
            grid = pd.DataFrame(auroc, index=self.bank.emotions, columns=features).rename_axis("emotion")
            long = grid.melt(var_name="feature", value_name="auroc", ignore_index=False).reset_index()
            parts.append(long.assign(language=language))
        long = pd.concat(parts, ignore_index=True)[["language", "feature", "emotion", "auroc"]]
        keys = ["language", "emotion", "feature"]
        kept = self.rows[keys].assign(kept=True)
        summary = self.bank.rows_at(self.bank.summary, self.site)
        sure = rows_where(summary, summary["confirmed"].astype(bool))[keys].assign(confirmed=True)
        long = long.astype({"feature": np.int64}).merge(kept, on=keys, how="left").merge(sure, on=keys, how="left")
        return long.assign(kept=long["kept"].eq(True), confirmed=long["confirmed"].eq(True))

    def profile(self, feature: int) -> FeatureProfile:
        """One feature; of one that is scored and not kept the bank has the rates alone."""
        scored = rows_where(self.table, self.table["feature"] == feature)
        best = scored.sort_values(["selected", "top", "auroc"], ascending=False, kind="stable").iloc[0]
        emotion, language = str(best["emotion"]), str(best["language"])
        unit = "words" if self.bank.manifest.get("stimuli", "words") == "words" else "texts"
        rates = self._rates(feature)
        by = "activations" if self._decoder is None else "decoder rows"
        if feature not in self.features:
            none = pd.DataFrame()
            return FeatureProfile(feature, emotion, language, unit, rates, none, none, none, none, by)
        place = int(np.searchsorted(self.features, feature))
        words = rows_where(self.words, self.words["language"] == language)
        values = self.values[words.index.to_numpy(), place]
        if "scores" in vars(self):
            emotions = rows_where(self.scores, self.scores["feature"] == feature)
        else:
            emotions = self.scored(np.array([feature]))
        histogram = firing_histogram(values, (words["emotion"] == emotion).to_numpy())
        parts = by_quantile(words, values, shown_words=unit == "words")
        return FeatureProfile(
            *(feature, emotion, language, unit, rates, histogram, parts),
            emotions.reset_index(drop=True),
            self._nearest(place),
            by,
        )

    def _rates(self, feature: int) -> pd.DataFrame:
        rates = self._site_rates
        return rows_where(rates, rates["feature"] == feature)[["language", "rate"]].reset_index(drop=True)

    @cached_property
    def _site_rates(self) -> pd.DataFrame:
        rates = self.bank.rates
        if rates is None:
            return pd.DataFrame(columns=["feature", "language", "rate"])
        return self.bank.rows_at(rates, self.site)

    def _nearest(self, place: int) -> pd.DataFrame:
        cosine = self.cosines[place].copy()
        cosine[place] = -np.inf
        order = np.argsort(-cosine, kind="stable")[: min(N_NEAREST, len(cosine) - 1)]
        rows = [(int(self.features[i]), float(cosine[i]), self.emotion_of(int(self.features[i]))) for i in order]
        return pd.DataFrame(rows, columns=["feature", "cosine", "emotion"])

    @cached_property
    def _kept_for(self) -> dict[int, list[tuple[str, str]]]:
        """Of each kept feature the (emotion, language) pairs, best first."""
        rows = self.rows.sort_values("auroc", ascending=False, kind="stable")
        pairs: dict[int, list[tuple[str, str]]] = {}
        for feature, emotion, language in rows[["feature", "emotion", "language"]].itertuples(index=False):
            pairs.setdefault(int(feature), []).append((str(emotion), str(language)))
        return pairs

    def emotion_of(self, feature: int, language: str | None = None) -> str:
        """The emotions that a kept feature was kept for, best first; each with its languages, or those of one language."""
        pairs = self._kept_for[feature]
        if language is not None:
            return ", ".join(e for e, spoken in pairs if spoken == language)
        languages: dict[str, list[str]] = {}
        for emotion, spoken in pairs:
            languages.setdefault(emotion, []).append(spoken)
        return "; ".join(f"{emotion} ({', '.join(spoken)})" for emotion, spoken in languages.items())


def emotion_aurocs(values: np.ndarray, emotions_of_units: np.ndarray, emotions: list[str]) -> np.ndarray:
    """How well each column tells each emotion from all the others, as the bank's AUROC does: [emotion, column].

    Args:
        values: activations [unit, column].
        emotions_of_units: the units' emotions [unit], "neutral" among them.
        emotions: names.
    """
    names = [*emotions, "neutral"]
    codes = np.asarray([names.index(e) for e in emotions_of_units])
    ranked = RankedColumns(values, codes, len(names))
    neutral = len(emotions) if (codes == len(emotions)).any() else None
    return np.stack([composite_auroc(ranked.auroc(i), i, neutral) for i in range(len(emotions))])


def firing_histogram(values: np.ndarray, of_emotion: np.ndarray) -> pd.DataFrame:
    """Stimuli on which a feature fires, in bins of equal width: low, high, own (of the emotion), other.

    Args:
        values: activations [unit].
        of_emotion: which units are of the emotion [unit].
    """
    fired = fires(values)
    if not fired.any():
        return pd.DataFrame(columns=["low", "high", "own", "other"])
    edges = np.linspace(0.0, float(values.max()), N_BINS + 1)
    own, other = (np.histogram(values[fired & chosen], edges)[0] for chosen in (of_emotion, ~of_emotion))
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "own": own, "other": other})


def by_quantile(words: pd.DataFrame, values: np.ndarray, *, shown_words: bool = True) -> pd.DataFrame:
    """The stimuli on which a feature fires, from the strongest part to the weakest: which emotions they are of.

    Args:
        words: the units (columns emotion, word).
        values: activations [unit].
        shown_words: name some words of each part, each with its emotion; texts of a user's are not in a bank.

    Returns:
        part, low, high, n, emotions (the three commonest with their counts), words.
    """
    columns = ["part", "low", "high", "n", "emotions", "words"]
    emotions, names = words["emotion"].to_numpy(), words["word"].to_numpy()
    rows = []
    for name, part in firing_parts(values):
        counts = sorted(Counter(map(str, emotions[part])).items(), key=lambda item: (-item[1], item[0]))
        said = ", ".join(f"{emotion} {n}" for emotion, n in counts[:3])
        spread = part[np.unique(np.linspace(0, len(part) - 1, min(_WORDS, len(part))).round().astype(int))]
        some = ", ".join(f"{names[i]} ({emotions[i]})" for i in spread) if shown_words else ""
        rows.append((name, float(values[part[-1]]), float(values[part[0]]), len(part), said, some))
    return pd.DataFrame(rows, columns=columns)
