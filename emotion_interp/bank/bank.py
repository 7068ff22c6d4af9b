"""The feature bank: the emotion features found in one subject, with scores, directions and provenance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from emotion_interp.bank import frames
from emotion_interp.bank.directions import DirectionKey, Directions
from emotion_interp.bank.files import CARDS, EXTRA_TABLES, JOINED, KEYS, read_bank, with_sites, write_bank
from emotion_interp.bank.plugged import plugged_vector
from emotion_interp.bank.schema import TABLES
from emotion_interp.bank.tools import bank_to_csv, diff_banks, merge_banks
from emotion_interp.core.annotations import shown
from emotion_interp.core.arguments import checked_methods
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.files import write_text
from emotion_interp.core.frames import rows_where
from emotion_interp.core.markup import summary_html
from emotion_interp.core.result import Result
from emotion_interp.core.schema import check_table
from emotion_interp.core.types import Direction, Site, sites_at
from emotion_interp.figures import feature_heatmap
from emotion_interp.stats.sparse import Sparse, by_rows

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

METHODS = ("dense", "dense_clean", "sae")
"""Directions that every bank has; analyses may add others (`FeatureBank.methods`)."""
SPACES_ONLY = ("means",)
"""Kept among the directions, but over both halves: for emotion spaces, not for steering."""


@checked_methods
@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Emotion features of one subject.

    features: one row per feature x emotion x layer x language with p <= .05 (all were tested; `n_tested` in the manifest);
    summary: one row per emotion x layer x language: the top feature, fixed on the discovery half, its held-out AUROC, and
    whether it is confirmed (columns: `with_confirmation`);
    words: the units; activations: mean activation per unit of the selected and top features (long);
    directions: (site, language, method) -> [emotion, d_model] (`Directions`, whose `to_frame` lists them);
    scales: median norm per site;
    rates: the living features of each layer and language and the share of discovery words they fire on, of texts the share
    in which they are active at all; None in banks of earlier versions;
    extras: tables that other analyses added, by name (`EXTRA_TABLES`, see `with_table`).
    """

    features: pd.DataFrame
    summary: pd.DataFrame
    words: pd.DataFrame
    activations: pd.DataFrame
    directions: Directions
    scales: dict[Site, float]
    manifest: dict[str, Any] = field(default_factory=dict)
    rates: pd.DataFrame | None = None
    extras: dict[str, pd.DataFrame] = field(default_factory=dict)

    _card: ClassVar[Callable[[FeatureBank], str]]
    """What a card says of a bank; set by the room, so that a bank imports nothing that writes about banks."""

    def __post_init__(self) -> None:
        for name in ("features", "summary", "activations", "rates"):
            object.__setattr__(self, name, with_sites(getattr(self, name), self.scales))
        emotions = tuple(self.manifest.get("emotions", ()))
        if not isinstance(self.directions, Directions) or self.directions.emotions != emotions:
            object.__setattr__(self, "directions", Directions(self.directions, emotions))

    # -- asking -------------------------------------------------------------------------------------------------------
    @property
    def emotions(self) -> list[str]:
        return list(self.manifest["emotions"])

    @property
    def languages(self) -> list[str]:
        return list(self.manifest["languages"])

    @property
    def sites(self) -> list[Site]:
        return sorted(self.scales)

    @property
    def layers(self) -> list[int]:
        return sorted({s.layer for s in self.scales})

    @property
    def methods(self) -> list[str]:
        """Methods of the bank's directions."""
        return sorted({key.method for key in self.directions} - set(SPACES_ONLY))

    def site(self, layer: int | Site | str) -> Site:
        """The bank's site at a layer (of several: `resid_post`, else the first), or the one of a hook name or site.

        Raises:
            UnknownNameError: the bank has none there.
        """
        return sites_at(self.scales, layer)[0]

    def rows_at(self, frame: pd.DataFrame, layer: int | Site | str) -> pd.DataFrame:
        """Rows of one of the bank's tables that belong to one site."""
        return rows_where(frame, frame["site"] == str(self.site(layer)))

    def _check(self, emotion: str | None, language: str | None) -> None:
        if emotion is not None and emotion not in self.emotions:
            raise UnknownNameError("emotion", emotion, self.emotions)
        if language is not None and language not in self.languages:
            raise UnknownNameError("language", language, self.languages)

    def table(
        self,
        emotion: str | None = None,
        layer: int | Site | str | None = None,
        language: str | None = None,
        selected: bool = False,
        columns: str | Sequence[str] = "all",
        **conditions: object,
    ) -> pd.DataFrame:
        """Scored features, best first; filter by emotion, layer, language; `selected=True` keeps the chosen ones.

        Columns of the tables "controls" and "outputs" stand beside the scores where the bank has them: all of them by
        default, since programs read them; `view` has the dozen that one looks at.

        Args:
            emotion: default: all.
            layer: default: all. A layer means all its sites; a `Site` or hook name means one.
            language: default: all.
            selected: only features that passed the selection.
            columns: "all", "short", a group ("scores", "controls", "outputs", "confirmation" and "text": what the held-out
                half and the stimuli alone say of top features) beside the columns that name a row, or a list of columns.
            **conditions: `column=value`, `min_column=number` or `max_column=number`; a missing value never passes.

        Raises:
            UnknownNameError: the bank has no such emotion, layer, site, language, column or group.

        Example:
            >>> bank.table("joy", layer=2, min_auroc=0.7, lexical=False)  # doctest: +SKIP
        """
        self._check(emotion, language)
        frame = self.features
        if emotion is not None:
            frame = frame[frame["emotion"] == emotion]
        if layer is not None:
            frame = frame[frame["site"].isin(map(str, sites_at(self.scales, layer)))]
        if language is not None:
            frame = frame[frame["language"] == language]
        if selected:
            frame = frame[frame["selected"]]
        for name in JOINED:
            if name in self.extras:
                frame = frame.merge(self.extras[name], on=list(KEYS), how="left", validate="one_to_one")
        for condition, value in conditions.items():
            frame = frame[frames.rows_that_pass(frame, condition, value)]
        frame = frame.sort_values(["auroc", "feature"], ascending=[False, True]).reset_index(drop=True)
        return frame if columns == "all" else frames.grouped_columns(self, frame, columns)

    def view(
        self,
        emotion: str | None = None,
        layer: int | Site | str | None = None,
        language: str | None = None,
        columns: str | Sequence[str] = "short",
        **conditions: Any,
    ) -> pd.DataFrame:
        """`table` with at most twelve columns, for a notebook; arguments and errors as there."""
        return self.table(emotion, layer, language, columns=columns, **conditions)

    def selected_features(
        self, layer: int | Site | str, language: str | None = None, emotion: str | None = None
    ) -> np.ndarray:
        """Ids of the selected features of one `site`, over all emotions (or one) and languages (or one), sorted."""
        frame = self.table(emotion=emotion, layer=self.site(layer), language=language, selected=True)
        return np.unique(frame["feature"].to_numpy(dtype=np.int64))

    def direction(
        self,
        emotion: str,
        layer: int | Site | str | None = None,
        language: str | None = None,
        method: str = "sae",
        *,
        site: Site | str | None = None,
    ) -> Direction:
        """Steering direction of an emotion: "sae" (decoder rows of its features), "dense" or "dense_clean".

        Other `methods` are there once an analysis has added them, such as "probe_k8" (`SparseProbes.add_to`) or
        "sae_output" (features with an output effect; `with_output_directions`).

        Args:
            emotion: one of the bank's.
            layer: as for `FeatureBank.site`.
            language: default: the bank's first.
            method: one of `methods`.
            site: instead of a layer, the site or its hook name.

        Raises:
            UnknownNameError: no such emotion, layer, language or method.
            EmotionInterpError: neither a layer nor a site, or both; no feature of the emotion has an output effect there
                ("sae_output").

        Example:
            >>> bank.direction("joy", layer=5, language="en", method="sae")  # doctest: +SKIP
        """
        place = layer if site is None else site
        if place is None or (layer is not None and site is not None):
            raise EmotionInterpError("a direction is at one place: give layer= or site=, and one of the two.")
        language = language or self.languages[0]
        self._check(emotion, language)
        site = self.site(place)
        key = DirectionKey(site, language, method)
        if method in SPACES_ONLY or key not in self.directions:
            if method == "sae_output":
                raise EmotionInterpError(
                    "the bank has no directions of output features yet; measure what the features do first: "
                    "bank = with_output_directions(subject, output_scores(subject, bank).add_to(bank))."
                )
            vector = plugged_vector(self, emotion, site, language, method)
        else:
            vector = self.directions[key][self.emotions.index(emotion)]
        if method == "sae_output" and not vector.any():
            raise EmotionInterpError(
                f"no feature of {emotion!r} at {site} in {language!r} has an output effect (table 'outputs', label output "
                'or both); take another layer, or method="sae".'
            )
        provenance = {"subject": self.manifest.get("subject"), "scale": self.scales[site]}
        return Direction(vector, site.layer, site.kind, emotion, language, method, provenance)

    def held_out_words(self, emotion: str, language: str | None = None) -> list[str]:
        """Concept words that no direction and no selection ever saw: the confirmation half, or all where texts were shown."""
        language = language or self.languages[0]
        self._check(emotion, language)
        if self.manifest.get("stimuli", "words") != "words":
            return list(self.manifest["concept_words"][language][emotion])
        frame = self.words
        chosen = (frame["emotion"] == emotion) & (frame["language"] == language)
        return frame[chosen & (frame["side"] == "confirmation")]["word"].tolist()

    def unit_activations(self, layer: int | Site | str, language: str | None = None) -> tuple[pd.DataFrame, Sparse]:
        """Units and their sparse mean activations at one `site`: (words frame, csr [unit, feature])."""
        site = self.site(layer)
        rows = self.rows_at(self.activations, site)
        shape = (len(self.words), int(self.manifest["d_sae"][str(site)]))
        matrix = by_rows((rows["activation"], (rows["unit"], rows["feature"])), shape)
        if language is None:
            return self.words, matrix
        self._check(None, language)
        keep = (self.words["language"] == language).to_numpy()
        return rows_where(self.words, keep).reset_index(drop=True), matrix[np.flatnonzero(keep)]

    # -- adding and comparing -----------------------------------------------------------------------------------------
    def add(self, result: Result) -> FeatureBank:
        """A bank that keeps a result too (controls, probes, transfer, token lens, examples, directions, output scores);
        this one stays as it is.

        Args:
            result: what an analysis gave back; the same as `result.add_to(bank)`.

        Raises:
            EmotionInterpError: it is no result, none that a bank keeps, or of another subject.

        Example:
            >>> bank = bank.add(ei.feature_controls(subject, concepts, bank))  # doctest: +SKIP
        """
        if not callable(getattr(result, "add_to", None)):
            raise EmotionInterpError(
                f"a bank adds what an analysis gave back, got {shown(result)}; a table: with_table."
            )
        return result.add_to(self)

    def with_table(self, name: str, frame: pd.DataFrame) -> FeatureBank:
        """A bank with one of the `EXTRA_TABLES` added or replaced; this one stays as it is.

        Raises:
            UnknownNameError: no such table.
            FileFormatError: the table is not as `schema.TABLES` declares it: lacking columns, text for numbers, two
                rows of one feature.
        """
        if name not in EXTRA_TABLES:
            raise UnknownNameError("extra table", name, EXTRA_TABLES)
        check_table(f"the table {name!r}", frame, TABLES[name])
        return replace(self, extras={**self.extras, name: frame.reset_index(drop=True)})

    def diff(self, other: FeatureBank) -> pd.DataFrame:
        """What differs between this bank and another of the same subject; see `diff_banks`."""
        return diff_banks(self, other)

    def merge(self, other: FeatureBank) -> FeatureBank:
        """This bank and another of other layers or languages as one; see `merge_banks`."""
        return merge_banks(self, other)

    def to_csv(self, path: str | Path, table: str = "features") -> Path:
        """Write one table as CSV; see `bank_to_csv`."""
        return bank_to_csv(self, path, table)

    # -- showing ------------------------------------------------------------------------------------------------------
    def to_frame(self) -> pd.DataFrame:
        """The summary table: top feature per emotion, layer and language."""
        return self.summary.copy()

    def by_layer(self) -> pd.DataFrame:
        """What was found and confirmed per layer and language; see `frames.summary_by_layer`."""
        return frames.summary_by_layer(self)

    def plot(self, layer: int | Site | str | None = None, language: str | None = None) -> go.Figure:
        """Heat map of the top features against all emotions."""
        layer = self.layers[len(self.layers) // 2] if layer is None else layer
        return feature_heatmap(frames.heatmap_frame(self, layer, language or self.languages[0]))

    def _repr_html_(self) -> str:
        what, counts = frames.confirmed_counts(self)
        return summary_html(f"{self!r}: {what}", counts, index=True)

    def __repr__(self) -> str:
        chosen = int(self.features["selected"].to_numpy().sum())
        return (
            f"FeatureBank({self.manifest.get('subject')!r}, {len(self.emotions)} emotions, layers {self.layers}, "
            f"languages {self.languages}, {chosen} selected features)"
        )

    # -- on disk ------------------------------------------------------------------------------------------------------
    def save(self, path: str | Path) -> Path:
        """Write the bank as a folder (parquet, safetensors, manifest with SHA-256); nothing half-written.

        A bank that is there is replaced, and its card written anew where it has one.

        Raises:
            EmotionInterpError: the folder cannot be written, or holds something that is no part of a bank.
        """
        cards = [name for name in CARDS if (Path(path) / name).is_file()]
        folder = write_bank(self, path)
        for name in cards:
            write_text(folder / name, type(self)._card(self))
        return folder

    @classmethod
    def load(cls, path: str | Path) -> FeatureBank:
        """Read a bank folder; checks version, digests, every table against its schema, shapes and finite values.

        Raises:
            FileFormatError: no bank, another version, a changed or damaged file, tables that are not what they must be or
                do not belong to the manifest.
            NotFiniteError: directions with NaN.
        """
        return cls(**read_bank(path))
