"""The map of a layer: which feature answers to which emotion, where an emotion lives, what the languages share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from markupsafe import Markup
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from emotion_interp.bank.confirmation import fix_layers, has_confirmation
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.files import write_text
from emotion_interp.core.frames import rows_where
from emotion_interp.core.markup import fragment
from emotion_interp.core.result import Result
from emotion_interp.core.types import Site
from emotion_interp.figures.marked import marked_heatmap
from emotion_interp.report.map_page import MAP_STYLE, layers_html, map_html, map_page
from emotion_interp.report.profiles import SiteProfiles
from emotion_interp.report.sortable import SORTABLE_STYLE

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from emotion_interp.bank import FeatureBank
    from emotion_interp.subjects import Subject


@dataclass(frozen=True, eq=False, repr=False)
class FeatureMap(Result):
    """Features by emotions at one site, emotions by layers, languages side by side; `.save` writes them with all cards.

    frame: one row per kept feature and emotion, in the order of the map (AUROC on all of the bank's stimuli; kept: chosen
    for the emotion; confirmed); layers: best held-out AUROC of every emotion, layer and language; languages: each feature
    and the emotion it was kept for, with the languages in which it was.
    """

    site: Site
    language: str
    subject: str
    frame: pd.DataFrame
    layers: pd.DataFrame
    languages: pd.DataFrame
    profiles: SiteProfiles

    COLUMNS = ("feature", "emotion", "auroc", "kept", "confirmed")

    @property
    def title(self) -> str:
        """What it is a map of."""
        return f"Emotion features of {self.subject}, {self.site}, {self.language}"

    def plot(self, kind: Literal["features", "layers", "languages"] = "features") -> go.Figure:
        """Features by emotions, emotions by layers, or emotions by languages (at this site), as a heat map.

        Raises:
            UnknownNameError: another kind.
        """
        if kind not in ("features", "layers", "languages"):
            raise UnknownNameError("kind of map", kind, ("features", "layers", "languages"))
        if kind == "features":
            rows = self.frame.assign(row=self.frame["feature"].astype(str) + " · " + self.frame["named"])
            texts = {"title": self.title, "row_title": "feature", "column_title": "emotion of the stimuli"}
            return marked_heatmap(rows, "row", "emotion", "auroc", "confirmed", how=_HOW, **texts)
        rows = self.layers.assign(passed=self.layers["confirmed"])
        if kind == "layers":
            rows = rows_where(rows, rows["language"] == self.language)
            texts = {
                "title": f"Where each emotion lives, {self.language}",
                "column_title": "layer",
                "row_title": "emotion",
            }
            return marked_heatmap(rows, "emotion", "place", "auroc_heldout", "passed", how=_HOW_LAYERS, **texts)
        rows = rows_where(rows, rows["site"] == str(self.site))
        texts = {"title": f"The languages at {self.site}", "column_title": "language", "row_title": "emotion"}
        return marked_heatmap(rows, "emotion", "language", "auroc_heldout", "passed", how=_HOW_LAYERS, **texts)

    def __repr__(self) -> str:
        sure = int(self.frame["confirmed"].to_numpy().sum())
        n = self.frame["feature"].nunique()
        return f"FeatureMap({self.subject!r}, {self.site}, {self.language!r}: {n} features, {sure} confirmed)"

    def _repr_html_(self) -> str:
        return fragment(
            "<style>{}{}</style><div class='ei-page'><p>{}</p>{}<h3>Where each emotion lives</h3>{}</div>",
            *(MAP_STYLE, Markup(SORTABLE_STYLE), repr(self), map_html(self.frame), layers_html(self.layers)),
        )

    def save(self, path: str | Path) -> Path:
        """Write one self-contained page: the maps, the tables, and the card of every kept feature of the site.

        Raises:
            EmotionInterpError: it cannot be written.
        """
        write_text(path, map_page(self.title, self.frame, self.layers, self.languages, self.profiles))
        return Path(path)


_HOW = (
    "Each row is one kept feature, named by what it was kept for; AUROC on all stimuli, so that the half it was chosen on "
    "flatters it. Dot: confirmed on the other half."
)
_HOW_LAYERS = (
    "AUROC of each emotion's top feature on stimuli it was not chosen on. Dot: confirmed at the layer fixed beforehand."
)


@checked
def feature_map(
    bank: FeatureBank,
    layer: int | Site | str | None = None,
    language: str | None = None,
    *,
    subject: Subject | None = None,
) -> FeatureMap:
    """The map of one layer of a bank: features by emotions, clustered; emotions by layers; what the languages share.

    Args:
        bank: its kept features (selected, or the top one of an emotion).
        layer: a layer, hook name or site; default: the one on which the language's claims stand.
        language: default: the bank's first.
        subject: the bank's model, for the cards' neighbours by decoder rows; without it, by activations.

    Returns:
        `.to_frame()`: layer, site, language, feature, named, emotion, auroc, kept, confirmed; `.layers` and `.languages`;
        `.plot(kind)`; `.save(path)` writes a page with the card of every kept feature.

    Raises:
        UnknownNameError: the bank has no such layer or language.
        EmotionInterpError: it has no kept feature there, or is of another subject.

    Example:
        >>> feature_map(bank, layer=2, language="en").save("map.html")  # doctest: +SKIP
    """
    language = language or bank.languages[0]
    if language not in bank.languages:
        raise UnknownNameError("language", language, bank.languages)
    site = bank.site(_fixed(bank, language) if layer is None else layer)
    profiles = SiteProfiles(bank, site, subject)
    kept = rows_where(profiles.rows, profiles.rows["language"] == language)
    if kept.empty:
        raise EmotionInterpError(
            f"the bank has no kept feature of {language!r} at {site}; take another layer or language."
        )
    scores = profiles.scores
    rows = rows_where(scores, (scores["language"] == language) & scores["feature"].isin(kept["feature"]))
    rows = _ordered(rows).assign(layer=site.layer, site=str(site))
    named = {f: profiles.emotion_of(f, language) for f in kept["feature"].unique()}
    rows["named"] = rows["feature"].map(named)
    columns = ["layer", "site", "language", "feature", "named", "emotion", "auroc", "kept", "confirmed"]
    return FeatureMap(
        site,
        language,
        str(bank.manifest.get("subject")),
        rows[columns].reset_index(drop=True),
        _by_layer(bank),
        _by_language(scores, bank.languages),
        profiles,
    )


def _fixed(bank: FeatureBank, language: str) -> str:
    """The site on which a language's claims stand, fixed on the discovery half."""
    summary = bank.summary
    fixed = rows_where(summary, fix_layers(summary) & (summary["language"] == language))
    if fixed.empty:
        raise EmotionInterpError(f"the bank's summary has no row of the language {language!r}.")
    return str(fixed["site"].iloc[0])


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows so that emotions with like profiles stand together, and each feature beside what it was kept for."""
    table = rows.pivot(index="feature", columns="emotion", values="auroc").dropna(axis=1, how="all")
    emotions = clustered(table)
    place = {e: i for i, e in enumerate(emotions)}
    rows = rows_where(rows, rows["emotion"].isin(emotions))
    own = rows_where(rows, rows["kept"]).sort_values("auroc", ascending=False, kind="stable").drop_duplicates("feature")
    own = own.assign(at=own["emotion"].map(place)).sort_values(["at", "auroc"], ascending=[True, False], kind="stable")
    order = {f: i for i, f in enumerate(own["feature"])}
    rows = rows.assign(row=rows["feature"].map(order), column=rows["emotion"].map(place))
    return rows.sort_values(["row", "column"], kind="stable").drop(columns=["row", "column"])


def clustered(table: pd.DataFrame) -> list[str]:
    """Names of columns in an order that puts like ones side by side (average linkage of 1 - r, optimal leaf order).

    Args:
        table: values [feature, emotion].
    """
    names = [str(c) for c in table.columns]
    values = table.fillna(0.5).to_numpy(dtype=np.float64)
    if len(names) < 3 or len(values) < 2:
        return names
    centred = values - values.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    distance = np.clip(1.0 - unit.T @ unit, 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform((distance + distance.T) / 2, checks=False), "average", optimal_ordering=True)
    return [names[i] for i in leaves_list(tree)]


def _by_layer(bank: FeatureBank) -> pd.DataFrame:
    """Best held-out AUROC of every emotion, layer and language; passes: at this layer for itself."""
    summary = bank.summary
    several = summary.groupby("layer")["site"].nunique().max() > 1
    passes = summary["confirmed_uncorrected" if has_confirmation(bank) else "confirmed"].astype(bool)
    frame = summary.assign(
        place=summary["site"] if several else summary["layer"].astype(str),
        passes=passes,
        confirmed=summary["confirmed"].astype(bool),
    )
    columns = ["language", "layer", "site", "place", "emotion", "feature", "auroc_heldout", "passes", "confirmed"]
    return frame[columns].sort_values(["language", "layer", "site", "emotion"], kind="stable").reset_index(drop=True)


def _by_language(scores: pd.DataFrame, languages: list[str]) -> pd.DataFrame:
    """Each feature and emotion it was kept for: in which languages (shared, some, or one only), and its AUROC in each."""
    keys = ["emotion", "feature"]
    kept = rows_where(scores, scores["kept"])
    where = kept.groupby(keys)["language"].agg(lambda found: [la for la in languages if la in set(found)])
    auroc = scores.set_index([*keys, "language"])["auroc"].unstack("language").reindex(columns=languages)
    sure = kept.groupby(keys)["confirmed"].any()
    frame = pd.DataFrame({"languages": where.map(", ".join), "n": where.map(len), "confirmed": sure})
    frame["kind"] = [_kind(la, len(languages)) for la in where]
    frame = frame.join(auroc.add_prefix("auroc_")).reset_index()
    return frame.sort_values(["emotion", "n", "feature"], ascending=[True, False, True], kind="stable").reset_index(
        drop=True
    )


def _kind(languages: list[str], of: int) -> str:
    if len(languages) == 1:
        return f"{languages[0]} only" if of > 1 else languages[0]
    return "shared by all" if len(languages) == of else "shared by some"
