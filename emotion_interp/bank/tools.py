"""Banks beside each other: what changed between two, two parts made one, and tables for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.bank import schema
from emotion_interp.bank.confirmation import decided, has_confirmation
from emotion_interp.bank.directions import Directions
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.files import atomic_file

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank

TABLES = ("features", "selected", "summary", "words")
_SAME = ("stimuli", "position", "seed", "selection", "emotions")


def diff_banks(first: FeatureBank, second: FeatureBank) -> pd.DataFrame:
    """What differs between two banks of one subject, for every site, language and emotion that both have.

    Columns: layer, site, language, emotion; n_both, n_first_only, n_second_only (selected features); top_first, top_second,
    same_top; auroc_heldout_first, auroc_heldout_second; confirmed_first, confirmed_second; cosine of the two dense
    directions.

    Raises:
        EmotionInterpError: banks of two subjects, whose feature numbers mean different things, or nothing in common.

    Example:
        >>> diff_banks(ei.FeatureBank.load("a"), ei.FeatureBank.load("b"))  # doctest: +SKIP
    """
    _require_one_subject(first, second)
    keys = ["layer", "site", "language", "emotion"]
    columns = ["feature", "auroc_heldout", "confirmed"]
    first_summary, two = (b.summary[[*keys, *columns]] for b in (first, second))
    both = first_summary.merge(two, on=keys, suffixes=("_first", "_second"))
    if both.empty:
        raise EmotionInterpError(
            f"the two banks share no layer, language and emotion: {_cells(first)} against {_cells(second)}."
        )
    rows = []
    for row in both.itertuples(index=False):
        sets = [set(b.selected_features(row.site, row.language, row.emotion).tolist()) for b in (first, second)]
        vectors = [b.direction(row.emotion, row.site, row.language, "dense").unit for b in (first, second)]
        rows.append(
            {
                "layer": row.layer,
                "site": row.site,
                "language": row.language,
                "emotion": row.emotion,
                "n_both": len(sets[0] & sets[1]),
                "n_first_only": len(sets[0] - sets[1]),
                "n_second_only": len(sets[1] - sets[0]),
                "top_first": row.feature_first,
                "top_second": row.feature_second,
                "same_top": row.feature_first == row.feature_second,
                "auroc_heldout_first": row.auroc_heldout_first,
                "auroc_heldout_second": row.auroc_heldout_second,
                "confirmed_first": bool(row.confirmed_first),
                "confirmed_second": bool(row.confirmed_second),
                "dense_cosine": float(vectors[0].astype(np.float64) @ vectors[1].astype(np.float64)),
            }
        )
    return pd.DataFrame(rows)


def merge_banks(first: FeatureBank, second: FeatureBank) -> FeatureBank:
    """One bank of two that read the same subject in the same way, at other sites or in other languages.

    q, selection and the tests of the held-out half stay those of each part's own family; the layer of a language is fixed
    anew over all layers. The manifest's "merged" says which parts there were. To test all in one family, find the features
    in one call.

    Raises:
        EmotionInterpError: other subjects, other stimuli or settings, parts that overlap, a split that puts one group of
            words on different sides, or parts that are confirmed by different rules.
    """
    _require_one_subject(first, second)
    for key in _SAME:
        if first.manifest.get(key) != second.manifest.get(key):
            raise EmotionInterpError(
                f"the banks were found with different {key}: {first.manifest.get(key)!r} and {second.manifest.get(key)!r}. "
                "Find the features again with one setting."
            )
    if has_confirmation(first) != has_confirmation(second):
        older = "second" if has_confirmation(first) else "first"
        raise EmotionInterpError(
            f"the {older} bank was confirmed by an earlier rule, Fisher's test alone; bring it up to date: "
            "bank = with_confirmation(bank, concepts)."
        )
    by_layer = first.words.equals(second.words) and first.languages == second.languages
    if by_layer and not set(first.sites) & set(second.sites):
        words, offset, scales = first.words, 0, {**first.scales, **second.scales}
    elif first.sites == second.sites and not set(first.languages) & set(second.languages):
        words, offset = _joined_words(first, second), len(first.words)
        share = len(first.words) / len(words)
        scales = {s: share * v + (1 - share) * second.scales[s] for s, v in first.scales.items()}
    else:
        raise EmotionInterpError(
            "banks are merged over other sites with the same words, or over other languages at the same sites; "
            f"these hold {_cells(first)} and {_cells(second)}."
        )
    parts = [first.activations, second.activations.assign(unit=(second.activations["unit"] + offset).astype(np.int32))]
    rates = None
    if first.rates is not None and second.rates is not None:
        rates = pd.concat([first.rates, second.rates], ignore_index=True)
    # tables without a language hold the same features twice where the parts differ in language, those without a site the
    # same texts twice where they differ in sites; of those each row is kept once
    extras = {
        name: pd.concat([frame, second.extras[name]]).drop_duplicates(list(schema.TABLES[name].keys), ignore_index=True)
        for name, frame in first.extras.items()
        if name in second.extras and (offset == 0 or "language" in frame)
    }
    summary = pd.concat([first.summary, second.summary], ignore_index=True)
    return replace(
        first,
        features=pd.concat([first.features, second.features], ignore_index=True),
        summary=decided(summary) if has_confirmation(first) else summary,
        words=words.copy(),
        activations=pd.concat(parts, ignore_index=True),
        directions=Directions({**first.directions, **second.directions}, first.emotions),
        scales=scales,
        manifest=_joined_manifest(first, second),
        rates=rates,
        extras=extras,
    )


def subset_bank(bank: FeatureBank, languages: Sequence[str]) -> FeatureBank:
    """The part of a bank in some of its languages; q-values stay those of the whole family.

    Raises:
        UnknownNameError: a language the bank does not have.
    """
    for language in languages:
        if language not in bank.languages:
            raise UnknownNameError("language", language, bank.languages)

    def own(frame: pd.DataFrame) -> pd.DataFrame:
        chosen = frame[frame["language"].isin(list(languages))] if "language" in frame else frame
        return chosen.reset_index(drop=True)

    per_language = ("labels", "concept_words")
    parts = {k: {lang: v for lang, v in bank.manifest[k].items() if lang in languages} for k in per_language}
    return replace(
        bank,
        features=own(bank.features),
        summary=own(bank.summary),
        directions=Directions({k: v for k, v in bank.directions.items() if k.language in languages}, bank.emotions),
        manifest={**bank.manifest, **parts, "languages": list(languages)},
        rates=None if bank.rates is None else own(bank.rates),
        extras={name: own(frame) for name, frame in bank.extras.items()},
    )


def bank_to_csv(bank: FeatureBank, path: str | Path, table: str = "features") -> Path:
    """Write one of the bank's tables as CSV (UTF-8): "features", "selected" (features that were chosen), "summary", "words".

    Raises:
        UnknownNameError: another table.
        EmotionInterpError: the file cannot be written.
    """
    if table not in TABLES:
        raise UnknownNameError("table of a bank", table, TABLES)
    frame = bank.table(selected=True) if table == "selected" else getattr(bank, table)
    path = Path(path)
    with atomic_file(path) as temporary:
        frame.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")
    return path


def _require_one_subject(first: FeatureBank, second: FeatureBank) -> None:
    for key in ("subject", "provenance"):
        if first.manifest.get(key) != second.manifest.get(key):
            raise EmotionInterpError(
                f"the banks belong to two subjects ({key}: {first.manifest.get(key)!r} and {second.manifest.get(key)!r}); "
                "their feature numbers mean different things."
            )
    saes = [{s["site"]: s for s in bank.manifest.get("saes", ())} for bank in (first, second)]
    for site in sorted(set(saes[0]) & set(saes[1])):
        first_sae, other = saes[0][site], saes[1][site]
        # a bank of before something was noted is taken on trust in it
        if any(first_sae[key] != other[key] for key in set(first_sae) & set(other)):
            raise EmotionInterpError(f"the banks read two different SAEs at {site}; their feature numbers differ.")


def _cells(bank: FeatureBank) -> str:
    return f"layers {bank.layers} in {', '.join(bank.languages)}"


def _joined_words(first: FeatureBank, second: FeatureBank) -> pd.DataFrame:
    words = pd.concat([first.words, second.words], ignore_index=True)
    words["unit"] = np.arange(len(words))
    sides = words.groupby("group")["side"].nunique()
    torn = sides[sides > 1].index.tolist()
    if torn:
        raise EmotionInterpError(
            f"merging would put translations of one word on both sides of the split ({torn[0]!r} and {len(torn) - 1} more). "
            "Find the features of both languages in one call: concept_set('en') | concept_set('zh')."
        )
    return words


def _joined_manifest(first: FeatureBank, second: FeatureBank) -> dict[str, object]:
    first_manifest, two = first.manifest, second.manifest
    part = ("languages", "n_tested", "concepts_sha256", "versions")
    parts = [
        b.manifest.get("merged") or [{k: b.manifest.get(k) for k in part} | {"layers": b.layers}]
        for b in (first, second)
    ]
    known = {s["site"] for s in first_manifest.get("saes", ())}
    talk = {**first_manifest.get("conversation", {}), **two.get("conversation", {})}
    return {
        **first_manifest,
        "languages": list(dict.fromkeys([*first_manifest["languages"], *two["languages"]])),
        "saes": [*first_manifest.get("saes", ()), *(s for s in two.get("saes", ()) if s["site"] not in known)],
        "n_tested": first_manifest["n_tested"] + two["n_tested"],
        **{k: {**first_manifest[k], **two[k]} for k in ("d_sae", "labels", "concept_words", "n_alive")},
        **({"conversation": talk} if talk else {}),
        "merged": [*parts[0], *parts[1]],
    }
