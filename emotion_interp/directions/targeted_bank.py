"""Effect-targeted directions for a whole bank: one fit for each site and language, one direction for each emotion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.bank.added import with_added_directions
from emotion_interp.bank.same_subject import require_same_subject
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import UnknownNameError
from emotion_interp.core.frames import rows_where
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site, sites_at
from emotion_interp.directions.targeted import (
    EffectOptions,
    effect_options,
    fit_effects,
    measure_effects,
    targeted_direction,
)
from emotion_interp.judges.prompts import NEUTRAL_PROMPTS
from emotion_interp.steering.operations import writable_reader

if TYPE_CHECKING:
    from emotion_interp.bank.bank import FeatureBank
    from emotion_interp.subjects.subject import Subject

METHOD = "sae_ts"
"""Name of effect-targeted directions in a bank."""


@dataclass(frozen=True, kw_only=True)
class TargetedOptions(EffectOptions):
    """What is tried to learn what a bank's features do; `seed` is also that of the draw of rows.

    Attributes:
        prompts: language -> neutral beginnings; default: the tuning half of `NEUTRAL_PROMPTS`.
        n_vectors: decoder rows that are tried at each site, at least ten.
        dose: their length, in units of the bank's scale of the site.
        bias_weight: as in `targeted_direction`.
    """

    prompts: Mapping[str, Sequence[str]] | None = None
    n_vectors: int = 512
    dose: float = 0.25
    bias_weight: float = 1.0


@checked
def with_targeted_directions(
    subject: Subject,
    bank: FeatureBank,
    layers: Iterable[int | Site | str] | None = None,
    languages: Iterable[str] | None = None,
    *,
    options: TargetedOptions | None = None,
    **choices: object,
) -> FeatureBank:
    """A bank whose `direction(..., method="sae_ts")` is effect-targeted: SAE-TS for all of an emotion's features at once.

    At each site decoder rows of the bank's features and of others drawn at random are added one by one while neutral
    prompts are continued; what that does to every feature is fitted (`fit_effects`), and the direction of an emotion
    is the one predicted to move its selected features (its top feature where none is selected), each counted in
    standard deviations of its effect. An emotion whose features nothing moves gets a row of zeros.

    Args:
        subject: the bank's subject.
        bank: its features.
        layers: default: all of the bank.
        languages: default: all of the bank.
        options: what is tried and how.
        **choices: fields of `TargetedOptions` and options of `decode`, by keyword.

    Raises:
        UnknownNameError: a language without prompts, a layer that is not there.
        UnsupportedError: a site that cannot be written.
        EmotionInterpError: a bank of another subject, or fewer than ten vectors.

    Source: SAE-TS (Chalnev, Siu & Conmy 2024, arXiv 2411.02193); several features as one target are ours.

    Example:
        >>> bank = with_targeted_directions(subject, bank, layers=[2])  # doctest: +SKIP
        >>> steer(subject, bank.direction("joy", layer=2, method="sae_ts"))  # doctest: +SKIP
    """
    require_same_subject(bank, subject)
    chosen = replace(effect_options(TargetedOptions, options, choices), scale=bank.scales)
    seed, dose = chosen.seed, chosen.dose
    spoken = {language: list(split.tune) for language, split in NEUTRAL_PROMPTS.items()} | dict(chosen.prompts or {})
    sites = list(bank.scales) if layers is None else [s for layer in layers for s in sites_at(bank.scales, layer)]
    directions: dict[tuple[Site, str, str], np.ndarray] = {}
    for site in dict.fromkeys(sites):
        reader = writable_reader(subject, site)
        picked = rows_where(
            bank.features, (bank.features["site"] == str(site)) & (bank.features["selected"] | bank.features["top"])
        )
        ids = np.unique(picked["feature"].to_numpy(dtype=np.int64))
        others = np.setdiff1d(np.arange(reader.d_sae), ids)
        drawn = generator(seed, "vectors", site).permutation(others)[: max(0, chosen.n_vectors - len(ids))]
        tried = reader.decoder_rows(np.concatenate([ids, drawn])).double().cpu().numpy()
        for language in bank.languages if languages is None else languages:
            if language not in spoken:
                raise UnknownNameError("language of the prompts", language, spoken)
            measured, names = measure_effects(subject, site, tried, spoken[language], dose, options=chosen)
            effects = fit_effects(site, dose, tried, measured, names, seed, bank.scales[site])
            vectors = np.zeros((len(bank.emotions), tried.shape[1]), dtype=np.float32)
            for e, emotion in enumerate(bank.emotions):
                of_emotion = picked[(picked["emotion"] == emotion) & (picked["language"] == language)]
                rows = of_emotion["selected"] if of_emotion["selected"].any() else of_emotion["top"]
                spread = {f: float(measured[:, f].std()) for f in of_emotion.loc[rows, "feature"].tolist()}
                target = {f: 1.0 / s for f, s in spread.items() if s > 0}
                if target:
                    vectors[e] = targeted_direction(effects, target, bias_weight=chosen.bias_weight, name=emotion).unit
            directions[site, language, METHOD] = vectors
    said = ("dose", "n_vectors", "max_new_tokens", "bias_weight", "seed")
    how = {name: getattr(chosen, name) for name in said}
    return with_added_directions(bank, METHOD, directions, how)
