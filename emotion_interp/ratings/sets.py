"""Which features predict: selected in one language, in all, in any, and as many matched ones outside."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.core.errors import UnknownNameError
from emotion_interp.ratings.matched import matched_outside
from emotion_interp.ratings.redraw import redrawn_outside

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.core.types import Site

CONTROLS = {"selected": "outside", "intersection": "outside_intersection", "union": "outside_union"}
"""The control of each set: as many features outside the selection of every language."""

MIN_FEATURES = 2
"""A smaller set is left out: one feature is no space."""


def bank_sets(
    bank: FeatureBank, layer: int | Site | str, language: str, rates: np.ndarray, seed: int = 0
) -> dict[str, np.ndarray]:
    """Feature sets of a bank at one site, of features that fire on the words at hand: name -> sorted feature indices.

    "selected": the bank's features of `language`; "outside": as many outside the selection of every language, matched
    for firing rate. With several languages in the bank also `"selected_<language>"` for each, "intersection", "union",
    and their controls "outside_intersection" and "outside_union". Sets of fewer than two features are left out.

    Args:
        layer: as for `FeatureBank.site`.
        rates: [feature], the share of words on which each feature fires.
        seed: of the matching.
    """
    sets, union = _selected_sets(bank, layer, language, rates)
    for name, control in CONTROLS.items():
        if name in sets:
            sets[control] = _outside(rates, sets[name], union, seed)
    return sets


def bank_draws(
    bank: FeatureBank, layer: int | Site | str, language: str, rates: np.ndarray, n_draws: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """The control sets of `bank_sets` drawn again and again: name of the control -> [draw, feature] (`redrawn_outside`)."""
    sets, union = _selected_sets(bank, layer, language, rates)
    return {
        control: redrawn_outside(_free(rates, sets[name], union), sets[name], n_draws, seed)
        for name, control in CONTROLS.items()
        if name in sets
    }


def _selected_sets(
    bank: FeatureBank, layer: int | Site | str, language: str, rates: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The sets without their controls, and what is selected in any language."""
    try:
        site = bank.site(layer)
    except UnknownNameError:
        return {}, np.empty(0, dtype=int)
    by_language = {}
    for code in bank.languages:
        chosen = bank.selected_features(site, code)
        by_language[code] = chosen[rates[chosen] > 0]
    union = reduce(np.union1d, by_language.values())
    sets: dict[str, np.ndarray] = {}
    if language in by_language:
        sets["selected"] = by_language[language]
    if len(by_language) > 1:
        sets |= {f"selected_{code}": chosen for code, chosen in by_language.items()}
        sets["intersection"] = reduce(np.intersect1d, by_language.values())
        sets["union"] = union
    return {name: chosen for name, chosen in sets.items() if len(chosen) >= MIN_FEATURES}, union


def known_sets(bank: FeatureBank | None) -> list[str]:
    """Every feature set that a bank may give at some layer."""
    if bank is None:
        return ["all", "dense"]
    several = [f"selected_{code}" for code in bank.languages] if len(bank.languages) > 1 else []
    joint = ["intersection", "union", "outside_intersection", "outside_union"] if several else []
    return ["all", "dense", "selected", "outside", *several, *joint]


def _outside(rates: np.ndarray, chosen: np.ndarray, union: np.ndarray, seed: int) -> np.ndarray:
    return matched_outside(_free(rates, chosen, union), chosen, seed)


def _free(rates: np.ndarray, chosen: np.ndarray, union: np.ndarray) -> np.ndarray:
    # a feature that was selected in another language only is no control: it counts as silent
    free = np.array(rates, dtype=np.float64)
    free[np.setdiff1d(union, chosen)] = 0.0
    return free
