"""The feature bank: the emotion features found in one subject, with scores, directions and provenance."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.errors import EmotionInterpError, FileFormatError, NotFiniteError, UnknownNameError
from emotion_interp.core.files import atomic_folder, read_json, sha256_file, write_json
from emotion_interp.core.types import Direction, Site

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 1
METHODS = ("dense", "dense_clean", "sae")
_FILES: tuple[str, ...] = (
    "features.parquet",
    "summary.parquet",
    "words.parquet",
    "activations.parquet",
    "directions.safetensors",
)
_RATES = "rates.parquet"
"""Optional: banks found before it was added lack it and still load."""
_COLUMNS = {
    "features.parquet": ("layer", "site", "language", "emotion", "feature", "p", "q", "auroc", "selected", "top"),
    "summary.parquet": ("layer", "language", "emotion", "feature", "auroc_heldout", "confirmed", "dense_auroc"),
    "words.parquet": ("unit", "language", "emotion", "word", "group", "side"),
    "activations.parquet": ("layer", "unit", "feature", "activation"),
    _RATES: ("layer", "language", "feature", "rate"),
}


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Emotion features of one subject.

    features: one row per feature x emotion x layer x language with p <= .05 (all were tested; `n_tested` in the manifest);
    summary: one row per emotion x layer x language: the top feature, fixed on the discovery half, and its held-out AUROC;
    words: the units; activations: mean activation per unit of the selected and top features (long);
    directions: "hook|language|method" -> [emotion, d_model];
    scales: median norm per site;
    rates: the living features of each layer and language and the share of discovery words they fire on; None in banks
    of earlier versions.
    """

    features: pd.DataFrame
    summary: pd.DataFrame
    words: pd.DataFrame
    activations: pd.DataFrame
    directions: dict[str, np.ndarray]
    scales: dict[Site, float]
    manifest: dict[str, Any] = field(default_factory=dict)
    rates: pd.DataFrame | None = None

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

    def site(self, layer: int | Site) -> Site:
        """The bank's site at a layer; `UnknownNameError` where it has none."""
        for site in self.sites:
            if site == layer or site.layer == layer:
                return site
        raise UnknownNameError("layer", layer, self.layers)

    def _check(self, emotion: str | None, language: str | None) -> None:
        if emotion is not None and emotion not in self.emotions:
            raise UnknownNameError("emotion", emotion, self.emotions)
        if language is not None and language not in self.languages:
            raise UnknownNameError("language", language, self.languages)

    def table(
        self, emotion: str | None = None, layer: int | None = None, language: str | None = None, selected: bool = False
    ) -> pd.DataFrame:
        """Scored features, best first; filter by emotion, layer, language; `selected=True` keeps the chosen ones.

        Raises:
            UnknownNameError: the bank has no such emotion, layer or language.
        """
        self._check(emotion, language)
        frame: Any = self.features
        if emotion is not None:
            frame = frame[frame["emotion"] == emotion]
        if layer is not None:
            frame = frame[frame["layer"] == self.site(layer).layer]
        if language is not None:
            frame = frame[frame["language"] == language]
        if selected:
            frame = frame[frame["selected"]]
        return frame.sort_values(["auroc", "feature"], ascending=[False, True]).reset_index(drop=True)

    def selected_features(self, layer: int, language: str | None = None, emotion: str | None = None) -> np.ndarray:
        """Ids of the selected features of a layer, over all emotions (or one) and languages (or one), sorted."""
        frame = self.table(emotion=emotion, layer=layer, language=language, selected=True)
        return np.unique(frame["feature"].to_numpy(dtype=np.int64))

    def direction(self, emotion: str, layer: int, language: str | None = None, method: str = "sae") -> Direction:
        """Steering direction of an emotion: "sae" (decoder rows of its features), "dense" or "dense_clean".

        Raises:
            UnknownNameError: no such emotion, layer, language or method.
        """
        language = language or self.languages[0]
        self._check(emotion, language)
        if method not in METHODS:
            raise UnknownNameError("direction method", method, METHODS)
        site = self.site(layer)
        vector = self.directions[f"{site.hook_name}|{language}|{method}"][self.emotions.index(emotion)]
        provenance = {"subject": self.manifest.get("subject"), "scale": self.scales[site]}
        return Direction(vector, site.layer, site.kind, emotion, language, method, provenance)

    def held_out_words(self, emotion: str, language: str | None = None) -> list[str]:
        """Concept words that no direction and no selection ever saw: the confirmation half, or all where texts were shown."""
        language = language or self.languages[0]
        self._check(emotion, language)
        if self.manifest.get("stimuli", "words") != "words":
            return list(self.manifest["concept_words"][language][emotion])
        frame: Any = self.words
        here = (frame["emotion"] == emotion) & (frame["language"] == language)
        return frame[here & (frame["side"] == "confirmation")]["word"].tolist()

    def unit_activations(self, layer: int, language: str | None = None) -> tuple[pd.DataFrame, Any]:
        """Units and their sparse mean activations at a layer: (words frame, csr [unit, feature])."""
        from scipy.sparse import csr_matrix

        site = self.site(layer)
        rows = self.activations[self.activations["layer"] == site.layer]
        shape = (len(self.words), int(self.manifest["d_sae"][site.hook_name]))
        matrix = csr_matrix((rows["activation"], (rows["unit"], rows["feature"])), shape=shape)
        if language is None:
            return self.words, matrix
        self._check(None, language)
        keep = (self.words["language"] == language).to_numpy()
        kept: Any = self.words[keep]
        return kept.reset_index(drop=True), matrix[np.flatnonzero(keep)]

    # -- showing ------------------------------------------------------------------------------------------------------
    def to_frame(self) -> pd.DataFrame:
        """The summary table: top feature per emotion, layer and language."""
        return self.summary.copy()

    def plot(self, layer: int | None = None, language: str | None = None) -> Any:
        """Heat map of the top features against all emotions."""
        from emotion_interp.features.frames import heatmap_frame
        from emotion_interp.figures import feature_heatmap

        layer = self.layers[len(self.layers) // 2] if layer is None else layer
        return feature_heatmap(heatmap_frame(self, layer, language or self.languages[0]))

    def _repr_html_(self) -> str:
        confirmed: Any = self.summary.groupby(["layer", "language"])["confirmed"].sum()
        counts = confirmed.unstack()
        return f"<p>{self!r}: emotions with a confirmed feature</p>{counts.to_html()}"

    def __repr__(self) -> str:
        chosen = int(self.features["selected"].to_numpy().sum())
        return (
            f"FeatureBank({self.manifest.get('subject')!r}, {len(self.emotions)} emotions, layers {self.layers}, "
            f"languages {self.languages}, {chosen} selected features)"
        )

    # -- on disk ------------------------------------------------------------------------------------------------------
    def save(self, path: str | Path) -> Path:
        """Write the bank as a folder (parquet, safetensors, manifest with SHA-256); nothing half-written.

        Raises:
            EmotionInterpError: the folder cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        path = Path(path)
        with atomic_folder(path) as folder:
            frames = (self.features, self.summary, self.words, self.activations)
            for name, frame in zip(_FILES[:4], frames, strict=True):
                frame.to_parquet(folder / name, index=False)
            names = list(_FILES)
            if self.rates is not None:
                self.rates.to_parquet(folder / _RATES, index=False)
                names.append(_RATES)
            scales = {s.hook_name: v for s, v in self.scales.items()}
            arrays = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in self.directions.items()}
            metadata = {"scales": json.dumps(scales, sort_keys=True)}
            try:
                save_file(arrays, str(folder / "directions.safetensors"), metadata=metadata)
            except SafetensorError as error:
                # a full disk reaches Python as this, not as OSError
                raise EmotionInterpError(f"cannot write {path}: {error}. Choose a folder with space left.") from error
            manifest = {
                **self.manifest,
                "format": "emotion_interp.feature_bank",
                "format_version": FORMAT_VERSION,
                "scales": scales,
                "files": {name: sha256_file(folder / name) for name in names},
            }
            write_json(folder / "manifest.json", manifest)
        return path

    @classmethod
    def load(cls, path: str | Path) -> FeatureBank:
        """Read a bank folder; checks version, hashes, columns, shapes and finite values.

        Raises:
            FileFormatError: no bank, another version, a changed or damaged file.
            NotFiniteError: directions with NaN.
        """
        import pandas as pd
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = Path(path)
        manifest = read_json(path / "manifest.json")
        if not isinstance(manifest, dict) or manifest.get("format") != "emotion_interp.feature_bank":
            raise FileFormatError(f"{path} is no feature bank: its manifest.json is of another kind.")
        if manifest.get("format_version") != FORMAT_VERSION:
            raise FileFormatError(
                f"{path} has bank format {manifest.get('format_version')}; this version reads {FORMAT_VERSION}. Find the features again."
            )
        _check_hashes(path, manifest.get("files", {}))
        try:
            frames = [pd.read_parquet(path / name) for name in _FILES[:4]]
            rates = pd.read_parquet(path / _RATES) if _RATES in manifest["files"] else None
            directions = load_file(str(path / "directions.safetensors"))
        except (OSError, ValueError, SafetensorError) as error:
            raise FileFormatError(f"{path} cannot be read: {error}") from error
        named: dict[str, Any] = dict(zip(_FILES[:4], frames, strict=True))
        if rates is not None:
            named[_RATES] = rates
        for name, frame in named.items():
            missing = [c for c in _COLUMNS[name] if c not in frame.columns]
            if missing:
                raise FileFormatError(f"{path / name} lacks the columns {missing}.")
        n_emotions = len(manifest.get("emotions", ()))
        for key, array in directions.items():
            if array.ndim != 2 or array.shape[0] != n_emotions:
                raise FileFormatError(
                    f"{path}: {key} has shape {array.shape}, expected [{n_emotions} emotions, dimension]."
                )
            if not np.isfinite(array).all():
                raise NotFiniteError(f"{path}: {key} has NaN or infinite values.")
        scales = {Site.parse(k): float(v) for k, v in manifest["scales"].items()}
        features, summary, words, activations = frames
        return cls(features, summary, words, activations, directions, scales, manifest, rates)


def _check_hashes(path: Path, hashes: dict[str, str]) -> None:
    if set(hashes) - {_RATES} != set(_FILES):
        raise FileFormatError(f"{path}: the manifest names the files {sorted(hashes)}, expected {sorted(_FILES)}.")
    for name, expected in hashes.items():
        if not (path / name).is_file():
            raise FileFormatError(f"{path / name} is missing.")
        if sha256_file(path / name) != expected:
            raise FileFormatError(
                f"{path / name} was changed after it was saved (its SHA-256 differs from the manifest)."
            )


def require_same_subject(bank: FeatureBank, name: str, sites: Iterable[Site]) -> None:
    """Refuse a bank of another subject, whose feature numbers would mean something else."""
    if bank.manifest.get("subject") != name:
        raise EmotionInterpError(f"the bank belongs to the subject {bank.manifest.get('subject')!r}, not to {name!r}.")
    missing = sorted(set(bank.sites) - set(sites))
    if missing:
        raise EmotionInterpError(
            f"the bank reads {missing[0]}, where this subject has no SAE; load the subject with that layer."
        )


def shipped_bank(subject: Any) -> FeatureBank | None:
    """The bank that the project ships for a subject in `saved_features/`, or None where it ships none."""
    package = Path(__file__).parents[1]
    for root in (package / "saved_features", package.parent / "saved_features"):
        folder = root / subject.name
        if (folder / "manifest.json").is_file():
            bank = FeatureBank.load(folder)
            # a user's folder of the same name is another subject
            if bank.manifest.get("provenance") == subject.provenance:
                return bank
    return None
