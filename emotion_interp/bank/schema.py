"""What a feature bank must be, declared once: its manifest, its tables, and how they hang together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from emotion_interp.bank.directions import Directions
from emotion_interp.bank.manifest import check_manifest
from emotion_interp.core.errors import FileFormatError, NotFiniteError
from emotion_interp.core.schema import Column, Table, check_table, number, share, text, truth, whole
from emotion_interp.core.types import Site

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("layer", "site", "language", "emotion", "feature")
"""What names a row of `features` and of the tables that are joined to it."""
_NAMED = {"layer": whole(), "site": text(), "language": text(), "emotion": text(), "feature": whole()}
_LIST, _NUMBERS = Column("list"), Column("numbers")
_TESTED = {
    "held_out_specificity": share(missing=True, needed=False),
    "rival": text(missing=True, needed=False),
    "p_specificity": share(missing=True, needed=False),
    "p_confirmed": share(missing=True, needed=False),
    "layer_fixed": truth(needed=False),
    "confirmed_uncorrected": truth(needed=False),
}
"""What `with_confirmation` adds."""

TABLES: dict[str, Table] = {
    "features": Table(
        {
            **_NAMED,
            "p": share(),
            "q": share(),
            "auroc": share(),
            "auroc_neutral": share(missing=True),
            "specificity": share(missing=True),
            "coverage": share(),
            "smd": number(missing=True),
            "rate": share(),
            "mean_activation": number(),
            "n_words": whole(),
            "selected": truth(),
            "top": truth(),
        },
        KEYS,
    ),
    "summary": Table(
        {
            **_NAMED,
            "selected": truth(),
            "n_selected": whole(),
            "q": share(),
            "auroc": share(),
            "coverage": share(),
            "specificity": share(missing=True),
            "auroc_heldout": share(),
            "lo": share(missing=True),
            "hi": share(missing=True),
            "shrinkage": Column("number", -1.0, 1.0),
            "p_heldout": share(),
            "coverage_heldout": share(),
            "dense_auroc": share(missing=True),
            "dense_clean_auroc": share(missing=True),
            "text_auroc": share(missing=True, needed=False),
            "encoder_auroc": share(missing=True, needed=False),
            "n_words": whole(),
            "p_holm": share(missing=True),
            "confirmed": truth(),
            **_TESTED,
        },
        ("site", "language", "emotion"),
    ),
    "words": Table(
        {
            "unit": whole(),
            "language": text(),
            "emotion": text(),
            "word": text(),
            "group": text(),
            "side": text("discovery", "confirmation"),
            "text_sha256": text(needed=False),
        },
        ("unit",),
    ),
    "activations": Table(
        {"layer": whole(), "site": text(needed=False), "unit": whole(), "feature": whole(), "activation": number()},
        ("site", "unit", "feature"),
    ),
    "rates": Table(
        {"layer": whole(), "site": text(needed=False), "language": text(), "feature": whole(), "rate": share()},
        ("site", "language", "feature"),
    ),
    "controls": Table(
        {
            **_NAMED,
            **dict.fromkeys(("lexical", "valence_only", "positional"), truth(needed=False, missing=True)),
            **dict.fromkeys(
                ("matched_auroc", "matched_p", "matched_p_holm", "position_auroc", "rest_auroc", "valence_auroc"),
                share(missing=True, needed=False),
            ),
        },
        KEYS,
    ),
    "outputs": Table(
        {
            **_NAMED,
            "label": text("neither", "input", "output", "both", "untested", needed=False),
            **dict.fromkeys(("output_p", "output_q", "direct_p", "direct_auroc"), share(missing=True, needed=False)),
            **dict.fromkeys(("output_effect", "output_z", "direct_z"), number(missing=True, needed=False)),
        },
        KEYS,
    ),
    "transfer": Table(
        {
            **_NAMED,
            "tested_on": text(),
            "auroc": share(missing=True),
            "p": share(missing=True, needed=False),
            "p_holm": share(missing=True),
            "transfers": truth(),
        },
        (*KEYS, "tested_on"),
    ),
    "tokens": Table(
        {"layer": whole(), "site": text(), "feature": whole(), "promoted": _LIST, "suppressed": _LIST},
        ("site", "feature"),
    ),
    "examples": Table(
        {
            "layer": whole(),
            "site": text(),
            "feature": whole(),
            "rank": whole(),
            "activation": number(),
            "text": text(needed=False),
            "tokens": Column("list", needed=False),
            "activations": Column("numbers", needed=False),
            "part": text(needed=False),
        },
        ("site", "feature", "rank"),
    ),
    "probes": Table(
        {
            **{k: v for k, v in _NAMED.items() if k != "feature"},
            "k": whole(1),
            "features": _NUMBERS,
            "weights": _NUMBERS,
            "auroc_heldout": share(needed=False, missing=True),
            "p_heldout": share(needed=False, missing=True),
            "confirmed": truth(needed=False),
            **_TESTED,
        },
        ("site", "language", "emotion", "k"),
    ),
    "readings": Table(
        {
            **{k: v for k, v in _NAMED.items() if k != "feature"},
            "kind": text("features", "dense"),
            "source": text(),
            "features": _NUMBERS,
            "weights": _NUMBERS,
            "bias": number(),
            "levels": _NUMBERS,
            "mean_levels": _NUMBERS,
            "top1": share(missing=True),
            "top3": share(missing=True),
            "n_texts": whole(),
        },
        ("site", "language", "emotion", "kind"),
    ),
    "text_space": Table(
        {"language": text(), "baseline": text("text", "encoder"), "emotion": text(), "vector": _NUMBERS},
        ("language", "baseline", "emotion"),
    ),
}
"""Every table of a bank by name; those after "activations" may be absent."""


def check_bank(where: str, fields: Mapping[str, Any]) -> None:
    """Refuse a bank whose tables, directions, scales and manifest are not what they must be, or do not belong together.

    Args:
        where: the folder, for the message.
        fields: those of a `FeatureBank`.

    Raises:
        FileFormatError: in one line: which file, what is wrong there, what is needed.
        NotFiniteError: directions with NaN or infinite values.
    """
    manifest = fields["manifest"]
    scales = {str(site): scale for site, scale in fields["scales"].items()}
    check_manifest(f"{where}/manifest.json", {**manifest, "scales": scales})
    frames = {name: fields[name] for name in ("features", "summary", "words", "activations", "rates")} | fields[
        "extras"
    ]
    for name, frame in frames.items():
        if frame is not None:
            check_table(f"{where}/{name}.parquet", frame, TABLES[name])
    _check_directions(where, fields["directions"], manifest, scales)
    if set(manifest["d_sae"]) != set(scales):
        raise FileFormatError(
            f"{where}: d_sae and scales of the manifest are of other sites ({_differing(manifest['d_sae'], scales)})."
        )
    words = fields["words"]
    if not np.array_equal(words["unit"].to_numpy(), np.arange(len(words))):
        raise FileFormatError(f"{where}/words.parquet: the units are not numbered from 0 in order.")
    known = {
        "emotion": {*manifest["emotions"], "neutral"},
        "language": {*manifest["languages"], *words["language"].unique()},
        "site": set(scales),
        "layer": {Site.parse(site).layer for site in scales},
    }
    for name, frame in frames.items():
        if frame is not None:
            _check_names(f"{where}/{name}.parquet", frame, known, manifest["d_sae"])
    lacking = [lang for lang in manifest["languages"] if lang not in set(words["language"])]
    for entry in ("labels", "concept_words"):
        lacking += [
            lang for lang in manifest["languages"] if set(manifest[entry].get(lang, ())) != set(manifest["emotions"])
        ]
    if lacking:
        raise FileFormatError(
            f"{where}: the language {lacking[0]!r} of the manifest has no words, labels or concept words."
        )
    _check_lengths(f"{where}/text_space.parquet", frames.get("text_space"), ["language", "baseline"])
    units = fields["activations"]["unit"]
    if len(units) and int(units.max()) >= len(words):
        raise FileFormatError(
            f"{where}/activations.parquet: the unit {int(units.max())} is not among the {len(words)} words."
        )
    _check_order(where, fields["summary"], list(manifest["emotions"]))


def _check_directions(where: str, directions: Directions, manifest: Mapping[str, Any], scales: Iterable[str]) -> None:
    n_emotions = len(manifest["emotions"])
    widths: dict[Site, int] = {}
    for (site, language, _), (key, array) in zip(directions, directions.arrays().items(), strict=True):
        if str(site) not in scales or language not in manifest["languages"]:
            raise FileFormatError(f"{where}: the direction {key!r} is of no site and language of the manifest.")
        if (
            array.ndim != 2
            or array.shape[0] != n_emotions
            or array.shape[1] != widths.setdefault(site, array.shape[-1])
        ):
            raise FileFormatError(
                f"{where}: {key} has shape {array.shape}, expected [{n_emotions} emotions, dimension of the site]."
            )
        if not np.isfinite(array).all():
            raise NotFiniteError(f"{where}: {key} has NaN or infinite values.")


def _check_names(name: str, frame: pd.DataFrame, known: Mapping[str, set[str]], widths: Mapping[str, int]) -> None:
    for column, allowed in known.items():
        if column in frame.columns:
            strange = [value for value in frame[column].unique() if value not in allowed]
            if strange:
                raise FileFormatError(
                    f"{name}: the {column} {str(strange[0])[:60]!r} is not in the manifest, which has "
                    f"{', '.join(map(str, sorted(allowed)))}."
                )
    if "feature" in frame.columns and len(frame):
        by = frame["site"]
        top = frame["feature"].groupby(by).max()
        for place, feature in top.items():
            if feature >= widths[place]:
                raise FileFormatError(
                    f"{name}: the feature {feature} at {place} is beyond the SAE's {widths[place]} latents."
                )


def _check_lengths(name: str, frame: pd.DataFrame, keys: list[str]) -> None:
    """Vectors of one space have one length."""
    if frame is None:
        return
    lengths = frame["vector"].map(len)
    wrong = (
        lengths.ne(lengths.groupby([frame[k] for k in keys]).transform("first")).to_numpy() | lengths.eq(0).to_numpy()
    )
    if wrong.any():
        row = frame.iloc[int(wrong.argmax())]
        raise FileFormatError(
            f"{name}: the vector of {row['emotion']!r} has {len(row['vector'])} numbers; those of one language and baseline "
            "have one length above 0."
        )


def _check_order(where: str, summary: pd.DataFrame, emotions: list[str]) -> None:
    """Rows of directions are emotions by their place, and the summary is written in the same order."""
    place = {emotion: i for i, emotion in enumerate(emotions)}
    for (site, language), rows in summary.groupby(["site", "language"], sort=False):
        order = rows["emotion"].map(place).to_numpy()
        if (np.diff(order) < 0).any():
            raise FileFormatError(
                f"{where}: the emotions of the manifest stand in another order than those of the summary at {site} in "
                f"{language!r}; directions are found by that order."
            )


def check_scales(where: str, metadata: Mapping[str, str] | None, manifest: Mapping[str, object]) -> None:
    """Refuse scales that differ from those which the file of directions carries itself.

    Raises:
        FileFormatError: they differ, or the file carries none.
    """
    text = (metadata or {}).get("scales")
    if text is None:
        raise FileFormatError(f"{where}/directions.safetensors carries no scales; it is not as a bank was saved.")
    try:
        stored = json.loads(text)
    except ValueError as error:
        raise FileFormatError(f"{where}/directions.safetensors: its scales are not readable: {error}.") from None
    if stored != manifest["scales"]:
        raise FileFormatError(
            f"{where}: the scales of the manifest differ from those that directions.safetensors carries "
            f"({_differing(stored, manifest['scales'])})."
        )


def _differing(one: object, two: object) -> str:
    """The first difference of two dictionaries or lists, in words."""
    pairs = [
        dict(enumerate(part)) if isinstance(part, list) else dict(part) if isinstance(part, Mapping) else {}
        for part in (one, two)
    ]
    for key in [*pairs[0], *pairs[1]]:
        if pairs[0].get(key) != pairs[1].get(key):
            return f"{key}: {pairs[0].get(key)!r} and {pairs[1].get(key)!r}"[:200]
    return "of another kind"


def rows_of(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """Rows of parquet files, by their footers."""
    return {name: pq.read_metadata(folder / name).num_rows for name in names if name.endswith(".parquet")}
